/*
 * A small program exactly as it would have been written for the original header: one include for everything, pthread types
 * and fixed-width integers without their own headers. It must compile unchanged and report what it always reported.
 */
#include "cache_engine.h"

#include <stdio.h>
#include <string.h>

struct worker {
    pthread_t thread;
    catzilla_cache_t *cache;
    uint32_t id;
    bool ok;
};

static pthread_mutex_t print_lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *argument)
{
    struct worker *worker = argument;
    char key[64];
    int length = catzilla_cache_generate_key("GET", "/users", "page=1", worker->id, key, sizeof(key));
    worker->ok = length > 0 && length == (int)strlen(key);
    if (catzilla_cache_set(worker->cache, key, &worker->id, sizeof(worker->id), 60) != 0)
        worker->ok = false;

    cache_result_t result = catzilla_cache_get(worker->cache, key);
    if (!result.found || result.size != sizeof(uint32_t) || *(uint32_t *)result.data != worker->id)
        worker->ok = false;

    pthread_mutex_lock(&print_lock);
    printf("worker %u: %s\n", worker->id, worker->ok ? "ok" : "FAILED");
    pthread_mutex_unlock(&print_lock);
    return NULL;
}

int main(void)
{
    struct cache_config config;
    memset(&config, 0, sizeof(config));
    config.capacity = 1000;
    config.bucket_count = 250;
    config.default_ttl = 300;
    config.max_value_size = 1024 * 1024;
    config.compression_enabled = false;
    config.jemalloc_enabled = true;

    struct catzilla_cache *cache = catzilla_cache_create_with_config(&config);
    if (!cache) {
        fprintf(stderr, "could not create the cache\n");
        return 1;
    }

    struct worker workers[4];
    for (uint32_t i = 0; i < 4; i++) {
        workers[i].cache = cache;
        workers[i].id = i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 1;
    }
    int failures = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        failures += !workers[i].ok;
    }

    struct cache_statistics stats = catzilla_cache_get_stats(cache);
    catzilla_atomic_uint64_t hits = catzilla_atomic_load(&stats.hits);
    catzilla_atomic_size_t used = catzilla_cache_memory_usage(cache);
    enum cache_tier tier = CACHE_TIER_MEMORY;
    cache_tier_t same_tier = tier;
    cache_entry_t *no_entry = NULL;
    printf("%llu hits, %llu entries, %zu bytes, tier %d\n", (unsigned long long)hits, (unsigned long long)stats.size, used,
           (int)same_tier);
    if (hits != 4 || stats.size != 4 || stats.hit_ratio != 1.0 || used == 0 || no_entry != NULL)
        failures++;

    if (catzilla_cache_configure(cache, &config) != 0 || catzilla_cache_expire_entries(cache) != 0)
        failures++;
    catzilla_cache_clear(cache);
    catzilla_cache_destroy(cache);
    return failures ? 1 : 0;
}
