/* A set of hashes that knows their order. See object_ghost.h. */
#include "object_ghost.h"

#include <string.h>

#define NOBODY UINT32_MAX
#define FIRST_CAPACITY 16

void ghost_init(Ghost *ghost)
{
    memset(ghost, 0, sizeof *ghost);
    ghost->first_free = ghost->newest = ghost->oldest = NOBODY;
}

void ghost_free(Ghost *ghost)
{
    PyMem_Free(ghost->all);
    PyMem_Free(ghost->buckets);
    ghost_init(ghost);
}

size_t ghost_bytes(const Ghost *ghost)
{
    return ghost->capacity * (sizeof *ghost->all + 2 * sizeof *ghost->buckets);
}

static uint32_t *bucket(const Ghost *ghost, int64_t hash)
{
    return &ghost->buckets[((uint64_t)hash * UINT64_C(0x9E3779B97F4A7C15)) >> ghost->shift];
}

static void hang(Ghost *ghost, uint32_t at)
{
    uint32_t *first = bucket(ghost, ghost->all[at].hash);
    ghost->all[at].chain = *first;
    *first = at;
}

static bool grow(Ghost *ghost)
{
    uint64_t wanted = ghost->capacity == 0 ? FIRST_CAPACITY : (uint64_t)ghost->capacity * 2;
    if (wanted >= NOBODY)
        return false;
    uint32_t bits = 1;
    while ((UINT64_C(1) << bits) < 2 * wanted)
        bits++;
    uint32_t *buckets = PyMem_Malloc((size_t)(UINT64_C(1) << bits) * sizeof *buckets);
    Remembered *all = PyMem_Realloc(ghost->all, wanted * sizeof *all);
    if (all != NULL)
        ghost->all = all;
    if (all == NULL || buckets == NULL) {
        PyMem_Free(buckets);
        return false;
    }
    memset(buckets, 0xff, (size_t)(UINT64_C(1) << bits) * sizeof *buckets);
    PyMem_Free(ghost->buckets);
    ghost->buckets = buckets;
    ghost->shift = 64 - bits;
    ghost->capacity = (uint32_t)wanted;
    for (uint32_t at = ghost->oldest; at != NOBODY; at = ghost->all[at].newer)
        hang(ghost, at);
    return true;
}

static void forget(Ghost *ghost, uint32_t at)
{
    Remembered *gone = &ghost->all[at];
    uint32_t *link = bucket(ghost, gone->hash);
    while (*link != at)
        link = &ghost->all[*link].chain;
    *link = gone->chain;
    *(gone->newer != NOBODY ? &ghost->all[gone->newer].older : &ghost->newest) = gone->older;
    *(gone->older != NOBODY ? &ghost->all[gone->older].newer : &ghost->oldest) = gone->newer;
    gone->chain = ghost->first_free;
    ghost->first_free = at;
    ghost->len--;
}

bool ghost_take(Ghost *ghost, int64_t hash)
{
    if (ghost->len == 0)
        return false;
    for (uint32_t at = *bucket(ghost, hash); at != NOBODY; at = ghost->all[at].chain) {
        if (ghost->all[at].hash == hash) {
            forget(ghost, at);
            return true;
        }
    }
    return false;
}

void ghost_remember(Ghost *ghost, int64_t hash, uint64_t most)
{
    ghost_take(ghost, hash);
    /* One at least has to go; two, while the number of entries falls. */
    for (int gone = 0; ghost->len >= most && gone < 2; gone++)
        forget(ghost, ghost->oldest);
    if (ghost->first_free == NOBODY && ghost->used == ghost->capacity && !grow(ghost))
        return;
    uint32_t at = ghost->first_free;
    if (at != NOBODY)
        ghost->first_free = ghost->all[at].chain;
    else
        at = ghost->used++;
    ghost->all[at] = (Remembered){.hash = hash, .newer = NOBODY, .older = ghost->newest};
    *(ghost->newest != NOBODY ? &ghost->all[ghost->newest].newer : &ghost->oldest) = at;
    ghost->newest = at;
    ghost->len++;
    hang(ghost, at);
}
