/*
 * What answers a request, made of a stored head: the messages of ASGI, or what WSGI has in their place. For `http_finder.c`. What was served lately is kept ready, so that
 * another hit of it within the same second is given the messages of the one before (http_asgi.c), or a copy of a list; what changes by the
 * second is made anew when it does.
 */
#ifndef CATZILLA_HTTP_MESSAGES_H
#define CATZILLA_HTTP_MESSAGES_H

#include "native.h"
#include "http_asgi.h"
#include "http_stored.h"

enum {
    /* Responses that are kept ready, and the bytes and field lines of the head of one: together 4 MiB at most; and as much for
       their bodies. Arbitrary: the most popular pages of a site, and more than most responses have. */
    READY = 256,
    LONGEST_READY = 2048,
    MOST_READY_LINES = 64,
    LONGEST_READY_BODY = 16384,
    /* Names of response fields that are kept: most responses have the same dozen. */
    NAMES = 64,
    LONGEST_NAME = 32,
};

/* What is made: for whom, and whether it says that nothing has changed. */
enum { KIND_ASGI = 0, KIND_NOT_MODIFIED = 1, KIND_WSGI = 2 };

/* What clients are told: X-Cache and X-Cache-Time, and Cache-Status; the parameter `state_fields`. */
enum { TELLS_X_CACHE = 1, TELLS_STATUS = 2 };

#ifdef Py_GIL_DISABLED
typedef PyMutex http_guard;
#else
typedef char http_guard;
#endif

/* What changes while a response stays the same: its age, for how long it has been stored, and for how long it is fresh. */
struct http_seconds {
    int64_t age, since, left;
};

/* A head that was served, in the slot that its time of storing and the kind lead to. */
struct http_ready {
    unsigned kind;
    /* When the response that was served last from this slot was stored: what is seen twice is kept. */
    int64_t seen;
    /* The head and the fields as they are stored; NULL: nothing is kept. */
    PyObject *block;
    /* The fields as they were sent last, never changed nor seen by anybody else; and the body, or NULL. */
    PyObject *fields, *body;
    /* What the last fields of those say. */
    struct http_seconds seconds;
    /* The messages of the last answer. */
    struct http_lent lent;
};

struct http_messages {
    http_guard guard;
    struct http_ready *ready;
    PyObject *names[NAMES];
    /* What is put before the seconds left in Cache-Status; the lines of all statuses. */
    PyObject *cache_name, *status_lines;
    /* ("x-cache", "HIT") as ASGI and WSGI have it. */
    PyObject *hit, *hit_text;
    /* What clients are told of a hit, and how many fields that makes with its age. */
    unsigned tells;
    Py_ssize_t own_fields;
};

/* 0, or -1 with an exception. To be ended either way. */
int http_messages_begin(struct http_messages *messages, PyObject *cache_name, unsigned tells);
void http_messages_end(struct http_messages *messages);

/* Of what is lent to servers: the slots tp_traverse and tp_clear of whoever has these. */
int http_messages_traverse(struct http_messages *messages, visitproc visit, void *arg);
void http_messages_break_cycles(struct http_messages *messages);

/* A new reference to a body of these bytes: to the object that was sent before, if that has the very same. NULL: no memory, and
   perhaps an exception. */
PyObject *http_messages_body(struct http_messages *messages, unsigned kind, const struct http_stored *stored, const void *data,
                             size_t len);

/* What answers a request: the messages of ASGI; or for WSGI the status line, the fields and the body. */
struct http_answer {
    PyObject *start;
    /* NULL in ASGI, whose start has them. */
    PyObject *fields;
    PyObject *body;
};

/* What answers a request with a head, whose bytes at `block` are the stored ones up to the end of the fields. Takes `body` over.
   1: the references are the caller's. 0: the fields do not add up; -1 with an exception. */
int http_messages_make(struct http_messages *messages, unsigned kind, const struct http_stored *stored, const unsigned char *block,
                       PyObject *body, int64_t now, struct http_answer *answer);

/* Adds the words of messages. 0, or -1 with an exception. */
int http_messages_prepare(void);

#endif
