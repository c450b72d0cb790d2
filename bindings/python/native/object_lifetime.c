/* Lifetimes as callers of an object cache pass them. See object_lifetime.h. */
#include "object_lifetime.h"

/* As in objects.py. */
#define LONGEST_NANOSECONDS 4611686018427387904.0

static PyObject *lifetime_name; /* "_lifetime" */

int object_lifetime_begin(void)
{
    lifetime_name = PyUnicode_InternFromString("_lifetime");
    return lifetime_name == NULL ? -1 : 0;
}

/* What is not plainly one is for Python to judge. */
int64_t lifetime_of(ObjectCache *cache, PyObject *seconds)
{
    if (PyFloat_CheckExact(seconds) || PyLong_CheckExact(seconds)) {
        double nanoseconds = PyFloat_AsDouble(seconds) * 1e9;
        if (nanoseconds > 0 && nanoseconds < LONGEST_NANOSECONDS)
            return (int64_t)nanoseconds + (nanoseconds > (double)(int64_t)nanoseconds); /* rounded up */
        PyErr_Clear();
    }
    PyObject *told = PyObject_CallMethodObjArgs((PyObject *)cache, lifetime_name, seconds, NULL);
    if (told == NULL)
        return -2;
    int64_t lifetime = PyLong_AsLongLong(told);
    Py_DECREF(told);
    return lifetime == -1 ? -2 : lifetime;
}
