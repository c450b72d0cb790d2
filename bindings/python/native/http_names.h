/* A table of names, looked up by their bytes: for `http_key.c`. Never changes once it is made. */
#ifndef CATZILLA_HTTP_NAMES_H
#define CATZILLA_HTTP_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What a request field is to the finder; a key field has its number, too. Also what else an environment has, whose parts have theirs. */
enum http_role { ROLE_NONE, ROLE_REFUSED, ROLE_HOST, ROLE_LENGTH, ROLE_TAGS, ROLE_SINCE, ROLE_PART };

enum { NO_NUMBER = -1 };

/* The beginning and the end of a text, a word each, which tell names apart. Where these overlap they are all of it. */
struct http_ends {
    uint64_t first, last;
};

struct http_name {
    /* NULL: an empty slot. Belongs to whoever made the table. */
    const unsigned char *data;
    size_t len;
    struct http_ends ends;
    enum http_role role;
    int number;
};

struct http_names {
    struct http_name *slots;
    size_t mask;
};

/* Room for `count` names. 0, or -1: no memory. */
int http_names_begin(struct http_names *names, size_t count);
void http_names_end(struct http_names *names);

/* The slot of a name, made if there is none. */
struct http_name *http_names_put(struct http_names *names, const void *data, size_t len);

static inline struct http_ends http_ends_of(const unsigned char *data, size_t len)
{
    struct http_ends ends = {0, 0};
    if (len >= 8) {
        memcpy(&ends.first, data, 8);
        memcpy(&ends.last, data + len - 8, 8);
    } else if (len >= 4) {
        memcpy(&ends.first, data, 4);
        memcpy(&ends.last, data + len - 4, 4);
    } else if (len > 0) {
        ends.first = (uint64_t)data[0] | (uint64_t)data[len / 2] << 8 | (uint64_t)data[len - 1] << 16;
    }
    return ends;
}

static inline size_t http_mixed(struct http_ends ends, size_t len)
{
    /* Any odd number whose bits look random: this is 2**64 over the golden ratio. */
    return (size_t)(((ends.first ^ (ends.last << 7 | ends.last >> 57) ^ len) * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

static inline size_t http_hash(const unsigned char *data, size_t len)
{
    return http_mixed(http_ends_of(data, len), len);
}

/* Whether a slot has a name: what is between its ends is compared, if there is something. */
static inline int http_is_name(const struct http_name *name, const unsigned char *data, size_t len, struct http_ends ends)
{
    return name->len == len && name->ends.first == ends.first && name->ends.last == ends.last &&
           (len <= 16 || memcmp(name->data + 8, data + 8, len - 16) == 0);
}

static inline const struct http_name *http_names_find(const struct http_names *names, const unsigned char *data, size_t len)
{
    struct http_ends ends = http_ends_of(data, len);
    for (size_t at = http_mixed(ends, len) & names->mask; names->slots[at].data != NULL; at = (at + 1) & names->mask)
        if (http_is_name(&names->slots[at], data, len, ends))
            return &names->slots[at];
    return NULL;
}

#endif
