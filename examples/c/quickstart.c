/*
 * The smallest pleasant program: open a cache, put, read, borrow without copying, look at the numbers.
 *
 *   cc -Iinclude examples/c/quickstart.c -Ltarget/release -lcatzilla_cache -Wl,-rpath,$PWD/target/release -o quickstart
 */
#include "catzilla_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, catzilla_last_error_message(),
            catzilla_status_name(catzilla_last_error_code()));
    return 1;
}

static int use(catzilla_cache_t *cache)
{
    const char *key = "user:1", *value = "Ada Lovelace";
    if (catzilla_cache_put(cache, key, strlen(key), value, strlen(value), 30 * 1000) != CATZILLA_OK)
        return failed("put");

    /* read copies into a buffer of yours. */
    char buffer[64];
    size_t size = 0;
    if (catzilla_cache_read(cache, key, strlen(key), buffer, sizeof buffer, &size) != CATZILLA_OK)
        return failed("read");
    printf("read:    %.*s\n", (int)size, buffer);

    /* acquire copies nothing: the bytes stay as they are until release, even when the entry is removed. */
    catzilla_value_t *pinned = NULL;
    if (catzilla_cache_acquire(cache, key, strlen(key), &pinned) != CATZILLA_OK)
        return failed("acquire");
    catzilla_cache_remove(cache, key, strlen(key));
    printf("pinned:  %.*s\n", (int)catzilla_value_size(pinned), (const char *)catzilla_value_data(pinned));
    catzilla_value_release(pinned);

    /* A miss is an answer, not an error: > 0. Failures are < 0 and leave a message. */
    catzilla_status_t status = catzilla_cache_read(cache, key, strlen(key), buffer, sizeof buffer, &size);
    if (status < 0)
        return failed("read");
    printf("removed: %s\n", catzilla_status_name(status));

    catzilla_statistics_t numbers = {0};
    numbers.struct_size = sizeof numbers;
    if (catzilla_cache_statistics(cache, &numbers) != CATZILLA_OK)
        return failed("statistics");
    printf("hits %" PRIu64 ", misses %" PRIu64 ", hit ratio %.2f\n", numbers.hits, numbers.misses, numbers.hit_ratio);
    return 0;
}

int main(void)
{
    catzilla_options_t *options = catzilla_options_create();
    if (options == NULL)
        return failed("options");

    catzilla_cache_t *cache = NULL;
    catzilla_status_t status = catzilla_options_set(options, "memory.capacity", "10000");
    if (status == CATZILLA_OK)
        status = catzilla_options_set(options, "memory.ttl", "1h");
    if (status == CATZILLA_OK)
        status = catzilla_cache_open(options, &cache);
    catzilla_options_destroy(options);
    if (status != CATZILLA_OK)
        return failed("open");

    printf("catzilla-cache %s\n", catzilla_version());
    int result = use(cache);
    catzilla_cache_destroy(cache);
    return result;
}
