/*
 * Results of the classic get while other threads do their worst: a reader holds 64 of them, and every byte stays what it was
 * while three writers overwrite, delete, evict and clear. CATZILLA_STRESS_MS makes it run longer.
 */
#include "suite.h"
#include "cache_engine.h"
#include "proving_value.h"
#include "waiting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WRITERS 3
#define KEYS 96u
#define LIFETIME CATZILLA_CLASSIC_RESULT_LIFETIME

struct stage {
    catzilla_cache_t *cache;
    atomic_bool stop;
    atomic_uint seed;
};

static void *destroy_what_is_read(void *argument)
{
    struct stage *stage = argument;
    uint32_t random = 2654435761u * (atomic_fetch_add(&stage->seed, 1) + 1);
    unsigned char bytes[PROVING_MAX];
    char name[16];
    while (!atomic_load(&stage->stop)) {
        uint32_t key = next_random(&random) % KEYS;
        snprintf(name, sizeof name, "k%u", key);
        if (random >> 22 == 0) {
            catzilla_cache_clear(stage->cache);
        } else if (random % 8 == 0) {
            catzilla_cache_delete(stage->cache, name);
        } else {
            size_t size = make_proving_value(bytes, key, random);
            catzilla_cache_set(stage->cache, name, bytes, size, 60);
        }
    }
    return NULL;
}

static void hold_64_results(struct stage *stage, uint32_t *random, uint64_t *held)
{
    cache_result_t results[LIFETIME];
    uint32_t keys[LIFETIME];
    char name[16];
    for (uint32_t i = 0; i < LIFETIME; i++) {
        keys[i] = next_random(random) % KEYS;
        snprintf(name, sizeof name, "k%u", keys[i]);
        results[i] = catzilla_cache_get(stage->cache, name);
        *held += results[i].found;
    }
    /* Twice: once at once, and once after the writers have had time to reuse the memory. */
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < LIFETIME; i++)
            if (results[i].found && !value_proves_itself(results[i].data, results[i].size, keys[i]))
                fail_msg("result %u of key %u is damaged", i, keys[i]);
        if (!again)
            pause_ms(2);
    }
}

static void run(bool compression, bool jemalloc)
{
    cache_config_t config = {0};
    config.capacity = 64;
    config.compression_enabled = compression;
    config.jemalloc_enabled = jemalloc;
    struct stage stage;
    memset(&stage, 0, sizeof stage);
    stage.cache = catzilla_cache_create_with_config(&config);
    assert_non_null(stage.cache);
    pthread_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, destroy_what_is_read, &stage), 0);

    uint32_t random = 77;
    uint64_t held = 0, until = now_ms() + stress_ms(500), deadline = now_ms() + PATIENCE_MS;
    while (now_ms() < until || (held == 0 && now_ms() < deadline))
        hold_64_results(&stage, &random, &held);
    atomic_store(&stage.stop, true);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    assert_true(held > 0);
    catzilla_cache_destroy(stage.cache);
}

static void sixty_four_results_stay_intact_among_writers(void **state)
{
    (void)state;
    run(false, true);
    run(true, true);
    run(false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sixty_four_results_stay_intact_among_writers)};
    return cmocka_run_group_tests_name("stress_result_lifetime", tests, NULL, NULL);
}
