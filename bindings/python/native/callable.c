#include "callable.h"

/* types.MethodType, which the limited interface does not name. */
static PyObject *method_type;

int callable_begin(void)
{
    if (method_type != NULL)
        return 0;
    PyObject *types = PyImport_ImportModule("types");
    if (types == NULL)
        return -1;
    method_type = PyObject_GetAttrString(types, "MethodType");
    Py_DECREF(types);
    return method_type == NULL ? -1 : 0;
}

PyObject *callable_bind(PyObject *self, PyObject *instance, PyObject *type)
{
    (void)type;
    if (instance == NULL || instance == Py_None) {
        Py_INCREF(self);
        return self;
    }
    return PyObject_CallFunctionObjArgs(method_type, self, instance, NULL);
}
