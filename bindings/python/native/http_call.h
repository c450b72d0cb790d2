/*
 * The type `_native.AsgiCall`: the method `__call__` of a middleware, which answers a hit itself, by `http_sending.c`, and leaves
 * all else to the coroutine function that it was made of. `http/asgi_hits.py` is the same in Python.
 */
#ifndef CATZILLA_HTTP_CALL_H
#define CATZILLA_HTTP_CALL_H

#include "native.h"

/* 0, or -1 with an exception. */
int http_call_add_to(PyObject *module);

#endif
