/* What suites about the tiers below memory share: a ground to stand on for each test, caches over it, and short ways to use them. */
#ifndef CATZILLA_TESTS_TIERS_H
#define CATZILLA_TESTS_TIERS_H

#include "suite.h"
#include "catzilla_cache.h"
#include "folders.h"
#include "servers.h"
#include "waiting.h"

#include <string.h>

/* Of one test: a folder of its own with a free name in it for a disk tier, and a server that it may start. */
struct ground {
    char folder[FOLDER_MAX];
    char disk[FOLDER_MAX + 8];
    struct server server;
    char url[64];
};

/* cmocka's set-up and tear-down, which also comes after a failure. */
static int prepare(void **state)
{
    struct ground *ground = calloc(1, sizeof *ground);
    if (ground == NULL || !make_folder(ground->folder))
        return 1;
    snprintf(ground->disk, sizeof ground->disk, "%s/disk", ground->folder);
    *state = ground;
    return 0;
}

static int clean_up(void **state)
{
    struct ground *ground = *state;
    stop_server(&ground->server);
    remove_folder(ground->folder);
    free(ground);
    return 0;
}

#define ON_ITS_GROUND(test) cmocka_unit_test_setup_teardown(test, prepare, clean_up)

static inline void start(struct ground *ground)
{
    start_server(&ground->server, ground->folder, "");
    snprintf(ground->url, sizeof ground->url, "redis://127.0.0.1:%d", ground->server.port);
}

struct option {
    const char *name, *value;
};

/* Rows of name and value. */
#define WITH(...) (const struct option[]){__VA_ARGS__, {NULL, NULL}}

/* Opens a cache with these options; all of them have to be options. */
static inline catzilla_status_t try_to_open(const struct option *rows, catzilla_cache_t **cache)
{
    catzilla_options_t *options = catzilla_options_create();
    catzilla_status_t status = CATZILLA_OK;
    *cache = NULL;
    for (; rows->name != NULL && status == CATZILLA_OK; rows++)
        status = catzilla_options_set(options, rows->name, rows->value);
    if (status == CATZILLA_OK)
        status = catzilla_cache_open(options, cache);
    catzilla_options_destroy(options);
    return status;
}

static inline catzilla_cache_t *open_with(const struct option *rows)
{
    catzilla_cache_t *cache;
    if (try_to_open(rows, &cache) != CATZILLA_OK)
        fail_msg("the cache could not be opened: %s", catzilla_last_error_message());
    return cache;
}

static inline void put(catzilla_cache_t *cache, const char *key, const char *value, uint64_t ttl_ms)
{
    if (catzilla_cache_put(cache, key, strlen(key), value, strlen(value), ttl_ms) != CATZILLA_OK)
        fail_msg("putting %s: %s", key, catzilla_last_error_message());
}

static inline bool is_there(catzilla_cache_t *cache, const char *key)
{
    return catzilla_cache_contains(cache, key, strlen(key)) == CATZILLA_OK;
}

static inline catzilla_status_t remove_key(catzilla_cache_t *cache, const char *key)
{
    return catzilla_cache_remove(cache, key, strlen(key));
}

/* The tier that a look-up of the key is answered by, and that it has this value; CATZILLA_TIER_NONE when it is not there. */
static inline catzilla_tier_t tier_that_has(catzilla_cache_t *cache, const char *key, const char *value)
{
    catzilla_value_t *held;
    if (catzilla_cache_acquire(cache, key, strlen(key), &held) != CATZILLA_OK)
        return CATZILLA_TIER_NONE;
    if (catzilla_value_size(held) != strlen(value) || memcmp(catzilla_value_data(held), value, strlen(value)) != 0)
        fail_msg("%s is `%.*s`", key, (int)catzilla_value_size(held), (const char *)catzilla_value_data(held));
    catzilla_tier_t tier = catzilla_value_tier(held);
    catzilla_value_release(held);
    return tier;
}

static inline catzilla_tier_statistics_t figures_of(catzilla_cache_t *cache, catzilla_tier_t tier)
{
    catzilla_tier_statistics_t figures = {.struct_size = sizeof figures};
    assert_int_equal(catzilla_cache_tier_statistics(cache, tier, &figures), CATZILLA_OK);
    return figures;
}

static inline catzilla_health_t health_of(catzilla_cache_t *cache, catzilla_tier_t tier)
{
    catzilla_health_t health = {.struct_size = sizeof health};
    assert_int_equal(catzilla_cache_health(cache, tier, &health), CATZILLA_OK);
    return health;
}

static inline void flush(catzilla_cache_t *cache)
{
    if (catzilla_cache_flush(cache, PATIENCE_MS) != CATZILLA_OK)
        fail_msg("flush: %s", catzilla_last_error_message());
}

#endif
