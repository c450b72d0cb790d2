#include "native.h"

#include "http_tails.h"

#ifdef Py_GIL_DISABLED

/* Requests are read by many threads at once then: to share what is kept would cost them more than to make it. */
int http_tails_begin(struct http_tails *tails)
{
    tails->slots = NULL;
    return 0;
}

int http_tails_find(const struct http_tails *tails, const struct http_told *told, struct http_writer *out)
{
    (void)tails, (void)told, (void)out;
    return 0;
}

void http_tails_keep(const struct http_tails *tails, const struct http_told *told, const unsigned char *data, size_t len)
{
    (void)tails, (void)told, (void)data, (void)len;
}

#else

/* All of this runs with the interpreter's lock, and nothing in it lets go of that. */
int http_tails_begin(struct http_tails *tails)
{
    tails->slots = PyMem_Calloc(TAILS, sizeof *tails->slots);
    return tails->slots == NULL ? -1 : 0;
}

static struct http_tail *slot_of(const struct http_tails *tails, const struct http_told *told)
{
    return &tails->slots[(told->hash ^ told->hash >> 7) % TAILS];
}

int http_tails_find(const struct http_tails *tails, const struct http_told *told, struct http_writer *out)
{
    const struct http_tail *slot = slot_of(tails, told);
    if (slot->told_len != told->len || memcmp(slot->told, told->data, told->len) != 0)
        return 0;
    http_put(out, slot->data, slot->len);
    return 1;
}

void http_tails_keep(const struct http_tails *tails, const struct http_told *told, const unsigned char *data, size_t len)
{
    struct http_tail *slot = slot_of(tails, told);
    if (len > LONGEST_TAIL)
        return;
    memcpy(slot->told, told->data, told->len);
    memcpy(slot->data, data, len);
    slot->told_len = (uint16_t)told->len;
    slot->len = (uint16_t)len;
}

#endif

void http_tails_end(struct http_tails *tails)
{
    PyMem_Free(tails->slots);
    tails->slots = NULL;
}
