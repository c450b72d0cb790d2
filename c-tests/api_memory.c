/* Look-ups that ask memory alone: what they show, what they count, and that they leave the tiers below in peace. */
#include "tiers.h"
#include "default_cache.h"

#include <stdlib.h>

struct shown {
    char bytes[4096];
    size_t len;
    int times;
};

static void take(void *user, const void *data, size_t len)
{
    struct shown *shown = user;
    shown->len = len;
    shown->times++;
    memcpy(shown->bytes, data, len < sizeof shown->bytes ? len : sizeof shown->bytes);
}

static catzilla_statistics_t figures(catzilla_cache_t *cache)
{
    catzilla_statistics_t figures = {.struct_size = sizeof figures};
    assert_int_equal(catzilla_cache_statistics(cache, &figures), CATZILLA_OK);
    return figures;
}

static void a_visitor_is_shown_the_value_once(void **state)
{
    struct shown shown = {.times = 0};
    assert_int_equal(catzilla_cache_put(*state, "k", 1, "value", 5, 0), CATZILLA_OK);
    assert_int_equal(catzilla_memory_visit(*state, "k", 1, true, take, &shown), CATZILLA_OK);
    assert_true(shown.times == 1 && shown.len == 5 && memcmp(shown.bytes, "value", 5) == 0);
    assert_true(figures(*state).hits == 1 && figures(*state).misses == 0);
}

static void a_miss_shows_nothing_and_counts_if_it_is_the_last(void **state)
{
    struct shown shown = {.times = 0};
    char buffer[8];
    size_t len = 99;
    assert_int_equal(catzilla_memory_visit(*state, "k", 1, true, take, &shown), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_memory_read(*state, "k", 1, true, buffer, sizeof buffer, &len), CATZILLA_NOT_FOUND);
    assert_true(shown.times == 0 && len == 0);
    assert_true(figures(*state).hits == 0 && figures(*state).misses == 2);
    assert_int_equal(catzilla_memory_visit(*state, "k", 1, false, take, &shown), CATZILLA_NOT_FOUND);
    assert_true(figures(*state).misses == 2);
}

static void values_that_are_compressed_are_shown_whole(void **state)
{
    static const char text[] = "the same words again and again; ";
    char value[3000];
    for (size_t at = 0; at < sizeof value; at++)
        value[at] = text[at % (sizeof text - 1)];
    struct shown shown = {.times = 0};
    assert_int_equal(catzilla_cache_put(*state, "k", 1, value, sizeof value, 0), CATZILLA_OK);
    assert_int_equal(figures(*state).memory_compressed_puts, 1);
    assert_int_equal(catzilla_memory_visit(*state, "k", 1, true, take, &shown), CATZILLA_OK);
    assert_true(shown.times == 1 && shown.len == sizeof value && memcmp(shown.bytes, value, sizeof value) == 0);
}

static void an_empty_value_is_shown_at_an_address(void **state)
{
    struct shown shown = {.times = 0, .len = 99};
    assert_int_equal(catzilla_cache_put(*state, "k", 1, "", 0, 0), CATZILLA_OK);
    assert_int_equal(catzilla_memory_visit(*state, "k", 1, true, take, &shown), CATZILLA_OK);
    assert_true(shown.times == 1 && shown.len == 0);
}

static void a_buffer_that_is_too_small_is_told_what_is_needed(void **state)
{
    char buffer[8] = "as it is";
    size_t len = 0;
    assert_int_equal(catzilla_cache_put(*state, "k", 1, "a longer value", 14, 0), CATZILLA_OK);
    assert_int_equal(catzilla_memory_read(*state, "k", 1, true, buffer, sizeof buffer, &len), CATZILLA_TRUNCATED);
    assert_true(len == 14 && memcmp(buffer, "as it is", 8) == 0);
    assert_int_equal(catzilla_cache_put(*state, "k", 1, "shorter", 7, 0), CATZILLA_OK);
    assert_int_equal(catzilla_memory_read(*state, "k", 1, true, buffer, sizeof buffer, &len), CATZILLA_OK);
    assert_true(len == 7 && memcmp(buffer, "shorter", 7) == 0);
}

static void what_only_the_disk_has_is_not_looked_for_and_not_counted(void **state)
{
    struct ground *ground = *state;
    struct shown shown = {.times = 0};
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_put(cache, "k", 1, "value", 5, 0), CATZILLA_OK);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_memory_visit(cache, "k", 1, false, take, &shown), CATZILLA_NOT_FOUND);
    assert_true(figures(cache).requests == 0 && figures_of(cache, CATZILLA_TIER_DISK).read_samples == 0);
    char buffer[8];
    size_t len;
    assert_int_equal(catzilla_cache_read(cache, "k", 1, buffer, sizeof buffer, &len), CATZILLA_OK);
    assert_int_equal(catzilla_memory_visit(cache, "k", 1, true, take, &shown), CATZILLA_OK);
    assert_true(shown.times == 1 && figures(cache).hits == 2 && figures(cache).misses == 0);
    catzilla_cache_destroy(cache);
}

static void null_is_refused(void **state)
{
    size_t len;
    assert_int_equal(catzilla_memory_visit(*state, "k", 1, true, NULL, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_memory_visit(NULL, "k", 1, true, take, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_memory_visit(*state, NULL, 1, true, take, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_memory_read(*state, "k", 1, true, NULL, 1, &len), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_memory_read(*state, "k", 1, true, NULL, 0, NULL), CATZILLA_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_visitor_is_shown_the_value_once, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_miss_shows_nothing_and_counts_if_it_is_the_last, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(values_that_are_compressed_are_shown_whole, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(an_empty_value_is_shown_at_an_address, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_buffer_that_is_too_small_is_told_what_is_needed, open_cache, close_cache),
        ON_ITS_GROUND(what_only_the_disk_has_is_not_looked_for_and_not_counted),
        cmocka_unit_test_setup_teardown(null_is_refused, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("api_memory", tests, NULL, NULL);
}
