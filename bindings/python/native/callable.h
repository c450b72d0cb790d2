/* What the module's callables share that stand for functions: `object_function.c` and `http_call.c`. */
#ifndef CATZILLA_CALLABLE_H
#define CATZILLA_CALLABLE_H

#include "native.h"

/* The names that the limited interface has from 3.12 on; what they stand for is part of the interface since 3.8. */
#ifndef Py_TPFLAGS_HAVE_VECTORCALL
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11)
#endif
#ifndef PY_VECTORCALL_ARGUMENTS_OFFSET
#define PY_VECTORCALL_ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1))
#endif

typedef PyObject *(*Vectorcall)(PyObject *, PyObject *const *, size_t, PyObject *);

/* Before the first callable is made. 0, or -1 with an exception. */
int callable_begin(void);

/* The slot Py_tp_descr_get: of an instance it is a method, as a function is. */
PyObject *callable_bind(PyObject *self, PyObject *instance, PyObject *type);

#endif
