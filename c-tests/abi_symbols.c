/* What a program finds in the shared library at run time: every promised function, the soname, and nothing of the host's. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int mismatches;

static void complain(const char *what, const char *name)
{
    printf("%s: %s\n", what, name);
    mismatches++;
}

static const char *const promised[] = {
    /* classic */
    "catzilla_cache_create", "catzilla_cache_create_with_config", "catzilla_cache_set", "catzilla_cache_get",
    "catzilla_cache_delete", "catzilla_cache_exists", "catzilla_cache_get_stats", "catzilla_cache_clear",
    "catzilla_cache_destroy", "catzilla_cache_configure", "catzilla_cache_expire_entries",
    "catzilla_cache_memory_usage", "catzilla_cache_resize", "catzilla_cache_generate_key", "catzilla_cache_hash_key",
    "catzilla_cache_get_timestamp", "multi_cache_create", "multi_cache_get", "multi_cache_set", "multi_cache_delete",
    "multi_cache_destroy",
    /* modern */
    "catzilla_last_error_message", "catzilla_last_error_code", "catzilla_status_name", "catzilla_version",
    "catzilla_version_number", "catzilla_abi_version", "catzilla_options_create", "catzilla_options_set",
    "catzilla_options_destroy", "catzilla_option_count", "catzilla_option_info", "catzilla_cache_open",
    "catzilla_cache_put", "catzilla_cache_read", "catzilla_cache_acquire", "catzilla_value_data",
    "catzilla_value_size", "catzilla_value_ttl_ms", "catzilla_value_release", "catzilla_cache_remove",
    "catzilla_cache_contains", "catzilla_cache_purge", "catzilla_cache_set_option", "catzilla_cache_statistics", "catzilla_set_logger",
    "catzilla_release_results", "catzilla_cache_get_many", "catzilla_cache_put_many", "catzilla_cache_remove_many",
    "catzilla_cache_flush", "catzilla_cache_health", "catzilla_cache_tier_statistics",
    "catzilla_cache_sweep", "catzilla_cache_put_with", "catzilla_value_version", "catzilla_value_tier", "catzilla_cache_touch",
    "catzilla_cache_increment", "catzilla_iterator_open", "catzilla_iterator_next", "catzilla_iterator_close",
    "catzilla_cache_set_listener", "catzilla_departed_key", "catzilla_departed_key_size", "catzilla_departed_value",
    "catzilla_departed_value_size", "catzilla_departed_cause",
};

/* Names that the program around the library owns, or that would replace the program's allocator. */
static const char *const forbidden[] = {
    "catzilla_cache_alloc", "catzilla_cache_free", "catzilla_cache_realloc", "mallocx", "mallctl", "_rjem_mallctl",
};

static int is_mapped(const char *name)
{
    char line[512];
    int mapped = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        mapped |= strstr(line, name) != NULL;
    if (maps != NULL)
        fclose(maps);
    return mapped;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        printf("usage: abi_symbols library\n");
        return 2;
    }
    if (is_mapped("libcatzilla_cache"))
        complain("this program must not be linked with the library", arguments[0]);
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        printf("dlopen: %s\n", dlerror());
        return 1;
    }
    for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++)
        if (dlsym(library, promised[i]) == NULL)
            complain("not exported", promised[i]);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (dlsym(library, forbidden[i]) != NULL)
            complain("must not be exported", forbidden[i]);

    /* Asked for by soname, the loader answers with the library that is already there. */
    if (dlopen(SONAME, RTLD_NOW | RTLD_NOLOAD) != library)
        complain("the soname is not", SONAME);

    /* Threads may still run destructors of the library's when its handle is closed: it must stay. */
    dlclose(library);
    dlclose(library);
    if (!is_mapped("libcatzilla_cache"))
        complain("unloaded by dlclose", arguments[1]);
    return mismatches != 0;
}
