/* Threads that miss one key: one loads, the others wait. See object_flight.h. */
#include "object_flight.h"

#include <pthread.h>

/* ---- A flight ---- */

static unsigned long forks;
static void forget_other_threads(void);

static void count_fork(void)
{
    forks++;
    forget_other_threads();
}

int flight_begin_watching_forks(void)
{
    if (pthread_atfork(NULL, NULL, count_fork) == 0)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static Flight *flight_new(void)
{
    Flight *flight = PyMem_Calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    flight->references = 1;
    flight->owner = PyThread_get_thread_ident();
    flight->forks = forks;
    return flight;
}

/* With the guard held: gives a reference back. True when it was the last one, and the flight is to be freed without the
   guard. */
static bool flight_leave(Flight *flight)
{
    return --flight->references == 0;
}

static void flight_free(Flight *flight)
{
    Py_XDECREF(flight->value);
    if (flight->gate != NULL)
        PyThread_free_lock(flight->gate);
    PyMem_Free(flight);
}

/* Takes the entry of a flight out of the table, with the table's reference. The key is the caller's to drop. */
static PyObject *take_from_table(ObjectCache *cache, uint32_t at)
{
    Entry *entry = &cache->flights.entries[at];
    PyObject *key = entry->key;
    entry->flight->is_current = false;
    flight_leave(entry->flight); /* who loads has another one */
    table_remove(&cache->flights, at);
    return key;
}

bool flight_overtake(ObjectCache *cache, const Wanted *wanted, Dropped *dropped)
{
    uint32_t at = table_find(&cache->flights, wanted, &cache->guard);
    if (at == FIND_FAILED)
        return false;
    if (at != NO_ENTRY)
        drop_later(dropped, take_from_table(cache, at));
    return true;
}

void flight_overtake_all(ObjectCache *cache, Table *taken)
{
    for (uint32_t at = 0; at < cache->flights.used; at++) {
        Entry *entry = &cache->flights.entries[at];
        if (entry->key != NULL) {
            entry->flight->is_current = false;
            flight_leave(entry->flight);
        }
    }
    *taken = cache->flights;
    uint64_t born = cache->flights.born;
    table_init(&cache->flights);
    cache->flights.born = born;
}

void flight_drop_keys(Table *taken)
{
    for (uint32_t at = 0; at < taken->used; at++)
        Py_XDECREF(taken->entries[at].key);
    table_free(taken);
}

/* ---- Waiting ---- */

/*
 * Threads that wait, each for the owner of a flight. Where that would close a circle of threads that wait for each other,
 * nobody waits: whose wait would be the last loads for itself.
 */
typedef struct Waiter {
    unsigned long thread;
    const Flight *flight;
    struct Waiter *next;
} Waiter;

static Waiter *waiters;
static Guard waiters_guard;

/* In a child after a fork: none of them is there, and their records were on their stacks. */
static void forget_other_threads(void)
{
    waiters = NULL;
    waiters_guard = (Guard){0};
}

static bool would_wait_for_itself(const Waiter *waiter)
{
    unsigned long thread = waiter->flight->owner;
    for (;;) {
        const Waiter *other = waiters;
        while (other != NULL && other->thread != thread)
            other = other->next;
        if (other == NULL)
            return false;
        thread = other->flight->owner;
        if (thread == waiter->thread)
            return true;
    }
}

/* False: the wait would never end. */
static bool begin_to_wait(Waiter *waiter)
{
    GUARD_HOLD(&waiters_guard);
    bool may_wait = !would_wait_for_itself(waiter);
    if (may_wait) {
        waiter->next = waiters;
        waiters = waiter;
    }
    GUARD_RELEASE(&waiters_guard);
    return may_wait;
}

static void end_to_wait(Waiter *waiter)
{
    GUARD_HOLD(&waiters_guard);
    Waiter **link = &waiters;
    while (*link != NULL && *link != waiter)
        link = &(*link)->next;
    if (*link != NULL)
        *link = waiter->next;
    GUARD_RELEASE(&waiters_guard);
}

/* Goes through the gate when it opens, and leaves it open. False with an exception that a signal's handler raised. */
static bool pass(PyThread_type_lock gate)
{
    for (;;) {
        PyLockStatus status;
        Py_BEGIN_ALLOW_THREADS;
        status = PyThread_acquire_lock_timed(gate, -1, 1);
        Py_END_ALLOW_THREADS;
        if (status == PY_LOCK_ACQUIRED) {
            PyThread_release_lock(gate);
            return true;
        }
        if (PyErr_CheckSignals() < 0)
            return false;
    }
}

/* ---- Loading ---- */

static PyObject *call(PyObject *function, PyObject *arguments, PyObject *keywords)
{
    return arguments != NULL ? PyObject_Call(function, arguments, keywords) : PyObject_CallObject(function, NULL);
}

/* Ends a flight: with a value (or none, and the exception that there is) for those who wait. */
static void land(ObjectCache *cache, const Wanted *wanted, Flight *flight, PyObject *value)
{
    PyObject *key = NULL;
    Py_XINCREF(value);
    GUARD_HOLD(&cache->guard);
    flight->value = value;
    flight->has_landed = true;
    if (flight->is_current) {
        /* By identity: no __eq__ is asked for what is known to be there. */
        uint32_t at = cache->flights.buckets[table_bucket(&cache->flights, wanted->hash)];
        while (cache->flights.entries[at].flight != flight)
            at = cache->flights.entries[at].chain;
        key = take_from_table(cache, at);
    }
    if (flight->gate != NULL)
        PyThread_release_lock(flight->gate);
    bool was_last = flight_leave(flight);
    GUARD_RELEASE(&cache->guard);
    if (was_last)
        flight_free(flight);
    Py_XDECREF(key);
}

/* The thread of a flight loads. */
static PyObject *fly(ObjectCache *cache, const Wanted *wanted, PyObject *key, Flight *flight, PyObject *function,
                     PyObject *arguments, PyObject *keywords, int64_t lifetime)
{
    PyObject *value = call(function, arguments, keywords);
    if (value != NULL && !cache_put(cache, wanted, key, value, lifetime, flight)) {
        Py_DECREF(value);
        value = NULL;
    }
    land(cache, wanted, flight, value);
    return value;
}

/* With the guard held: a gate for the first who waits. */
static bool has_gate(Flight *flight)
{
    if (flight->gate == NULL) {
        flight->gate = PyThread_allocate_lock();
        if (flight->gate == NULL)
            return false;
        PyThread_acquire_lock(flight->gate, NOWAIT_LOCK);
    }
    return true;
}

/*
 * Waits for somebody else's flight, on which there is a reference that ends here: 1 and its value, which may be none; 0 if
 * the wait would never end; -1 with an exception.
 */
static int wait_for(ObjectCache *cache, Flight *flight, PyObject **value)
{
    Waiter waiter = {.thread = PyThread_get_thread_ident(), .flight = flight};
    int outcome = 0;
    if (begin_to_wait(&waiter)) {
        outcome = pass(flight->gate) ? 1 : -1;
        end_to_wait(&waiter);
    }
    GUARD_HOLD(&cache->guard);
    *value = outcome > 0 ? flight->value : NULL;
    Py_XINCREF(*value);
    bool was_last = flight_leave(flight);
    GUARD_RELEASE(&cache->guard);
    if (was_last)
        flight_free(flight);
    return outcome;
}

/* With the guard held: a flight of this thread's, in the table. NULL: no memory. */
static Flight *take_off(ObjectCache *cache, const Wanted *wanted, PyObject *key)
{
    if (table_is_full(&cache->flights) && !table_grow(&cache->flights, 0))
        return NULL;
    Flight *flight = flight_new();
    if (flight == NULL)
        return NULL;
    Py_INCREF(key);
    uint32_t at = table_insert(&cache->flights, wanted->hash, key);
    cache->flights.entries[at].flight = flight;
    flight->references++;
    flight->is_current = true;
    return flight;
}

typedef enum { FOUND, MY_TURN, SOMEBODY_ELSES, FAILED } Turn;

/* Whose turn it is to bring the value of a key: it is there (`value`), or is brought by `flight`, on which there is a
   reference. */
static Turn whose_turn(ObjectCache *cache, const Wanted *wanted, PyObject *key, Moment moment, PyObject **value, Flight **flight)
{
    Turn turn = FAILED;
    PyObject *left_behind = NULL;
    GUARD_HOLD(&cache->guard);
again:;
    uint64_t born = cache->table.born;
    uint32_t at = table_find(&cache->table, wanted, &cache->guard);
    if (at < FIND_FAILED && !has_expired(&cache->table.entries[at], moment)) {
        *value = cache->table.entries[at].value;
        Py_INCREF(*value);
        turn = FOUND;
    } else if (at != FIND_FAILED && (at = table_find(&cache->flights, wanted, &cache->guard)) != FIND_FAILED) {
        *flight = at != NO_ENTRY ? cache->flights.entries[at].flight : NULL;
        if (*flight != NULL && (*flight)->forks != forks && left_behind == NULL) {
            /* Begun before this process was forked off, by a thread that it has not got. */
            left_behind = take_from_table(cache, at);
            *flight = NULL;
        }
        if (*flight == NULL && born != cache->table.born)
            goto again; /* it may have landed while __eq__ was asked about flights */
        if (*flight == NULL) {
            *flight = take_off(cache, wanted, key);
            turn = *flight != NULL ? MY_TURN : FAILED;
            if (*flight == NULL)
                PyErr_NoMemory();
        } else if ((*flight)->owner == PyThread_get_thread_ident()) {
            GUARD_RELEASE(&cache->guard);
            PyErr_Format(PyExc_RuntimeError,
                         "the loader of the key %R asks for that very key: it would wait for itself", key);
            GUARD_HOLD(&cache->guard);
        } else if (!has_gate(*flight)) {
            PyErr_NoMemory();
        } else {
            (*flight)->references++;
            turn = SOMEBODY_ELSES;
        }
    }
    GUARD_RELEASE(&cache->guard);
    Py_XDECREF(left_behind);
    return turn;
}

PyObject *flight_load(ObjectCache *cache, const Wanted *wanted, PyObject *key, PyObject *function, PyObject *arguments,
                      PyObject *keywords, int64_t lifetime)
{
    for (;;) {
        Moment moment;
        PyObject *value = NULL;
        Flight *flight;
        if (!moment_begin(cache, false, &moment))
            return NULL;
        Turn turn = whose_turn(cache, wanted, key, moment, &value, &flight);
        if (turn == FOUND || turn == FAILED)
            return value;
        if (turn == MY_TURN)
            return fly(cache, wanted, key, flight, function, arguments, keywords, lifetime);
        int waited = wait_for(cache, flight, &value);
        if (waited < 0 || value != NULL)
            return value;
        if (waited == 0) {
            value = call(function, arguments, keywords);
            if (value != NULL && !cache_put(cache, wanted, key, value, lifetime, NULL))
                Py_CLEAR(value);
            return value;
        }
        /* It brought nothing: the next one loads, and that may be this one. */
    }
}
