#include "http_sending.h"

#include "awaitable.h"

#include <structmember.h>

#if HTTP_CAN_SEND

enum { MESSAGES = 2 };

typedef struct {
    PyObject_HEAD
    PyObject *send; /* NULL: it is over */
    PyObject *messages[MESSAGES];
    /* How many of them were given to `send`. */
    int given;
    /* What `send` returned for the last of these, while it is not done. */
    PyObject *awaited;
    char is_running;
} Sending;

static PyTypeObject *sending_type;
/* types.CoroutineType, which the limited interface does not name. */
static PyObject *coroutine_type;

PyObject *http_sending_new(PyObject *send, PyObject *start, PyObject *body)
{
    Sending *self = PyObject_GC_New(Sending, sending_type);
    if (self == NULL) {
        Py_DECREF(start);
        Py_DECREF(body);
        return NULL;
    }
    Py_INCREF(send);
    self->send = send;
    self->messages[0] = start;
    self->messages[1] = body;
    self->given = 0;
    self->awaited = NULL;
    self->is_running = 0;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int end(Sending *self)
{
    Py_CLEAR(self->send);
    for (int at = 0; at < MESSAGES; at++)
        Py_CLEAR(self->messages[at]);
    Py_CLEAR(self->awaited);
    return 0;
}

/* ---- Going on ---- */

/* A coroutine that awaits what is none itself: the interpreter knows what may be awaited, and how. Takes it over. */
static PyObject *coroutine_of(PyObject *awaitable)
{
    PyObject *module = PyImport_ImportModule("catzilla_cache.http.asgi_hits");
    PyObject *coroutine = module == NULL ? NULL : PyObject_CallMethod(module, "awaiting", "O", awaitable);
    Py_XDECREF(module);
    Py_DECREF(awaitable);
    return coroutine;
}

/* Gives the next message to `send`. 0, or -1 with an exception. */
static int give(Sending *self)
{
    PyObject *message = self->messages[self->given];
    self->messages[self->given++] = NULL;
    PyObject *awaited = PyObject_CallFunctionObjArgs(self->send, message, NULL);
    Py_DECREF(message);
    if (awaited != NULL && (PyObject *)Py_TYPE(awaited) != coroutine_type)
        awaited = coroutine_of(awaited);
    self->awaited = awaited;
    if (awaited != NULL)
        return 0;
    /* It would be taken for the end of this. */
    if (PyErr_ExceptionMatches(PyExc_StopIteration))
        PyErr_SetString(PyExc_RuntimeError, "coroutine raised StopIteration");
    return -1;
}

static PySendResult go_on(Sending *self, PyObject *value, PyObject **result)
{
    for (;;) {
        if (self->awaited == NULL) {
            if (self->given == MESSAGES) {
                Py_INCREF(Py_None);
                *result = Py_None;
                return PYGEN_RETURN;
            }
            if (give(self) < 0)
                return PYGEN_ERROR;
        }
        PySendResult outcome = PyIter_Send(self->awaited, value, result);
        if (outcome != PYGEN_RETURN)
            return outcome;
        Py_CLEAR(*result);
        Py_CLEAR(self->awaited);
        value = Py_None;
    }
}

/* Whether it can be run; else with an exception. */
static int can_run(const Sending *self)
{
    if (self->is_running)
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    else if (self->send == NULL)
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    else
        return 1;
    return 0;
}

static PySendResult sending_step(PyObject *object, PyObject *value, PyObject **result)
{
    Sending *self = (Sending *)object;
    *result = NULL;
    if (!can_run(self))
        return PYGEN_ERROR;
    if (self->given == 0 && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    self->is_running = 1;
    PySendResult outcome = go_on(self, value, result);
    self->is_running = 0;
    if (outcome != PYGEN_NEXT)
        end(self);
    return outcome;
}

/* ---- As coroutines have it ---- */

static PyObject *sending_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult outcome = sending_step(self, value, &result);
    if (outcome == PYGEN_RETURN) {
        Py_CLEAR(result);
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

static PyObject *sending_next(PyObject *self)
{
    return sending_send(self, Py_None);
}

/* Has the awaited one close. 0, or -1 with an exception. */
static int close_awaited(Sending *self)
{
    if (self->awaited == NULL)
        return 0;
    self->is_running = 1;
    PyObject *closed = PyObject_CallMethod(self->awaited, "close", NULL);
    self->is_running = 0;
    Py_XDECREF(closed);
    return closed == NULL ? -1 : 0;
}

static PyObject *sending_throw(PyObject *object, PyObject *arguments)
{
    Sending *self = (Sending *)object;
    if (!can_run(self))
        return NULL;
    PyObject *kind = PyTuple_Size(arguments) > 0 ? PyTuple_GetItem(arguments, 0) : Py_None;
    /* Who is to end does not go on, whatever the awaited one makes of it (PEP 380). */
    if (self->awaited == NULL || PyErr_GivenExceptionMatches(kind, PyExc_GeneratorExit)) {
        if (close_awaited(self) == 0)
            awaitable_raise(arguments);
        end(self);
        return NULL;
    }
    PyObject *method = PyObject_GetAttrString(self->awaited, "throw"), *yielded = NULL;
    self->is_running = 1;
    if (method != NULL)
        yielded = PyObject_CallObject(method, arguments);
    self->is_running = 0;
    Py_XDECREF(method);
    if (yielded != NULL)
        return yielded;
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        end(self);
        return NULL;
    }
    /* It has caught that, and is done. */
    PyErr_Clear();
    Py_CLEAR(self->awaited);
    return sending_send(object, Py_None);
}

static PyObject *sending_close(PyObject *object, PyObject *nothing)
{
    Sending *self = (Sending *)object;
    (void)nothing;
    if (self->send == NULL)
        Py_RETURN_NONE;
    if (!can_run(self))
        return NULL;
    int outcome = close_awaited(self);
    end(self);
    if (outcome < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *sending_itself(PyObject *self)
{
    Py_INCREF(self);
    return self;
}

/* So that it passes for a coroutine where somebody insists on one, as the task groups of anyio do. */
static PyObject *sending_class(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_INCREF(coroutine_type);
    return coroutine_type;
}

static PyObject *sending_name(PyObject *self, void *qualified)
{
    (void)self;
    return PyUnicode_InternFromString(qualified == NULL ? "__call__" : "CacheMiddleware.__call__");
}

static PyObject *sending_is_suspended(PyObject *object, void *unused)
{
    Sending *self = (Sending *)object;
    (void)unused;
    return PyBool_FromLong(self->awaited != NULL && !self->is_running);
}

static PyObject *sending_frame(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

/* ---- The type ---- */

static int sending_traverse(PyObject *object, visitproc visit, void *arg)
{
    Sending *self = (Sending *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->send);
    for (int at = 0; at < MESSAGES; at++)
        Py_VISIT(self->messages[at]);
    Py_VISIT(self->awaited);
    return 0;
}

static int sending_break_cycles(PyObject *object)
{
    return end((Sending *)object);
}

static void sending_deallocate(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    end((Sending *)object);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"send", sending_send, METH_O, NULL},
    {"throw", sending_throw, METH_VARARGS, NULL},
    {"close", sending_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"cr_running", T_BOOL, offsetof(Sending, is_running), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"__class__", sending_class, NULL, NULL, NULL},
    {"__name__", sending_name, NULL, NULL, NULL},
    {"__qualname__", sending_name, NULL, NULL, "qualified"},
    {"cr_suspended", sending_is_suspended, NULL, NULL, NULL},
    {"cr_frame", sending_frame, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The answer to a request that memory has, to be awaited."},
    {Py_tp_dealloc, sending_deallocate},
    {Py_tp_traverse, sending_traverse},
    {Py_tp_clear, sending_break_cycles},
    {Py_am_await, sending_itself},
    {Py_am_send, sending_step},
    {Py_tp_iter, sending_itself},
    {Py_tp_iternext, sending_next},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "catzilla_cache._native.Sending",
    .basicsize = sizeof(Sending),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int http_sending_add_to(PyObject *module)
{
    PyObject *types = PyImport_ImportModule("types");
    if (types == NULL)
        return -1;
    coroutine_type = PyObject_GetAttrString(types, "CoroutineType");
    Py_DECREF(types);
    sending_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (coroutine_type == NULL || sending_type == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Sending", (PyObject *)sending_type);
}

#else

/* No file is empty to a compiler. */
typedef int http_sending_is_not_here;

#endif
