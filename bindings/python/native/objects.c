/* The object cache in the compiled module: types that `catzilla_cache/objects.py` makes its public names of. */
#include "native.h"
#include "object_cache.h"
#include "object_flight.h"
#include "object_function.h"

int objects_add_to(PyObject *module)
{
    if (flight_begin_watching_forks() < 0 || object_cache_add_to(module) < 0 || object_function_add_to(module) < 0 ||
        object_ready_add_to(module) < 0)
        return -1;
    return 0;
}
