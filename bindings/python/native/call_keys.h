/* The keys of calls whose arguments are all scalars: `KeyMaker` in `keys.py` says what they are, and makes all others. */
#ifndef CATZILLA_CALL_KEYS_H
#define CATZILLA_CALL_KEYS_H

#include "native.h"

/* Adds the builtin `call_keys`. 0, or -1 with an exception. */
int call_keys_add_to(PyObject *module);

#endif
