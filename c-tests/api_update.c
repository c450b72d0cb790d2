/* Writes that depend on what is there: conditions and versions. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"

#include <string.h>

static catzilla_status_t put_with(catzilla_cache_t *cache, const char *value, uint32_t flags, uint64_t expected,
                                  uint64_t *version)
{
    catzilla_put_options_t options = {0};
    options.struct_size = sizeof options;
    options.flags = flags;
    options.expected_version = expected;
    return catzilla_cache_put_with(cache, "key", 3, value, strlen(value), &options, version);
}

static void assert_holds(catzilla_cache_t *cache, const char *value)
{
    char buffer[64];
    size_t len = 0;
    assert_int_equal(catzilla_cache_read(cache, "key", 3, buffer, sizeof buffer, &len), CATZILLA_OK);
    assert_int_equal(len, strlen(value));
    assert_memory_equal(buffer, value, len);
}

static void without_options_it_is_a_put(void **state)
{
    uint64_t version = 99;
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, "a", 1, NULL, NULL), CATZILLA_OK);
    assert_holds(*state, "a");
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, "b", 1, NULL, &version), CATZILLA_OK);
    assert_holds(*state, "b");
    assert_true(version > 0 && version != 99);
    assert_int_equal(put_with(*state, "c", 0, 0, NULL), CATZILLA_OK);
    assert_holds(*state, "c");
}

static void a_key_is_stored_only_if_absent_or_only_if_present(void **state)
{
    uint64_t version = 99;
    assert_int_equal(put_with(*state, "a", CATZILLA_PUT_IF_PRESENT, 0, &version), CATZILLA_NOT_FOUND);
    assert_int_equal(version, 0);
    assert_int_equal(put_with(*state, "b", CATZILLA_PUT_IF_ABSENT, 0, &version), CATZILLA_OK);
    assert_true(version > 0);
    assert_int_equal(put_with(*state, "c", CATZILLA_PUT_IF_ABSENT, 0, &version), CATZILLA_EXISTS);
    assert_int_equal(version, 0);
    assert_holds(*state, "b");
    assert_int_equal(put_with(*state, "d", CATZILLA_PUT_IF_PRESENT, 0, NULL), CATZILLA_OK);
    assert_holds(*state, "d");
}

static void who_comes_second_with_a_version_finds_out(void **state)
{
    catzilla_value_t *mine = NULL, *theirs = NULL;
    assert_int_equal(put_with(*state, "a", 0, 7, NULL), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_put(*state, "key", 3, "a", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(*state, "key", 3, &mine), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(*state, "key", 3, &theirs), CATZILLA_OK);
    uint64_t seen = catzilla_value_version(mine), stored = 0;
    assert_true(seen > 0);
    assert_true(catzilla_value_version(theirs) == seen);
    assert_int_equal(catzilla_value_tier(mine), CATZILLA_TIER_MEMORY);

    assert_int_equal(put_with(*state, "theirs", 0, seen, &stored), CATZILLA_OK);
    assert_true(stored > 0 && stored != seen);
    assert_int_equal(put_with(*state, "mine", CATZILLA_PUT_IF_PRESENT, seen, &seen), CATZILLA_VERSION_MISMATCH);
    assert_int_equal(seen, 0);
    assert_int_equal(catzilla_value_version(mine), 0);
    assert_holds(*state, "theirs");
    catzilla_value_release(mine);
    catzilla_value_release(theirs);
}

static void a_version_ends_with_its_value_and_with_the_cache(void **state)
{
    (void)state;
    catzilla_cache_t *cache = NULL;
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_open(NULL, &cache), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put(cache, "key", 3, "a", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(cache, "key", 3, &value), CATZILLA_OK);
    assert_true(catzilla_value_version(value) > 0);
    assert_int_equal(catzilla_cache_remove(cache, "key", 3), CATZILLA_OK);
    assert_int_equal(catzilla_value_version(value), 0);
    catzilla_value_release(value);
    assert_int_equal(catzilla_cache_put(cache, "key", 3, "a", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(cache, "key", 3, &value), CATZILLA_OK);
    catzilla_cache_destroy(cache);
    assert_int_equal(catzilla_value_version(value), 0);
    catzilla_value_release(value);
}

static void lifetimes_are_those_of_put(void **state)
{
    catzilla_value_t *value = NULL;
    catzilla_put_options_t options = {0};
    options.struct_size = sizeof options;
    options.ttl_ms = CATZILLA_TTL_FOREVER;
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, "a", 1, &options, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(*state, "key", 3, &value), CATZILLA_OK);
    assert_true(catzilla_value_ttl_ms(value) == CATZILLA_TTL_FOREVER);
    catzilla_value_release(value);
}

/* A program that was compiled when the struct was shorter, one that forgot the size, and one from the future. */
static void members_that_the_caller_does_not_know_are_zero(void **state)
{
    struct {
        catzilla_put_options_t known;
        uint64_t unknown[4];
    } options;
    memset(&options, 0xFF, sizeof options);
    const size_t sizes[] = {0, 3, sizeof(size_t), offsetof(catzilla_put_options_t, ttl_ms) + 7};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        options.known.struct_size = sizes[i];
        assert_int_equal(catzilla_cache_put_with(*state, "key", 3, "a", 1, &options.known, NULL), CATZILLA_OK);
    }
    memset(&options.known, 0, sizeof options.known);
    options.known.flags = CATZILLA_PUT_IF_ABSENT;
    options.known.struct_size = sizeof options;
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, "b", 1, &options.known, NULL), CATZILLA_EXISTS);
    options.known.struct_size = offsetof(catzilla_put_options_t, flags);
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, "b", 1, &options.known, NULL), CATZILLA_OK);
}

static void conditions_that_nothing_can_meet_are_refused(void **state)
{
    const uint32_t flags[] = {CATZILLA_PUT_IF_ABSENT | CATZILLA_PUT_IF_PRESENT, 0x80, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        assert_int_equal(put_with(*state, "a", flags[i], 0, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(put_with(*state, "a", CATZILLA_PUT_IF_ABSENT, 1, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_contains(*state, "key", 3), CATZILLA_NOT_FOUND);
}

static uint64_t remaining(catzilla_cache_t *cache)
{
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_acquire(cache, "key", 3, &value), CATZILLA_OK);
    uint64_t left = catzilla_value_ttl_ms(value);
    catzilla_value_release(value);
    return left;
}

static void touch_changes_the_lifetime_and_nothing_else(void **state)
{
    assert_int_equal(catzilla_cache_touch(*state, "key", 3, 1000), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_put(*state, "key", 3, "a", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_touch(*state, "key", 3, CATZILLA_TTL_FOREVER), CATZILLA_OK);
    assert_true(remaining(*state) == CATZILLA_TTL_FOREVER);
    assert_int_equal(catzilla_cache_touch(*state, "key", 3, 60000), CATZILLA_OK);
    assert_in_range(remaining(*state), 10000, 60020);
    assert_int_equal(catzilla_cache_touch(*state, "key", 3, 0), CATZILLA_OK);
    assert_in_range(remaining(*state), 3000000, 3600020);
    assert_holds(*state, "a");
    assert_int_equal(catzilla_cache_touch(*state, NULL, 1, 0), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_touch(NULL, "key", 3, 0), CATZILLA_INVALID_ARGUMENT);
}

static void a_counter_counts_and_reads_as_text(void **state)
{
    int64_t sum = 99;
    assert_int_equal(catzilla_cache_increment(*state, "key", 3, 5, 7, 0, &sum), CATZILLA_OK);
    assert_int_equal(sum, 7);
    assert_int_equal(catzilla_cache_increment(*state, "key", 3, 5, 7, 0, &sum), CATZILLA_OK);
    assert_int_equal(sum, 12);
    assert_int_equal(catzilla_cache_increment(*state, "key", 3, -20, 0, 0, NULL), CATZILLA_OK);
    assert_holds(*state, "-8");
    assert_int_equal(catzilla_cache_increment(*state, "key", 3, INT64_MIN, 0, 0, &sum), CATZILLA_NUMBER_OVERFLOW);
    assert_int_equal(sum, 0);
    assert_non_null(strstr(catzilla_last_error_message(), "-8"));
    assert_holds(*state, "-8");
    assert_int_equal(catzilla_cache_put(*state, "key", 3, "many", 4, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_increment(*state, "key", 3, 1, 0, 0, &sum), CATZILLA_NOT_A_NUMBER);
    assert_holds(*state, "many");
    assert_int_equal(catzilla_cache_increment(NULL, "key", 3, 1, 0, 0, &sum), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_increment(*state, NULL, 3, 1, 0, 0, &sum), CATZILLA_INVALID_ARGUMENT);
}

static void tags_purge_what_carries_them(void **state)
{
    catzilla_bytes_t tags[CATZILLA_MAX_TAGS + 1];
    catzilla_put_options_t options = {0};
    uint64_t removed = 99;
    for (size_t i = 0; i < COUNT_OF(tags); i++) {
        tags[i].data = "one and two" + (i % 2 ? 8 : 0);
        tags[i].len = 3;
    }
    options.struct_size = sizeof options;
    options.tags = tags;
    options.tag_count = 1;
    assert_int_equal(catzilla_cache_put_with(*state, "a", 1, "v", 1, &options, NULL), CATZILLA_OK);
    options.tag_count = CATZILLA_MAX_TAGS;
    assert_int_equal(catzilla_cache_put_with(*state, "b", 1, "v", 1, &options, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put(*state, "c", 1, "v", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_TAG, "six", 3, &removed), CATZILLA_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_TAG, "two", 3, &removed), CATZILLA_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_TAG, "one", 3, &removed), CATZILLA_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(catzilla_cache_contains(*state, "c", 1), CATZILLA_OK);

    options.tag_count = CATZILLA_MAX_TAGS + 1;
    assert_int_equal(catzilla_cache_put_with(*state, "a", 1, "v", 1, &options, NULL), CATZILLA_INVALID_ARGUMENT);
    options.tag_count = 2;
    tags[1].len = CATZILLA_MAX_TAG_LEN + 1;
    assert_int_equal(catzilla_cache_put_with(*state, "a", 1, "v", 1, &options, NULL), CATZILLA_INVALID_ARGUMENT);
    options.tags = NULL;
    assert_int_equal(catzilla_cache_put_with(*state, "a", 1, "v", 1, &options, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_TAG, "", CATZILLA_MAX_TAG_LEN + 1, &removed),
                     CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_contains(*state, "a", 1), CATZILLA_NOT_FOUND);
}

/* A counter of the engine's says what it has compressed; a build without LZ4 compresses nothing. */
static void a_value_is_kept_as_it_is_where_that_is_wanted(void **state)
{
    char value[4000];
    memset(value, 'a', sizeof value);
    catzilla_put_options_t options = {.struct_size = sizeof options, .flags = CATZILLA_PUT_UNCOMPRESSED | CATZILLA_PUT_IF_ABSENT};
    assert_int_equal(catzilla_cache_set_option(*state, "memory.compression", "on"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, value, sizeof value, &options, NULL), CATZILLA_OK);
    catzilla_statistics_t statistics = {.struct_size = sizeof statistics};
    assert_int_equal(catzilla_cache_statistics(*state, &statistics), CATZILLA_OK);
    assert_int_equal(statistics.memory_compressed_puts, 0);
    assert_true(statistics.memory_bytes > sizeof value);

    options.flags = 0;
    assert_int_equal(catzilla_cache_put_with(*state, "key", 3, value, sizeof value, &options, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_statistics(*state, &statistics), CATZILLA_OK);
    assert_true(statistics.memory_compressed_puts == 1 && statistics.memory_bytes < sizeof value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_options_it_is_a_put, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_key_is_stored_only_if_absent_or_only_if_present, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(who_comes_second_with_a_version_finds_out, open_cache, close_cache),
        cmocka_unit_test(a_version_ends_with_its_value_and_with_the_cache),
        cmocka_unit_test_setup_teardown(lifetimes_are_those_of_put, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(members_that_the_caller_does_not_know_are_zero, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(touch_changes_the_lifetime_and_nothing_else, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_counter_counts_and_reads_as_text, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(tags_purge_what_carries_them, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_value_is_kept_as_it_is_where_that_is_wanted, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(conditions_that_nothing_can_meet_are_refused, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("api_update", tests, NULL, NULL);
}
