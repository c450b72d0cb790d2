/* What the files of the compiled module share. Each room adds its types and functions to the one module, `catzilla_cache._native`. */
#ifndef CATZILLA_NATIVE_H
#define CATZILLA_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "catzilla_cache.h"

#if PY_VERSION_HEX < 0x030A0000
/* As CPython has it from 3.10 on. */
static inline int PyModule_AddObjectRef(PyObject *module, const char *name, PyObject *object)
{
    Py_XINCREF(object);
    if (PyModule_AddObject(module, name, object) == 0)
        return 0;
    Py_XDECREF(object);
    return -1;
}
#endif

/* Each returns 0, or -1 with an exception. */
int codec_add_to(PyObject *module);
int engine_add_to(PyObject *module);
int objects_add_to(PyObject *module);
/* After engine_add_to, whose types it needs. */
int http_add_to(PyObject *module);

#endif
