/*
 * Bytes to objects, whoever wrote the bytes: what has no members. A declared length is believed only as far as bytes are left.
 * What `codec_write.c` would not have written is refused: longer forms of lengths and numbers, anything behind the end.
 */
#include "codec_reader.h"

#include <string.h>

int codec_read_length(struct codec_reader *reader, size_t *length)
{
    const unsigned char *at = reader->at;
    if (at < reader->end && *at < 0x80) {
        *length = *at;
        reader->at = at + 1;
        return 0;
    }
    size_t value = 0;
    unsigned shift = 0;
    for (;;) {
        if (at == reader->end) {
            refuse(reader, "it ends inside a length");
            return -1;
        }
        /* 9 bytes of 7 bits are more than any memory holds. */
        if (shift == 63) {
            refuse(reader, "a length has too many bytes");
            return -1;
        }
        unsigned char byte = *at++;
        value |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0) {
                refuse(reader, "a length has more bytes than it needs");
                return -1;
            }
            break;
        }
        shift += 7;
    }
    *length = value;
    reader->at = at;
    return 0;
}

/* The bytes of a run: all that are left for a value by itself, else as many as its length says. NULL with a reason. */
static inline const unsigned char *read_run(struct codec_reader *reader, size_t *len, int alone)
{
    if (alone)
        *len = remaining(reader);
    else if (codec_read_length(reader, len) < 0)
        return NULL;
    if (*len > remaining(reader)) {
        refuse(reader, "it ends inside a value");
        return NULL;
    }
    const unsigned char *run = reader->at;
    reader->at += *len;
    return run;
}

/* Whether bytes are the UTF-8 of a text without surrogates, as the Unicode standard's table of well-formed sequences has it. */
static int is_utf8(const unsigned char *at, size_t len)
{
    const unsigned char *end = at + len;
    for (;;) {
        uint64_t word;
        while ((size_t)(end - at) >= sizeof word) {
            memcpy(&word, at, sizeof word);
            if (word & UINT64_C(0x8080808080808080))
                break;
            at += sizeof word;
        }
        while (at < end && *at < 0x80)
            at++;
        if (at == end)
            return 1;
        unsigned char lead = *at++, least = 0x80, most = 0xbf;
        int more;
        if (lead >= 0xc2 && lead <= 0xdf) {
            more = 1;
        } else if (lead >= 0xe0 && lead <= 0xef) {
            more = 2;
            least = lead == 0xe0 ? 0xa0 : 0x80;
            most = lead == 0xed ? 0x9f : 0xbf;
        } else if (lead >= 0xf0 && lead <= 0xf4) {
            more = 3;
            least = lead == 0xf0 ? 0x90 : 0x80;
            most = lead == 0xf4 ? 0x8f : 0xbf;
        } else {
            return 0;
        }
        for (; more > 0; more--, least = 0x80, most = 0xbf) {
            if (at == end || *at < least || *at > most)
                return 0;
            at++;
        }
    }
}

static const char NOT_UTF8[] = "a text is not UTF-8";

static PyObject *make_text(struct codec_reader *reader, const unsigned char *run, size_t len)
{
    PyObject *text = PyUnicode_DecodeUTF8((const char *)run, (Py_ssize_t)len, NULL);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return refuse(reader, NOT_UTF8);
    }
    return text;
}

static PyObject *read_text_with_surrogates(struct codec_reader *reader, int alone)
{
    size_t len;
    const unsigned char *run = read_run(reader, &len, alone);
    if (run == NULL)
        return NULL;
    if (is_utf8(run, len))
        return refuse(reader, "a text is marked as one with surrogates and has none");
    PyObject *text = PyUnicode_DecodeUTF8((const char *)run, (Py_ssize_t)len, "surrogatepass");
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return refuse(reader, NOT_UTF8);
    }
    return text;
}

/* By way of hexadecimal digits: linear, and nothing but the number is made. */
static PyObject *make_large(const unsigned char *magnitude, size_t len, int negative)
{
    static const char digits[] = "0123456789abcdef";
    char small[64], *text = small;
    size_t size = 2 * len + 2;
    if (len > (size_t)PY_SSIZE_T_MAX / 4)
        return PyErr_NoMemory();
    if (size > sizeof small && (text = PyMem_Malloc(size)) == NULL)
        return PyErr_NoMemory();
    char *at = text;
    if (negative)
        *at++ = '-';
    for (size_t index = 0; index < len; index++) {
        *at++ = digits[magnitude[index] >> 4];
        *at++ = digits[magnitude[index] & 15];
    }
    *at = '\0';
    PyObject *number = PyLong_FromString(text, NULL, 16);
    if (text != small)
        PyMem_Free(text);
    return number;
}

static const char LONG_NUMBER[] = "a number has a longer form than it needs";

static PyObject *read_large(struct codec_reader *reader, int negative, int alone)
{
    size_t len;
    const unsigned char *run = read_run(reader, &len, alone);
    if (run == NULL)
        return NULL;
    if (len < 8 || run[0] == 0 || (!alone && len == 8))
        return refuse(reader, LONG_NUMBER);
    if (len == 8) {
        /* By itself it has digits if it fits into 64 bits. */
        static const unsigned char least[8] = {0x80};
        if (run[0] < 0x80 || (negative && memcmp(run, least, 8) == 0))
            return refuse(reader, LONG_NUMBER);
    }
    return make_large(run, len, negative);
}

/* A number of 1 to 8 bytes inside a container. */
static PyObject *read_number(struct codec_reader *reader, unsigned char tag)
{
    int negative = tag >= TAG_NEGATIVE;
    size_t len = (size_t)(tag - (negative ? TAG_NEGATIVE : TAG_POSITIVE)) + 1;
    if (len > remaining(reader))
        return refuse(reader, "it ends inside a value");
    const unsigned char *run = reader->at;
    reader->at += len;
    unsigned long long magnitude = 0;
    for (size_t index = 0; index < len; index++)
        magnitude = magnitude << 8 | run[index];
    if (run[0] == 0 || magnitude <= (unsigned long long)(negative ? -SMALL_LEAST : SMALL_MOST))
        return refuse(reader, LONG_NUMBER);
    if (!negative)
        return PyLong_FromUnsignedLongLong(magnitude);
    if (magnitude - 1 <= (unsigned long long)PY_LLONG_MAX)
        return PyLong_FromLongLong(-(long long)(magnitude - 1) - 1);
    return make_large(run, len, 1);
}

static const char NOT_DIGITS[] = "a number by itself is not the digits of 64 bits";

/* A number by itself: decimal digits, without zeros before them, perhaps after a minus. */
static PyObject *read_digits(struct codec_reader *reader)
{
    const unsigned char *at = reader->at;
    int negative = *at == '-';
    at += negative;
    size_t len = (size_t)(reader->end - at);
    /* 19 digits fit into an unsigned number of 64 bits; more than that cannot fit into a signed one. */
    if (len == 0 || len > 19 || (at[0] == '0' && (negative || len > 1)))
        return refuse(reader, NOT_DIGITS);
    unsigned long long magnitude = 0;
    for (; at < reader->end; at++) {
        if (*at < '0' || *at > '9')
            return refuse(reader, NOT_DIGITS);
        magnitude = magnitude * 10 + (unsigned long long)(*at - '0');
    }
    if (magnitude > (unsigned long long)PY_LLONG_MAX + (unsigned long long)negative)
        return refuse(reader, NOT_DIGITS);
    reader->at = reader->end;
    return PyLong_FromLongLong(negative ? -(long long)(magnitude - 1) - 1 : (long long)magnitude);
}

static PyObject *read_float(struct codec_reader *reader)
{
    if (remaining(reader) < 8)
        return refuse(reader, "it ends inside a value");
    uint64_t bits = 0;
    for (int index = 0; index < 8; index++)
        bits = bits << 8 | reader->at[index];
    reader->at += 8;
    double value;
    memcpy(&value, &bits, sizeof value);
    return PyFloat_FromDouble(value);
}

static PyObject *constant(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

/* What has one form by itself and inside a container, but for the length. */
static inline PyObject *read_common(struct codec_reader *reader, unsigned char tag, int alone)
{
    size_t len;
    const unsigned char *run;
    switch (tag) {
    case TAG_NONE:
        return constant(Py_None);
    case TAG_FALSE:
        return constant(Py_False);
    case TAG_TRUE:
        return constant(Py_True);
    case TAG_FLOAT:
        return read_float(reader);
    case TAG_BYTES:
        run = read_run(reader, &len, alone);
        return run == NULL ? NULL : PyBytes_FromStringAndSize((const char *)run, (Py_ssize_t)len);
    case TAG_BYTEARRAY:
        run = read_run(reader, &len, alone);
        return run == NULL ? NULL : PyByteArray_FromStringAndSize((const char *)run, (Py_ssize_t)len);
    case TAG_TEXT:
        run = read_run(reader, &len, alone);
        if (run == NULL)
            return NULL;
        if (!alone && len <= SHORT_TEXT_LEN)
            return refuse(reader, "a short text has the form of a long one");
        if (!alone)
            return make_text(reader, run, len);
        /* Checked first, so that nothing can fail that would make an exception. */
        return is_utf8(run, len) ? PyUnicode_DecodeUTF8((const char *)run, (Py_ssize_t)len, NULL) : refuse(reader, NOT_UTF8);
    case TAG_TEXT_WITH_SURROGATES:
        return read_text_with_surrogates(reader, alone);
    case TAG_LARGE_POSITIVE:
    case TAG_LARGE_NEGATIVE:
        return read_large(reader, tag == TAG_LARGE_NEGATIVE, alone);
    default:
        return refuse(reader, "it has an unknown tag");
    }
}

#ifndef Py_GIL_DISABLED
/*
 * Keys of dicts that were read last, by their bytes: the dicts of a program have few different keys, and one that is there
 * already needs no memory, no decoding and no new hash. Under the interpreter's lock; 512 places and no key above 24 bytes, both
 * arbitrary, bound what it holds to some tens of KiB for good.
 */
enum { KNOWN_KEYS = 512, LONGEST_KNOWN_KEY = 24 };

static struct {
    PyObject *text;
    unsigned char len, bytes[LONGEST_KNOWN_KEY];
} known_keys[KNOWN_KEYS];

static PyObject *read_key(struct codec_reader *reader, const unsigned char *run, size_t len)
{
    /* FNV-1a. Whoever makes keys that meet in one place makes them as slow as they are without this. */
    uint32_t hash = UINT32_C(2166136261);
    for (size_t index = 0; index < len; index++)
        hash = (hash ^ run[index]) * UINT32_C(16777619);
    size_t place = (hash ^ hash >> 16) % KNOWN_KEYS;
    PyObject *text = known_keys[place].text;
    if (text == NULL || known_keys[place].len != len || memcmp(known_keys[place].bytes, run, len) != 0) {
        text = make_text(reader, run, len);
        if (text == NULL)
            return NULL;
        /* Dropping the former one runs nothing: it is a str. */
        Py_XDECREF(known_keys[place].text);
        known_keys[place].text = text;
        known_keys[place].len = (unsigned char)len;
        memcpy(known_keys[place].bytes, run, len);
    }
    Py_INCREF(text);
    return text;
}
#endif

PyObject *codec_read_inside(struct codec_reader *reader, unsigned char tag, int is_key)
{
    if (tag >= TAG_SMALL)
        return PyLong_FromLong((long)tag - TAG_SMALL + SMALL_LEAST);
    if (tag >= TAG_SHORT_TEXT) {
        size_t len = (size_t)(tag - TAG_SHORT_TEXT);
        if (len > remaining(reader))
            return refuse(reader, "it ends inside a value");
        const unsigned char *run = reader->at;
        reader->at += len;
#ifndef Py_GIL_DISABLED
        if (is_key && len <= LONGEST_KNOWN_KEY)
            return read_key(reader, run, len);
#else
        (void)is_key;
#endif
        return make_text(reader, run, len);
    }
    if (tag >= TAG_POSITIVE && tag < TAG_NEGATIVE + 8)
        return read_number(reader, tag);
    return read_common(reader, tag, 0);
}

static PyObject *read_alone(struct codec_reader *reader)
{
    if (reader->at == reader->end)
        return refuse(reader, "it is empty");
    unsigned char tag = *reader->at;
    if (tag == '-' || (tag >= '0' && tag <= '9'))
        return read_digits(reader);
    reader->at++;
    PyObject *value = tag >= TAG_LIST && tag <= TAG_DICT ? codec_read_container(reader, tag) : read_common(reader, tag, 1);
    if (value != NULL && reader->at != reader->end) {
        Py_DECREF(value);
        return refuse(reader, "something stands behind its end");
    }
    return value;
}

PyObject *codec_decode_scalar(const unsigned char *data, size_t len)
{
    struct codec_reader reader = {data, data, data + len, 0, NULL};
    return len > 0 && codec_is_scalar(data[0]) ? read_alone(&reader) : NULL;
}

PyObject *codec_decode(const unsigned char *data, size_t len)
{
    struct codec_reader reader = {data, data, data + len, 0, NULL};
    PyObject *value = read_alone(&reader);
    if (value == NULL && reader.reason != NULL)
        codec_raise("catzilla_cache.codec.plain", "Refused", "a stored value is damaged at byte %zd: %s",
                    (Py_ssize_t)(reader.at - reader.start), reader.reason);
    return value;
}
