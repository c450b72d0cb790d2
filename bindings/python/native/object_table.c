/* The parts of an object cache's table that a hit does not come by. See object_table.h. */
#include "object_table.h"

#include <string.h>

/* Few, because most caches of a decorator stay small. */
#define FIRST_CAPACITY 8
#define LINE 64

void table_init(Table *table)
{
    memset(table, 0, sizeof *table);
    table->first_free = NO_ENTRY;
}

void table_free(Table *table)
{
    bool has_neighbours = table->has_neighbours, has_weights = table->has_weights;
    uint64_t born = table->born;
    PyMem_Free(table->memory);
    PyMem_Free(table->buckets);
    PyMem_Free(table->neighbours);
    PyMem_Free(table->weights);
    table_init(table);
    table->has_neighbours = has_neighbours;
    table->has_weights = has_weights;
    table->born = born; /* goes on, see table_find */
}

void table_drop_values(Table *table)
{
    for (uint32_t at = 0; at < table->used; at++) {
        Entry *entry = &table->entries[at];
        if (entry->key != NULL) {
            Py_DECREF(entry->key);
            Py_DECREF(entry->value);
        }
    }
    table_free(table);
}

size_t table_bytes(const Table *table)
{
    size_t an_entry = sizeof(Entry) + 2 * sizeof *table->buckets + (table->neighbours ? sizeof *table->neighbours : 0) +
                      (table->weights ? sizeof *table->weights : 0);
    return table->capacity * an_entry;
}

bool table_add_neighbours(Table *table)
{
    if (table->capacity > 0 && table->neighbours == NULL) {
        table->neighbours = PyMem_Malloc(table->capacity * sizeof *table->neighbours);
        if (table->neighbours == NULL)
            return false;
    }
    return table->has_neighbours = true;
}

bool table_add_weights(Table *table)
{
    if (table->capacity > 0 && table->weights == NULL) {
        table->weights = PyMem_Calloc(table->capacity, sizeof *table->weights);
        if (table->weights == NULL)
            return false;
    }
    return table->has_weights = true;
}

static void hang_in_buckets(Table *table)
{
    for (uint32_t at = 0; at < table->used; at++) {
        Entry *entry = &table->entries[at];
        if (entry->key == NULL)
            continue;
        entry->chain = NO_ENTRY;
        uint32_t *end = &table->buckets[table_bucket(table, entry->hash)];
        while (*end != NO_ENTRY)
            end = &table->entries[*end].chain;
        *end = at;
    }
}

bool table_grow(Table *table, uint64_t most)
{
    uint64_t wanted = table->capacity == 0 ? FIRST_CAPACITY : (uint64_t)table->capacity * 2;
    if (most != 0 && wanted > most)
        wanted = most;
    if (wanted > MOST_ENTRIES)
        wanted = MOST_ENTRIES;
    if (wanted <= table->capacity)
        wanted = (uint64_t)table->capacity + 1; /* the bound was lowered: one at a time will do */
    if (wanted > MOST_ENTRIES)
        return false;
    /* At most one entry for two buckets. */
    uint32_t bits = 1;
    while ((UINT64_C(1) << bits) < 2 * wanted)
        bits++;
    void *memory = PyMem_Malloc(wanted * sizeof(Entry) + LINE);
    uint32_t *buckets = PyMem_Malloc((size_t)(UINT64_C(1) << bits) * sizeof *buckets);
    Neighbours *neighbours = table->has_neighbours ? PyMem_Malloc(wanted * sizeof *neighbours) : NULL;
    uint64_t *weights = table->has_weights ? PyMem_Malloc(wanted * sizeof *weights) : NULL;
    if (memory == NULL || buckets == NULL || (table->has_neighbours && neighbours == NULL) ||
        (table->has_weights && weights == NULL)) {
        PyMem_Free(memory);
        PyMem_Free(buckets);
        PyMem_Free(neighbours);
        PyMem_Free(weights);
        return false;
    }
    Entry *entries = (Entry *)(((uintptr_t)memory + LINE - 1) & ~(uintptr_t)(LINE - 1));
    if (table->used > 0) {
        memcpy(entries, table->entries, table->used * sizeof *entries);
        if (neighbours != NULL)
            memcpy(neighbours, table->neighbours, table->used * sizeof *neighbours);
        if (weights != NULL)
            memcpy(weights, table->weights, table->used * sizeof *weights);
    }
    PyMem_Free(table->memory);
    PyMem_Free(table->buckets);
    PyMem_Free(table->neighbours);
    PyMem_Free(table->weights);
    memset(buckets, 0xff, (size_t)(UINT64_C(1) << bits) * sizeof *buckets); /* NO_ENTRY in each */
    table->memory = memory;
    table->entries = entries;
    table->buckets = buckets;
    table->neighbours = neighbours;
    table->weights = weights;
    table->capacity = (uint32_t)wanted;
    table->shift = 64 - bits;
    hang_in_buckets(table);
    return true;
}

int table_compare(PyObject *stored, const Wanted *wanted)
{
    if (wanted->object != NULL)
        return PyObject_RichCompareBool(stored, wanted->object, Py_EQ);
    if (PyTuple_CheckExact(stored)) {
        if (PyTuple_Size(stored) != wanted->count)
            return 0;
        for (Py_ssize_t item = 0; item < wanted->count; item++) {
            int equal = PyObject_RichCompareBool(PyTuple_GetItem(stored, item), wanted->items[item], Py_EQ);
            if (equal <= 0)
                return equal;
        }
        return 1;
    }
    /* Something else that has the hash of this tuple, and may call itself equal to it. */
    PyObject *tuple = PyTuple_New(wanted->count);
    if (tuple == NULL)
        return -1;
    for (Py_ssize_t item = 0; item < wanted->count; item++) {
        Py_INCREF(wanted->items[item]);
        PyTuple_SetItem(tuple, item, wanted->items[item]);
    }
    int equal = PyObject_RichCompareBool(stored, tuple, Py_EQ);
    Py_DECREF(tuple);
    return equal;
}

/*
 * A tuple's hash is the 64-bit xxHash of its items' hashes, without the final mix, so that a call's arguments can be
 * looked up before there is a tuple of them. Should some interpreter do otherwise, table_check_tuple_hash finds out when
 * the module is loaded, and tuples are made.
 */
#define XXH_PRIME_1 UINT64_C(11400714785074694791)
#define XXH_PRIME_2 UINT64_C(14029467366897019727)
#define XXH_PRIME_5 UINT64_C(2870177450012600261)

bool table_hashes_as_tuples_do = false;

Py_hash_t table_hash_items(PyObject *const *items, Py_ssize_t count)
{
    uint64_t sum = XXH_PRIME_5;
    for (Py_ssize_t item = 0; item < count; item++) {
        Py_hash_t lane = PyObject_Hash(items[item]);
        if (lane == -1)
            return -1;
        sum += (uint64_t)lane * XXH_PRIME_2;
        sum = (sum << 31) | (sum >> 33);
        sum *= XXH_PRIME_1;
    }
    sum += (uint64_t)count ^ (XXH_PRIME_5 ^ UINT64_C(3527539));
    return sum == UINT64_MAX ? 1546275796 : (Py_hash_t)sum;
}

int table_check_tuple_hash(void)
{
    PyObject *items[] = {Py_None, Py_True, Py_Ellipsis, Py_False};
    bool same = sizeof(Py_hash_t) == 8;
    for (Py_ssize_t count = 0; count <= 4; count++) {
        PyObject *tuple = PyTuple_New(count);
        if (tuple == NULL)
            return -1;
        for (Py_ssize_t item = 0; item < count; item++) {
            Py_INCREF(items[item]);
            PyTuple_SetItem(tuple, item, items[item]);
        }
        Py_hash_t hash = PyObject_Hash(tuple);
        Py_DECREF(tuple);
        same = same && hash == table_hash_items(items, count);
    }
    table_hashes_as_tuples_do = same;
    return 0;
}
