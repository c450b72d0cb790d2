/* A function that remembers its results. See object_function.h. */
#include "object_function.h"
#include "callable.h"
#include "object_cache.h"
#include "object_flight.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    Vectorcall vectorcall;
    PyObject *function;
    PyObject *cache; /* an ObjectCache */
    PyObject *begin; /* begin(key, arguments, keywords) of a coroutine function; NULL: a plain one */
    PyObject *dictionary;
    PyObject *weak_references;
    bool is_typed;
} CachedFunction;

static PyTypeObject *function_type;
/* What is between the positional arguments and the others in a key, and like nothing else. */
static PyObject *mark;

static PyObject *tuple_of(PyObject *const *items, Py_ssize_t count)
{
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t item = 0; tuple != NULL && item < count; item++) {
        Py_INCREF(items[item]);
        PyTuple_SetItem(tuple, item, items[item]);
    }
    return tuple;
}

/* The key of a call that has named arguments, or whose arguments' types matter: as functools makes it. */
static PyObject *composed_key(const CachedFunction *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0, all = count + named;
    PyObject *key = PyTuple_New(count + (named > 0 ? 1 + 2 * named : 0) + (self->is_typed ? all : 0));
    if (key == NULL)
        return NULL;
    Py_ssize_t at = 0;
#define APPEND(object)                        \
    do {                                      \
        PyObject *appended = (object);        \
        Py_INCREF(appended);                  \
        PyTuple_SetItem(key, at++, appended); \
    } while (0)
    for (Py_ssize_t item = 0; item < count; item++)
        APPEND(arguments[item]);
    if (named > 0)
        APPEND(mark);
    for (Py_ssize_t item = 0; item < named; item++) {
        APPEND(PyTuple_GetItem(names, item));
        APPEND(arguments[count + item]);
    }
    for (Py_ssize_t item = 0; self->is_typed && item < all; item++)
        APPEND((PyObject *)Py_TYPE(arguments[item]));
#undef APPEND
    return key;
}

static PyObject *keywords_of(PyObject *const *values, PyObject *names)
{
    PyObject *keywords = PyDict_New();
    for (Py_ssize_t item = 0; keywords != NULL && item < PyTuple_Size(names); item++) {
        if (PyDict_SetItem(keywords, PyTuple_GetItem(names, item), values[item]) < 0)
            Py_CLEAR(keywords);
    }
    return keywords;
}

/* What a call that found nothing does. The key is an object by now, and `wanted` means it. */
static PyObject *bring(CachedFunction *self, const Wanted *wanted, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *result = NULL, *keywords = NULL, *positional;
    bool is_whole_key = names == NULL && !self->is_typed && PyTuple_CheckExact(wanted->object);
    if (is_whole_key) {
        positional = wanted->object;
        Py_INCREF(positional);
    } else {
        positional = tuple_of(arguments, count);
    }
    if (positional != NULL && (names == NULL || (keywords = keywords_of(arguments + count, names)) != NULL)) {
        if (self->begin != NULL)
            result = PyObject_CallFunctionObjArgs(self->begin, wanted->object, positional,
                                                  keywords != NULL ? keywords : Py_None, NULL);
        else
            result = flight_load((ObjectCache *)self->cache, wanted, wanted->object, self->function, positional, keywords,
                                 LIFETIME_OF_CACHE);
    }
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return result;
}

static PyObject *function_vectorcall(PyObject *callable, PyObject *const *arguments, size_t count_and_flag, PyObject *names)
{
    CachedFunction *self = (CachedFunction *)callable;
    Py_ssize_t count = (Py_ssize_t)(count_and_flag & ~PY_VECTORCALL_ARGUMENTS_OFFSET);
    if (names != NULL && PyTuple_Size(names) == 0)
        names = NULL;
    PyObject *made = NULL;
    Wanted wanted = {NULL, arguments, count, -1};
    if (LIKELY(names == NULL && !self->is_typed)) {
        if (count == 1 && (PyUnicode_CheckExact(arguments[0]) || PyLong_CheckExact(arguments[0]))) {
            /* Its own key: equal to no other object that could be one. */
            wanted.object = arguments[0];
            wanted.hash = PyObject_Hash(arguments[0]);
        } else if (table_hashes_as_tuples_do) {
            wanted.hash = table_hash_items(arguments, count);
            if (wanted.hash == -1)
                return NULL;
        }
    }
    if (UNLIKELY(wanted.hash == -1)) {
        made = composed_key(self, arguments, count, names);
        if (made == NULL || !wanted_from(&wanted, made)) {
            Py_XDECREF(made);
            return NULL;
        }
    }
    PyObject *value = cache_get((ObjectCache *)self->cache, &wanted);
    if (LIKELY(value != NULL)) {
        Py_XDECREF(made);
        return self->begin == NULL ? value : ready_new(value);
    }
    if (PyErr_Occurred()) {
        Py_XDECREF(made);
        return NULL;
    }
    if (wanted.object == NULL) {
        wanted.object = made = tuple_of(arguments, count);
        if (made == NULL)
            return NULL;
    }
    value = bring(self, &wanted, arguments, count, names);
    Py_XDECREF(made);
    return value;
}

/* The call by way of a tuple and a dict, which comes from who does not know of the other. */
static PyObject *function_call(PyObject *callable, PyObject *arguments, PyObject *keywords)
{
    Py_ssize_t count = PyTuple_Size(arguments), named = keywords != NULL ? PyDict_Size(keywords) : 0;
    PyObject *names = named > 0 ? PyTuple_New(named) : NULL;
    PyObject **all = PyMem_Malloc((size_t)(count + named + 1) * sizeof *all);
    PyObject *result = NULL;
    if (all == NULL || (named > 0 && names == NULL)) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t item = 0; item < count; item++)
        all[item] = PyTuple_GetItem(arguments, item);
    Py_ssize_t position = 0, item = 0;
    PyObject *name, *value;
    while (named > 0 && item < named && PyDict_Next(keywords, &position, &name, &value)) {
        if (!PyUnicode_Check(name)) {
            PyErr_SetString(PyExc_TypeError, "keywords must be strings");
            goto done;
        }
        Py_INCREF(name);
        PyTuple_SetItem(names, item, name);
        all[count + item++] = value;
    }
    result = function_vectorcall(callable, all, (size_t)count, names);
done:
    PyMem_Free(all);
    Py_XDECREF(names);
    return result;
}

/* ---- The rest of a function ---- */

static PyObject *function_repr(PyObject *self)
{
    PyObject *name = PyObject_GetAttrString(self, "__qualname__");
    if (name == NULL)
        return NULL;
    PyObject *text = PyUnicode_FromFormat("<cached function %U at %p>", name, (void *)self);
    Py_DECREF(name);
    return text;
}

/* Found by its name when it is unpickled, as the function that it stands for would be; and a copy of a function is that
   function. */
static PyObject *function_reduce(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyObject *function_itself(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    Py_INCREF(self);
    return self;
}

static PyObject *on_cache(PyObject *self, const char *method)
{
    return PyObject_CallMethod(((CachedFunction *)self)->cache, method, NULL);
}

static PyObject *function_clear(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return on_cache(self, "_start_over");
}

static PyObject *function_stats(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return on_cache(self, "stats");
}

static PyObject *function_size(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return on_cache(self, "size");
}

static PyObject *function_info(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return on_cache(self, "_info");
}

/* CachedFunction(function, cache, typed, begin) */
static PyObject *function_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *function, *cache, *begin;
    int is_typed;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "OO!pO", &function, object_cache_type, &cache, &is_typed, &begin))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    CachedFunction *self = (CachedFunction *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->vectorcall = function_vectorcall;
    self->function = function;
    self->cache = cache;
    self->begin = begin == Py_None ? NULL : begin;
    self->is_typed = is_typed;
    Py_INCREF(function);
    Py_INCREF(cache);
    Py_XINCREF(self->begin);
    return (PyObject *)self;
}

static int function_traverse(PyObject *object, visitproc visit, void *arg)
{
    CachedFunction *self = (CachedFunction *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->function);
    Py_VISIT(self->cache);
    Py_VISIT(self->begin);
    Py_VISIT(self->dictionary);
    return 0;
}

static int function_break_cycles(PyObject *object)
{
    CachedFunction *self = (CachedFunction *)object;
    /* Function and cache stay: a finaliser may still call it, and the cache breaks its own cycles. */
    Py_CLEAR(self->dictionary);
    return 0;
}

static void function_deallocate(PyObject *object)
{
    CachedFunction *self = (CachedFunction *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs(object);
    Py_CLEAR(self->dictionary);
    Py_CLEAR(self->function);
    Py_CLEAR(self->cache);
    Py_CLEAR(self->begin);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"cache_clear", function_clear, METH_NOARGS,
     "cache_clear($self, /)\n--\n\nForgets all results and begins to count anew."},
    {"cache_stats", function_stats, METH_NOARGS, "cache_stats($self, /)\n--\n\nThe cache's stats()."},
    {"cache_size", function_size, METH_NOARGS, "cache_size($self, /)\n--\n\nHow many results are held."},
    {"cache_info", function_info, METH_NOARGS,
     "cache_info($self, /)\n--\n\nHits, misses, largest and current size, as functools.lru_cache tells them."},
    {"__reduce__", function_reduce, METH_NOARGS, NULL},
    {"__copy__", function_itself, METH_NOARGS, NULL},
    {"__deepcopy__", function_itself, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"cache", T_OBJECT_EX, offsetof(CachedFunction, cache), READONLY, "The SmartCache that holds the results."},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CachedFunction, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(CachedFunction, dictionary), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CachedFunction, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A function that remembers its results: what objects.cached makes."},
    {Py_tp_new, function_new},
    {Py_tp_dealloc, function_deallocate},
    {Py_tp_traverse, function_traverse},
    {Py_tp_clear, function_break_cycles},
    {Py_tp_call, function_call},
    {Py_tp_repr, function_repr},
    {Py_tp_descr_get, callable_bind},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "catzilla_cache._native.CachedFunction",
    .basicsize = sizeof(CachedFunction),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = slots,
};

int object_function_add_to(PyObject *module)
{
    if (callable_begin() < 0)
        return -1;
    mark = PyObject_CallObject((PyObject *)&PyBaseObject_Type, NULL);
    function_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (mark == NULL || function_type == NULL || table_check_tuple_hash() < 0)
        return -1;
    Py_INCREF(function_type);
    return PyModule_AddObject(module, "CachedFunction", (PyObject *)function_type);
}
