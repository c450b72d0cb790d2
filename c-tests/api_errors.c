/* The last error: per thread, never NULL, left alone by success; and the names of the numbers. */
#include "suite.h"
#include "catzilla_cache.h"

#include <pthread.h>
#include <string.h>

struct seen {
    char first_message[64];
    catzilla_status_t first_code, code;
    char message[256];
};

static void *fail_on_a_fresh_thread(void *argument)
{
    struct seen *seen = argument;
    const char *first = catzilla_last_error_message();
    if (first == NULL)
        return NULL;
    strncpy(seen->first_message, first, sizeof seen->first_message - 1);
    seen->first_code = catzilla_last_error_code();
    catzilla_cache_t *cache = catzilla_cache_create(0, 0);
    seen->code = catzilla_last_error_code();
    strncpy(seen->message, catzilla_last_error_message(), sizeof seen->message - 1);
    return cache == NULL ? seen : NULL;
}

static void a_fresh_thread_has_no_error_and_its_failures_are_its_own(void **state)
{
    (void)state;
    catzilla_options_t *options = catzilla_options_create();
    assert_int_equal(catzilla_options_set(options, "no.such.option", "1"), CATZILLA_UNKNOWN_OPTION);
    char mine[256];
    strncpy(mine, catzilla_last_error_message(), sizeof mine - 1);
    mine[sizeof mine - 1] = '\0';

    struct seen seen;
    memset(&seen, 0, sizeof seen);
    memset(seen.first_message, '#', sizeof seen.first_message - 1);
    pthread_t thread;
    void *done = NULL;
    assert_int_equal(pthread_create(&thread, NULL, fail_on_a_fresh_thread, &seen), 0);
    pthread_join(thread, &done);
    assert_non_null(done);
    assert_string_equal(seen.first_message, "");
    assert_int_equal(seen.first_code, CATZILLA_OK);
    assert_true(seen.code < 0);
    assert_true(strlen(seen.message) > 0);

    assert_int_equal(catzilla_last_error_code(), CATZILLA_UNKNOWN_OPTION);
    assert_int_equal(strncmp(catzilla_last_error_message(), mine, sizeof mine - 1), 0);
    catzilla_options_destroy(options);
}

static void success_and_misses_leave_the_last_error_alone(void **state)
{
    (void)state;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    catzilla_options_t *options = catzilla_options_create();
    catzilla_value_t *value = NULL;
    assert_int_equal(catzilla_options_set(options, "no.such.option", "1"), CATZILLA_UNKNOWN_OPTION);
    const char *message = catzilla_last_error_message();

    assert_int_equal(catzilla_cache_put(cache, "k", 1, "v", 1, 0), CATZILLA_OK);
    assert_int_equal(catzilla_cache_acquire(cache, "k", 1, &value), CATZILLA_OK);
    catzilla_value_release(value);
    assert_int_equal(catzilla_cache_remove(cache, "nobody", 6), CATZILLA_NOT_FOUND);
    assert_int_equal(catzilla_cache_read(cache, "k", 1, NULL, 0, &(size_t){0}), CATZILLA_TRUNCATED);
    assert_false(catzilla_cache_get(cache, "nobody").found);

    assert_int_equal(catzilla_last_error_code(), CATZILLA_UNKNOWN_OPTION);
    assert_ptr_equal(catzilla_last_error_message(), message);
    assert_non_null(strstr(message, "no.such.option"));
    catzilla_options_destroy(options);
    catzilla_cache_destroy(cache);
}

static void an_error_message_never_breaks_off_at_a_strange_byte(void **state)
{
    (void)state;
    catzilla_options_t *options = catzilla_options_create();
    char name[5000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(catzilla_options_set(options, name, "1"), CATZILLA_UNKNOWN_OPTION);
    assert_non_null(strstr(catzilla_last_error_message(), "nnnn"));
    assert_true(catzilla_options_set(options, "memory.capacity", "\xc3(%s%n") < 0);
    assert_non_null(catzilla_last_error_message());
    catzilla_options_destroy(options);
}

static void every_status_has_its_name(void **state)
{
    (void)state;
    const struct { catzilla_status_t status; const char *name; } names[] = {
#define NAME(status) {status, #status}
        NAME(CATZILLA_OK),
        NAME(CATZILLA_NOT_FOUND),
        NAME(CATZILLA_TRUNCATED),
        NAME(CATZILLA_EXISTS),
        NAME(CATZILLA_VERSION_MISMATCH),
        NAME(CATZILLA_INVALID_ARGUMENT),
        NAME(CATZILLA_UNKNOWN_OPTION),
        NAME(CATZILLA_INVALID_OPTION),
        NAME(CATZILLA_OPTION_OUT_OF_RANGE),
        NAME(CATZILLA_KEY_TOO_LARGE),
        NAME(CATZILLA_VALUE_TOO_LARGE),
        NAME(CATZILLA_NOT_A_NUMBER),
        NAME(CATZILLA_NUMBER_OVERFLOW),
        NAME(CATZILLA_OUT_OF_MEMORY),
        NAME(CATZILLA_UNSUPPORTED),
        NAME(CATZILLA_TIER_UNAVAILABLE),
        NAME(CATZILLA_INTERNAL),
#undef NAME
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_string_equal(catzilla_status_name(names[i].status), names[i].name);
    const catzilla_status_t unknown[] = {5, 1000, -1, -999, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        assert_string_equal(catzilla_status_name(unknown[i]), "CATZILLA_UNKNOWN_STATUS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_thread_has_no_error_and_its_failures_are_its_own),
        cmocka_unit_test(success_and_misses_leave_the_last_error_alone),
        cmocka_unit_test(an_error_message_never_breaks_off_at_a_strange_byte),
        cmocka_unit_test(every_status_has_its_name),
    };
    return cmocka_run_group_tests_name("api_errors", tests, NULL, NULL);
}
