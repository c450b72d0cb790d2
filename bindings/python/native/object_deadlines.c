/* A list and a heap of entries by deadline. See object_deadlines.h. */
#include "object_deadlines.h"

#include <string.h>

/* `later` of an entry that is in the heap; its `sooner` is the place there. */
#define IN_HEAP (UINT32_MAX - 1)
#define FIRST_CAPACITY 16

void deadlines_init(Deadlines *deadlines)
{
    memset(deadlines, 0, sizeof *deadlines);
    deadlines->first = deadlines->last = NO_ENTRY;
}

void deadlines_free(Deadlines *deadlines)
{
    PyMem_Free(deadlines->heap);
    deadlines_init(deadlines);
}

bool deadlines_reserve(Deadlines *deadlines)
{
    if (LIKELY(deadlines->heap_len < deadlines->heap_capacity))
        return true;
    uint64_t wanted = deadlines->heap_capacity == 0 ? FIRST_CAPACITY : (uint64_t)deadlines->heap_capacity * 2;
    uint32_t *heap = wanted > UINT32_MAX ? NULL : PyMem_Realloc(deadlines->heap, wanted * sizeof *heap);
    if (heap == NULL)
        return false;
    deadlines->heap = heap;
    deadlines->heap_capacity = (uint32_t)wanted;
    return true;
}

static bool is_sooner(const Entry *one, const Entry *other)
{
    return one->deadline != other->deadline ? one->deadline < other->deadline : one->born < other->born;
}

static void place(Deadlines *deadlines, Entry *entries, uint32_t place, uint32_t at)
{
    deadlines->heap[place] = at;
    entries[at].sooner = place;
}

static void rise(Deadlines *deadlines, Entry *entries, uint32_t here, uint32_t at)
{
    while (here > 0) {
        uint32_t above = (here - 1) / 2;
        if (!is_sooner(&entries[at], &entries[deadlines->heap[above]]))
            break;
        place(deadlines, entries, here, deadlines->heap[above]);
        here = above;
    }
    place(deadlines, entries, here, at);
}

static void sink(Deadlines *deadlines, Entry *entries, uint32_t here, uint32_t at)
{
    for (;;) {
        uint64_t below = 2 * (uint64_t)here + 1;
        if (below >= deadlines->heap_len)
            break;
        if (below + 1 < deadlines->heap_len &&
            is_sooner(&entries[deadlines->heap[below + 1]], &entries[deadlines->heap[below]]))
            below++;
        if (!is_sooner(&entries[deadlines->heap[below]], &entries[at]))
            break;
        place(deadlines, entries, here, deadlines->heap[below]);
        here = (uint32_t)below;
    }
    place(deadlines, entries, here, at);
}

void deadlines_add(Deadlines *deadlines, Entry *entries, uint32_t at)
{
    Entry *entry = &entries[at];
    deadlines->len++;
    if (deadlines->last != NO_ENTRY && is_sooner(entry, &entries[deadlines->last])) {
        entry->later = IN_HEAP;
        rise(deadlines, entries, deadlines->heap_len++, at);
        return;
    }
    entry->sooner = deadlines->last;
    entry->later = NO_ENTRY;
    if (deadlines->last != NO_ENTRY)
        entries[deadlines->last].later = at;
    else
        deadlines->first = at;
    deadlines->last = at;
}

void deadlines_remove(Deadlines *deadlines, Entry *entries, uint32_t at)
{
    Entry *entry = &entries[at];
    deadlines->len--;
    if (entry->later == IN_HEAP) {
        uint32_t here = entry->sooner, moved = deadlines->heap[--deadlines->heap_len];
        if (moved == at)
            return;
        if (here > 0 && is_sooner(&entries[moved], &entries[deadlines->heap[(here - 1) / 2]]))
            rise(deadlines, entries, here, moved);
        else
            sink(deadlines, entries, here, moved);
        return;
    }
    if (entry->later != NO_ENTRY)
        entries[entry->later].sooner = entry->sooner;
    else
        deadlines->last = entry->sooner;
    if (entry->sooner != NO_ENTRY)
        entries[entry->sooner].later = entry->later;
    else
        deadlines->first = entry->later;
}

uint32_t deadlines_soonest(const Deadlines *deadlines, const Entry *entries)
{
    if (deadlines->heap_len == 0)
        return deadlines->first;
    uint32_t top = deadlines->heap[0];
    if (deadlines->first == NO_ENTRY || is_sooner(&entries[top], &entries[deadlines->first]))
        return top;
    return deadlines->first;
}
