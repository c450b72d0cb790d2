/*
 * Being told of entries that leave: here a small cache in front of a slow store, which is written only when an entry that was
 * changed leaves. And what the statistics say of how long calls take.
 *
 *   cc -Iinclude examples/c/listener.c -Ltarget/release -lcatzilla_cache -Wl,-rpath,$PWD/target/release -o listener
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

/* Called by the thread whose call made the entry leave, outside all locks: with several threads it has to lock what it uses. */
static void write_back(void *user, const catzilla_departed_t *departed)
{
    unsigned *written = user;
    switch (catzilla_departed_cause(departed)) {
    case CATZILLA_CAUSE_EVICTED:
    case CATZILLA_CAUSE_EXPIRED:
    case CATZILLA_CAUSE_PURGED:
        break;
    default:
        /* Removed on purpose, or there is a newer one. */
        return;
    }
    const char *key = catzilla_departed_key(departed), *value = catzilla_departed_value(departed);
    if (value == NULL)
        return; /* It was compressed, and there is no memory for its plain form. */
    printf("written: %.*s = %.*s\n", (int)catzilla_departed_key_size(departed), key,
           (int)catzilla_departed_value_size(departed), value);
    ++*written;
}

static int use(catzilla_cache_t *cache)
{
    unsigned written = 0;
    if (catzilla_cache_set_listener(cache, write_back, &written) != CATZILLA_OK)
        return failed("set_listener");
    for (int i = 0; i < 200; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "counter %d", i % 4);
        snprintf(value, sizeof value, "%d", i);
        /* Two fit: each put replaces a value, which is no reason to write it, or makes room. */
        if (catzilla_cache_put(cache, key, strlen(key), value, strlen(value), 0) != CATZILLA_OK)
            return failed("put");
    }
    /* destroy tells nothing, so what is left is purged before. */
    if (catzilla_cache_purge(cache, CATZILLA_PURGE_ALL, NULL, 0, NULL) != CATZILLA_OK)
        return failed("purge");
    /* When this has returned nobody uses `written` any more. */
    if (catzilla_cache_set_listener(cache, NULL, NULL) != CATZILLA_OK)
        return failed("set_listener");

    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    if (catzilla_cache_statistics(cache, &statistics) != CATZILLA_OK)
        return failed("statistics");
    printf("in all:  %u of %" PRIu64 " puts were written\n", written, statistics.puts);
    if (statistics.memory_write_samples > 0)
        printf("a put:   half took up to %" PRIu64 " ns, the longest of %" PRIu64 " samples %" PRIu64 " ns\n",
               statistics.memory_write_p50_ns, statistics.memory_write_samples, statistics.memory_write_max_ns);
    return 0;
}

int main(void)
{
    catzilla_options_t *options = catzilla_options_create();
    catzilla_cache_t *cache = NULL;
    if (options == NULL || catzilla_options_set(options, "memory.capacity", "2") != CATZILLA_OK ||
        catzilla_cache_open(options, &cache) != CATZILLA_OK) {
        catzilla_options_destroy(options);
        return failed("open");
    }
    catzilla_options_destroy(options);
    int result = use(cache);
    catzilla_cache_destroy(cache);
    return result;
}
