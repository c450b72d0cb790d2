/* What callers of an object cache pass, beside keys and values. See object_arguments.h. */
#include "object_arguments.h"

/* As in objects.py. */
#define LONGEST_NANOSECONDS 4611686018427387904.0

static PyObject *lifetime_name; /* "_lifetime" */

int object_arguments_begin(void)
{
    lifetime_name = PyUnicode_InternFromString("_lifetime");
    return lifetime_name == NULL ? -1 : 0;
}

bool parse_arguments(const char *function, const char *const *names, int required, PyObject *const *arguments, Py_ssize_t count,
                     PyObject *keywords, PyObject **parsed)
{
    int most = 0;
    while (names[most] != NULL)
        most++;
    if (count > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", function, most, count);
        return false;
    }
    for (Py_ssize_t position = 0; position < count; position++)
        parsed[position] = arguments[position];
    Py_ssize_t named = keywords != NULL ? PyTuple_Size(keywords) : 0;
    for (Py_ssize_t word = 0; word < named; word++) {
        PyObject *name = PyTuple_GetItem(keywords, word);
        int position = 0;
        while (position < most && PyUnicode_CompareWithASCIIString(name, names[position]) != 0)
            position++;
        if (position == most) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
            return false;
        }
        if (position < count) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", function, names[position]);
            return false;
        }
        parsed[position] = arguments[count + word];
    }
    for (int position = 0; position < required; position++) {
        if (parsed[position] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", function, names[position]);
            return false;
        }
    }
    return true;
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
