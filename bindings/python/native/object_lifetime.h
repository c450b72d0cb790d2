/* Lifetimes as callers of an object cache pass them. */
#ifndef CATZILLA_OBJECT_LIFETIME_H
#define CATZILLA_OBJECT_LIFETIME_H

#include "object_cache.h"

int object_lifetime_begin(void);

int64_t lifetime_of(ObjectCache *cache, PyObject *seconds);

/* A lifetime in seconds as nanoseconds; of what was not given, the cache's. -2 with an exception. */
static inline int64_t lifetime_from(ObjectCache *cache, PyObject *seconds)
{
    return seconds == NULL || seconds == Py_None ? LIFETIME_OF_CACHE : lifetime_of(cache, seconds);
}

#endif
