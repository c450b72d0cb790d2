/* The logger is the only place messages go: never stdout, never stderr. */
#include "suite.h"
#include "catzilla_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int user_data;
static int calls, calls_with_wrong_user, calls_above_level, calls_without_text;
static catzilla_log_level_t level_set;

static void record(void *user, catzilla_log_level_t level, const char *message)
{
    calls++;
    calls_with_wrong_user += user != &user_data;
    calls_above_level += level < CATZILLA_LOG_ERROR || level > level_set;
    calls_without_text += message == NULL || message[0] == '\0';
}

/* Everything that could have something to say: failures of all kinds, eviction, destruction. */
static void be_worth_a_message(void)
{
    catzilla_options_t *options = catzilla_options_create();
    catzilla_options_set(options, "no.such.option", "1");
    catzilla_options_set(options, "memory.capacity", "2");
    catzilla_cache_t *cache = NULL;
    catzilla_cache_open(options, &cache);
    catzilla_options_destroy(options);
    for (unsigned char i = 0; i < 10; i++)
        catzilla_cache_put(cache, &i, 1, "v", 1, 1);
    catzilla_cache_put(cache, NULL, 1, "v", 1, 0);
    catzilla_cache_create(0, 0);
    catzilla_cache_expire_entries(cache);
    catzilla_cache_destroy(cache);
}

static void messages_come_with_the_users_pointer_and_within_the_level(void **state)
{
    (void)state;
    for (level_set = CATZILLA_LOG_OFF; level_set <= CATZILLA_LOG_DEBUG; level_set++) {
        calls = 0;
        assert_int_equal(catzilla_set_logger(record, &user_data, level_set), CATZILLA_OK);
        be_worth_a_message();
        assert_int_equal(calls_with_wrong_user, 0);
        assert_int_equal(calls_above_level, 0);
        assert_int_equal(calls_without_text, 0);
        if (level_set == CATZILLA_LOG_OFF)
            assert_int_equal(calls, 0);
        if (level_set == CATZILLA_LOG_DEBUG)
            assert_true(calls > 0);
    }
    assert_int_equal(catzilla_set_logger(NULL, NULL, CATZILLA_LOG_OFF), CATZILLA_OK);
}

static void a_null_logger_is_silence(void **state)
{
    (void)state;
    assert_int_equal(catzilla_set_logger(record, &user_data, CATZILLA_LOG_DEBUG), CATZILLA_OK);
    assert_int_equal(catzilla_set_logger(NULL, &user_data, CATZILLA_LOG_DEBUG), CATZILLA_OK);
    calls = 0;
    be_worth_a_message();
    assert_int_equal(calls, 0);
}

static void a_level_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    assert_int_equal(catzilla_set_logger(record, NULL, 99), CATZILLA_INVALID_ARGUMENT);
    assert_int_equal(catzilla_set_logger(record, NULL, -1), CATZILLA_INVALID_ARGUMENT);
}

static void nothing_is_ever_printed(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    fflush(stderr);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    be_worth_a_message();
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    long printed = lseek(fileno(file), 0, SEEK_END);
    fclose(file);
    assert_int_equal(printed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_with_the_users_pointer_and_within_the_level),
        cmocka_unit_test(a_null_logger_is_silence),
        cmocka_unit_test(a_level_that_does_not_exist_is_refused),
        cmocka_unit_test(nothing_is_ever_printed),
    };
    return cmocka_run_group_tests_name("api_logger", tests, NULL, NULL);
}
