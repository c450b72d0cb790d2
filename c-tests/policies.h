/* The eviction policies of the library that is tested, read from its own table: one that is added is tested without a word
 * here. */
#ifndef CATZILLA_TESTS_POLICIES_H
#define CATZILLA_TESTS_POLICIES_H

#include "catzilla_cache.h"

#include <stdio.h>
#include <string.h>

#define POLICY_NAME_MAX 32

/* Copies the name of policy number `index` into `name`; false when there are not so many. */
static inline bool policy_name(size_t index, char name[POLICY_NAME_MAX])
{
    for (size_t row = 0; row < catzilla_option_count(); row++) {
        const catzilla_option_info_t *info = catzilla_option_info(row);
        if (strcmp(info->name, "memory.policy") != 0)
            continue;
        const char *begin = info->range;
        for (; index > 0 && begin != NULL; index--) {
            begin = strstr(begin, ", ");
            begin = begin == NULL ? NULL : begin + 2;
        }
        if (begin == NULL)
            return false;
        snprintf(name, POLICY_NAME_MAX, "%.*s", (int)strcspn(begin, ","), begin);
        return true;
    }
    return false;
}

/* A cache with these options; NULL if one of them is refused. */
static inline catzilla_cache_t *open_with(const char *policy, const char *capacity, bool compression, bool jemalloc)
{
    catzilla_options_t *options = catzilla_options_create();
    catzilla_cache_t *cache = NULL;
    bool set = catzilla_options_set(options, "memory.policy", policy) == CATZILLA_OK &&
               catzilla_options_set(options, "memory.capacity", capacity) == CATZILLA_OK &&
               catzilla_options_set(options, "memory.compression", compression ? "on" : "off") == CATZILLA_OK &&
               catzilla_options_set(options, "memory.jemalloc", jemalloc ? "on" : "off") == CATZILLA_OK;
    if (set)
        catzilla_cache_open(options, &cache);
    catzilla_options_destroy(options);
    return cache;
}

#endif
