/*
 * The plain encoding: str, bytes, bytearray, int, float, bool, None, and lists, tuples, sets, frozensets and dicts of them, to
 * bytes and back. Reading is safe whoever wrote the bytes. `codec/plain.py` is the same in Python, byte for byte, and says what
 * the bytes are. For `engine.c`, which makes objects straight from an entry's memory, and as the builtins `encode` and `decode`.
 */
#ifndef CATZILLA_CODEC_H
#define CATZILLA_CODEC_H

#include "native.h"

/* Where an encoded value grows; `data` and `len` are the result. Not to be copied: `data` may point to `small`. */
struct codec_buffer {
    unsigned char *data;
    size_t len, capacity;
    unsigned char small[512];
};

void codec_buffer_init(struct codec_buffer *buffer);
void codec_buffer_free(struct codec_buffer *buffer);

/*
 * Appends a value: 1. A value that is not plain: 0, with no exception, and with anything behind the former end. -1 with an
 * exception: no memory, nested too deeply, changed meanwhile. Calls no Python code, but may make objects, and so a collection
 * may run.
 */
int codec_encode(PyObject *value, struct codec_buffer *out);

/* Whether the first byte is that of a str, bytes, int, float, bool or None, which `codec_decode_scalar` reads. */
int codec_is_scalar(unsigned char tag);

/* Whether the first byte is one of the plain encoding at all. */
int codec_is_plain(unsigned char tag);

/* The object, a new reference; or NULL with an exception: `codec.Refused` for bytes that `codec_encode` would not have made. */
PyObject *codec_decode(const unsigned char *data, size_t len);

/*
 * The same for a scalar, and then making its object cannot run a collection or any other foreign code: the caller may hold what
 * it likes. NULL without an exception: damaged; ask `codec_decode` for the exception when nothing is held any more. NULL with
 * one: no memory.
 */
PyObject *codec_decode_scalar(const unsigned char *data, size_t len);

#endif
