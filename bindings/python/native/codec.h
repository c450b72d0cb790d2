/* Values of the plain encoding to bytes and back. */
#ifndef CATZILLA_NATIVE_CODEC_H
#define CATZILLA_NATIVE_CODEC_H

#include "native.h"

struct codec_buffer {
    unsigned char *data; /* begins at `small`, moves when it grows */
    size_t len, capacity;
    unsigned char small[512];
};

void codec_buffer_init(struct codec_buffer *buffer);
void codec_buffer_free(struct codec_buffer *buffer);

/* 1: encoded; 0: not plain, no exception is set; -1: exception. */
int codec_encode(PyObject *value, struct codec_buffer *out);

/* Whether decoding makes no container: it runs no Python code then, and begins no collection. */
int codec_is_scalar(unsigned char tag);
int codec_is_plain(unsigned char tag);

/* A new reference, or NULL with an exception. */
PyObject *codec_decode(const unsigned char *data, size_t len);

#endif
