/*
 * Bytes to containers, with a stack of our own: depth costs no C stack. All the values that the open containers still expect need
 * a byte each, so that little data cannot ask for much memory; equal keys are refused.
 */
#include "codec_reader.h"

#include <string.h>

/* A container that is being made. */
struct level {
    PyObject *made;
    PyObject *key;  /* of a dict, read and waiting for its value */
    size_t next;    /* the place of the next child */
    size_t count;   /* of children; keys and values of a dict counted singly */
    unsigned char tag;
};

struct stack {
    struct level *levels;
    size_t depth, capacity;
    struct level first[FIRST_DEPTH];
};

static int deeper(struct stack *stack, struct codec_reader *reader)
{
    if (stack->depth == MAX_DEPTH) {
        refuse(reader, "it is nested deeper than the 1000 containers that are allowed");
        return -1;
    }
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

/* Reads the head of a container behind its tag and puts it on the stack. 0, or -1 with a reason or an exception. */
static int enter(struct stack *stack, struct codec_reader *reader, unsigned char tag)
{
    if ((stack->depth == stack->capacity || stack->depth == MAX_DEPTH) && deeper(stack, reader) < 0)
        return -1;
    size_t count;
    if (codec_read_length(reader, &count) < 0)
        return -1;
    /* Never wraps: what is owed is below what was left before, and 2 * count is at most twice 63 bits. */
    if (count > remaining(reader) || count * (tag == TAG_DICT ? 2 : 1) + reader->owed > remaining(reader)) {
        refuse(reader, "a container expects more values than bytes are left");
        return -1;
    }
    struct level *level = &stack->levels[stack->depth];
    level->tag = tag;
    level->count = tag == TAG_DICT ? 2 * count : count;
    level->next = 0;
    level->key = NULL;
    switch (tag) {
    case TAG_LIST:
        level->made = PyList_New((Py_ssize_t)count);
        break;
    case TAG_TUPLE:
        level->made = PyTuple_New((Py_ssize_t)count);
        break;
    case TAG_SET:
        level->made = PySet_New(NULL);
        break;
    case TAG_FROZENSET:
        level->made = PyFrozenSet_New(NULL);
        break;
    default:
        level->made = PyDict_New();
    }
    if (level->made == NULL)
        return -1;
    reader->owed += level->count;
    stack->depth++;
    return 0;
}

/* A key that has no hash, or keys so deep that they cannot be compared: not from a value that was stored. */
static int refuse_key(struct codec_reader *reader)
{
    if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_RecursionError)) {
        PyErr_Clear();
        refuse(reader, "a key or a member of a set is what cannot be one");
    }
    return -1;
}

/* Gives a container its next child, whose reference it takes. 0, or -1 with a reason or an exception. */
static inline int place(struct level *level, struct codec_reader *reader, PyObject *child)
{
    int done;
    size_t index = level->next++;
    switch (level->tag) {
    case TAG_LIST:
        return PyList_SetItem(level->made, (Py_ssize_t)index, child);
    case TAG_TUPLE:
        return PyTuple_SetItem(level->made, (Py_ssize_t)index, child);
    case TAG_DICT:
        if (level->key == NULL) {
            level->key = child;
            return 0;
        }
        done = PyDict_SetItem(level->made, level->key, child);
        Py_DECREF(level->key);
        level->key = NULL;
        break;
    default:
        done = PySet_Add(level->made, child);
    }
    Py_DECREF(child);
    return done < 0 ? refuse_key(reader) : 0;
}

/* The container, when it has all children; the caller gets the stack's reference. NULL with a reason. */
static PyObject *leave(struct stack *stack, struct codec_reader *reader)
{
    struct level *level = &stack->levels[--stack->depth];
    PyObject *made = level->made;
    size_t held = level->count;
    if (level->tag == TAG_DICT)
        held = 2 * (size_t)PyDict_Size(made);
    else if (level->tag == TAG_SET || level->tag == TAG_FROZENSET)
        held = (size_t)PySet_Size(made);
    if (held == level->count)
        return made;
    Py_DECREF(made);
    return refuse(reader, "a key or a member of a set comes twice");
}

PyObject *codec_read_container(struct codec_reader *reader, unsigned char tag)
{
    struct stack stack;
    stack.levels = stack.first;
    stack.depth = 0;
    stack.capacity = FIRST_DEPTH;
    PyObject *value = NULL;
    for (;;) {
        if (tag >= TAG_LIST && tag <= TAG_DICT) {
            if (enter(&stack, reader, tag) < 0)
                break;
        } else {
            struct level *around = &stack.levels[stack.depth - 1];
            value = codec_read_inside(reader, tag, around->tag == TAG_DICT && around->key == NULL);
            if (value == NULL || place(around, reader, value) < 0)
                break;
        }
        /* Every container that now has all its children is a child of the one around it. */
        value = NULL;
        while (stack.levels[stack.depth - 1].next == stack.levels[stack.depth - 1].count) {
            value = leave(&stack, reader);
            if (value == NULL || stack.depth == 0)
                goto done;
            if (place(&stack.levels[stack.depth - 1], reader, value) < 0) {
                value = NULL;
                goto done;
            }
            value = NULL;
        }
        if (reader->at == reader->end) {
            refuse(reader, "it ends inside a container");
            break;
        }
        tag = *reader->at++;
        reader->owed--;
    }
    value = NULL;
done:
    while (stack.depth > 0) {
        struct level *level = &stack.levels[--stack.depth];
        Py_XDECREF(level->key);
        Py_DECREF(level->made);
    }
    if (stack.levels != stack.first)
        PyMem_Free(stack.levels);
    return value;
}
