/* What the builtins on a cache share: see `engine.c`, which has what both classes need, `engine_bytes.c` and `engine_values.c`. */
#ifndef CATZILLA_ENGINE_H
#define CATZILLA_ENGINE_H

#include "arguments.h"

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

/* What a call works on. A listener that the call runs may close the cache: the handle held here keeps it until the call is over. */
struct held {
    PyObject *handle;
    catzilla_cache_t *cache;
    int memory_only;
    _Atomic int *is_long;
};

struct key {
    const char *data;
    Py_ssize_t len;
};

/* NOT_SERVED: found, and nothing to give to whoever asks; ELSEWHERE: the method in Python has to go on. */
enum answer { FOUND, ABSENT, NOT_SERVED, ELSEWHERE, FAILED };

/* Who is asked: every tier; memory, and then others for many keys at once; memory, and then whoever loads the key, who counts it. */
enum reach { EVERY_TIER, THEN_A_BATCH, THEN_A_LOADER };

/* The names of the methods in Python, interned. */
extern PyObject *engine_str_get, *engine_str_set, *engine_str_getitem, *engine_str_revive;

/* 0: the cache is closed. What is held is let go of by the same call. */
static inline int engine_hold(struct engine *self, struct held *held)
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

static inline void engine_let_go(struct held *held)
{
    Py_DECREF(held->handle);
}

/* The bytes of a key, which live as long as the object. 0: the method in Python has to see to it. */
static inline int engine_key_of(PyObject *object, struct key *key)
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

/* Shows the visitor a key's value, perhaps while the engine holds the entry. ELSEWHERE: the caller, or the method in Python, has to go on. */
enum answer engine_visit(struct held *held, const struct key *key, enum reach reach, catzilla_visitor_t visitor, void *user);

/* Stores bytes in a cache that has memory alone. False: the method in Python has to. */
int engine_stored(struct held *held, const struct key *key, const void *data, size_t len, uint64_t ttl_ms);

/* The one argument of a builtin, which hardly anybody names; NULL with an exception. */
static inline PyObject *engine_only(const char *function, const char *name, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return count == 1 && names == NULL ? args[0] : arguments_only(function, name, args, count, names);
}

/* Calls a method with the arguments that a builtin was given. */
PyObject *engine_in_python(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* Looks a key up for the calls below: `*found` is a new reference to the value when FOUND, to the pair that `_revive` gave when NOT_SERVED. */
typedef enum answer (*finder)(PyObject *self, PyObject *key, enum reach reach, PyObject **found);

PyObject *engine_getitem(PyObject *object, PyObject *key, finder find);

/* Those of the keys that memory has go into a dict; the others are asked of `_get_below`, if there is anybody to ask. */
PyObject *engine_get_many(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names, finder find);

/* Makes bytes of a value and stores them. 1: done; 0: the method in Python has to; -1 with an exception. */
typedef int (*storer)(struct held *held, const struct key *key, PyObject *value, uint64_t ttl_ms);

/* The same for a call of `set(key, value, ttl)`. */
int engine_set(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names, storer store);

#define ENGINE_METHOD(method) (PyCFunction)(void (*)(void))(method), METH_FASTCALL | METH_KEYWORDS

/* Methods and slots that both classes have. */
PyObject *engine_attach(PyObject *object, PyObject *const *args, Py_ssize_t count);
PyObject *engine_detach(PyObject *object, PyObject *unused);
PyObject *engine_delete(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *engine_exists(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names);
int engine_contains(PyObject *object, PyObject *key);
int engine_traverse(PyObject *object, visitproc visit, void *arg);
int engine_clear(PyObject *object);
void engine_dealloc(PyObject *object);

/* The two classes. */
extern PyType_Spec engine_bytes_spec, engine_values_spec;

/* A visitor that makes `bytes` at `*(PyObject **)user`. */
void engine_make_bytes(void *user, const void *data, size_t len);

/* (None, False), made with the module. */
extern PyObject *engine_no_value;

#endif
