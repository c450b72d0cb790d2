/*
 * The program that hosts the library already has functions named catzilla_cache_alloc, _free and _realloc. They must neither
 * clash with the library's names nor be picked up by it.
 */
#include "cache_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int calls_of_the_hosts_functions;

void *catzilla_cache_alloc(size_t size);
void catzilla_cache_free(void *pointer);
void *catzilla_cache_realloc(void *pointer, size_t size);

void *catzilla_cache_alloc(size_t size)
{
    calls_of_the_hosts_functions++;
    return malloc(size);
}

void catzilla_cache_free(void *pointer)
{
    calls_of_the_hosts_functions++;
    free(pointer);
}

void *catzilla_cache_realloc(void *pointer, size_t size)
{
    calls_of_the_hosts_functions++;
    return realloc(pointer, size);
}

int main(void)
{
    catzilla_cache_t *cache = catzilla_cache_create(2, 0);
    const char *keys[] = {"a", "b", "c"};
    int stored = 0;
    for (int i = 0; i < 3; i++)
        stored += catzilla_cache_set(cache, keys[i], keys[i], 1, 60) == 0;
    cache_result_t result = catzilla_cache_get(cache, "c");
    int right = stored == 3 && result.found && memcmp(result.data, "c", 1) == 0;
    catzilla_cache_destroy(cache);
    if (!right)
        fprintf(stderr, "the cache does not work beside the host's functions\n");
    if (calls_of_the_hosts_functions != 0)
        fprintf(stderr, "the library called the host's functions %d times\n", calls_of_the_hosts_functions);
    return right && calls_of_the_hosts_functions == 0 ? 0 : 1;
}
