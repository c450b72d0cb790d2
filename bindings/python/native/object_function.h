/*
 * The type `_native.CachedFunction`: what `objects.cached` makes of a function, in the way of functools.lru_cache.
 *
 * A hit builds no tuple of the arguments: they are hashed and compared where they lie. What is missing is brought by
 * object_flight.c; for a coroutine function by Python (`_objects_await.py`), and a hit is an object to be awaited that is
 * ready at once.
 */
#ifndef CATZILLA_OBJECT_FUNCTION_H
#define CATZILLA_OBJECT_FUNCTION_H

#include "native.h"

int object_function_add_to(PyObject *module);
int object_ready_add_to(PyObject *module);
/* An awaitable that yields nothing and returns the value, to which it takes the reference. */
PyObject *ready_new(PyObject *value);

#endif
