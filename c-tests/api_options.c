/* The options object and the table behind it. */
#include "suite.h"
#include "catzilla_cache.h"

#include <stdio.h>
#include <string.h>

static int create(void **state)
{
    *state = catzilla_options_create();
    return *state == NULL;
}

static int destroy(void **state)
{
    catzilla_options_destroy(*state);
    return 0;
}

static void assert_refused(void *options, const char *name, const char *value, catzilla_status_t status)
{
    assert_int_equal(catzilla_options_set(options, name, value), status);
    assert_int_equal(catzilla_last_error_code(), status);
    assert_non_null(strstr(catzilla_last_error_message(), name));
}

static catzilla_statistics_t statistics_of(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics;
    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    return statistics;
}

static catzilla_cache_t *open_cache(void *options)
{
    catzilla_cache_t *cache = NULL;
    assert_int_equal(catzilla_cache_open(options, &cache), CATZILLA_OK);
    assert_non_null(cache);
    return cache;
}

static void the_table_lists_every_option_completely(void **state)
{
    (void)state;
    size_t count = catzilla_option_count();
    assert_true(count >= 9);
    for (size_t i = 0; i < count; i++) {
        const catzilla_option_info_t *info = catzilla_option_info(i);
        assert_non_null(info);
        const char *texts[] = {info->name, info->type, info->default_value, info->range, info->help};
        for (size_t t = 0; t < COUNT_OF(texts); t++) {
            assert_non_null(texts[t]);
            /* The default of a place is none. */
            assert_true(strlen(texts[t]) > 0 || (t == 2 && strcmp(info->type, "text") == 0));
        }
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(info->name, catzilla_option_info(other)->name);
        assert_ptr_equal(info, catzilla_option_info(i));
    }
    assert_null(catzilla_option_info(count));
    assert_null(catzilla_option_info(SIZE_MAX));
}

static void every_default_of_the_table_is_accepted(void **state)
{
    for (size_t i = 0; i < catzilla_option_count(); i++) {
        const catzilla_option_info_t *info = catzilla_option_info(i);
        assert_int_equal(catzilla_options_set(*state, info->name, info->default_value), CATZILLA_OK);
    }
    catzilla_cache_destroy(open_cache(*state));
}

static void the_names_and_defaults_that_are_promised_are_there(void **state)
{
    (void)state;
    const char *promised[][2] = {
        {"memory.capacity", "10000"}, {"memory.max_bytes", "none"},          {"memory.ttl", "1h"},
        {"memory.shards", "0"},       {"memory.max_value_size", "100MiB"},   {"memory.compression", "on"},
        {"memory.jemalloc", "on"},    {"redis.url", ""},                 {"redis.nodes", ""},
        {"redis.ttl", "24h"},         {"redis.max_connections", "10"},   {"redis.key_prefix", "catzilla:"},
        {"redis.required", "off"},    {"redis.connect_timeout", "250ms"}, {"redis.timeout", "250ms"},
        {"disk.path", ""},            {"disk.max_bytes", "1GiB"},        {"disk.ttl", "7d"},
        {"disk.commit_interval", "20ms"}, {"disk.sync", "interval"},     {"cache.write", "through"},
        {"cache.demote", "off"},
    };
    for (size_t p = 0; p < COUNT_OF(promised); p++) {
        bool seen = false;
        for (size_t i = 0; i < catzilla_option_count(); i++) {
            const catzilla_option_info_t *info = catzilla_option_info(i);
            if (strcmp(info->name, promised[p][0]) == 0) {
                assert_string_equal(info->default_value, promised[p][1]);
                seen = true;
            }
        }
        assert_true(seen);
    }
}

static void an_unknown_option_is_refused_by_name(void **state)
{
    assert_refused(*state, "memory.capcity", "10", CATZILLA_UNKNOWN_OPTION);
    assert_int_equal(catzilla_options_set(*state, "", "10"), CATZILLA_UNKNOWN_OPTION);
    assert_int_equal(catzilla_options_set(*state, "MEMORY.CAPACITY", "10"), CATZILLA_UNKNOWN_OPTION);
}

static void a_text_of_the_wrong_type_is_refused_with_what_was_given(void **state)
{
    const char *wrong[][2] = {
        {"memory.capacity", "many"},   {"memory.capacity", ""},       {"memory.capacity", "-1"},
        {"memory.capacity", "1.5"},    {"memory.max_bytes", "1 elephant"}, {"memory.max_bytes", "MiB"},
        {"memory.ttl", "soon"},        {"memory.ttl", "5"},           {"memory.compression", "perhaps"},
        {"memory.policy", "belady"},   {"memory.shards", "0x10"},     {"disk.sync", "always"},
        {"cache.write", "sideways"},   {"redis.timeout", "250"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_refused(*state, wrong[i][0], wrong[i][1], CATZILLA_INVALID_OPTION);
        assert_non_null(strstr(catzilla_last_error_message(), wrong[i][1]));
    }
}

static void a_value_out_of_range_is_refused(void **state)
{
    assert_refused(*state, "memory.capacity", "0", CATZILLA_OPTION_OUT_OF_RANGE);
    assert_refused(*state, "memory.capacity", "99999999999999999999999999", CATZILLA_OPTION_OUT_OF_RANGE);
    assert_refused(*state, "memory.max_bytes", "99999999999999999999TiB", CATZILLA_OPTION_OUT_OF_RANGE);
    assert_refused(*state, "memory.shards", "1000000", CATZILLA_OPTION_OUT_OF_RANGE);
    assert_refused(*state, "memory.max_value_size", "5GiB", CATZILLA_OPTION_OUT_OF_RANGE);
}

static void bytes_that_are_not_text_are_refused(void **state)
{
    assert_true(catzilla_options_set(*state, "memory.capacity", "\xff\xfe") < 0);
    assert_true(catzilla_options_set(*state, "\xff\xfe", "10") < 0);
}

static void a_refused_option_leaves_the_former_value(void **state)
{
    assert_int_equal(catzilla_options_set(*state, "memory.capacity", "7"), CATZILLA_OK);
    assert_int_equal(catzilla_options_set(*state, "memory.capacity", "0"), CATZILLA_OPTION_OUT_OF_RANGE);
    catzilla_cache_t *cache = open_cache(*state);
    assert_int_equal(statistics_of(cache).memory_capacity, 7);
    catzilla_cache_destroy(cache);
}

static void switches_take_the_usual_words(void **state)
{
    const char *words[] = {"on", "off", "true", "false", "1", "0"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_int_equal(catzilla_options_set(*state, "memory.compression", words[i]), CATZILLA_OK);
}

static void sizes_take_units(void **state)
{
    assert_int_equal(catzilla_options_set(*state, "memory.max_bytes", "512KiB"), CATZILLA_OK);
    catzilla_cache_t *cache = open_cache(*state);
    assert_int_equal(statistics_of(cache).memory_max_bytes, 512u * 1024u);
    catzilla_cache_destroy(cache);
    assert_int_equal(catzilla_options_set(*state, "memory.max_bytes", "3000000"), CATZILLA_OK);
    cache = open_cache(*state);
    assert_int_equal(statistics_of(cache).memory_max_bytes, 3000000);
    catzilla_cache_destroy(cache);
}

static void without_options_the_defaults_hold(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_cache(NULL);
    catzilla_statistics_t statistics = statistics_of(cache);
    assert_int_equal(statistics.memory_capacity, 10000);
    assert_true(statistics.memory_max_bytes == UINT64_MAX);
    catzilla_cache_destroy(cache);
}

static void the_capacity_is_unlimited_when_asked_or_when_only_bytes_are_bounded(void **state)
{
    assert_int_equal(catzilla_options_set(*state, "memory.max_bytes", "1MiB"), CATZILLA_OK);
    catzilla_cache_t *cache = open_cache(*state);
    assert_true(statistics_of(cache).memory_capacity == UINT64_MAX);
    catzilla_cache_destroy(cache);

    assert_int_equal(catzilla_options_set(*state, "memory.capacity", "20"), CATZILLA_OK);
    cache = open_cache(*state);
    assert_int_equal(statistics_of(cache).memory_capacity, 20);
    catzilla_cache_destroy(cache);

    assert_int_equal(catzilla_options_set(*state, "memory.capacity", "unlimited"), CATZILLA_OK);
    cache = open_cache(*state);
    assert_true(statistics_of(cache).memory_capacity == UINT64_MAX);
    catzilla_cache_destroy(cache);
}

static void max_bytes_bounds_what_the_entries_take(void **state)
{
    const uint64_t bound = 256 * 1024;
    char key[32], value[1000] = {0};
    assert_int_equal(catzilla_options_set(*state, "memory.max_bytes", "256KiB"), CATZILLA_OK);
    assert_int_equal(catzilla_options_set(*state, "memory.compression", "off"), CATZILLA_OK);
    catzilla_cache_t *cache = open_cache(*state);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        size_t size = (size_t)(i % 10) * 100;
        assert_int_equal(catzilla_cache_put(cache, key, strlen(key), value, size, 0), CATZILLA_OK);
        assert_true(statistics_of(cache).memory_bytes <= bound);
    }
    catzilla_statistics_t statistics = statistics_of(cache);
    assert_true(statistics.memory_evictions > 0);
    assert_true(statistics.memory_bytes > bound / 2);
    assert_int_equal(catzilla_cache_contains(cache, key, strlen(key)), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

static void a_value_that_max_bytes_could_never_hold_is_refused_and_evicts_nothing(void **state)
{
    static char value[1 << 20];
    assert_int_equal(catzilla_options_set(*state, "memory.max_bytes", "128KiB"), CATZILLA_OK);
    assert_int_equal(catzilla_options_set(*state, "memory.compression", "off"), CATZILLA_OK);
    catzilla_cache_t *cache = open_cache(*state);
    assert_int_equal(catzilla_cache_put(cache, "small", 5, value, 100, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put(cache, "k", 1, value, sizeof value, 0), CATZILLA_VALUE_TOO_LARGE);
    assert_int_equal(catzilla_cache_contains(cache, "small", 5), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(cache, "k", 1), CATZILLA_NOT_FOUND);
    catzilla_cache_destroy(cache);
}

static void an_options_object_may_open_many_caches_and_go_before_them(void **state)
{
    (void)state;
    catzilla_options_t *options = catzilla_options_create();
    assert_int_equal(catzilla_options_set(options, "memory.capacity", "2"), CATZILLA_OK);
    catzilla_cache_t *first = open_cache(options), *second = open_cache(options);
    catzilla_options_destroy(options);
    assert_int_equal(catzilla_cache_put(first, "k", 1, "v", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(first, "k", 1), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(second, "k", 1), CATZILLA_NOT_FOUND);
    catzilla_cache_destroy(first);
    catzilla_cache_destroy(second);
}

static void live_options_change_while_the_cache_runs_and_others_are_refused(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_cache(NULL);
    for (size_t i = 0; i < catzilla_option_count(); i++) {
        const catzilla_option_info_t *info = catzilla_option_info(i);
        catzilla_status_t status = catzilla_cache_set_option(cache, info->name, info->default_value);
        assert_int_equal(status, info->live ? CATZILLA_OK : CATZILLA_OPTION_NOT_LIVE);
        if (!info->live)
            assert_non_null(strstr(catzilla_last_error_message(), info->name));
    }
    assert_int_equal(catzilla_cache_set_option(cache, "memory.capacity", "7"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_option(cache, "memory.capacity", "0"), CATZILLA_OPTION_OUT_OF_RANGE);
    assert_int_equal(catzilla_cache_set_option(cache, "memory.capacity", "some"), CATZILLA_INVALID_OPTION);
    assert_int_equal(catzilla_cache_set_option(cache, "no.such.option", "1"), CATZILLA_UNKNOWN_OPTION);
    assert_int_equal(statistics_of(cache).memory_capacity, 7);
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_lists_every_option_completely),
        cmocka_unit_test_setup_teardown(every_default_of_the_table_is_accepted, create, destroy),
        cmocka_unit_test(the_names_and_defaults_that_are_promised_are_there),
        cmocka_unit_test_setup_teardown(an_unknown_option_is_refused_by_name, create, destroy),
        cmocka_unit_test_setup_teardown(a_text_of_the_wrong_type_is_refused_with_what_was_given, create, destroy),
        cmocka_unit_test_setup_teardown(a_value_out_of_range_is_refused, create, destroy),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_text_are_refused, create, destroy),
        cmocka_unit_test_setup_teardown(a_refused_option_leaves_the_former_value, create, destroy),
        cmocka_unit_test_setup_teardown(switches_take_the_usual_words, create, destroy),
        cmocka_unit_test_setup_teardown(sizes_take_units, create, destroy),
        cmocka_unit_test(without_options_the_defaults_hold),
        cmocka_unit_test_setup_teardown(the_capacity_is_unlimited_when_asked_or_when_only_bytes_are_bounded, create, destroy),
        cmocka_unit_test_setup_teardown(max_bytes_bounds_what_the_entries_take, create, destroy),
        cmocka_unit_test_setup_teardown(a_value_that_max_bytes_could_never_hold_is_refused_and_evicts_nothing, create, destroy),
        cmocka_unit_test(an_options_object_may_open_many_caches_and_go_before_them),
        cmocka_unit_test(live_options_change_while_the_cache_runs_and_others_are_refused),
    };
    return cmocka_run_group_tests_name("api_options", tests, NULL, NULL);
}
