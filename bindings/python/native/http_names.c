#include "http_names.h"

#include <stdlib.h>

int http_names_begin(struct http_names *names, size_t count)
{
    /* A quarter full at most: most look-ups are of names that are not there, and end at the first slot. */
    size_t slots = 8;
    while (slots < 4 * count)
        slots *= 2;
    names->slots = calloc(slots, sizeof *names->slots);
    names->mask = slots - 1;
    return names->slots == NULL ? -1 : 0;
}

void http_names_end(struct http_names *names)
{
    free(names->slots);
    names->slots = NULL;
}

struct http_name *http_names_put(struct http_names *names, const void *data, size_t len)
{
    struct http_ends ends = http_ends_of(data, len);
    size_t at = http_mixed(ends, len) & names->mask;
    while (names->slots[at].data != NULL) {
        if (http_is_name(&names->slots[at], data, len, ends))
            return &names->slots[at];
        at = (at + 1) & names->mask;
    }
    names->slots[at] = (struct http_name){data, len, ends, ROLE_NONE, NO_NUMBER};
    return &names->slots[at];
}
