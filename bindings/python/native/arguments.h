/* Arguments of a builtin by position or name, for those calls that do not come in the usual way. */
#ifndef CATZILLA_ARGUMENTS_H
#define CATZILLA_ARGUMENTS_H

#include "native.h"

/* `names` ends with NULL, and the first `required` have to be there; what is not given stays as it is. 0 with an exception. */
int arguments_parse(const char *function, const char *const *names, int required, PyObject *const *arguments, Py_ssize_t count,
                    PyObject *keywords, PyObject **parsed);

/* The one argument that there is, borrowed; NULL with an exception. */
PyObject *arguments_only(const char *function, const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords);

#endif
