#include "native.h"

int codec_add_to(PyObject *module)
{
    (void)module;
    return 0;
}
