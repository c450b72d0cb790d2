#include "awaitable.h"

void awaitable_raise(PyObject *arguments)
{
    PyObject *kind, *error = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(arguments, "O|OO:throw", &kind, &error, &traceback))
        return;
    if (PyType_Check(kind)) {
        error = error == NULL || error == Py_None ? PyObject_CallObject(kind, NULL)
                : PyObject_IsInstance(error, kind) == 1 ? (Py_INCREF(error), error)
                                                        : PyObject_CallFunctionObjArgs(kind, error, NULL);
    } else {
        error = kind;
        Py_INCREF(error);
    }
    if (error == NULL)
        return;
    if (!PyExceptionInstance_Check(error))
        PyErr_SetString(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException");
    else
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
}
