/*
 * What a request wants to have only if it has changed: `validation.is_not_modified` for the forms that browsers send. Whatever else
 * there is, is for Python to think about. Read by `http_key.c`, answered by `http_finder.c` while the engine holds the response.
 */
#ifndef CATZILLA_HTTP_CONDITIONS_H
#define CATZILLA_HTTP_CONDITIONS_H

#include "http_stored.h"

enum {
    /* Bytes of entity tags in a request. Arbitrary: a handful of them. The same in `finder.py`. */
    LONGEST_TAGS = 512,
    /* Sun, 06 Nov 1994 08:49:37 GMT */
    DATE_LEN = 29,
};

struct http_conditions {
    /* Lines of If-None-Match, and of If-Modified-Since. */
    unsigned tag_lines, since_lines;
    /* Whether any tag will do: `*`. */
    int is_any;
    /* The opaque tags with their quotes, one behind the other: there are no quotes within. */
    size_t tags_len;
    unsigned char tags[LONGEST_TAGS];
    unsigned char since[DATE_LEN];
};

enum http_verdict { SEND_ALL, SEND_NOT_MODIFIED, VERDICT_UNKNOWN };

static inline void http_conditions_begin(struct http_conditions *conditions)
{
    conditions->tag_lines = conditions->since_lines = 0;
    conditions->is_any = 0;
    conditions->tags_len = 0;
}

/* A line of If-None-Match, or of If-Modified-Since. 0: it is not an ordinary one. */
int http_conditions_add_tags(struct http_conditions *conditions, const unsigned char *data, size_t len);
void http_conditions_add_since(struct http_conditions *conditions, const unsigned char *data, size_t len);

/* Whether these are conditions that can be answered here. To be asked once all lines are there. */
int http_conditions_are_ordinary(const struct http_conditions *conditions);

/* What to send of a response whose stored form is at `data`. */
enum http_verdict http_conditions_judge(const struct http_conditions *conditions, const unsigned char *data,
                                        const struct http_stored *stored);

#endif
