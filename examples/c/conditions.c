/*
 * Entries that several writers share: store only if nobody was quicker, change what has not been changed, count, purge by tag,
 * go through the keys.
 *
 *   cc -Iinclude examples/c/conditions.c -Ltarget/release -lcatzilla_cache -Wl,-rpath,$PWD/target/release -o conditions
 */
#include "catzilla_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", what, catzilla_last_error_message(),
            catzilla_status_name(catzilla_last_error_code()));
    return 1;
}

/* Appends a word to what is there, whoever else does the same: read, change, store over what was read; else begin again. */
static int append(catzilla_cache_t *cache, const char *key, const char *word)
{
    catzilla_status_t status;
    do {
        char text[128];
        catzilla_put_options_t options = {0};
        options.struct_size = sizeof options;
        options.flags = CATZILLA_PUT_IF_ABSENT;
        size_t size = 0;
        catzilla_value_t *value = NULL;
        status = catzilla_cache_acquire(cache, key, strlen(key), &value);
        if (status < 0)
            return failed("acquire");
        if (status == CATZILLA_OK) {
            size = catzilla_value_size(value);
            if (size + strlen(word) + 1 > sizeof text) {
                catzilla_value_release(value);
                return 1;
            }
            memcpy(text, catzilla_value_data(value), size);
            text[size++] = ' ';
            options.flags = 0;
            /* 0: it has gone since it was read, so the text is an old one. */
            options.expected_version = catzilla_value_version(value);
            catzilla_value_release(value);
            if (options.expected_version == 0) {
                status = CATZILLA_VERSION_MISMATCH;
                continue;
            }
        }
        memcpy(text + size, word, strlen(word));
        status = catzilla_cache_put_with(cache, key, strlen(key), text, size + strlen(word), &options, NULL);
        if (status < 0)
            return failed("put_with");
    } while (status != CATZILLA_OK);
    return 0;
}

static int use(catzilla_cache_t *cache)
{
    if (append(cache, "words", "one") != 0 || append(cache, "words", "two") != 0)
        return 1;
    char buffer[128];
    size_t size = 0;
    if (catzilla_cache_read(cache, "words", 5, buffer, sizeof buffer, &size) != CATZILLA_OK)
        return failed("read");
    printf("words:   %.*s\n", (int)size, buffer);

    /* The first call stores 1, each later one adds. */
    int64_t visits = 0;
    for (int i = 0; i < 3; i++)
        if (catzilla_cache_increment(cache, "visits", 6, 1, 1, 60 * 1000, &visits) != CATZILLA_OK)
            return failed("increment");
    printf("visits:  %" PRId64 "\n", visits);

    /* Two pages of one product, which go when the product changes. */
    const catzilla_bytes_t tag = {"product:7", 9};
    catzilla_put_options_t options = {0};
    options.struct_size = sizeof options;
    options.tags = &tag;
    options.tag_count = 1;
    if (catzilla_cache_put_with(cache, "page:a", 6, "...", 3, &options, NULL) != CATZILLA_OK ||
        catzilla_cache_put_with(cache, "page:b", 6, "...", 3, &options, NULL) != CATZILLA_OK ||
        catzilla_cache_put(cache, "page:c", 6, "...", 3, 0) != CATZILLA_OK)
        return failed("put_with");
    uint64_t purged = 0;
    if (catzilla_cache_purge(cache, CATZILLA_PURGE_TAG, "product:7", 9, &purged) != CATZILLA_OK)
        return failed("purge");
    printf("purged:  %" PRIu64 "\n", purged);

    catzilla_iterator_t *keys = NULL;
    if (catzilla_iterator_open(cache, "page:", 5, &keys) != CATZILLA_OK)
        return failed("iterator");
    const void *key;
    size_t key_len;
    catzilla_status_t status;
    while ((status = catzilla_iterator_next(keys, &key, &key_len)) == CATZILLA_OK)
        printf("left:    %.*s\n", (int)key_len, (const char *)key);
    catzilla_iterator_close(keys);
    return status == CATZILLA_NOT_FOUND ? 0 : failed("next");
}

int main(void)
{
    catzilla_cache_t *cache = NULL;
    if (catzilla_cache_open(NULL, &cache) != CATZILLA_OK)
        return failed("open");
    int result = use(cache);
    catzilla_cache_destroy(cache);
    return result;
}
