/*
 * Containers to bytes, with a stack of our own: depth costs no C stack, and a container that is open already is seen. Such a
 * value has no end and is not plain.
 */
#include "codec_writer.h"

#include <string.h>

/* A container that is being written. All references are our own: a collection may change what holds them. */
struct level {
    PyObject *container;
    PyObject *source;  /* what is walked: the container, an iterator, or a copy that no other thread can change */
    PyObject *pending; /* the value of the dict's key that was given out last */
    Py_ssize_t next;   /* the place in the source */
    Py_ssize_t left;   /* how many children were announced and not given out yet; pairs for a dict */
    unsigned char tag;
};

struct stack {
    struct level *levels;
    size_t depth, capacity;
    struct level first[FIRST_DEPTH];
};

static void leave(struct stack *stack)
{
    struct level *level = &stack->levels[--stack->depth];
    Py_DECREF(level->container);
    Py_XDECREF(level->source);
    Py_XDECREF(level->pending);
}

static int changed(void)
{
    return codec_raise("catzilla_cache.errors", "CacheValueError", "the value was changed while it was being stored");
}

static int deeper(struct stack *stack)
{
    if (stack->depth == MAX_DEPTH)
        return codec_raise("catzilla_cache.errors", "CacheValueError", "a value nested deeper than %d containers",
                           (int)MAX_DEPTH);
    size_t capacity = stack->capacity * 2;
    struct level *levels =
        PyMem_Realloc(stack->levels == stack->first ? NULL : stack->levels, capacity * sizeof *levels);
    if (levels == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (stack->levels == stack->first)
        memcpy(levels, stack->first, sizeof stack->first);
    stack->levels = levels;
    stack->capacity = capacity;
    return 0;
}

/* Writes a container's head and puts it on the stack. 0: it is open already. */
static int enter(struct stack *stack, PyObject *container, struct codec_buffer *out)
{
    for (size_t at = 0; at < stack->depth; at++)
        if (stack->levels[at].container == container)
            return 0;
    if ((stack->depth == stack->capacity || stack->depth == MAX_DEPTH) && deeper(stack) < 0)
        return -1;
    struct level *level = &stack->levels[stack->depth];
    PyTypeObject *type = Py_TYPE(container);
    PyObject *source = container;
    if (type == &PyList_Type) {
        level->tag = TAG_LIST;
        level->left = PyList_Size(container);
        Py_INCREF(source);
    } else if (type == &PyTuple_Type) {
        level->tag = TAG_TUPLE;
        level->left = PyTuple_Size(container);
        Py_INCREF(source);
    } else if (type == &PyDict_Type) {
        level->tag = TAG_DICT;
#ifdef Py_GIL_DISABLED
        source = PyDict_Copy(container);
        if (source == NULL)
            return -1;
#else
        Py_INCREF(source);
#endif
        level->left = PyDict_Size(source);
    } else {
        level->tag = type == &PySet_Type ? TAG_SET : TAG_FROZENSET;
#ifdef Py_GIL_DISABLED
        PyObject *copy = PyFrozenSet_New(container);
        if (copy == NULL)
            return -1;
        level->left = PySet_Size(copy);
        source = PyObject_GetIter(copy);
        Py_DECREF(copy);
#else
        level->left = PySet_Size(container);
        source = PyObject_GetIter(container);
#endif
        if (source == NULL)
            return -1;
    }
    Py_INCREF(container);
    level->container = container;
    level->source = source;
    level->pending = NULL;
    level->next = 0;
    stack->depth++;

    unsigned char *at = room(out, 1 + MOST_LENGTH_BYTES);
    if (at == NULL)
        return -1;
    unsigned char *start = at;
    *at++ = level->tag;
    at = write_length(at, (size_t)level->left);
    out->len += (size_t)(at - start);
    return 1;
}

/* The next child, a new reference. NULL at the end, or with an exception. */
static inline PyObject *next_child(struct level *level)
{
    PyObject *child = NULL;
    if (level->pending != NULL) {
        child = level->pending;
        level->pending = NULL;
        return child;
    }
    switch (level->tag) {
    case TAG_DICT: {
        PyObject *value;
        if (PyDict_Next(level->source, &level->next, &child, &value)) {
            Py_INCREF(child);
            Py_INCREF(value);
            level->pending = value;
        }
        break;
    }
    case TAG_LIST:
#ifdef Py_GIL_DISABLED
        child = PyList_GetItemRef(level->source, level->next++);
        if (child == NULL)
            PyErr_Clear();
#else
        if (level->next < PyList_Size(level->source)) {
            child = PyList_GetItem(level->source, level->next++);
            Py_INCREF(child);
        }
#endif
        break;
    case TAG_TUPLE:
        if (level->left > 0) {
            child = PyTuple_GetItem(level->source, level->next++);
            Py_INCREF(child);
        }
        break;
    default:
        child = PyIter_Next(level->source);
        if (child == NULL && PyErr_Occurred()) {
            PyErr_Clear();
            changed();
            return NULL;
        }
    }
    if (child != NULL && level->left-- == 0) {
        Py_DECREF(child);
        changed();
        return NULL;
    }
    if (child == NULL && level->left > 0)
        changed();
    return child;
}

int codec_put_container(struct codec_buffer *out, PyObject *container)
{
    struct stack stack;
    stack.levels = stack.first;
    stack.depth = 0;
    stack.capacity = FIRST_DEPTH;
    int done = enter(&stack, container, out);
    while (done > 0 && stack.depth > 0) {
        PyObject *child = next_child(&stack.levels[stack.depth - 1]);
        if (child == NULL) {
            if (PyErr_Occurred())
                done = -1;
            else
                leave(&stack);
            continue;
        }
        done = codec_put_value(out, child, 0);
        if (done == IS_CONTAINER)
            done = enter(&stack, child, out);
        Py_DECREF(child);
    }
    while (stack.depth > 0)
        leave(&stack);
    if (stack.levels != stack.first)
        PyMem_Free(stack.levels);
    return done;
}
