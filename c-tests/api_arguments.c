/* Every function with NULL, empty and huge arguments: it returns its failure result and says why, and never crashes. */
#include "suite.h"
#include "cache_engine.h"

#include <stdio.h>
#include <string.h>

static catzilla_cache_t *cache;
static catzilla_options_t *options;

static int open_all(void **state)
{
    (void)state;
    cache = catzilla_cache_create(10, 0);
    options = catzilla_options_create();
    return cache == NULL || options == NULL;
}

static int close_all(void **state)
{
    (void)state;
    catzilla_cache_destroy(cache);
    catzilla_options_destroy(options);
    return 0;
}

/* Leaves a last error that none of the calls under test produces, so that theirs is seen to be theirs. */
static void leave_another_error(void)
{
    assert_int_equal(catzilla_options_set(options, "no.such.option", "1"), CATZILLA_UNKNOWN_OPTION);
}

static bool explained(catzilla_status_t expected)
{
    return catzilla_last_error_code() == expected && strlen(catzilla_last_error_message()) > 0 &&
           strstr(catzilla_last_error_message(), "no.such.option") == NULL;
}

/* A call whose failure result is `failure` and whose reason is `status`. */
#define REFUSES(status, call_is_failure)                                                                               \
    do {                                                                                                               \
        leave_another_error();                                                                                         \
        assert_true(call_is_failure);                                                                                  \
        assert_true(explained(status));                                                                                \
    } while (0)

#define REFUSES_NULL(call_is_failure) REFUSES(CATZILLA_INVALID_ARGUMENT, call_is_failure)
#define REFUSES_STATUS(status, call) REFUSES(status, (call) == (status))
#define REFUSES_NULL_STATUS(call) REFUSES_STATUS(CATZILLA_INVALID_ARGUMENT, call)

static bool is_empty(cache_result_t result)
{
    return !result.found && result.data == NULL && result.size == 0;
}

static bool is_zero(cache_statistics_t stats)
{
    static const cache_statistics_t zeros;
    return stats.hits == 0 && stats.misses == 0 && stats.evictions == 0 && stats.memory_usage == 0 &&
           stats.total_requests == 0 && stats.hit_ratio == zeros.hit_ratio && stats.size == 0 && stats.capacity == 0;
}

static void classic_functions_refuse_a_null_cache(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 1;
    REFUSES_NULL(catzilla_cache_set(NULL, "k", "v", 1, 1) == -1);
    REFUSES_NULL(is_empty(catzilla_cache_get(NULL, "k")));
    REFUSES_NULL(catzilla_cache_delete(NULL, "k") == -1);
    REFUSES_NULL(!catzilla_cache_exists(NULL, "k"));
    REFUSES_NULL(is_zero(catzilla_cache_get_stats(NULL)));
    REFUSES_NULL(catzilla_cache_configure(NULL, &config) == -1);
    REFUSES_NULL(catzilla_cache_expire_entries(NULL) == 0);
    REFUSES_NULL(catzilla_cache_memory_usage(NULL) == 0);
    REFUSES_NULL(catzilla_cache_resize(NULL, 10) == -1);
    REFUSES_NULL((catzilla_cache_clear(NULL), true));
    REFUSES_NULL(is_empty(multi_cache_get(NULL, "k")));
    REFUSES_NULL(multi_cache_set(NULL, "k", "v", 1, 1) == -1);
    REFUSES_NULL(multi_cache_delete(NULL, "k") == -1);
}

static void classic_functions_refuse_null_keys_values_and_configs(void **state)
{
    (void)state;
    REFUSES_NULL(catzilla_cache_create_with_config(NULL) == NULL);
    REFUSES_NULL(catzilla_cache_set(cache, NULL, "v", 1, 1) == -1);
    REFUSES_NULL(catzilla_cache_set(cache, "k", NULL, 1, 1) == -1);
    REFUSES_NULL(catzilla_cache_set(cache, "k", NULL, 0, 1) == -1);
    REFUSES_NULL(is_empty(catzilla_cache_get(cache, NULL)));
    REFUSES_NULL(catzilla_cache_delete(cache, NULL) == -1);
    REFUSES_NULL(!catzilla_cache_exists(cache, NULL));
    REFUSES_NULL(catzilla_cache_configure(cache, NULL) == -1);
    assert_int_equal(catzilla_cache_get_stats(cache).size, 0);
}

static void multi_functions_refuse_null_keys_and_values(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 1;
    multi_cache_t *multi = multi_cache_create(&config, NULL, NULL);
    assert_non_null(multi);
    REFUSES_NULL(multi_cache_set(multi, NULL, "v", 1, 1) == -1);
    REFUSES_NULL(multi_cache_set(multi, "k", NULL, 1, 1) == -1);
    REFUSES_NULL(is_empty(multi_cache_get(multi, NULL)));
    REFUSES_NULL(multi_cache_delete(multi, NULL) == -1);
    multi_cache_destroy(multi);
}

static void key_functions_refuse_null(void **state)
{
    (void)state;
    char buffer[64];
    REFUSES_NULL(catzilla_cache_generate_key(NULL, "/", NULL, 0, buffer, sizeof buffer) == -1);
    REFUSES_NULL(catzilla_cache_generate_key("GET", NULL, NULL, 0, buffer, sizeof buffer) == -1);
    REFUSES_NULL(catzilla_cache_generate_key("GET", "/", NULL, 0, NULL, sizeof buffer) == -1);
    REFUSES_NULL(catzilla_cache_generate_key("GET", "/", NULL, 0, NULL, 0) == -1);
    REFUSES_NULL(catzilla_cache_generate_key("GET", "/", NULL, 0, buffer, 0) == -1);
    REFUSES_NULL(catzilla_cache_hash_key(NULL, 10) == 0);
    REFUSES_NULL(catzilla_cache_hash_key("k", SIZE_MAX) == 0);
}

static void everything_that_destroys_accepts_null(void **state)
{
    (void)state;
    leave_another_error();
    catzilla_cache_destroy(NULL);
    multi_cache_destroy(NULL);
    catzilla_options_destroy(NULL);
    catzilla_value_release(NULL);
    catzilla_lease_cancel(NULL);
    assert_int_equal(catzilla_last_error_code(), CATZILLA_UNKNOWN_OPTION);
}

static void options_functions_refuse_null(void **state)
{
    (void)state;
    REFUSES_NULL_STATUS(catzilla_options_set(NULL, "memory.capacity", "10"));
    REFUSES_NULL_STATUS(catzilla_options_set(options, NULL, "10"));
    REFUSES_NULL_STATUS(catzilla_options_set(options, "memory.capacity", NULL));
    REFUSES_NULL_STATUS(catzilla_cache_open(options, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_open(NULL, NULL));
}

static void modern_functions_refuse_a_null_cache_and_clear_what_they_would_fill(void **state)
{
    (void)state;
    char buffer[4];
    size_t size = 99;
    uint64_t removed = 99;
    catzilla_value_t *value = (catzilla_value_t *)buffer;
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    REFUSES_NULL_STATUS(catzilla_cache_put(NULL, "k", 1, "v", 1, 0));
    REFUSES_NULL_STATUS(catzilla_cache_read(NULL, "k", 1, buffer, sizeof buffer, &size));
    assert_int_equal(size, 0);
    REFUSES_NULL_STATUS(catzilla_cache_acquire(NULL, "k", 1, &value));
    assert_null(value);
    REFUSES_NULL_STATUS(catzilla_cache_remove(NULL, "k", 1));
    REFUSES_NULL_STATUS(catzilla_cache_contains(NULL, "k", 1));
    REFUSES_NULL_STATUS(catzilla_cache_purge(NULL, CATZILLA_PURGE_ALL, NULL, 0, &removed));
    assert_int_equal(removed, 0);
    REFUSES_NULL_STATUS(catzilla_cache_statistics(NULL, &statistics));
    REFUSES_NULL_STATUS(catzilla_cache_set_option(NULL, "memory.capacity", "10"));
    size_t swept = 99;
    REFUSES_NULL_STATUS(catzilla_cache_sweep(NULL, &swept));
    assert_int_equal(swept, 0);
    REFUSES_NULL_STATUS(catzilla_cache_sweep(NULL, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_set_listener(NULL, NULL, NULL));
    REFUSES_NULL(catzilla_departed_key(NULL) == NULL);
    REFUSES_NULL(catzilla_departed_key_size(NULL) == 0);
    REFUSES_NULL(catzilla_departed_value(NULL) == NULL);
    REFUSES_NULL(catzilla_departed_value_size(NULL) == 0);
    REFUSES_NULL(catzilla_departed_cause(NULL) == CATZILLA_CAUSE_NONE);
}

static catzilla_status_t never_asked(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    (void)user, (void)key, (void)key_len, (void)loaded;
    fail();
    return CATZILLA_INTERNAL;
}

static void loads_refuse_what_can_never_be_right_and_clear_what_they_would_fill(void **state)
{
    (void)state;
    const size_t lengths[] = {SIZE_MAX, (size_t)PTRDIFF_MAX, CATZILLA_MAX_KEY_LEN + 1};
    char place;
    catzilla_value_t *value = (catzilla_value_t *)&place;
    catzilla_lease_t *lease = (catzilla_lease_t *)&place;
    REFUSES_NULL_STATUS(catzilla_cache_get_or_load(NULL, "k", 1, never_asked, NULL, 0, &value));
    assert_null(value);
    REFUSES_NULL_STATUS(catzilla_cache_get_or_load(cache, NULL, 1, never_asked, NULL, 0, &value));
    REFUSES_NULL_STATUS(catzilla_cache_get_or_load(cache, "k", 1, NULL, NULL, 0, &value));
    REFUSES_NULL_STATUS(catzilla_cache_get_or_load(cache, "k", 1, never_asked, NULL, 0, NULL));
    value = (catzilla_value_t *)&place;
    REFUSES_NULL_STATUS(catzilla_cache_lease(NULL, "k", 1, 0, &value, &lease));
    assert_null(value);
    assert_null(lease);
    REFUSES_NULL_STATUS(catzilla_cache_lease(cache, NULL, 1, 0, &value, &lease));
    lease = (catzilla_lease_t *)&place;
    REFUSES_NULL_STATUS(catzilla_cache_lease(cache, "k", 1, 0, NULL, &lease));
    assert_null(lease);
    value = (catzilla_value_t *)&place;
    REFUSES_NULL_STATUS(catzilla_cache_lease(cache, "k", 1, 0, &value, NULL));
    assert_null(value);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        REFUSES_STATUS(CATZILLA_KEY_TOO_LARGE, catzilla_cache_get_or_load(cache, "k", lengths[i], never_asked, NULL, 0, &value));
        REFUSES_STATUS(CATZILLA_KEY_TOO_LARGE, catzilla_cache_lease(cache, "k", lengths[i], 0, &value, &lease));
    }
    REFUSES_NULL_STATUS(catzilla_lease_fulfil(NULL, "v", 1, 0));
    REFUSES_NULL_STATUS(catzilla_lease_fail(NULL, CATZILLA_NOT_FOUND));
    REFUSES_NULL_STATUS(catzilla_loaded_set(NULL, "v", 1, 0));
    /* A lease ends whatever it is given. */
    assert_int_equal(catzilla_cache_lease(cache, "k", 1, 0, &value, &lease), CATZILLA_NOT_FOUND);
    REFUSES_NULL_STATUS(catzilla_lease_fulfil(lease, NULL, 1, 0));
    assert_int_equal(catzilla_cache_lease(cache, "k", 1, 0, &value, &lease), CATZILLA_NOT_FOUND);
    REFUSES_STATUS(CATZILLA_VALUE_TOO_LARGE, catzilla_lease_fulfil(lease, "v", SIZE_MAX, 0));
    assert_int_equal(catzilla_cache_lease(cache, "k", 1, 0, &value, &lease), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_lease_fulfil(lease, NULL, 0, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(cache, "k", 1), CATZILLA_OK);
}

static catzilla_status_t sets_nonsense(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    (void)user, (void)key, (void)key_len;
    assert_int_equal(catzilla_loaded_set(loaded, "v", 1, 0), CATZILLA_OK);
    REFUSES_NULL_STATUS(catzilla_loaded_set(loaded, NULL, 1, 0));
    assert_int_equal(catzilla_loaded_set(loaded, "v", 1, 0), CATZILLA_OK);
    REFUSES_STATUS(CATZILLA_VALUE_TOO_LARGE, catzilla_loaded_set(loaded, "v", SIZE_MAX, 0));
    return CATZILLA_OK;
}

static void a_value_that_was_refused_is_none(void **state)
{
    (void)state;
    catzilla_value_t *value = NULL;
    REFUSES_STATUS(CATZILLA_LOAD_FAILED, catzilla_cache_get_or_load(cache, "k", 1, sets_nonsense, NULL, 0, &value));
    assert_null(value);
}

/* Also when the batch is empty: the handle is wrong either way. */
static void batches_refuse_a_null_cache_and_say_so_in_every_item(void **state)
{
    (void)state;
    catzilla_get_t gets[2] = {{"k", 1, NULL, 0, 99, 99}, {"l", 1, NULL, 0, 99, 99}};
    catzilla_put_t puts[2] = {{"k", 1, "v", 1, 0, 99}, {"l", 1, "v", 1, 0, 99}};
    catzilla_remove_t removes[2] = {{"k", 1, 99}, {"l", 1, 99}};
    REFUSES_NULL_STATUS(catzilla_cache_get_many(NULL, gets, 2));
    REFUSES_NULL_STATUS(catzilla_cache_put_many(NULL, puts, 2));
    REFUSES_NULL_STATUS(catzilla_cache_remove_many(NULL, removes, 2));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gets[i].status, CATZILLA_INVALID_ARGUMENT);
        assert_int_equal(gets[i].value_len, 0);
        assert_int_equal(puts[i].status, CATZILLA_INVALID_ARGUMENT);
        assert_int_equal(removes[i].status, CATZILLA_INVALID_ARGUMENT);
    }
    REFUSES_NULL_STATUS(catzilla_cache_get_many(NULL, NULL, 0));
}

static void batches_refuse_null_items_and_impossible_counts(void **state)
{
    (void)state;
    catzilla_get_t get = {"k", 1, NULL, 0, 0, 0};
    catzilla_put_t put = {"k", 1, "v", 1, 0, 0};
    catzilla_remove_t remove = {"k", 1, 0};
    const size_t counts[] = {SIZE_MAX, (size_t)PTRDIFF_MAX, SIZE_MAX / 24};
    REFUSES_NULL_STATUS(catzilla_cache_get_many(cache, NULL, 1));
    REFUSES_NULL_STATUS(catzilla_cache_put_many(cache, NULL, 1));
    REFUSES_NULL_STATUS(catzilla_cache_remove_many(cache, NULL, 1));
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        REFUSES_NULL_STATUS(catzilla_cache_get_many(cache, &get, counts[i]));
        REFUSES_NULL_STATUS(catzilla_cache_put_many(cache, &put, counts[i]));
        REFUSES_NULL_STATUS(catzilla_cache_remove_many(cache, &remove, counts[i]));
    }
    leave_another_error();
    assert_int_equal(catzilla_cache_get_many(cache, NULL, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put_many(cache, NULL, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_remove_many(cache, NULL, 0), CATZILLA_OK);
    assert_int_equal(catzilla_last_error_code(), CATZILLA_UNKNOWN_OPTION);
}

static void modern_functions_refuse_null_inputs_and_outputs(void **state)
{
    (void)state;
    char buffer[4];
    size_t size = 99;
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_put(cache, "k", 1, "v", 1, 0), CATZILLA_OK);
    REFUSES_NULL_STATUS(catzilla_cache_put(cache, NULL, 1, "v", 1, 0));
    REFUSES_NULL_STATUS(catzilla_cache_put(cache, "k", 1, NULL, 1, 0));
    REFUSES_NULL_STATUS(catzilla_cache_read(cache, NULL, 1, buffer, sizeof buffer, &size));
    REFUSES_NULL_STATUS(catzilla_cache_read(cache, "k", 1, NULL, 4, &size));
    REFUSES_NULL_STATUS(catzilla_cache_read(cache, "k", 1, buffer, sizeof buffer, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_acquire(cache, NULL, 1, &value));
    REFUSES_NULL_STATUS(catzilla_cache_acquire(cache, "k", 1, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_remove(cache, NULL, 1));
    REFUSES_NULL_STATUS(catzilla_cache_contains(cache, NULL, 1));
    REFUSES_NULL_STATUS(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, NULL, 1, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_purge(cache, CATZILLA_PURGE_PATTERN, NULL, 1, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_statistics(cache, NULL));
    REFUSES_NULL_STATUS(catzilla_cache_set_option(cache, NULL, "10"));
    REFUSES_NULL_STATUS(catzilla_cache_set_option(cache, "memory.capacity", NULL));
    assert_int_equal(catzilla_cache_contains(cache, "k", 1), CATZILLA_OK);
}

static void value_functions_answer_null_with_nothing(void **state)
{
    (void)state;
    REFUSES_NULL(catzilla_value_data(NULL) == NULL);
    REFUSES_NULL(catzilla_value_size(NULL) == 0);
    REFUSES_NULL(catzilla_value_ttl_ms(NULL) == 0);
}

/* Lengths that no object can have: the bytes behind them must not be touched. */
static void impossible_lengths_are_refused(void **state)
{
    (void)state;
    const size_t lengths[] = {SIZE_MAX, SIZE_MAX - 1, (size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1};
    char buffer[4];
    size_t size = 99;
    catzilla_value_t *value = NULL;
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        size_t length = lengths[i];
        assert_true(catzilla_cache_put(cache, "k", length, "v", 1, 0) < 0);
        assert_true(catzilla_cache_put(cache, "k", 1, "v", length, 0) < 0);
        assert_true(catzilla_cache_read(cache, "k", length, buffer, sizeof buffer, &size) < 0);
        assert_int_equal(size, 0);
        assert_true(catzilla_cache_acquire(cache, "k", length, &value) < 0);
        assert_null(value);
        assert_true(catzilla_cache_remove(cache, "k", length) < 0);
        assert_true(catzilla_cache_contains(cache, "k", length) < 0);
        assert_true(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "k", length, NULL) < 0);
        assert_true(catzilla_cache_purge(cache, CATZILLA_PURGE_PATTERN, "k", length, NULL) < 0);
        assert_int_equal(catzilla_cache_set(cache, "k", "v", length, 60), -1);
        assert_true(catzilla_last_error_code() < 0);
    }
    assert_int_equal(catzilla_cache_get_stats(cache).size, 0);
}

static void a_buffer_said_to_be_endless_is_written_only_as_far_as_the_value_goes(void **state)
{
    (void)state;
    char buffer[8] = "#######";
    size_t size = 0;
    assert_int_equal(catzilla_cache_put(cache, "k", 1, "value", 5, 0), CATZILLA_OK);
    catzilla_status_t status = catzilla_cache_read(cache, "k", 1, buffer, (size_t)PTRDIFF_MAX, &size);
    assert_int_equal(status, CATZILLA_OK);
    assert_memory_equal(buffer, "value##", 8);
    char key[64] = "";
    assert_int_equal(catzilla_cache_generate_key("GET", "/", NULL, 0, key, (size_t)PTRDIFF_MAX), 14);
    assert_string_equal(key, "GET:/:00000000");
}

static void empty_texts_are_arguments_like_any_other(void **state)
{
    (void)state;
    char key[64];
    assert_int_equal(catzilla_cache_generate_key("", "", "", 0, key, sizeof key), 10);
    assert_string_equal(key, "::00000000");
    assert_int_equal(catzilla_cache_delete(cache, ""), -1);
    assert_false(catzilla_cache_exists(cache, ""));
    assert_int_equal(catzilla_options_set(options, "", ""), CATZILLA_UNKNOWN_OPTION);
    assert_int_equal(catzilla_options_set(options, "memory.capacity", ""), CATZILLA_INVALID_OPTION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(classic_functions_refuse_a_null_cache, open_all, close_all),
        cmocka_unit_test_setup_teardown(classic_functions_refuse_null_keys_values_and_configs, open_all, close_all),
        cmocka_unit_test_setup_teardown(multi_functions_refuse_null_keys_and_values, open_all, close_all),
        cmocka_unit_test_setup_teardown(key_functions_refuse_null, open_all, close_all),
        cmocka_unit_test_setup_teardown(everything_that_destroys_accepts_null, open_all, close_all),
        cmocka_unit_test_setup_teardown(options_functions_refuse_null, open_all, close_all),
        cmocka_unit_test_setup_teardown(modern_functions_refuse_a_null_cache_and_clear_what_they_would_fill, open_all, close_all),
        cmocka_unit_test_setup_teardown(modern_functions_refuse_null_inputs_and_outputs, open_all, close_all),
        cmocka_unit_test_setup_teardown(loads_refuse_what_can_never_be_right_and_clear_what_they_would_fill, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_value_that_was_refused_is_none, open_all, close_all),
        cmocka_unit_test_setup_teardown(batches_refuse_a_null_cache_and_say_so_in_every_item, open_all, close_all),
        cmocka_unit_test_setup_teardown(batches_refuse_null_items_and_impossible_counts, open_all, close_all),
        cmocka_unit_test_setup_teardown(value_functions_answer_null_with_nothing, open_all, close_all),
        cmocka_unit_test_setup_teardown(impossible_lengths_are_refused, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_buffer_said_to_be_endless_is_written_only_as_far_as_the_value_goes, open_all, close_all),
        cmocka_unit_test_setup_teardown(empty_texts_are_arguments_like_any_other, open_all, close_all),
    };
    return cmocka_run_group_tests_name("api_arguments", tests, NULL, NULL);
}
