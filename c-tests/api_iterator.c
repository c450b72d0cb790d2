/* Going through the keys of a cache. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"

#include <stdio.h>
#include <string.h>

#define MANY 2000

static void put_many(catzilla_cache_t *cache)
{
    char key[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "%s:%d", i % 2 ? "odd" : "even", i);
        assert_int_equal(catzilla_cache_put(cache, key, strlen(key), "v", 1, 0), CATZILLA_OK);
    }
}

/* How often each number was told, with a prefix before it. */
static int count(catzilla_cache_t *cache, const char *prefix, unsigned char *times)
{
    catzilla_iterator_t *iterator = NULL;
    const void *key;
    size_t len;
    int told = 0;
    assert_int_equal(catzilla_iterator_open(cache, prefix, strlen(prefix), &iterator), CATZILLA_OK);
    catzilla_status_t status;
    while ((status = catzilla_iterator_next(iterator, &key, &len)) == CATZILLA_OK) {
        char text[16] = {0};
        int number = -1;
        assert_in_range(len, strlen(prefix), sizeof text - 1);
        memcpy(text, key, len);
        assert_memory_equal(text, prefix, strlen(prefix));
        assert_int_equal(sscanf(strchr(text, ':'), ":%d", &number), 1);
        assert_in_range(number, 0, MANY - 1);
        times[number]++;
        told++;
    }
    assert_int_equal(status, CATZILLA_NOT_FOUND);
    assert_null(key);
    assert_int_equal(len, 0);
    assert_int_equal(catzilla_iterator_next(iterator, &key, &len), CATZILLA_NOT_FOUND);
    catzilla_iterator_close(iterator);
    return told;
}

static void every_key_with_the_prefix_is_told_once(void **state)
{
    static unsigned char times[MANY];
    put_many(*state);
    memset(times, 0, sizeof times);
    assert_int_equal(count(*state, "", times), MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(times[i], 1);
    assert_int_equal(count(*state, "odd:", times), MANY / 2);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(times[i], 1 + i % 2);
    assert_int_equal(count(*state, "nobody", times), 0);
}

static void entries_may_be_removed_on_the_way(void **state)
{
    catzilla_iterator_t *iterator = NULL;
    const void *key;
    size_t len;
    put_many(*state);
    assert_int_equal(catzilla_iterator_open(*state, NULL, 0, &iterator), CATZILLA_OK);
    while (catzilla_iterator_next(iterator, &key, &len) == CATZILLA_OK)
        assert_int_equal(catzilla_cache_remove(*state, key, len), CATZILLA_OK);
    catzilla_iterator_close(iterator);
    uint64_t removed = 99;
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_ALL, NULL, 0, &removed), CATZILLA_OK);
    assert_int_equal(removed, 0);
}

static void the_empty_key_is_told_too(void **state)
{
    catzilla_iterator_t *iterator = NULL;
    const void *key = NULL;
    size_t len = 99;
    assert_int_equal(catzilla_cache_put(*state, NULL, 0, "v", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_iterator_open(*state, NULL, 0, &iterator), CATZILLA_OK);
    assert_int_equal(catzilla_iterator_next(iterator, &key, &len), CATZILLA_OK);
    assert_non_null(key);
    assert_int_equal(len, 0);
    catzilla_iterator_close(iterator);
}

static void it_may_outlive_its_cache_and_finds_no_more(void **state)
{
    (void)state;
    catzilla_cache_t *cache = NULL;
    catzilla_iterator_t *iterator = NULL;
    const void *key;
    size_t len;
    assert_int_equal(catzilla_cache_open(NULL, &cache), CATZILLA_OK);
    put_many(cache);
    assert_int_equal(catzilla_iterator_open(cache, "even:", 5, &iterator), CATZILLA_OK);
    catzilla_cache_destroy(cache);
    assert_int_equal(catzilla_iterator_next(iterator, &key, &len), CATZILLA_NOT_FOUND);
    catzilla_iterator_close(iterator);
}

static void null_is_refused_and_may_be_closed(void **state)
{
    catzilla_iterator_t *iterator = (catzilla_iterator_t *)*state;
    const void *key = *state;
    size_t len = 99;
    assert_int_equal(catzilla_iterator_open(NULL, "", 0, &iterator), CATZILLA_INVALID_ARGUMENT);
    assert_null(iterator);
    assert_int_equal(catzilla_iterator_open(*state, NULL, 1, &iterator), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_iterator_open(*state, "", CATZILLA_MAX_KEY_LEN + 1, &iterator), CATZILLA_KEY_TOO_LARGE);
    assert_int_equal(catzilla_iterator_open(*state, "", 0, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_iterator_next(NULL, &key, &len), CATZILLA_INVALID_ARGUMENT);
    assert_null(key);
    assert_int_equal(len, 0);
    assert_int_equal(catzilla_iterator_open(*state, "", 0, &iterator), CATZILLA_OK);
    assert_int_equal(catzilla_iterator_next(iterator, NULL, &len), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_iterator_next(iterator, &key, NULL), CATZILLA_INVALID_ARGUMENT);
    catzilla_iterator_close(iterator);
    catzilla_iterator_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_key_with_the_prefix_is_told_once, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(entries_may_be_removed_on_the_way, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_empty_key_is_told_too, open_cache, close_cache),
        cmocka_unit_test(it_may_outlive_its_cache_and_finds_no_more),
        cmocka_unit_test_setup_teardown(null_is_refused_and_may_be_closed, open_cache, close_cache),
    };
    return cmocka_run_group_tests_name("api_iterator", tests, NULL, NULL);
}
