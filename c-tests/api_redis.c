/*
 * The Redis tier as a C program sees it, over a real redis-server: what is in it, what is refused, and what it costs when it is down,
 * says nothing, wants another password, or comes back.
 */
#include "tiers.h"

static catzilla_status_t load(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    (void)key;
    (void)key_len;
    *(int *)user += 1;
    return catzilla_loaded_set(loaded, "loaded", 6, 0);
}

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
    put(cache, "image:1:small", "v", 0);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PREFIX, "page:", 5, NULL), CATZILLA_OK);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:page:1 catzilla:page:2"), 0);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:image:1"), 1);
    assert_int_equal(catzilla_cache_purge(cache, CATZILLA_PURGE_PATTERN, "i*:?:*", 6, NULL), CATZILLA_OK);
    assert_int_equal(number_from(&ground->server, "EXISTS catzilla:image:1:small"), 0);
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

#define CALLS 14
/* If each waited for the default deadline of half a second, they would take 7 s; a cache waits twice in 10 s. What is between the two
   is for a machine that has other things to do. */
#define ALL_CALLS_MS 5000

/* Every kind of call on a cache whose Redis is not there: most of them wait for nothing, and memory answers. */
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
    uint64_t begun = now_ms();
    for (int call = 0; call < CALLS; call++) {
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
        case 12: status = catzilla_cache_purge(cache, CATZILLA_PURGE_PATTERN, "*p", 2, NULL); break;
        case 13: status = catzilla_cache_purge(cache, CATZILLA_PURGE_ALL, NULL, 0, NULL); break;
        }
        bool is_absent = call == 2 || call == 3;
        if (status != (is_absent ? CATZILLA_NOT_FOUND : CATZILLA_OK))
            fail_msg("call %d gave %s", call, catzilla_status_name(status));
        if (call == 9) {
            assert_int_equal(loads, 1);
            catzilla_value_release(value);
        }
    }
    uint64_t took = now_ms() - begun;
    if (took > ALL_CALLS_MS)
        fail_msg("%d calls took %llu ms", CALLS, (unsigned long long)took);
}

static void a_redis_that_is_down_costs_little_and_is_told(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "redis://:hunter2@127.0.0.1:%d", free_port());
    catzilla_cache_t *cache = open_with(WITH({"redis.url", url}));
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
    use_in_every_way(cache);
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
    return cmocka_run_group_tests_name("api_redis", tests, NULL, NULL);
}
