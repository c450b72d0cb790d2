/* memory_usage: it counts what live entries take, and falls when they go, whichever way they go. */
#include "suite.h"
#include "cache_engine.h"
#include "waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 65536u

/* Arbitrary: what index and expiry bookkeeping may keep from one entry that went, far below what is looked for. */
#define SLACK 1024u

static char large[LARGE];

static catzilla_cache_t *open_with(bool jemalloc)
{
    cache_config_t config = {0};
    config.capacity = 1000;
    config.jemalloc_enabled = jemalloc;
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    assert_non_null(cache);
    return cache;
}

static size_t used(catzilla_cache_t *cache)
{
    size_t bytes = catzilla_cache_memory_usage(cache);
    assert_int_equal(catzilla_cache_get_stats(cache).memory_usage, bytes);
    return bytes;
}

static void store(catzilla_cache_t *cache, const char *key, size_t size, uint32_t ttl)
{
    assert_int_equal(catzilla_cache_set(cache, key, large, size, ttl), 0);
}

static void check_set_and_delete(bool jemalloc)
{
    catzilla_cache_t *cache = open_with(jemalloc);
    size_t empty = used(cache);
    store(cache, "small", 1, 60);
    size_t before = used(cache);
    assert_true(before > empty);
    store(cache, "large", LARGE, 60);
    assert_true(used(cache) >= before + LARGE);
    assert_int_equal(catzilla_cache_delete(cache, "large"), 0);
    assert_true(used(cache) <= before + SLACK);
    catzilla_cache_destroy(cache);
}

static void usage_rises_with_a_set_and_falls_with_a_delete(void **state)
{
    (void)state;
    check_set_and_delete(true);
    check_set_and_delete(false);
}

static void check_overwrite(bool jemalloc)
{
    catzilla_cache_t *cache = open_with(jemalloc);
    store(cache, "k", 1, 60);
    size_t before = used(cache);
    store(cache, "k", LARGE, 60);
    store(cache, "k", 1, 60);
    assert_true(used(cache) <= before + SLACK);
    for (int i = 0; i < 100; i++)
        store(cache, "k", LARGE, 60);
    assert_true(used(cache) < before + 2 * LARGE);
    catzilla_cache_destroy(cache);
}

static void usage_falls_when_a_large_value_is_overwritten_by_a_small_one(void **state)
{
    (void)state;
    check_overwrite(true);
    check_overwrite(false);
}

static void usage_falls_with_an_eviction(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(true);
    assert_int_equal(catzilla_cache_resize(cache, 2), 0);
    store(cache, "first", LARGE, 60);
    store(cache, "second", LARGE, 60);
    size_t full = used(cache);
    store(cache, "third", 1, 60);
    assert_true(used(cache) <= full - LARGE + SLACK);
    catzilla_cache_destroy(cache);
}

static void usage_falls_with_an_expiry(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(true);
    store(cache, "stays", 1, 60);
    size_t before = used(cache);
    store(cache, "goes", LARGE, 1);
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (catzilla_cache_expire_entries(cache) == 0 && now_ms() < deadline)
        pause_ms(20);
    assert_true(used(cache) <= before + SLACK);
    catzilla_cache_destroy(cache);
}

static void a_result_that_is_still_lent_is_not_counted(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(true);
    store(cache, "small", 1, 60);
    size_t before = used(cache);
    store(cache, "large", LARGE, 60);
    cache_result_t result = catzilla_cache_get(cache, "large");
    assert_true(result.found);
    assert_int_equal(catzilla_cache_delete(cache, "large"), 0);
    assert_true(used(cache) <= before + SLACK);
    assert_memory_equal(result.data, large, LARGE);
    catzilla_cache_destroy(cache);
}

static void usage_counts_keys_values_and_headers_of_every_entry(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(true);
    size_t empty = used(cache), payload = 0;
    char key[40];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "a key of thirty-one characters%04d", i);
        store(cache, key, 100, 60);
        payload += strlen(key) + 100;
    }
    size_t held = used(cache) - empty;
    assert_true(held > payload);
    /* Arbitrary, but a loose accounting would miss it: no entry costs as much again as what it holds. */
    assert_true(held < 2 * payload);
    catzilla_cache_destroy(cache);
}

static void after_clear_at_most_sixteen_bytes_an_entry_stay(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(20000, 0);
    assert_non_null(cache);
    size_t empty = used(cache);
    char key[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store(cache, key, 200, 60);
    }
    size_t peak = (size_t)catzilla_cache_get_stats(cache).size;
    assert_true(peak >= 20000u * 97 / 100);
    catzilla_cache_clear(cache);
    assert_true(used(cache) <= empty + 16 * peak);
    catzilla_cache_destroy(cache);
}

static void a_thousand_rounds_of_fill_and_clear_do_not_add_up(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(true);
    char key[16];
    size_t after_first = 0;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(key, sizeof key, "%d:%d", round, i);
            store(cache, key, 500, 60);
        }
        catzilla_cache_clear(cache);
        if (round == 0)
            after_first = used(cache);
    }
    assert_true(used(cache) <= after_first + 16 * 20);
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_rises_with_a_set_and_falls_with_a_delete),
        cmocka_unit_test(usage_falls_when_a_large_value_is_overwritten_by_a_small_one),
        cmocka_unit_test(usage_falls_with_an_eviction),
        cmocka_unit_test(usage_falls_with_an_expiry),
        cmocka_unit_test(a_result_that_is_still_lent_is_not_counted),
        cmocka_unit_test(usage_counts_keys_values_and_headers_of_every_entry),
        cmocka_unit_test(after_clear_at_most_sixteen_bytes_an_entry_stay),
        cmocka_unit_test(a_thousand_rounds_of_fill_and_clear_do_not_add_up),
    };
    return cmocka_run_group_tests_name("compat_memory_usage", tests, NULL, NULL);
}
