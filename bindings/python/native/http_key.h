/*
 * From an ASGI scope to the key of the stored answer: `keys.py` says what keys are, and makes those of all requests. Here they are made of the
 * requests that a stored answer can be served to without another thought; `ordinary_key` in `finder.py` says which those are.
 */
#ifndef CATZILLA_HTTP_KEY_H
#define CATZILLA_HTTP_KEY_H

#include "native.h"
#include "http_names.h"

/* Longest parts, in bytes; what is beyond is left to Python. The first three are those of `keys.py`, where longer ones are hashed. */
enum {
    LONGEST_PATH = 1024,
    LONGEST_QUERY = 1024,
    LONGEST_FIELDS = 512,
    /* A host name has 253 at most (RFC 1035 section 2.3.4), a port five. */
    LONGEST_AUTHORITY = 260,
    /* Arbitrary: a name that the user has chosen, and a digest. */
    LONGEST_PREFIX = 512,
    /* Arbitrary: far more than ordinary requests have. */
    MOST_PARAMETERS = 64,
    MOST_LINES = 64,
};

/* What keys are made by: the same for all requests. */
struct http_key_maker {
    /* bytes, tuple of bytes and frozenset of bytes, of which the names below are. */
    PyObject *prefix, *key_fields, *ignored_names;
    struct http_names fields, ignored;
    /* How the value of each key field is normalised. */
    unsigned char *forms;
};

struct http_key {
    Py_ssize_t len;
    int is_head;
    /* The longest parts, what stands between them, and room to copy whole words. */
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
