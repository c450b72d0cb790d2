/* What every suite with cmocka starts with: cmocka wants these headers before its own. */
#ifndef CATZILLA_TESTS_SUITE_H
#define CATZILLA_TESTS_SUITE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
