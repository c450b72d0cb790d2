/*
 * Readers beside threads that clear, resize across the bound where the number of shards changes, sweep and delete: whatever is
 * read proves itself, and a key that nobody removes is found at every look, also while the index grows. CATZILLA_STRESS_MS
 * makes it run longer.
 */
#include "suite.h"
#include "cache_engine.h"
#include "policies.h"
#include "proving_value.h"
#include "waiting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* The library has one shard up to this capacity, several above: an interface promise (exact order), so it can stand here. */
#define ONE_SHARD 4096u
#define LARGEST 200000u

/* Keys that are stored once and then left alone; others come and go beside them. */
#define KEPT 64u
#define READERS 2

struct stage {
    catzilla_cache_t *cache;
    atomic_bool stop;
    atomic_uint seed;
    /* How many keys beside the kept ones there may be at the same time. */
    uint32_t others;
    bool strict;
    atomic_ullong hits, misses, wrong_values, refused;
};

static void name_key(char name[16], uint32_t key)
{
    snprintf(name, 16, "k%u", key);
}

static uint32_t own_seed(struct stage *stage)
{
    return 2654435761u * (atomic_fetch_add(&stage->seed, 1) + 1);
}

/* Short enough that 200,000 of them fit everywhere; the pattern is as in proving_value.h. */
static size_t make_value(unsigned char *bytes, uint32_t key, uint32_t seed)
{
    uint32_t length = PROVING_HEADER + (key < KEPT ? seed % 2000 : seed % 64);
    uint32_t header[4] = {key, seed, length, proving_sum(key, seed, length)};
    memcpy(bytes, header, sizeof header);
    for (uint32_t i = PROVING_HEADER; i < length; i++)
        bytes[i] = (unsigned char)(seed + i * 7u);
    return length;
}

static bool store(struct stage *stage, uint32_t key, uint32_t seed, uint64_t ttl_ms)
{
    unsigned char bytes[PROVING_MAX];
    char name[16];
    name_key(name, key);
    size_t size = make_value(bytes, key, seed);
    return catzilla_cache_put(stage->cache, name, strlen(name), bytes, size, ttl_ms) == CATZILLA_OK;
}

static void met(struct stage *stage, const void *data, size_t size, uint32_t key)
{
    atomic_fetch_add(&stage->hits, 1);
    if (!value_proves_itself(data, size, key))
        atomic_fetch_add(&stage->wrong_values, 1);
}

/* One look in each way there is. */
static void look_up(struct stage *stage, uint32_t key)
{
    unsigned char bytes[PROVING_MAX];
    char name[16];
    name_key(name, key);
    size_t size = 0, length = strlen(name);
    if (catzilla_cache_read(stage->cache, name, length, bytes, sizeof bytes, &size) == CATZILLA_OK)
        met(stage, bytes, size, key);
    else
        atomic_fetch_add(&stage->misses, 1);

    cache_result_t result = catzilla_cache_get(stage->cache, name);
    if (result.found)
        met(stage, result.data, result.size, key);
    else
        atomic_fetch_add(&stage->misses, 1);

    catzilla_value_t *value = NULL;
    if (catzilla_cache_acquire(stage->cache, name, length, &value) == CATZILLA_OK)
        met(stage, catzilla_value_data(value), catzilla_value_size(value), key);
    else
        atomic_fetch_add(&stage->misses, 1);
    catzilla_value_release(value);

    if (stage->strict &&
        (!catzilla_cache_exists(stage->cache, name) ||
         catzilla_cache_contains(stage->cache, name, length) != CATZILLA_OK))
        atomic_fetch_add(&stage->misses, 1);
}

static void *read_on(void *argument)
{
    struct stage *stage = argument;
    uint32_t random = own_seed(stage), keys = stage->strict ? KEPT : KEPT + stage->others;
    while (!atomic_load(&stage->stop))
        look_up(stage, next_random(&random) % keys);
    return NULL;
}

/* Stores and deletes all the others, up and down, so that the index fills, grows, and empties. */
static void *come_and_go(void *argument)
{
    struct stage *stage = argument;
    uint32_t random = own_seed(stage);
    char name[16];
    while (!atomic_load(&stage->stop)) {
        for (uint32_t i = 0; i < stage->others && !atomic_load(&stage->stop); i++) {
            uint32_t key = KEPT + i;
            next_random(&random);
            /* A few expire by themselves: sweeping is removing too. */
            if (!store(stage, key, random, random % 8 == 0 ? 1 : 0))
                atomic_fetch_add(&stage->refused, 1);
            if (random % 4 == 0) {
                name_key(name, KEPT + random / 4 % (i + 1));
                catzilla_cache_delete(stage->cache, name);
            }
        }
        for (uint32_t i = 0; i < stage->others && !atomic_load(&stage->stop); i++) {
            name_key(name, KEPT + i);
            catzilla_cache_remove(stage->cache, name, strlen(name));
        }
    }
    return NULL;
}

static void *sweep_on(void *argument)
{
    struct stage *stage = argument;
    while (!atomic_load(&stage->stop)) {
        catzilla_cache_expire_entries(stage->cache);
        pause_ms(1);
    }
    return NULL;
}

struct threads {
    pthread_t running[8];
    int count;
};

static void start(struct threads *threads, struct stage *stage, void *(*body)(void *), int how_many)
{
    for (int i = 0; i < how_many; i++)
        assert_int_equal(pthread_create(&threads->running[threads->count++], NULL, body, stage), 0);
}

static void stop(struct threads *threads, struct stage *stage)
{
    atomic_store(&stage->stop, true);
    for (int i = 0; i < threads->count; i++)
        pthread_join(threads->running[i], NULL);
    threads->count = 0;
}

static void set_up(struct stage *stage, const char *policy, const char *capacity, bool compression, bool jemalloc)
{
    memset(stage, 0, sizeof *stage);
    stage->cache = open_with(policy, capacity, compression, jemalloc);
    assert_non_null(stage->cache);
    for (uint32_t key = 0; key < KEPT; key++)
        assert_true(store(stage, key, key * 77, CATZILLA_TTL_FOREVER));
}

/* All threads have ended. Removes everything and looks at what is left. */
static void assert_nothing_is_left_behind(struct stage *stage)
{
    catzilla_statistics_t statistics = {0};
    catzilla_cache_clear(stage->cache);
    uint64_t deadline = now_ms() + PATIENCE_MS;
    do {
        statistics.struct_size = sizeof statistics;
        assert_int_equal(catzilla_cache_statistics(stage->cache, &statistics), CATZILLA_OK);
    } while (statistics.memory_lent_bytes > 0 && now_ms() < deadline);
    assert_int_equal(statistics.memory_lent_bytes, 0);
    assert_int_equal(statistics.memory_entries, 0);
    assert_int_equal(statistics.memory_bytes, statistics.memory_index_bytes);
    /* Each look counted once, as what it was; the strict readers' further looks are no requests. */
    assert_int_equal(statistics.hits, atomic_load(&stage->hits));
    catzilla_cache_destroy(stage->cache);
}

/* The index of a new cache is small, so each round begins with growth; the readers look through all of it. */
static void no_kept_key_is_missed(const char *policy, const char *capacity, uint32_t others, bool jemalloc, uint64_t ms)
{
    struct stage stage;
    struct threads threads = {0};
    uint64_t until = now_ms() + ms;
    do {
        set_up(&stage, policy, capacity, jemalloc, jemalloc);
        stage.strict = true;
        stage.others = others;
        start(&threads, &stage, read_on, READERS);
        start(&threads, &stage, sweep_on, 1);
        start(&threads, &stage, come_and_go, 1);
        uint64_t round = now_ms() + 100, deadline = now_ms() + PATIENCE_MS;
        while (now_ms() < round || (atomic_load(&stage.hits) < 3 * KEPT && now_ms() < deadline))
            pause_ms(1);
        stop(&threads, &stage);
        assert_int_equal(atomic_load(&stage.wrong_values), 0);
        assert_int_equal(atomic_load(&stage.misses), 0);
        assert_int_equal(atomic_load(&stage.refused), 0);
        assert_true(atomic_load(&stage.hits) >= 3 * KEPT);
        assert_nothing_is_left_behind(&stage);
    } while (now_ms() < until);
}

static void a_key_that_nobody_removes_is_found_while_the_index_grows(void **state)
{
    (void)state;
    char policy[POLICY_NAME_MAX];
    for (size_t i = 0; policy_name(i, policy); i++) {
        no_kept_key_is_missed(policy, "unlimited", LARGEST, true, stress_ms(300));
        /* All in one shard, whose index grows by itself. */
        no_kept_key_is_missed(policy, "4096", ONE_SHARD / 2, false, stress_ms(100));
    }
}

static void a_key_that_nobody_removes_is_found_while_the_shards_change(void **state)
{
    (void)state;
    char policy[POLICY_NAME_MAX];
    for (size_t i = 0; policy_name(i, policy); i++) {
        struct stage stage;
        struct threads threads = {0};
        set_up(&stage, policy, "4096", true, true);
        stage.strict = true;
        /* With the kept ones half of the smallest capacity: nobody has to leave. */
        stage.others = ONE_SHARD / 2 - KEPT;
        start(&threads, &stage, read_on, READERS);
        start(&threads, &stage, come_and_go, 1);
        uint64_t until = now_ms() + stress_ms(500), deadline = until + PATIENCE_MS;
        for (int changes = 0; now_ms() < until || (atomic_load(&stage.hits) < KEPT && now_ms() < deadline); changes++) {
            assert_int_equal(catzilla_cache_resize(stage.cache, changes % 2 ? ONE_SHARD : ONE_SHARD + 1 + changes % 7), 0);
            assert_int_equal(catzilla_cache_resize(stage.cache, LARGEST), 0);
        }
        stop(&threads, &stage);
        assert_int_equal(atomic_load(&stage.wrong_values), 0);
        assert_int_equal(atomic_load(&stage.misses), 0);
        assert_int_equal(atomic_load(&stage.refused), 0);
        assert_true(atomic_load(&stage.hits) >= KEPT);
        assert_nothing_is_left_behind(&stage);
    }
}

static void administer(struct stage *stage, uint32_t *random)
{
    static const size_t capacities[] = {1, 7, ONE_SHARD - 1, ONE_SHARD, ONE_SHARD + 1, 20000, LARGEST};
    cache_config_t config = {0};
    switch (next_random(random) % 8) {
    case 0:
        catzilla_cache_clear(stage->cache);
        break;
    case 1:
        catzilla_cache_expire_entries(stage->cache);
        break;
    case 2:
        config.capacity = capacities[*random / 8 % COUNT_OF(capacities)];
        config.compression_enabled = *random / 64 % 2;
        config.jemalloc_enabled = true;
        assert_int_equal(catzilla_cache_configure(stage->cache, &config), 0);
        break;
    case 3:
        assert_int_equal(catzilla_cache_purge(stage->cache, CATZILLA_PURGE_PREFIX, "k1", 2, NULL), CATZILLA_OK);
        break;
    default:
        assert_int_equal(catzilla_cache_resize(stage->cache, capacities[*random / 8 % COUNT_OF(capacities)]), 0);
    }
}

static void readers_among_clears_and_resizes_see_whole_values_only(void **state)
{
    (void)state;
    char policy[POLICY_NAME_MAX];
    for (size_t i = 0; policy_name(i, policy); i++) {
        struct stage stage;
        struct threads threads = {0};
        set_up(&stage, policy, "200000", i % 2, true);
        stage.others = 3 * ONE_SHARD;
        start(&threads, &stage, read_on, READERS);
        start(&threads, &stage, come_and_go, 2);
        uint32_t random = 4711;
        uint64_t until = now_ms() + stress_ms(700), deadline = now_ms() + PATIENCE_MS;
        while (now_ms() < until || (atomic_load(&stage.hits) == 0 && now_ms() < deadline)) {
            administer(&stage, &random);
            /* Time to fill up between two changes, now and then. */
            if (random % 16 == 0)
                pause_ms(20);
        }
        stop(&threads, &stage);
        assert_true(atomic_load(&stage.hits) > 0);
        assert_int_equal(atomic_load(&stage.wrong_values), 0);
        assert_int_equal(atomic_load(&stage.refused), 0);
        assert_int_equal(catzilla_cache_resize(stage.cache, 7), 0);
        assert_true(catzilla_cache_get_stats(stage.cache).size <= 7);
        assert_nothing_is_left_behind(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_nobody_removes_is_found_while_the_index_grows),
        cmocka_unit_test(a_key_that_nobody_removes_is_found_while_the_shards_change),
        cmocka_unit_test(readers_among_clears_and_resizes_see_whole_values_only),
    };
    return cmocka_run_group_tests_name("stress_clear_resize", tests, NULL, NULL);
}
