/*
 * Loads under way: of the threads that miss one key, one loads and the others wait for it.
 *
 * Called by object_cache.c (get_or_set, and everything that removes or replaces keys) and object_function.c. A flight
 * belongs to the thread that loads. It is in the cache's table of flights until that has ended, or until somebody has put
 * or removed its key: then what it brings is no longer news, is not stored, and goes to those alone who are waiting for it
 * already.
 */
#ifndef CATZILLA_OBJECT_FLIGHT_H
#define CATZILLA_OBJECT_FLIGHT_H

#include "object_cache.h"

struct Flight {
    uint32_t references;      /* of the loader, the table and those who wait; changed with the guard held */
    bool is_current;          /* it is in the table */
    bool has_landed;          /* the load has ended, and `value` is what it brought; NULL: nothing */
    unsigned long owner;      /* the thread */
    unsigned long forks;      /* of the process before it began: its thread is not there after one more */
    PyObject *value;
    PyThread_type_lock gate;  /* closed until the load has ended; made by the first who waits */
};

/*
 * The value of a key, from the cache or from `function(*arguments, **keywords)`; NULL with an exception. The look-up that
 * came before has been counted. `arguments` and `keywords` may be NULL. The value is kept for `lifetime`.
 */
PyObject *flight_load(ObjectCache *cache, const Wanted *wanted, PyObject *key, PyObject *function, PyObject *arguments,
                      PyObject *keywords, int64_t lifetime);

/* With the guard held: the flight of a key, if there is one, is overtaken. False with an exception. */
bool flight_overtake(ObjectCache *cache, const Wanted *wanted, Dropped *dropped);
/* With the guard held: all are. The table of flights is emptied into `taken`, whose keys are the caller's to drop. */
void flight_overtake_all(ObjectCache *cache, Table *taken);
void flight_drop_keys(Table *taken);

int flight_begin_watching_forks(void);

#endif
