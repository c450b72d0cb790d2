/* Eviction order. Up to a capacity of 4,096 it is true LRU, call by call; above that the bound still holds. */
#include "suite.h"
#include "cache_engine.h"
#include "proving_value.h"

#include <stdio.h>
#include <string.h>

static void store(catzilla_cache_t *cache, int key)
{
    char name[16];
    snprintf(name, sizeof name, "k%d", key);
    assert_int_equal(catzilla_cache_set(cache, name, &key, sizeof key, 3600), 0);
}

static bool look_up(catzilla_cache_t *cache, int key)
{
    char name[16];
    snprintf(name, sizeof name, "k%d", key);
    cache_result_t result = catzilla_cache_get(cache, name);
    if (result.found) {
        assert_int_equal(result.size, sizeof key);
        assert_memory_equal(result.data, &key, sizeof key);
    }
    return result.found;
}

static bool has(catzilla_cache_t *cache, int key)
{
    char name[16];
    snprintf(name, sizeof name, "k%d", key);
    return catzilla_cache_exists(cache, name);
}

static void the_entry_used_longest_ago_goes_first(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(3, 0);
    store(cache, 1);
    store(cache, 2);
    store(cache, 3);
    assert_true(look_up(cache, 1));
    store(cache, 4);
    assert_false(has(cache, 2));
    assert_true(has(cache, 1) && has(cache, 3) && has(cache, 4));
    catzilla_cache_destroy(cache);
}

static void exists_is_not_a_use(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(2, 0);
    store(cache, 1);
    store(cache, 2);
    assert_true(has(cache, 1));
    store(cache, 3);
    assert_false(has(cache, 1));
    assert_true(has(cache, 2));
    catzilla_cache_destroy(cache);
}

static void overwriting_is_a_use_and_evicts_nothing(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(2, 0);
    store(cache, 1);
    store(cache, 2);
    store(cache, 1);
    assert_true(has(cache, 1) && has(cache, 2));
    assert_int_equal(catzilla_cache_get_stats(cache).evictions, 0);
    store(cache, 3);
    assert_false(has(cache, 2));
    assert_true(has(cache, 1));
    catzilla_cache_destroy(cache);
}

/* The naive LRU that the cache is held against: most recently used first. */
struct model {
    int keys[64], count, capacity;
    uint64_t hits, misses, evictions;
};

static int model_find(const struct model *model, int key)
{
    for (int i = 0; i < model->count; i++)
        if (model->keys[i] == key)
            return i;
    return -1;
}

static void model_drop(struct model *model, int at)
{
    memmove(&model->keys[at], &model->keys[at + 1], (size_t)(model->count - at - 1) * sizeof(int));
    model->count--;
}

static void model_push(struct model *model, int key)
{
    memmove(&model->keys[1], &model->keys[0], (size_t)model->count * sizeof(int));
    model->keys[0] = key;
    model->count++;
}

static void model_set(struct model *model, int key)
{
    int at = model_find(model, key);
    if (at >= 0) {
        model_drop(model, at);
    } else if (model->count == model->capacity) {
        model->count--;
        model->evictions++;
    }
    model_push(model, key);
}

static bool model_get(struct model *model, int key)
{
    int at = model_find(model, key);
    if (at < 0) {
        model->misses++;
        return false;
    }
    model_drop(model, at);
    model_push(model, key);
    model->hits++;
    return true;
}

static bool model_delete(struct model *model, int key)
{
    int at = model_find(model, key);
    if (at >= 0)
        model_drop(model, at);
    return at >= 0;
}

static void run_against_model(int capacity, uint32_t seed, int steps)
{
    struct model model = {.capacity = capacity};
    catzilla_cache_t *cache = catzilla_cache_create((size_t)capacity, 0);
    char name[16];
    for (int step = 0; step < steps; step++) {
        uint32_t random = next_random(&seed);
        int key = (int)(random >> 8) % (capacity * 2 + 1);
        snprintf(name, sizeof name, "k%d", key);
        switch (random % 8) {
        case 0: case 1: case 2:
            store(cache, key);
            model_set(&model, key);
            break;
        case 3: case 4: case 5:
            assert_int_equal(look_up(cache, key), model_get(&model, key));
            break;
        case 6:
            assert_int_equal(catzilla_cache_exists(cache, name), model_find(&model, key) >= 0);
            break;
        default:
            if (random >> 24 == 0) {
                catzilla_cache_clear(cache);
                model.count = 0;
            } else {
                assert_int_equal(catzilla_cache_delete(cache, name), model_delete(&model, key) ? 0 : -1);
            }
        }
        cache_statistics_t stats = catzilla_cache_get_stats(cache);
        assert_int_equal(stats.size, model.count);
        assert_int_equal(stats.hits, model.hits);
        assert_int_equal(stats.misses, model.misses);
        assert_int_equal(stats.evictions, model.evictions);
    }
    catzilla_cache_destroy(cache);
}

static void random_operations_agree_with_a_naive_lru(void **state)
{
    (void)state;
    const int capacities[] = {1, 2, 3, 7, 30};
    for (size_t i = 0; i < COUNT_OF(capacities); i++)
        for (uint32_t seed = 1; seed <= 4; seed++)
            run_against_model(capacities[i], seed * 2654435761u, 5000);
}

static void the_order_is_exact_at_a_capacity_of_4096(void **state)
{
    (void)state;
    const int capacity = 4096;
    catzilla_cache_t *cache = catzilla_cache_create((size_t)capacity, 0);
    for (int i = 0; i < capacity; i++)
        store(cache, i);
    for (int i = 0; i < capacity; i += 2)
        assert_true(look_up(cache, i));
    for (int i = 0; i < capacity / 2; i++) {
        assert_true(has(cache, 2 * i + 1));
        store(cache, capacity + i);
        assert_false(has(cache, 2 * i + 1));
    }
    for (int i = 0; i < capacity; i += 2)
        assert_true(has(cache, i));
    catzilla_cache_destroy(cache);
}

static void there_are_never_more_entries_than_the_capacity_and_hardly_fewer(void **state)
{
    (void)state;
    const int capacity = 50000;
    catzilla_cache_t *cache = catzilla_cache_create((size_t)capacity, 0);
    uint64_t most = 0;
    for (int i = 0; i < 2 * capacity; i++) {
        store(cache, i);
        if (i % 512 == 0) {
            uint64_t size = catzilla_cache_get_stats(cache).size;
            most = size > most ? size : most;
            assert_true(size <= (uint64_t)capacity);
            if (i < capacity * 9 / 10)
                assert_int_equal(size, i + 1);
        }
    }
    cache_statistics_t stats = catzilla_cache_get_stats(cache);
    assert_true(stats.size <= (uint64_t)capacity);
    assert_true(stats.size >= (uint64_t)capacity * 97 / 100);
    assert_int_equal(stats.size + stats.evictions, 2 * capacity);
    catzilla_cache_destroy(cache);
}

static void what_is_read_all_the_time_survives_a_scan_in_a_large_cache(void **state)
{
    (void)state;
    const int capacity = 20000, hot = 100;
    catzilla_cache_t *cache = catzilla_cache_create((size_t)capacity, 0);
    for (int i = 0; i < hot; i++)
        store(cache, i);
    for (int i = 0; i < 3 * capacity; i++) {
        store(cache, 1000000 + i);
        assert_true(look_up(cache, i % hot));
    }
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_entry_used_longest_ago_goes_first),
        cmocka_unit_test(exists_is_not_a_use),
        cmocka_unit_test(overwriting_is_a_use_and_evicts_nothing),
        cmocka_unit_test(random_operations_agree_with_a_naive_lru),
        cmocka_unit_test(the_order_is_exact_at_a_capacity_of_4096),
        cmocka_unit_test(there_are_never_more_entries_than_the_capacity_and_hardly_fewer),
        cmocka_unit_test(what_is_read_all_the_time_survives_a_scan_in_a_large_cache),
    };
    return cmocka_run_group_tests_name("compat_lru", tests, NULL, NULL);
}
