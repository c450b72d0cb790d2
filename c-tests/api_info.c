/* Version, and the modern statistics with their struct that can grow. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"

#include <stdio.h>
#include <string.h>

static catzilla_statistics_t statistics_of(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    assert_int_equal(statistics.struct_size, sizeof statistics);
    return statistics;
}

static void put(catzilla_cache_t *cache, const char *key, const void *value, size_t size)
{
    assert_int_equal(catzilla_cache_put(cache, key, strlen(key), value, size, 0), CATZILLA_OK);
}

static void header_and_library_are_of_one_version(void **state)
{
    (void)state;
    char expected[64];
    snprintf(expected, sizeof expected, "%d.%d.%d", CATZILLA_CACHE_VERSION_MAJOR, CATZILLA_CACHE_VERSION_MINOR,
             CATZILLA_CACHE_VERSION_PATCH);
    assert_string_equal(CATZILLA_CACHE_VERSION, expected);
    assert_string_equal(catzilla_version(), CATZILLA_CACHE_VERSION);
    assert_int_equal(catzilla_version_number(), CATZILLA_CACHE_VERSION_MAJOR * 1000000 +
                                                    CATZILLA_CACHE_VERSION_MINOR * 1000 + CATZILLA_CACHE_VERSION_PATCH);
    assert_int_equal(catzilla_abi_version(), CATZILLA_CACHE_ABI);
}

static void the_version_is_the_one_the_package_was_configured_with(void **state)
{
    (void)state;
    assert_string_equal(catzilla_version(), CONFIGURED_VERSION);
    assert_int_equal(catzilla_abi_version(), CONFIGURED_ABI);
}

static void hits_misses_puts_and_removals_are_counted(void **state)
{
    char buffer[8];
    size_t size;
    put(*state, "k", "v", 1);
    put(*state, "k", "w", 1);
    put(*state, "l", "v", 1);
    for (int i = 0; i < 3; i++)
        catzilla_cache_read(*state, "k", 1, buffer, sizeof buffer, &size);
    catzilla_cache_read(*state, "nobody", 6, buffer, sizeof buffer, &size);
    catzilla_cache_contains(*state, "k", 1);
    catzilla_cache_remove(*state, "l", 1);
    catzilla_cache_remove(*state, "l", 1);

    catzilla_statistics_t statistics = statistics_of(*state);
    assert_int_equal(statistics.hits, 3);
    assert_int_equal(statistics.misses, 1);
    assert_int_equal(statistics.requests, 4);
    assert_true(statistics.hit_ratio > 0.7499 && statistics.hit_ratio < 0.7501);
    assert_int_equal(statistics.puts, 3);
    assert_int_equal(statistics.removals, 1);
    assert_int_equal(statistics.memory_hits, 3);
    assert_int_equal(statistics.memory_misses, 1);
    assert_int_equal(statistics.memory_entries, 1);
}

static void a_new_cache_has_a_hit_ratio_of_zero(void **state)
{
    catzilla_statistics_t statistics = statistics_of(*state);
    assert_int_equal(statistics.requests, 0);
    assert_true(statistics.hit_ratio == 0.0);
}

static void the_classic_and_the_modern_numbers_agree(void **state)
{
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(*state, key, key, strlen(key));
        catzilla_cache_get(*state, i % 3 ? key : "nobody");
    }
    catzilla_statistics_t modern = statistics_of(*state);
    cache_statistics_t classic = catzilla_cache_get_stats(*state);
    assert_int_equal(modern.hits, classic.hits);
    assert_int_equal(modern.misses, classic.misses);
    assert_int_equal(modern.requests, classic.total_requests);
    assert_int_equal(modern.memory_evictions, classic.evictions);
    assert_int_equal(modern.memory_entries, classic.size);
    assert_int_equal(modern.memory_capacity, classic.capacity);
    assert_int_equal(modern.memory_bytes, classic.memory_usage);
    assert_int_equal(modern.memory_bytes, catzilla_cache_memory_usage(*state));
}

static void compression_is_reported(void **state)
{
    static char text[50000];
    memset(text, 'x', sizeof text);
    put(*state, "text", text, sizeof text);
    catzilla_statistics_t statistics = statistics_of(*state);
    assert_int_equal(statistics.memory_compressed_puts, 1);
    assert_int_equal(statistics.memory_compression_input_bytes, sizeof text);
    assert_true(statistics.memory_compression_output_bytes > 0);
    assert_true(statistics.memory_compression_output_bytes < sizeof text / 2);
    assert_true(statistics.memory_compression_ratio > 2.0);
}

static void an_older_and_smaller_struct_is_filled_up_to_its_end(void **state)
{
    catzilla_statistics_t statistics;
    unsigned char *bytes = (unsigned char *)&statistics;
    const size_t known = offsetof(catzilla_statistics_t, requests);
    put(*state, "k", "v", 1);
    catzilla_cache_get(*state, "k");
    memset(&statistics, 0xa5, sizeof statistics);
    statistics.struct_size = known;
    assert_int_equal(catzilla_cache_statistics(*state, &statistics), CATZILLA_OK);
    assert_int_equal(statistics.struct_size, known);
    assert_int_equal(statistics.hits, 1);
    assert_int_equal(statistics.misses, 0);
    for (size_t i = known; i < sizeof statistics; i++)
        assert_int_equal(bytes[i], 0xa5);
}

static void a_newer_and_larger_struct_is_filled_as_far_as_the_library_knows(void **state)
{
    struct {
        catzilla_statistics_t known;
        unsigned char later[64];
    } larger;
    put(*state, "k", "v", 1);
    memset(&larger, 0xa5, sizeof larger);
    larger.known.struct_size = sizeof larger;
    assert_int_equal(catzilla_cache_statistics(*state, &larger.known), CATZILLA_OK);
    assert_int_equal(larger.known.struct_size, sizeof larger.known);
    assert_int_equal(larger.known.puts, 1);
    for (size_t i = 0; i < sizeof larger.later; i++)
        assert_int_equal(larger.later[i], 0xa5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_and_library_are_of_one_version),
        cmocka_unit_test(the_version_is_the_one_the_package_was_configured_with),
        cmocka_unit_test_setup_teardown(hits_misses_puts_and_removals_are_counted, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_new_cache_has_a_hit_ratio_of_zero, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_classic_and_the_modern_numbers_agree, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(compression_is_reported, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(an_older_and_smaller_struct_is_filled_up_to_its_end, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_newer_and_larger_struct_is_filled_as_far_as_the_library_knows, open_cache,
                                        close_cache),
    };
    return cmocka_run_group_tests_name("api_info", tests, NULL, NULL);
}
