/* What the two files that write the plain encoding share. */
#ifndef CATZILLA_CODEC_WRITER_H
#define CATZILLA_CODEC_WRITER_H

#include "codec_format.h"

/* A larger buffer: where `more` bytes can be written, or NULL with an exception. */
unsigned char *codec_grow(struct codec_buffer *out, size_t more);

/* Where `more` bytes can be written; they count when `len` is moved. */
static inline unsigned char *room(struct codec_buffer *out, size_t more)
{
    if (more <= out->capacity - out->len)
        return out->data + out->len;
    return codec_grow(out, more);
}

/* Seven bits a byte, the lowest first, the top bit on all but the last. */
enum { MOST_LENGTH_BYTES = 10 };

static inline unsigned char *write_length(unsigned char *at, size_t length)
{
    while (length >= 0x80) {
        *at++ = (unsigned char)(length | 0x80);
        length >>= 7;
    }
    *at++ = (unsigned char)length;
    return at;
}

/* What `codec_put_value` says of a container, beside 1, 0 and -1. */
enum { IS_CONTAINER = 2 };

/* Appends a value that is no container: 1. 0: it is not plain; -1 with an exception; IS_CONTAINER: nothing was appended. */
int codec_put_value(struct codec_buffer *out, PyObject *value, int alone);

/* Appends a container with all that is in it: 1. 0: it, or something in it, is not plain; -1 with an exception. */
int codec_put_container(struct codec_buffer *out, PyObject *container);

#endif
