/*
 * What S3-FIFO remembers of keys that left: their hashes, in the order in which they left, up to a number of them.
 *
 * Called by object_order.c. Two keys of one hash are one here: then a newcomer is taken for one that has come back, and
 * that is all. Where there is no memory, less is remembered.
 */
#ifndef CATZILLA_OBJECT_GHOST_H
#define CATZILLA_OBJECT_GHOST_H

#include "native.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t hash;
    uint32_t newer, older;
    uint32_t chain;
} Remembered;

typedef struct {
    Remembered *all;
    uint32_t *buckets;
    uint32_t capacity, used, len, first_free, newest, oldest;
    uint32_t shift;
} Ghost;

void ghost_init(Ghost *ghost);
void ghost_free(Ghost *ghost);
/* Whether the hash is remembered. It no longer is afterwards. */
bool ghost_take(Ghost *ghost, int64_t hash);
/* Remembers a hash as the newest of at most `most`, which is not 0. */
void ghost_remember(Ghost *ghost, int64_t hash, uint64_t most);
size_t ghost_bytes(const Ghost *ghost);

#endif
