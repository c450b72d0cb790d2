/*
 * Memory and disk behind one handle, as a C program sees them: what stays over a restart, in what form, and what each call does with
 * what only the disk has. Over real files.
 */
#include "tiers.h"

static void what_was_put_is_read_from_disk_by_the_next_cache_and_from_memory_after_that(void **state)
{
    struct ground *ground = *state;
    for (int flushed = 0; flushed < 2; flushed++) {
        const char *value = flushed ? "after a flush" : "after a destroy";
        catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
        put(cache, "k", value, 60 * 1000);
        assert_int_equal(tier_that_has(cache, "k", value), CATZILLA_TIER_MEMORY);
        if (flushed)
            flush(cache);
        catzilla_cache_destroy(cache);

        cache = open_with(WITH({"disk.path", ground->disk}));
        assert_int_equal(tier_that_has(cache, "k", value), CATZILLA_TIER_DISK);
        assert_int_equal(tier_that_has(cache, "k", value), CATZILLA_TIER_MEMORY);
        catzilla_statistics_t all = {.struct_size = sizeof all};
        catzilla_cache_statistics(cache, &all);
        assert_true(all.hits == 2 && all.misses == 0 && all.disk_hits == 1 && all.memory_hits == 1);
        catzilla_tier_statistics_t disk = figures_of(cache, CATZILLA_TIER_DISK);
        assert_true(disk.hits == 1 && disk.misses == 0 && disk.entries == 1 && disk.read_samples == 1);
        assert_true(disk.bytes > 0 && disk.max_bytes == 1u << 30 && disk.read_p50_ns > 0);
        catzilla_cache_destroy(cache);
    }
}

/* Two caches of one process on one file: what one has flushed, or committed at once, the other reads. */
static void a_flush_or_a_commit_lets_another_cache_on_the_file_read_it(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *reader = open_with(WITH({"disk.path", ground->disk}));
    catzilla_cache_t *slow = open_with(WITH({"disk.path", ground->disk}, {"disk.commit_interval", "60s"}));
    catzilla_cache_t *sure = open_with(
        WITH({"disk.path", ground->disk}, {"disk.commit_interval", "60s"}, {"disk.sync", "commit"}));
    put(slow, "queued", "v", 0);
    assert_int_equal(figures_of(slow, CATZILLA_TIER_DISK).queued, 1);
    assert_true(is_there(slow, "queued"));
    assert_false(is_there(reader, "queued"));
    flush(slow);
    assert_int_equal(tier_that_has(reader, "queued", "v"), CATZILLA_TIER_DISK);
    put(sure, "committed", "v", 0);
    assert_int_equal(figures_of(sure, CATZILLA_TIER_DISK).queued, 0);
    assert_int_equal(tier_that_has(reader, "committed", "v"), CATZILLA_TIER_DISK);
    assert_int_equal(remove_key(sure, "queued"), CATZILLA_OK);
    catzilla_cache_destroy(sure);
    catzilla_cache_destroy(slow);
    catzilla_cache_destroy(reader);
}

static void what_memory_has_no_room_for_is_read_from_disk(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}, {"memory.capacity", "10"}));
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(cache, key, key, 0);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_not_equal(tier_that_has(cache, key, key), CATZILLA_TIER_NONE);
    }
    flush(cache);
    catzilla_tier_statistics_t disk = figures_of(cache, CATZILLA_TIER_DISK);
    assert_true(disk.puts == 500 && disk.hits >= 480 && disk.misses == 0 && disk.entries == 500);
    catzilla_cache_destroy(cache);
}

static void a_value_that_is_too_large_for_memory_is_kept_below(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}, {"memory.max_value_size", "100"}));
    char large[5001] = {0};
    memset(large, 'x', sizeof large - 1);
    put(cache, "k", "small", 0);
    put(cache, "k", large, 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tier_that_has(cache, "k", large), CATZILLA_TIER_DISK);
    catzilla_cache_destroy(cache);
}

static void one_tier_is_asked_and_robbed_by_itself(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_put(cache, "k", 1, "value", 5, 0), CATZILLA_OK);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_MEMORY, "k", 1), CATZILLA_OK);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_DISK, "k", 1), CATZILLA_OK);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_REDIS, "k", 1), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_tier_contains(cache, 7, "k", 1), CATZILLA_INVALID_ARGUMENT);

    assert_int_equal(catzilla_tier_remove(cache, CATZILLA_TIER_MEMORY, "k", 1), CATZILLA_OK);
    assert_int_equal(catzilla_tier_remove(cache, CATZILLA_TIER_MEMORY, "k", 1), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_MEMORY, "k", 1), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_DISK, "k", 1), CATZILLA_OK);
    char buffer[8];
    size_t len;
    assert_int_equal(catzilla_cache_read(cache, "k", 1, buffer, sizeof buffer, &len), CATZILLA_OK);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_MEMORY, "k", 1), CATZILLA_OK);

    assert_int_equal(catzilla_tier_remove(cache, CATZILLA_TIER_DISK, "k", 1), CATZILLA_OK);
    assert_int_equal(catzilla_tier_contains(cache, CATZILLA_TIER_DISK, "k", 1), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_contains(cache, "k", 1), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

/* Of two values that were put on disk before, one is kept off it now: the old one must not come back when memory has lost the new one. */
static void a_value_for_memory_alone_takes_what_the_disk_had_with_it(void **state)
{
    struct ground *ground = *state;
    catzilla_put_options_t how = {.struct_size = sizeof how, .flags = CATZILLA_PUT_MEMORY_ONLY};
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_put(cache, "k", 1, "old", 3, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_flush(cache, CATZILLA_WAIT_FOREVER), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put_with(cache, "k", 1, "new", 3, &how, NULL), CATZILLA_OK);
    how.flags = CATZILLA_PUT_NOT_TO_DISK | CATZILLA_PUT_IF_ABSENT;
    assert_int_equal(catzilla_cache_put_with(cache, "l", 1, "new", 3, &how, NULL), CATZILLA_OK);
    char buffer[8];
    size_t len;
    assert_int_equal(catzilla_cache_read(cache, "k", 1, buffer, sizeof buffer, &len), CATZILLA_OK);
    assert_memory_equal(buffer, "new", 3);
    how.flags = CATZILLA_PUT_NOT_TO_DISK | CATZILLA_PUT_MEMORY_ONLY;
    assert_int_equal(catzilla_cache_put_with(cache, "k", 1, "new", 3, &how, NULL), CATZILLA_INVALID_ARGUMENT);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_contains(cache, "k", 1), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_contains(cache, "l", 1), CATZILLA_NOT_FOUND);
    catzilla_cache_destroy(cache);
}

/* More than the disk takes is not written; that must not cost what it has. */
static void a_flood_of_new_keys_leaves_what_is_on_disk(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(
        WITH({"disk.path", ground->disk}, {"cache.queue_bytes", "64KiB"}, {"memory.capacity", "10"}));
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "kept %d", i);
        put(cache, key, "v", 0);
    }
    put(cache, "overwritten", "old", 0);
    flush(cache);
    for (int i = 0; i < 150000; i++) {
        snprintf(key, sizeof key, "new %d", i);
        put(cache, key, "v", 0);
        if (i % 1000 == 0)
            put(cache, "overwritten", key, 0);
    }
    flush(cache);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "kept %d", i);
        assert_int_equal(tier_that_has(cache, key, "v"), CATZILLA_TIER_DISK);
    }
    char buffer[16];
    size_t len;
    catzilla_status_t status = catzilla_cache_read(cache, "overwritten", 11, buffer, sizeof buffer, &len);
    assert_true(status == CATZILLA_NOT_FOUND || (len == strlen("new 149000") && memcmp(buffer, "new 149000", len) == 0));
    assert_int_equal(figures_of(cache, CATZILLA_TIER_DISK).errors, 0);
    catzilla_cache_destroy(cache);
}

static void a_batch_is_one_transaction(void **state)
{
    enum { N = 100 };
    struct ground *ground = *state;
    char keys[N][8], values[N][8];
    catzilla_put_t puts[N] = {{0}};
    catzilla_get_t gets[N + 1] = {{0}};
    catzilla_remove_t removes[N + 1] = {{0}};
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        puts[i].key = gets[i].key = removes[i].key = keys[i];
        puts[i].key_len = gets[i].key_len = removes[i].key_len = strlen(keys[i]);
        puts[i].value = keys[i];
        puts[i].value_len = strlen(keys[i]);
        gets[i].buffer = values[i];
        gets[i].capacity = sizeof values[i];
    }
    gets[N].key = removes[N].key = "nobody";
    gets[N].key_len = removes[N].key_len = 6;

    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_put_many(cache, puts, N), CATZILLA_OK);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_get_many(cache, gets, N + 1), CATZILLA_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(gets[i].status, CATZILLA_OK);
        assert_int_equal(gets[i].value_len, strlen(keys[i]));
        assert_memory_equal(values[i], keys[i], gets[i].value_len);
    }
    assert_int_equal(gets[N].status, CATZILLA_NOT_FOUND);
    catzilla_tier_statistics_t disk = figures_of(cache, CATZILLA_TIER_DISK);
    assert_int_equal(disk.hits, N);
    assert_int_equal(disk.misses, 1);
    assert_int_equal(disk.read_samples, 1);
    assert_int_equal(catzilla_cache_remove_many(cache, removes, N + 1), CATZILLA_OK);
    assert_int_equal(removes[0].status, CATZILLA_OK);
    assert_int_equal(removes[N].status, CATZILLA_NOT_FOUND);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_get_many(cache, gets, N), CATZILLA_OK);
    assert_int_equal(gets[0].status, CATZILLA_NOT_FOUND);
    assert_int_equal(gets[N - 1].status, CATZILLA_NOT_FOUND);
    catzilla_cache_destroy(cache);
}

static void put_tagged(catzilla_cache_t *cache, const char *key, const char *tag)
{
    catzilla_bytes_t tags[] = {{tag, strlen(tag)}};
    catzilla_put_options_t options = {.struct_size = sizeof options};
    options.tags = tags;
    options.tag_count = 1;
    assert_int_equal(catzilla_cache_put_with(cache, key, strlen(key), key, strlen(key), &options, NULL), CATZILLA_OK);
}

static void tags_prefixes_patterns_and_everything_are_purged_over_a_restart(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    const char *red[] = {"red 1", "red 2", "red 3"};
    for (size_t i = 0; i < COUNT_OF(red); i++)
        put_tagged(cache, red[i], "red");
    put_tagged(cache, "blue", "blue");
    put(cache, "page:1", "v", 0);
    put(cache, "image:1:small", "v", 0);
    put(cache, "plain", "v", 0);
    catzilla_cache_destroy(cache);

    /* None of it is in memory now. */
    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_TAG, "red", 3, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "page:", 5, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PATTERN, "*:?:small", 9, NULL), CATZILLA_OK);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    for (size_t i = 0; i < COUNT_OF(red); i++)
        assert_int_equal(tier_that_has(cache, red[i], red[i]), CATZILLA_TIER_NONE);
    assert_int_equal(tier_that_has(cache, "page:1", "v"), CATZILLA_TIER_NONE);
    assert_int_equal(tier_that_has(cache, "image:1:small", "v"), CATZILLA_TIER_NONE);
    assert_int_equal(tier_that_has(cache, "blue", "blue"), CATZILLA_TIER_DISK);
    assert_int_equal(tier_that_has(cache, "plain", "v"), CATZILLA_TIER_DISK);
    assert_int_equal(figures_of(cache, CATZILLA_TIER_DISK).outdated, COUNT_OF(red));
    put_tagged(cache, "red 1", "red");
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_ALL, NULL, 0, NULL), CATZILLA_OK);
    assert_false(is_there(cache, "plain"));
    put(cache, "later", "v", 0);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_false(is_there(cache, "plain"));
    assert_false(is_there(cache, "red 1"));
    assert_true(is_there(cache, "later"));
    catzilla_cache_destroy(cache);
}

static uint64_t ttl_of(catzilla_cache_t *cache, const char *key)
{
    catzilla_value_t *value;
    assert_int_equal(catzilla_cache_acquire(cache, key, strlen(key), &value), CATZILLA_OK);
    uint64_t ttl = catzilla_value_ttl_ms(value);
    catzilla_value_release(value);
    return ttl;
}

static void lifetimes_go_on_over_a_restart_and_are_never_longer_above_than_below(void **state)
{
    enum { HOUR = 3600 * 1000 };
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    put(cache, "default", "v", 0);
    put(cache, "day", "v", 24 * HOUR);
    put(cache, "forever", "v", CATZILLA_TTL_FOREVER);
    put(cache, "soon", "v", 30);
    put(cache, "touched", "v", 30);
    assert_int_equal(catzilla_cache_touch(cache, "touched", 7, 2 * HOUR), CATZILLA_OK);
    catzilla_cache_destroy(cache);
    pause_ms(60);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(tier_that_has(cache, "soon", "v"), CATZILLA_TIER_NONE);
    assert_true(ttl_of(cache, "default") <= HOUR + 20);
    assert_in_range(ttl_of(cache, "day"), 23 * HOUR, 24 * HOUR - 60 + 20);
    assert_true(ttl_of(cache, "forever") == CATZILLA_TTL_FOREVER);
    assert_in_range(ttl_of(cache, "touched"), HOUR, 2 * HOUR + 20);
    catzilla_cache_destroy(cache);
}

static void conditions_numbers_and_removals_see_what_only_the_disk_has(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    put(cache, "k", "v", 0);
    put(cache, "n", "41", 0);
    put(cache, "gone", "v", 0);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    catzilla_put_options_t options = {.struct_size = sizeof options};
    options.flags = CATZILLA_PUT_IF_ABSENT;
    assert_int_equal(catzilla_cache_put_with(cache, "k", 1, "w", 1, &options, NULL), CATZILLA_EXISTS);
    options.flags = CATZILLA_PUT_IF_PRESENT;
    assert_int_equal(catzilla_cache_put_with(cache, "k", 1, "w", 1, &options, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_put_with(cache, "absent", 6, "w", 1, &options, NULL), CATZILLA_NOT_FOUND);
    int64_t sum = 0;
    assert_int_equal(catzilla_cache_increment(cache, "n", 1, 1, 0, 0, &sum), CATZILLA_OK);
    assert_int_equal(sum, 42);
    assert_int_equal(remove_key(cache, "gone"), CATZILLA_OK);
    assert_int_equal(remove_key(cache, "gone"), CATZILLA_NOT_FOUND);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(tier_that_has(cache, "k", "w"), CATZILLA_TIER_DISK);
    assert_int_equal(tier_that_has(cache, "n", "42"), CATZILLA_TIER_DISK);
    assert_int_equal(tier_that_has(cache, "gone", "v"), CATZILLA_TIER_NONE);
    catzilla_cache_destroy(cache);
}

static catzilla_status_t load(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    (void)key;
    (void)key_len;
    *(int *)user += 1;
    return catzilla_loaded_set(loaded, "loaded", 6, 0);
}

static void what_a_loader_has_loaded_is_not_loaded_again_after_a_restart(void **state)
{
    struct ground *ground = *state;
    int loads = 0;
    for (int i = 0; i < 3; i++) {
        catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
        catzilla_value_t *value;
        assert_int_equal(catzilla_cache_get_or_load(cache, "k", 1, load, &loads, 0, &value), CATZILLA_OK);
        assert_int_equal(catzilla_value_size(value), 6);
        assert_memory_equal(catzilla_value_data(value), "loaded", 6);
        if (i > 0)
            assert_int_equal(catzilla_value_tier(value), CATZILLA_TIER_DISK);
        catzilla_value_release(value);
        catzilla_cache_destroy(cache);
    }
    assert_int_equal(loads, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ITS_GROUND(what_was_put_is_read_from_disk_by_the_next_cache_and_from_memory_after_that),
        ON_ITS_GROUND(a_flush_or_a_commit_lets_another_cache_on_the_file_read_it),
        ON_ITS_GROUND(what_memory_has_no_room_for_is_read_from_disk),
        ON_ITS_GROUND(a_value_that_is_too_large_for_memory_is_kept_below),
        ON_ITS_GROUND(one_tier_is_asked_and_robbed_by_itself),
        ON_ITS_GROUND(a_value_for_memory_alone_takes_what_the_disk_had_with_it),
        ON_ITS_GROUND(a_flood_of_new_keys_leaves_what_is_on_disk),
        ON_ITS_GROUND(a_batch_is_one_transaction),
        ON_ITS_GROUND(tags_prefixes_patterns_and_everything_are_purged_over_a_restart),
        ON_ITS_GROUND(lifetimes_go_on_over_a_restart_and_are_never_longer_above_than_below),
        ON_ITS_GROUND(conditions_numbers_and_removals_see_what_only_the_disk_has),
        ON_ITS_GROUND(what_a_loader_has_loaded_is_not_loaded_again_after_a_restart),
    };
    return cmocka_run_group_tests_name("api_tiers", tests, NULL, NULL);
}
