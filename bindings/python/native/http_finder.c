/*
 * The type `_native.ResponseFinder`: answers a request from memory when there is nothing to think about. Anything out of the
 * ordinary (a request that asks for more than the answer, a response that is not fresh, a key that memory does not have) is None,
 * and Python goes on: so what the cache does is decided there, and `finder.py`, which is the same in Python, says what is
 * ordinary.
 *
 *     scope or environment -> key (http_key.c) -> look-up -> head (http_stored.c), conditions -> answer (http_messages.c)
 */
#include "http_finder.h"
#include "engine.h"
#include "http_call.h"
#include "http_key.h"
#include "http_stored.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    /* Microseconds that another's clock may be ahead; the same in `finder.py`. */
    MOST_AHEAD = 5 * 1000000,
    /* Bytes of a head that need no memory of their own. Arbitrary: most are shorter. */
    HEAD_ROOM = 2048,
};

struct finder {
    PyObject_HEAD
    /* A SmartCache, or NULL once the finder has been taken apart. */
    PyObject *cache;
    struct http_key_maker keys;
    struct http_messages messages;
    /* Hits by the number of the rule. */
    _Atomic uint64_t *hits;
    size_t rules;
    /* How many of these were told that they have it already. */
    _Atomic uint64_t not_modified;
    /* Whether HEAD is answered from what is stored for GET. */
    int takes_head;
};

static PyTypeObject *values_type, *finder_type;

/* ---- Looking up ---- */

struct visit {
    int64_t now;
    const struct http_key *key;
    size_t rules;
    struct http_messages *messages;
    /* `KIND_WSGI` or not; and not modified, if that is the verdict. */
    unsigned kind;
    enum http_verdict verdict;
    /* What was found: nothing while `block` is NULL. */
    struct http_stored stored;
    unsigned char *block;
    PyObject *body;
    int no_memory;
    unsigned char room[HEAD_ROOM];
};

/* Whether a request is answered with this and nothing else. */
static int is_served(const struct visit *visit, const struct http_stored *stored)
{
    if (stored->flags & STORED_NO_CACHE || (stored->flags & STORED_HEAD_ONLY && !visit->key->is_head) || stored->rule >= visit->rules)
        return 0;
    return visit->now < stored->fresh_until && stored->stored_at <= visit->now + MOST_AHEAD;
}

/* Takes what it needs while the engine holds the entry: see `engine_values.c` for what may be done here. */
static void show(void *user, const void *data, size_t len)
{
    struct visit *visit = user;
    const unsigned char *bytes = data;
    if (!http_stored_read(bytes, len, &visit->stored) || !is_served(visit, &visit->stored))
        return;
    visit->verdict = http_conditions_judge(&visit->key->conditions, bytes, &visit->stored);
    if (visit->verdict == VERDICT_UNKNOWN)
        return;
    size_t block_len = visit->stored.fields_end, body_at = visit->stored.body_at;
    unsigned char *block = block_len <= HEAD_ROOM ? visit->room : malloc(block_len);
    size_t body_len = visit->key->is_head || visit->verdict == SEND_NOT_MODIFIED ? 0 : len - body_at;
    if (visit->verdict == SEND_NOT_MODIFIED)
        visit->kind |= KIND_NOT_MODIFIED;
    PyObject *body = http_messages_body(visit->messages, visit->kind, &visit->stored, bytes + body_at, body_len);
    if (block == NULL || body == NULL) {
        visit->no_memory = 1;
        if (block != visit->room)
            free(block);
        Py_XDECREF(body);
        return;
    }
    memcpy(block, bytes, block_len);
    visit->block = block;
    visit->body = body;
}

static int64_t microseconds_now(void)
{
    /* Not the coarse clock, which may stand before the moment at which something was made stale. */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What answers the request with a key. 1; 0: somebody has to think about it; -1 with an exception. */
static int find(struct finder *self, const struct http_key *http_key, unsigned kind, struct http_answer *found)
{
    struct held held;
    struct visit visit;
    PyObject *cache = self->cache;
    if (http_key->is_head && !self->takes_head)
        return 0;
    if (cache == NULL || !engine_hold((struct engine *)cache, &held))
        return 0;
    visit.now = microseconds_now();
    visit.key = http_key;
    visit.messages = &self->messages;
    visit.kind = kind;
    visit.rules = self->rules;
    visit.block = NULL;
    visit.no_memory = 0;
    struct key key = {(const char *)http_key->data, http_key->len};
    engine_visit(&held, &key, THEN_A_LOADER, show, &visit);
    engine_let_go(&held);
    if (visit.no_memory) {
        PyErr_NoMemory();
        return -1;
    }
    if (visit.block == NULL)
        return 0;
    int made = http_messages_make(&self->messages, visit.kind, &visit.stored, visit.block, visit.body, visit.now, found);
    if (visit.block != visit.room)
        free(visit.block);
    if (made > 0) {
        atomic_fetch_add_explicit(&self->hits[visit.stored.rule], 1, memory_order_relaxed);
        if (visit.kind & KIND_NOT_MODIFIED)
            atomic_fetch_add_explicit(&self->not_modified, 1, memory_order_relaxed);
    }
    return made;
}

int http_find(PyObject *finder, PyObject *scope, struct http_answer *found)
{
    struct finder *self = (struct finder *)finder;
    struct http_key key;
    return http_key_of_scope(&self->keys, scope, &key) ? find(self, &key, KIND_ASGI, found) : 0;
}

int http_is_finder(PyObject *object)
{
    return Py_TYPE(object) == finder_type;
}

/* A tuple of what was found, which is let go of; or None. */
static PyObject *tuple_or_none(int found, const struct http_answer *answer)
{
    if (found < 0)
        return NULL;
    if (found == 0)
        Py_RETURN_NONE;
    PyObject *tuple = answer->fields == NULL ? PyTuple_Pack(2, answer->start, answer->body)
                                             : PyTuple_Pack(3, answer->start, answer->fields, answer->body);
    Py_DECREF(answer->start);
    Py_XDECREF(answer->fields);
    Py_DECREF(answer->body);
    return tuple;
}

static PyObject *finder_find(PyObject *object, PyObject *scope)
{
    struct http_answer answer;
    return tuple_or_none(http_find(object, scope, &answer), &answer);
}

static PyObject *finder_find_environ(PyObject *object, PyObject *environ)
{
    struct finder *self = (struct finder *)object;
    struct http_key key;
    struct http_answer answer;
    int found = http_key_of_environ(&self->keys, environ, &key) ? find(self, &key, KIND_WSGI, &answer) : 0;
    return tuple_or_none(found, &answer);
}

/* ---- Counting ---- */

static PyObject *finder_counts(PyObject *object, PyObject *unused)
{
    struct finder *self = (struct finder *)object;
    (void)unused;
    PyObject *counts = PyList_New((Py_ssize_t)self->rules);
    for (size_t rule = 0; counts != NULL && rule < self->rules; rule++) {
        PyObject *count = PyLong_FromUnsignedLongLong(atomic_load_explicit(&self->hits[rule], memory_order_relaxed));
        if (count == NULL || PyList_SetItem(counts, (Py_ssize_t)rule, count) < 0)
            Py_CLEAR(counts);
    }
    return counts;
}

static PyObject *finder_not_modified(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load_explicit(&((struct finder *)object)->not_modified, memory_order_relaxed));
}

static PyObject *finder_forget(PyObject *object, PyObject *unused)
{
    struct finder *self = (struct finder *)object;
    (void)unused;
    for (size_t rule = 0; rule < self->rules; rule++)
        atomic_store_explicit(&self->hits[rule], 0, memory_order_relaxed);
    atomic_store_explicit(&self->not_modified, 0, memory_order_relaxed);
    Py_RETURN_NONE;
}

/* ---- The type ---- */

static PyObject *finder_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"cache", "prefix", "key_fields", "ignored", "cache_name", "rules", "takes_head", "tells_x_cache", "tells_status", NULL};
    PyObject *cache, *prefix, *key_fields, *ignored, *cache_name;
    Py_ssize_t rules;
    int takes_head = 1, tells_x_cache = 1, tells_status = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO!O!O!O!n|p$pp:ResponseFinder", names, &cache, &PyBytes_Type, &prefix,
                                     &PyTuple_Type, &key_fields, &PyFrozenSet_Type, &ignored, &PyBytes_Type, &cache_name, &rules,
                                     &takes_head, &tells_x_cache, &tells_status))
        return NULL;
    if (!PyObject_TypeCheck(cache, values_type)) {
        PyErr_Format(PyExc_TypeError, "a ResponseFinder looks into a SmartCache, not into %R", cache);
        return NULL;
    }
    /* The number of a rule has 16 bits. */
    if (rules < 1 || rules > 1 << 16) {
        PyErr_Format(PyExc_ValueError, "rules is the number of rules and one, from 1 to 65536, not %zd", rules);
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct finder *self = (struct finder *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(cache);
    self->cache = cache;
    self->rules = (size_t)rules;
    self->takes_head = takes_head;
    self->hits = PyMem_Calloc((size_t)rules, sizeof *self->hits);
    if (self->hits == NULL)
        PyErr_NoMemory();
    unsigned tells = (tells_x_cache ? TELLS_X_CACHE : 0) | (tells_status ? TELLS_STATUS : 0);
    if (self->hits == NULL || http_key_begin(&self->keys, prefix, key_fields, ignored) < 0 ||
        http_messages_begin(&self->messages, cache_name, tells) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int finder_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct finder *)object)->cache);
    return http_messages_traverse(&((struct finder *)object)->messages, visit, arg);
}

static int finder_clear(PyObject *object)
{
    Py_CLEAR(((struct finder *)object)->cache);
    http_messages_break_cycles(&((struct finder *)object)->messages);
    return 0;
}

static void finder_dealloc(PyObject *object)
{
    struct finder *self = (struct finder *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    finder_clear(object);
    http_key_end(&self->keys);
    http_messages_end(&self->messages);
    PyMem_Free((void *)self->hits);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_object(object);
    Py_DECREF(type);
}

static PyMethodDef finder_methods[] = {
    {"find", finder_find, METH_O,
     "find(scope)\n\nThe two messages that answer a request, or None: somebody has to think about it."},
    {"find_environ", finder_find_environ, METH_O,
     "find_environ(environ)\n\nStatus line, fields and body that answer a request of WSGI, or None as above."},
    {"counts", finder_counts, METH_NOARGS, "counts()\n\nHow many requests were answered, by the number of the rule; 0: none."},
    {"not_modified", finder_not_modified, METH_NOARGS, "not_modified()\n\nHow many of them were answered by 304."},
    {"forget", finder_forget, METH_NOARGS, "forget()\n\nSets these to 0."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot finder_slots[] = {
    {Py_tp_new, finder_new},
    {Py_tp_dealloc, finder_dealloc},
    {Py_tp_traverse, finder_traverse},
    {Py_tp_clear, finder_clear},
    {Py_tp_methods, finder_methods},
    {Py_tp_doc, "ResponseFinder(cache, prefix, key_fields, ignored, cache_name, rules, takes_head=True, *, tells_x_cache=True, tells_status=True)\n\n"
                "Answers requests from memory: see `http/finder.py`."},
    {0, NULL},
};

static PyType_Spec finder_spec = {
    .name = "catzilla_cache._native.ResponseFinder",
    .basicsize = sizeof(struct finder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = finder_slots,
};

int http_add_to(PyObject *module)
{
    if (http_scope_prepare() < 0 || http_messages_prepare() < 0)
        return -1;
    if (values_type == NULL && (values_type = (PyTypeObject *)PyObject_GetAttrString(module, "ValuesBase")) == NULL)
        return -1;
    finder_type = (PyTypeObject *)PyType_FromSpec(&finder_spec);
    if (finder_type == NULL || PyModule_AddObjectRef(module, "ResponseFinder", (PyObject *)finder_type) < 0)
        return -1;
    return http_call_add_to(module);
}
