/*
 * The entries of an object cache that expire, by when they do; those of one moment in the order in which they were stored.
 *
 * Called by object_cache.c and object_order.c with the guard held. With one lifetime for all, as nearly always, deadlines
 * come in their own order and are a list. One that is before the list's last goes into a heap.
 */
#ifndef CATZILLA_OBJECT_DEADLINES_H
#define CATZILLA_OBJECT_DEADLINES_H

#include "object_table.h"

typedef struct {
    uint32_t first, last; /* the list's soonest and latest */
    uint32_t *heap;
    uint32_t heap_len, heap_capacity;
    uint32_t len; /* of both */
} Deadlines;

void deadlines_init(Deadlines *deadlines);
void deadlines_free(Deadlines *deadlines);
/* Makes room for one more. False: no memory. */
bool deadlines_reserve(Deadlines *deadlines);
/* An entry that has just got its deadline, which is not NEVER, and was filed under none. There must be room. */
void deadlines_add(Deadlines *deadlines, Entry *entries, uint32_t at);
void deadlines_remove(Deadlines *deadlines, Entry *entries, uint32_t at);
/* Who expires first. There must be somebody. */
uint32_t deadlines_soonest(const Deadlines *deadlines, const Entry *entries);

#endif
