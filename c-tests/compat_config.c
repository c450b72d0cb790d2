/* Creating, configuring and resizing: what zeros mean, what is refused, what a change keeps. */
#include "suite.h"
#include "cache_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cache_config_t config_of(size_t capacity)
{
    cache_config_t config = {0};
    config.capacity = capacity;
    config.jemalloc_enabled = true;
    return config;
}

static void fill(catzilla_cache_t *cache, int first, int count)
{
    char key[16];
    for (int i = first; i < first + count; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(catzilla_cache_set(cache, key, key, strlen(key), 60), 0);
    }
}

static bool has(catzilla_cache_t *cache, int i)
{
    char key[16];
    snprintf(key, sizeof key, "k%d", i);
    return catzilla_cache_exists(cache, key);
}

static void a_bucket_count_of_zero_lets_the_library_choose(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    assert_non_null(cache);
    fill(cache, 0, 10);
    for (int i = 0; i < 10; i++)
        assert_true(has(cache, i));
    catzilla_cache_destroy(cache);
}

static void any_bucket_count_works(void **state)
{
    (void)state;
    const size_t counts[] = {1, 3, 1000, SIZE_MAX};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        catzilla_cache_t *cache = catzilla_cache_create(10, counts[i]);
        assert_non_null(cache);
        fill(cache, 0, 10);
        assert_true(has(cache, 0) && has(cache, 9));
        catzilla_cache_destroy(cache);
    }
}

static void a_huge_capacity_costs_nothing_until_it_is_used(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(SIZE_MAX, 0);
    assert_non_null(cache);
    fill(cache, 0, 10);
    assert_true(has(cache, 0));
    assert_true(catzilla_cache_memory_usage(cache) < 16u << 20);
    catzilla_cache_destroy(cache);
}

static void a_capacity_of_zero_is_refused_and_the_last_error_says_so(void **state)
{
    (void)state;
    assert_null(catzilla_cache_create(0, 16));
    assert_true(catzilla_last_error_code() < 0);
    assert_non_null(strstr(catzilla_last_error_message(), "capacity"));

    cache_config_t config = config_of(0);
    assert_null(catzilla_cache_create_with_config(&config));
    assert_non_null(strstr(catzilla_last_error_message(), "capacity"));
}

static void a_capacity_of_one_holds_the_latest_entry(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(1, 0);
    fill(cache, 0, 3);
    assert_true(has(cache, 2));
    assert_false(has(cache, 0) || has(cache, 1));
    assert_int_equal(catzilla_cache_get_stats(cache).size, 1);
    catzilla_cache_destroy(cache);
}

static void zeros_in_a_config_mean_the_defaults(void **state)
{
    (void)state;
    cache_config_t config = config_of(10);
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    assert_non_null(cache);

    /* max_value_size 0 is 100 MiB, so a megabyte fits and default_ttl 0 is an hour, so it is still there. */
    size_t megabyte = 1u << 20;
    char *value = calloc(1, megabyte);
    assert_int_equal(catzilla_cache_set(cache, "megabyte", value, megabyte, 0), 0);
    cache_result_t result = catzilla_cache_get(cache, "megabyte");
    assert_true(result.found);
    assert_int_equal(result.size, megabyte);

    size_t beyond = (100u << 20) + 1;
    char *too_large = calloc(1, beyond);
    assert_int_equal(catzilla_cache_set(cache, "beyond", too_large, beyond, 0), -1);
    assert_int_equal(catzilla_last_error_code(), CATZILLA_VALUE_TOO_LARGE);
    free(too_large);
    free(value);
    catzilla_cache_destroy(cache);
}

static void a_value_over_the_limit_is_refused_and_the_old_one_stays(void **state)
{
    (void)state;
    cache_config_t config = config_of(10);
    config.max_value_size = 100;
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    char value[101] = {0};
    assert_int_equal(catzilla_cache_set(cache, "k", "old", 3, 60), 0);
    assert_int_equal(catzilla_cache_set(cache, "k", value, 101, 60), -1);
    assert_int_equal(catzilla_last_error_code(), CATZILLA_VALUE_TOO_LARGE);
    cache_result_t result = catzilla_cache_get(cache, "k");
    assert_true(result.found);
    assert_memory_equal(result.data, "old", 3);
    assert_int_equal(catzilla_cache_set(cache, "k", value, 100, 60), 0);
    catzilla_cache_destroy(cache);
}

static void resize_changes_how_many_entries_fit(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    fill(cache, 0, 10);
    assert_int_equal(catzilla_cache_resize(cache, 20), 0);
    assert_int_equal(catzilla_cache_get_stats(cache).capacity, 20);
    fill(cache, 10, 10);
    for (int i = 0; i < 20; i++)
        assert_true(has(cache, i));

    assert_int_equal(catzilla_cache_resize(cache, 5), 0);
    cache_statistics_t stats = catzilla_cache_get_stats(cache);
    assert_int_equal(stats.capacity, 5);
    assert_true(stats.size <= 5);
    fill(cache, 20, 5);
    assert_int_equal(catzilla_cache_get_stats(cache).size, 5);
    catzilla_cache_destroy(cache);
}

static void shrinking_keeps_the_entries_used_last(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    fill(cache, 0, 10);
    assert_true(catzilla_cache_get(cache, "k0").found);
    assert_int_equal(catzilla_cache_resize(cache, 3), 0);
    assert_true(has(cache, 0) && has(cache, 8) && has(cache, 9));
    assert_int_equal(catzilla_cache_get_stats(cache).size, 3);
    catzilla_cache_destroy(cache);
}

static void resize_to_zero_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    fill(cache, 0, 10);
    assert_int_equal(catzilla_cache_resize(cache, 0), -1);
    cache_statistics_t stats = catzilla_cache_get_stats(cache);
    assert_int_equal(stats.capacity, 10);
    assert_int_equal(stats.size, 10);
    catzilla_cache_destroy(cache);
}

static void configure_applies_capacity_and_limits(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    fill(cache, 0, 10);
    cache_config_t config = config_of(4);
    config.max_value_size = 8;
    assert_int_equal(catzilla_cache_configure(cache, &config), 0);
    cache_statistics_t stats = catzilla_cache_get_stats(cache);
    assert_int_equal(stats.capacity, 4);
    assert_true(stats.size <= 4);
    assert_int_equal(catzilla_cache_set(cache, "k", "123456789", 9, 60), -1);
    assert_int_equal(catzilla_cache_set(cache, "k", "12345678", 8, 60), 0);

    config = config_of(4);
    assert_int_equal(catzilla_cache_configure(cache, &config), 0);
    assert_int_equal(catzilla_cache_set(cache, "k", "123456789", 9, 60), 0);
    catzilla_cache_destroy(cache);
}

static void configure_with_capacity_zero_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    fill(cache, 0, 10);
    cache_config_t config = config_of(0);
    config.max_value_size = 1;
    assert_int_equal(catzilla_cache_configure(cache, &config), -1);
    assert_int_equal(catzilla_cache_get_stats(cache).capacity, 10);
    assert_int_equal(catzilla_cache_get_stats(cache).size, 10);
    assert_int_equal(catzilla_cache_set(cache, "k", "12", 2, 60), 0);
    catzilla_cache_destroy(cache);
}

static void every_combination_of_the_switches_stores_and_reads(void **state)
{
    (void)state;
    for (int bits = 0; bits < 4; bits++) {
        cache_config_t config = config_of(100);
        config.compression_enabled = (bits & 1) != 0;
        config.jemalloc_enabled = (bits & 2) != 0;
        catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
        assert_non_null(cache);
        fill(cache, 0, 150);
        cache_result_t result = catzilla_cache_get(cache, "k149");
        assert_true(result.found);
        assert_memory_equal(result.data, "k149", 4);

        /* configure cannot move a cache to another allocator; what it holds stays readable all the same. */
        config.jemalloc_enabled = !config.jemalloc_enabled;
        catzilla_cache_configure(cache, &config);
        assert_true(has(cache, 149));
        catzilla_cache_destroy(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_count_of_zero_lets_the_library_choose),
        cmocka_unit_test(any_bucket_count_works),
        cmocka_unit_test(a_huge_capacity_costs_nothing_until_it_is_used),
        cmocka_unit_test(a_capacity_of_zero_is_refused_and_the_last_error_says_so),
        cmocka_unit_test(a_capacity_of_one_holds_the_latest_entry),
        cmocka_unit_test(zeros_in_a_config_mean_the_defaults),
        cmocka_unit_test(a_value_over_the_limit_is_refused_and_the_old_one_stays),
        cmocka_unit_test(resize_changes_how_many_entries_fit),
        cmocka_unit_test(shrinking_keeps_the_entries_used_last),
        cmocka_unit_test(resize_to_zero_is_refused_and_changes_nothing),
        cmocka_unit_test(configure_applies_capacity_and_limits),
        cmocka_unit_test(configure_with_capacity_zero_is_refused_and_changes_nothing),
        cmocka_unit_test(every_combination_of_the_switches_stores_and_reads),
    };
    return cmocka_run_group_tests_name("compat_config", tests, NULL, NULL);
}
