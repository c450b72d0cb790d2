/* What the two files that read the plain encoding share: where they are in the bytes, and each other. */
#ifndef CATZILLA_CODEC_READER_H
#define CATZILLA_CODEC_READER_H

#include "codec_format.h"

struct codec_reader {
    const unsigned char *start, *at, *end;
    size_t owed;        /* values that the open containers still expect */
    const char *reason; /* why the bytes are refused; an exception is made of it at the very end */
};

/* Keeps the reason. NULL, and no exception. */
static inline PyObject *refuse(struct codec_reader *reader, const char *reason)
{
    reader->reason = reason;
    return NULL;
}

static inline size_t remaining(const struct codec_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* A length or count. 0, or -1 with a reason. */
int codec_read_length(struct codec_reader *reader, size_t *length);

/* A scalar inside a container, whose tag was read: a new reference, or NULL with a reason or an exception. */
PyObject *codec_read_inside(struct codec_reader *reader, unsigned char tag, int is_key);

/* A container whose tag was read: a new reference, or NULL with a reason or an exception. */
PyObject *codec_read_container(struct codec_reader *reader, unsigned char tag);

#endif
