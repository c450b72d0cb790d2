/* A cache of one entry behind the C interface of catzilla-cache, with faults on request: FAKE_FAULT names one.
 * tests/faults.rs builds it against the real header, so that a declaration that changes there is noticed here, and sees
 * that the replay tool notices each fault. The statistics are numbers no real cache would report, each field another, so
 * that a field read at the wrong place shows up in the output. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "catzilla_cache.h"

struct catzilla_cache {
    char key[1024];
    size_t key_len;
    char value[1024];
    size_t value_len;
    uint64_t hits, misses;
};

struct catzilla_options {
    char unused;
};

static const char *last_error = "";

static int fault(const char *name) {
    const char *wanted = getenv("FAKE_FAULT");
    return wanted != NULL && strcmp(wanted, name) == 0;
}

uint32_t catzilla_abi_version(void) { return fault("abi") ? 99 : CATZILLA_CACHE_ABI; }
const char *catzilla_version(void) { return "0.0.fake"; }
const char *catzilla_last_error_message(void) { return last_error; }
const char *catzilla_status_name(catzilla_status_t status) { return status == CATZILLA_OK ? "FAKE_OK" : "FAKE_FAILURE"; }

static const catzilla_option_info_t rows[] = {
    {.name = "fake.one", .type = "number", .default_value = "1", .range = "1 to 2", .help = "The first.", .live = false},
    {.name = "fake.two", .type = "switch", .default_value = "on", .range = "on, off", .help = "The other.", .live = true},
};

size_t catzilla_option_count(void) { return sizeof rows / sizeof rows[0]; }
const catzilla_option_info_t *catzilla_option_info(size_t index) {
    return index < catzilla_option_count() ? &rows[index] : NULL;
}

catzilla_options_t *catzilla_options_create(void) { return calloc(1, sizeof(struct catzilla_options)); }
void catzilla_options_destroy(catzilla_options_t *options) { free(options); }

catzilla_status_t catzilla_options_set(catzilla_options_t *options, const char *name, const char *value) {
    (void)options, (void)value;
    if (strcmp(name, "memory.capacity") == 0 || strcmp(name, "disk.path") == 0) return CATZILLA_OK;
    last_error = "the fake has no such option";
    return CATZILLA_UNKNOWN_OPTION;
}

catzilla_status_t catzilla_cache_open(const catzilla_options_t *options, catzilla_cache_t **cache) {
    (void)options;
    *cache = calloc(1, sizeof(struct catzilla_cache));
    return CATZILLA_OK;
}

void catzilla_cache_destroy(catzilla_cache_t *cache) { free(cache); }

catzilla_status_t catzilla_cache_put(catzilla_cache_t *cache, const void *key, size_t key_len, const void *value,
                                     size_t value_len, uint64_t ttl_ms) {
    (void)ttl_ms;
    if (fault("put")) {
        last_error = "the fake is full";
        return CATZILLA_OUT_OF_MEMORY;
    }
    if (fault("too-large")) return CATZILLA_VALUE_TOO_LARGE;
    memcpy(cache->key, key, cache->key_len = key_len);
    memcpy(cache->value, value, cache->value_len = value_len);
    if (fault("flipped-byte")) cache->value[value_len - 1] ^= 1;
    if (fault("short-value")) cache->value_len -= 1;
    return CATZILLA_OK;
}

catzilla_status_t catzilla_cache_read(catzilla_cache_t *cache, const void *key, size_t key_len, void *buffer,
                                      size_t capacity, size_t *value_len) {
    int same = cache->key_len == key_len && memcmp(cache->key, key, key_len) == 0;
    if (fault("another-key") && cache->key_len > 0) same = 1;
    if (fault("read")) {
        last_error = "the fake cannot read";
        return CATZILLA_INTERNAL;
    }
    *value_len = same ? cache->value_len : 0;
    if (!same) {
        cache->misses++;
        return CATZILLA_NOT_FOUND;
    }
    cache->hits++;
    if (fault("long-value")) {
        *value_len = capacity + 1;
        return CATZILLA_TRUNCATED;
    }
    memcpy(buffer, cache->value, cache->value_len);
    return CATZILLA_OK;
}

catzilla_status_t catzilla_cache_tier_statistics(catzilla_cache_t *cache, catzilla_tier_t tier,
                                                 catzilla_tier_statistics_t *statistics) {
    (void)cache;
    if (tier != CATZILLA_TIER_DISK || fault("no-disk")) return CATZILLA_NOT_FOUND;
    size_t size = statistics->struct_size;
    memset(statistics, 0xA5, size);
    statistics->struct_size = size;
    statistics->hits = fault("forgetful-disk") ? 0 : 3;
    statistics->dropped_writes = fault("dropping-disk") ? 17 : 0;
    statistics->errors = 0;
    statistics->entries = 654321;
    statistics->bytes = 7 << 20;
    statistics->read_p50_ns = 1234;
    statistics->read_p99_ns = 5678;
    return CATZILLA_OK;
}

catzilla_status_t catzilla_cache_statistics(catzilla_cache_t *cache, catzilla_statistics_t *statistics) {
    catzilla_statistics_t full;
    size_t asked = statistics->struct_size, filled = asked < sizeof full ? asked : sizeof full;
    unsigned char *byte = (unsigned char *)&full;
    for (size_t at = 0; at < sizeof full; at++) byte[at] = 0xA5;
    if (fault("short-statistics")) filled = offsetof(catzilla_statistics_t, memory_evictions);
    full.struct_size = filled;
    full.hits = cache->hits + (fault("miscounted") ? 1 : 0);
    full.misses = cache->misses;
    full.memory_entries = fault("overfull") ? 1000000 : 1;
    full.memory_bytes = 4321;
    full.memory_evictions = 765432;
    full.memory_hits = 1;
    full.memory_read_p50_ns = 321;
    full.memory_read_p99_ns = 987;
    memcpy(statistics, &full, filled);
    return CATZILLA_OK;
}
