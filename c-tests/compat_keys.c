/* hash_key, generate_key and the timestamp: small functions whose exact results old programs have stored away. */
#include "suite.h"
#include "cache_engine.h"
#include "waiting.h"

#include <string.h>
#include <time.h>

static void hash_key_is_fnv_1a_of_32_bits(void **state)
{
    (void)state;
    /* The published test vectors of the FNV authors. */
    assert_int_equal(catzilla_cache_hash_key("", 0), 2166136261u);
    assert_int_equal(catzilla_cache_hash_key("a", 1), 0xe40c292cu);
    assert_int_equal(catzilla_cache_hash_key("b", 1), 0xe70c2de5u);
    assert_int_equal(catzilla_cache_hash_key("foobar", 6), 0xbf9cf968u);
}

static void hash_key_reads_exactly_the_length_it_is_given(void **state)
{
    (void)state;
    assert_int_equal(catzilla_cache_hash_key("foobarbaz", 6), 0xbf9cf968u);
    uint32_t expected = 2166136261u;
    const char bytes[] = {'a', '\0', (char)0xff};
    for (size_t i = 0; i < sizeof bytes; i++)
        expected = (expected ^ (unsigned char)bytes[i]) * 16777619u;
    assert_int_equal(catzilla_cache_hash_key(bytes, sizeof bytes), expected);
}

static void assert_key(const char *query, uint32_t hash, const char *expected)
{
    char buffer[128];
    memset(buffer, '#', sizeof buffer);
    assert_int_equal(catzilla_cache_generate_key("GET", "/items", query, hash, buffer, sizeof buffer), strlen(expected));
    assert_string_equal(buffer, expected);
}

static void generate_key_joins_method_path_query_and_hash(void **state)
{
    (void)state;
    assert_key("page=2", 0xabcd1234u, "GET:/items?page=2:abcd1234");
    assert_key("page=2", 0xfu, "GET:/items?page=2:0000000f");
    assert_key("page=2", 0, "GET:/items?page=2:00000000");
}

static void generate_key_leaves_an_absent_query_out(void **state)
{
    (void)state;
    assert_key(NULL, 7, "GET:/items:00000007");
    assert_key("", 7, "GET:/items:00000007");
}

static void generate_key_fits_exactly_or_not_at_all(void **state)
{
    (void)state;
    const char *expected = "GET:/items:00000007";
    char buffer[64];
    size_t length = strlen(expected);
    assert_int_equal(catzilla_cache_generate_key("GET", "/items", NULL, 7, buffer, length + 1), length);
    assert_string_equal(buffer, expected);
    for (size_t size = 0; size <= length; size++) {
        memset(buffer, '#', sizeof buffer);
        assert_int_equal(catzilla_cache_generate_key("GET", "/items", NULL, 7, buffer, size), -1);
        for (size_t i = size; i < sizeof buffer; i++)
            assert_int_equal(buffer[i], '#');
    }
}

static void the_timestamp_is_microseconds_since_the_epoch(void **state)
{
    (void)state;
    /* time() may lag behind by a tick, and the machine may pause between the calls: two seconds of slack below, patience above. */
    uint64_t before = (uint64_t)time(NULL);
    uint64_t stamp = catzilla_cache_get_timestamp();
    uint64_t after = (uint64_t)time(NULL);
    assert_true(stamp / 1000000u + 2 >= before);
    assert_true(stamp / 1000000u <= after + 2);
}

static void the_timestamp_moves_on(void **state)
{
    (void)state;
    uint64_t first = catzilla_cache_get_timestamp(), deadline = now_ms() + PATIENCE_MS;
    while (catzilla_cache_get_timestamp() == first && now_ms() < deadline)
        pause_ms(1);
    assert_true(catzilla_cache_get_timestamp() > first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_key_is_fnv_1a_of_32_bits),
        cmocka_unit_test(hash_key_reads_exactly_the_length_it_is_given),
        cmocka_unit_test(generate_key_joins_method_path_query_and_hash),
        cmocka_unit_test(generate_key_leaves_an_absent_query_out),
        cmocka_unit_test(generate_key_fits_exactly_or_not_at_all),
        cmocka_unit_test(the_timestamp_is_microseconds_since_the_epoch),
        cmocka_unit_test(the_timestamp_moves_on),
    };
    return cmocka_run_group_tests_name("compat_keys", tests, NULL, NULL);
}
