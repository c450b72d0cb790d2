/* The classic counters: what counts as a request, as an eviction, and what survives clear. */
#include "suite.h"
#include "cache_engine.h"
#include "waiting.h"

#include <stdio.h>
#include <string.h>

static int open_cache(void **state)
{
    *state = catzilla_cache_create(10, 0);
    return *state == NULL;
}

static int close_cache(void **state)
{
    catzilla_cache_destroy(*state);
    return 0;
}

static void store(catzilla_cache_t *cache, const char *key, uint32_t ttl)
{
    assert_int_equal(catzilla_cache_set(cache, key, "value", 5, ttl), 0);
}

static void a_new_cache_reports_zeros_and_its_capacity(void **state)
{
    cache_statistics_t stats = catzilla_cache_get_stats(*state);
    assert_int_equal(stats.hits, 0);
    assert_int_equal(stats.misses, 0);
    assert_int_equal(stats.evictions, 0);
    assert_int_equal(stats.total_requests, 0);
    assert_int_equal(stats.size, 0);
    assert_int_equal(stats.capacity, 10);
    assert_true(stats.hit_ratio == 0.0);
}

static void requests_are_hits_and_misses(void **state)
{
    store(*state, "k", 60);
    for (int i = 0; i < 3; i++)
        catzilla_cache_get(*state, "k");
    catzilla_cache_get(*state, "nobody");
    cache_statistics_t stats = catzilla_cache_get_stats(*state);
    assert_int_equal(stats.hits, 3);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.total_requests, 4);
    assert_true(stats.hit_ratio > 0.7499 && stats.hit_ratio < 0.7501);
}

static void an_expired_look_up_counts_as_a_miss(void **state)
{
    store(*state, "k", 1);
    uint64_t misses = 0, deadline = now_ms() + PATIENCE_MS;
    while (misses == 0 && now_ms() < deadline) {
        pause_ms(20);
        misses += !catzilla_cache_get(*state, "k").found;
    }
    assert_int_equal(misses, 1);
    cache_statistics_t stats = catzilla_cache_get_stats(*state);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.total_requests, stats.hits + stats.misses);
    assert_int_equal(stats.evictions, 0);
}

static void exists_set_and_delete_are_not_requests(void **state)
{
    store(*state, "k", 60);
    catzilla_cache_exists(*state, "k");
    catzilla_cache_exists(*state, "nobody");
    catzilla_cache_delete(*state, "k");
    catzilla_cache_delete(*state, "k");
    cache_statistics_t stats = catzilla_cache_get_stats(*state);
    assert_int_equal(stats.total_requests, 0);
    assert_int_equal(stats.hits, 0);
    assert_int_equal(stats.misses, 0);
}

static void only_making_room_is_an_eviction(void **state)
{
    char key[16];
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store(*state, key, 60);
    }
    store(*state, "k3", 60);
    catzilla_cache_delete(*state, "k4");
    assert_int_equal(catzilla_cache_get_stats(*state).evictions, 0);

    store(*state, "new", 60);
    assert_int_equal(catzilla_cache_get_stats(*state).evictions, 0);
    store(*state, "one more", 60);
    assert_int_equal(catzilla_cache_get_stats(*state).evictions, 1);
    assert_int_equal(catzilla_cache_get_stats(*state).size, 10);

    catzilla_cache_clear(*state);
    assert_int_equal(catzilla_cache_get_stats(*state).evictions, 1);
}

static void clear_keeps_the_counters(void **state)
{
    store(*state, "k", 60);
    catzilla_cache_get(*state, "k");
    catzilla_cache_get(*state, "nobody");
    catzilla_cache_clear(*state);
    cache_statistics_t stats = catzilla_cache_get_stats(*state);
    assert_int_equal(stats.size, 0);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.total_requests, 2);
}

static void a_refused_get_is_not_a_request(void **state)
{
    catzilla_cache_get(*state, NULL);
    assert_int_equal(catzilla_cache_get_stats(*state).total_requests, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_cache_reports_zeros_and_its_capacity, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(requests_are_hits_and_misses, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(an_expired_look_up_counts_as_a_miss, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(exists_set_and_delete_are_not_requests, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(only_making_room_is_an_eviction, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(clear_keeps_the_counters, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_refused_get_is_not_a_request, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("compat_statistics", tests, NULL, NULL);
}
