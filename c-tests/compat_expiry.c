/* Expiry in the classic group, whose TTLs are whole seconds. Never early is asserted; late only against a long deadline. */
#include "suite.h"
#include "cache_engine.h"
#include "waiting.h"

#include <stdio.h>
#include <string.h>

static void store(catzilla_cache_t *cache, const char *key, uint32_t ttl)
{
    assert_int_equal(catzilla_cache_set(cache, key, key, strlen(key), ttl), 0);
}

/* Keys set at different moments, so that every phase of the library's clock is met. */
static void no_entry_goes_before_its_ttl_and_all_go_after(void **state)
{
    (void)state;
    enum { KEYS = 40 };
    catzilla_cache_t *cache = catzilla_cache_create(1000, 0);
    uint64_t set_at[KEYS], left = KEYS, deadline;
    bool gone[KEYS] = {false};
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set_at[i] = now_us();
        store(cache, key, 1);
        pause_ms(3);
    }
    deadline = now_ms() + PATIENCE_MS;
    while (left > 0 && now_ms() < deadline) {
        for (int i = 0; i < KEYS; i++) {
            if (gone[i])
                continue;
            snprintf(key, sizeof key, "k%d", i);
            bool found = i % 2 ? catzilla_cache_exists(cache, key) : catzilla_cache_get(cache, key).found;
            if (found)
                continue;
            uint64_t lived_us = now_us() - set_at[i];
            if (lived_us < 1000000)
                fail_msg("an entry with a TTL of one second went after %llu us", (unsigned long long)lived_us);
            gone[i] = true;
            left--;
        }
    }
    assert_int_equal(left, 0);
    catzilla_cache_destroy(cache);
}

static void a_ttl_of_zero_is_the_default_ttl_of_the_cache(void **state)
{
    (void)state;
    cache_config_t config = {0};
    config.capacity = 10;
    config.default_ttl = 1;
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    uint64_t set_at = now_us(), deadline = now_ms() + PATIENCE_MS;
    store(cache, "k", 0);
    store(cache, "long", 3600);
    while (catzilla_cache_exists(cache, "k") && now_ms() < deadline)
        pause_ms(5);
    assert_false(catzilla_cache_exists(cache, "k"));
    assert_true(now_us() - set_at >= 1000000);
    assert_true(catzilla_cache_exists(cache, "long"));
    catzilla_cache_destroy(cache);
}

static void expire_entries_removes_what_is_due_and_counts_it(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(100, 0);
    char key[16];
    for (int i = 0; i < 15; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store(cache, key, i < 10 ? 1 : 3600);
    }
    assert_int_equal(catzilla_cache_expire_entries(cache), 0);

    size_t expired = 0;
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (expired < 10 && now_ms() < deadline) {
        pause_ms(20);
        expired += catzilla_cache_expire_entries(cache);
    }
    assert_int_equal(expired, 10);
    assert_int_equal(catzilla_cache_expire_entries(cache), 0);
    cache_statistics_t stats = catzilla_cache_get_stats(cache);
    assert_int_equal(stats.size, 5);
    assert_int_equal(stats.evictions, 0);
    for (int i = 0; i < 15; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(catzilla_cache_exists(cache, key), i >= 10);
    }
    catzilla_cache_destroy(cache);
}

static void setting_a_key_again_renews_its_life_and_delete_finds_no_expired_key(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    store(cache, "renewed", 1);
    store(cache, "not renewed", 1);
    store(cache, "renewed", 3600);
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (catzilla_cache_exists(cache, "not renewed") && now_ms() < deadline)
        pause_ms(20);
    assert_int_equal(catzilla_cache_delete(cache, "not renewed"), -1);
    assert_true(catzilla_cache_get(cache, "renewed").found);
    catzilla_cache_expire_entries(cache);
    assert_true(catzilla_cache_get(cache, "renewed").found);
    catzilla_cache_destroy(cache);
}

static void the_longest_ttl_there_is_does_not_wrap_around(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    store(cache, "k", UINT32_MAX);
    pause_ms(50);
    assert_int_equal(catzilla_cache_expire_entries(cache), 0);
    assert_true(catzilla_cache_get(cache, "k").found);

    cache_config_t config = {0};
    config.capacity = 10;
    config.default_ttl = UINT32_MAX;
    assert_int_equal(catzilla_cache_configure(cache, &config), 0);
    store(cache, "default", 0);
    pause_ms(50);
    assert_true(catzilla_cache_get(cache, "default").found);
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_entry_goes_before_its_ttl_and_all_go_after),
        cmocka_unit_test(a_ttl_of_zero_is_the_default_ttl_of_the_cache),
        cmocka_unit_test(expire_entries_removes_what_is_due_and_counts_it),
        cmocka_unit_test(setting_a_key_again_renews_its_life_and_delete_finds_no_expired_key),
        cmocka_unit_test(the_longest_ttl_there_is_does_not_wrap_around),
    };
    return cmocka_run_group_tests_name("compat_expiry", tests, NULL, NULL);
}
