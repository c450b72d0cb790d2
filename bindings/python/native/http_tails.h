/*
 * The ends of keys that were made lately: scheme, host and the normalised values of the key fields, which a client repeats with every
 * request, and many clients alike. An end is found by all that it was made of, compared byte for byte; so it is the one that would be made
 * again. For `http_key.c`.
 */
#ifndef CATZILLA_HTTP_TAILS_H
#define CATZILLA_HTTP_TAILS_H

#include "http_names.h"
#include "http_text.h"

enum {
    /* Ends that are kept, and the longest of what they are made of and of themselves, in bytes. Arbitrary: the usual browsers, and more than
       these send. Memory that no end was kept in is not touched. */
    TAILS = 64,
    LONGEST_TOLD = 320,
    LONGEST_TAIL = 384,
};

/* What an end is made of: the scheme, and parts with their numbers and lengths, so that no two requests tell the same in two ways. */
struct http_told {
    size_t len, hash;
    unsigned char data[LONGEST_TOLD];
};

struct http_tail {
    uint16_t told_len, len;
    unsigned char told[LONGEST_TOLD], data[LONGEST_TAIL];
};

struct http_tails {
    struct http_tail *slots;
};

/* 0, or -1: no memory. To be ended either way. */
int http_tails_begin(struct http_tails *tails);
void http_tails_end(struct http_tails *tails);

static inline void http_told_begin(struct http_told *told, int is_secure)
{
    told->data[0] = (unsigned char)is_secure;
    told->len = 1;
    told->hash = (size_t)is_secure;
}

/* Adds a part. 0: there is no room for it. */
static inline int http_told_add(struct http_told *told, unsigned number, const unsigned char *data, size_t len)
{
    enum { HEAD = 4 };
    if (len > LONGEST_TOLD - HEAD || told->len > LONGEST_TOLD - HEAD - len)
        return 0;
    uint16_t head[2] = {(uint16_t)number, (uint16_t)len};
    unsigned char *at = told->data + told->len;
    memcpy(at, head, HEAD);
    memcpy(at + HEAD, data, len);
    told->len += HEAD + len;
    told->hash = told->hash * 31 + http_hash(data, len);
    return 1;
}

/* Writes the end that was made of this. 0: it is not kept. */
int http_tails_find(const struct http_tails *tails, const struct http_told *told, struct http_writer *out);

/* Keeps an end, in the place of another. */
void http_tails_keep(const struct http_tails *tails, const struct http_told *told, const unsigned char *data, size_t len);

#endif
