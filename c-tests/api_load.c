/* Look-ups that load what is missing, and leases for callers who load by themselves. */
#include "suite.h"
#include "catzilla_cache.h"
#include "default_cache.h"
#include "waiting.h"

#include <pthread.h>
#include <string.h>

#define CALLERS 8

/* What a loader does, and how often it was asked. */
struct source {
    catzilla_cache_t *cache;
    const char *value;
    catzilla_status_t status;
    int asked;
    /* So many have to wait before it answers. */
    uint64_t wait_for;
};

static uint64_t waits(catzilla_cache_t *cache)
{
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(cache, &statistics), CATZILLA_OK);
    return statistics.load_waits;
}

static void until_waiting(catzilla_cache_t *cache, uint64_t callers)
{
    while (waits(cache) < callers)
        pause_ms(1);
}

static catzilla_status_t load(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    struct source *source = user;
    source->asked++;
    assert_int_equal(key_len, 3);
    assert_memory_equal(key, "key", 3);
    if (source->wait_for > 0)
        until_waiting(source->cache, source->wait_for);
    if (source->value != NULL)
        assert_int_equal(catzilla_loaded_set(loaded, source->value, strlen(source->value), 60000), CATZILLA_OK);
    return source->status;
}

static catzilla_status_t get(struct source *source, catzilla_value_t **value)
{
    return catzilla_cache_get_or_load(source->cache, "key", 3, load, source, CATZILLA_WAIT_FOREVER, value);
}

static void assert_is(catzilla_value_t *value, const char *text)
{
    assert_non_null(value);
    assert_int_equal(catzilla_value_size(value), strlen(text));
    assert_memory_equal(catzilla_value_data(value), text, strlen(text));
    catzilla_value_release(value);
}

static catzilla_lease_t *take(catzilla_cache_t *cache, const char *key)
{
    catzilla_value_t *value = (catzilla_value_t *)cache;
    catzilla_lease_t *lease = NULL;
    assert_int_equal(catzilla_cache_lease(cache, key, strlen(key), 0, &value, &lease), CATZILLA_NOT_FOUND);
    assert_null(value);
    assert_non_null(lease);
    return lease;
}

static void what_is_missing_is_loaded_once(void **state)
{
    struct source source = {*state, "loaded", CATZILLA_OK, 0, 0};
    for (int i = 0; i < 3; i++) {
        catzilla_value_t *value = NULL;
        assert_int_equal(get(&source, &value), CATZILLA_OK);
        assert_in_range(catzilla_value_ttl_ms(value), 1000, 60100);
        assert_is(value, "loaded");
    }
    assert_int_equal(source.asked, 1);
    catzilla_statistics_t statistics = {0};
    statistics.struct_size = sizeof statistics;
    assert_int_equal(catzilla_cache_statistics(*state, &statistics), CATZILLA_OK);
    assert_int_equal(statistics.loads, 1);
    assert_int_equal(statistics.load_failures, 0);
    assert_int_equal(statistics.load_waits, 0);
    assert_int_equal(statistics.requests, 3);
}

struct caller {
    struct source *source;
    pthread_t thread;
    catzilla_status_t status;
    char message[256];
    catzilla_value_t *value;
};

static void *call(void *user)
{
    struct caller *caller = user;
    caller->status = get(caller->source, &caller->value);
    strncpy(caller->message, catzilla_last_error_message(), sizeof caller->message - 1);
    return NULL;
}

/* Many callers of one key, of whom one loads. */
static void call_together(struct source *source, struct caller *callers)
{
    source->wait_for = CALLERS - 1;
    for (int i = 0; i < CALLERS; i++) {
        memset(&callers[i], 0, sizeof callers[i]);
        callers[i].source = source;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
    assert_int_equal(source->asked, 1);
}

static void of_many_callers_one_loads_and_all_get_the_value(void **state)
{
    struct caller callers[CALLERS];
    struct source source = {*state, "loaded", CATZILLA_OK, 0, 0};
    call_together(&source, callers);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, CATZILLA_OK);
        assert_is(callers[i].value, "loaded");
    }
}

static void all_get_what_the_loader_fails_with_and_the_next_call_loads_anew(void **state)
{
    struct caller callers[CALLERS];
    struct source source = {*state, "not looked at", CATZILLA_OUT_OF_MEMORY, 0, 0};
    call_together(&source, callers);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].status, CATZILLA_OUT_OF_MEMORY);
        assert_null(callers[i].value);
        assert_non_null(strstr(callers[i].message, "loader failed with CATZILLA_OUT_OF_MEMORY"));
    }
    struct source better = {*state, "better", CATZILLA_OK, 0, 0};
    catzilla_value_t *value = NULL;
    assert_int_equal(get(&better, &value), CATZILLA_OK);
    assert_is(value, "better");
}

static void that_there_is_none_is_not_kept(void **state)
{
    struct source source = {*state, NULL, CATZILLA_NOT_FOUND, 0, 0};
    for (int i = 0; i < 2; i++) {
        catzilla_value_t *value = *state;
        assert_int_equal(get(&source, &value), CATZILLA_NOT_FOUND);
        assert_null(value);
    }
    assert_int_equal(source.asked, 2);
}

static void a_loader_that_answers_nonsense_has_failed(void **state)
{
    const struct {
        const char *value;
        catzilla_status_t status;
        const char *said;
    } answers[] = {
        {NULL, CATZILLA_OK, "no value"},  {"v", 42, "42"},      {"v", -7, "-7"},
        {"v", CATZILLA_TRUNCATED, "2"},   {"v", INT32_MIN, ""},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        struct source source = {*state, answers[i].value, answers[i].status, 0, 0};
        catzilla_value_t *value = *state;
        assert_int_equal(get(&source, &value), CATZILLA_LOAD_FAILED);
        assert_null(value);
        assert_int_equal(catzilla_last_error_code(), CATZILLA_LOAD_FAILED);
        assert_non_null(strstr(catzilla_last_error_message(), "the loader failed"));
        assert_non_null(strstr(catzilla_last_error_message(), answers[i].said));
    }
    assert_int_equal(catzilla_cache_contains(*state, "key", 3), CATZILLA_NOT_FOUND);
}

static catzilla_status_t load_within(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    struct source *source = user;
    catzilla_value_t *value = user;
    assert_int_equal(
        catzilla_cache_get_or_load(source->cache, key, key_len, load_within, user, CATZILLA_WAIT_FOREVER, &value),
        CATZILLA_LOAD_REENTERED);
    assert_null(value);
    assert_non_null(strstr(catzilla_last_error_message(), "its own key"));
    assert_int_equal(get(source, &value), CATZILLA_OK);
    assert_is(value, source->value);
    assert_int_equal(catzilla_loaded_set(loaded, "first", 5, 0), CATZILLA_OK);
    return catzilla_loaded_set(loaded, "second", 6, CATZILLA_TTL_FOREVER);
}

static void a_loader_may_load_another_key_but_not_its_own(void **state)
{
    struct source source = {*state, "inner", CATZILLA_OK, 0, 0};
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_get_or_load(*state, "outer", 5, load_within, &source, 0, &value), CATZILLA_OK);
    assert_int_equal(catzilla_value_ttl_ms(value), CATZILLA_TTL_FOREVER);
    assert_is(value, "second");
    assert_int_equal(source.asked, 1);
}

static catzilla_status_t load_and_remove(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    struct source *source = user;
    assert_int_equal(catzilla_cache_remove(source->cache, key, key_len), CATZILLA_NOT_FOUND);
    return catzilla_loaded_set(loaded, source->value, strlen(source->value), 0);
}

static void what_was_removed_while_it_was_loaded_is_not_stored(void **state)
{
    struct source source = {*state, "old", CATZILLA_OK, 0, 0};
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_get_or_load(*state, "key", 3, load_and_remove, &source, 0, &value), CATZILLA_OK);
    assert_is(value, "old");
    assert_int_equal(catzilla_cache_contains(*state, "key", 3), CATZILLA_NOT_FOUND);
}

static void a_value_that_the_cache_refuses_is_given_all_the_same(void **state)
{
    struct source source = {*state, "longer than four", CATZILLA_OK, 0, 0};
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_set_option(*state, "memory.max_value_size", "4"), CATZILLA_OK);
    assert_int_equal(get(&source, &value), CATZILLA_OK);
    assert_int_equal(catzilla_value_version(value), 0);
    assert_int_equal((uintptr_t)catzilla_value_data(value) % 16, 0);
    assert_is(value, "longer than four");
    assert_int_equal(catzilla_cache_contains(*state, "key", 3), CATZILLA_NOT_FOUND);
}

static void *lease_without_patience(void *user)
{
    struct caller *caller = user;
    catzilla_lease_t *lease = user;
    caller->status = catzilla_cache_lease(caller->source->cache, "key", 3, 0, &caller->value, &lease);
    return lease;
}

static void a_lease_is_one_callers_until_it_ends(void **state)
{
    struct source source = {*state, "never asked", CATZILLA_OK, 0, 0};
    struct caller other = {.source = &source};
    catzilla_lease_t *lease = take(*state, "key");
    void *theirs = &other;
    assert_int_equal(pthread_create(&other.thread, NULL, lease_without_patience, &other), 0);
    assert_int_equal(pthread_join(other.thread, &theirs), 0);
    assert_int_equal(other.status, CATZILLA_TIMED_OUT);
    assert_null(theirs);
    assert_int_equal(pthread_create(&other.thread, NULL, call, &other), 0);
    until_waiting(*state, 1);
    assert_int_equal(catzilla_lease_fulfil(lease, "by lease", 8, 0), CATZILLA_OK);
    assert_int_equal(pthread_join(other.thread, NULL), 0);
    assert_int_equal(other.status, CATZILLA_OK);
    assert_is(other.value, "by lease");
    assert_int_equal(source.asked, 0);
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_cache_lease(*state, "key", 3, 0, &value, &lease), CATZILLA_OK);
    assert_null(lease);
    assert_is(value, "by lease");
}

static void a_lease_that_is_cancelled_passes_to_who_waits(void **state)
{
    struct source source = {*state, "theirs", CATZILLA_OK, 0, 0};
    struct caller other = {.source = &source};
    catzilla_lease_t *lease = take(*state, "key");
    assert_int_equal(pthread_create(&other.thread, NULL, call, &other), 0);
    until_waiting(*state, 1);
    catzilla_lease_cancel(lease);
    assert_int_equal(pthread_join(other.thread, NULL), 0);
    assert_is(other.value, "theirs");
    assert_int_equal(source.asked, 1);
}

static void a_lease_that_fails_says_so_to_who_waits(void **state)
{
    const struct {
        catzilla_status_t given, told;
    } failures[] = {
        {CATZILLA_NOT_FOUND, CATZILLA_NOT_FOUND}, {CATZILLA_UNSUPPORTED, CATZILLA_UNSUPPORTED},
        {CATZILLA_OK, CATZILLA_LOAD_FAILED},      {-12345, CATZILLA_LOAD_FAILED},
    };
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        struct source source = {*state, "never asked", CATZILLA_OK, 0, 0};
        struct caller other = {.source = &source};
        catzilla_lease_t *lease = take(*state, "key");
        assert_int_equal(pthread_create(&other.thread, NULL, call, &other), 0);
        until_waiting(*state, i + 1);
        assert_int_equal(catzilla_lease_fail(lease, failures[i].given), CATZILLA_OK);
        assert_int_equal(pthread_join(other.thread, NULL), 0);
        assert_int_equal(other.status, failures[i].told);
        assert_null(other.value);
        assert_int_equal(source.asked, 0);
    }
}

static void who_waits_too_long_goes_without(void **state)
{
    struct source source = {*state, "never asked", CATZILLA_OK, 0, 0};
    catzilla_lease_t *lease = take(*state, "key");
    catzilla_value_t *value = *state;
    /* This thread has the lease, so waiting for it could never end. */
    assert_int_equal(get(&source, &value), CATZILLA_LOAD_REENTERED);
    assert_null(value);
    struct caller other = {.source = &source};
    void *theirs = &other;
    assert_int_equal(pthread_create(&other.thread, NULL, lease_without_patience, &other), 0);
    assert_int_equal(pthread_join(other.thread, &theirs), 0);
    assert_int_equal(other.status, CATZILLA_TIMED_OUT);
    catzilla_lease_cancel(lease);
    assert_int_equal(get(&source, &value), CATZILLA_OK);
    assert_is(value, "never asked");
}

static void leases_may_be_ended_after_their_cache(void **state)
{
    (void)state;
    catzilla_cache_t *cache = NULL;
    assert_int_equal(catzilla_cache_open(NULL, &cache), CATZILLA_OK);
    catzilla_lease_t *leases[] = {take(cache, "a"), take(cache, "b"), take(cache, "c")};
    catzilla_cache_destroy(cache);
    catzilla_lease_cancel(leases[0]);
    assert_int_equal(catzilla_lease_fail(leases[1], CATZILLA_LOAD_FAILED), CATZILLA_OK);
    assert_int_equal(catzilla_lease_fulfil(leases[2], "v", 1, 0), CATZILLA_INVALID_ARGUMENT);
}

static void a_lease_may_be_fulfilled_with_tags_but_not_on_conditions(void **state)
{
    const catzilla_bytes_t tag = {"colour", 6};
    catzilla_put_options_t options = {.struct_size = sizeof options, .tags = &tag, .tag_count = 1};
    catzilla_value_t *value;
    catzilla_lease_t *lease;
    uint64_t purged;
    assert_int_equal(catzilla_cache_lease(*state, "key", 3, 0, &value, &lease), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_lease_fulfil_with(lease, "blue", 4, &options), CATZILLA_OK);
    assert_int_equal(catzilla_cache_contains(*state, "key", 3), CATZILLA_OK);
    assert_int_equal(catzilla_cache_purge(*state, CATZILLA_PURGE_TAG, "colour", 6, &purged), CATZILLA_OK);
    assert_int_equal(purged, 1);

    options.flags = CATZILLA_PUT_IF_PRESENT;
    assert_int_equal(catzilla_cache_lease(*state, "key", 3, 0, &value, &lease), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_lease_fulfil_with(lease, "blue", 4, &options), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_lease_fulfil_with(NULL, "blue", 4, NULL), CATZILLA_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_missing_is_loaded_once, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(of_many_callers_one_loads_and_all_get_the_value, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(all_get_what_the_loader_fails_with_and_the_next_call_loads_anew, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(that_there_is_none_is_not_kept, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_loader_that_answers_nonsense_has_failed, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_loader_may_load_another_key_but_not_its_own, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(what_was_removed_while_it_was_loaded_is_not_stored, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_value_that_the_cache_refuses_is_given_all_the_same, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_lease_is_one_callers_until_it_ends, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_lease_that_is_cancelled_passes_to_who_waits, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_lease_that_fails_says_so_to_who_waits, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(who_waits_too_long_goes_without, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(a_lease_may_be_fulfilled_with_tags_but_not_on_conditions, open_cache, close_cache),
        cmocka_unit_test(leases_may_be_ended_after_their_cache),
    };
    return cmocka_run_group_tests_name("api_load", tests, NULL, NULL);
}
