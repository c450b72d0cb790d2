/* Stands before the real library and misbehaves in one way, which SOAK_FAULT names. Built against the real header and linked
 * to the real library, so that what is not here is found there; tests/faults.rs sees that the soak notices each fault. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catzilla_cache.h"

static void *real(const char *name) {
    void *library = dlopen(getenv("SOAK_REAL_LIBRARY"), RTLD_NOW);
    void *function = library == NULL ? NULL : dlsym(library, name);
    if (function == NULL) abort();
    return function;
}

/* Looked up once; all threads find the same. */
#define REAL(name)                                                       \
    static _Atomic(__typeof__(&name)) known;                             \
    __typeof__(&name) next = atomic_load(&known);                        \
    if (next == NULL) atomic_store(&known, next = real(#name))

static pid_t first_process;

__attribute__((constructor)) static void remember(void) { first_process = getpid(); }

static int fault(const char *name) {
    const char *wanted = getenv("SOAK_FAULT");
    return wanted != NULL && strcmp(wanted, name) == 0;
}

/* True at each call number `every` of all threads together. */
static int now_and_then(unsigned every) {
    static atomic_uint calls;
    return atomic_fetch_add(&calls, 1) % every == every - 1;
}

catzilla_status_t catzilla_cache_put(catzilla_cache_t *cache, const void *key, size_t key_len, const void *value,
                                     size_t value_len, uint64_t ttl_ms) {
    REAL(catzilla_cache_put);
    int mortal = ttl_ms > 0 && ttl_ms < CATZILLA_TTL_FOREVER;
    if (fault("forgets-puts") && now_and_then(100)) return CATZILLA_OK;
    if (fault("counts-twice") && now_and_then(100)) next(cache, key, key_len, value, value_len, ttl_ms);
    if (fault("late") && mortal) ttl_ms += 100000;
    if (fault("early") && mortal) ttl_ms = ttl_ms / 4 + 1;
    if (fault("grows")) {
        void *block = malloc(65536);
        if (block != NULL) memset(block, 1, 65536);
    }
    if (fault("crashes") && now_and_then(3000)) raise(SIGSEGV);
    if (fault("hangs") && getpid() == first_process && now_and_then(3000)) pause();
    return next(cache, key, key_len, value, value_len, ttl_ms);
}

catzilla_status_t catzilla_cache_read(catzilla_cache_t *cache, const void *key, size_t key_len, void *buffer,
                                      size_t capacity, size_t *value_len) {
    REAL(catzilla_cache_read);
    static _Thread_local char last[256];
    static _Thread_local size_t last_len;
    if (fault("misses") && now_and_then(100)) {
        *value_len = 0;
        return CATZILLA_NOT_FOUND;
    }
    catzilla_status_t status;
    if (fault("another-key") && now_and_then(10))
        status = next(cache, last, last_len, buffer, capacity, value_len);
    else
        status = next(cache, key, key_len, buffer, capacity, value_len);
    if (key_len < sizeof last) memcpy(last, key, last_len = key_len);
    int bad = (fault("torn") && now_and_then(100)) || (fault("child") && getpid() != first_process);
    if (status == CATZILLA_OK && bad && *value_len > 0) ((char *)buffer)[*value_len / 2] ^= 4;
    return status;
}

catzilla_status_t catzilla_cache_remove(catzilla_cache_t *cache, const void *key, size_t key_len) {
    REAL(catzilla_cache_remove);
    if (fault("keeps-removed")) return CATZILLA_NOT_FOUND;
    return next(cache, key, key_len);
}

catzilla_status_t catzilla_cache_purge(catzilla_cache_t *cache, catzilla_purge_t what, const void *selector,
                                       size_t selector_len, uint64_t *removed) {
    REAL(catzilla_cache_purge);
    if (fault("keeps-purged")) {
        *removed = 0;
        return CATZILLA_OK;
    }
    return next(cache, what, selector, selector_len, removed);
}

catzilla_status_t catzilla_cache_put_with(catzilla_cache_t *cache, const void *key, size_t key_len, const void *value,
                                          size_t value_len, const catzilla_put_options_t *options, uint64_t *version) {
    REAL(catzilla_cache_put_with);
    catzilla_put_options_t changed = *options;
    if (fault("unconditional")) changed.flags = 0, changed.expected_version = 0;
    if (fault("drops-tags")) changed.tag_count = 0;
    return next(cache, key, key_len, value, value_len, &changed, version);
}

catzilla_status_t catzilla_cache_touch(catzilla_cache_t *cache, const void *key, size_t key_len, uint64_t ttl_ms) {
    REAL(catzilla_cache_touch);
    if (fault("untouched")) return catzilla_cache_contains(cache, key, key_len);
    return next(cache, key, key_len, ttl_ms);
}

catzilla_status_t catzilla_cache_increment(catzilla_cache_t *cache, const void *key, size_t key_len, int64_t delta,
                                           int64_t initial, uint64_t ttl_ms, int64_t *result) {
    REAL(catzilla_cache_increment);
    if (fault("miscounts") && now_and_then(20)) delta++, initial++;
    return next(cache, key, key_len, delta, initial, ttl_ms, result);
}

catzilla_status_t catzilla_iterator_next(catzilla_iterator_t *iterator, const void **key, size_t *key_len) {
    REAL(catzilla_iterator_next);
    if (fault("skips-keys") && now_and_then(5)) next(iterator, key, key_len);
    return next(iterator, key, key_len);
}

cache_result_t catzilla_cache_get(catzilla_cache_t *cache, const char *key) {
    REAL(catzilla_cache_get);
    static _Thread_local cache_result_t last;
    if (fault("result-changes") && now_and_then(50) && last.found && last.size > 0) ((char *)last.data)[0] ^= 4;
    return last = next(cache, key);
}

void catzilla_value_release(catzilla_value_t *value) {
    REAL(catzilla_value_release);
    if (fault("never-released") && now_and_then(20)) return;
    next(value);
}

void catzilla_cache_destroy(catzilla_cache_t *cache) {
    REAL(catzilla_cache_destroy);
    if (fault("leaves-a-thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, (void *(*)(void *))(void *)pause, NULL);
    }
    next(cache);
}
