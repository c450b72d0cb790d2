/* Time for tests. A test waits with a generous deadline and never asserts that something was fast. */
#ifndef CATZILLA_TESTS_WAITING_H
#define CATZILLA_TESTS_WAITING_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* Arbitrary: far longer than a loaded machine needs, so that reaching it means "never". */
#define PATIENCE_MS 20000

static inline uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static inline uint64_t now_ms(void)
{
    return now_us() / 1000u;
}

static inline void pause_ms(unsigned ms)
{
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};
    nanosleep(&pause, NULL);
}

/* How long a stress test runs: CATZILLA_STRESS_MS makes the long form of it. */
static inline uint64_t stress_ms(uint64_t otherwise)
{
    const char *given = getenv("CATZILLA_STRESS_MS");
    return given != NULL ? strtoull(given, NULL, 10) : otherwise;
}

#endif
