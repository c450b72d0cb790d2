/*
 * multi_cache_*: declared by the original header, never written there. Here they work, over a real redis-server and a real folder,
 * and refuse what can never work.
 */
#include "cache_engine.h"
#include "tiers.h"

static multi_cache_t *open_memory_only(void)
{
    cache_config_t config = {0};
    config.capacity = 3;
    multi_cache_t *cache = multi_cache_create(&config, NULL, NULL);
    assert_non_null(cache);
    return cache;
}

static void set_get_and_delete_work_on_the_memory_tier(void **state)
{
    (void)state;
    multi_cache_t *cache = open_memory_only();
    assert_false(multi_cache_get(cache, "k").found);
    assert_int_equal(multi_cache_set(cache, "k", "value", 5, 60), 0);
    cache_result_t result = multi_cache_get(cache, "k");
    assert_true(result.found);
    assert_int_equal(result.size, 5);
    assert_memory_equal(result.data, "value", 5);
    assert_int_equal(multi_cache_delete(cache, "k"), 0);
    assert_int_equal(multi_cache_delete(cache, "k"), -1);
    assert_false(multi_cache_get(cache, "k").found);
    multi_cache_destroy(cache);
}

static void the_memory_config_is_obeyed(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 3;
    config.max_value_size = 4;
    multi_cache_t *cache = multi_cache_create(&config, NULL, NULL);
    assert_non_null(cache);
    assert_int_equal(multi_cache_set(cache, "k", "12345", 5, 60), -1);
    char key[16];
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(multi_cache_set(cache, key, "v", 1, 0), 0);
    }
    assert_false(multi_cache_get(cache, "k0").found);
    assert_true(multi_cache_get(cache, "k3").found);
    multi_cache_destroy(cache);
}

static void a_capacity_of_zero_is_refused(void **state)
{
    (void)state;
    cache_config_t config = {0};
    assert_null(multi_cache_create(&config, NULL, NULL));
    assert_non_null(strstr(catzilla_last_error_message(), "capacity"));
}

static void what_can_never_work_is_refused_with_a_message(void **state)
{
    struct ground *ground = *state;
    cache_config_t config = {0};
    config.capacity = 3;
    char file[PATH_MAX];
    FILE *made = fopen(inside(file, ground->folder, "file"), "w");
    assert_non_null(made);
    fclose(made);
    struct {
        const char *url, *path, *says;
    } cases[] = {
        {"carrier-pigeon://coop", NULL, "redis.url"},
        {"http://127.0.0.1:6379", NULL, "redis.url"},
        {"garbage", ground->disk, "redis.url"},
        {NULL, file, "disk.path"},
        {"redis://127.0.0.1:6379", file, "disk.path"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_null(multi_cache_create(&config, cases[i].url, cases[i].path));
        assert_int_equal(catzilla_last_error_code(), CATZILLA_INVALID_OPTION);
        assert_non_null(strstr(catzilla_last_error_message(), cases[i].says));
    }
    assert_null(multi_cache_create(NULL, NULL, ground->disk));
    assert_int_equal(catzilla_last_error_code(), CATZILLA_INVALID_ARGUMENT);
}

static void empty_texts_are_no_tiers(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 3;
    multi_cache_t *cache = multi_cache_create(&config, "", "");
    assert_non_null(cache);
    assert_int_equal(multi_cache_set(cache, "k", "v", 1, 0), 0);
    assert_true(multi_cache_get(cache, "k").found);
    multi_cache_destroy(cache);
}

static multi_cache_t *open_multi(const char *url, const char *path)
{
    cache_config_t config = {0};
    config.capacity = 3;
    multi_cache_t *cache = multi_cache_create(&config, url, path);
    if (cache == NULL)
        fail_msg("multi_cache_create: %s", catzilla_last_error_message());
    return cache;
}

static void set(multi_cache_t *cache, const char *key, const char *value, uint32_t ttl)
{
    assert_int_equal(multi_cache_set(cache, key, value, strlen(value), ttl), 0);
}

static void assert_has(multi_cache_t *cache, const char *key, const char *value)
{
    cache_result_t result = multi_cache_get(cache, key);
    if (!result.found)
        fail_msg("%s is not there", key);
    assert_int_equal(result.size, strlen(value));
    assert_memory_equal(result.data, value, result.size);
    assert_int_equal((uintptr_t)result.data % 16, 0);
}

static void what_was_set_is_on_disk_after_a_restart(void **state)
{
    struct ground *ground = *state;
    multi_cache_t *cache = open_multi(NULL, ground->disk);
    char key[16];
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(cache, key, key, 0);
    }
    set(cache, "empty", "", 60);
    set(cache, "gone", "v", 60);
    assert_int_equal(multi_cache_delete(cache, "gone"), 0);
    multi_cache_destroy(cache);

    cache = open_multi(NULL, ground->disk);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_has(cache, key, key);
    }
    assert_has(cache, "empty", "");
    assert_false(multi_cache_get(cache, "gone").found);
    assert_int_equal(multi_cache_delete(cache, "gone"), -1);
    /* Not in memory, which holds three. */
    assert_int_equal(multi_cache_delete(cache, "k0"), 0);
    assert_int_equal(multi_cache_delete(cache, "k0"), -1);
    assert_false(multi_cache_get(cache, "k0").found);
    multi_cache_destroy(cache);
}

static void a_value_that_is_too_large_for_memory_is_kept_below(void **state)
{
    struct ground *ground = *state;
    cache_config_t config = {0};
    config.capacity = 3;
    config.max_value_size = 4;
    multi_cache_t *cache = multi_cache_create(&config, NULL, ground->disk);
    assert_non_null(cache);
    set(cache, "k", "1234", 0);
    set(cache, "k", "12345", 0);
    assert_has(cache, "k", "12345");
    multi_cache_destroy(cache);
}

/* More of them than memory holds: what a look-up returns lives as long as that of a memory cache. */
static void results_from_below_live_as_long_as_others(void **state)
{
    struct ground *ground = *state;
    multi_cache_t *cache = open_multi(NULL, ground->disk);
    cache_result_t results[CATZILLA_CLASSIC_RESULT_LIFETIME];
    char key[16];
    for (int i = 0; i < CATZILLA_CLASSIC_RESULT_LIFETIME; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(cache, key, key, 0);
    }
    for (int i = 0; i < CATZILLA_CLASSIC_RESULT_LIFETIME; i++) {
        snprintf(key, sizeof key, "k%d", i);
        results[i] = multi_cache_get(cache, key);
        assert_true(results[i].found);
    }
    for (int i = 0; i < CATZILLA_CLASSIC_RESULT_LIFETIME; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(results[i].size, strlen(key));
        assert_memory_equal(results[i].data, key, results[i].size);
    }
    multi_cache_destroy(cache);
}

static void redis_gets_what_is_set_for_a_day_or_as_long_as_is_said(void **state)
{
    struct ground *ground = *state;
    start(ground);
    multi_cache_t *cache = open_multi(ground->url, NULL);
    set(cache, "day", "v", 0);
    set(cache, "given", "v", 5000);
    assert_in_range(number_from(&ground->server, "TTL catzilla:day"), 86400 - 60, 86400);
    assert_in_range(number_from(&ground->server, "TTL catzilla:given"), 5000 - 60, 5000);
    set(cache, "gone", "v", 60);
    assert_int_equal(multi_cache_delete(cache, "gone"), 0);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:gone"), 0);
    multi_cache_destroy(cache);

    cache = open_multi(ground->url, NULL);
    assert_has(cache, "day", "v");
    assert_has(cache, "given", "v");
    assert_int_equal(multi_cache_delete(cache, "gone"), -1);
    multi_cache_destroy(cache);
}

static void three_tiers_go_on_when_redis_is_gone(void **state)
{
    struct ground *ground = *state;
    start(ground);
    multi_cache_t *cache = open_multi(ground->url, ground->disk);
    set(cache, "k", "v", 0);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:k"), 1);
    multi_cache_destroy(cache);
    stop_server(&ground->server);

    cache = open_multi(ground->url, ground->disk);
    assert_has(cache, "k", "v");
    set(cache, "k", "w", 0);
    assert_has(cache, "k", "w");
    multi_cache_destroy(cache);
    cache = open_multi(NULL, ground->disk);
    assert_has(cache, "k", "w");
    multi_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_get_and_delete_work_on_the_memory_tier),
        cmocka_unit_test(the_memory_config_is_obeyed),
        cmocka_unit_test(a_capacity_of_zero_is_refused),
        cmocka_unit_test(empty_texts_are_no_tiers),
        ON_ITS_GROUND(what_can_never_work_is_refused_with_a_message),
        ON_ITS_GROUND(what_was_set_is_on_disk_after_a_restart),
        ON_ITS_GROUND(a_value_that_is_too_large_for_memory_is_kept_below),
        ON_ITS_GROUND(results_from_below_live_as_long_as_others),
        ON_ITS_GROUND(redis_gets_what_is_set_for_a_day_or_as_long_as_is_said),
        ON_ITS_GROUND(three_tiers_go_on_when_redis_is_gone),
    };
    return cmocka_run_group_tests_name("compat_multi", tests, NULL, NULL);
}
