/* Being told of entries that leave. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"
#include "waiting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* What was told last, and how often. */
struct told {
    catzilla_cache_t *cache;
    int calls, wrong;
    char key[32], value[32];
    size_t value_size;
    catzilla_cause_t cause;
};

static void keep(void *user, const catzilla_departed_t *departed)
{
    struct told *told = user;
    const void *key = catzilla_departed_key(departed), *value = catzilla_departed_value(departed);
    size_t key_size = catzilla_departed_key_size(departed), size = catzilla_departed_value_size(departed);
    told->calls++;
    told->wrong += key == NULL || value == NULL || key_size >= sizeof told->key || (uintptr_t)value % 16 != 0;
    memset(told->key, 0, sizeof told->key);
    memset(told->value, 0, sizeof told->value);
    memcpy(told->key, key, key_size);
    memcpy(told->value, value, size < sizeof told->value ? size : sizeof told->value - 1);
    told->value_size = size;
    told->cause = catzilla_departed_cause(departed);
}

static void put(catzilla_cache_t *cache, const char *key, const char *value)
{
    assert_int_equal(catzilla_cache_put(cache, key, strlen(key), value, strlen(value), CATZILLA_TTL_FOREVER), CATZILLA_OK);
}

static void expect(const struct told *told, int calls, const char *key, const char *value, catzilla_cause_t cause)
{
    assert_int_equal(told->calls, calls);
    assert_int_equal(told->wrong, 0);
    assert_string_equal(told->key, key);
    assert_string_equal(told->value, value);
    assert_int_equal(told->value_size, strlen(value));
    assert_int_equal(told->cause, cause);
}

static void every_way_out_is_told_with_its_cause(void **state)
{
    catzilla_cache_t *cache = *state;
    struct told told = {0};
    assert_int_equal(catzilla_cache_set_option(cache, "memory.capacity", "2"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_option(cache, "memory.policy", "fifo"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_listener(cache, keep, &told), CATZILLA_OK);
    put(cache, "a", "1");
    put(cache, "b", "2");
    assert_int_equal(told.calls, 0);
    put(cache, "c", "3");
    expect(&told, 1, "a", "1", CATZILLA_CAUSE_EVICTED);
    put(cache, "c", "4");
    expect(&told, 2, "c", "3", CATZILLA_CAUSE_REPLACED);
    assert_int_equal(catzilla_cache_remove(cache, "b", 1), CATZILLA_OK);
    expect(&told, 3, "b", "2", CATZILLA_CAUSE_REMOVED);
    catzilla_cache_clear(cache);
    expect(&told, 4, "c", "4", CATZILLA_CAUSE_PURGED);
    put(cache, "prefix", "");
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "pre", 3, NULL), CATZILLA_OK);
    expect(&told, 5, "prefix", "", CATZILLA_CAUSE_PURGED);
    assert_int_equal(catzilla_cache_put(cache, NULL, 0, "v", 1, 1), CATZILLA_OK);
    uint64_t end = now_ms() + PATIENCE_MS;
    while (told.calls == 5 && now_ms() < end) {
        assert_int_equal(catzilla_cache_sweep(cache, NULL), CATZILLA_OK);
        pause_ms(1);
    }
    expect(&told, 6, "", "v", CATZILLA_CAUSE_EXPIRED);
    assert_int_equal(catzilla_cache_set_listener(cache, NULL, NULL), CATZILLA_OK);
    put(cache, "d", "");
    catzilla_cache_clear(cache);
    assert_int_equal(told.calls, 6);
}

static void a_compressed_value_is_told_in_its_plain_form(void **state)
{
    struct told told = {0};
    static char text[64 << 10];
    memset(text, 'x', sizeof text);
    assert_int_equal(catzilla_cache_put(*state, "key", 3, text, sizeof text, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_listener(*state, keep, &told), CATZILLA_OK);
    assert_int_equal(catzilla_cache_remove(*state, "key", 3), CATZILLA_OK);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.value_size, sizeof text);
    assert_memory_equal(told.value, text, sizeof told.value - 1);
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(*state, &statistics), CATZILLA_OK);
    assert_int_equal(statistics.memory_compressed_puts, 1);
    assert_int_equal(statistics.memory_lent_bytes, 0);
    assert_int_equal(statistics.memory_untold_departures, 0);
}

/* Stores each entry again under another name, which makes the next one leave; and ends itself at the hundredth. */
static void store_again(void *user, const catzilla_departed_t *departed)
{
    struct told *told = user;
    char key[32];
    told->wrong += catzilla_departed_cause(departed) != CATZILLA_CAUSE_EVICTED;
    snprintf(key, sizeof key, "again %d", told->calls++);
    told->wrong += catzilla_cache_put(told->cache, key, strlen(key), "", 0, 0) != CATZILLA_OK;
    if (told->calls == 100)
        told->wrong += catzilla_cache_set_listener(told->cache, NULL, NULL) != CATZILLA_OK;
}

static void the_listener_may_call_the_cache_and_take_itself_off(void **state)
{
    struct told told = {0};
    told.cache = *state;
    assert_int_equal(catzilla_cache_set_option(*state, "memory.capacity", "1"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_listener(*state, store_again, &told), CATZILLA_OK);
    put(*state, "a", "");
    put(*state, "b", "");
    assert_int_equal(told.calls, 100);
    assert_int_equal(told.wrong, 0);
}

static atomic_int inside, is_off, late, has_begun;

static void look_whether_it_is_off(void *user, const catzilla_departed_t *departed)
{
    (void)user;
    (void)departed;
    atomic_fetch_add(&inside, 1);
    atomic_store(&has_begun, 1);
    pause_ms(0);
    atomic_fetch_add(&late, atomic_load(&is_off));
    atomic_fetch_sub(&inside, 1);
}

static atomic_int stop;

static void *put_until_it_stops(void *cache)
{
    for (uint64_t i = 0; !atomic_load(&stop); i++)
        catzilla_cache_put(cache, &i, sizeof i, "", 0, 0);
    return NULL;
}

static void when_it_was_taken_off_nobody_is_in_it_and_nobody_comes(void **state)
{
    pthread_t threads[2];
    assert_int_equal(catzilla_cache_set_option(*state, "memory.capacity", "4"), CATZILLA_OK);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_until_it_stops, *state), 0);
    for (int round = 0; round < 200; round++) {
        atomic_store(&is_off, 0);
        atomic_store(&has_begun, 0);
        assert_int_equal(catzilla_cache_set_listener(*state, look_whether_it_is_off, NULL), CATZILLA_OK);
        while (!atomic_load(&has_begun))
            pause_ms(0);
        assert_int_equal(catzilla_cache_set_listener(*state, NULL, NULL), CATZILLA_OK);
        atomic_store(&is_off, 1);
        assert_int_equal(atomic_load(&inside), 0);
    }
    atomic_store(&stop, 1);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&late), 0);
}

static void destroy_tells_nothing(void **state)
{
    (void)state;
    struct told told = {0};
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    assert_int_equal(catzilla_cache_set_listener(cache, keep, &told), CATZILLA_OK);
    put(cache, "a", "");
    catzilla_cache_destroy(cache);
    assert_int_equal(told.calls, 0);
}

static void null_is_refused(void **state)
{
    (void)state;
    assert_int_equal(catzilla_cache_set_listener(NULL, keep, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_null(catzilla_departed_key(NULL));
    assert_null(catzilla_departed_value(NULL));
    assert_int_equal(catzilla_departed_key_size(NULL), 0);
    assert_int_equal(catzilla_departed_value_size(NULL), 0);
    assert_int_equal(catzilla_departed_cause(NULL), CATZILLA_CAUSE_NONE);
    assert_int_equal(catzilla_last_error_code(), CATZILLA_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_way_out_is_told_with_its_cause, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_compressed_value_is_told_in_its_plain_form, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_listener_may_call_the_cache_and_take_itself_off, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(when_it_was_taken_off_nobody_is_in_it_and_nobody_comes, open_cache, close_cache),
        cmocka_unit_test(destroy_tells_nothing),
        cmocka_unit_test(null_is_refused),
    };
    return cmocka_run_group_tests_name("api_listener", tests, NULL, NULL);
}
