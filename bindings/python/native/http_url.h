/* The parts of a key that come from a URL: for `http_key.c`. Each is what `keys.py` makes of it, byte for byte. */
#ifndef CATZILLA_HTTP_URL_H
#define CATZILLA_HTTP_URL_H

#include "http_names.h"
#include "http_text.h"

/* Longest parts, in bytes; what is beyond is left to Python. The first two are those of `keys.py`, where longer ones are hashed.
 */
enum {
    LONGEST_PATH = 1024,
    LONGEST_QUERY = 1024,
    /* A host name has 253 at most (RFC 1035 section 2.3.4), a port five. */
    LONGEST_AUTHORITY = 260,
    /* Arbitrary: far more than ordinary requests have. */
    MOST_PARAMETERS = 64,
};

/* Host and port: `authority`. 0: that is none, or an empty one. */
int http_put_authority(struct http_writer *out, const unsigned char *data, size_t len, int is_secure);

/* The path as it came. 0: there is none, it is too long, or no path. */
int http_put_path(struct http_writer *out, const unsigned char *data, size_t len);

/* The question mark, and the query: `normalised_query`. Nothing if that is empty. 0: too long, no query, or too many parameters. */
int http_put_query(struct http_writer *out, const unsigned char *data, size_t len, const struct http_names *ignored);

/* Whether a decoded path has no segment of dots: `is_plain_path`. */
int http_is_plain_path(const unsigned char *path, size_t len);

/* Whether one path is the other, percent-encoded. */
int http_is_encoded(struct http_text raw, struct http_text path);

#endif
