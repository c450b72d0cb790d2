/*
 * Four threads mix every call on few keys in caches of a few entries, so that overwriting, eviction, growth and reuse happen
 * all the time. Whatever is read proves itself. CATZILLA_STRESS_MS makes it run longer.
 */
#include "suite.h"
#include "cache_engine.h"
#include "policies.h"
#include "proving_value.h"
#include "waiting.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4
#define KEYS 8u

struct worker {
    pthread_t thread;
    catzilla_cache_t *cache;
    uint32_t random;
    /* Goes on until the time is over, or for a number of steps. */
    uint64_t until_ms, last_step;
    uint64_t steps, reads, wrong_values, wrong_results;
};

static void check(struct worker *worker, const void *data, size_t size, uint32_t key)
{
    worker->reads++;
    worker->wrong_values += !value_proves_itself(data, size, key);
}

static void expect(struct worker *worker, bool right)
{
    worker->wrong_results += !right;
}

static bool is_outcome(catzilla_status_t status)
{
    return status == CATZILLA_OK || status == CATZILLA_NOT_FOUND;
}

static void write_one(struct worker *worker, uint32_t key, const char *name)
{
    unsigned char bytes[PROVING_MAX];
    size_t size = make_proving_value(bytes, key, next_random(&worker->random));
    if (worker->random & 1)
        expect(worker, catzilla_cache_set(worker->cache, name, bytes, size, worker->random & 2 ? 1 : 0) == 0);
    else
        expect(worker, catzilla_cache_put(worker->cache, name, strlen(name), bytes, size, worker->random % 5) == CATZILLA_OK);
}

static void read_one(struct worker *worker, uint32_t key, const char *name)
{
    unsigned char bytes[PROVING_MAX];
    size_t size = 0, length = strlen(name);
    switch (next_random(&worker->random) % 3) {
    case 0: {
        cache_result_t result = catzilla_cache_get(worker->cache, name);
        if (result.found)
            check(worker, result.data, result.size, key);
        break;
    }
    case 1: {
        catzilla_status_t status = catzilla_cache_read(worker->cache, name, length, bytes, sizeof bytes, &size);
        if (status == CATZILLA_OK)
            check(worker, bytes, size, key);
        expect(worker, is_outcome(status));
        break;
    }
    default: {
        catzilla_value_t *value = NULL;
        catzilla_status_t status = catzilla_cache_acquire(worker->cache, name, length, &value);
        if (status == CATZILLA_OK)
            check(worker, catzilla_value_data(value), catzilla_value_size(value), key);
        expect(worker, is_outcome(status) && (status == CATZILLA_OK) == (value != NULL));
        catzilla_value_release(value);
    }
    }
}

static void administer(struct worker *worker)
{
    catzilla_cache_t *cache = worker->cache;
    catzilla_statistics_t statistics = {0};
    cache_config_t config = {0};
    switch (next_random(&worker->random) % 10) {
    case 0:
        catzilla_cache_clear(cache);
        break;
    case 1:
        expect(worker, catzilla_cache_resize(cache, 1 + worker->random % 12) == 0);
        break;
    case 2:
        config.capacity = 1 + worker->random % 12;
        config.compression_enabled = (worker->random & 64) != 0;
        config.jemalloc_enabled = true;
        expect(worker, catzilla_cache_configure(cache, &config) == 0);
        break;
    case 3:
        catzilla_cache_expire_entries(cache);
        break;
    case 4:
        expect(worker, catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "k3", 2, NULL) == CATZILLA_OK);
        break;
    case 5:
        expect(worker, catzilla_cache_purge(cache, CATZILLA_PURGE_ALL, NULL, 0, NULL) == CATZILLA_OK);
        break;
    case 6:
        catzilla_release_results();
        break;
    case 7:
        /* Every live entry is bounded, so an accounting that drifts is seen at once. */
        expect(worker, catzilla_cache_memory_usage(cache) < 100 * PROVING_MAX);
        break;
    case 8:
        statistics.struct_size = sizeof statistics;
        expect(worker, catzilla_cache_statistics(cache, &statistics) == CATZILLA_OK);
        expect(worker, statistics.memory_entries <= KEYS);
        break;
    default:
        expect(worker, catzilla_cache_get_stats(cache).size <= KEYS);
        expect(worker, catzilla_cache_set(cache, "k0", NULL, 1, 0) == -1);
        expect(worker, catzilla_last_error_code() == CATZILLA_INVALID_ARGUMENT);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    char name[16];
    while (worker->steps < worker->last_step || now_ms() < worker->until_ms) {
        for (int i = 0; i < 200; i++, worker->steps++) {
            uint32_t random = next_random(&worker->random), key = (random >> 8) % KEYS;
            snprintf(name, sizeof name, "k%u", key);
            if (random % 100 < 35)
                write_one(worker, key, name);
            else if (random % 100 < 85)
                read_one(worker, key, name);
            else if (random % 100 < 89)
                catzilla_cache_delete(worker->cache, name);
            else if (random % 100 < 92)
                expect(worker, is_outcome(catzilla_cache_remove(worker->cache, name, strlen(name))));
            else if (random % 100 < 95)
                expect(worker, is_outcome(catzilla_cache_contains(worker->cache, name, strlen(name))));
            else if (random % 100 < 98)
                catzilla_cache_exists(worker->cache, name);
            else
                administer(worker);
        }
    }
    return NULL;
}

static void assert_the_books_balance(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics = {0};
    catzilla_cache_clear(cache);
    uint64_t deadline = now_ms() + PATIENCE_MS;
    do {
        statistics.struct_size = sizeof statistics;
        assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    } while (statistics.memory_lent_bytes > 0 && now_ms() < deadline);
    assert_int_equal(statistics.memory_entries, 0);
    assert_int_equal(statistics.requests, statistics.hits + statistics.misses);
    assert_int_equal(statistics.memory_lent_bytes, 0);
    assert_true(catzilla_cache_memory_usage(cache) < 16 * 1024);
}

/* `cache` is used up. */
static void run(catzilla_cache_t *cache, int threads, uint64_t ms, uint64_t steps)
{
    assert_non_null(cache);
    struct worker workers[THREADS];
    memset(workers, 0, sizeof workers);
    uint64_t until_ms = now_ms() + ms, reads = 0;
    for (int i = 0; i < threads; i++) {
        workers[i].cache = cache;
        workers[i].random = 0x9e3779b9u * ((uint32_t)i + 1);
        workers[i].until_ms = until_ms;
        workers[i].last_step = steps;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong_values, 0);
        assert_int_equal(workers[i].wrong_results, 0);
        reads += workers[i].reads;
    }
    assert_true(reads > 0);
    assert_the_books_balance(cache);
    catzilla_cache_destroy(cache);
}

static void run_classic(bool compression, bool jemalloc)
{
    cache_config_t config = {0};
    config.capacity = 5;
    config.compression_enabled = compression;
    config.jemalloc_enabled = jemalloc;
    run(catzilla_cache_create_with_config(&config), THREADS, stress_ms(700), 0);
}

static void whatever_four_threads_read_proves_itself(void **state)
{
    (void)state;
    run_classic(false, true);
    run_classic(true, true);
    run_classic(false, false);
}

/* A number of steps and no time, so that every capacity of every policy is used as much on any machine. */
static void every_policy_survives_them_in_caches_of_one_to_eight_entries(void **state)
{
    (void)state;
    char policy[POLICY_NAME_MAX], capacity[8];
    for (size_t i = 0; policy_name(i, policy); i++) {
        for (int entries = 1; entries <= 8; entries++) {
            snprintf(capacity, sizeof capacity, "%d", entries);
            run(open_with(policy, capacity, entries % 2, entries % 4 < 2), 2 + entries % 3, 0, 4000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_four_threads_read_proves_itself),
        cmocka_unit_test(every_policy_survives_them_in_caches_of_one_to_eight_entries),
    };
    return cmocka_run_group_tests_name("stress_mixed_calls", tests, NULL, NULL);
}
