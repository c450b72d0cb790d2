/* A table of names, looked up by their bytes: for `http_key.c`. Never changes once it is made. */
#ifndef CATZILLA_HTTP_NAMES_H
#define CATZILLA_HTTP_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What a request field is to the finder; a key field has its number, too. Also what else an environment has, whose parts have theirs. */
enum http_role { ROLE_NONE, ROLE_REFUSED, ROLE_HOST, ROLE_LENGTH, ROLE_TAGS, ROLE_SINCE, ROLE_PART };

enum { NO_NUMBER = -1 };

struct http_name {
    /* NULL: an empty slot. Belongs to whoever made the table. */
    const unsigned char *data;
    size_t len;
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

/* Mixes the beginning and the end of a text, which tell names apart. */
static inline size_t http_hash(const unsigned char *data, size_t len)
{
    uint64_t first = 0, last = 0;
    if (len >= 8) {
        memcpy(&first, data, 8);
        memcpy(&last, data + len - 8, 8);
    } else if (len >= 4) {
        memcpy(&first, data, 4);
        memcpy(&last, data + len - 4, 4);
    } else if (len > 0) {
        first = (uint64_t)data[0] | (uint64_t)data[len / 2] << 8 | (uint64_t)data[len - 1] << 16;
    }
    /* Any odd number whose bits look random: this is 2**64 over the golden ratio. */
    return (size_t)(((first ^ (last << 7 | last >> 57) ^ len) * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

static inline const struct http_name *http_names_find(const struct http_names *names, const unsigned char *data, size_t len)
{
    for (size_t at = http_hash(data, len) & names->mask; names->slots[at].data != NULL; at = (at + 1) & names->mask)
        if (names->slots[at].len == len && memcmp(names->slots[at].data, data, len) == 0)
            return &names->slots[at];
    return NULL;
}

#endif
