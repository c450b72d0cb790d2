/*
 * From a request to the key of the stored answer: `keys.py` says what keys are, and makes those of all requests. Here they are made
 * of the requests that a stored answer can be served to without another thought; `finder.py` says which those are.
 *
 *     ASGI scope (http_scope.c), WSGI environment (http_environ.c) -> request -> key (http_key.c, http_url.c, http_tails.c)
 */
#ifndef CATZILLA_HTTP_KEY_H
#define CATZILLA_HTTP_KEY_H

#include "native.h"
#include "http_conditions.h"
#include "http_tails.h"
#include "http_url.h"

#ifdef Py_GIL_DISABLED
#define BEGIN_READING(object) Py_BEGIN_CRITICAL_SECTION(object)
#define END_READING() Py_END_CRITICAL_SECTION()
#else
#define BEGIN_READING(object) {
#define END_READING() }
#endif

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
    /* The variables of a WSGI environment that are looked at, and the text of their names. */
    struct http_names variables;
    char *variable_names;
    /* How the value of each key field is normalised. */
    unsigned char *forms;
    struct http_tails tails;
    const char *prefix_data;
    size_t prefix_len;
    /* Not when there is more of something than keys are made of here. */
    int is_usable;
};

struct http_key {
    Py_ssize_t len;
    int is_head;
    struct http_conditions conditions;
    /* The longest parts, what stands between them, and a few bytes that are found to be too many. */
    unsigned char data[LONGEST_PREFIX + LONGEST_AUTHORITY + LONGEST_PATH + LONGEST_QUERY + LONGEST_FIELDS + 32];
};

/* The line of a key field. */
struct http_line {
    struct http_text value;
    int number;
};

/* What is read from a scope or an environment. Used up before anybody else can change that. */
struct http_request {
    int is_head, is_secure;
    struct http_text raw_path, query;
    /* No data: there was none. */
    struct http_text host;
    struct http_conditions *conditions;
    size_t lines;
    struct http_line line[MOST_LINES];
};

/* 0, or -1 with an exception. To be ended either way. */
int http_key_begin(struct http_key_maker *maker, PyObject *prefix, PyObject *key_fields, PyObject *ignored);
void http_key_end(struct http_key_maker *maker);

/* 1: the key is made. 0: the request is not an ordinary one. These run no Python code and leave no exception. */
int http_key_of_scope(const struct http_key_maker *maker, PyObject *scope, struct http_key *key);
int http_key_of_environ(const struct http_key_maker *maker, PyObject *environ, struct http_key *key);

/* Adds the names of a scope's parts, and the words. 0, or -1 with an exception. */
int http_scope_prepare(void);

/* ---- For those who read requests ---- */

/* A request without anything, whose conditions are to be those of the key. */
void http_request_begin(struct http_request *request, struct http_key *key);

/* Method and scheme, the latter perhaps NULL. 0: not ordinary ones. */
int http_request_line(struct http_request *request, PyObject *method, PyObject *scheme);

/* A line of a field that was found among the names. 0: it is not an ordinary request's. */
int http_request_add(struct http_request *request, const struct http_name *field, const unsigned char *data, size_t len);

/* The key of what was read. 0 as above. */
int http_key_write(const struct http_key_maker *maker, const struct http_request *request, struct http_key *key);

/* Words that methods, schemes and kinds of scopes are compared with. */
enum http_word { WORD_GET, WORD_HEAD, WORD_HTTP, WORD_HTTPS, WORDS };
static const char *const HTTP_WORDS[WORDS] = {"GET", "HEAD", "http", "https"};
extern PyObject *http_words[WORDS];

/* Whether an object is this text. What is a word of a server's own code is the very object, which is seen at once. */
static inline int http_is_text(PyObject *object, enum http_word word)
{
    if (object == http_words[word])
        return 1;
    if (object == NULL || !PyUnicode_CheckExact(object))
        return 0;
    Py_ssize_t len;
    const char *data = PyUnicode_AsUTF8AndSize(object, &len);
    if (data == NULL) {
        PyErr_Clear();
        return 0;
    }
    return (size_t)len == strlen(HTTP_WORDS[word]) && memcmp(data, HTTP_WORDS[word], (size_t)len) == 0;
}

/* The names of variables, once those of the fields are there. 0, or -1 with an exception. To be ended either way. */
int http_environ_begin(struct http_key_maker *maker);
void http_environ_end(struct http_key_maker *maker);

#endif
