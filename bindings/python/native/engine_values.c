/*
 * What `SmartCache` inherits: its calls that a builtin can answer. A value is made in the visitor, while the engine holds the entry; so only
 * objects are made there that run no code and begin no collection.
 */
#include "engine.h"
#include "codec.h"

struct shown {
    /* The value, or its encoded form. */
    PyObject *object;
    enum { SHOWN_VALUE, SHOWN_PLAIN, SHOWN_OTHER } what;
};

static void make_value(void *user, const void *data, size_t len)
{
    struct shown *shown = user;
    const unsigned char *bytes = data;
    /* An annotation with nothing but tags says nothing to a reader: see `_annotation.py`. */
    if (len > 4 && bytes[0] == 0xF0 && bytes[1] == 0) {
        size_t head = 4 + ((size_t)bytes[2] << 8 | bytes[3]);
        if (head < len) {
            data = bytes + head;
            len -= head;
        }
    }
    unsigned char tag = len > 0 ? *(const unsigned char *)data : 0xFF;
    if (codec_is_scalar(tag)) {
        shown->what = SHOWN_VALUE;
        shown->object = codec_decode_scalar(data, len);
        if (shown->object != NULL || PyErr_Occurred())
            return;
        /* Damaged, which Python code has to count. */
        shown->what = SHOWN_OTHER;
        shown->object = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
    } else {
        shown->what = codec_is_plain(tag) ? SHOWN_PLAIN : SHOWN_OTHER;
        shown->object = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
    }
}

/* What only Python code can read is asked of `_revive`, with the key and the stored bytes: it returns the value and whether it is served. */
static enum answer revive(PyObject *object, PyObject *key, PyObject *bytes, PyObject **found)
{
    PyObject *pair = PyObject_CallMethodObjArgs(object, engine_str_revive, key, bytes, NULL);
    if (pair == NULL)
        return FAILED;
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "_revive has to return a pair");
        Py_DECREF(pair);
        return FAILED;
    }
    if (PyTuple_GetItem(pair, 1) != Py_True) {
        *found = pair;
        return NOT_SERVED;
    }
    *found = PyTuple_GetItem(pair, 0);
    Py_INCREF(*found);
    Py_DECREF(pair);
    return FOUND;
}

static enum answer find_value(PyObject *object, PyObject *key_object, enum reach reach, PyObject **found)
{
    struct held held;
    struct key key;
    struct shown shown = {NULL, SHOWN_VALUE};
    *found = NULL;
    if (!engine_hold((struct engine *)object, &held))
        return ELSEWHERE;
    enum answer answer = engine_key_of(key_object, &key) ? engine_visit(&held, &key, reach, make_value, &shown) : ELSEWHERE;
    engine_let_go(&held);
    if (answer != FOUND)
        return answer;
    if (shown.object == NULL)
        return FAILED;
    if (shown.what == SHOWN_PLAIN) {
        *found = codec_decode((const unsigned char *)PyBytes_AsString(shown.object), (size_t)PyBytes_Size(shown.object));
        if (*found == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_Clear();
            shown.what = SHOWN_OTHER;
        }
    }
    switch (shown.what) {
    case SHOWN_VALUE:
        *found = shown.object;
        return FOUND;
    case SHOWN_PLAIN:
        answer = *found == NULL ? FAILED : FOUND;
        break;
    case SHOWN_OTHER:
        answer = revive(object, key_object, shown.object, found);
        break;
    }
    Py_DECREF(shown.object);
    return answer;
}

/* (found, True); takes the reference over. */
static PyObject *found_pair(PyObject *found)
{
    PyObject *pair = PyTuple_Pack(2, found, Py_True);
    Py_DECREF(found);
    return pair;
}

static PyObject *values_get(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *found, *key = engine_only("get", "key", args, count, names);
    if (key == NULL)
        return NULL;
    switch (find_value(object, key, EVERY_TIER, &found)) {
    case FOUND:
        return found_pair(found);
    case NOT_SERVED:
        return found;
    case ABSENT:
        Py_INCREF(engine_no_value);
        return engine_no_value;
    case FAILED:
        return NULL;
    case ELSEWHERE:
        break;
    }
    return PyObject_CallMethodObjArgs(object, engine_str_get, key, NULL);
}

/* What memory has, for calls that go on and are counted there. */
static PyObject *values_get_from_memory(PyObject *object, PyObject *key)
{
    PyObject *found;
    switch (find_value(object, key, THEN_A_LOADER, &found)) {
    case FOUND:
        return found_pair(found);
    case NOT_SERVED:
        return found;
    case FAILED:
        return NULL;
    default:
        Py_INCREF(engine_no_value);
        return engine_no_value;
    }
}

static PyObject *values_getitem(PyObject *object, PyObject *key)
{
    return engine_getitem(object, key, find_value);
}

static PyObject *values_get_many(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return engine_get_many(object, args, count, names, find_value);
}

static int store_value(struct held *held, const struct key *key, PyObject *value, uint64_t ttl_ms)
{
    struct codec_buffer encoded;
    codec_buffer_init(&encoded);
    int outcome = codec_encode(value, &encoded);
    int done = outcome <= 0 ? outcome : engine_stored(held, key, encoded.data, encoded.len, ttl_ms);
    codec_buffer_free(&encoded);
    return done;
}

static PyObject *values_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int done = engine_set(object, args, count, names, store_value);
    if (done > 0)
        Py_RETURN_TRUE;
    return done < 0 ? NULL : engine_in_python(object, engine_str_set, args, count, names);
}

static PyMethodDef values_methods[] = {
    {"_attach", (PyCFunction)(void (*)(void))engine_attach, METH_FASTCALL, NULL},
    {"_detach", engine_detach, METH_NOARGS, NULL},
    {"get", ENGINE_METHOD(values_get), "get($self, /, key)\n--\n\nThe value of a key and True, or None and False."},
    {"set", ENGINE_METHOD(values_set),
     "set($self, /, key, value, ttl=None, *, tags=())\n--\n\n"
     "Stores a value, for `ttl` seconds; None or 0 is the default of each tier, math.inf never expires. True.\n\n"
     "With `tags` it goes with `invalidate`. A value that cannot be stored is a CacheValueError. False: there is one tier\n"
     "below memory and no memory, and that tier is down."},
    {"_get_from_memory", values_get_from_memory, METH_O, NULL},
    {"get_many", ENGINE_METHOD(values_get_many), "get_many($self, /, keys)\n--\n\nThe values of those keys that are there."},
    {"delete", ENGINE_METHOD(engine_delete), "delete($self, /, key)\n--\n\nRemoves a key from every tier. True when it was there."},
    {"exists", ENGINE_METHOD(engine_exists),
     "exists($self, /, key)\n--\n\n"
     "Whether something is stored under a key. Counts neither as a request nor as a use, and does not read the value."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot values_slots[] = {
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, values_methods},
    {Py_mp_subscript, values_getitem},
    {Py_sq_contains, engine_contains},
    {Py_tp_doc, "What SmartCache inherits: its calls that memory can answer."},
    {0, NULL},
};

PyType_Spec engine_values_spec = {
    .name = "catzilla_cache._native.ValuesBase",
    .basicsize = sizeof(struct engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = values_slots,
};

