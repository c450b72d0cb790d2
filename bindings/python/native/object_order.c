/* The order of an object cache's entries where a hit does not come by: who is filed where, and who leaves. See
   object_order.h. */
#include "object_order.h"

#include <string.h>

/* So many entries that were hit get another turn for one victim before the next will do: as in the engine, and arbitrary. */
#define MOST_PASSED 256

/* ADAPTIVE looks at so many requests at least, and for a change the part that hits has to be so far from the threshold: as
   the
   engine's lru-lfu, where chance alone makes the part wrong by less than that, mostly. */
#define REQUESTS 4096
#define MARGIN 0.02

static const List EMPTY = {NO_ENTRY, NO_ENTRY, 0};

static bool counts_uses(PolicyNumber policy)
{
    return policy == LFU || policy == ADAPTIVE;
}

void order_init(Order *order, PolicyNumber policy, double threshold)
{
    memset(order, 0, sizeof *order);
    order->policy = policy;
    order->threshold = threshold;
    order->all = order->main = EMPTY;
    order->hand = NO_ENTRY;
    ghost_init(&order->ghost);
}

static void popularity_clear(Popularity *popularity)
{
    for (int list = 0; list < LFU_LISTS; list++)
        popularity->lists[list] = EMPTY;
    memset(popularity->in_use, 0, sizeof popularity->in_use);
    popularity->age = 0;
}

bool order_begin(Order *order, Table *table)
{
    if (!counts_uses(order->policy))
        return true;
    if (order->popularity == NULL) {
        order->popularity = PyMem_Malloc(sizeof *order->popularity);
        if (order->popularity == NULL)
            return false;
        popularity_clear(order->popularity);
    }
    return table_add_neighbours(table);
}

void order_free(Order *order)
{
    PyMem_Free(order->popularity);
    order->popularity = NULL;
    ghost_free(&order->ghost);
}

void order_clear(Order *order)
{
    order->all = order->main = EMPTY;
    order->hand = NO_ENTRY;
    ghost_free(&order->ghost);
    if (order->popularity != NULL)
        popularity_clear(order->popularity);
}

bool order_change(Order *order, Table *table, PolicyNumber policy)
{
    Order before = *order;
    order->policy = policy;
    if (!order_begin(order, table)) {
        order->policy = before.policy;
        return false;
    }
    order_clear(order);
    order->by_frequency = order->has_looked = false;
    /* Who is in the small queue of S3FIFO would leave before who is in the main one. */
    const List *both[] = {&before.all, &before.main};
    for (int list = 0; list < 2; list++) {
        uint32_t at = both[list]->oldest;
        while (at != NO_ENTRY) {
            uint32_t next = table->entries[at].newer;
            order_insert(order, table, at);
            at = next;
        }
    }
    return true;
}

size_t order_bytes(const Order *order)
{
    return (order->popularity != NULL ? sizeof *order->popularity : 0) + ghost_bytes(&order->ghost);
}

/* LFU: puts an entry, which is in no list of uses, into the one that it belongs in now. */
static void file(Popularity *popularity, Table *table, uint32_t at)
{
    Entry *entry = &table->entries[at];
    uint32_t uses = entry->mark & MARK_USES;
    uint32_t number = (uint32_t)((popularity->age + uses) % LFU_LISTS);
    entry->mark = uses | uses << MARK_FILED_SHIFT | number << MARK_LIST_SHIFT;
    List *list = &popularity->lists[number];
    table->neighbours[at] = (Neighbours){.newer = NO_ENTRY, .older = list->newest};
    if (list->newest != NO_ENTRY)
        table->neighbours[list->newest].newer = at;
    else
        list->oldest = at;
    list->newest = at;
    if (list->len++ == 0)
        popularity->in_use[number / 64] |= UINT64_C(1) << number % 64;
}

static void unfile(Popularity *popularity, Table *table, uint32_t at)
{
    uint32_t number = table->entries[at].mark >> MARK_LIST_SHIFT & (LFU_LISTS - 1);
    List *list = &popularity->lists[number];
    Neighbours *neighbours = &table->neighbours[at];
    if (neighbours->newer != NO_ENTRY)
        table->neighbours[neighbours->newer].older = neighbours->older;
    else
        list->newest = neighbours->older;
    if (neighbours->older != NO_ENTRY)
        table->neighbours[neighbours->older].newer = neighbours->newer;
    else
        list->oldest = neighbours->newer;
    if (--list->len == 0)
        popularity->in_use[number / 64] &= ~(UINT64_C(1) << number % 64);
}

/* The list of the least worth that has somebody in it. All are worth what the last victim was, or up to MOST_USES_LFU
   more. */
static uint32_t lowest_list(const Popularity *popularity)
{
    uint32_t start = (uint32_t)(popularity->age % LFU_LISTS);
    uint32_t word = start / 64;
    uint64_t bits = popularity->in_use[word] & (UINT64_MAX << start % 64);
    while (bits == 0) {
        word = (word + 1) % (LFU_LISTS / 64);
        bits = popularity->in_use[word];
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

static uint32_t least_used(Popularity *popularity, Table *table)
{
    uint32_t number = lowest_list(popularity), at = popularity->lists[number].oldest;
    for (int passed = 0; passed < MOST_PASSED; passed++) {
        uint32_t mark = table->entries[at].mark;
        if ((mark & MARK_USES) == (mark >> MARK_FILED_SHIFT & MARK_USES))
            break;
        unfile(popularity, table, at);
        file(popularity, table, at);
        number = lowest_list(popularity);
        at = popularity->lists[number].oldest;
    }
    popularity->age += (number - popularity->age) % LFU_LISTS;
    return at;
}

void order_insert(Order *order, Table *table, uint32_t at)
{
    Entry *entry = &table->entries[at];
    entry->mark = 0;
    if (order->policy == S3FIFO && ghost_take(&order->ghost, entry->hash)) {
        entry->mark = MARK_MAIN;
        list_push(&order->main, table->entries, at);
        return;
    }
    list_push(&order->all, table->entries, at);
    if (counts_uses(order->policy)) {
        entry->mark = 1;
        file(order->popularity, table, at);
    }
}

void order_remove(Order *order, Table *table, uint32_t at)
{
    Entry *entry = &table->entries[at];
    if (order->hand == at)
        order->hand = entry->newer;
    if (counts_uses(order->policy))
        unfile(order->popularity, table, at);
    list_remove(entry->mark & MARK_MAIN && order->policy == S3FIFO ? &order->main : &order->all, table->entries, at);
}

static uint32_t sieved(Order *order, Table *table)
{
    uint32_t at = order->hand != NO_ENTRY ? order->hand : order->all.oldest;
    for (int passed = 0; passed < MOST_PASSED && table->entries[at].mark != 0; passed++) {
        table->entries[at].mark = 0;
        at = table->entries[at].newer != NO_ENTRY ? table->entries[at].newer : order->all.oldest;
    }
    order->hand = at; /* which leaves, and order_remove goes on to the next */
    return at;
}

static uint32_t from_two_queues(Order *order, Table *table)
{
    uint32_t small = table->len / 10 > 0 ? table->len / 10 : 1;
    for (int passed = 0;; passed++) {
        bool is_last = passed == MOST_PASSED;
        if (order->all.len >= small || order->main.len == 0) {
            uint32_t at = order->all.oldest;
            if ((table->entries[at].mark & MARK_USES) == 0 || is_last)
                return at;
            list_remove(&order->all, table->entries, at);
            table->entries[at].mark = MARK_MAIN;
            list_push(&order->main, table->entries, at);
        } else {
            uint32_t at = order->main.oldest;
            if ((table->entries[at].mark & MARK_USES) == 0 || is_last)
                return at;
            table->entries[at].mark--;
            list_move_to_newest(&order->main, table->entries, at);
        }
    }
}

/* ADAPTIVE: by frequency or by recency, from what was asked for of late; in the beginning, from all there was. */
static void look(Order *order, const Table *table, uint64_t all_hits, uint64_t all_misses)
{
    uint64_t hits = all_hits - order->hits_seen, requests = hits + all_misses - order->misses_seen;
    bool is_enough = requests >= (table->len > REQUESTS ? table->len : REQUESTS);
    if (!is_enough && (order->has_looked || requests == 0))
        return;
    /* Where there is less room than the margin, all of it: 0 means whenever anything hits, 1 never. */
    double margin = MARGIN;
    if (margin > order->threshold)
        margin = order->threshold;
    if (margin > 1.0 - order->threshold)
        margin = 1.0 - order->threshold;
    double least = order->by_frequency ? order->threshold - margin : order->threshold + margin;
    order->by_frequency = (double)hits > (double)requests * least;
    if (is_enough) {
        order->has_looked = true;
        order->hits_seen = all_hits;
        order->misses_seen = all_misses;
    }
}

uint32_t order_victim(Order *order, Table *table, Deadlines *deadlines, uint64_t hits, uint64_t misses)
{
    switch (order->policy) {
    case LFU:
        return least_used(order->popularity, table);
    case ADAPTIVE:
        look(order, table, hits, misses);
        return order->by_frequency ? least_used(order->popularity, table) : order->all.oldest;
    case TTL:
        if (deadlines->len > 0)
            return deadlines_soonest(deadlines, table->entries);
        return order->all.oldest;
    case SIEVE:
        return sieved(order, table);
    case S3FIFO:
        return from_two_queues(order, table);
    default:
        return order->all.oldest;
    }
}

void order_evicted(Order *order, Table *table, uint32_t at)
{
    const Entry *entry = &table->entries[at];
    if (order->policy == S3FIFO && !(entry->mark & MARK_MAIN)) {
        uint64_t most = (uint64_t)table->len * 9 / 10;
        ghost_remember(&order->ghost, entry->hash, most > 0 ? most : 1);
    }
}
