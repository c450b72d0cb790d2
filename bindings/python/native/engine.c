#include "native.h"

int engine_add_to(PyObject *module)
{
    (void)module;
    return 0;
}
