/* What has expired is freed: by a call, and by the cache's own thread when nobody calls. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"
#include "waiting.h"

#include <stdio.h>
#include <string.h>

static catzilla_cache_t *open_with(const char *interval)
{
    catzilla_cache_t *cache = NULL;
    catzilla_options_t *options = catzilla_options_create();
    assert_int_equal(catzilla_options_set(options, "memory.sweep_interval", interval), CATZILLA_OK);
    assert_int_equal(catzilla_cache_open(options, &cache), CATZILLA_OK);
    catzilla_options_destroy(options);
    return cache;
}

static void put(catzilla_cache_t *cache, const char *key, uint64_t ttl_ms)
{
    assert_int_equal(catzilla_cache_put(cache, key, strlen(key), "v", 1, ttl_ms), CATZILLA_OK);
}

static catzilla_statistics_t statistics_of(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    return statistics;
}

static void wait_until_entries_are(catzilla_cache_t *cache, uint64_t entries)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (statistics_of(cache).memory_entries != entries && now_ms() < deadline)
        pause_ms(1);
    assert_int_equal(statistics_of(cache).memory_entries, entries);
}

static void a_sweep_frees_what_has_expired_and_says_how_many(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with("off");
    char key[16];
    size_t swept = 99, all = 0;
    for (int i = 0; i < 15; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(cache, key, i < 10 ? 300 : 3600000);
    }
    assert_int_equal(catzilla_cache_sweep(cache, NULL), CATZILLA_OK);
    assert_int_equal(statistics_of(cache).memory_entries, 15);
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (all < 10 && now_ms() < deadline) {
        pause_ms(20);
        assert_int_equal(catzilla_cache_sweep(cache, &swept), CATZILLA_OK);
        all += swept;
    }
    assert_int_equal(all, 10);
    swept = 99;
    assert_int_equal(catzilla_cache_sweep(cache, &swept), CATZILLA_OK);
    assert_int_equal(swept, 0);
    catzilla_statistics_t statistics = statistics_of(cache);
    assert_int_equal(statistics.memory_entries, 5);
    assert_int_equal(statistics.memory_expirations, 10);
    assert_int_equal(statistics.memory_evictions, 0);
    catzilla_cache_destroy(cache);
}

static void what_nobody_asks_for_is_freed_by_the_caches_own_thread(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with("10ms");
    put(cache, "soon", 1);
    put(cache, "stays", 3600000);
    wait_until_entries_are(cache, 1);
    assert_int_equal(catzilla_cache_contains(cache, "stays", 5), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

static void the_interval_can_change_while_the_cache_runs(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with("1d");
    put(cache, "soon", 1);
    assert_int_equal(catzilla_cache_set_option(cache, "memory.sweep_interval", "5ms"), CATZILLA_OK);
    wait_until_entries_are(cache, 0);
    assert_int_equal(catzilla_cache_set_option(cache, "memory.sweep_interval", "0"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_option(cache, "memory.sweep_interval", "5"), CATZILLA_INVALID_OPTION);
    catzilla_cache_destroy(cache);
}

/* A test that hangs here is ended by the runner. */
static void destroy_does_not_wait_for_the_interval(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        catzilla_cache_t *cache = open_with("1d");
        put(cache, "k", 1000);
        catzilla_cache_destroy(cache);
    }
}

static void watching_the_systems_memory_can_be_switched_while_the_cache_runs(void **state)
{
    assert_int_equal(catzilla_cache_set_option(*state, "memory.shrink_on_pressure", "on"), CATZILLA_OK);
    put(*state, "k", 0);
    assert_int_equal(catzilla_cache_set_option(*state, "memory.shrink_on_pressure", "off"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_option(*state, "memory.shrink_on_pressure", "perhaps"), CATZILLA_INVALID_OPTION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sweep_frees_what_has_expired_and_says_how_many),
        cmocka_unit_test(what_nobody_asks_for_is_freed_by_the_caches_own_thread),
        cmocka_unit_test(the_interval_can_change_while_the_cache_runs),
        cmocka_unit_test(destroy_does_not_wait_for_the_interval),
        cmocka_unit_test_setup_teardown(watching_the_systems_memory_can_be_switched_while_the_cache_runs, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("api_sweep", tests, NULL, NULL);
}
