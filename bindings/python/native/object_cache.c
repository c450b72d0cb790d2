/* What can be done with an object cache: its bounds, its clock, what goes in and what goes out. See object_cache.h. */
#include "object_cache.h"
#include "object_flight.h"

/* At every put that knows the time so many entries that have expired go, so that they do not stay until the cache is full.
   A bound,
   so that no put is slow because much has expired; more than one, so that they get fewer. */
#define EXPIRED_A_PUT 8

/* ---- Time ---- */

int64_t clock_read(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The coarse clock costs a quarter of the other and is behind it by a tick, of 10 ms at most. So it decides all but what
   is close. */
#ifdef CLOCK_MONOTONIC_COARSE
#define TICK 20000000
static int64_t clock_read_coarse(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool clock_has_passed(int64_t deadline)
{
    int64_t coarse = clock_read_coarse();
    if (coarse >= deadline)
        return true;
    return deadline - coarse < TICK && clock_read() >= deadline;
}
#else
bool clock_has_passed(int64_t deadline)
{
    return clock_read() >= deadline;
}
#endif

bool moment_begin(ObjectCache *cache, bool is_timed, Moment *moment)
{
    moment->now = NEVER;
    if (cache->timer == NULL || (!is_timed && cache->deadlines.len == 0))
        return true;
    PyObject *told = PyObject_CallObject(cache->timer, NULL);
    if (told == NULL)
        return false;
    double seconds = PyFloat_AsDouble(told);
    Py_DECREF(told);
    if (seconds == -1.0 && PyErr_Occurred())
        return false;
    moment->now = (int64_t)(seconds * 1e9);
    return true;
}

/* ---- Entries ---- */

void cache_take_out(ObjectCache *cache, uint32_t at, Dropped *dropped)
{
    Entry *entry = &cache->table.entries[at];
    drop_later(dropped, entry->key);
    drop_later(dropped, entry->value);
    if (cache->table.has_weights)
        cache->bytes -= cache->table.weights[at];
    if (entry->deadline != NEVER)
        deadlines_remove(&cache->deadlines, cache->table.entries, at);
    order_remove(&cache->order, &cache->table, at);
    table_remove(&cache->table, at);
}

static void evict(ObjectCache *cache, Dropped *dropped)
{
    uint32_t at = order_victim(&cache->order, &cache->table, &cache->deadlines, cache->hits, cache->misses);
    order_evicted(&cache->order, &cache->table, at);
    cache_take_out(cache, at, dropped);
    cache->evictions++;
}

/* Takes out up to `most` entries that have expired. How many they were. */
static int take_out_expired(ObjectCache *cache, Moment moment, int most, Dropped *dropped)
{
    int taken = 0;
    while (taken < most && cache->deadlines.len > 0 && !dropped_is_full(dropped)) {
        uint32_t at = deadlines_soonest(&cache->deadlines, cache->table.entries);
        if (!has_expired(&cache->table.entries[at], moment))
            break;
        cache_take_out(cache, at, dropped);
        taken++;
    }
    return taken;
}

static void set_deadline(ObjectCache *cache, uint32_t at, int64_t deadline)
{
    Entry *entry = &cache->table.entries[at];
    if (entry->deadline != NEVER)
        deadlines_remove(&cache->deadlines, cache->table.entries, at);
    entry->deadline = deadline;
    if (deadline != NEVER) {
        entry->born = ++cache->table.born;
        deadlines_add(&cache->deadlines, cache->table.entries, at);
    }
}

/* What a value weighs, by the caller's function. False with an exception. */
static bool weigh(ObjectCache *cache, PyObject *value, uint64_t *weight)
{
    PyObject *told = PyObject_CallFunctionObjArgs(cache->weigher, value, NULL);
    if (told == NULL)
        return false;
    int overflow = 0;
    long long number = PyLong_Check(told) ? PyLong_AsLongLongAndOverflow(told, &overflow) : -1;
    bool is_weight = PyLong_Check(told) && number >= 0 && overflow == 0;
    if (!is_weight && !PyErr_Occurred())
        PyErr_Format(PyLong_Check(told) ? PyExc_ValueError : PyExc_TypeError,
                     "a weigher returns a number of bytes, 0 or more, not %R", told);
    Py_DECREF(told);
    *weight = (uint64_t)number;
    return is_weight;
}

static inline bool has_no_room(const ObjectCache *cache, uint64_t weight)
{
    return (cache->max_size != 0 && cache->table.len >= cache->max_size) ||
           (cache->max_bytes != 0 && cache->table.len > 0 && cache->bytes + weight > cache->max_bytes);
}

bool cache_put(ObjectCache *cache, const Wanted *wanted, PyObject *key, PyObject *value, int64_t lifetime, Flight *flight)
{
    Dropped dropped = {.len = 0};
    uint64_t weight = 0;
    if (UNLIKELY(cache->max_bytes != 0) && !weigh(cache, value, &weight))
        return false;
    if (lifetime == LIFETIME_OF_CACHE)
        lifetime = cache->lifetime;
    Moment moment = {NEVER};
    int64_t deadline = NEVER;
    if (UNLIKELY(lifetime != NEVER || cache->deadlines.len > 0)) {
        if (!moment_begin(cache, lifetime != NEVER, &moment))
            return false;
        if (moment.now == NEVER)
            moment.now = clock_read();
        deadline = lifetime != NEVER ? moment.now + lifetime : NEVER;
    }

    GUARD_HOLD(&cache->guard);
    if (UNLIKELY(cache->flights.len > 0) && flight == NULL && !flight_overtake(cache, wanted, &dropped)) {
        GUARD_RELEASE(&cache->guard);
        drop_now(&dropped);
        return false;
    }
    for (;;) {
        uint32_t at = table_find(&cache->table, wanted, &cache->guard);
        if (UNLIKELY(at == FIND_FAILED)) {
            GUARD_RELEASE(&cache->guard);
            drop_now(&dropped);
            return false;
        }
        if (flight != NULL && !flight->is_current)
            break;
        if (moment.now != NEVER) {
            take_out_expired(cache, moment, EXPIRED_A_PUT, &dropped);
            if (at != NO_ENTRY && cache->table.entries[at].key == NULL)
                at = NO_ENTRY;
        }
        if (deadline != NEVER && !deadlines_reserve(&cache->deadlines))
            goto no_memory;
        if (at != NO_ENTRY && UNLIKELY(cache->table.has_weights)) {
            /* One that has become too heavy for its place comes in anew, so that it is not its own victim. */
            if (cache->bytes - cache->table.weights[at] + weight > cache->max_bytes) {
                cache_take_out(cache, at, &dropped);
                at = NO_ENTRY;
            } else {
                cache->bytes += weight - cache->table.weights[at];
                cache->table.weights[at] = weight;
            }
        }
        if (at != NO_ENTRY) {
            Entry *entry = &cache->table.entries[at];
            drop_later(&dropped, entry->value);
            Py_INCREF(value);
            entry->value = value;
            order_touch(&cache->order, &cache->table, at);
            set_deadline(cache, at, deadline);
            break;
        }
        if (cache->max_bytes != 0 && weight > cache->max_bytes)
            break; /* nothing makes room for it */
        while (has_no_room(cache, weight) && !dropped_is_full(&dropped))
            evict(cache, &dropped);
        if (UNLIKELY(has_no_room(cache, weight))) {
            GUARD_RELEASE(&cache->guard);
            drop_now(&dropped);
            GUARD_HOLD(&cache->guard);
            continue;
        }
        if (UNLIKELY(table_is_full(&cache->table)) && !table_grow(&cache->table, cache->max_size))
            goto no_memory;
        Py_INCREF(key);
        Py_INCREF(value);
        at = table_insert(&cache->table, wanted->hash, key);
        cache->table.entries[at].value = value;
        if (cache->table.has_weights) {
            cache->table.weights[at] = weight;
            cache->bytes += weight;
        }
        order_insert(&cache->order, &cache->table, at);
        if (deadline != NEVER)
            set_deadline(cache, at, deadline);
        break;
    }
    GUARD_RELEASE(&cache->guard);
    drop_now(&dropped);
    return true;

no_memory:
    GUARD_RELEASE(&cache->guard);
    drop_now(&dropped);
    PyErr_NoMemory();
    return false;
}

PyObject *cache_remove(ObjectCache *cache, PyObject *key)
{
    Wanted wanted;
    Moment moment;
    Dropped dropped = {.len = 0};
    if (!wanted_from(&wanted, key) || !moment_begin(cache, false, &moment))
        return NULL;
    PyObject *value = NULL;
    GUARD_HOLD(&cache->guard);
    if (cache->flights.len == 0 || flight_overtake(cache, &wanted, &dropped)) {
        uint32_t at = table_find(&cache->table, &wanted, &cache->guard);
        if (at < FIND_FAILED) {
            if (!has_expired(&cache->table.entries[at], moment)) {
                value = cache->table.entries[at].value;
                Py_INCREF(value);
            }
            cache_take_out(cache, at, &dropped);
        }
    }
    GUARD_RELEASE(&cache->guard);
    drop_now(&dropped);
    return value;
}

int cache_contains(ObjectCache *cache, PyObject *key)
{
    Wanted wanted;
    Moment moment;
    if (!wanted_from(&wanted, key) || !moment_begin(cache, false, &moment))
        return -1;
    GUARD_HOLD(&cache->guard);
    uint32_t at = table_find(&cache->table, &wanted, &cache->guard);
    int is_there = at == FIND_FAILED ? -1 : at != NO_ENTRY && !has_expired(&cache->table.entries[at], moment);
    GUARD_RELEASE(&cache->guard);
    return is_there;
}

void cache_empty(ObjectCache *cache)
{
    Table taken, flights;
    GUARD_HOLD(&cache->guard);
    taken = cache->table;
    cache->table.memory = cache->table.buckets = NULL;
    cache->table.neighbours = NULL;
    cache->table.weights = NULL;
    table_free(&cache->table);
    order_clear(&cache->order);
    deadlines_free(&cache->deadlines);
    cache->bytes = 0;
    cache->clears++;
    flight_overtake_all(cache, &flights);
    GUARD_RELEASE(&cache->guard);
    flight_drop_keys(&flights);
    table_drop_values(&taken);
}

uint64_t cache_cleanup(ObjectCache *cache, Moment moment)
{
    uint64_t all = 0;
    int taken;
    do {
        Dropped dropped = {.len = 0};
        GUARD_HOLD(&cache->guard);
        taken = take_out_expired(cache, moment, 16, &dropped);
        GUARD_RELEASE(&cache->guard);
        drop_now(&dropped);
        all += (uint64_t)taken;
    } while (taken > 0);
    return all;
}

void cache_bound(ObjectCache *cache, uint64_t max_size)
{
    bool again = true;
    GUARD_HOLD(&cache->guard);
    cache->max_size = max_size;
    while (again) {
        Dropped dropped = {.len = 0};
        while (cache->max_size != 0 && cache->table.len > cache->max_size && !dropped_is_full(&dropped))
            evict(cache, &dropped);
        again = dropped.len > 0;
        GUARD_RELEASE(&cache->guard);
        drop_now(&dropped);
        GUARD_HOLD(&cache->guard);
    }
    GUARD_RELEASE(&cache->guard);
}
