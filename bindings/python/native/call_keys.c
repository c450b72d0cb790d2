#include "call_keys.h"

#include "blake2b.h"
#include "codec_format.h"

#include <string.h>

/* What the maker of a function's keys knows: the items of the tuple that is its `self`. */
enum { PREFIX, IDENTITY, NAMES, DEFAULTS, MISSING, POSITIONAL, KNOWN };

static PyObject *none(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

/* The argument for a parameter, a borrowed reference kept by the call; NULL when there is none, or with an exception. */
static PyObject *argument(PyObject *known, PyObject *args, PyObject *kwargs, Py_ssize_t place, Py_ssize_t given, Py_ssize_t *used)
{
    if (place < given)
        return PyTuple_GetItem(args, place);
    if (kwargs != NULL) {
        PyObject *name = PyTuple_GetItem(PyTuple_GetItem(known, NAMES), place);
        PyObject *value = PyDict_GetItemWithError(kwargs, name);
        if (value != NULL)
            ++*used;
        if (value != NULL || PyErr_Occurred())
            return value;
    }
    PyObject *value = PyTuple_GetItem(PyTuple_GetItem(known, DEFAULTS), place);
    return value == PyTuple_GetItem(known, MISSING) ? NULL : value;
}

/* Identity, then the tuple of the bound arguments in the plain encoding. 1; 0 when that is not for here; -1 with an exception. */
static int bind(PyObject *known, PyObject *args, PyObject *kwargs, struct codec_buffer *out)
{
    Py_ssize_t parameters = PyTuple_Size(PyTuple_GetItem(known, NAMES));
    Py_ssize_t given = PyTuple_Size(args), used = 0;
    Py_ssize_t named = PyDict_Size(kwargs);
    if (given > PyLong_AsSsize_t(PyTuple_GetItem(known, POSITIONAL)))
        return 0;
    memcpy(out->data, PyBytes_AsString(PyTuple_GetItem(known, IDENTITY)), BLAKE2B_LEN);
    out->len = BLAKE2B_LEN;
    out->data[out->len++] = TAG_TUPLE;
    /* `call_keys` refuses more parameters than one byte counts. */
    out->data[out->len++] = (unsigned char)parameters;
    for (Py_ssize_t place = 0; place < parameters; place++) {
        PyObject *value = argument(known, args, named == 0 ? NULL : kwargs, place, given, &used);
        if (value == NULL)
            return PyErr_Occurred() ? -1 : 0;
        int done = codec_put_scalar(out, value);
        if (done <= 0)
            return done;
    }
    return used == named;
}

static PyObject *key(PyObject *known, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyTuple_Check(arguments[0]) || !PyDict_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "a call's key is made of a tuple and a dict");
        return NULL;
    }
    struct codec_buffer buffer;
    codec_buffer_init(&buffer);
    PyObject *made = NULL;
    int bound = bind(known, arguments[0], arguments[1], &buffer);
    if (bound > 0) {
        unsigned char hash[BLAKE2B_LEN];
        blake2b(buffer.data, buffer.len, hash);
        PyObject *prefix = PyTuple_GetItem(known, PREFIX);
        buffer.len = 0;
        if (codec_put_hex(&buffer, PyBytes_AsString(prefix), (size_t)PyBytes_Size(prefix), hash, BLAKE2B_LEN) > 0)
            made = PyUnicode_DecodeUTF8((const char *)buffer.data, (Py_ssize_t)buffer.len, NULL);
    } else if (bound == 0) {
        made = none();
    }
    codec_buffer_free(&buffer);
    return made;
}

static PyMethodDef maker = {
    "call_key", (PyCFunction)(void (*)(void))key, METH_FASTCALL,
    "call_key(args, kwargs)\n--\n\nThe key of a call, or None when not all arguments are scalars and one for each parameter.",
};

static PyObject *call_keys(PyObject *module, PyObject *known)
{
    (void)module;
    /* Only `keys.py` calls this. */
    if (!PyTuple_CheckExact(known) || PyTuple_Size(known) != KNOWN || !PyBytes_CheckExact(PyTuple_GetItem(known, PREFIX)) ||
        !PyBytes_CheckExact(PyTuple_GetItem(known, IDENTITY)) || PyBytes_Size(PyTuple_GetItem(known, IDENTITY)) != BLAKE2B_LEN ||
        !PyTuple_CheckExact(PyTuple_GetItem(known, NAMES)) || !PyTuple_CheckExact(PyTuple_GetItem(known, DEFAULTS)) ||
        PyTuple_Size(PyTuple_GetItem(known, NAMES)) != PyTuple_Size(PyTuple_GetItem(known, DEFAULTS)) ||
        !PyLong_CheckExact(PyTuple_GetItem(known, POSITIONAL))) {
        PyErr_SetString(PyExc_TypeError, "call_keys takes (prefix, identity, names, defaults, missing, positional)");
        return NULL;
    }
    if (PyTuple_Size(PyTuple_GetItem(known, NAMES)) >= 0x80)
        return none();
    return PyCFunction_NewEx(&maker, known, NULL);
}

static PyMethodDef functions[] = {
    {"call_keys", call_keys, METH_O, "call_keys(known)\n--\n\nThe builtin that makes a function's keys."},
    {NULL, NULL, 0, NULL},
};

int call_keys_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
