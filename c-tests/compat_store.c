/* The classic group as an old program uses it: store, read, replace, delete, clear. */
#include "suite.h"
#include "cache_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_cache(void **state)
{
    *state = catzilla_cache_create(100, 25);
    return *state == NULL;
}

static int close_cache(void **state)
{
    catzilla_cache_destroy(*state);
    return 0;
}

static void assert_holds(catzilla_cache_t *cache, const char *key, const void *value, size_t size)
{
    cache_result_t result = catzilla_cache_get(cache, key);
    assert_true(result.found);
    assert_int_equal(result.size, size);
    assert_non_null(result.data);
    assert_memory_equal(result.data, value, size);
}

static void a_stored_value_comes_back_byte_for_byte(void **state)
{
    unsigned char every_byte[256];
    for (int i = 0; i < 256; i++)
        every_byte[i] = (unsigned char)i;
    assert_int_equal(catzilla_cache_set(*state, "bytes", every_byte, sizeof every_byte, 60), 0);
    assert_holds(*state, "bytes", every_byte, sizeof every_byte);
}

static void a_missing_key_is_not_found(void **state)
{
    cache_result_t result = catzilla_cache_get(*state, "nobody");
    assert_false(result.found);
    assert_null(result.data);
    assert_int_equal(result.size, 0);
}

static void the_cache_keeps_a_copy_of_key_and_value(void **state)
{
    char key[] = "key", value[] = "value";
    assert_int_equal(catzilla_cache_set(*state, key, value, 5, 60), 0);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    assert_holds(*state, "key", "value", 5);
}

static void set_replaces_the_value_by_a_shorter_and_by_a_longer_one(void **state)
{
    char longer[5000];
    memset(longer, 'l', sizeof longer);
    assert_int_equal(catzilla_cache_set(*state, "k", "middle", 6, 60), 0);
    assert_int_equal(catzilla_cache_set(*state, "k", "s", 1, 60), 0);
    assert_holds(*state, "k", "s", 1);
    assert_int_equal(catzilla_cache_set(*state, "k", longer, sizeof longer, 60), 0);
    assert_holds(*state, "k", longer, sizeof longer);
    assert_int_equal(catzilla_cache_get_stats(*state).size, 1);
}

static void delete_says_whether_the_key_was_there(void **state)
{
    assert_int_equal(catzilla_cache_set(*state, "k", "v", 1, 60), 0);
    assert_int_equal(catzilla_cache_delete(*state, "k"), 0);
    assert_false(catzilla_cache_get(*state, "k").found);
    assert_int_equal(catzilla_cache_delete(*state, "k"), -1);
    assert_int_equal(catzilla_cache_delete(*state, "never"), -1);
}

static void exists_sees_what_is_there_and_only_that(void **state)
{
    assert_false(catzilla_cache_exists(*state, "k"));
    assert_int_equal(catzilla_cache_set(*state, "k", "v", 1, 60), 0);
    assert_true(catzilla_cache_exists(*state, "k"));
    assert_int_equal(catzilla_cache_delete(*state, "k"), 0);
    assert_false(catzilla_cache_exists(*state, "k"));
}

static void an_empty_key_is_a_key_like_any_other(void **state)
{
    assert_false(catzilla_cache_exists(*state, ""));
    assert_int_equal(catzilla_cache_set(*state, "", "nothing", 7, 60), 0);
    assert_true(catzilla_cache_exists(*state, ""));
    assert_holds(*state, "", "nothing", 7);
    assert_int_equal(catzilla_cache_delete(*state, ""), 0);
    assert_int_equal(catzilla_cache_delete(*state, ""), -1);
}

static void a_value_of_length_zero_is_found_and_has_an_address(void **state)
{
    assert_int_equal(catzilla_cache_set(*state, "empty", "", 0, 60), 0);
    cache_result_t result = catzilla_cache_get(*state, "empty");
    assert_true(result.found);
    assert_int_equal(result.size, 0);
    assert_non_null(result.data);
}

static void data_is_aligned_as_malloc_aligns(void **state)
{
    char key[64], value[64] = {0};
    for (size_t key_length = 0; key_length < 40; key_length++) {
        memset(key, 'k', sizeof key);
        key[key_length] = '\0';
        for (size_t size = 0; size < 40; size++) {
            assert_int_equal(catzilla_cache_set(*state, key, value, size, 60), 0);
            assert_int_equal((uintptr_t)catzilla_cache_get(*state, key).data % 16, 0);
        }
    }
}

static void keys_are_compared_whole(void **state)
{
    size_t length = 70000;
    char *first = malloc(length + 1), *second = malloc(length + 1);
    memset(first, 'k', length);
    memset(second, 'k', length);
    second[length - 1] = 'K';
    first[length] = second[length] = '\0';

    assert_int_equal(catzilla_cache_set(*state, first, "first", 5, 60), 0);
    assert_false(catzilla_cache_exists(*state, second));
    assert_int_equal(catzilla_cache_set(*state, second, "second", 6, 60), 0);
    assert_holds(*state, first, "first", 5);
    assert_holds(*state, second, "second", 6);
    free(first);
    free(second);
}

static void a_value_of_many_megabytes_comes_back_whole(void **state)
{
    size_t size = 20u << 20;
    unsigned char *value = malloc(size);
    for (size_t i = 0; i < size; i++)
        value[i] = (unsigned char)(i * 31 + (i >> 13));
    assert_int_equal(catzilla_cache_set(*state, "large", value, size, 60), 0);
    cache_result_t result = catzilla_cache_get(*state, "large");
    assert_true(result.found);
    assert_int_equal(result.size, size);
    assert_int_equal(memcmp(result.data, value, size), 0);
    free(value);
}

static void clear_empties_the_cache_and_it_goes_on_working(void **state)
{
    char key[16];
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(catzilla_cache_set(*state, key, key, strlen(key), 60), 0);
    }
    catzilla_cache_clear(*state);
    assert_int_equal(catzilla_cache_get_stats(*state).size, 0);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_false(catzilla_cache_exists(*state, key));
    }
    assert_int_equal(catzilla_cache_set(*state, "k1", "again", 5, 60), 0);
    assert_holds(*state, "k1", "again", 5);
}

static void caches_know_nothing_of_each_other(void **state)
{
    catzilla_cache_t *other = catzilla_cache_create(100, 25);
    assert_non_null(other);
    assert_int_equal(catzilla_cache_set(*state, "k", "here", 4, 60), 0);
    assert_false(catzilla_cache_exists(other, "k"));
    assert_int_equal(catzilla_cache_set(other, "k", "there", 5, 60), 0);
    catzilla_cache_clear(other);
    catzilla_cache_destroy(other);
    assert_holds(*state, "k", "here", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stored_value_comes_back_byte_for_byte, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_missing_key_is_not_found, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_cache_keeps_a_copy_of_key_and_value, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(set_replaces_the_value_by_a_shorter_and_by_a_longer_one, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(delete_says_whether_the_key_was_there, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(exists_sees_what_is_there_and_only_that, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(an_empty_key_is_a_key_like_any_other, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_value_of_length_zero_is_found_and_has_an_address, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(data_is_aligned_as_malloc_aligns, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(keys_are_compared_whole, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_value_of_many_megabytes_comes_back_whole, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(clear_empties_the_cache_and_it_goes_on_working, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(caches_know_nothing_of_each_other, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("compat_store", tests, NULL, NULL);
}
