/* Threads that end while they hold results, and threads that use a cache while they end. */
#include "suite.h"
#include "cache_engine.h"
#include "proving_value.h"
#include "waiting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static catzilla_cache_t *cache;

static void store(const char *key, uint32_t id)
{
    unsigned char bytes[PROVING_MAX];
    size_t size = make_proving_value(bytes, id, id + 1);
    assert_int_equal(catzilla_cache_set(cache, key, bytes, size, 3600), 0);
}

static uint64_t lent_bytes(void)
{
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    return statistics.memory_lent_bytes;
}

static void *take_results_and_end(void *argument)
{
    char key[16];
    uintptr_t wrong = 0;
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%u", i);
        cache_result_t result = catzilla_cache_get(cache, key);
        wrong += result.found && !value_proves_itself(result.data, result.size, i);
        if (argument != NULL)
            catzilla_cache_delete(cache, key);
    }
    return (void *)wrong;
}

static void what_a_thread_held_is_given_back_when_it_ends(void **state)
{
    (void)state;
    cache = catzilla_cache_create(100, 0);
    char key[16];
    for (int round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            snprintf(key, sizeof key, "k%u", i);
            store(key, i);
        }
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, take_results_and_end, i % 2 ? &key : NULL), 0);
        for (int i = 0; i < 4; i++) {
            void *wrong = NULL;
            pthread_join(threads[i], &wrong);
            assert_null(wrong);
        }
        catzilla_cache_clear(cache);
        assert_int_equal(lent_bytes(), 0);
    }
    catzilla_cache_destroy(cache);
}

static void *hold_until_told(void *argument)
{
    pthread_barrier_t *barrier = argument;
    cache_result_t result = catzilla_cache_get(cache, "k");
    pthread_barrier_wait(barrier);
    /* The cache is destroyed between these two. */
    pthread_barrier_wait(barrier);
    return result.found ? argument : NULL;
}

static void a_thread_may_end_after_the_cache_whose_results_it_held(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        cache = catzilla_cache_create(10, 0);
        store("k", 1);
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 2);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, hold_until_told, &barrier), 0);
        pthread_barrier_wait(&barrier);
        catzilla_cache_destroy(cache);
        catzilla_cache_t *next = catzilla_cache_create(10, 0);
        assert_int_equal(catzilla_cache_set(next, "other", "v", 1, 60), 0);
        pthread_barrier_wait(&barrier);
        void *found = NULL;
        pthread_join(thread, &found);
        assert_non_null(found);
        catzilla_cache_destroy(next);
        pthread_barrier_destroy(&barrier);
    }
}

static pthread_key_t thread_data;
static int right_in_destructor;

/* Runs when the thread's own storage, the library's included, may already be gone. */
static void use_the_cache_once_more(void *argument)
{
    cache_result_t result = catzilla_cache_get(cache, "k");
    bool right = result.found && value_proves_itself(result.data, result.size, 1);
    right = right && catzilla_cache_set(cache, "from a destructor", "v", 1, 60) == 0;
    right = right && catzilla_cache_get(cache, "from a destructor").found;
    right = right && catzilla_cache_set(NULL, "k", "v", 1, 60) == -1;
    right = right && catzilla_last_error_message() != NULL;
    right_in_destructor = right && argument == &thread_data;
}

static void *use_the_cache_and_leave_a_destructor(void *argument)
{
    catzilla_cache_get(cache, "k");
    catzilla_cache_set(NULL, "k", "v", 1, 60);
    pthread_setspecific(thread_data, &thread_data);
    return argument;
}

static void a_destructor_of_thread_data_may_still_use_the_cache(void **state)
{
    (void)state;
    cache = catzilla_cache_create(10, 0);
    store("k", 1);
    assert_int_equal(pthread_key_create(&thread_data, use_the_cache_once_more), 0);
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        right_in_destructor = 0;
        assert_int_equal(pthread_create(&thread, NULL, use_the_cache_and_leave_a_destructor, NULL), 0);
        pthread_join(thread, NULL);
        assert_true(right_in_destructor);
    }
    pthread_key_delete(thread_data);
    catzilla_cache_clear(cache);
    assert_int_equal(lent_bytes(), 0);
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_thread_held_is_given_back_when_it_ends),
        cmocka_unit_test(a_thread_may_end_after_the_cache_whose_results_it_held),
        cmocka_unit_test(a_destructor_of_thread_data_may_still_use_the_cache),
    };
    return cmocka_run_group_tests_name("stress_thread_exit", tests, NULL, NULL);
}
