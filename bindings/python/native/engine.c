/*
 * The calls on a cache that have to be fast, as builtins: base classes that `BytesCache` (`engine_bytes.c`) and `SmartCache`
 * (`engine_values.c`) inherit, and here what both need.
 *
 * Each does what memory can answer at once, with the interpreter's lock held and one copy; look-ups ask the tiers below it, too,
 * without the lock. Everything else (a key or a value that needs a word said about it, a write to those tiers, a failure) it leaves
 * to the method of the same name with an underscore in front, which is written in Python, for both backends: so what a call means is
 * decided there alone.
 */
#include "engine.h"

#include <dlfcn.h>

/* Above this a put gives the interpreter's lock up: compressing and copying take longer than that costs. Arbitrary: some 10 us. */
#define LONG_VALUE (64 * 1024)

/* Room on the stack for a value from a tier below memory, which spares making a value of the engine's. Arbitrary: most are shorter. */
#define ROOM (16 * 1024)

PyObject *engine_no_value;
PyObject *engine_str_get, *engine_str_set, *engine_str_getitem, *engine_str_revive;
static PyObject *engine_str_address, *engine_str_delete, *engine_str_exists, *engine_str_get_below;

/* ---- Lifetimes ---- */

/* Milliseconds of a lifetime in seconds; 0 for what needs a word said about it. */
static int ttl_of(PyObject *object, uint64_t *ttl_ms)
{
    double seconds;
    if (object == NULL || object == Py_None) {
        *ttl_ms = 0;
        return 1;
    }
    if (PyLong_CheckExact(object))
        seconds = PyLong_AsDouble(object);
    else if (PyFloat_CheckExact(object))
        seconds = PyFloat_AsDouble(object);
    else
        return 0;
    if (seconds == -1.0 && PyErr_Occurred())
        PyErr_Clear();
    /* Fractions of a millisecond and lifetimes beyond a century are rounded and cut in one place, which is not here. */
    if (!(seconds >= 0.001 && seconds <= 3e9) || seconds != (double)(uint64_t)seconds) {
        *ttl_ms = 0;
        return seconds == 0.0;
    }
    *ttl_ms = (uint64_t)seconds * 1000;
    return 1;
}

/* ---- Looking up ---- */

void engine_make_bytes(void *user, const void *data, size_t len)
{
    *(PyObject **)user = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
}

/* Asks every tier, without the interpreter's lock. */
static enum answer ask_below(struct held *held, const struct key *key, catzilla_visitor_t visitor, void *user)
{
    catzilla_status_t status = CATZILLA_TRUNCATED;
    if (!*held->is_long) {
        char room[ROOM];
        size_t len;
        Py_BEGIN_ALLOW_THREADS
        status = catzilla_cache_read(held->cache, key->data, (size_t)key->len, room, sizeof room, &len);
        Py_END_ALLOW_THREADS
        if (status == CATZILLA_OK)
            visitor(user, room, len);
    }
    if (status == CATZILLA_TRUNCATED) {
        catzilla_value_t *value;
        Py_BEGIN_ALLOW_THREADS
        status = catzilla_cache_acquire(held->cache, key->data, (size_t)key->len, &value);
        Py_END_ALLOW_THREADS
        if (status == CATZILLA_OK) {
            *held->is_long = catzilla_value_size(value) > ROOM;
            visitor(user, catzilla_value_data(value), catzilla_value_size(value));
            catzilla_value_release(value);
        }
    }
    if (status == CATZILLA_OK)
        return FOUND;
    return status == CATZILLA_NOT_FOUND ? ABSENT : ELSEWHERE;
}

enum answer engine_visit(struct held *held, const struct key *key, enum reach reach, catzilla_visitor_t visitor, void *user)
{
    int is_last = held->memory_only && reach != THEN_A_LOADER;
    catzilla_status_t status = catzilla_memory_visit(held->cache, key->data, (size_t)key->len, is_last, visitor, user);
    if (status == CATZILLA_OK)
        return FOUND;
    if (status != CATZILLA_NOT_FOUND)
        return ELSEWHERE;
    if (is_last)
        return ABSENT;
    if (reach != EVERY_TIER)
        return ELSEWHERE;
    return ask_below(held, key, visitor, user);
}

/* ---- Calls in Python ---- */

PyObject *engine_in_python(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    PyObject *result = NULL, *method = PyObject_GetAttr(self, name);
    PyObject *positional = PyTuple_New(count), *keywords = named == 0 ? NULL : PyDict_New();
    if (method == NULL || positional == NULL || (named != 0 && keywords == NULL))
        goto done;
    for (Py_ssize_t at = 0; at < count; at++) {
        Py_INCREF(args[at]);
        if (PyTuple_SetItem(positional, at, args[at]) < 0)
            goto done;
    }
    for (Py_ssize_t at = 0; at < named; at++)
        if (PyDict_SetItem(keywords, PyTuple_GetItem(names, at), args[count + at]) < 0)
            goto done;
    result = PyObject_Call(method, positional, keywords);
done:
    Py_XDECREF(method);
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return result;
}

/* ---- What both bases have ---- */

PyObject *engine_attach(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    struct engine *self = (struct engine *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_attach takes a handle, and whether there is memory alone");
        return NULL;
    }
    PyObject *address = PyObject_GetAttr(args[0], engine_str_address);
    if (address == NULL)
        return NULL;
    void *cache = PyLong_AsVoidPtr(address);
    Py_DECREF(address);
    int memory_only = PyObject_IsTrue(args[1]);
    if ((cache == NULL && PyErr_Occurred()) || memory_only < 0)
        return NULL;
    Py_INCREF(args[0]);
    PyObject *before;
#ifdef Py_GIL_DISABLED
    Py_BEGIN_CRITICAL_SECTION(object);
#endif
    before = self->handle;
    self->handle = args[0];
    self->cache = cache;
    self->memory_only = memory_only;
#ifdef Py_GIL_DISABLED
    Py_END_CRITICAL_SECTION();
#endif
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyObject *engine_detach(PyObject *object, PyObject *unused)
{
    struct engine *self = (struct engine *)object;
    PyObject *before;
    (void)unused;
#ifdef Py_GIL_DISABLED
    Py_BEGIN_CRITICAL_SECTION(object);
#endif
    before = self->handle;
    self->handle = NULL;
    self->cache = NULL;
#ifdef Py_GIL_DISABLED
    Py_END_CRITICAL_SECTION();
#endif
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

/* A listener may refer to the cache that it listens to. */
int engine_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct engine *)object)->handle);
    return 0;
}

int engine_clear(PyObject *object)
{
    Py_CLEAR(((struct engine *)object)->handle);
    return 0;
}

void engine_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    engine_clear(object);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

/* A yes-or-no question about a key, of a cache that has memory alone. */
static PyObject *ask(PyObject *object, PyObject *key_object, catzilla_status_t (*question)(catzilla_cache_t *, const void *, size_t),
                     PyObject *name)
{
    struct held held;
    struct key key;
    catzilla_status_t status = CATZILLA_INTERNAL;
    if (engine_hold((struct engine *)object, &held)) {
        if (held.memory_only && engine_key_of(key_object, &key))
            status = question(held.cache, key.data, (size_t)key.len);
        engine_let_go(&held);
    }
    if (status >= CATZILLA_OK)
        return PyBool_FromLong(status == CATZILLA_OK);
    return PyObject_CallMethodObjArgs(object, name, key_object, NULL);
}

PyObject *engine_delete(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *key = engine_only("delete", "key", args, count, names);
    return key == NULL ? NULL : ask(object, key, catzilla_cache_remove, engine_str_delete);
}

PyObject *engine_exists(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *key = engine_only("exists", "key", args, count, names);
    return key == NULL ? NULL : ask(object, key, catzilla_cache_contains, engine_str_exists);
}

int engine_contains(PyObject *object, PyObject *key)
{
    PyObject *answer = ask(object, key, catzilla_cache_contains, engine_str_exists);
    if (answer == NULL)
        return -1;
    int is_there = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return is_there;
}

PyObject *engine_getitem(PyObject *object, PyObject *key, finder find)
{
    PyObject *found;
    switch (find(object, key, EVERY_TIER, &found)) {
    case FOUND:
        return found;
    case NOT_SERVED:
        Py_DECREF(found);
        /* fall through */
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

/* ---- Putting ---- */

int engine_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names, storer store)
{
    struct held held;
    struct key key;
    uint64_t ttl_ms;
    if (names != NULL || count < 2 || count > 3 || !engine_hold((struct engine *)object, &held))
        return 0;
    int done = 0;
    if (held.memory_only && engine_key_of(args[0], &key) && ttl_of(count == 3 ? args[2] : NULL, &ttl_ms))
        done = store(&held, &key, args[1], ttl_ms);
    engine_let_go(&held);
    return done;
}

int engine_stored(struct held *held, const struct key *key, const void *data, size_t len, uint64_t ttl_ms)
{
    catzilla_status_t status;
    if (len < LONG_VALUE) {
        status = catzilla_cache_put(held->cache, key->data, (size_t)key->len, data, len, ttl_ms);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = catzilla_cache_put(held->cache, key->data, (size_t)key->len, data, len, ttl_ms);
        Py_END_ALLOW_THREADS
    }
    return status == CATZILLA_OK;
}

/* ---- Many keys ---- */

PyObject *engine_get_many(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names, finder find)
{
    PyObject *keys = engine_only("get_many", "keys", args, count, names);
    if (keys == NULL)
        return NULL;
    PyObject *all = NULL, *missing = NULL, *found = PyDict_New(), *iterator = PyObject_GetIter(keys), *key;
    if (found == NULL || iterator == NULL)
        goto done;
    while ((key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = NULL;
        enum answer answer = find(object, key, THEN_A_BATCH, &value);
        int failure = answer == FAILED;
        if (answer == FOUND) {
            failure = PyDict_SetItem(found, key, value) < 0;
        } else if (answer == ELSEWHERE) {
            if (missing == NULL)
                missing = PyList_New(0);
            failure = missing == NULL || PyList_Append(missing, key) < 0;
        }
        Py_XDECREF(value);
        Py_DECREF(key);
        if (failure)
            goto done;
    }
    if (PyErr_Occurred())
        goto done;
    if (missing == NULL) {
        all = found;
        Py_INCREF(all);
    } else {
        all = PyObject_CallMethodObjArgs(object, engine_str_get_below, found, missing, NULL);
    }
done:
    Py_XDECREF(found);
    Py_XDECREF(missing);
    Py_XDECREF(iterator);
    return all;
}

/* ---- Functions ---- */

/* Status and bytes, from memory alone; for calls that Python code goes on with. */
static PyObject *read_memory(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyObject *bytes = NULL;
    struct key key;
    (void)module;
    int is_last = count == 3 ? PyObject_IsTrue(args[2]) : -1;
    if (is_last < 0 || !engine_key_of(args[1], &key)) {
        PyErr_SetString(PyExc_TypeError, "read_memory takes the address of a cache, a key, and whether that is the last look-up");
        return NULL;
    }
    catzilla_cache_t *cache = PyLong_AsVoidPtr(args[0]);
    if (cache == NULL && PyErr_Occurred())
        return NULL;
    catzilla_status_t status = catzilla_memory_visit(cache, key.data, (size_t)key.len, is_last, engine_make_bytes, &bytes);
    if (status == CATZILLA_OK)
        return bytes == NULL ? NULL : Py_BuildValue("(iN)", status, bytes);
    return Py_BuildValue("(iy)", status, "");
}

static PyObject *library_file(PyObject *module, PyObject *unused)
{
    Dl_info info;
    (void)module, (void)unused;
    if (dladdr((const void *)&catzilla_cache_open, &info) == 0 || info.dli_fname == NULL) {
        PyErr_SetString(PyExc_OSError, "the loader does not say which file the library is");
        return NULL;
    }
    return PyUnicode_DecodeFSDefault(info.dli_fname);
}

static PyMethodDef functions[] = {
    {"read_memory", (PyCFunction)(void (*)(void))read_memory, METH_FASTCALL, NULL},
    {"library_file", library_file, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (type == NULL)
        return -1;
    int outcome = PyModule_AddObjectRef(module, name, type);
    Py_DECREF(type);
    return outcome;
}

int engine_add_to(PyObject *module)
{
    const struct {
        PyObject **string;
        const char *text;
    } strings[] = {
        {&engine_str_address, "address"}, {&engine_str_get, "_get"},       {&engine_str_set, "_set"},       {&engine_str_getitem, "_getitem"},
        {&engine_str_delete, "_delete"},  {&engine_str_exists, "_exists"}, {&engine_str_revive, "_revive"}, {&engine_str_get_below, "_get_below"},
    };
    for (size_t at = 0; at < sizeof strings / sizeof strings[0]; at++)
        if (*strings[at].string == NULL && (*strings[at].string = PyUnicode_InternFromString(strings[at].text)) == NULL)
            return -1;
    if (engine_no_value == NULL && (engine_no_value = PyTuple_Pack(2, Py_None, Py_False)) == NULL)
        return -1;
    if (add_type(module, "BytesBase", &engine_bytes_spec) < 0 || add_type(module, "ValuesBase", &engine_values_spec) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
