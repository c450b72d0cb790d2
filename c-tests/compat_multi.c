/* multi_cache_*: declared by the original header, never written there. Here they work, and refuse what they cannot serve. */
#include "suite.h"
#include "cache_engine.h"

#include <stdio.h>
#include <string.h>

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

static void a_url_of_an_unknown_scheme_is_refused_with_a_message(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 3;
    assert_null(multi_cache_create(&config, "carrier-pigeon://coop", NULL));
    assert_true(catzilla_last_error_code() < 0);
    assert_true(strlen(catzilla_last_error_message()) > 0);
}

static void tiers_that_this_version_has_not_got_are_refused_and_named(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 3;
    assert_null(multi_cache_create(&config, "redis://127.0.0.1:6379/0", NULL));
    assert_int_equal(catzilla_last_error_code(), CATZILLA_UNSUPPORTED);
    assert_true(strstr(catzilla_last_error_message(), "redis") || strstr(catzilla_last_error_message(), "Redis"));
    assert_null(multi_cache_create(&config, NULL, "a-folder"));
    assert_int_equal(catzilla_last_error_code(), CATZILLA_UNSUPPORTED);
    assert_non_null(strstr(catzilla_last_error_message(), "disk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_get_and_delete_work_on_the_memory_tier),
        cmocka_unit_test(the_memory_config_is_obeyed),
        cmocka_unit_test(a_capacity_of_zero_is_refused),
        cmocka_unit_test(a_url_of_an_unknown_scheme_is_refused_with_a_message),
        cmocka_unit_test(tiers_that_this_version_has_not_got_are_refused_and_named),
    };
    return cmocka_run_group_tests_name("compat_multi", tests, NULL, NULL);
}
