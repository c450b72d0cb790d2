/* What callers of an object cache pass, beside keys and values. */
#ifndef CATZILLA_OBJECT_ARGUMENTS_H
#define CATZILLA_OBJECT_ARGUMENTS_H

#include "object_cache.h"

int object_arguments_begin(void);

/* Arguments of a call by position or name: `names` ends with NULL; what is not given stays as it is. False with an exception. */
bool parse_arguments(const char *function, const char *const *names, int required, PyObject *const *arguments, Py_ssize_t count,
                     PyObject *keywords, PyObject **parsed);

int64_t lifetime_of(ObjectCache *cache, PyObject *seconds);

/* A lifetime in seconds as nanoseconds; of what was not given, the cache's. -2 with an exception. */
static inline int64_t lifetime_from(ObjectCache *cache, PyObject *seconds)
{
    return seconds == NULL || seconds == Py_None ? LIFETIME_OF_CACHE : lifetime_of(cache, seconds);
}

#endif
