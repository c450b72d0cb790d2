/*
 * Caches that come and go. What the process holds (its resident memory) must not grow with the number of caches, threads or
 * results that have been. Under a sanitizer, which keeps freed memory on purpose, LeakSanitizer judges instead.
 */
#include "suite.h"
#include "cache_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RESIDENT_MEMORY_TELLS 0
#else
#define RESIDENT_MEMORY_TELLS 1
#endif

#define MIB ((size_t)1 << 20)

static char large[MIB];

static size_t resident_bytes(void)
{
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Runs `round` often enough for a warm-up, then `rounds` times more. `lost_if_leaking` is what one round would lose: the
 * bound is a quarter of what all of them would. */
static void assert_does_not_grow(void (*round)(void), int rounds, size_t lost_if_leaking)
{
    for (int i = 0; i < rounds / 10 + 1; i++)
        round();
    size_t before = resident_bytes();
    for (int i = 0; i < rounds; i++)
        round();
    size_t after = resident_bytes();
    if (RESIDENT_MEMORY_TELLS && after > before && after - before > (size_t)rounds * lost_if_leaking / 4)
        fail_msg("grew from %zu to %zu bytes in %d rounds", before, after, rounds);
}

static void fill_and_destroy(bool jemalloc)
{
    cache_config_t config = {0};
    config.capacity = 10;
    config.jemalloc_enabled = jemalloc;
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    assert_non_null(cache);
    assert_int_equal(catzilla_cache_set(cache, "large", large, MIB, 60), 0);
    assert_int_equal(catzilla_cache_set(cache, "small", large, 100, 60), 0);
    catzilla_cache_destroy(cache);
}

static void with_an_arena(void)
{
    fill_and_destroy(true);
}

static void with_malloc(void)
{
    fill_and_destroy(false);
}

static void destroying_a_cache_gives_its_memory_back(void **state)
{
    (void)state;
    assert_does_not_grow(with_an_arena, 200, MIB);
    assert_does_not_grow(with_malloc, 200, MIB);
}

/* jemalloc numbers its arenas and has room for about four thousand at a time. */
static void five_thousand_caches_can_be_made_one_after_another(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        catzilla_cache_t *cache = catzilla_cache_create(10, 0);
        assert_non_null(cache);
        assert_int_equal(catzilla_cache_set(cache, "k", "v", 1, 60), 0);
        catzilla_cache_destroy(cache);
    }
}

static void hundreds_of_caches_can_live_at_once(void **state)
{
    (void)state;
    enum { CACHES = 300 };
    catzilla_cache_t *caches[CACHES];
    for (int i = 0; i < CACHES; i++) {
        caches[i] = catzilla_cache_create(10, 0);
        assert_non_null(caches[i]);
        assert_int_equal(catzilla_cache_set(caches[i], "k", &i, sizeof i, 60), 0);
    }
    for (int i = 0; i < CACHES; i++) {
        cache_result_t result = catzilla_cache_get(caches[i], "k");
        assert_true(result.found);
        assert_memory_equal(result.data, &i, sizeof i);
    }
    for (int i = 0; i < CACHES; i++)
        catzilla_cache_destroy(caches[i]);
}

static void release_after_destroy(void)
{
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_put(cache, "k", 1, large, MIB, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(cache, "k", 1, &value), CATZILLA_OK);
    catzilla_cache_destroy(cache);
    assert_int_equal(catzilla_value_size(value), MIB);
    catzilla_value_release(value);
}

static void the_last_value_takes_a_destroyed_cache_with_it(void **state)
{
    (void)state;
    assert_does_not_grow(release_after_destroy, 200, MIB);
}

static catzilla_cache_t *shared;

static void *take_a_large_result(void *argument)
{
    *(bool *)argument = catzilla_cache_get(shared, "large").found;
    return NULL;
}

static void read_on_a_thread_that_ends(void)
{
    pthread_t thread;
    bool found = false;
    assert_int_equal(catzilla_cache_set(shared, "large", large, MIB, 60), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_a_large_result, &found), 0);
    pthread_join(thread, NULL);
    assert_true(found);
}

static void threads_that_end_leave_nothing_behind(void **state)
{
    (void)state;
    shared = catzilla_cache_create(10, 0);
    assert_does_not_grow(read_on_a_thread_that_ends, 300, MIB);
    catzilla_cache_destroy(shared);
}

static void overwrite_evict_and_clear(void)
{
    char key[16];
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%d", i % 15);
        assert_int_equal(catzilla_cache_set(shared, key, large, MIB / 16 + (size_t)i * 1000, 60), 0);
        catzilla_cache_get(shared, key);
    }
    catzilla_cache_clear(shared);
}

static void entries_that_go_leave_nothing_behind(void **state)
{
    (void)state;
    shared = catzilla_cache_create(10, 0);
    assert_does_not_grow(overwrite_evict_and_clear, 200, MIB);
    catzilla_cache_destroy(shared);
}

static void read_what_is_compressed(void)
{
    cache_result_t result = catzilla_cache_get(shared, "compressed");
    assert_true(result.found);
    assert_int_equal(result.size, MIB);
}

/* Each such result is a decompressed copy of its own, of which a thread holds no more than its last 64 or so. */
static void reading_compressed_values_leaves_nothing_behind(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 10;
    config.compression_enabled = true;
    config.jemalloc_enabled = true;
    shared = catzilla_cache_create_with_config(&config);
    assert_int_equal(catzilla_cache_set(shared, "compressed", large, MIB, 60), 0);
    assert_true(catzilla_cache_memory_usage(shared) < MIB / 2);
    assert_does_not_grow(read_what_is_compressed, 2000, MIB);
    catzilla_cache_destroy(shared);
}

static void options_and_errors(void)
{
    catzilla_options_t *options = catzilla_options_create();
    catzilla_cache_t *cache = NULL;
    for (int i = 0; i < 100; i++)
        assert_true(catzilla_options_set(options, "memory.capacity", "not a number") < 0);
    assert_int_equal(catzilla_cache_open(options, &cache), CATZILLA_OK);
    catzilla_options_destroy(options);
    catzilla_cache_destroy(cache);
}

static void options_and_messages_are_given_back(void **state)
{
    (void)state;
    assert_does_not_grow(options_and_errors, 1000, 8192);
}

int main(void)
{
    memset(large, 'l', sizeof large);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(destroying_a_cache_gives_its_memory_back),
        cmocka_unit_test(five_thousand_caches_can_be_made_one_after_another),
        cmocka_unit_test(hundreds_of_caches_can_live_at_once),
        cmocka_unit_test(the_last_value_takes_a_destroyed_cache_with_it),
        cmocka_unit_test(threads_that_end_leave_nothing_behind),
        cmocka_unit_test(entries_that_go_leave_nothing_behind),
        cmocka_unit_test(reading_compressed_values_leaves_nothing_behind),
        cmocka_unit_test(options_and_messages_are_given_back),
    };
    return cmocka_run_group_tests_name("leak_create_destroy", tests, NULL, NULL);
}
