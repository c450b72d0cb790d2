/*
 * Memory, Redis and disk behind one handle: a value that was put before a restart is read from the disk after it, and from memory
 * from then on. Redis is used when its URL is given; that it does not answer is no failure.
 *
 *   cc -Iinclude examples/c/tiers.c -Ltarget/release -lcatzilla_cache -Wl,-rpath,$PWD/target/release -o tiers
 *   ./tiers FOLDER [redis://127.0.0.1:6379]
 */
#include "catzilla_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = {"memory", "redis", "disk"};

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, catzilla_last_error_message(),
            catzilla_status_name(catzilla_last_error_code()));
    return 1;
}

static catzilla_cache_t *open_tiers(const char *folder, const char *url)
{
    catzilla_cache_t *cache = NULL;
    catzilla_options_t *options = catzilla_options_create();
    if (catzilla_options_set(options, "memory.capacity", "1000") != CATZILLA_OK ||
        catzilla_options_set(options, "disk.path", folder) != CATZILLA_OK ||
        catzilla_options_set(options, "disk.max_bytes", "256MiB") != CATZILLA_OK ||
        catzilla_options_set(options, "redis.url", url) != CATZILLA_OK ||
        catzilla_options_set(options, "redis.key_prefix", "example:") != CATZILLA_OK ||
        catzilla_cache_open(options, &cache) != CATZILLA_OK)
        failed("open");
    catzilla_options_destroy(options);
    return cache;
}

/* Which tier answers. */
static int look(catzilla_cache_t *cache, const char *when)
{
    catzilla_value_t *value;
    if (catzilla_cache_acquire(cache, "user:1", 6, &value) != CATZILLA_OK)
        return failed("acquire");
    printf("%s: %.*s, from %s\n", when, (int)catzilla_value_size(value), (const char *)catzilla_value_data(value),
           names[catzilla_value_tier(value)]);
    catzilla_value_release(value);
    return 0;
}

static void tell(catzilla_cache_t *cache, catzilla_tier_t tier)
{
    catzilla_health_t health = {0};
    catzilla_tier_statistics_t figures = {0};
    health.struct_size = sizeof health;
    figures.struct_size = sizeof figures;
    /* Another answer than CATZILLA_OK: the cache has no such tier. */
    if (catzilla_cache_health(cache, tier, &health) != CATZILLA_OK ||
        catzilla_cache_tier_statistics(cache, tier, &figures) != CATZILLA_OK)
        return;
    printf("%-6s %s, hits %" PRIu64 ", misses %" PRIu64 ", errors %" PRIu64 ", half of the look-ups within %" PRIu64 " us%s%s\n",
           names[tier], health.is_up ? "up" : "down", figures.hits, figures.misses, figures.errors,
           figures.read_p50_ns / 1000, health.last_error[0] != '\0' ? "; " : "", health.last_error);
}

int main(int argc, char **argv)
{
    const char *url = argc > 2 ? argv[2] : getenv("REDIS_URL");
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [REDIS_URL]\n", argv[0]);
        return 2;
    }

    catzilla_cache_t *cache = open_tiers(argv[1], url != NULL ? url : "");
    if (cache == NULL)
        return 1;
    if (catzilla_cache_put(cache, "user:1", 6, "Ada Lovelace", 12, 10 * 60 * 1000) != CATZILLA_OK)
        return failed("put");
    /* The write to disk is queued: it is there for this process at once, and on the disk after this. */
    if (catzilla_cache_flush(cache, 5000) != CATZILLA_OK)
        failed("flush");
    if (look(cache, "before"))
        return 1;
    catzilla_cache_destroy(cache);

    cache = open_tiers(argv[1], url != NULL ? url : "");
    if (cache == NULL || look(cache, "after") || look(cache, "again"))
        return 1;
    tell(cache, CATZILLA_TIER_REDIS);
    tell(cache, CATZILLA_TIER_DISK);
    catzilla_cache_destroy(cache);
    return 0;
}
