/* The modern cache: open, put, read, remove, contains, purge, and how TTLs in milliseconds behave. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"
#include "waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(catzilla_cache_t *cache, const char *key, const char *value)
{
    assert_int_equal(catzilla_cache_put(cache, key, strlen(key), value, strlen(value), 0), CATZILLA_OK);
}

static catzilla_status_t contains(catzilla_cache_t *cache, const char *key)
{
    return catzilla_cache_contains(cache, key, strlen(key));
}

static void a_value_is_read_into_the_callers_buffer(void **state)
{
    char buffer[16];
    size_t size = 99;
    put(*state, "k", "value");
    memset(buffer, '#', sizeof buffer);
    assert_int_equal(catzilla_cache_read(*state, "k", 1, buffer, sizeof buffer, &size), CATZILLA_OK);
    assert_int_equal(size, 5);
    assert_memory_equal(buffer, "value###########", 16);
}

static void a_buffer_that_is_too_small_stays_untouched_and_the_size_is_told(void **state)
{
    char buffer[4] = "####";
    size_t size = 0;
    put(*state, "k", "value");
    assert_int_equal(catzilla_cache_read(*state, "k", 1, buffer, sizeof buffer, &size), CATZILLA_TRUNCATED);
    assert_int_equal(size, 5);
    assert_memory_equal(buffer, "####", 4);
    size = 0;
    assert_int_equal(catzilla_cache_read(*state, "k", 1, NULL, 0, &size), CATZILLA_TRUNCATED);
    assert_int_equal(size, 5);
}

static void a_buffer_of_exactly_the_size_is_enough(void **state)
{
    char buffer[5];
    size_t size = 0;
    put(*state, "k", "value");
    assert_int_equal(catzilla_cache_read(*state, "k", 1, buffer, 5, &size), CATZILLA_OK);
    assert_memory_equal(buffer, "value", 5);
}

static void a_miss_is_not_found_and_sets_the_size_to_zero(void **state)
{
    char buffer[4];
    size_t size = 99;
    assert_int_equal(catzilla_cache_read(*state, "nobody", 6, buffer, sizeof buffer, &size), CATZILLA_NOT_FOUND);
    assert_int_equal(size, 0);
    assert_int_equal(catzilla_cache_contains(*state, "nobody", 6), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_remove(*state, "nobody", 6), CATZILLA_NOT_FOUND);
}

static void keys_and_values_are_any_bytes(void **state)
{
    const char key_one[] = {'k', 0, 1}, key_two[] = {'k', 0, 2};
    const char value[] = {0, (char)0xff, 0, 'x'};
    char buffer[8];
    size_t size = 0;
    assert_int_equal(catzilla_cache_put(*state, key_one, 3, value, 4, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(*state, key_two, 3), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_contains(*state, key_one, 2), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_read(*state, key_one, 3, buffer, sizeof buffer, &size), CATZILLA_OK);
    assert_int_equal(size, 4);
    assert_memory_equal(buffer, value, 4);
}

static void empty_keys_and_empty_values_are_stored(void **state)
{
    char buffer[8];
    size_t size = 99;
    assert_int_equal(catzilla_cache_put(*state, "", 0, "v", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_read(*state, "", 0, buffer, sizeof buffer, &size), CATZILLA_OK);
    assert_int_equal(size, 1);
    assert_int_equal(catzilla_cache_put(*state, "k", 1, "", 0, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_read(*state, "k", 1, buffer, sizeof buffer, &size), CATZILLA_OK);
    assert_int_equal(size, 0);
}

static void null_stands_for_bytes_of_which_there_are_none(void **state)
{
    size_t size = 99;
    uint64_t removed = 0;
    assert_int_equal(catzilla_cache_put(*state, NULL, 0, NULL, 0, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(*state, "", 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_read(*state, NULL, 0, NULL, 0, &size), CATZILLA_OK);
    assert_int_equal(size, 0);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PREFIX, NULL, 0, &removed), CATZILLA_OK);
    assert_int_equal(removed, 1);
}

static void a_key_of_the_greatest_length_works_and_one_byte_more_is_refused(void **state)
{
    size_t longest = CATZILLA_MAX_KEY_LEN;
    char *key = malloc(longest + 1);
    memset(key, 'k', longest + 1);
    assert_int_equal(catzilla_cache_put(*state, key, longest, "v", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(*state, key, longest), CATZILLA_OK);
    assert_int_equal(catzilla_cache_remove(*state, key, longest), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put(*state, key, longest + 1, "v", 1, 0), CATZILLA_KEY_TOO_LARGE);
    free(key);
}

static void remove_takes_the_entry_away_once(void **state)
{
    put(*state, "k", "v");
    assert_int_equal(catzilla_cache_remove(*state, "k", 1), CATZILLA_OK);
    assert_int_equal(catzilla_cache_remove(*state, "k", 1), CATZILLA_NOT_FOUND);
    assert_int_equal(contains(*state, "k"), CATZILLA_NOT_FOUND);
}

static void purge_all_removes_everything_and_counts(void **state)
{
    uint64_t removed = 99;
    put(*state, "a", "1");
    put(*state, "b", "2");
    put(*state, "", "3");
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, &removed), CATZILLA_OK);
    assert_int_equal(removed, 3);
    assert_int_equal(contains(*state, "a"), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, &removed), CATZILLA_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, NULL), CATZILLA_OK);
}

static void purge_by_prefix_removes_what_begins_so_and_nothing_else(void **state)
{
    char key[32];
    uint64_t removed = 0;
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%s:%d", i % 5 ? "page" : "user", i);
        put(*state, key, "v");
    }
    put(*state, "user", "v");
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PREFIX, "user:", 5, &removed), CATZILLA_OK);
    assert_int_equal(removed, 100);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%s:%d", i % 5 ? "page" : "user", i);
        assert_int_equal(contains(*state, key), i % 5 ? CATZILLA_OK : CATZILLA_NOT_FOUND);
    }
    assert_int_equal(contains(*state, "user"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PREFIX, "", 0, &removed), CATZILLA_OK);
    assert_int_equal(removed, 401);
}

static void purge_by_pattern_removes_what_fits_and_nothing_else(void **state)
{
    char key[32];
    uint64_t removed = 0;
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%s:%d:%s", i % 5 ? "page" : "user", i, i % 2 ? "en" : "de");
        put(*state, key, "v");
    }
    put(*state, "*", "v");
    put(*state, "page", "v");
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PATTERN, "page:??:*n", 10, &removed), CATZILLA_OK);
    assert_int_equal(removed, 36);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%s:%d:%s", i % 5 ? "page" : "user", i, i % 2 ? "en" : "de");
        bool is_purged = i % 5 && i % 2 && i >= 10 && i < 100;
        assert_int_equal(contains(*state, key), is_purged ? CATZILLA_NOT_FOUND : CATZILLA_OK);
    }
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PATTERN, "\\*", 2, &removed), CATZILLA_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(contains(*state, "*"), CATZILLA_NOT_FOUND);
    put(*state, "", "v");
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PATTERN, NULL, 0, &removed), CATZILLA_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PATTERN, "*", 1, &removed), CATZILLA_OK);
    assert_int_equal(removed, 465);
}

static void a_pattern_of_the_greatest_length_works_and_one_byte_more_is_refused(void **state)
{
    char pattern[CATZILLA_MAX_PATTERN_LEN + 1];
    uint64_t removed = 99;
    memset(pattern, '*', sizeof pattern);
    put(*state, "k", "v");
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PATTERN, pattern, sizeof pattern, &removed),
                     CATZILLA_INVALID_ARGUMENT);
    assert_non_null(strstr(catzilla_last_error_message(), "at most 4096"));
    assert_int_equal(removed, 0);
    assert_int_equal(contains(*state, "k"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_PATTERN, pattern, sizeof pattern - 1, &removed),
                     CATZILLA_OK);
    assert_int_equal(removed, 1);
}

static void purge_of_an_unknown_kind_is_refused_and_removes_nothing(void **state)
{
    uint64_t removed = 99;
    put(*state, "k", "v");
    assert_int_equal(catzilla_cache_purge(*state, 77, "k", 1, &removed), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(removed, 0);
    assert_int_equal(contains(*state, "k"), CATZILLA_OK);
}

static void a_value_over_max_value_size_is_refused_and_the_old_one_stays(void **state)
{
    (void)state;
    catzilla_options_t *options = catzilla_options_create();
    catzilla_cache_t *cache = NULL;
    char value[33] = {0}, buffer[8];
    size_t size = 0;
    assert_int_equal(catzilla_options_set(options, "memory.max_value_size", "32"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_open(options, &cache), CATZILLA_OK);
    catzilla_options_destroy(options);
    put(cache, "k", "old");
    assert_int_equal(catzilla_cache_put(cache, "k", 1, value, 33, 0), CATZILLA_VALUE_TOO_LARGE);
    assert_int_equal(catzilla_cache_read(cache, "k", 1, buffer, sizeof buffer, &size), CATZILLA_OK);
    assert_memory_equal(buffer, "old", 3);
    assert_int_equal(catzilla_cache_put(cache, "k", 1, value, 32, 0), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

/* Entries of 1 to 60 ms, set at ever other phases of the library's clock; the loop asks without pause, so that an entry that
 * goes even a little early is seen. */
static void no_entry_goes_before_its_ttl(void **state)
{
    enum { ENTRIES = 60 };
    uint64_t set_at[ENTRIES], deadline;
    bool gone[ENTRIES] = {false};
    int left = ENTRIES;
    for (unsigned char i = 0; i < ENTRIES; i++) {
        set_at[i] = now_us();
        assert_int_equal(catzilla_cache_put(*state, &i, 1, "v", 1, i + 1u), CATZILLA_OK);
    }
    deadline = now_ms() + PATIENCE_MS;
    while (left > 0 && now_ms() < deadline) {
        for (unsigned char i = 0; i < ENTRIES; i++) {
            if (gone[i] || catzilla_cache_contains(*state, &i, 1) == CATZILLA_OK)
                continue;
            uint64_t lived_us = now_us() - set_at[i];
            if (lived_us < (i + 1u) * 1000u)
                fail_msg("an entry with a TTL of %d ms went after %llu us", i + 1, (unsigned long long)lived_us);
            gone[i] = true;
            left--;
        }
    }
    assert_int_equal(left, 0);
}

static void the_default_ttl_is_the_option_and_forever_is_forever(void **state)
{
    (void)state;
    catzilla_options_t *options = catzilla_options_create();
    catzilla_cache_t *cache = NULL;
    assert_int_equal(catzilla_options_set(options, "memory.ttl", "50ms"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_open(options, &cache), CATZILLA_OK);
    catzilla_options_destroy(options);

    uint64_t set_at = now_us(), deadline = now_ms() + PATIENCE_MS;
    put(cache, "default", "v");
    assert_int_equal(catzilla_cache_put(cache, "forever", 7, "v", 1, CATZILLA_TTL_FOREVER), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put(cache, "a century", 9, "v", 1, UINT64_MAX - 1), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put(cache, "long", 4, "v", 1, UINT64_MAX / 2), CATZILLA_OK);
    while (contains(cache, "default") == CATZILLA_OK && now_ms() < deadline)
        pause_ms(5);
    assert_int_equal(contains(cache, "default"), CATZILLA_NOT_FOUND);
    assert_true(now_us() - set_at >= 50000);
    assert_int_equal(contains(cache, "forever"), CATZILLA_OK);
    assert_int_equal(contains(cache, "a century"), CATZILLA_OK);
    assert_int_equal(contains(cache, "long"), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

static void both_groups_of_functions_see_the_same_entries(void **state)
{
    char buffer[8];
    size_t size = 0;
    put(*state, "modern", "m");
    assert_int_equal(catzilla_cache_set(*state, "classic", "c", 1, 60), 0);
    assert_true(catzilla_cache_get(*state, "modern").found);
    assert_int_equal(catzilla_cache_read(*state, "classic", 7, buffer, sizeof buffer, &size), CATZILLA_OK);
    assert_int_equal(catzilla_cache_get_stats(*state).size, 2);
    assert_int_equal(catzilla_cache_remove(*state, "classic", 7), CATZILLA_OK);
    assert_int_equal(catzilla_cache_delete(*state, "modern"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_value_is_read_into_the_callers_buffer, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_buffer_that_is_too_small_stays_untouched_and_the_size_is_told, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_buffer_of_exactly_the_size_is_enough, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_miss_is_not_found_and_sets_the_size_to_zero, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(keys_and_values_are_any_bytes, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(empty_keys_and_empty_values_are_stored, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(null_stands_for_bytes_of_which_there_are_none, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_key_of_the_greatest_length_works_and_one_byte_more_is_refused, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(remove_takes_the_entry_away_once, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(purge_all_removes_everything_and_counts, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(purge_by_prefix_removes_what_begins_so_and_nothing_else, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(purge_by_pattern_removes_what_fits_and_nothing_else, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_pattern_of_the_greatest_length_works_and_one_byte_more_is_refused, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(purge_of_an_unknown_kind_is_refused_and_removes_nothing, open_cache, close_cache),
        cmocka_unit_test(a_value_over_max_value_size_is_refused_and_the_old_one_stays),
        cmocka_unit_test_setup_teardown(no_entry_goes_before_its_ttl, open_cache, close_cache),
        cmocka_unit_test(the_default_ttl_is_the_option_and_forever_is_forever),
        cmocka_unit_test_setup_teardown(both_groups_of_functions_see_the_same_entries, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("api_cache", tests, NULL, NULL);
}
