/*
 * From an ASGI scope to the key of the stored answer: `keys.py` says what keys are, and makes those of all requests. Here they
 * are made of the requests that a stored answer can be served to without another thought; `ordinary_key` in `finder.py` says
 * which those are.
 */
#ifndef CATZILLA_HTTP_KEY_H
#define CATZILLA_HTTP_KEY_H

#include "native.h"
#include "http_url.h"

/* Longest parts, in bytes; what is beyond is left to Python. The first is that of `keys.py`, where longer ones are hashed. */
enum {
    LONGEST_FIELDS = 512,
    /* Arbitrary: a name that the user has chosen, and a digest. */
    LONGEST_PREFIX = 512,
    /* Arbitrary, and far more than anybody names: so that their numbers have three digits. */
    MOST_KEY_FIELDS = 1000,
    /* Arbitrary: far more than ordinary requests have. */
    MOST_LINES = 64,
};

/* What keys are made by: the same for all requests. */
struct http_key_maker {
    /* bytes, tuple of bytes and frozenset of bytes, of which the names below are. */
    PyObject *prefix, *key_fields, *ignored_names;
    struct http_names fields, ignored;
    /* How the value of each key field is normalised. */
    unsigned char *forms;
    const char *prefix_data;
    size_t prefix_len;
    /* Not when there is more of something than keys are made of here. */
    int is_usable;
};

struct http_key {
    Py_ssize_t len;
    int is_head;
    /* The longest parts, what stands between them, and a few bytes that are found to be too many. */
    unsigned char data[LONGEST_PREFIX + LONGEST_AUTHORITY + LONGEST_PATH + LONGEST_QUERY + LONGEST_FIELDS + 32];
};

/* 0, or -1 with an exception. To be ended either way. */
int http_key_begin(struct http_key_maker *maker, PyObject *prefix, PyObject *key_fields, PyObject *ignored);
void http_key_end(struct http_key_maker *maker);

/* 1: the key is made. 0: the request is not an ordinary one. Runs no Python code and leaves no exception. */
int http_key_make(const struct http_key_maker *maker, PyObject *scope, struct http_key *key);

/* Adds the names of a scope's parts. 0, or -1 with an exception. */
int http_key_prepare(void);

#endif
