/* compression_enabled: the caller never sees it, except in how much memory large values take. */
#include "suite.h"
#include "cache_engine.h"
#include "proving_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static catzilla_cache_t *open_with(bool compression)
{
    cache_config_t config = {0};
    config.capacity = 100;
    config.compression_enabled = compression;
    config.jemalloc_enabled = true;
    catzilla_cache_t *cache = catzilla_cache_create_with_config(&config);
    assert_non_null(cache);
    return cache;
}

static void fill_with_text(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = "{\"id\": 12345, \"name\": \"somebody\"}, "[i % 35];
}

static void fill_with_noise(char *bytes, size_t size)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(next_random(&state) >> 13);
}

static void values_of_every_size_come_back_whole(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 100, 1023, 1024, 1025, 4096, 65535, 65536, 1000000, 5000000};
    catzilla_cache_t *cache = open_with(true);
    char *bytes = malloc(5000000);
    for (int noise = 0; noise < 2; noise++) {
        (noise ? fill_with_noise : fill_with_text)(bytes, 5000000);
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            assert_int_equal(catzilla_cache_set(cache, "k", bytes, sizes[i], 60), 0);
            cache_result_t result = catzilla_cache_get(cache, "k");
            assert_true(result.found);
            assert_int_equal(result.size, sizes[i]);
            assert_int_equal((uintptr_t)result.data % 16, 0);
            assert_int_equal(memcmp(result.data, bytes, sizes[i]), 0);
        }
    }
    free(bytes);
    catzilla_cache_destroy(cache);
}

static size_t usage_of_text(bool compression)
{
    static char text[65536];
    fill_with_text(text, sizeof text);
    catzilla_cache_t *cache = open_with(compression);
    size_t empty = catzilla_cache_memory_usage(cache);
    assert_int_equal(catzilla_cache_set(cache, "k", text, sizeof text, 60), 0);
    size_t used = catzilla_cache_memory_usage(cache) - empty;
    catzilla_cache_destroy(cache);
    return used;
}

static void repetitive_text_takes_less_memory_only_when_it_is_on(void **state)
{
    (void)state;
    assert_true(usage_of_text(false) >= 65536);
    assert_true(usage_of_text(true) < 65536 / 2);
}

static void noise_does_not_take_more_than_it_would_without(void **state)
{
    (void)state;
    static char noise[65536];
    fill_with_noise(noise, sizeof noise);
    size_t used[2];
    for (int on = 0; on < 2; on++) {
        catzilla_cache_t *cache = open_with(on);
        assert_int_equal(catzilla_cache_set(cache, "k", noise, sizeof noise, 60), 0);
        used[on] = catzilla_cache_memory_usage(cache);
        catzilla_cache_destroy(cache);
    }
    /* Arbitrary: room for a few bytes of bookkeeping or the next allocation size. */
    assert_true(used[1] <= used[0] + used[0] / 4);
}

static void switching_it_on_and_off_leaves_stored_values_readable(void **state)
{
    (void)state;
    static char text[20000];
    fill_with_text(text, sizeof text);
    catzilla_cache_t *cache = open_with(true);
    assert_int_equal(catzilla_cache_set(cache, "packed", text, sizeof text, 60), 0);
    cache_config_t config = {0};
    config.capacity = 100;
    config.jemalloc_enabled = true;
    assert_int_equal(catzilla_cache_configure(cache, &config), 0);
    assert_int_equal(catzilla_cache_set(cache, "plain", text, sizeof text, 60), 0);
    config.compression_enabled = true;
    assert_int_equal(catzilla_cache_configure(cache, &config), 0);

    const char *keys[] = {"packed", "plain"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        cache_result_t result = catzilla_cache_get(cache, keys[i]);
        assert_true(result.found);
        assert_int_equal(result.size, sizeof text);
        assert_memory_equal(result.data, text, sizeof text);
    }
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_size_come_back_whole),
        cmocka_unit_test(repetitive_text_takes_less_memory_only_when_it_is_on),
        cmocka_unit_test(noise_does_not_take_more_than_it_would_without),
        cmocka_unit_test(switching_it_on_and_off_leaves_stored_values_readable),
    };
    return cmocka_run_group_tests_name("compat_compression", tests, NULL, NULL);
}
