/*
 * The stored form of a response, read where it lies. `catzilla_cache/http/stored.py` makes it and says what it is; here is what
 * the finder needs:
 *
 *     0  tag of plain bytes   1  mark, version   3  kind   4  status (2)   6  rule (2)   8  flags (4)
 *    16  stored at   24  born   32  fresh until (8 each, microseconds since 1970)
 *    56  number of field lines   60  length of the fields   64  length of the texts behind them (4 each)
 *    72  the fields: length of the name (2) and of the value (4), name, value
 *        the texts: of the URL and of the entity tag a number of 1 (2), a length (4), and the text; others follow
 *
 * All numbers are little-endian. The bytes may come from a Redis that others write to: nothing is believed that was not checked.
 */
#ifndef CATZILLA_HTTP_STORED_H
#define CATZILLA_HTTP_STORED_H

#include <stddef.h>
#include <stdint.h>

enum { STORED_HEAD = 72, STORED_FIELD_HEAD = 6 };

/* Flags that matter to a hit. */
enum { STORED_NO_CACHE = 2, STORED_HEAD_ONLY = 32 };

struct http_stored {
    unsigned status, rule;
    uint32_t flags, lines;
    int64_t stored_at, born, fresh_until;
    /* Where the fields end, and where the body begins. */
    size_t fields_end, body_at;
};

/* Reads the numbers of a response. 0: it is none, or cut short. The fields themselves are not looked at. */
int http_stored_read(const unsigned char *data, size_t len, struct http_stored *stored);

/* A field line: steps to the next. 0: it does not fit before the end. */
struct http_stored_field {
    const unsigned char *name, *value;
    size_t name_len, value_len;
};

int http_stored_field(const unsigned char **at, const unsigned char *end, struct http_stored_field *field);

/* The entity tag, which is empty when there is none. 0: the texts do not add up. */
int http_stored_entity_tag(const unsigned char *data, const struct http_stored *stored, const unsigned char **tag, size_t *len);

#endif
