/*
 * The module `catzilla_cache._native`: builtins for the calls that have to be fast. It lives in the file of the cffi module beside it,
 * under an init function of its own (see `_cffi_module.py`, which loads both).
 */
#include "native.h"

/* Types and interned names are kept in static variables, so one interpreter of a process can have them. */
static int refuse_subinterpreters(void)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0)
        return 0;
    PyErr_SetString(PyExc_ImportError,
                    "catzilla_cache cannot be used in a subinterpreter: use it in the main interpreter, or in a process of its own");
    return -1;
}

static int fill(PyObject *module)
{
    if (refuse_subinterpreters() < 0 || codec_add_to(module) < 0 || engine_add_to(module) < 0 || objects_add_to(module) < 0 ||
        http_add_to(module) < 0)
        return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "catzilla_cache._native",
    .m_doc = "Builtins for the calls that have to be fast.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void);

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
