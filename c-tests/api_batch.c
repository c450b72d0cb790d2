/* Many keys in one call: each item goes as the single call would, and the call tells the first failure. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"

#include <stdio.h>
#include <string.h>

/* More than the library works on at a time, and no multiple of it. */
#define MANY 203

static char names[MANY][8];
static char values[MANY][16];

static int make_names(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        snprintf(values[i], sizeof values[i], "value %d", i);
    }
    return 0;
}

static void put_all(catzilla_cache_t *cache)
{
    catzilla_put_t puts[MANY];
    for (int i = 0; i < MANY; i++) {
        catzilla_put_t put = {names[i], strlen(names[i]), values[i], strlen(values[i]), 0, -1};
        puts[i] = put;
    }
    assert_int_equal(catzilla_cache_put_many(cache, puts, MANY), CATZILLA_OK);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(puts[i].status, CATZILLA_OK);
}

static void what_a_batch_stores_a_batch_reads_and_removes(void **state)
{
    static char buffers[MANY][16];
    catzilla_get_t gets[MANY];
    catzilla_remove_t removes[MANY];
    put_all(*state);
    for (int i = 0; i < MANY; i++) {
        catzilla_get_t get = {names[i], strlen(names[i]), buffers[i], sizeof buffers[i], 99, -1};
        catzilla_remove_t remove = {names[i], strlen(names[i]), -1};
        gets[i] = get;
        removes[i] = remove;
    }
    assert_int_equal(catzilla_cache_get_many(*state, gets, MANY), CATZILLA_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(gets[i].status, CATZILLA_OK);
        assert_int_equal(gets[i].value_len, strlen(values[i]));
        assert_memory_equal(buffers[i], values[i], gets[i].value_len);
    }
    assert_int_equal(catzilla_cache_remove_many(*state, removes, MANY), CATZILLA_OK);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(removes[i].status, CATZILLA_OK);
    assert_int_equal(catzilla_cache_get_many(*state, gets, MANY), CATZILLA_OK);
    assert_int_equal(catzilla_cache_remove_many(*state, removes, MANY), CATZILLA_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(gets[i].status, CATZILLA_NOT_FOUND);
        assert_int_equal(gets[i].value_len, 0);
        assert_int_equal(removes[i].status, CATZILLA_NOT_FOUND);
    }
}

static void misses_and_small_buffers_are_no_failures(void **state)
{
    char small[4] = "####", large[16];
    catzilla_get_t gets[3] = {
        {"k7", 2, small, sizeof small, 99, -1}, {"nobody", 6, NULL, 0, 99, -1}, {"k8", 2, large, sizeof large, 99, -1}};
    put_all(*state);
    assert_int_equal(catzilla_cache_get_many(*state, gets, 3), CATZILLA_OK);
    assert_int_equal(gets[0].status, CATZILLA_TRUNCATED);
    assert_int_equal(gets[0].value_len, 7);
    assert_memory_equal(small, "####", 4);
    assert_int_equal(gets[1].status, CATZILLA_NOT_FOUND);
    assert_int_equal(gets[2].status, CATZILLA_OK);
    assert_memory_equal(large, "value 8", 7);
}

/* The first failure of the whole batch, in its order, wherever the library finds it and in whichever chunk. */
static void the_first_failure_is_told_and_everything_else_is_done(void **state)
{
    catzilla_put_t puts[MANY];
    assert_int_equal(catzilla_cache_set_option(*state, "memory.max_value_size", "8"), CATZILLA_OK);
    for (int i = 0; i < MANY; i++) {
        catzilla_put_t put = {names[i], strlen(names[i]), "v", 1, 0, 99};
        puts[i] = put;
    }
    puts[100].value_len = 9; /* found by the tier */
    puts[100].value = "123456789";
    puts[101].key = NULL; /* found on the way to it */
    puts[150].key_len = CATZILLA_MAX_KEY_LEN + 1;
    assert_int_equal(catzilla_cache_put_many(*state, puts, MANY), CATZILLA_VALUE_TOO_LARGE);
    assert_int_equal(catzilla_last_error_code(), CATZILLA_VALUE_TOO_LARGE);
    assert_non_null(strstr(catzilla_last_error_message(), "9 bytes"));
    for (int i = 0; i < MANY; i++) {
        catzilla_status_t expected = i == 100   ? CATZILLA_VALUE_TOO_LARGE
                                     : i == 101 ? CATZILLA_INVALID_ARGUMENT
                                     : i == 150 ? CATZILLA_KEY_TOO_LARGE
                                                : CATZILLA_OK;
        assert_int_equal(puts[i].status, expected);
        assert_int_equal(catzilla_cache_contains(*state, names[i], strlen(names[i])),
                         expected == CATZILLA_OK ? CATZILLA_OK : CATZILLA_NOT_FOUND);
    }
    puts[99].value = NULL;
    assert_int_equal(catzilla_cache_put_many(*state, puts, MANY), CATZILLA_INVALID_ARGUMENT);
    assert_non_null(strstr(catzilla_last_error_message(), "`value` is NULL"));
}

static void items_of_reads_and_removals_fail_alone_too(void **state)
{
    char buffer[16];
    put_all(*state);
    catzilla_get_t gets[4] = {{NULL, 1, buffer, sizeof buffer, 99, -1},
                              {"k1", 2, NULL, 4, 99, -1},
                              {"k2", CATZILLA_MAX_KEY_LEN + 1, buffer, sizeof buffer, 99, -1},
                              {"k3", 2, buffer, sizeof buffer, 99, -1}};
    assert_int_equal(catzilla_cache_get_many(*state, gets, 4), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(gets[0].status, CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(gets[1].status, CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(gets[2].status, CATZILLA_KEY_TOO_LARGE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(gets[i].value_len, 0);
    assert_int_equal(gets[3].status, CATZILLA_OK);
    assert_memory_equal(buffer, "value 3", 7);

    catzilla_remove_t removes[3] = {{"k1", 2, -1}, {NULL, SIZE_MAX, -1}, {"k3", 2, -1}};
    assert_int_equal(catzilla_cache_remove_many(*state, removes, 3), CATZILLA_KEY_TOO_LARGE);
    assert_int_equal(removes[0].status, CATZILLA_OK);
    assert_int_equal(removes[1].status, CATZILLA_KEY_TOO_LARGE);
    assert_int_equal(removes[2].status, CATZILLA_OK);
}

static void empty_keys_and_values_and_the_endless_lifetime_are_items_like_any_other(void **state)
{
    catzilla_value_t *value = NULL;
    catzilla_put_t puts[2] = {{NULL, 0, NULL, 0, CATZILLA_TTL_FOREVER, -1}, {"k", 1, "v", 1, 60000, -1}};
    assert_int_equal(catzilla_cache_put_many(*state, puts, 2), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(*state, "", 0, &value), CATZILLA_OK);
    assert_true(catzilla_value_ttl_ms(value) == CATZILLA_TTL_FOREVER);
    catzilla_value_release(value);
    assert_int_equal(catzilla_cache_acquire(*state, "k", 1, &value), CATZILLA_OK);
    assert_in_range(catzilla_value_ttl_ms(value), 1, 60000);
    catzilla_value_release(value);
    catzilla_get_t get = {NULL, 0, NULL, 0, 99, -1};
    assert_int_equal(catzilla_cache_get_many(*state, &get, 1), CATZILLA_OK);
    assert_int_equal(get.status, CATZILLA_OK);
    assert_int_equal(get.value_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_batch_stores_a_batch_reads_and_removes, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(misses_and_small_buffers_are_no_failures, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_first_failure_is_told_and_everything_else_is_done, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(items_of_reads_and_removals_fail_alone_too, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(empty_keys_and_values_and_the_endless_lifetime_are_items_like_any_other, open_cache,
                                        close_cache),
    };
    return cmocka_run_group_tests_name("api_batch", tests, make_names, NULL);
}
