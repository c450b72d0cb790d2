/*
 * The type `_native.Sending`: what awaits a server's `send` for the two messages of a hit, one after the other. It is what a
 * coroutine function would be of `await send(start)` and `await send(body)`, without a frame of its own. For `http_call.c`.
 */
#ifndef CATZILLA_HTTP_SENDING_H
#define CATZILLA_HTTP_SENDING_H

#include "native.h"

/* From here on an awaitable can be driven without an exception for its end: PyIter_Send. */
#define HTTP_CAN_SEND (PY_VERSION_HEX >= 0x030A0000)

#if HTTP_CAN_SEND

/* Takes the messages over. */
PyObject *http_sending_new(PyObject *send, PyObject *start, PyObject *body);

/* 0, or -1 with an exception. */
int http_sending_add_to(PyObject *module);

#endif

#endif
