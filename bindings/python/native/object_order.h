/*
 * Who leaves an object cache that is full: the order of its entries, by policy.
 *
 * Called by object_cache.c with the guard held; runs no Python and, but for `order_begin` and the memory of S3-FIFO,
 * allocates nothing. Every policy finds its victim in a bounded number of steps. `_objects_plain.py` has the same rules
 * once more, and the tests hold the two side by side.
 *
 *   LRU        one list; a hit moves the entry to its new end.
 *   FIFO       the same list, and a hit does nothing.
 *   TTL        as FIFO among entries that never expire; otherwise who expires soonest (object_deadlines.c).
 *   SIEVE      the same list, and a hand that goes from old to new, round and round: it takes the bit that a hit has set,
 * and stops
 *              at an entry without. (Zhang, Yang, Yue, Vigfusson and Rashmi, NSDI 2024.)
 *   S3FIFO     two lists: newcomers are in the small one, a tenth; who was asked for there goes on to the main one, and so
 * does who
 *              comes back soon after it left. (Yang, Zhang, Qiu, Yue and Rashmi, SOSP 2023.)
 *   LFU        as many lists as there are counts of uses. A hit only counts; who is found to have been hit when its turn
 * comes is
 *              filed again, under its count and what the last victim was worth: so what was popular once ages. (LFU with
 * dynamic
 *              ageing: Arlitt, Cherkasova, Dilley, Friedrich and Jin, 2000.)
 *   ADAPTIVE   keeps the list of LRU and those of LFU, and goes by the second while more of the requests hit than a
 * threshold says.
 *
 * An entry's mark:
 *   31        26  25   24        16 15         8 7          0
 *   |  nothing  |main|    list     |   filed    |    uses    |
 *                     of LFU: worth   uses when    hits since,
 *                     mod 512         it was filed counted so far
 */
#ifndef CATZILLA_OBJECT_ORDER_H
#define CATZILLA_OBJECT_ORDER_H

#include "object_deadlines.h"
#include "object_ghost.h"
#include "object_table.h"

/* The numbers that _objects_plain.py gives the policies. */
typedef enum { LRU, LFU, TTL, ADAPTIVE, FIFO, SIEVE, S3FIFO, POLICIES } PolicyNumber;

#define MARK_USES UINT32_C(0xff)
#define MARK_FILED_SHIFT 8
#define MARK_LIST_SHIFT 16
#define MARK_MAIN (UINT32_C(1) << 25)

/* How far uses are counted: as the engine does it, where it is arbitrary for LFU and the paper's for S3-FIFO. */
#define MOST_USES_LFU 255
#define MOST_USES_S3FIFO 3
/* Twice what there can be at one time, which is MOST_USES_LFU and one: lists that are far apart have different numbers. */
#define LFU_LISTS 512

typedef struct {
    uint32_t newest, oldest, len;
} List;

typedef struct {
    List lists[LFU_LISTS];
    uint64_t in_use[LFU_LISTS / 64]; /* a bit a list: somebody is in it */
    uint64_t age;                    /* what the last victim was worth */
} Popularity;

typedef struct {
    PolicyNumber policy;
    List all;   /* every entry, but under S3FIFO those of the small queue */
    List main;  /* S3FIFO */
    uint32_t hand; /* SIEVE: where it stands; NO_ENTRY: at the oldest */
    Ghost ghost;   /* S3FIFO */
    Popularity *popularity; /* LFU and ADAPTIVE */
    /* ADAPTIVE. */
    double threshold;
    bool by_frequency, has_looked;
    uint64_t hits_seen, misses_seen;
} Order;

void order_init(Order *order, PolicyNumber policy, double threshold);
/* Makes what the policy of an empty cache needs. False: no memory. */
bool order_begin(Order *order, Table *table);
void order_free(Order *order);
/* Another policy: all entries are filed anew, in the order that the old one had, and every use but the first is forgotten. False: no
   memory, and all is as it was. */
bool order_change(Order *order, Table *table, PolicyNumber policy);
/* Nothing is in the cache any more. What is known of keys that left is forgotten as well. */
void order_clear(Order *order);
void order_insert(Order *order, Table *table, uint32_t at);
void order_remove(Order *order, Table *table, uint32_t at);
/* Who has to leave, still in its place. There must be somebody. */
uint32_t order_victim(Order *order, Table *table, Deadlines *deadlines, uint64_t hits, uint64_t misses);
/* Told of a victim before order_remove. */
void order_evicted(Order *order, Table *table, uint32_t at);
size_t order_bytes(const Order *order);

static inline void list_remove(List *list, Entry *entries, uint32_t at)
{
    Entry *entry = &entries[at];
    if (entry->newer != NO_ENTRY)
        entries[entry->newer].older = entry->older;
    else
        list->newest = entry->older;
    if (entry->older != NO_ENTRY)
        entries[entry->older].newer = entry->newer;
    else
        list->oldest = entry->newer;
    list->len--;
}

static inline void list_push(List *list, Entry *entries, uint32_t at)
{
    Entry *entry = &entries[at];
    entry->newer = NO_ENTRY;
    entry->older = list->newest;
    if (list->newest != NO_ENTRY)
        entries[list->newest].newer = at;
    else
        list->oldest = at;
    list->newest = at;
    list->len++;
}

static inline void list_move_to_newest(List *list, Entry *entries, uint32_t at)
{
    if (list->newest == at)
        return;
    Entry *entry = &entries[at];
    /* Not the newest, so there is a newer one. */
    entries[entry->newer].older = entry->older;
    if (entry->older != NO_ENTRY)
        entries[entry->older].newer = entry->newer;
    else
        list->oldest = entry->newer;
    entry->newer = NO_ENTRY;
    entry->older = list->newest;
    entries[list->newest].newer = at;
    list->newest = at;
}

/* An entry was asked for, or stored again: which for every policy is the same. */
static inline void order_touch(Order *order, Table *table, uint32_t at)
{
    Entry *entry = &table->entries[at];
    switch (order->policy) {
    case LRU:
        list_move_to_newest(&order->all, table->entries, at);
        break;
    case ADAPTIVE:
        list_move_to_newest(&order->all, table->entries, at);
        entry->mark += (entry->mark & MARK_USES) < MOST_USES_LFU;
        break;
    case LFU:
        entry->mark += (entry->mark & MARK_USES) < MOST_USES_LFU;
        break;
    case S3FIFO:
        entry->mark += (entry->mark & MARK_USES) < MOST_USES_S3FIFO;
        break;
    case SIEVE:
        entry->mark |= 1;
        break;
    default:
        break;
    }
}

#endif
