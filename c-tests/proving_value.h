/*
 * Values that prove themselves: whoever reads one can tell, from its bytes alone, that it belongs to the key asked for and
 * that no byte of it is another value's or a freed block's.
 *
 *   key u32 | seed u32 | length u32 | sum u32 | pattern made from the seed ...
 */
#ifndef CATZILLA_TESTS_PROVING_VALUE_H
#define CATZILLA_TESTS_PROVING_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PROVING_HEADER 16u
#define PROVING_MAX 4096u

static inline uint32_t next_random(uint32_t *state)
{
    /* xorshift32 (Marsaglia 2003): deterministic, any non-zero state */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static inline uint32_t proving_sum(uint32_t key, uint32_t seed, uint32_t length)
{
    return (key * 2654435761u) ^ (seed * 2246822519u) ^ (length * 3266489917u) ^ 0x5eedu;
}

static inline size_t make_proving_value(unsigned char *bytes, uint32_t key, uint32_t seed)
{
    uint32_t state = seed | 1u;
    uint32_t length = PROVING_HEADER + next_random(&state) % (PROVING_MAX - PROVING_HEADER + 1);
    uint32_t header[4] = {key, seed, length, proving_sum(key, seed, length)};
    memcpy(bytes, header, sizeof header);
    for (uint32_t i = PROVING_HEADER; i < length; i++)
        bytes[i] = (unsigned char)(seed + i * 7u);
    return length;
}

static inline bool value_proves_itself(const void *data, size_t size, uint32_t key)
{
    const unsigned char *bytes = data;
    uint32_t header[4];
    if (bytes == NULL || size < PROVING_HEADER || size > PROVING_MAX)
        return false;
    memcpy(header, bytes, sizeof header);
    if (header[0] != key || header[2] != size || header[3] != proving_sum(key, header[1], header[2]))
        return false;
    for (uint32_t i = PROVING_HEADER; i < size; i++)
        if (bytes[i] != (unsigned char)(header[1] + i * 7u))
            return false;
    return true;
}

#endif
