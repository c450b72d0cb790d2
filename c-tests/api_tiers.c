/*
 * The tiers below memory as a C program sees them: what stays over a restart, what each tier tells, what is refused, and what a tier
 * costs that is not there. With real files and a real redis-server.
 */
#include "tiers.h"

#include <fcntl.h>
#include <sys/stat.h>

/* ---- What is told, and how the structs grow ---- */

static void a_cache_of_memory_alone_has_no_tier_below_it(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(WITH({"memory.capacity", "10"}));
    catzilla_health_t health = {.struct_size = sizeof health};
    health.is_up = 7;
    catzilla_tier_statistics_t figures = {.struct_size = sizeof figures};
    figures.hits = 7;
    catzilla_tier_t below[] = {CATZILLA_TIER_REDIS, CATZILLA_TIER_DISK};
    for (size_t i = 0; i < COUNT_OF(below); i++) {
        assert_int_equal(catzilla_cache_health(cache, below[i], &health), CATZILLA_NOT_FOUND);
        assert_int_equal(catzilla_cache_tier_statistics(cache, below[i], &figures), CATZILLA_NOT_FOUND);
    }
    assert_int_equal(catzilla_cache_tier_statistics(cache, CATZILLA_TIER_MEMORY, &figures), CATZILLA_NOT_FOUND);
    assert_true(health.is_up == 7 && figures.hits == 7);
    health = health_of(cache, CATZILLA_TIER_MEMORY);
    assert_true(health.is_up == 1 && health.last_error_at == 0 && health.last_error[0] == '\0');
    assert_int_equal(catzilla_cache_flush(cache, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_flush(cache, CATZILLA_WAIT_FOREVER), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

static void a_number_that_is_no_tier_and_a_null_are_refused(void **state)
{
    (void)state;
    catzilla_cache_t *cache = open_with(WITH({"memory.capacity", "10"}));
    catzilla_health_t health = {.struct_size = sizeof health};
    catzilla_tier_statistics_t figures = {.struct_size = sizeof figures};
    catzilla_tier_t wrong[] = {CATZILLA_TIER_NONE, 3, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_int_equal(catzilla_cache_health(cache, wrong[i], &health), CATZILLA_INVALID_ARGUMENT);
        assert_int_equal(catzilla_cache_tier_statistics(cache, wrong[i], &figures), CATZILLA_INVALID_ARGUMENT);
        assert_non_null(strstr(catzilla_last_error_message(), "tier"));
    }
    assert_int_equal(catzilla_cache_health(cache, CATZILLA_TIER_MEMORY, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_tier_statistics(cache, CATZILLA_TIER_DISK, NULL), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_health(NULL, CATZILLA_TIER_MEMORY, &health), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_tier_statistics(NULL, CATZILLA_TIER_DISK, &figures), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_cache_flush(NULL, 0), CATZILLA_INVALID_ARGUMENT);
    catzilla_cache_destroy(cache);
}

/* A struct of another version of the header: shorter, longer, or with its size forgotten. */
static void the_structs_are_filled_as_far_as_the_caller_knows_them(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    put(cache, "k", "v", 0);
    flush(cache);
    struct {
        catzilla_tier_statistics_t known;
        unsigned char later[64];
    } figures;
    struct {
        catzilla_health_t known;
        unsigned char later[64];
    } health;
    size_t upto = offsetof(catzilla_tier_statistics_t, removals);
    struct {
        size_t says, fills;
    } cases[] = {
        {0, 0}, {7, 0}, {8, 8}, {upto, upto}, {sizeof figures.known, sizeof figures.known}, {sizeof figures, sizeof figures.known},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned char *bytes = memset(&figures, 0xA5, sizeof figures);
        figures.known.struct_size = cases[i].says;
        assert_int_equal(catzilla_cache_tier_statistics(cache, CATZILLA_TIER_DISK, &figures.known), CATZILLA_OK);
        assert_int_equal(figures.known.struct_size, cases[i].fills == 0 ? cases[i].says : cases[i].fills);
        for (size_t at = cases[i].fills < 8 ? 8 : cases[i].fills; at < sizeof figures; at++)
            assert_int_equal(bytes[at], 0xA5);
        if (cases[i].fills >= upto)
            assert_int_equal(figures.known.puts, 1);

        bytes = memset(&health, 0xA5, sizeof health);
        size_t says = cases[i].says == sizeof figures.known ? sizeof health.known : cases[i].says;
        says = says == sizeof figures ? sizeof health : says;
        size_t fills = says < 8 ? 0 : says < sizeof health.known ? says : sizeof health.known;
        health.known.struct_size = says;
        assert_int_equal(catzilla_cache_health(cache, CATZILLA_TIER_DISK, &health.known), CATZILLA_OK);
        assert_int_equal(health.known.struct_size, fills == 0 ? says : fills);
        for (size_t at = fills < 8 ? 8 : fills; at < sizeof health; at++)
            assert_int_equal(bytes[at], 0xA5);
        if (fills >= 12)
            assert_int_equal(health.known.is_up, 1);
    }
    catzilla_cache_destroy(cache);
}

/* ---- Memory and disk ---- */

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

static void tags_prefixes_and_everything_are_purged_over_a_restart(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    const char *red[] = {"red 1", "red 2", "red 3"};
    for (size_t i = 0; i < COUNT_OF(red); i++)
        put_tagged(cache, red[i], "red");
    put_tagged(cache, "blue", "blue");
    put(cache, "page:1", "v", 0);
    put(cache, "plain", "v", 0);
    catzilla_cache_destroy(cache);

    /* None of it is in memory now. */
    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_TAG, "red", 3, NULL), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "page:", 5, NULL), CATZILLA_OK);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    for (size_t i = 0; i < COUNT_OF(red); i++)
        assert_int_equal(tier_that_has(cache, red[i], red[i]), CATZILLA_TIER_NONE);
    assert_int_equal(tier_that_has(cache, "page:1", "v"), CATZILLA_TIER_NONE);
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

static void bounds_of_the_disk_can_change_and_places_cannot(void **state)
{
    struct ground *ground = *state;
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(catzilla_cache_set_option(cache, "disk.max_bytes", "16MiB"), CATZILLA_OK);
    assert_int_equal(figures_of(cache, CATZILLA_TIER_DISK).max_bytes, 16 << 20);
    assert_int_equal(catzilla_cache_set_option(cache, "disk.commit_interval", "1ms"), CATZILLA_OK);
    assert_int_equal(catzilla_cache_set_option(cache, "disk.path", "elsewhere"), CATZILLA_OPTION_NOT_LIVE);
    assert_int_equal(catzilla_cache_set_option(cache, "redis.url", "redis://127.0.0.1"), CATZILLA_OPTION_NOT_LIVE);
    catzilla_cache_destroy(cache);
}

/* ---- The folder ---- */

static void assert_path_is_refused(const char *path)
{
    catzilla_cache_t *cache;
    catzilla_status_t status = try_to_open(WITH({"disk.path", path}), &cache);
    if (status != CATZILLA_INVALID_OPTION || cache != NULL)
        fail_msg("`%s` gave %s", path, catzilla_status_name(status));
    assert_non_null(strstr(catzilla_last_error_message(), "disk.path"));
}

static void a_folder_that_can_never_be_used_is_refused(void **state)
{
    struct ground *ground = *state;
    char path[PATH_MAX], target[PATH_MAX];

    assert_int_equal(mkdir(inside(target, ground->folder, "real"), 0700), 0);
    assert_int_equal(symlink(target, inside(path, ground->folder, "link")), 0);
    assert_path_is_refused(path);

    int file = open(inside(path, ground->folder, "file"), O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    assert_path_is_refused(path);
    assert_path_is_refused(inside(path, ground->folder, "file/under"));

    /* Somebody may have put a link in the place of our file. */
    assert_int_equal(mkdir(inside(path, ground->folder, "linked"), 0700), 0);
    char link[PATH_MAX + 16];
    snprintf(link, sizeof link, "%s/cache.db", path);
    assert_int_equal(symlink("/etc/hostname", link), 0);
    assert_path_is_refused(path);

    if (geteuid() == 0) {
        /* Root may write anywhere, and is refused what belongs to somebody else. */
        assert_int_equal(mkdir(inside(path, ground->folder, "another's"), 0700), 0);
        assert_int_equal(chown(path, 54321, 54321), 0);
        assert_path_is_refused(path);
    } else {
        assert_int_equal(mkdir(inside(path, ground->folder, "closed"), 0500), 0);
        assert_path_is_refused(inside(target, path, "inside"));
    }
}

static void folder_and_file_are_the_users_alone(void **state)
{
    struct ground *ground = *state;
    mode_t before = umask(0);
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    put(cache, "k", "v", 0);
    flush(cache);
    umask(before);
    struct stat about;
    char path[PATH_MAX];
    assert_int_equal(stat(ground->disk, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    const char *names[] = {"cache.db", "cache.db-wal"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(stat(inside(path, ground->disk, names[i]), &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
    }
    catzilla_cache_destroy(cache);
}

static int warnings;

static void count_warnings(void *user, catzilla_log_level_t level, const char *message)
{
    (void)user;
    warnings += level <= CATZILLA_LOG_WARN && strstr(message, "set aside") != NULL;
}

static void a_file_that_is_no_use_is_set_aside_and_said_so(void **state)
{
    struct ground *ground = *state;
    char path[PATH_MAX];
    catzilla_cache_destroy(open_with(WITH({"disk.path", ground->disk})));
    FILE *file = fopen(inside(path, ground->disk, "cache.db"), "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("this is another program's file\n", file);
    fclose(file);

    warnings = 0;
    catzilla_set_logger(count_warnings, NULL, CATZILLA_LOG_WARN);
    catzilla_cache_t *cache = open_with(WITH({"disk.path", ground->disk}));
    put(cache, "k", "v", 0);
    flush(cache);
    catzilla_set_logger(NULL, NULL, CATZILLA_LOG_OFF);
    assert_int_equal(warnings, 1);
    assert_int_equal(figures_of(cache, CATZILLA_TIER_DISK).set_aside, 1);
    assert_int_equal(health_of(cache, CATZILLA_TIER_DISK).is_up, 1);
    catzilla_cache_destroy(cache);
    cache = open_with(WITH({"disk.path", ground->disk}));
    assert_int_equal(tier_that_has(cache, "k", "v"), CATZILLA_TIER_DISK);
    assert_int_equal(figures_of(cache, CATZILLA_TIER_DISK).set_aside, 0);
    catzilla_cache_destroy(cache);
}

/* ---- Redis ---- */

static void a_url_that_can_never_work_is_refused_and_not_repeated(void **state)
{
    (void)state;
    const char *wrong[] = {
        "http://127.0.0.1:6379", "carrier-pigeon://coop", "garbage", "redis://", "redis://user:hunter2@127.0.0.1:notaport",
        "redis://127.0.0.1/notanumber", "redis+unix://", "rediss://127.0.0.1#insecure",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        catzilla_cache_t *cache;
        catzilla_status_t status = try_to_open(WITH({"redis.url", wrong[i]}), &cache);
        if (status != CATZILLA_INVALID_OPTION || cache != NULL)
            fail_msg("`%s` gave %s", wrong[i], catzilla_status_name(status));
        assert_non_null(strstr(catzilla_last_error_message(), "redis.url"));
        assert_null(strstr(catzilla_last_error_message(), "hunter2"));
    }
}

static void values_are_read_from_redis_by_the_next_cache_and_filled_into_it_from_disk(void **state)
{
    struct ground *ground = *state;
    start(ground);
    catzilla_cache_t *cache = open_with(WITH({"redis.url", ground->url}));
    put(cache, "k", "v", 0);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:k"), 1);
    assert_in_range(number_from(&ground->server, "TTL catzilla:k"), 86000, 86400);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"redis.url", ground->url}));
    assert_int_equal(tier_that_has(cache, "k", "v"), CATZILLA_TIER_REDIS);
    assert_int_equal(tier_that_has(cache, "k", "v"), CATZILLA_TIER_MEMORY);
    assert_int_equal(remove_key(cache, "k"), CATZILLA_OK);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:k"), 0);
    catzilla_cache_destroy(cache);

    cache = open_with(WITH({"disk.path", ground->disk}));
    put(cache, "from disk", "v", 60 * 1000);
    catzilla_cache_destroy(cache);
    cache = open_with(WITH({"redis.url", ground->url}, {"disk.path", ground->disk}, {"redis.key_prefix", "mine:"}));
    assert_int_equal(tier_that_has(cache, "from disk", "v"), CATZILLA_TIER_DISK);
    assert_in_range(number_from(&ground->server, "PTTL \"mine:from disk\""), 1, 60 * 1000);
    catzilla_cache_destroy(cache);
}

static void a_purge_removes_our_keys_and_nobody_elses(void **state)
{
    struct ground *ground = *state;
    start(ground);
    catzilla_cache_t *cache = open_with(WITH({"redis.url", ground->url}));
    char answer[64];
    assert_true(ask_server(&ground->server, "SET somebody:else v", answer, sizeof answer));
    put(cache, "page:1", "v", 0);
    put(cache, "page:2", "v", 0);
    put(cache, "image:1", "v", 0);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "page:", 5, NULL), CATZILLA_OK);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:page:1 catzilla:page:2"), 0);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:image:1"), 1);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_ALL, NULL, 0, NULL), CATZILLA_OK);
    assert_false(is_there(cache, "image:1"));
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:image:1"), 0);
    assert_int_equal(number_from(&ground->server, "EXISTS somebody:else"), 1);
    catzilla_cache_destroy(cache);
}

static void behind_writes_are_in_redis_after_a_flush(void **state)
{
    struct ground *ground = *state;
    start(ground);
    catzilla_cache_t *cache = open_with(WITH({"redis.url", ground->url}, {"cache.write", "behind"}));
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i % 100);
        put(cache, key, key, 0);
    }
    flush(cache);
    assert_int_equal(figures_of(cache, CATZILLA_TIER_REDIS).queued, 0);
    /* The keys, and the number of the namespace. */
    assert_int_equal(number_from(&ground->server, "DBSIZE"), 101);
    put(cache, "last", "v", 0);
    catzilla_cache_destroy(cache);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:last"), 1);
}

/* Every kind of call on a cache whose Redis is not there: none may take a second, and memory answers. */
static void use_in_every_way(catzilla_cache_t *cache)
{
    char buffer[16];
    size_t len;
    int64_t sum;
    int loads = 0;
    catzilla_value_t *value;
    catzilla_put_t puts[2] = {{"a", 1, "v", 1, 0, 0}, {"b", 1, "v", 1, 0, 0}};
    catzilla_get_t gets[2] = {{"a", 1, NULL, 0, 0, 0}, {"absent", 6, NULL, 0, 0, 0}};
    catzilla_remove_t removes[2] = {{"a", 1, 0}, {"b", 1, 0}};
    for (int call = 0; call < 13; call++) {
        uint64_t begun = now_ms();
        catzilla_status_t status = CATZILLA_OK;
        switch (call) {
        case 0: status = catzilla_cache_put(cache, "k", 1, "v", 1, 0); break;
        case 1: status = catzilla_cache_read(cache, "k", 1, buffer, sizeof buffer, &len); break;
        case 2: status = catzilla_cache_read(cache, "absent", 6, buffer, sizeof buffer, &len); break;
        case 3: status = catzilla_cache_contains(cache, "absent", 6); break;
        case 4: status = catzilla_cache_put_many(cache, puts, 2); break;
        case 5: status = catzilla_cache_get_many(cache, gets, 2); break;
        case 6: status = catzilla_cache_remove_many(cache, removes, 2); break;
        case 7: status = catzilla_cache_increment(cache, "n", 1, 1, 1, 0, &sum); break;
        case 8: status = catzilla_cache_touch(cache, "k", 1, 0); break;
        case 9: status = catzilla_cache_get_or_load(cache, "loaded", 6, load, &loads, 0, &value); break;
        case 10: status = catzilla_cache_remove(cache, "k", 1); break;
        case 11: status = catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "p", 1, NULL); break;
        case 12: status = catzilla_cache_purge(cache, CATZILLA_PURGE_ALL, NULL, 0, NULL); break;
        }
        uint64_t took = now_ms() - begun;
        if (took > 1000)
            fail_msg("call %d took %llu ms", call, (unsigned long long)took);
        bool is_absent = call == 2 || call == 3;
        if (status != (is_absent ? CATZILLA_NOT_FOUND : CATZILLA_OK))
            fail_msg("call %d gave %s", call, catzilla_status_name(status));
        if (call == 9) {
            assert_int_equal(loads, 1);
            catzilla_value_release(value);
        }
    }
}

static void a_redis_that_is_down_costs_little_and_is_told(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "redis://:hunter2@127.0.0.1:%d", free_port());
    uint64_t begun = now_ms();
    catzilla_cache_t *cache = open_with(WITH({"redis.url", url}));
    assert_true(now_ms() - begun < 1000);
    use_in_every_way(cache);
    catzilla_health_t health = health_of(cache, CATZILLA_TIER_REDIS);
    assert_int_equal(health.is_up, 0);
    assert_true(health.last_error_at > 1600000000000000u && strlen(health.last_error) > 0);
    assert_null(strstr(health.last_error, "hunter2"));
    catzilla_tier_statistics_t redis = figures_of(cache, CATZILLA_TIER_REDIS);
    assert_true(redis.connection_errors > 0 && redis.is_open == 1 && redis.openings >= 1);
    assert_true(redis.errors >= redis.connection_errors && redis.connections == 0);
    catzilla_statistics_t all = {.struct_size = sizeof all};
    catzilla_cache_statistics(cache, &all);
    assert_int_equal(all.redis_errors, figures_of(cache, CATZILLA_TIER_REDIS).errors);
    assert_int_equal(catzilla_cache_flush(cache, 100), CATZILLA_TIER_UNAVAILABLE);
    assert_non_null(strstr(catzilla_last_error_message(), "redis"));
    catzilla_cache_destroy(cache);
}

/* One that takes connections and says nothing is the slowest that there is. */
static void a_redis_that_does_not_answer_costs_its_deadline_and_no_more(void **state)
{
    (void)state;
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 100), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", ntohs(address.sin_port));
    catzilla_cache_t *cache = open_with(WITH({"redis.url", url}));
    uint64_t begun = now_ms();
    use_in_every_way(cache);
    /* All of these calls of one thread, in any 10 s, plus what a machine under load makes of that. */
    assert_true(now_ms() - begun < 3000);
    assert_true(figures_of(cache, CATZILLA_TIER_REDIS).timeouts > 0);
    assert_int_equal(health_of(cache, CATZILLA_TIER_REDIS).is_up, 0);
    catzilla_cache_destroy(cache);
    close(listener);
}

static void a_redis_that_is_required_has_to_be_there(void **state)
{
    struct ground *ground = *state;
    start(ground);
    stop_server(&ground->server);
    catzilla_cache_t *cache;
    const struct option *rows = WITH({"redis.url", ground->url}, {"redis.required", "on"});
    assert_int_equal(try_to_open(rows, &cache), CATZILLA_TIER_UNAVAILABLE);
    assert_null(cache);
    assert_non_null(strstr(catzilla_last_error_message(), "redis.required"));
    start(ground);
    assert_int_equal(try_to_open(rows, &cache), CATZILLA_OK);
    catzilla_cache_destroy(cache);
}

static void a_wrong_password_is_told_and_not_repeated(void **state)
{
    struct ground *ground = *state;
    start_server(&ground->server, ground->folder, "right");
    snprintf(ground->url, sizeof ground->url, "redis://:hunter2@127.0.0.1:%d", ground->server.port);
    catzilla_cache_t *cache = open_with(WITH({"redis.url", ground->url}));
    put(cache, "k", "v", 0);
    assert_int_equal(tier_that_has(cache, "k", "v"), CATZILLA_TIER_MEMORY);
    catzilla_health_t health = health_of(cache, CATZILLA_TIER_REDIS);
    assert_true(health.is_up == 0 && strstr(health.last_error, "password") != NULL);
    assert_null(strstr(health.last_error, "hunter2"));
    assert_true(figures_of(cache, CATZILLA_TIER_REDIS).refusals > 0);
    catzilla_cache_destroy(cache);
}

static void wait_until_up(catzilla_cache_t *cache)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (!health_of(cache, CATZILLA_TIER_REDIS).is_up && now_ms() < deadline)
        pause_ms(10);
    assert_int_equal(health_of(cache, CATZILLA_TIER_REDIS).is_up, 1);
}

/* It joins when it comes up, goes and comes back, and never serves what was overwritten or removed meanwhile. */
static void a_redis_that_comes_back_serves_nothing_of_before(void **state)
{
    struct ground *ground = *state;
    start(ground);
    stop_server(&ground->server);
    catzilla_cache_t *cache = open_with(WITH({"redis.url", ground->url}, {"memory.ttl", "1h"}));
    put(cache, "early", "v", 0);
    assert_int_equal(health_of(cache, CATZILLA_TIER_REDIS).is_up, 0);
    start(ground);
    wait_until_up(cache);
    put(cache, "k", "old", 0);
    put(cache, "removed", "old", 0);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:k catzilla:removed"), 2);

    /* Stopped, not ended: it keeps what it has. */
    kill(ground->server.pid, SIGSTOP);
    put(cache, "k", "new", 0);
    remove_key(cache, "removed");
    assert_int_equal(tier_that_has(cache, "k", "new"), CATZILLA_TIER_MEMORY);
    catzilla_tier_statistics_t redis = figures_of(cache, CATZILLA_TIER_REDIS);
    assert_true(redis.is_open == 1 && redis.owed == 2 && redis.dropped_writes >= 1);
    kill(ground->server.pid, SIGCONT);
    wait_until_up(cache);
    redis = figures_of(cache, CATZILLA_TIER_REDIS);
    assert_true(redis.owed == 0 && redis.owed_ever >= 2 && redis.owed_overflows == 0);
    catzilla_cache_t *other = open_with(WITH({"redis.url", ground->url}));
    assert_false(is_there(other, "removed"));
    assert_false(is_there(other, "k"));
    put(cache, "k", "newer", 0);
    assert_int_equal(tier_that_has(other, "k", "newer"), CATZILLA_TIER_REDIS);
    catzilla_cache_destroy(other);
    catzilla_cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_of_memory_alone_has_no_tier_below_it),
        cmocka_unit_test(a_number_that_is_no_tier_and_a_null_are_refused),
        ON_ITS_GROUND(the_structs_are_filled_as_far_as_the_caller_knows_them),
        ON_ITS_GROUND(what_was_put_is_read_from_disk_by_the_next_cache_and_from_memory_after_that),
        ON_ITS_GROUND(a_flush_or_a_commit_lets_another_cache_on_the_file_read_it),
        ON_ITS_GROUND(what_memory_has_no_room_for_is_read_from_disk),
        ON_ITS_GROUND(a_value_that_is_too_large_for_memory_is_kept_below),
        ON_ITS_GROUND(a_batch_is_one_transaction),
        ON_ITS_GROUND(tags_prefixes_and_everything_are_purged_over_a_restart),
        ON_ITS_GROUND(lifetimes_go_on_over_a_restart_and_are_never_longer_above_than_below),
        ON_ITS_GROUND(conditions_numbers_and_removals_see_what_only_the_disk_has),
        ON_ITS_GROUND(what_a_loader_has_loaded_is_not_loaded_again_after_a_restart),
        ON_ITS_GROUND(bounds_of_the_disk_can_change_and_places_cannot),
        ON_ITS_GROUND(a_folder_that_can_never_be_used_is_refused),
        ON_ITS_GROUND(folder_and_file_are_the_users_alone),
        ON_ITS_GROUND(a_file_that_is_no_use_is_set_aside_and_said_so),
        cmocka_unit_test(a_url_that_can_never_work_is_refused_and_not_repeated),
        ON_ITS_GROUND(values_are_read_from_redis_by_the_next_cache_and_filled_into_it_from_disk),
        ON_ITS_GROUND(a_purge_removes_our_keys_and_nobody_elses),
        ON_ITS_GROUND(behind_writes_are_in_redis_after_a_flush),
        cmocka_unit_test(a_redis_that_is_down_costs_little_and_is_told),
        cmocka_unit_test(a_redis_that_does_not_answer_costs_its_deadline_and_no_more),
        ON_ITS_GROUND(a_redis_that_is_required_has_to_be_there),
        ON_ITS_GROUND(a_wrong_password_is_told_and_not_repeated),
        ON_ITS_GROUND(a_redis_that_comes_back_serves_nothing_of_before),
    };
    return cmocka_run_group_tests_name("api_tiers", tests, NULL, NULL);
}
