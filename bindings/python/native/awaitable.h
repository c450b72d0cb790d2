/* What the module's own awaitables share: `object_ready.c` and `http_sending.c`. */
#ifndef CATZILLA_AWAITABLE_H
#define CATZILLA_AWAITABLE_H

#include "native.h"

/* Raises what `throw(error)` or `throw(kind, error, traceback)` was given, as coroutines have it. */
void awaitable_raise(PyObject *arguments);

#endif
