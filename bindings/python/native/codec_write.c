/* Objects to bytes: what has no members. */
#include "codec_writer.h"

#include <string.h>

/* A longer text is encoded into a copy: CPython keeps the UTF-8 of a text that it is asked for as long as the text lives, which
   the caller's memory should not notice. Shorter ones, most of them ASCII, which costs nothing, are worth it. */
static const Py_ssize_t LONGEST_KEPT_UTF8 = 4096;

unsigned char *codec_grow(struct codec_buffer *out, size_t more)
{
    if (more > (size_t)PY_SSIZE_T_MAX / 2 - out->len) {
        PyErr_NoMemory();
        return NULL;
    }
    size_t capacity = out->capacity * 2;
    if (capacity < out->len + more)
        capacity = out->len + more;
    unsigned char *data = out->data == out->small ? PyMem_Malloc(capacity) : PyMem_Realloc(out->data, capacity);
    if (data == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (out->data == out->small)
        memcpy(data, out->small, out->len);
    out->data = data;
    out->capacity = capacity;
    return data + out->len;
}

static inline int put_byte(struct codec_buffer *out, unsigned char byte)
{
    unsigned char *at = room(out, 1);
    if (at == NULL)
        return -1;
    *at = byte;
    out->len += 1;
    return 1;
}

/* Tag, length unless the value is by itself, and bytes. */
static int put_run(struct codec_buffer *out, unsigned char tag, const void *bytes, size_t len, int alone)
{
    unsigned char *at = room(out, 1 + MOST_LENGTH_BYTES + len);
    if (at == NULL)
        return -1;
    unsigned char *start = at;
    *at++ = tag;
    if (!alone)
        at = write_length(at, len);
    memcpy(at, bytes, len);
    out->len += (size_t)(at - start) + len;
    return 1;
}

static int put_utf8(struct codec_buffer *out, const char *utf8, size_t len, int alone)
{
    if (alone || len > SHORT_TEXT_LEN)
        return put_run(out, TAG_TEXT, utf8, len, alone);
    unsigned char *at = room(out, 1 + SHORT_TEXT_LEN);
    if (at == NULL)
        return -1;
    at[0] = (unsigned char)(TAG_SHORT_TEXT + len);
    memcpy(at + 1, utf8, len);
    out->len += 1 + len;
    return 1;
}

static int put_encoded_text(struct codec_buffer *out, PyObject *encoded, unsigned char tag, int alone)
{
    if (encoded == NULL)
        return -1;
    const char *bytes = PyBytes_AsString(encoded);
    size_t len = (size_t)PyBytes_Size(encoded);
    int done = tag == TAG_TEXT ? put_utf8(out, bytes, len, alone) : put_run(out, tag, bytes, len, alone);
    Py_DECREF(encoded);
    return done;
}

static int put_text(struct codec_buffer *out, PyObject *text, int alone)
{
    if (PyUnicode_GetLength(text) <= LONGEST_KEPT_UTF8) {
        Py_ssize_t len;
        const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
        if (utf8 != NULL)
            return put_utf8(out, utf8, (size_t)len, alone);
    } else {
        PyObject *encoded = PyUnicode_AsUTF8String(text);
        if (encoded != NULL)
            return put_encoded_text(out, encoded, TAG_TEXT, alone);
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return -1;
    PyErr_Clear();
    return put_encoded_text(out, PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"), TAG_TEXT_WITH_SURROGATES, alone);
}

static int nibble(char character)
{
    return character <= '9' ? character - '0' : character - 'a' + 10;
}

/* A number that does not fit into 64 bits, by way of its hexadecimal digits, which CPython makes in linear time. */
static int put_large(struct codec_buffer *out, PyObject *number, int alone)
{
    PyObject *hexadecimal = PyNumber_ToBase(number, 16);
    if (hexadecimal == NULL)
        return -1;
    Py_ssize_t digits;
    const char *from = PyUnicode_AsUTF8AndSize(hexadecimal, &digits);
    if (from == NULL) {
        Py_DECREF(hexadecimal);
        return -1;
    }
    const char *end = from + digits;
    int negative = from[0] == '-';
    from += negative + 2;
    size_t len = (size_t)(end - from + 1) / 2;
    unsigned char *at = room(out, 1 + MOST_LENGTH_BYTES + len);
    if (at == NULL) {
        Py_DECREF(hexadecimal);
        return -1;
    }
    unsigned char *start = at;
    if (!alone && len <= 8) {
        *at++ = (unsigned char)((negative ? TAG_NEGATIVE : TAG_POSITIVE) + len - 1);
    } else {
        *at++ = negative ? TAG_LARGE_NEGATIVE : TAG_LARGE_POSITIVE;
        if (!alone)
            at = write_length(at, len);
    }
    if ((end - from) % 2 != 0)
        *at++ = (unsigned char)nibble(*from++);
    for (; from < end; from += 2)
        *at++ = (unsigned char)(nibble(from[0]) << 4 | nibble(from[1]));
    out->len += (size_t)(at - start);
    Py_DECREF(hexadecimal);
    return 1;
}

static int put_number(struct codec_buffer *out, PyObject *number, int alone)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0)
        return put_large(out, number, alone);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (!alone && value >= SMALL_LEAST && value <= SMALL_MOST)
        return put_byte(out, (unsigned char)(TAG_SMALL + (value - SMALL_LEAST)));

    unsigned long long magnitude = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    unsigned char reversed[MOST_DIGITS];
    size_t len = 0;
    unsigned char first;
    if (alone) {
        do {
            reversed[len++] = (unsigned char)('0' + magnitude % 10);
            magnitude /= 10;
        } while (magnitude != 0);
        first = '-';
    } else {
        do {
            reversed[len++] = (unsigned char)magnitude;
            magnitude >>= 8;
        } while (magnitude != 0);
        first = (unsigned char)((value < 0 ? TAG_NEGATIVE : TAG_POSITIVE) + len - 1);
    }
    unsigned char *at = room(out, 1 + len);
    if (at == NULL)
        return -1;
    out->len += len;
    if (!alone || value < 0) {
        *at++ = first;
        out->len += 1;
    }
    while (len > 0)
        *at++ = reversed[--len];
    return 1;
}

static int put_float(struct codec_buffer *out, PyObject *number)
{
    double value = PyFloat_AsDouble(number);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    unsigned char *at = room(out, 9);
    if (at == NULL)
        return -1;
    *at++ = TAG_FLOAT;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (unsigned char)(bits >> shift);
    out->len += 9;
    return 1;
}

static int put_bytearray(struct codec_buffer *out, PyObject *bytes, int alone)
{
#ifdef Py_GIL_DISABLED
    /* While a buffer is lent nobody can resize it; up to 3.13 those are not counted under the object's lock. */
    int done = -1;
    Py_BEGIN_CRITICAL_SECTION(bytes);
    Py_buffer view;
    if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) == 0) {
        done = put_run(out, TAG_BYTEARRAY, view.buf, (size_t)view.len, alone);
        PyBuffer_Release(&view);
    }
    Py_END_CRITICAL_SECTION();
    return done;
#else
    return put_run(out, TAG_BYTEARRAY, PyByteArray_AsString(bytes), (size_t)PyByteArray_Size(bytes), alone);
#endif
}

int codec_put_value(struct codec_buffer *out, PyObject *value, int alone)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyUnicode_Type)
        return put_text(out, value, alone);
    if (type == &PyLong_Type)
        return put_number(out, value, alone);
    if (type == &PyBytes_Type)
        return put_run(out, TAG_BYTES, PyBytes_AsString(value), (size_t)PyBytes_Size(value), alone);
    if (value == Py_None)
        return put_byte(out, TAG_NONE);
    if (type == &PyFloat_Type)
        return put_float(out, value);
    if (value == Py_True)
        return put_byte(out, TAG_TRUE);
    if (value == Py_False)
        return put_byte(out, TAG_FALSE);
    if (type == &PyDict_Type || type == &PyList_Type || type == &PyTuple_Type || type == &PySet_Type || type == &PyFrozenSet_Type)
        return IS_CONTAINER;
    if (type == &PyByteArray_Type)
        return put_bytearray(out, value, alone);
    return 0;
}

int codec_encode(PyObject *value, struct codec_buffer *out)
{
    int done = codec_put_value(out, value, 1);
    return done == IS_CONTAINER ? codec_put_container(out, value) : done;
}

int codec_put_scalar(struct codec_buffer *out, PyObject *value)
{
    if (Py_TYPE(value) == &PyByteArray_Type)
        return 0;
    int done = codec_put_value(out, value, 0);
    return done == IS_CONTAINER ? 0 : done;
}

int codec_put_hex(struct codec_buffer *out, const char *text, size_t text_len, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char *at = room(out, text_len + 2 * len);
    if (at == NULL)
        return -1;
    memcpy(at, text, text_len);
    at += text_len;
    for (size_t index = 0; index < len; index++) {
        *at++ = (unsigned char)digits[bytes[index] >> 4];
        *at++ = (unsigned char)digits[bytes[index] & 15];
    }
    out->len += text_len + 2 * len;
    return 1;
}
