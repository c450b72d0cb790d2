#include "call_keys.h"
#include "codec_format.h"

#include <stdarg.h>

void codec_buffer_init(struct codec_buffer *buffer)
{
    buffer->data = buffer->small;
    buffer->len = 0;
    buffer->capacity = sizeof buffer->small;
}

void codec_buffer_free(struct codec_buffer *buffer)
{
    if (buffer->data != buffer->small)
        PyMem_Free(buffer->data);
    buffer->data = NULL;
}

int codec_is_scalar(unsigned char tag)
{
    return (tag >= TAG_NONE && tag <= TAG_TEXT) || tag == TAG_LARGE_POSITIVE || tag == TAG_LARGE_NEGATIVE || tag == '-' ||
           (tag >= '0' && tag <= '9');
}

int codec_is_plain(unsigned char tag)
{
    return (tag >= TAG_NONE && tag <= TAG_DICT) || tag == '-' || (tag >= '0' && tag <= '9');
}

int codec_raise(const char *module, const char *name, const char *format, ...)
{
    /* Looked up when it is needed, which is seldom: the classes are Python's. */
    PyObject *imported = PyImport_ImportModule(module);
    PyObject *class = imported == NULL ? NULL : PyObject_GetAttrString(imported, name);
    Py_XDECREF(imported);
    if (class == NULL)
        return -1;
    va_list arguments;
    va_start(arguments, format);
    PyErr_FormatV(class, format, arguments);
    va_end(arguments);
    Py_DECREF(class);
    return -1;
}

static PyObject *encode(PyObject *module, PyObject *value)
{
    (void)module;
    struct codec_buffer buffer;
    codec_buffer_init(&buffer);
    PyObject *encoded = NULL;
    int plain = codec_encode(value, &buffer);
    if (plain > 0) {
        encoded = PyBytes_FromStringAndSize((const char *)buffer.data, (Py_ssize_t)buffer.len);
    } else if (plain == 0) {
        Py_INCREF(Py_None);
        encoded = Py_None;
    }
    codec_buffer_free(&buffer);
    return encoded;
}

static PyObject *decode(PyObject *module, PyObject *data)
{
    (void)module;
    if (!PyBytes_Check(data))
        return PyErr_Format(PyExc_TypeError, "an encoded value is bytes, not %R", (PyObject *)Py_TYPE(data));
    return codec_decode((const unsigned char *)PyBytes_AsString(data), (size_t)PyBytes_Size(data));
}

static PyMethodDef functions[] = {
    {"encode", encode, METH_O, "encode(value)\n--\n\nThe value's bytes in the plain encoding, or None when it is not plain."},
    {"decode", decode, METH_O, "decode(data)\n--\n\nThe value of bytes in the plain encoding; codec.Refused when they are not."},
    {NULL, NULL, 0, NULL},
};

int codec_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, functions) < 0 ? -1 : call_keys_add_to(module);
}
