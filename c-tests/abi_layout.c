/*
 * The frozen layouts and numbers on x86-64, as the C (and through abi_layout.cpp the C++) compiler sees them. Every mismatch
 * is listed. New members go to the end of catzilla_statistics_t, catzilla_tier_statistics_t and catzilla_health_t and nowhere else.
 */
#include "catzilla_cache.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

static int mismatches;

static void expect(const char *what, long long is, long long must_be)
{
    if (is != must_be) {
        printf("%s is %lld, must be %lld\n", what, is, must_be);
        mismatches++;
    }
}

#define SIZE(type, size) expect("sizeof(" #type ")", (long long)sizeof(type), size)
#define OFFSET(type, member, offset) expect("offset of " #type "." #member, (long long)offsetof(type, member), offset)
#define NUMBER(name, number) expect(#name, (long long)(name), number)
#define IS_UNSIGNED(type) expect("unsigned " #type, (type)-1 > (type)0, 1)

static void classic_structs(void)
{
    SIZE(struct cache_config, 40);
    SIZE(cache_config_t, 40);
    OFFSET(cache_config_t, capacity, 0);
    OFFSET(cache_config_t, bucket_count, 8);
    OFFSET(cache_config_t, default_ttl, 16);
    OFFSET(cache_config_t, max_value_size, 24);
    OFFSET(cache_config_t, compression_enabled, 32);
    OFFSET(cache_config_t, jemalloc_enabled, 33);

    SIZE(struct cache_statistics, 64);
    SIZE(cache_statistics_t, 64);
    OFFSET(cache_statistics_t, hits, 0);
    OFFSET(cache_statistics_t, misses, 8);
    OFFSET(cache_statistics_t, evictions, 16);
    OFFSET(cache_statistics_t, memory_usage, 24);
    OFFSET(cache_statistics_t, total_requests, 32);
    OFFSET(cache_statistics_t, hit_ratio, 40);
    OFFSET(cache_statistics_t, size, 48);
    OFFSET(cache_statistics_t, capacity, 56);

    SIZE(struct cache_result, 24);
    SIZE(cache_result_t, 24);
    OFFSET(cache_result_t, data, 0);
    OFFSET(cache_result_t, size, 8);
    OFFSET(cache_result_t, found, 16);

    SIZE(enum cache_tier, 4);
    SIZE(cache_tier_t, 4);
    SIZE(catzilla_atomic_uint64_t, 8);
    SIZE(catzilla_atomic_size_t, 8);
    IS_UNSIGNED(catzilla_atomic_uint64_t);
    IS_UNSIGNED(catzilla_atomic_size_t);
}

static void modern_structs(void)
{
    OFFSET(catzilla_statistics_t, struct_size, 0);
    OFFSET(catzilla_statistics_t, hits, 8);
    OFFSET(catzilla_statistics_t, misses, 16);
    OFFSET(catzilla_statistics_t, requests, 24);
    OFFSET(catzilla_statistics_t, hit_ratio, 32);
    OFFSET(catzilla_statistics_t, puts, 40);
    OFFSET(catzilla_statistics_t, removals, 48);
    OFFSET(catzilla_statistics_t, memory_hits, 56);
    OFFSET(catzilla_statistics_t, memory_misses, 64);
    OFFSET(catzilla_statistics_t, memory_entries, 72);
    OFFSET(catzilla_statistics_t, memory_capacity, 80);
    OFFSET(catzilla_statistics_t, memory_bytes, 88);
    OFFSET(catzilla_statistics_t, memory_max_bytes, 96);
    OFFSET(catzilla_statistics_t, memory_index_bytes, 104);
    OFFSET(catzilla_statistics_t, memory_lent_bytes, 112);
    OFFSET(catzilla_statistics_t, memory_active_bytes, 120);
    OFFSET(catzilla_statistics_t, memory_evictions, 128);
    OFFSET(catzilla_statistics_t, memory_expirations, 136);
    OFFSET(catzilla_statistics_t, memory_compressed_puts, 144);
    OFFSET(catzilla_statistics_t, memory_compression_input_bytes, 152);
    OFFSET(catzilla_statistics_t, memory_compression_output_bytes, 160);
    OFFSET(catzilla_statistics_t, memory_compression_ratio, 168);
    OFFSET(catzilla_statistics_t, memory_pressure_shrinks, 176);
    OFFSET(catzilla_statistics_t, loads, 184);
    OFFSET(catzilla_statistics_t, load_failures, 192);
    OFFSET(catzilla_statistics_t, load_waits, 200);
    OFFSET(catzilla_statistics_t, memory_untold_departures, 208);
    OFFSET(catzilla_statistics_t, memory_read_samples, 216);
    OFFSET(catzilla_statistics_t, memory_read_p50_ns, 224);
    OFFSET(catzilla_statistics_t, memory_read_p99_ns, 232);
    OFFSET(catzilla_statistics_t, memory_read_p999_ns, 240);
    OFFSET(catzilla_statistics_t, memory_read_max_ns, 248);
    OFFSET(catzilla_statistics_t, memory_write_samples, 256);
    OFFSET(catzilla_statistics_t, memory_write_p50_ns, 264);
    OFFSET(catzilla_statistics_t, memory_write_p99_ns, 272);
    OFFSET(catzilla_statistics_t, memory_write_p999_ns, 280);
    OFFSET(catzilla_statistics_t, memory_write_max_ns, 288);
    OFFSET(catzilla_statistics_t, redis_hits, 296);
    OFFSET(catzilla_statistics_t, redis_misses, 304);
    OFFSET(catzilla_statistics_t, redis_errors, 312);
    OFFSET(catzilla_statistics_t, disk_hits, 320);
    OFFSET(catzilla_statistics_t, disk_misses, 328);
    OFFSET(catzilla_statistics_t, disk_errors, 336);
    SIZE(struct catzilla_statistics, 344);

    OFFSET(catzilla_health_t, struct_size, 0);
    OFFSET(catzilla_health_t, is_up, 8);
    OFFSET(catzilla_health_t, reserved, 12);
    OFFSET(catzilla_health_t, last_error_at, 16);
    OFFSET(catzilla_health_t, last_error, 24);
    SIZE(struct catzilla_health, 280);
    SIZE(catzilla_health_t, 280);

    OFFSET(catzilla_tier_statistics_t, struct_size, 0);
    OFFSET(catzilla_tier_statistics_t, hits, 8);
    OFFSET(catzilla_tier_statistics_t, misses, 16);
    OFFSET(catzilla_tier_statistics_t, puts, 24);
    OFFSET(catzilla_tier_statistics_t, removals, 32);
    OFFSET(catzilla_tier_statistics_t, errors, 40);
    OFFSET(catzilla_tier_statistics_t, timeouts, 48);
    OFFSET(catzilla_tier_statistics_t, connection_errors, 56);
    OFFSET(catzilla_tier_statistics_t, refusals, 64);
    OFFSET(catzilla_tier_statistics_t, full_errors, 72);
    OFFSET(catzilla_tier_statistics_t, damage_errors, 80);
    OFFSET(catzilla_tier_statistics_t, too_large, 88);
    OFFSET(catzilla_tier_statistics_t, unreadable, 96);
    OFFSET(catzilla_tier_statistics_t, outdated, 104);
    OFFSET(catzilla_tier_statistics_t, is_open, 112);
    OFFSET(catzilla_tier_statistics_t, openings, 120);
    OFFSET(catzilla_tier_statistics_t, entries, 128);
    OFFSET(catzilla_tier_statistics_t, bytes, 136);
    OFFSET(catzilla_tier_statistics_t, max_bytes, 144);
    OFFSET(catzilla_tier_statistics_t, evictions, 152);
    OFFSET(catzilla_tier_statistics_t, expirations, 160);
    OFFSET(catzilla_tier_statistics_t, queued, 168);
    OFFSET(catzilla_tier_statistics_t, queued_bytes, 176);
    OFFSET(catzilla_tier_statistics_t, dropped_writes, 184);
    OFFSET(catzilla_tier_statistics_t, owed, 192);
    OFFSET(catzilla_tier_statistics_t, owed_ever, 200);
    OFFSET(catzilla_tier_statistics_t, owed_overflows, 208);
    OFFSET(catzilla_tier_statistics_t, demotions, 216);
    OFFSET(catzilla_tier_statistics_t, set_aside, 224);
    OFFSET(catzilla_tier_statistics_t, connections, 232);
    OFFSET(catzilla_tier_statistics_t, connects, 240);
    OFFSET(catzilla_tier_statistics_t, read_samples, 248);
    OFFSET(catzilla_tier_statistics_t, read_p50_ns, 256);
    OFFSET(catzilla_tier_statistics_t, read_p99_ns, 264);
    OFFSET(catzilla_tier_statistics_t, read_p999_ns, 272);
    OFFSET(catzilla_tier_statistics_t, read_max_ns, 280);
    OFFSET(catzilla_tier_statistics_t, write_samples, 288);
    OFFSET(catzilla_tier_statistics_t, write_p50_ns, 296);
    OFFSET(catzilla_tier_statistics_t, write_p99_ns, 304);
    OFFSET(catzilla_tier_statistics_t, write_p999_ns, 312);
    OFFSET(catzilla_tier_statistics_t, write_max_ns, 320);
    SIZE(struct catzilla_tier_statistics, 328);
    SIZE(catzilla_tier_statistics_t, 328);

    SIZE(struct catzilla_get, 48);
    SIZE(catzilla_get_t, 48);
    OFFSET(catzilla_get_t, key, 0);
    OFFSET(catzilla_get_t, key_len, 8);
    OFFSET(catzilla_get_t, buffer, 16);
    OFFSET(catzilla_get_t, capacity, 24);
    OFFSET(catzilla_get_t, value_len, 32);
    OFFSET(catzilla_get_t, status, 40);

    SIZE(struct catzilla_put, 48);
    SIZE(catzilla_put_t, 48);
    OFFSET(catzilla_put_t, key, 0);
    OFFSET(catzilla_put_t, key_len, 8);
    OFFSET(catzilla_put_t, value, 16);
    OFFSET(catzilla_put_t, value_len, 24);
    OFFSET(catzilla_put_t, ttl_ms, 32);
    OFFSET(catzilla_put_t, status, 40);

    SIZE(struct catzilla_remove, 24);
    SIZE(catzilla_remove_t, 24);
    OFFSET(catzilla_remove_t, key, 0);
    OFFSET(catzilla_remove_t, key_len, 8);
    OFFSET(catzilla_remove_t, status, 16);

    SIZE(struct catzilla_bytes, 16);
    SIZE(catzilla_bytes_t, 16);
    OFFSET(catzilla_bytes_t, data, 0);
    OFFSET(catzilla_bytes_t, len, 8);

    SIZE(struct catzilla_put_options, 48);
    SIZE(catzilla_put_options_t, 48);
    OFFSET(catzilla_put_options_t, struct_size, 0);
    OFFSET(catzilla_put_options_t, ttl_ms, 8);
    OFFSET(catzilla_put_options_t, expected_version, 16);
    OFFSET(catzilla_put_options_t, flags, 24);
    OFFSET(catzilla_put_options_t, tags, 32);
    OFFSET(catzilla_put_options_t, tag_count, 40);

    SIZE(struct catzilla_option_info, 48);
    OFFSET(catzilla_option_info_t, name, 0);
    OFFSET(catzilla_option_info_t, type, 8);
    OFFSET(catzilla_option_info_t, default_value, 16);
    OFFSET(catzilla_option_info_t, range, 24);
    OFFSET(catzilla_option_info_t, help, 32);
    OFFSET(catzilla_option_info_t, live, 40);

    SIZE(catzilla_status_t, 4);
    SIZE(catzilla_purge_t, 4);
    SIZE(catzilla_cause_t, 4);
    SIZE(catzilla_tier_t, 4);
    SIZE(catzilla_log_level_t, 4);
    expect("signed catzilla_status_t", (catzilla_status_t)-1 < (catzilla_status_t)0, 1);
}

static void numbers(void)
{
    NUMBER(CACHE_TIER_MEMORY, 0);
    NUMBER(CACHE_TIER_REDIS, 1);
    NUMBER(CACHE_TIER_DISK, 2);
    NUMBER(CATZILLA_TIER_NONE, -1);
    NUMBER(CATZILLA_TIER_MEMORY, CACHE_TIER_MEMORY);
    NUMBER(CATZILLA_TIER_REDIS, CACHE_TIER_REDIS);
    NUMBER(CATZILLA_TIER_DISK, CACHE_TIER_DISK);
    NUMBER(CATZILLA_HEALTH_TEXT, 256);
    NUMBER(CATZILLA_OK, 0);
    NUMBER(CATZILLA_NOT_FOUND, 1);
    NUMBER(CATZILLA_TRUNCATED, 2);
    NUMBER(CATZILLA_EXISTS, 3);
    NUMBER(CATZILLA_VERSION_MISMATCH, 4);
    NUMBER(CATZILLA_CAUSE_NONE, -1);
    NUMBER(CATZILLA_CAUSE_EVICTED, 0);
    NUMBER(CATZILLA_CAUSE_EXPIRED, 1);
    NUMBER(CATZILLA_CAUSE_REPLACED, 2);
    NUMBER(CATZILLA_CAUSE_REMOVED, 3);
    NUMBER(CATZILLA_CAUSE_PURGED, 4);
    NUMBER(CATZILLA_INVALID_ARGUMENT, -100);
    NUMBER(CATZILLA_UNKNOWN_OPTION, -110);
    NUMBER(CATZILLA_INVALID_OPTION, -111);
    NUMBER(CATZILLA_OPTION_OUT_OF_RANGE, -112);
    NUMBER(CATZILLA_OPTION_NOT_LIVE, -113);
    NUMBER(CATZILLA_KEY_TOO_LARGE, -200);
    NUMBER(CATZILLA_VALUE_TOO_LARGE, -201);
    NUMBER(CATZILLA_OUT_OF_MEMORY, -300);
    NUMBER(CATZILLA_UNSUPPORTED, -400);
    NUMBER(CATZILLA_TIMED_OUT, -500);
    NUMBER(CATZILLA_LOAD_FAILED, -501);
    NUMBER(CATZILLA_LOAD_REENTERED, -502);
    NUMBER(CATZILLA_TIER_UNAVAILABLE, -600);
    NUMBER(CATZILLA_INTERNAL, -900);
    NUMBER(CATZILLA_PURGE_ALL, 0);
    NUMBER(CATZILLA_PURGE_PREFIX, 1);
    NUMBER(CATZILLA_PURGE_TAG, 2);
    NUMBER(CATZILLA_PURGE_PATTERN, 3);
    NUMBER(CATZILLA_MAX_PATTERN_LEN, 4096);
    NUMBER(CATZILLA_PUT_IF_ABSENT, 1);
    NUMBER(CATZILLA_PUT_IF_PRESENT, 2);
    NUMBER(CATZILLA_LOG_OFF, 0);
    NUMBER(CATZILLA_LOG_ERROR, 1);
    NUMBER(CATZILLA_LOG_WARN, 2);
    NUMBER(CATZILLA_LOG_INFO, 3);
    NUMBER(CATZILLA_LOG_DEBUG, 4);
    NUMBER(CATZILLA_CLASSIC_RESULT_LIFETIME, 64);
    NUMBER(CATZILLA_MAX_KEY_LEN, 4 * 1024 * 1024 - 1);
    expect("CATZILLA_WAIT_FOREVER is UINT64_MAX", CATZILLA_WAIT_FOREVER == UINT64_MAX, 1);
    expect("CATZILLA_TTL_FOREVER is UINT64_MAX", CATZILLA_TTL_FOREVER == UINT64_MAX, 1);
}

/* The tags and typedefs of the opaque types exist, and each pair is one type. */
static void names(void)
{
    struct catzilla_cache *cache = NULL;
    catzilla_cache_t *same_cache = cache;
    struct multi_cache *multi = NULL;
    multi_cache_t *same_multi = multi;
    cache_entry_t *entry = NULL;
    expect("opaque types are pointers", same_cache == NULL && same_multi == NULL && entry == NULL, 1);
}

int main(void)
{
    classic_structs();
    modern_structs();
    numbers();
    names();
    return mismatches != 0;
}
