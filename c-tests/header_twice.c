/* Compiled with CATZILLA_HEADER set to each public header in turn: it needs nothing before it, and may be included again. */
#include CATZILLA_HEADER
#include CATZILLA_HEADER

static catzilla_cache_t *cache;
static cache_config_t config;

int main(void)
{
    (void)config;
    return cache != 0;
}
