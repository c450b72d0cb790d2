/*
 * The two messages that answer a request of ASGI: for `http_messages.c`. Once a server is done with them they are given again, since to make
 * and to free them is most of what a hit would cost.
 */
#ifndef CATZILLA_HTTP_ASGI_H
#define CATZILLA_HTTP_ASGI_H

#include "native.h"

#ifdef Py_GIL_DISABLED
/* There a count of references says nothing of what other threads do. */
#define HTTP_CAN_LEND 0
#else
#define HTTP_CAN_LEND 1
#endif

/* New messages. The fields become the message's own; NULL with an exception. */
PyObject *http_asgi_start(unsigned status, PyObject *fields);
PyObject *http_asgi_body(PyObject *body);

/*
 * Messages that a server was given. Whoever gets a message may change it, and keep it or its fields for as long as he likes. So they are given
 * again only if nobody else refers to them, by the counts of their references, and if they say what they said, object for object:
 * then they cannot be told from new ones. Everything below runs with the interpreter's lock; where there is none, nothing is lent.
 */
struct http_lent {
    /* NULL: there are none. */
    PyObject *start, *message;
    /* What they were made of: the list has the same fields as the start's own, and is not seen by anybody else. */
    PyObject *status, *fields, *body;
    /* Whether some came back as something else: who does that once does it each time, and is given new ones. */
    char is_over;
};

/* The messages that were made of the same list and body, as new references. 0: they are not there, or still in somebody's hands. */
int http_lent_again(struct http_lent *lent, PyObject *fields, PyObject *body, PyObject **start, PyObject **message);

/* Remembers new messages in the place of others, and what they were made of. */
void http_lent_begin(struct http_lent *lent, PyObject *fields, PyObject *body, PyObject *start, PyObject *message);
void http_lent_end(struct http_lent *lent);

/* What is lent may refer to whatever a program has put into it. */
int http_lent_traverse(struct http_lent *lent, visitproc visit, void *arg);

/* Adds the words of messages. 0, or -1 with an exception. */
int http_asgi_prepare(void);

#endif
