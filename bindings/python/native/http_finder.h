/* The finder, for who asks it from C: `http_call.c`. */
#ifndef CATZILLA_HTTP_FINDER_H
#define CATZILLA_HTTP_FINDER_H

#include "http_messages.h"

/* Whether an object is a finder of this module. */
int http_is_finder(PyObject *object);

/* What answers the request of an ASGI scope. 1; 0: somebody has to think about it; -1 with an exception. */
int http_find(PyObject *finder, PyObject *scope, struct http_answer *found);

#endif
