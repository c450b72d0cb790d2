/*
 * The messages that answer a request, made of a stored head: for `http_finder.c`. What was served lately is kept ready, so that
 * another hit of it copies a list and a dict; what changes by the second is made anew when it does.
 */
#ifndef CATZILLA_HTTP_MESSAGES_H
#define CATZILLA_HTTP_MESSAGES_H

#include "http_stored.h"
#include "native.h"

enum {
    /* Heads that are kept ready, and the bytes and field lines of one: together 4 MiB at most. Arbitrary: the most popular pages
       of a site, and more than most responses have. */
    READY = 256,
    LONGEST_READY = 2048,
    MOST_READY_LINES = 64,
    /* Names of response fields that are kept: most responses have the same dozen. */
    NAMES = 64,
    LONGEST_NAME = 32,
};

#ifdef Py_GIL_DISABLED
typedef PyMutex http_guard;
#else
typedef char http_guard;
#endif

/* A head that was served, in the slot that its time of storing leads to. */
struct http_ready {
    /* When the response that was served last from this slot was stored: what is seen twice is kept. */
    int64_t seen;
    /* The head and the fields as they are stored; NULL: nothing is kept. */
    PyObject *block;
    /* The message but for its fields, and the fields as they were sent last. Neither is ever changed, nor seen by anybody else.
     */
    PyObject *start, *fields;
    /* What the last fields of those say, in seconds. */
    int64_t age, since, left;
};

struct http_messages {
    http_guard guard;
    struct http_ready *ready;
    PyObject *names[NAMES];
    /* (b"x-cache", b"HIT"), and the beginning of what Cache-Status says. */
    PyObject *hit, *status_begin;
};

/* 0, or -1 with an exception. To be ended either way. */
int http_messages_begin(struct http_messages *messages, PyObject *cache_name);
void http_messages_end(struct http_messages *messages);

/* The pair of messages for a head, whose `len` bytes at `block` are the stored ones up to the end of the fields. Takes `body`
   over. NULL without an exception: the fields do not add up. */
PyObject *http_messages_make(struct http_messages *messages, const struct http_stored *stored, const unsigned char *block,
                             PyObject *body, int64_t now);

/* Adds the words of messages. 0, or -1 with an exception. */
int http_messages_prepare(void);

#endif
