/* The calls of an object cache, for its type. */
#ifndef CATZILLA_OBJECT_METHODS_H
#define CATZILLA_OBJECT_METHODS_H

#include "object_cache.h"

extern PyMethodDef object_cache_methods[];

/* `key in cache`, `len(cache)`, `cache[key]`; and `cache[key] = value`, or with NULL `del cache[key]`. */
int object_cache_contains(PyObject *self, PyObject *key);
Py_ssize_t object_cache_len(PyObject *self);
PyObject *object_cache_subscript(PyObject *self, PyObject *key);
int object_cache_assign(PyObject *self, PyObject *key, PyObject *value);

#endif
