/* How long the bytes of a classic get stay: until the same thread has made 64 more gets, whatever else happens. */
#include "suite.h"
#include "cache_engine.h"
#include "proving_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME CATZILLA_CLASSIC_RESULT_LIFETIME

static void store(catzilla_cache_t *cache, uint32_t key, uint32_t seed)
{
    unsigned char value[PROVING_MAX];
    char name[16];
    snprintf(name, sizeof name, "k%u", key);
    size_t size = make_proving_value(value, key, seed);
    assert_int_equal(catzilla_cache_set(cache, name, value, size, 3600), 0);
}

static cache_result_t look_up(catzilla_cache_t *cache, uint32_t key)
{
    char name[16];
    snprintf(name, sizeof name, "k%u", key);
    cache_result_t result = catzilla_cache_get(cache, name);
    assert_true(result.found);
    return result;
}

static catzilla_cache_t *open_filled(bool compression, bool jemalloc)
{
    cache_config_t config = {0};
    config.capacity = LIFETIME;
    config.compression_enabled = compression;
    config.jemalloc_enabled = jemalloc;
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    assert_non_null(cache);
    for (uint32_t key = 0; key < LIFETIME; key++)
        store(cache, key, key + 1);
    return cache;
}

static void the_lifetime_is_64_gets(void **state)
{
    (void)state;
    assert_int_equal(LIFETIME, 64);
}

static void check_survival(bool compression, bool jemalloc)
{
    catzilla_cache_t *cache = open_filled(compression, jemalloc);
    cache_result_t results[LIFETIME];
    unsigned char *copies[LIFETIME];
    for (uint32_t key = 0; key < LIFETIME; key++) {
        results[key] = look_up(cache, key);
        assert_true(value_proves_itself(results[key].data, results[key].size, key));
        copies[key] = malloc(results[key].size);
        memcpy(copies[key], results[key].data, results[key].size);
    }

    /* Every way an entry can go, and enough new ones to reuse what was freed. */
    char name[16];
    for (uint32_t key = 0; key < LIFETIME; key += 4) {
        store(cache, key, key + 1000);
        snprintf(name, sizeof name, "k%u", key + 1);
        assert_int_equal(catzilla_cache_delete(cache, name), 0);
    }
    for (uint32_t key = 100; key < 100 + 4 * LIFETIME; key++)
        store(cache, key, key);
    catzilla_cache_clear(cache);
    for (uint32_t key = 100; key < 100 + LIFETIME; key++)
        store(cache, key, key * 3);

    for (uint32_t key = 0; key < LIFETIME; key++) {
        assert_int_equal(memcmp(results[key].data, copies[key], results[key].size), 0);
        free(copies[key]);
    }
    catzilla_cache_destroy(cache);
}

static void sixty_four_results_survive_overwrite_delete_eviction_and_clear(void **state)
{
    (void)state;
    for (int bits = 0; bits < 4; bits++)
        check_survival((bits & 1) != 0, (bits & 2) != 0);
}

static void misses_and_other_caches_do_not_cut_the_first_result_short(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_filled(false, true), *other = open_filled(false, true);
    cache_result_t first = look_up(cache, 0);
    assert_int_equal(catzilla_cache_delete(cache, "k0"), 0);
    for (uint32_t i = 1; i < LIFETIME; i++) {
        if (i % 2)
            look_up(other, i);
        else
            assert_false(catzilla_cache_get(cache, "nobody").found);
    }
    catzilla_cache_clear(cache);
    assert_true(value_proves_itself(first.data, first.size, 0));
    catzilla_cache_destroy(other);
    assert_true(value_proves_itself(first.data, first.size, 0));
    catzilla_cache_destroy(cache);
}

static void the_same_key_may_be_held_many_times(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_filled(true, true);
    cache_result_t results[LIFETIME];
    for (uint32_t i = 0; i < LIFETIME; i++)
        results[i] = look_up(cache, 7);
    assert_int_equal(catzilla_cache_delete(cache, "k7"), 0);
    for (uint32_t i = 0; i < LIFETIME; i++)
        assert_true(value_proves_itself(results[i].data, results[i].size, 7));
    catzilla_cache_destroy(cache);
}

static void multi_cache_results_live_as_long(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 4;
    multi_cache_t *cache = multi_cache_create(&config, NULL, NULL);
    assert_non_null(cache);
    unsigned char value[PROVING_MAX];
    size_t size = make_proving_value(value, 1, 1);
    assert_int_equal(multi_cache_set(cache, "k", value, size, 60), 0);
    cache_result_t first = multi_cache_get(cache, "k");
    assert_true(first.found);
    assert_int_equal(multi_cache_delete(cache, "k"), 0);
    for (uint32_t i = 1; i < LIFETIME; i++) {
        assert_int_equal(multi_cache_set(cache, i % 2 ? "a" : "b", value, i, 60), 0);
        assert_true(multi_cache_get(cache, i % 2 ? "a" : "b").found);
    }
    assert_true(value_proves_itself(first.data, first.size, 1));
    multi_cache_destroy(cache);
}

static uint64_t lent(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    return statistics.memory_lent_bytes;
}

/* Memory that nobody reads any more is given back in batches, at the latest by a clear. */
static void release_results_gives_back_what_this_thread_holds(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_filled(false, true);
    cache_result_t result = look_up(cache, 3);
    catzilla_cache_clear(cache);
    assert_true(lent(cache) >= result.size);
    assert_true(value_proves_itself(result.data, result.size, 3));
    catzilla_release_results();
    catzilla_cache_clear(cache);
    assert_int_equal(lent(cache), 0);
    catzilla_release_results();
    store(cache, 4, 4);
    assert_true(value_proves_itself(look_up(cache, 4).data, look_up(cache, 4).size, 4));
    catzilla_cache_destroy(cache);
    catzilla_release_results();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lifetime_is_64_gets),
        cmocka_unit_test(sixty_four_results_survive_overwrite_delete_eviction_and_clear),
        cmocka_unit_test(misses_and_other_caches_do_not_cut_the_first_result_short),
        cmocka_unit_test(the_same_key_may_be_held_many_times),
        cmocka_unit_test(multi_cache_results_live_as_long),
        cmocka_unit_test(release_results_gives_back_what_this_thread_holds),
    };
    return cmocka_run_group_tests_name("compat_result_lifetime", tests, NULL, NULL);
}
