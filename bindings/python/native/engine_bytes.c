/* What `BytesCache` inherits: its calls that a builtin can answer. */
#include "engine.h"

static enum answer find_bytes(PyObject *object, PyObject *key_object, enum reach reach, PyObject **found)
{
    struct held held;
    struct key key;
    *found = NULL;
    if (!engine_hold((struct engine *)object, &held))
        return ELSEWHERE;
    enum answer answer = engine_key_of(key_object, &key) ? engine_visit(&held, &key, reach, engine_make_bytes, found) : ELSEWHERE;
    engine_let_go(&held);
    return answer == FOUND && *found == NULL ? FAILED : answer;
}

static PyObject *bytes_get(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names == NULL && (count == 1 || count == 2)) {
        PyObject *found;
        switch (find_bytes(object, args[0], EVERY_TIER, &found)) {
        case FOUND:
            return found;
        case ABSENT:
            found = count == 2 ? args[1] : Py_None;
            Py_INCREF(found);
            return found;
        case FAILED:
            return NULL;
        default:
            break;
        }
    }
    return engine_in_python(object, engine_str_get, args, count, names);
}

static PyObject *bytes_getitem(PyObject *object, PyObject *key)
{
    return engine_getitem(object, key, find_bytes);
}

static PyObject *bytes_get_many(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return engine_get_many(object, args, count, names, find_bytes);
}

static int store_bytes(struct held *held, const struct key *key, PyObject *value, uint64_t ttl_ms)
{
    return PyBytes_CheckExact(value) && engine_stored(held, key, PyBytes_AsString(value), (size_t)PyBytes_Size(value), ttl_ms);
}

static PyObject *bytes_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (engine_set(object, args, count, names, store_bytes) > 0)
        Py_RETURN_NONE;
    return engine_in_python(object, engine_str_set, args, count, names);
}

static PyMethodDef bytes_methods[] = {
    {"_attach", (PyCFunction)(void (*)(void))engine_attach, METH_FASTCALL, NULL},
    {"_detach", engine_detach, METH_NOARGS, NULL},
    {"get", ENGINE_METHOD(bytes_get),
     "get($self, /, key, default=None)\n--\n\nThe value of a key, or the default when it is absent or expired."},
    {"set", ENGINE_METHOD(bytes_set),
     "set($self, /, key, value, ttl=None, *, tags=())\n--\n\n"
     "Stores a value, for `ttl` seconds; None or 0 is the default of each tier, math.inf never expires.\n\nWith `tags` it goes with `delete_tag`."},
    {"get_many", ENGINE_METHOD(bytes_get_many),
     "get_many($self, /, keys)\n--\n\nThe values of those keys that are there; Redis and disk are asked once for all."},
    {"delete", ENGINE_METHOD(engine_delete), "delete($self, /, key)\n--\n\nRemoves a key from every tier. True when it was there."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot bytes_slots[] = {
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, bytes_methods},
    {Py_mp_subscript, bytes_getitem},
    {Py_sq_contains, engine_contains},
    {Py_tp_doc, "What BytesCache inherits: its calls that memory can answer."},
    {0, NULL},
};

PyType_Spec engine_bytes_spec = {
    .name = "catzilla_cache._native.BytesBase",
    .basicsize = sizeof(struct engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = bytes_slots,
};

