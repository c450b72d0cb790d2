/*
 * The table of an object cache: keys by hash and equality as in a dict, entries that stay where they are, numbered.
 *
 * Called by object_cache.c and object_flight.c with the cache's guard held; what is inline is on the way of a hit. It
 * knows of no order and no time: object_order.c and object_deadlines.c keep theirs in fields of the same entries.
 *
 * Entries hang in chains, one a bucket, and are added at a chain's end. So a look-up that had to let the guard go while it
 * compared (see table_find) goes on from the entry it was at, if that is still the same one, and has missed nothing.
 */
#ifndef CATZILLA_OBJECT_TABLE_H
#define CATZILLA_OBJECT_TABLE_H

/* Python.h comes first: it says which interfaces of the system there are. */
#include "native.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The guard of a cache. With the GIL it is the GIL: nothing that is done while the guard is "held" calls anything that
 * could let the GIL go, and that is all there is to it. Without a GIL it is a mutex. User code (__eq__, __hash__,
 * finalisers, weighers, timers) runs with the guard released in both, and so does everything that makes an object, since
 * that can start a collection.
 */
#ifdef Py_GIL_DISABLED
typedef PyMutex Guard;
#define GUARD_HOLD(guard) PyMutex_Lock(guard)
#define GUARD_RELEASE(guard) PyMutex_Unlock(guard)
#else
typedef char Guard;
#define GUARD_HOLD(guard) ((void)(guard))
#define GUARD_RELEASE(guard) ((void)(guard))
#endif

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Numbers of entries. */
#define NO_ENTRY UINT32_MAX
#define FIND_FAILED (UINT32_MAX - 1)
#define MOST_ENTRIES (UINT32_MAX - 2)

/* A deadline that never comes. */
#define NEVER INT64_MAX

typedef struct Flight Flight;

/* 64 bytes, one line of the processor's cache. */
typedef struct {
    Py_hash_t hash;
    PyObject *key; /* NULL: nobody lives here */
    union {
        PyObject *value;
        Flight *flight; /* in a table of loads under way */
    };
    uint32_t newer, older; /* object_order.c */
    uint32_t chain;        /* the next entry of the same bucket, or the next free one */
    uint32_t mark;         /* object_order.c */
    int64_t deadline;      /* when it expires, in nanoseconds; NEVER */
    uint32_t sooner, later; /* object_deadlines.c */
    uint64_t born;         /* counts insertions, so that two entries that follow each other in one place are told apart */
} Entry;

/* The neighbours of an entry in the list of those that were used as often. Only some orders have it. */
typedef struct {
    uint32_t newer, older;
} Neighbours;

typedef struct {
    Entry *entries;
    uint32_t *buckets;      /* the first entry of each */
    Neighbours *neighbours; /* beside the entries, or NULL */
    uint64_t *weights;      /* beside the entries, or NULL */
    void *memory;           /* of the entries, before they are aligned */
    uint32_t shift;         /* from a mixed hash to a bucket */
    uint32_t capacity;      /* entries for which there is room */
    uint32_t used;          /* entries that were ever handed out */
    uint32_t len;
    uint32_t first_free;
    bool has_neighbours, has_weights;
    uint64_t born;
} Table;

/* What is looked for: an object; or, when that is NULL, a tuple that nobody has made yet, as its items. */
typedef struct {
    PyObject *object;
    PyObject *const *items;
    Py_ssize_t count;
    Py_hash_t hash;
} Wanted;

/* References to be dropped when the guard has been released: what they were the last to hold may run anything. */
typedef struct {
    int len;
    PyObject *references[64];
} Dropped;

static inline void drop_later(Dropped *dropped, PyObject *reference)
{
    dropped->references[dropped->len++] = reference;
}

/* Whether an entry more (a key, its value, and a value that is replaced) may not fit. */
static inline bool dropped_is_full(const Dropped *dropped)
{
    return dropped->len > 64 - 4;
}

static inline void drop_now(Dropped *dropped)
{
    while (dropped->len > 0)
        Py_DECREF(dropped->references[--dropped->len]);
}

/* Makes room for one entry more, of at most `most` (0: any number). Runs no Python. False: no memory. */
bool table_grow(Table *table, uint64_t most);
/* Gives an empty table its arrays' shape before anything is in it. */
void table_init(Table *table);
/* Frees what an emptied table holds. The references in it are the caller's. */
void table_free(Table *table);
/* All live entries lose their references, then the memory goes. For a table that nobody else can reach. */
void table_drop_values(Table *table);
size_t table_bytes(const Table *table);
/* Adds the side arrays that an order or a bound needs, for all entries that there will be. False: no memory. */
bool table_add_neighbours(Table *table);
bool table_add_weights(Table *table);

/* Compares in full, with whatever __eq__ does: 1, 0, or -1 with an exception. */
int table_compare(PyObject *stored, const Wanted *wanted);

/* The hash that tuple(items) has, and whether that was found to be so. -1 with an exception. */
Py_hash_t table_hash_items(PyObject *const *items, Py_ssize_t count);
extern bool table_hashes_as_tuples_do;
int table_check_tuple_hash(void);

static inline uint32_t table_bucket(const Table *table, Py_hash_t hash)
{
    /* Fibonacci hashing: the upper bits of the product depend on all bits of the hash, which for an int is the int. */
    return (uint32_t)(((uint64_t)hash * UINT64_C(0x9E3779B97F4A7C15)) >> table->shift);
}

/* What can be told without running anything: 1 equal, 0 different, -1 that __eq__ has to say. */
static inline int match_objects(PyObject *stored, PyObject *wanted)
{
    if (LIKELY(stored == wanted))
        return 1;
    if (Py_TYPE(stored) != Py_TYPE(wanted))
        return -1;
    if (PyUnicode_CheckExact(stored)) {
        PyObject *equal = PyUnicode_RichCompare(stored, wanted, Py_EQ);
        if (UNLIKELY(equal == NULL)) {
            PyErr_Clear();
            return -1;
        }
        Py_DECREF(equal);
        return equal == Py_True;
    }
    if (PyLong_CheckExact(stored) || PyBytes_CheckExact(stored) || PyFloat_CheckExact(stored))
        return PyObject_RichCompareBool(stored, wanted, Py_EQ);
    return -1;
}

static inline int match(PyObject *stored, const Wanted *wanted)
{
    if (wanted->object != NULL)
        return match_objects(stored, wanted->object);
    if (!PyTuple_CheckExact(stored))
        return -1;
    if (PyTuple_Size(stored) != wanted->count)
        return 0;
    int all = 1;
    for (Py_ssize_t item = 0; item < wanted->count; item++) {
        int one = match_objects(PyTuple_GetItem(stored, item), wanted->items[item]);
        if (one == 0)
            return 0;
        if (one < 0)
            all = -1;
    }
    return all;
}

/*
 * The entry of a key; NO_ENTRY; FIND_FAILED with an exception. While __eq__ runs the guard is released, and the table may
 * be another one afterwards; then the look-up begins again if it could have missed something. When it returns, the guard
 * has been held since the last comparison.
 */
static inline uint32_t table_find(Table *table, const Wanted *wanted, Guard *guard)
{
again:
    if (table->len == 0)
        return NO_ENTRY;
    for (uint32_t at = table->buckets[table_bucket(table, wanted->hash)]; at != NO_ENTRY; at = table->entries[at].chain) {
        Entry *entry = &table->entries[at];
        if (entry->hash != wanted->hash)
            continue;
        int equal = match(entry->key, wanted);
        if (LIKELY(equal > 0))
            return at;
        if (equal == 0)
            continue;
        PyObject *stored = entry->key;
        uint64_t born = entry->born;
        uint32_t capacity = table->capacity;
        Py_INCREF(stored);
        GUARD_RELEASE(guard);
        equal = table_compare(stored, wanted);
        GUARD_HOLD(guard);
        bool is_same = at < table->used && table->entries[at].key == stored && table->entries[at].born == born;
        /* Growth hangs all entries anew, and some that were behind this one may be before it. */
        if (is_same && (equal != 0 || table->capacity == capacity)) {
            Py_DECREF(stored); /* not the last one: the table holds it */
            if (equal != 0)
                return equal > 0 ? at : FIND_FAILED;
            continue;
        }
        GUARD_RELEASE(guard);
        Py_DECREF(stored);
        GUARD_HOLD(guard);
        if (equal < 0)
            return FIND_FAILED;
        goto again;
    }
    return NO_ENTRY;
}

/* Whether table_insert has to be preceded by table_grow. */
static inline bool table_is_full(const Table *table)
{
    return table->first_free == NO_ENTRY && table->used == table->capacity;
}

/* An entry for a key that is not there, with the reference to it; the value is the caller's to fill in. There must be room. */
static inline uint32_t table_insert(Table *table, Py_hash_t hash, PyObject *key)
{
    uint32_t at = table->first_free;
    if (at != NO_ENTRY)
        table->first_free = table->entries[at].chain;
    else
        at = table->used++;
    Entry *entry = &table->entries[at];
    uint32_t *end = &table->buckets[table_bucket(table, hash)];
    while (*end != NO_ENTRY)
        end = &table->entries[*end].chain;
    *end = at;
    *entry = (Entry){.hash = hash, .key = key, .chain = NO_ENTRY, .deadline = NEVER, .born = ++table->born,
                     .newer = NO_ENTRY, .older = NO_ENTRY, .sooner = NO_ENTRY, .later = NO_ENTRY};
    table->len++;
    return at;
}

/* Takes an entry out. Its references are the caller's from now on, and still to be read from it until the next insertion. */
static inline void table_remove(Table *table, uint32_t at)
{
    Entry *entry = &table->entries[at];
    uint32_t *link = &table->buckets[table_bucket(table, entry->hash)];
    while (*link != at)
        link = &table->entries[*link].chain;
    *link = entry->chain;
    entry->key = NULL;
    entry->chain = table->first_free;
    table->first_free = at;
    table->len--;
}

#endif
