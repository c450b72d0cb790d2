/* Arguments of a builtin by position or name. See arguments.h. */
#include "arguments.h"

int arguments_parse(const char *function, const char *const *names, int required, PyObject *const *arguments, Py_ssize_t count,
                    PyObject *keywords, PyObject **parsed)
{
    int most = 0;
    while (names[most] != NULL)
        most++;
    if (count > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", function, most, count);
        return 0;
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
            return 0;
        }
        if (position < count) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", function, names[position]);
            return 0;
        }
        parsed[position] = arguments[count + word];
    }
    for (int position = 0; position < required; position++) {
        if (parsed[position] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", function, names[position]);
            return 0;
        }
    }
    return 1;
}

PyObject *arguments_only(const char *function, const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    const char *const names[] = {name, NULL};
    PyObject *parsed = NULL;
    return arguments_parse(function, names, 1, arguments, count, keywords, &parsed) ? parsed : NULL;
}
