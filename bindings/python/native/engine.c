/*
 * The calls on a cache that have to be fast, as builtins: base classes that `BytesCache` and `SmartCache` inherit.
 *
 * Each does what memory can answer at once, with the interpreter's lock held and one copy; look-ups ask the tiers below it, too, without the
 * lock. Everything else (a key or a value that needs a word said about it, a write to those tiers, a failure) it leaves to the method of the same name with an underscore in front, which is written
 * in Python, for both backends: so what a call means is decided there alone.
 *
 * A value is made in the visitor, while the engine holds the entry. So only objects are made there that run no code and begin no collection.
 */
#include "native.h"
#include "codec.h"

#include <dlfcn.h>

/* Above this a put gives the interpreter's lock up: compressing and copying take longer than that costs. Arbitrary: some 10 us. */
#define LONG_VALUE (64 * 1024)

/* Room on the stack for a value from a tier below memory, which spares making a value of the engine's. Arbitrary: most are shorter. */
#define ROOM (16 * 1024)

struct engine {
    PyObject_HEAD
    /* The Python object that destroys the cache when its last reference goes; NULL when closed. */
    PyObject *handle;
    catzilla_cache_t *cache;
    /* Whether there are no tiers below memory: then no call waits for anything. */
    int memory_only;
    /* Whether the last value from below memory had no room on the stack: the next is held in the engine then, not asked for twice. */
    _Atomic int is_long;
};

static PyObject *no_value; /* (None, False) */
static PyObject *str_address, *str_get, *str_set, *str_getitem, *str_delete, *str_exists, *str_revive, *str_get_below;

/* ---- The cache, held for a call ---- */

/* What a call works on. A listener that the call runs may close the cache: the handle held here keeps it until the call is over. */
struct held {
    PyObject *handle;
    catzilla_cache_t *cache;
    int memory_only;
    _Atomic int *is_long;
};

static int hold(struct engine *self, struct held *held)
{
#ifdef Py_GIL_DISABLED
    Py_BEGIN_CRITICAL_SECTION(self);
#endif
    held->handle = self->handle;
    held->cache = self->cache;
    held->memory_only = self->memory_only;
    held->is_long = &self->is_long;
    Py_XINCREF(held->handle);
#ifdef Py_GIL_DISABLED
    Py_END_CRITICAL_SECTION();
#endif
    return held->handle != NULL;
}

static void let_go(struct held *held)
{
    Py_DECREF(held->handle);
}

/* ---- Keys ---- */

struct key {
    const char *data;
    Py_ssize_t len;
};

/* The bytes of a key; 0 for what needs a word said about it. */
static int key_of(PyObject *object, struct key *key)
{
    if (PyUnicode_CheckExact(object)) {
        key->data = PyUnicode_AsUTF8AndSize(object, &key->len);
        if (key->data != NULL)
            return 1;
        PyErr_Clear();
        return 0;
    }
    if (PyBytes_CheckExact(object)) {
        key->data = PyBytes_AsString(object);
        key->len = PyBytes_Size(object);
        return 1;
    }
    return 0;
}

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

static void make_bytes(void *user, const void *data, size_t len)
{
    *(PyObject **)user = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
}

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

enum answer { FOUND, ABSENT, ELSEWHERE, FAILED };

/* Who is asked: every tier; memory, and then others for many keys at once; memory, and then whoever loads the key, who counts it. */
enum reach { EVERY_TIER, THEN_A_BATCH, THEN_A_LOADER };

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

/* Shows the visitor a key's value. ELSEWHERE: the caller, or the method in Python, has to go on. */
static enum answer visit(struct held *held, const struct key *key, enum reach reach, catzilla_visitor_t visitor, void *user)
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

static enum answer find_bytes(struct engine *self, PyObject *object, enum reach reach, PyObject **found)
{
    struct held held;
    struct key key;
    *found = NULL;
    if (!hold(self, &held))
        return ELSEWHERE;
    enum answer answer = key_of(object, &key) ? visit(&held, &key, reach, make_bytes, found) : ELSEWHERE;
    let_go(&held);
    return answer == FOUND && *found == NULL ? FAILED : answer;
}

/* As find_bytes. What only Python code can read is asked of `_revive`, with the key and the stored bytes: it returns the pair. */
static enum answer find_value(struct engine *self, PyObject *object, enum reach reach, PyObject **found, PyObject **pair)
{
    struct held held;
    struct key key;
    struct shown shown = {NULL, SHOWN_VALUE};
    *found = *pair = NULL;
    if (!hold(self, &held))
        return ELSEWHERE;
    enum answer answer = key_of(object, &key) ? visit(&held, &key, reach, make_value, &shown) : ELSEWHERE;
    let_go(&held);
    if (answer != FOUND)
        return answer;
    if (shown.object == NULL)
        return FAILED;
    if (shown.what == SHOWN_PLAIN) {
        PyObject *bytes = shown.object;
        shown.object = codec_decode((const unsigned char *)PyBytes_AsString(bytes), (size_t)PyBytes_Size(bytes));
        if (shown.object == NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_Clear();
            shown.object = bytes;
            shown.what = SHOWN_OTHER;
        } else {
            Py_DECREF(bytes);
        }
    }
    if (shown.what != SHOWN_OTHER) {
        *found = shown.object;
        return *found == NULL ? FAILED : FOUND;
    }
    *pair = PyObject_CallMethodObjArgs((PyObject *)self, str_revive, object, shown.object, NULL);
    Py_DECREF(shown.object);
    if (*pair == NULL)
        return FAILED;
    if (!PyTuple_Check(*pair) || PyTuple_Size(*pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "_revive has to return a pair");
        Py_CLEAR(*pair);
        return FAILED;
    }
    return FOUND;
}

/* ---- Calls in Python ---- */

/* Calls a method with the arguments that a builtin was given. */
static PyObject *in_python(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count, PyObject *names)
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

static PyObject *engine_attach(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    struct engine *self = (struct engine *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_attach takes a handle, and whether there is memory alone");
        return NULL;
    }
    PyObject *address = PyObject_GetAttr(args[0], str_address);
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

static PyObject *engine_detach(PyObject *object, PyObject *unused)
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
static int engine_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct engine *)object)->handle);
    return 0;
}

static int engine_clear(PyObject *object)
{
    Py_CLEAR(((struct engine *)object)->handle);
    return 0;
}

static void engine_dealloc(PyObject *object)
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
    if (hold((struct engine *)object, &held)) {
        if (held.memory_only && key_of(key_object, &key))
            status = question(held.cache, key.data, (size_t)key.len);
        let_go(&held);
    }
    if (status >= CATZILLA_OK)
        return PyBool_FromLong(status == CATZILLA_OK);
    return PyObject_CallMethodObjArgs(object, name, key_object, NULL);
}

static PyObject *engine_delete(PyObject *object, PyObject *key)
{
    return ask(object, key, catzilla_cache_remove, str_delete);
}

static PyObject *engine_exists(PyObject *object, PyObject *key)
{
    return ask(object, key, catzilla_cache_contains, str_exists);
}

static int engine_contains(PyObject *object, PyObject *key)
{
    PyObject *answer = engine_exists(object, key);
    if (answer == NULL)
        return -1;
    int is_there = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return is_there;
}

/* Stores bytes in a cache that has memory alone. False: the method in Python has to. */
static int stored(struct held *held, const struct key *key, const void *data, size_t len, uint64_t ttl_ms)
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

/* Looks one key up for `get_many`; found is a new reference when the answer is FOUND, or NULL for what is not to be believed. */
typedef enum answer (*finder)(PyObject *self, PyObject *key, PyObject **found);

static enum answer find_one_bytes(PyObject *self, PyObject *key, PyObject **found)
{
    return find_bytes((struct engine *)self, key, THEN_A_BATCH, found);
}

static enum answer find_one_value(PyObject *self, PyObject *key, PyObject **found)
{
    PyObject *pair;
    enum answer answer = find_value((struct engine *)self, key, THEN_A_BATCH, found, &pair);
    if (answer == FOUND && pair != NULL) {
        if (PyTuple_GetItem(pair, 1) == Py_True) {
            *found = PyTuple_GetItem(pair, 0);
            Py_INCREF(*found);
        }
        Py_DECREF(pair);
    }
    return answer;
}

/* Those of the keys that memory has go into a dict; the others are asked of `_get_below`, if there is anybody to ask. */
static PyObject *get_many(PyObject *object, PyObject *keys, finder find)
{
    PyObject *all = NULL, *missing = NULL, *found = PyDict_New(), *iterator = PyObject_GetIter(keys), *key;
    if (found == NULL || iterator == NULL)
        goto done;
    while ((key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = NULL;
        enum answer answer = find(object, key, &value);
        int failure = answer == FAILED;
        if (answer == FOUND && value != NULL) {
            failure = PyDict_SetItem(found, key, value) < 0;
            Py_DECREF(value);
        } else if (answer == ELSEWHERE) {
            if (missing == NULL)
                missing = PyList_New(0);
            failure = missing == NULL || PyList_Append(missing, key) < 0;
        }
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
        all = PyObject_CallMethodObjArgs(object, str_get_below, found, missing, NULL);
    }
done:
    Py_XDECREF(found);
    Py_XDECREF(missing);
    Py_XDECREF(iterator);
    return all;
}

static PyObject *bytes_get_many(PyObject *object, PyObject *keys)
{
    return get_many(object, keys, find_one_bytes);
}

static PyObject *values_get_many(PyObject *object, PyObject *keys)
{
    return get_many(object, keys, find_one_value);
}

/* ---- BytesBase ---- */

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
    return in_python(object, str_get, args, count, names);
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
    return PyObject_CallMethodObjArgs(object, str_getitem, key, NULL);
}

static PyObject *bytes_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct held held;
    struct key key;
    uint64_t ttl_ms;
    if (names == NULL && (count == 2 || count == 3) && PyBytes_CheckExact(args[1]) && hold((struct engine *)object, &held)) {
        int done = held.memory_only && key_of(args[0], &key) && ttl_of(count == 3 ? args[2] : NULL, &ttl_ms) &&
                   stored(&held, &key, PyBytes_AsString(args[1]), (size_t)PyBytes_Size(args[1]), ttl_ms);
        let_go(&held);
        if (done)
            Py_RETURN_NONE;
    }
    return in_python(object, str_set, args, count, names);
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

static PyType_Spec bytes_spec = {
    .name = "catzilla_cache._native.BytesBase",
    .basicsize = sizeof(struct engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = bytes_slots,
};

/* ---- ValuesBase ---- */

static PyObject *values_get(PyObject *object, PyObject *key)
{
    PyObject *found, *pair;
    switch (find_value((struct engine *)object, key, EVERY_TIER, &found, &pair)) {
    case FOUND:
        if (pair != NULL)
            return pair;
        pair = PyTuple_Pack(2, found, Py_True);
        Py_DECREF(found);
        return pair;
    case ABSENT:
        Py_INCREF(no_value);
        return no_value;
    case FAILED:
        return NULL;
    case ELSEWHERE:
        break;
    }
    return PyObject_CallMethodObjArgs(object, str_get, key, NULL);
}

/* What memory has, for calls that go on and are counted there. */
static PyObject *values_get_from_memory(PyObject *object, PyObject *key)
{
    PyObject *found, *pair;
    switch (find_value((struct engine *)object, key, THEN_A_LOADER, &found, &pair)) {
    case FOUND:
        if (pair != NULL)
            return pair;
        pair = PyTuple_Pack(2, found, Py_True);
        Py_DECREF(found);
        return pair;
    case FAILED:
        return NULL;
    default:
        Py_INCREF(no_value);
        return no_value;
    }
}

static PyObject *values_getitem(PyObject *object, PyObject *key)
{
    PyObject *found, *pair;
    switch (find_value((struct engine *)object, key, EVERY_TIER, &found, &pair)) {
    case FOUND:
        if (pair == NULL)
            return found;
        if (PyTuple_GetItem(pair, 1) == Py_True) {
            found = PyTuple_GetItem(pair, 0);
            Py_INCREF(found);
            Py_DECREF(pair);
            return found;
        }
        Py_DECREF(pair);
        /* fall through */
    case ABSENT:
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    case FAILED:
        return NULL;
    case ELSEWHERE:
        break;
    }
    return PyObject_CallMethodObjArgs(object, str_getitem, key, NULL);
}

static PyObject *values_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct held held;
    struct key key;
    uint64_t ttl_ms;
    if (names == NULL && (count == 2 || count == 3) && hold((struct engine *)object, &held)) {
        struct codec_buffer encoded;
        int done = 0;
        if (held.memory_only && key_of(args[0], &key) && ttl_of(count == 3 ? args[2] : NULL, &ttl_ms)) {
            codec_buffer_init(&encoded);
            int outcome = codec_encode(args[1], &encoded);
            done = outcome < 0 ? -1 : outcome > 0 && stored(&held, &key, encoded.data, encoded.len, ttl_ms);
            codec_buffer_free(&encoded);
        }
        let_go(&held);
        if (done > 0)
            Py_RETURN_TRUE;
        if (done < 0)
            return NULL;
    }
    return in_python(object, str_set, args, count, names);
}

static PyMethodDef values_methods[] = {
    {"_attach", (PyCFunction)(void (*)(void))engine_attach, METH_FASTCALL, NULL},
    {"_detach", engine_detach, METH_NOARGS, NULL},
    {"get", values_get, METH_O, "get(key)\n\nThe value of a key and True, or None and False."},
    {"set", (PyCFunction)(void (*)(void))values_set, METH_FASTCALL | METH_KEYWORDS,
     "set(key, value, ttl=None, *, tags=())\n\nStores a value, for `ttl` seconds; None or 0 is the default lifetime of each tier. True."},
    {"_get_from_memory", values_get_from_memory, METH_O, NULL},
    {"get_many", values_get_many, METH_O, "get_many(keys)\n\nThe values of those keys that are there."},
    {"delete", engine_delete, METH_O, "delete(key)\n\nRemoves a key from every tier. True when it was there."},
    {"exists", engine_exists, METH_O, "exists(key)\n\nWhether something is stored under a key. Counts neither as a request nor as a use, and does not read the value."},
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

static PyType_Spec values_spec = {
    .name = "catzilla_cache._native.ValuesBase",
    .basicsize = sizeof(struct engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = values_slots,
};

/* ---- Functions ---- */

/* Status and bytes, from memory alone; for calls that Python code goes on with. */
static PyObject *read_memory(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyObject *bytes = NULL;
    struct key key;
    (void)module;
    int is_last = count == 3 ? PyObject_IsTrue(args[2]) : -1;
    if (is_last < 0 || !key_of(args[1], &key)) {
        PyErr_SetString(PyExc_TypeError, "read_memory takes the address of a cache, a key, and whether that is the last look-up");
        return NULL;
    }
    catzilla_cache_t *cache = PyLong_AsVoidPtr(args[0]);
    if (cache == NULL && PyErr_Occurred())
        return NULL;
    catzilla_status_t status = catzilla_memory_visit(cache, key.data, (size_t)key.len, is_last, make_bytes, &bytes);
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
        {&str_address, "address"}, {&str_get, "_get"},       {&str_set, "_set"},       {&str_getitem, "_getitem"},
        {&str_delete, "_delete"},  {&str_exists, "_exists"}, {&str_revive, "_revive"}, {&str_get_below, "_get_below"},
    };
    for (size_t at = 0; at < sizeof strings / sizeof strings[0]; at++)
        if (*strings[at].string == NULL && (*strings[at].string = PyUnicode_InternFromString(strings[at].text)) == NULL)
            return -1;
    if (no_value == NULL && (no_value = PyTuple_Pack(2, Py_None, Py_False)) == NULL)
        return -1;
    if (add_type(module, "BytesBase", &bytes_spec) < 0 || add_type(module, "ValuesBase", &values_spec) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
