#include "http_call.h"

#include "callable.h"
#include "http_finder.h"
#include "http_sending.h"

#include <structmember.h>

#if HTTP_CAN_SEND

typedef struct {
    PyObject_HEAD
    Vectorcall vectorcall;
    /* Thinks about the requests that are no hits. */
    PyObject *function;
    PyObject *dictionary;
} AsgiCall;

/* The middleware, and what a server gives it. */
enum { MIDDLEWARE, SCOPE, RECEIVE, SEND, ARGUMENTS };

static PyObject *str_finder;

/* ---- The call ---- */

/* What sends the answer of a hit. NULL without an exception: it is none. */
static PyObject *answer_hit(PyObject *const *arguments)
{
    struct http_answer found;
    PyObject *sending = NULL, *finder = PyObject_GetAttr(arguments[MIDDLEWARE], str_finder);
    if (finder == NULL)
        return NULL;
    if (http_is_finder(finder) && http_find(finder, arguments[SCOPE], &found) > 0)
        sending = http_sending_new(arguments[SEND], found.start, found.body);
    Py_DECREF(finder);
    return sending;
}

static PyObject *call_vector(PyObject *callable, PyObject *const *arguments, size_t count_and_flag, PyObject *names)
{
    Py_ssize_t count = (Py_ssize_t)(count_and_flag & ~PY_VECTORCALL_ARGUMENTS_OFFSET);
    /* As servers call it. In any other way it is thought about, which comes to the same. */
    if (count == ARGUMENTS && names == NULL) {
        PyObject *sending = answer_hit(arguments);
        if (sending != NULL || PyErr_Occurred())
            return sending;
        return PyObject_CallFunctionObjArgs(((AsgiCall *)callable)->function, arguments[MIDDLEWARE], arguments[SCOPE],
                                            arguments[RECEIVE], arguments[SEND], NULL);
    }
    PyObject *result = NULL, *positional = PyTuple_New(count), *keywords = names == NULL ? NULL : PyDict_New();
    if (positional == NULL || (names != NULL && keywords == NULL))
        goto done;
    for (Py_ssize_t at = 0; at < count; at++) {
        Py_INCREF(arguments[at]);
        if (PyTuple_SetItem(positional, at, arguments[at]) < 0)
            goto done;
    }
    for (Py_ssize_t at = 0; names != NULL && at < PyTuple_Size(names); at++)
        if (PyDict_SetItem(keywords, PyTuple_GetItem(names, at), arguments[count + at]) < 0)
            goto done;
    result = PyObject_Call(((AsgiCall *)callable)->function, positional, keywords);
done:
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return result;
}

/* The call by way of a tuple and a dict, which comes from who does not know of the other. */
static PyObject *call_with_tuple(PyObject *callable, PyObject *positional, PyObject *keywords)
{
    if (PyTuple_Size(positional) == ARGUMENTS && (keywords == NULL || PyDict_Size(keywords) == 0)) {
        PyObject *arguments[ARGUMENTS];
        for (int at = 0; at < ARGUMENTS; at++)
            arguments[at] = PyTuple_GetItem(positional, at);
        return call_vector(callable, arguments, ARGUMENTS, NULL);
    }
    return PyObject_Call(((AsgiCall *)callable)->function, positional, keywords);
}

/* ---- The rest of a function ---- */

/* Found by its name when it is unpickled, as the function that it stands for would be; and a copy of a function is that function. */
static PyObject *call_reduce(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return PyObject_GetAttrString(self, "__qualname__");
}

/* AsgiCall(function) */
static PyObject *call_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *function;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "O:AsgiCall", &function))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    AsgiCall *self = (AsgiCall *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->vectorcall = call_vector;
    Py_INCREF(function);
    self->function = function;
    return (PyObject *)self;
}

static int call_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((AsgiCall *)object)->function);
    Py_VISIT(((AsgiCall *)object)->dictionary);
    return 0;
}

static int call_break_cycles(PyObject *object)
{
    /* The function stays: a finaliser may still call it. */
    Py_CLEAR(((AsgiCall *)object)->dictionary);
    return 0;
}

static void call_deallocate(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_CLEAR(((AsgiCall *)object)->dictionary);
    Py_CLEAR(((AsgiCall *)object)->function);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"__reduce__", call_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(AsgiCall, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(AsgiCall, dictionary), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A middleware's `__call__`, whose hits are answered here: what asgi_hits.from_memory_first makes."},
    {Py_tp_new, call_new},
    {Py_tp_dealloc, call_deallocate},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_break_cycles},
    {Py_tp_call, call_with_tuple},
    {Py_tp_descr_get, callable_bind},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "catzilla_cache._native.AsgiCall",
    .basicsize = sizeof(AsgiCall),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = slots,
};

int http_call_add_to(PyObject *module)
{
    if (callable_begin() < 0 || (str_finder = PyUnicode_InternFromString("_finder")) == NULL || http_sending_add_to(module) < 0)
        return -1;
    PyObject *type = PyType_FromSpec(&spec);
    int outcome = type == NULL ? -1 : PyModule_AddObjectRef(module, "AsgiCall", type);
    Py_XDECREF(type);
    return outcome;
}

#else

/* There is no type then, and the same in Python takes its place. */
int http_call_add_to(PyObject *module)
{
    (void)module;
    return 0;
}

#endif
