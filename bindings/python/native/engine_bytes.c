/* What `BytesCache` inherits: its calls that a builtin can answer. */
#include "engine.h"

static enum answer find_bytes(struct engine *self, PyObject *object, enum reach reach, PyObject **found)
{
    struct held held;
    struct key key;
    *found = NULL;
    if (!engine_hold(self, &held))
        return ELSEWHERE;
    enum answer answer = engine_key_of(object, &key) ? engine_visit(&held, &key, reach, engine_make_bytes, found) : ELSEWHERE;
    engine_let_go(&held);
    return answer == FOUND && *found == NULL ? FAILED : answer;
}

static enum answer find_one_bytes(PyObject *self, PyObject *key, PyObject **found)
{
    return find_bytes((struct engine *)self, key, THEN_A_BATCH, found);
}

static PyObject *bytes_get_many(PyObject *object, PyObject *keys)
{
    return engine_get_many(object, keys, find_one_bytes);
}

static PyObject *bytes_get(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (names == NULL && (count == 1 || count == 2)) {
        PyObject *found;
        switch (find_bytes((struct engine *)object, args[0], EVERY_TIER, &found)) {
        case FOUND:
            return found;
        case ABSENT:
            found = count == 2 ? args[1] : Py_None;
            Py_INCREF(found);
            return found;
        case FAILED:
            return NULL;
        case ELSEWHERE:
            break;
        }
    }
    return engine_in_python(object, engine_str_get, args, count, names);
}

static PyObject *bytes_getitem(PyObject *object, PyObject *key)
{
    PyObject *found;
    switch (find_bytes((struct engine *)object, key, EVERY_TIER, &found)) {
    case FOUND:
        return found;
    case ABSENT:
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    case FAILED:
        return NULL;
    case ELSEWHERE:
        break;
    }
    return PyObject_CallMethodObjArgs(object, engine_str_getitem, key, NULL);
}

static PyObject *bytes_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct held held;
    struct key key;
    uint64_t ttl_ms;
    if (names == NULL && (count == 2 || count == 3) && PyBytes_CheckExact(args[1]) && engine_hold((struct engine *)object, &held)) {
        int done = held.memory_only && engine_key_of(args[0], &key) && engine_ttl_of(count == 3 ? args[2] : NULL, &ttl_ms) &&
                   engine_stored(&held, &key, PyBytes_AsString(args[1]), (size_t)PyBytes_Size(args[1]), ttl_ms);
        engine_let_go(&held);
        if (done)
            Py_RETURN_NONE;
    }
    return engine_in_python(object, engine_str_set, args, count, names);
}

static PyMethodDef bytes_methods[] = {
    {"_attach", (PyCFunction)(void (*)(void))engine_attach, METH_FASTCALL, NULL},
    {"_detach", engine_detach, METH_NOARGS, NULL},
    {"get", (PyCFunction)(void (*)(void))bytes_get, METH_FASTCALL | METH_KEYWORDS,
     "get(key, default=None)\n\nThe value of a key, or the default when it is absent or expired."},
    {"set", (PyCFunction)(void (*)(void))bytes_set, METH_FASTCALL | METH_KEYWORDS,
     "set(key, value, ttl=None)\n\nStores a value, for `ttl` seconds; None or 0 is the default lifetime, math.inf never expires."},
    {"get_many", bytes_get_many, METH_O, "get_many(keys)\n\nThe values of those keys that are there."},
    {"delete", engine_delete, METH_O, "delete(key)\n\nRemoves a key. True when it was there."},
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

