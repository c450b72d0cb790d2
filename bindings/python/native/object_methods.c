/* The calls of an object cache: what the Python type's methods and brackets do. See object_cache.h. */
#include "object_methods.h"
#include "arguments.h"
#include "object_flight.h"
#include "object_lifetime.h"

PyDoc_STRVAR(get_doc, "get($self, /, key, default=None)\n--\n\n"
                      "The value of a key, or the default when it is absent or has expired.");
static PyObject *method_get(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *parsed[2] = {NULL, Py_None};
    if (LIKELY(count == 1 && keywords == NULL)) {
        parsed[0] = arguments[0];
    } else {
        static const char *const names[] = {"key", "default", NULL};
        if (!arguments_parse("get", names, 1, arguments, count, keywords, parsed))
            return NULL;
    }
    Wanted wanted;
    if (!wanted_from(&wanted, parsed[0]))
        return NULL;
    PyObject *value = cache_get((ObjectCache *)self, &wanted);
    if (LIKELY(value != NULL))
        return value;
    if (PyErr_Occurred())
        return NULL;
    Py_INCREF(parsed[1]);
    return parsed[1];
}

PyDoc_STRVAR(put_doc, "put($self, /, key, value, ttl_seconds=None)\n--\n\n"
                      "Stores a value; for ttl_seconds, when the cache's own lifetime is not meant.");
static PyObject *method_put(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    ObjectCache *cache = (ObjectCache *)self;
    PyObject *parsed[3] = {NULL, NULL, NULL};
    if (LIKELY(count == 2 && keywords == NULL)) {
        parsed[0] = arguments[0];
        parsed[1] = arguments[1];
    } else {
        static const char *const names[] = {"key", "value", "ttl_seconds", NULL};
        if (!arguments_parse("put", names, 2, arguments, count, keywords, parsed))
            return NULL;
    }
    int64_t lifetime = lifetime_from(cache, parsed[2]);
    Wanted wanted;
    if (lifetime == -2 || !wanted_from(&wanted, parsed[0]) ||
        !cache_put(cache, &wanted, parsed[0], parsed[1], lifetime, NULL))
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_or_set_doc,
             "get_or_set($self, /, key, loader, ttl_seconds=None)\n--\n\n"
             "The value of a key; if it is absent, what loader() returns, which is stored as by put.\n\n"
             "Of many threads that miss a key at the same time one runs its loader, and the others wait for what it\n"
             "returns. What a loader raises is raised to the one who ran it; of those who waited the next one loads. A key\n"
             "that is put or removed while it is being loaded stays as that has left it. A loader that asks for its own key\n"
             "gets a RuntimeError.");
static PyObject *method_get_or_set(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    ObjectCache *cache = (ObjectCache *)self;
    static const char *const names[] = {"key", "loader", "ttl_seconds", NULL};
    PyObject *parsed[3] = {NULL, NULL, NULL};
    if (!arguments_parse("get_or_set", names, 2, arguments, count, keywords, parsed))
        return NULL;
    int64_t lifetime = lifetime_from(cache, parsed[2]);
    Wanted wanted;
    if (lifetime == -2 || !wanted_from(&wanted, parsed[0]))
        return NULL;
    PyObject *value = cache_get(cache, &wanted);
    if (value != NULL || PyErr_Occurred())
        return value;
    return flight_load(cache, &wanted, parsed[0], parsed[1], NULL, NULL, lifetime);
}

PyDoc_STRVAR(contains_doc, "contains($self, /, key)\n--\n\nWhether a key is there. Not counted, and no use of it.");
static PyObject *method_contains(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *key = arguments_only("contains", "key", arguments, count, keywords);
    int is_there = key == NULL ? -1 : cache_contains((ObjectCache *)self, key);
    return is_there < 0 ? NULL : PyBool_FromLong(is_there);
}

PyDoc_STRVAR(remove_doc, "remove($self, /, key)\n--\n\nRemoves a key. Its value, or None when it was not there.");
static PyObject *method_remove(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *keywords)
{
    PyObject *key = arguments_only("remove", "key", arguments, count, keywords);
    PyObject *value = key == NULL ? NULL : cache_remove((ObjectCache *)self, key);
    if (value != NULL || PyErr_Occurred())
        return value;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nRemoves everything. The counters go on.");
static PyObject *method_clear(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    cache_empty((ObjectCache *)self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(size_doc, "size($self, /)\n--\n\nHow many entries are held, with those that have expired and were not met since.");
static PyObject *method_size(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return PyLong_FromUnsignedLong(((ObjectCache *)self)->table.len);
}

PyDoc_STRVAR(cleanup_doc, "cleanup($self, /)\n--\n\nRemoves what has expired, now. How many entries those were.");
static PyObject *method_cleanup(PyObject *self, PyObject *nothing)
{
    ObjectCache *cache = (ObjectCache *)self;
    (void)nothing;
    Moment moment;
    if (!moment_begin(cache, false, &moment))
        return NULL;
    if (moment.now == NEVER)
        moment.now = clock_read();
    return PyLong_FromUnsignedLongLong(cache_cleanup(cache, moment));
}

PyDoc_STRVAR(keys_doc, "keys($self, /)\n--\n\nThe keys that are there, as a list, in no order that is promised.");
static PyObject *method_keys(PyObject *self, PyObject *nothing)
{
    ObjectCache *cache = (ObjectCache *)self;
    (void)nothing;
    Moment moment;
    if (!moment_begin(cache, false, &moment))
        return NULL;
    /* The list is made before the guard is held, and may be too short by then; so it is as long as it turns out it has to be. */
    for (;;) {
        Py_ssize_t room = cache->table.len;
        PyObject *keys = PyList_New(room);
        if (keys == NULL)
            return NULL;
        Py_ssize_t len = 0;
        GUARD_HOLD(&cache->guard);
        bool fits = cache->table.len <= room;
        for (uint32_t at = 0; fits && at < cache->table.used; at++) {
            Entry *entry = &cache->table.entries[at];
            if (entry->key != NULL && !has_expired(entry, moment)) {
                Py_INCREF(entry->key);
                PyList_SetItem(keys, len++, entry->key);
            }
        }
        GUARD_RELEASE(&cache->guard);
        if (!fits) {
            Py_DECREF(keys);
            continue;
        }
        if (len < room && PyList_SetSlice(keys, len, room, NULL) < 0) {
            Py_DECREF(keys);
            return NULL;
        }
        return keys;
    }
}

/* The rest is called by the Python files beside objects.py alone. */

/* _peek(key, default): a look-up that is not counted, and no use. */
static PyObject *method_peek(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    ObjectCache *cache = (ObjectCache *)self;
    Wanted wanted;
    Moment moment;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_peek(key, default)");
        return NULL;
    }
    if (!wanted_from(&wanted, arguments[0]) || !moment_begin(cache, false, &moment))
        return NULL;
    PyObject *value = arguments[1];
    GUARD_HOLD(&cache->guard);
    uint32_t at = table_find(&cache->table, &wanted, &cache->guard);
    if (at < FIND_FAILED && !has_expired(&cache->table.entries[at], moment))
        value = cache->table.entries[at].value;
    if (at != FIND_FAILED)
        Py_INCREF(value);
    GUARD_RELEASE(&cache->guard);
    return at != FIND_FAILED ? value : NULL;
}

/* Types are for who checks types: SmartCache[str, int] is SmartCache. */
static PyObject *class_itself(PyObject *type, PyObject *ignored)
{
    (void)ignored;
    Py_INCREF(type);
    return type;
}

static PyObject *method_figures(PyObject *self, PyObject *nothing)
{
    ObjectCache *cache = (ObjectCache *)self;
    (void)nothing;
    GUARD_HOLD(&cache->guard);
    unsigned long long hits = cache->hits, misses = cache->misses, evictions = cache->evictions, bytes = cache->bytes,
                       size = cache->table.len, clears = cache->clears;
    GUARD_RELEASE(&cache->guard);
    return Py_BuildValue("(KKKKKK)", hits, misses, evictions, size, bytes, clears);
}

static PyObject *method_reset_figures(PyObject *self, PyObject *nothing)
{
    ObjectCache *cache = (ObjectCache *)self;
    (void)nothing;
    GUARD_HOLD(&cache->guard);
    cache->hits = cache->misses = cache->evictions = 0;
    cache->order.hits_seen = cache->order.misses_seen = 0;
    GUARD_RELEASE(&cache->guard);
    Py_RETURN_NONE;
}

static PyObject *method_bound(PyObject *self, PyObject *number)
{
    ObjectCache *cache = (ObjectCache *)self;
    unsigned long long max_size = PyLong_AsUnsignedLongLong(number);
    if (max_size == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    cache_bound(cache, max_size);
    Py_RETURN_NONE;
}

static PyObject *method_order(PyObject *self, PyObject *number)
{
    ObjectCache *cache = (ObjectCache *)self;
    long policy = PyLong_AsLong(number);
    if (policy == -1 && PyErr_Occurred())
        return NULL;
    if (policy < 0 || policy >= POLICIES) {
        PyErr_SetString(PyExc_ValueError, "no such policy");
        return NULL;
    }
    GUARD_HOLD(&cache->guard);
    bool done = (PolicyNumber)policy == cache->order.policy || order_change(&cache->order, &cache->table, (PolicyNumber)policy);
    GUARD_RELEASE(&cache->guard);
    if (!done)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *method_live(PyObject *self, PyObject *number)
{
    ObjectCache *cache = (ObjectCache *)self;
    long long lifetime = PyLong_AsLongLong(number);
    if (lifetime == -1 && PyErr_Occurred())
        return NULL;
    cache->lifetime = lifetime;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(sizeof_doc, "__sizeof__($self, /)\n--\n\nBytes of the cache itself, without its keys and values.");
static PyObject *method_sizeof(PyObject *self, PyObject *nothing)
{
    ObjectCache *cache = (ObjectCache *)self;
    (void)nothing;
    GUARD_HOLD(&cache->guard);
    size_t bytes = sizeof *cache + table_bytes(&cache->table) + order_bytes(&cache->order) +
                   cache->deadlines.heap_capacity * sizeof *cache->deadlines.heap;
    GUARD_RELEASE(&cache->guard);
    return PyLong_FromSize_t(bytes);
}

int object_cache_contains(PyObject *self, PyObject *key)
{
    return cache_contains((ObjectCache *)self, key);
}

Py_ssize_t object_cache_len(PyObject *self)
{
    return ((ObjectCache *)self)->table.len;
}

PyObject *object_cache_subscript(PyObject *self, PyObject *key)
{
    Wanted wanted;
    if (!wanted_from(&wanted, key))
        return NULL;
    PyObject *value = cache_get((ObjectCache *)self, &wanted);
    if (UNLIKELY(value == NULL) && !PyErr_Occurred()) {
        /* As a dict does it: a key that is a tuple is one argument. */
        PyObject *error = PyObject_CallFunctionObjArgs(PyExc_KeyError, key, NULL);
        if (error != NULL) {
            PyErr_SetObject(PyExc_KeyError, error);
            Py_DECREF(error);
        }
    }
    return value;
}

int object_cache_assign(PyObject *self, PyObject *key, PyObject *value)
{
    ObjectCache *cache = (ObjectCache *)self;
    if (value != NULL) {
        Wanted wanted;
        return wanted_from(&wanted, key) && cache_put(cache, &wanted, key, value, LIFETIME_OF_CACHE, NULL) ? 0 : -1;
    }
    PyObject *removed = cache_remove(cache, key);
    if (removed != NULL) {
        Py_DECREF(removed);
        return 0;
    }
    if (!PyErr_Occurred()) {
        PyObject *error = PyObject_CallFunctionObjArgs(PyExc_KeyError, key, NULL);
        if (error != NULL) {
            PyErr_SetObject(PyExc_KeyError, error);
            Py_DECREF(error);
        }
    }
    return -1;
}

#define FAST(method) ((PyCFunction)(void (*)(void))(method))

PyMethodDef object_cache_methods[] = {
    {"get", FAST(method_get), METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"put", FAST(method_put), METH_FASTCALL | METH_KEYWORDS, put_doc},
    {"get_or_set", FAST(method_get_or_set), METH_FASTCALL | METH_KEYWORDS, get_or_set_doc},
    {"contains", FAST(method_contains), METH_FASTCALL | METH_KEYWORDS, contains_doc},
    {"remove", FAST(method_remove), METH_FASTCALL | METH_KEYWORDS, remove_doc},
    {"clear", method_clear, METH_NOARGS, clear_doc},
    {"size", method_size, METH_NOARGS, size_doc},
    {"cleanup", method_cleanup, METH_NOARGS, cleanup_doc},
    {"keys", method_keys, METH_NOARGS, keys_doc},
    {"__class_getitem__", class_itself, METH_O | METH_CLASS, NULL},
    {"_peek", FAST(method_peek), METH_FASTCALL, NULL},
    {"_figures", method_figures, METH_NOARGS, NULL},
    {"_reset_figures", method_reset_figures, METH_NOARGS, NULL},
    {"_bound", method_bound, METH_O, NULL},
    {"_order", method_order, METH_O, NULL},
    {"_live", method_live, METH_O, NULL},
    {"__sizeof__", method_sizeof, METH_NOARGS, sizeof_doc},
    {NULL, NULL, 0, NULL},
};
