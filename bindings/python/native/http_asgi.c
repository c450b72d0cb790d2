#include "http_asgi.h"

static PyObject *str_type, *str_status, *str_headers, *str_body, *start_type, *body_type;
/* With everything but the status and the fields, and with everything but the body, and places for those. Never changed, nor seen by anybody. */
static PyObject *any_start, *any_body;

/* ---- New ones ---- */

PyObject *http_asgi_start(unsigned status, PyObject *fields)
{
    PyObject *start = PyDict_Copy(any_start), *number = start == NULL ? NULL : PyLong_FromLong((long)status);
    if (number == NULL || PyDict_SetItem(start, str_status, number) < 0 || PyDict_SetItem(start, str_headers, fields) < 0)
        Py_CLEAR(start);
    Py_XDECREF(number);
    return start;
}

PyObject *http_asgi_body(PyObject *body)
{
    PyObject *message = PyDict_Copy(any_body);
    if (message != NULL && PyDict_SetItem(message, str_body, body) < 0)
        Py_CLEAR(message);
    return message;
}

/* ---- The same once more ---- */

/* The value of the next entry of a dict, if that has this very key; else NULL. */
static inline PyObject *next_value(PyObject *dict, Py_ssize_t *position, PyObject *wanted)
{
    PyObject *key, *value;
    return PyDict_Next(dict, position, &key, &value) && key == wanted ? value : NULL;
}

/* The fields of a start that has nothing but what it was made with, or others in their place; else NULL. */
static PyObject *fields_of(PyObject *start, PyObject *status)
{
    Py_ssize_t position = 0;
    if (PyDict_Size(start) != 3 || next_value(start, &position, str_type) != start_type ||
        next_value(start, &position, str_status) != status)
        return NULL;
    PyObject *fields = next_value(start, &position, str_headers);
    return fields != NULL && PyList_CheckExact(fields) ? fields : NULL;
}

static int is_body(PyObject *message, PyObject *body)
{
    Py_ssize_t position = 0;
    return PyDict_Size(message) == 2 && next_value(message, &position, str_type) == body_type &&
           next_value(message, &position, str_body) == body;
}

static int have_same_items(PyObject *list, PyObject *other)
{
    Py_ssize_t count = Py_SIZE(list);
    if (count != Py_SIZE(other))
        return 0;
    for (Py_ssize_t at = 0; at < count; at++)
        if (PyList_GetItem(list, at) != PyList_GetItem(other, at))
            return 0;
    return 1;
}

int http_lent_again(struct http_lent *lent, PyObject *fields, PyObject *body, PyObject **start, PyObject **message)
{
    if (lent->start == NULL || lent->fields != fields || lent->body != body || Py_REFCNT(lent->start) != 1 || Py_REFCNT(lent->message) != 1)
        return 0;
    PyObject *sent = fields_of(lent->start, lent->status);
    if (sent != NULL && Py_REFCNT(sent) != 1)
        return 0;
    if (sent == NULL || !have_same_items(sent, fields) || !is_body(lent->message, body)) {
        http_lent_end(lent);
        lent->is_over = 1;
        return 0;
    }
    Py_INCREF(lent->start);
    Py_INCREF(lent->message);
    *start = lent->start;
    *message = lent->message;
    return 1;
}

void http_lent_begin(struct http_lent *lent, PyObject *fields, PyObject *body, PyObject *start, PyObject *message)
{
    PyObject *status = PyDict_GetItemWithError(start, str_status);
    if (lent->is_over || status == NULL)
        return;
    http_lent_end(lent);
    Py_INCREF(start);
    Py_INCREF(message);
    Py_INCREF(status);
    Py_INCREF(fields);
    Py_INCREF(body);
    *lent = (struct http_lent){.start = start, .message = message, .status = status, .fields = fields, .body = body};
}

void http_lent_end(struct http_lent *lent)
{
    /* Not before there is nothing left here: what is let go of may run a program's code, and that another look-up. */
    struct http_lent before = *lent;
    *lent = (struct http_lent){.is_over = before.is_over};
    Py_XDECREF(before.start);
    Py_XDECREF(before.message);
    Py_XDECREF(before.status);
    Py_XDECREF(before.fields);
    Py_XDECREF(before.body);
}

int http_lent_traverse(struct http_lent *lent, visitproc visit, void *arg)
{
    Py_VISIT(lent->start);
    Py_VISIT(lent->message);
    return 0;
}

/* ---- What is made once ---- */

int http_asgi_prepare(void)
{
    const struct {
        PyObject **string;
        const char *text;
    } strings[] = {
        {&str_type, "type"},
        {&str_status, "status"},
        {&str_headers, "headers"},
        {&str_body, "body"},
        {&start_type, "http.response.start"},
        {&body_type, "http.response.body"},
    };
    for (size_t at = 0; at < sizeof strings / sizeof strings[0]; at++)
        if (*strings[at].string == NULL && (*strings[at].string = PyUnicode_InternFromString(strings[at].text)) == NULL)
            return -1;
    if (any_start == NULL && (any_start = Py_BuildValue("{OOOOOO}", str_type, start_type, str_status, Py_None, str_headers, Py_None)) == NULL)
        return -1;
    if (any_body == NULL && (any_body = Py_BuildValue("{OOOO}", str_type, body_type, str_body, Py_None)) == NULL)
        return -1;
    return 0;
}
