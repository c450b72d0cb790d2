#include "native.h"

int objects_add_to(PyObject *module)
{
    (void)module;
    return 0;
}
