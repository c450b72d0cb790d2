/* The object cache as a Python type: how one is made and ends, and its part in garbage collection. See object_cache.h. */
#include "object_lifetime.h"
#include "object_methods.h"

#include <structmember.h>

PyTypeObject *object_cache_type;

/* (max_size, policy, lifetime, threshold, max_bytes, weigher, timer), all checked by objects.py; 0 is no bound, None is
   not there. */
static int cache_initialise(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    ObjectCache *cache = (ObjectCache *)self;
    unsigned long long max_size, max_bytes;
    long long lifetime;
    int policy;
    double threshold;
    PyObject *weigher, *timer;
    if (keywords != NULL && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "ObjectCache takes no keywords");
        return -1;
    }
    if (!PyArg_ParseTuple(arguments, "KiLdKOO", &max_size, &policy, &lifetime, &threshold, &max_bytes, &weigher, &timer))
        return -1;
    if (cache->table.capacity > 0 || cache->clears > 0) {
        PyErr_SetString(PyExc_RuntimeError, "a cache that was used cannot be initialised again");
        return -1;
    }
    cache->max_size = max_size;
    cache->max_bytes = max_bytes;
    cache->lifetime = lifetime;
    cache->order.policy = (PolicyNumber)policy;
    cache->order.threshold = threshold;
    if (!order_begin(&cache->order, &cache->table) || (max_bytes != 0 && !table_add_weights(&cache->table))) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *old_weigher = cache->weigher, *old_timer = cache->timer;
    cache->weigher = weigher == Py_None ? NULL : weigher;
    cache->timer = timer == Py_None ? NULL : timer;
    Py_XINCREF(cache->weigher);
    Py_XINCREF(cache->timer);
    Py_XDECREF(old_weigher);
    Py_XDECREF(old_timer);
    return 0;
}

static PyObject *cache_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)arguments;
    (void)keywords;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ObjectCache *cache = (ObjectCache *)allocate(type, 0); /* with nothing but zeros in it */
    if (cache == NULL)
        return NULL;
    table_init(&cache->table);
    table_init(&cache->flights);
    order_init(&cache->order, LRU, 0.0);
    deadlines_init(&cache->deadlines);
    cache->max_size = 1;
    cache->lifetime = NEVER;
    return (PyObject *)cache;
}

static int cache_traverse(PyObject *self, visitproc visit, void *arg)
{
    /* No guard: the collector runs where no thread holds one. */
    ObjectCache *cache = (ObjectCache *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(cache->weigher);
    Py_VISIT(cache->timer);
    for (uint32_t at = 0; at < cache->table.used; at++) {
        Py_VISIT(cache->table.entries[at].key);
        if (cache->table.entries[at].key != NULL)
            Py_VISIT(cache->table.entries[at].value);
    }
    for (uint32_t at = 0; at < cache->flights.used; at++)
        Py_VISIT(cache->flights.entries[at].key);
    return 0;
}

static int cache_break_cycles(PyObject *self)
{
    ObjectCache *cache = (ObjectCache *)self;
    cache_empty(cache);
    Py_CLEAR(cache->weigher);
    Py_CLEAR(cache->timer);
    if (cache->max_bytes != 0) {
        /* A finaliser may still put something; nobody weighs any more. */
        cache->max_bytes = 0;
        cache->table.has_weights = false;
    }
    return 0;
}

static void cache_deallocate(PyObject *self)
{
    ObjectCache *cache = (ObjectCache *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (cache->weak_references != NULL)
        PyObject_ClearWeakRefs(self);
    cache_break_cycles(self);
    table_free(&cache->table);
    order_free(&cache->order);
    deadlines_free(&cache->deadlines);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ObjectCache, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A cache of Python objects: what objects.SmartCache is made of."},
    {Py_tp_new, cache_new},
    {Py_tp_init, cache_initialise},
    {Py_tp_dealloc, cache_deallocate},
    {Py_tp_traverse, cache_traverse},
    {Py_tp_clear, cache_break_cycles},
    {Py_tp_methods, object_cache_methods},
    {Py_tp_members, members},
    {Py_mp_length, object_cache_len},
    {Py_mp_subscript, object_cache_subscript},
    {Py_mp_ass_subscript, object_cache_assign},
    {Py_sq_contains, object_cache_contains},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "catzilla_cache._native.ObjectCache",
    .basicsize = sizeof(ObjectCache),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};

int object_cache_add_to(PyObject *module)
{
    object_cache_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (object_cache_type == NULL || object_lifetime_begin() < 0)
        return -1;
    Py_INCREF(object_cache_type); /* the module's own; this file's is for as long as the process runs */
    return PyModule_AddObject(module, "ObjectCache", (PyObject *)object_cache_type);
}
