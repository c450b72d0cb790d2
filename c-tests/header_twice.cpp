// header_twice.c for C++: each public header needs nothing before it, and may be included again.
#include CATZILLA_HEADER
#include CATZILLA_HEADER

static catzilla_cache_t *cache;
static cache_config_t config;

int main(void)
{
    (void)config;
    return cache != 0;
}
