/*
 * The type `_native.ObjectCache` (object_methods.c), what it does (object_cache.c), and what the decorator
 * (object_function.c) and the loads (object_flight.c) use of it.
 *
 * It has the methods that have to be fast. `catzilla_cache/objects.py` derives the public class from it, checks arguments
 * and words messages; `_objects_plain.py` is the same in Python.
 */
#ifndef CATZILLA_OBJECT_CACHE_H
#define CATZILLA_OBJECT_CACHE_H

#include "object_order.h"
#include "object_table.h"

#include <time.h>

/* Instead of a lifetime: the cache's own. */
#define LIFETIME_OF_CACHE (-1)

typedef struct {
    PyObject_HEAD
    Guard guard;
    Table table;
    Order order;
    Deadlines deadlines;
    uint64_t hits, misses, evictions;
    uint64_t max_size;  /* 0: no bound */
    uint64_t max_bytes; /* 0: no bound, and nothing is weighed */
    uint64_t bytes;
    int64_t lifetime; /* nanoseconds, or NEVER */
    uint64_t clears;  /* how often everything was removed at once */
    Table flights;    /* loads under way, by key */
    PyObject *weigher; /* NULL: nothing is weighed */
    PyObject *timer;   /* NULL: the system's clock */
    PyObject *weak_references;
} ObjectCache;

/* The moment of a call. With a timer it is asked before the guard is held, and then it is what it is. */
typedef struct {
    int64_t now; /* NEVER: to be read from the clock */
} Moment;

/* Asks the timer if there is one and anything can expire. False with an exception. */
bool moment_begin(ObjectCache *cache, bool is_timed, Moment *moment);
int64_t clock_read(void);
bool clock_has_passed(int64_t deadline);

/*
 * Stores a value. With `flight`, only if that is still the load of its key. `key` may be the very object that was looked
 * for. False with an exception.
 */
bool cache_put(ObjectCache *cache, const Wanted *wanted, PyObject *key, PyObject *value, int64_t lifetime, Flight *flight);
/* Removes a key: its value, a new reference; NULL without an exception when it is not there. */
PyObject *cache_remove(ObjectCache *cache, PyObject *key);
/* 1, 0, or -1 with an exception. */
int cache_contains(ObjectCache *cache, PyObject *key);
void cache_empty(ObjectCache *cache);
/* Removes what had expired at that moment: how many entries. */
uint64_t cache_cleanup(ObjectCache *cache, Moment moment);
/* Another bound on entries (0: none). What is above it leaves. */
void cache_bound(ObjectCache *cache, uint64_t max_size);
/* With the guard held: an entry leaves. */
void cache_take_out(ObjectCache *cache, uint32_t at, Dropped *dropped);

static inline bool has_expired(const Entry *entry, Moment moment)
{
    if (LIKELY(entry->deadline == NEVER))
        return false;
    return moment.now != NEVER ? moment.now >= entry->deadline : clock_has_passed(entry->deadline);
}

/*
 * A look-up that counts: a new reference, or NULL; with an exception if it is one. The guard is not held, before and after.
 */
static inline PyObject *cache_get(ObjectCache *cache, const Wanted *wanted)
{
    Moment moment = {NEVER};
    if (UNLIKELY(cache->timer != NULL) && !moment_begin(cache, false, &moment))
        return NULL;
    GUARD_HOLD(&cache->guard);
    uint32_t at = table_find(&cache->table, wanted, &cache->guard);
    if (LIKELY(at < FIND_FAILED)) {
        Entry *entry = &cache->table.entries[at];
        if (LIKELY(!has_expired(entry, moment))) {
            PyObject *value = entry->value;
            Py_INCREF(value);
            cache->hits++;
            order_touch(&cache->order, &cache->table, at);
            GUARD_RELEASE(&cache->guard);
            return value;
        }
        Dropped dropped = {.len = 0};
        cache_take_out(cache, at, &dropped);
        cache->misses++;
        GUARD_RELEASE(&cache->guard);
        drop_now(&dropped);
        return NULL;
    }
    cache->misses += at == NO_ENTRY;
    GUARD_RELEASE(&cache->guard);
    return NULL;
}

static inline bool wanted_from(Wanted *wanted, PyObject *key)
{
    wanted->object = key;
    wanted->hash = PyObject_Hash(key);
    return LIKELY(wanted->hash != -1);
}

extern PyTypeObject *object_cache_type;
int object_cache_add_to(PyObject *module);

#endif
