/*
 * What tiers tell of themselves: health and figures, and how their structs may grow; which folder a disk tier takes, and what becomes of
 * a file that is no use.
 */
#include "tiers.h"

#include <fcntl.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_of_memory_alone_has_no_tier_below_it),
        cmocka_unit_test(a_number_that_is_no_tier_and_a_null_are_refused),
        ON_ITS_GROUND(the_structs_are_filled_as_far_as_the_caller_knows_them),
        ON_ITS_GROUND(bounds_of_the_disk_can_change_and_places_cannot),
        ON_ITS_GROUND(a_folder_that_can_never_be_used_is_refused),
        ON_ITS_GROUND(folder_and_file_are_the_users_alone),
        ON_ITS_GROUND(a_file_that_is_no_use_is_set_aside_and_said_so),
    };
    return cmocka_run_group_tests_name("api_health", tests, NULL, NULL);
}
