/*
 * The type `_native.Ready`: what a coroutine function that remembers its results returns when it does remember. To await
 * it goes on at once, without a turn of the event loop; in all else it is like a coroutine, so that it can be made a task,
 * gathered or waited for.
 */
#include "awaitable.h"
#include "object_function.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *value; /* NULL: it has been awaited */
} Ready;

static PyTypeObject *ready_type;

PyObject *ready_new(PyObject *value)
{
    Ready *self = PyObject_GC_New(Ready, ready_type);
    if (self == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    self->value = value;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* The value, once. */
static PyObject *take(PyObject *object)
{
    Ready *self = (Ready *)object;
    PyObject *value = self->value;
    self->value = NULL;
    if (value == NULL)
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return value;
}

/* Ends the iteration, with the value. */
static PyObject *stop_with_value(PyObject *object)
{
    PyObject *value = take(object);
    if (value == NULL)
        return NULL;
    /* Made here: an error set with a tuple or an exception as its value would be made of that. */
    PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
    Py_DECREF(value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

static PyObject *ready_itself(PyObject *self)
{
    Py_INCREF(self);
    return self;
}

#if PY_VERSION_HEX >= 0x030A0000
static PySendResult ready_send_result(PyObject *self, PyObject *sent, PyObject **result)
{
    (void)sent;
    *result = take(self);
    return *result != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}
#endif

static PyObject *ready_send(PyObject *self, PyObject *sent)
{
    (void)sent;
    return stop_with_value(self);
}

/* Nothing here would catch it. */
static PyObject *ready_throw(PyObject *self, PyObject *arguments)
{
    Py_CLEAR(((Ready *)self)->value);
    awaitable_raise(arguments);
    return NULL;
}

static PyObject *ready_close(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    Py_CLEAR(((Ready *)self)->value);
    Py_RETURN_NONE;
}

static int ready_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Ready *)self)->value);
    return 0;
}

static int ready_break_cycles(PyObject *self)
{
    Py_CLEAR(((Ready *)self)->value);
    return 0;
}

static void ready_deallocate(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((Ready *)self)->value);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"send", ready_send, METH_O, NULL},
    {"throw", ready_throw, METH_VARARGS, NULL},
    {"close", ready_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A result that is there already, to be awaited."},
    {Py_tp_dealloc, ready_deallocate},
    {Py_tp_traverse, ready_traverse},
    {Py_tp_clear, ready_break_cycles},
    {Py_am_await, ready_itself},
#if PY_VERSION_HEX >= 0x030A0000
    {Py_am_send, ready_send_result},
#endif
    {Py_tp_iter, ready_itself},
    {Py_tp_iternext, stop_with_value},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "catzilla_cache._native.Ready",
    .basicsize = sizeof(Ready),
#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
#else
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
#endif
    .slots = slots,
};

int object_ready_add_to(PyObject *module)
{
    ready_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (ready_type == NULL)
        return -1;
    Py_INCREF(ready_type);
    return PyModule_AddObject(module, "Ready", (PyObject *)ready_type);
}
