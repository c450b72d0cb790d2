/*
 * Eight threads ask for the same page at the same time: one of them makes it, the others wait for it. Then one that is changed
 * while it is being made: who asked gets what was made, the cache does not keep it.
 *
 *   cc -pthread -Iinclude examples/c/load.c -Ltarget/release -lcatzilla_cache -Wl,-rpath,$PWD/target/release -o load
 */
#include "catzilla_cache.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define THREADS 8

static catzilla_cache_t *cache;

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, catzilla_last_error_message(),
            catzilla_status_name(catzilla_last_error_code()));
    return 1;
}

static catzilla_statistics_t statistics(void)
{
    catzilla_statistics_t numbers = {0};
    numbers.struct_size = sizeof numbers;
    catzilla_cache_statistics(cache, &numbers);
    return numbers;
}

/* Stands for a database. So slow that everybody else who wants the page is waiting before it answers. */
static catzilla_status_t make_page(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded)
{
    char page[64];
    (void)user;
    while (statistics().load_waits < THREADS - 1)
        ;
    int len = snprintf(page, sizeof page, "<h1>%.*s</h1>", (int)key_len, (const char *)key);
    if (len < 0 || (size_t)len >= sizeof page)
        return CATZILLA_LOAD_FAILED;
    return catzilla_loaded_set(loaded, page, (size_t)len, 60 * 1000);
}

static void *ask(void *got)
{
    catzilla_value_t *value = NULL;
    /* Nobody waits for more than ten seconds. */
    if (catzilla_cache_get_or_load(cache, "start", 5, make_page, NULL, 10 * 1000, &value) != CATZILLA_OK) {
        failed("get_or_load");
        return NULL;
    }
    *(int *)got = catzilla_value_size(value) == strlen("<h1>start</h1>") &&
                  memcmp(catzilla_value_data(value), "<h1>start</h1>", strlen("<h1>start</h1>")) == 0;
    catzilla_value_release(value);
    return NULL;
}

static int ask_together(void)
{
    pthread_t threads[THREADS];
    int got[THREADS] = {0};
    int right = 0;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, ask, &got[i]) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        right += got[i];
    }
    catzilla_statistics_t numbers = statistics();
    printf("callers: %d got the page, %" PRIu64 " made it, %" PRIu64 " waited\n", right, numbers.loads, numbers.load_waits);
    return right != THREADS;
}

/* The same by hand, for callers who have no function to pass: a lease is the right to make it. */
static int make_by_lease(void)
{
    catzilla_value_t *value = NULL;
    catzilla_lease_t *lease = NULL;
    catzilla_status_t status = catzilla_cache_lease(cache, "about", 5, 10 * 1000, &value, &lease);
    if (status < 0)
        return failed("lease");
    if (lease == NULL) {
        catzilla_value_release(value);
        return 1;
    }
    /* The page is edited just now: what is being made is out of date already. */
    catzilla_cache_remove(cache, "about", 5);
    if (catzilla_lease_fulfil(lease, "<h1>old</h1>", 12, 0) != CATZILLA_OK)
        return failed("fulfil");
    printf("edited:  the old page is %s\n",
           catzilla_cache_contains(cache, "about", 5) == CATZILLA_OK ? "kept" : "not kept");
    return 0;
}

int main(void)
{
    if (catzilla_cache_open(NULL, &cache) != CATZILLA_OK)
        return failed("open");
    int result = ask_together() || make_by_lease();
    catzilla_cache_destroy(cache);
    return result;
}
