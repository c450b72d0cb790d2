/* Uses the installed library and tells how it came in: "consumer shared" as an argument demands the shared library, "static"
 * that none is loaded. */
#include <cache_engine.h>
#include <catzilla_cache.h>

#include <stdio.h>
#include <string.h>

static int shared_library_is_loaded(void)
{
    char line[1024];
    int loaded = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        loaded |= strstr(line, "libcatzilla_cache.so") != NULL;
    if (maps != NULL)
        fclose(maps);
    return loaded;
}

int main(int count, char **arguments)
{
    int wants_shared = count == 2 && strcmp(arguments[1], "shared") == 0;
    catzilla_cache_t *cache = catzilla_cache_create(10, 0);
    if (catzilla_cache_set(cache, "k", "value", 5, 60) != 0 || !catzilla_cache_get(cache, "k").found) {
        fprintf(stderr, "the cache does not work: %s\n", catzilla_last_error_message());
        return 1;
    }
    catzilla_cache_destroy(cache);
    if (strcmp(catzilla_version(), CATZILLA_CACHE_VERSION) != 0) {
        fprintf(stderr, "header %s, library %s\n", CATZILLA_CACHE_VERSION, catzilla_version());
        return 1;
    }
    if (shared_library_is_loaded() != wants_shared) {
        fprintf(stderr, "linked the wrong way: the shared library is %sloaded\n", wants_shared ? "not " : "");
        return 1;
    }
    printf("catzilla-cache %s, %s\n", catzilla_version(), wants_shared ? "shared" : "static");
    return 0;
}
