/* The bytes of the plain encoding, for the files that write and read it; what they mean stands in `codec/plain.py`. */
#ifndef CATZILLA_CODEC_FORMAT_H
#define CATZILLA_CODEC_FORMAT_H

#include "codec.h"

enum codec_tag {
    TAG_NONE = 0x01,
    TAG_FALSE = 0x02,
    TAG_TRUE = 0x03,
    TAG_FLOAT = 0x04,
    TAG_BYTES = 0x05,
    TAG_TEXT = 0x06,
    TAG_TEXT_WITH_SURROGATES = 0x07,
    TAG_BYTEARRAY = 0x08,
    TAG_LARGE_POSITIVE = 0x09,
    TAG_LARGE_NEGATIVE = 0x0a,
    TAG_LIST = 0x0b,
    TAG_TUPLE = 0x0c,
    TAG_SET = 0x0d,
    TAG_FROZENSET = 0x0e,
    TAG_DICT = 0x0f,
    /* Inside containers only: numbers of 1 to 8 bytes, short text, small numbers. */
    TAG_POSITIVE = 0x10,
    TAG_NEGATIVE = 0x18,
    TAG_SHORT_TEXT = 0x40,
    TAG_SMALL = 0x80,
};

enum {
    SHORT_TEXT_LEN = 63,
    SMALL_LEAST = -16,
    SMALL_MOST = 111,
    /* The interpreter's own default: what is nested deeper cannot be compared or printed either. */
    MAX_DEPTH = 1000,
    /* Containers open at once before memory is asked for. Arbitrary: most values have two or three. */
    FIRST_DEPTH = 12,
};

/* A number of 64 bits by itself is its decimal digits, so that the engine can count it up and down. */
enum { MOST_DIGITS = 20 };

/* Appends a scalar in the form that it has inside a container: 1. 0: it is none; -1 with an exception. */
int codec_put_scalar(struct codec_buffer *out, PyObject *value);

/* Appends a text, and bytes as hexadecimal digits. 1, or -1 with an exception. */
int codec_put_hex(struct codec_buffer *out, const char *text, size_t text_len, const unsigned char *bytes, size_t len);

/* Raises the class of that name. Returns -1. */
int codec_raise(const char *module, const char *name, const char *format, ...);

#endif
