/* A cache with all its defaults for each test, as cmocka's set-up and tear-down. */
#ifndef CATZILLA_TESTS_DEFAULT_CACHE_H
#define CATZILLA_TESTS_DEFAULT_CACHE_H

#include "catzilla_cache.h"

static int open_cache(void **state)
{
    catzilla_cache_t *cache = NULL;
    catzilla_status_t status = catzilla_cache_open(NULL, &cache);
    *state = cache;
    return status != CATZILLA_OK;
}

static int close_cache(void **state)
{
    catzilla_cache_destroy(*state);
    return 0;
}

#endif
