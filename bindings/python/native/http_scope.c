/* Reads requests from ASGI scopes: for `http_key.c`. */
#include "http_key.h"
#include "http_text.h"

#ifdef Py_GIL_DISABLED
/* A list within a list could be changed by another thread: only what cannot change is read. */
#define CAN_BE_LIST 0
#else
#define CAN_BE_LIST 1
#endif

enum part { PART_TYPE, PART_METHOD, PART_SCHEME, PART_PATH, PART_RAW_PATH, PART_QUERY, PART_HEADERS, PARTS };

static const char *const PART_NAMES[PARTS] = {"type", "method", "scheme", "path", "raw_path", "query_string", "headers"};
static PyObject *part_names[PARTS];
PyObject *http_words[WORDS];
/* Where in an object of bytes these begin, as PyBytes_AsString has said of one: of all, since it is a part of the object. */
static size_t bytes_begin;
/* Where in a tuple its items begin: behind what its type says is the size of an empty one. 0: a tuple that was looked at has them elsewhere. */
static size_t items_begin;

/* ---- Fields ---- */

static inline struct http_text bytes_of(PyObject *object)
{
    return (struct http_text){(const unsigned char *)object + bytes_begin, (size_t)Py_SIZE(object)};
}

static inline PyObject *item_of(PyObject *tuple, Py_ssize_t at)
{
    return items_begin != 0 ? ((PyObject **)((char *)tuple + items_begin))[at] : PyTuple_GetItem(tuple, at);
}

/* A field line of the request. 0: it is not an ordinary one. */
static inline int read_line(const struct http_key_maker *maker, PyObject *name, PyObject *value, struct http_request *request)
{
    if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value))
        return 0;
    struct http_text text = bytes_of(name);
    const struct http_name *found = http_names_find(&maker->fields, text.data, text.len);
    if (found == NULL)
        return !has_capitals(text.data, text.len);
    text = bytes_of(value);
    return http_request_add(request, found, text.data, text.len);
}

static inline int read_pair(const struct http_key_maker *maker, PyObject *pair, struct http_request *request)
{
    PyObject *name, *value;
    if (PyTuple_CheckExact(pair) && Py_SIZE(pair) == 2) {
        name = item_of(pair, 0);
        value = item_of(pair, 1);
    } else if (CAN_BE_LIST && PyList_CheckExact(pair) && Py_SIZE(pair) == 2) {
        name = PyList_GetItem(pair, 0);
        value = PyList_GetItem(pair, 1);
    } else {
        return 0;
    }
    return read_line(maker, name, value, request);
}

static int read_lines(const struct http_key_maker *maker, PyObject *headers, struct http_request *request)
{
    int is_list = PyList_CheckExact(headers);
    if (!is_list && !PyTuple_CheckExact(headers))
        return 0;
    Py_ssize_t count = Py_SIZE(headers);
    for (Py_ssize_t at = 0; at < count; at++)
        if (!read_pair(maker, is_list ? PyList_GetItem(headers, at) : item_of(headers, at), request))
            return 0;
    return 1;
}

/* ---- The scope ---- */

/* A new reference to a part of the scope; NULL when there is none. */
static PyObject *part_of(PyObject *scope, enum part part)
{
    PyObject *found;
#ifdef Py_GIL_DISABLED
    if (PyDict_GetItemRef(scope, part_names[part], &found) < 0)
        PyErr_Clear();
#else
    found = PyDict_GetItemWithError(scope, part_names[part]);
    if (found != NULL)
        Py_INCREF(found);
    else if (PyErr_Occurred())
        PyErr_Clear();
#endif
    return found;
}

static int make(const struct http_key_maker *maker, PyObject *const *parts, struct http_key *key)
{
    struct http_request request;
    http_request_begin(&request, key);
    if (!http_is_text(parts[PART_TYPE], WORD_HTTP) || !http_request_line(&request, parts[PART_METHOD], parts[PART_SCHEME]))
        return 0;
    PyObject *path = parts[PART_PATH], *raw_path = parts[PART_RAW_PATH], *query = parts[PART_QUERY],
             *headers = parts[PART_HEADERS];
    if (path == NULL || !PyUnicode_CheckExact(path) || raw_path == NULL || !PyBytes_CheckExact(raw_path) || headers == NULL ||
        (query != NULL && !PyBytes_CheckExact(query)))
        return 0;
    Py_ssize_t len;
    const char *data = PyUnicode_AsUTF8AndSize(path, &len);
    if (data == NULL) {
        PyErr_Clear();
        return 0;
    }
    if (!http_is_plain_path((const unsigned char *)data, (size_t)len))
        return 0;
    request.raw_path = bytes_of(raw_path);
    /* Somebody between may have rewritten the path: another one is another answer. */
    if (!http_is_encoded(request.raw_path, (struct http_text){(const unsigned char *)data, (size_t)len}))
        return 0;
    if (query != NULL)
        request.query = bytes_of(query);
    int made;
    BEGIN_READING(headers);
    made = read_lines(maker, headers, &request) && http_key_write(maker, &request, key);
    END_READING();
    return made;
}

int http_key_of_scope(const struct http_key_maker *maker, PyObject *scope, struct http_key *key)
{
    PyObject *parts[PARTS];
    if (!maker->is_usable || !PyDict_CheckExact(scope))
        return 0;
    for (int part = 0; part < PARTS; part++)
        parts[part] = part_of(scope, part);
    int made = make(maker, parts, key);
    for (int part = 0; part < PARTS; part++)
        Py_XDECREF(parts[part]);
    return made;
}

/* 0, or -1 with an exception. */
static int look_at_layouts(void)
{
    PyObject *bytes = PyBytes_FromString("a"), *pair = bytes == NULL ? NULL : Py_BuildValue("(OO)", bytes, Py_None);
    PyObject *size = pair == NULL ? NULL : PyObject_GetAttrString((PyObject *)Py_TYPE(pair), "__basicsize__");
    size_t begin = size == NULL ? 0 : PyLong_AsSize_t(size);
    if (size != NULL && !PyErr_Occurred()) {
        bytes_begin = (size_t)(PyBytes_AsString(bytes) - (char *)bytes);
        items_begin = begin;
        if (begin < sizeof(PyVarObject) || begin % sizeof(PyObject *) != 0 || item_of(pair, 0) != bytes || item_of(pair, 1) != Py_None)
            items_begin = 0;
    }
    Py_XDECREF(bytes);
    Py_XDECREF(pair);
    Py_XDECREF(size);
    return PyErr_Occurred() ? -1 : 0;
}

int http_scope_prepare(void)
{
    if (look_at_layouts() < 0)
        return -1;
    for (int part = 0; part < PARTS; part++)
        if (part_names[part] == NULL && (part_names[part] = PyUnicode_InternFromString(PART_NAMES[part])) == NULL)
            return -1;
    for (int word = 0; word < WORDS; word++)
        if (http_words[word] == NULL && (http_words[word] = PyUnicode_InternFromString(HTTP_WORDS[word])) == NULL)
            return -1;
    return 0;
}
