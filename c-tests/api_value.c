/* Pinned values: acquired once, theirs until released, whatever happens to the entry or to the cache. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"
#include "proving_value.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(catzilla_cache_t *cache, uint32_t key, uint32_t seed, uint64_t ttl_ms)
{
    unsigned char bytes[PROVING_MAX];
    size_t size = make_proving_value(bytes, key, seed);
    assert_int_equal(catzilla_cache_put(cache, &key, sizeof key, bytes, size, ttl_ms), CATZILLA_OK);
}

static catzilla_value_t *acquire(catzilla_cache_t *cache, uint32_t key)
{
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_acquire(cache, &key, sizeof key, &value), CATZILLA_OK);
    assert_non_null(value);
    return value;
}

static bool proves_itself(const catzilla_value_t *value, uint32_t key)
{
    return value_proves_itself(catzilla_value_data(value), catzilla_value_size(value), key);
}

static void an_acquired_value_shows_the_stored_bytes(void **state)
{
    put(*state, 1, 5, 0);
    catzilla_value_t *value = acquire(*state, 1);
    assert_true(proves_itself(value, 1));
    assert_int_equal((uintptr_t)catzilla_value_data(value) % 16, 0);
    catzilla_value_release(value);
}

static void a_miss_is_not_found_and_gives_no_value(void **state)
{
    catzilla_value_t *value = (catzilla_value_t *)*state;
    assert_int_equal(catzilla_cache_acquire(*state, "nobody", 6, &value), CATZILLA_NOT_FOUND);
    assert_null(value);
}

static void an_empty_value_has_an_address_and_no_size(void **state)
{
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_put(*state, "k", 1, "", 0, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(*state, "k", 1, &value), CATZILLA_OK);
    assert_int_equal(catzilla_value_size(value), 0);
    assert_non_null(catzilla_value_data(value));
    catzilla_value_release(value);
}

static void it_stays_when_the_entry_is_overwritten_removed_or_purged(void **state)
{
    for (uint32_t key = 0; key < 3; key++)
        put(*state, key, key + 1, 0);
    catzilla_value_t *values[3];
    for (uint32_t key = 0; key < 3; key++)
        values[key] = acquire(*state, key);

    uint32_t removed = 1;
    put(*state, 0, 100, 0);
    assert_int_equal(catzilla_cache_remove(*state, &removed, sizeof removed), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, NULL), CATZILLA_OK);
    for (uint32_t key = 10; key < 200; key++)
        put(*state, key, key, 0);

    for (uint32_t key = 0; key < 3; key++) {
        assert_true(proves_itself(values[key], key));
        catzilla_value_release(values[key]);
    }
}

static void it_stays_when_the_entry_is_evicted(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(2, 0);
    put(cache, 0, 1, 0);
    catzilla_value_t *value = acquire(cache, 0);
    for (uint32_t key = 1; key < 100; key++)
        put(cache, key, key, 0);
    uint32_t first = 0;
    assert_int_equal(catzilla_cache_contains(cache, &first, sizeof first), CATZILLA_NOT_FOUND);
    assert_true(proves_itself(value, 0));
    catzilla_value_release(value);
    catzilla_cache_destroy(cache);
}

static void check_outliving(const char *jemalloc, const char *compression)
{
    catzilla_options_t *options = catzilla_options_create();
    catzilla_cache_t *cache = NULL;
    assert_int_equal(catzilla_options_set(options, "memory.jemalloc", jemalloc), CATZILLA_OK);
    assert_int_equal(catzilla_options_set(options, "memory.compression", compression), CATZILLA_OK);
    assert_int_equal(catzilla_cache_open(options, &cache), CATZILLA_OK);
    catzilla_options_destroy(options);
    catzilla_value_t *values[20];
    for (uint32_t key = 0; key < 20; key++) {
        put(cache, key, key + 1, 0);
        values[key] = acquire(cache, key);
    }
    catzilla_cache_destroy(cache);

    /* Another cache would take over memory that was given back too early. */
    catzilla_cache_t *next = catzilla_cache_create(100, 0);
    for (uint32_t key = 0; key < 100; key++)
        put(next, key, key + 1000, 0);
    for (uint32_t key = 0; key < 20; key++) {
        assert_true(proves_itself(values[key], key));
        catzilla_value_release(values[key]);
    }
    catzilla_cache_destroy(next);
}

static void it_stays_when_the_cache_is_destroyed(void **state)
{
    (void)state;
    check_outliving("on", "off");
    check_outliving("on", "on");
    check_outliving("off", "off");
    check_outliving("off", "on");
}

static void *release_elsewhere(void *value)
{
    bool proven = proves_itself(value, 4);
    catzilla_value_release(value);
    return proven ? value : NULL;
}

static void it_may_be_released_on_another_thread_after_the_cache_is_gone(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    put(cache, 4, 44, 0);
    catzilla_value_t *value = acquire(cache, 4);
    catzilla_cache_destroy(cache);
    pthread_t thread;
    void *proven = NULL;
    assert_int_equal(pthread_create(&thread, NULL, release_elsewhere, value), 0);
    pthread_join(thread, &proven);
    assert_non_null(proven);
}

static void the_same_entry_may_be_acquired_many_times(void **state)
{
    put(*state, 1, 5, 0);
    catzilla_value_t *values[1000];
    for (int i = 0; i < 1000; i++)
        values[i] = acquire(*state, 1);
    uint32_t key = 1;
    assert_int_equal(catzilla_cache_remove(*state, &key, sizeof key), CATZILLA_OK);
    for (int i = 0; i < 1000; i++) {
        assert_true(proves_itself(values[i], 1));
        catzilla_value_release(values[i]);
    }
}

static void large_values_are_whole_with_and_without_compression(void **state)
{
    size_t size = 3u << 20;
    char *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = "compressible "[i % 13];
    assert_int_equal(catzilla_cache_put(*state, "k", 1, bytes, size, 0), CATZILLA_OK);
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_acquire(*state, "k", 1, &value), CATZILLA_OK);
    assert_int_equal(catzilla_value_size(value), size);
    assert_int_equal(memcmp(catzilla_value_data(value), bytes, size), 0);
    catzilla_value_release(value);
    free(bytes);
}

static void the_remaining_ttl_is_told(void **state)
{
    put(*state, 1, 1, 60000);
    catzilla_value_t *value = acquire(*state, 1);
    uint64_t left = catzilla_value_ttl_ms(value);
    /* At most 20 ms are added so that nothing goes early; below, only that a slow machine does not need 50 s for two calls. */
    assert_true(left <= 60020);
    assert_true(left > 10000);
    catzilla_value_release(value);

    put(*state, 1, 1, CATZILLA_TTL_FOREVER);
    value = acquire(*state, 1);
    assert_true(catzilla_value_ttl_ms(value) == CATZILLA_TTL_FOREVER);
    catzilla_value_release(value);
}

static uint64_t lent_bytes(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    return statistics.memory_lent_bytes;
}

/* Memory that nobody reads any more is given back in batches, at the latest by a purge. */
static void values_that_are_held_after_removal_are_reported_as_lent(void **state)
{
    put(*state, 1, 1, 0);
    catzilla_value_t *value = acquire(*state, 1);
    uint32_t key = 1;
    assert_int_equal(catzilla_cache_remove(*state, &key, sizeof key), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, NULL), CATZILLA_OK);
    assert_true(lent_bytes(*state) >= catzilla_value_size(value));
    catzilla_value_release(value);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, NULL), CATZILLA_OK);
    assert_int_equal(lent_bytes(*state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_acquired_value_shows_the_stored_bytes, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_miss_is_not_found_and_gives_no_value, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(an_empty_value_has_an_address_and_no_size, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(it_stays_when_the_entry_is_overwritten_removed_or_purged, open_cache, close_cache),
        cmocka_unit_test(it_stays_when_the_entry_is_evicted),
        cmocka_unit_test(it_stays_when_the_cache_is_destroyed),
        cmocka_unit_test(it_may_be_released_on_another_thread_after_the_cache_is_gone),
        cmocka_unit_test_setup_teardown(the_same_entry_may_be_acquired_many_times, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(large_values_are_whole_with_and_without_compression, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_remaining_ttl_is_told, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(values_that_are_held_after_removal_are_reported_as_lent, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("api_value", tests, NULL, NULL);
}
