#include "blake2b.h"

#include <stdint.h>
#include <string.h>

enum { BLOCK = 128, ROUNDS = 12 };

/* The numbers are the RFC's: SHA-512's initial state, and the order in which each round takes the words of a block. */
static const uint64_t INITIAL[8] = {
    UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1),
    UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f), UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179),
};

static const unsigned char ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t rotated(uint64_t word, unsigned by)
{
    return word >> by | word << (64 - by);
}

static inline uint64_t little_endian(const unsigned char *at)
{
    /* A compiler makes one load of this. */
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24 | (uint64_t)at[4] << 32 |
           (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 | (uint64_t)at[7] << 56;
}

#define MIX(a, b, c, d, x, y) \
    do { \
        v[a] += v[b] + (x); \
        v[d] = rotated(v[d] ^ v[a], 32); \
        v[c] += v[d]; \
        v[b] = rotated(v[b] ^ v[c], 24); \
        v[a] += v[b] + (y); \
        v[d] = rotated(v[d] ^ v[a], 16); \
        v[c] += v[d]; \
        v[b] = rotated(v[b] ^ v[c], 63); \
    } while (0)

static void compress(uint64_t state[8], const unsigned char block[BLOCK], uint64_t bytes_so_far, int last)
{
    uint64_t v[16], words[16];
    for (int index = 0; index < 8; index++) {
        v[index] = state[index];
        v[index + 8] = INITIAL[index];
    }
    /* The upper half of the count is 0: no key comes from 2**64 bytes. */
    v[12] ^= bytes_so_far;
    if (last)
        v[14] = ~v[14];
    for (int index = 0; index < 16; index++)
        words[index] = little_endian(block + 8 * index);
    /* Unrolled, the order is in the instructions: half the time. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 12
#endif
    for (int round = 0; round < ROUNDS; round++) {
        const unsigned char *order = ORDER[round % 10];
        MIX(0, 4, 8, 12, words[order[0]], words[order[1]]);
        MIX(1, 5, 9, 13, words[order[2]], words[order[3]]);
        MIX(2, 6, 10, 14, words[order[4]], words[order[5]]);
        MIX(3, 7, 11, 15, words[order[6]], words[order[7]]);
        MIX(0, 5, 10, 15, words[order[8]], words[order[9]]);
        MIX(1, 6, 11, 12, words[order[10]], words[order[11]]);
        MIX(2, 7, 8, 13, words[order[12]], words[order[13]]);
        MIX(3, 4, 9, 14, words[order[14]], words[order[15]]);
    }
    for (int index = 0; index < 8; index++)
        state[index] ^= v[index] ^ v[index + 8];
}

void blake2b(const unsigned char *data, size_t len, unsigned char result[BLAKE2B_LEN])
{
    uint64_t state[8];
    memcpy(state, INITIAL, sizeof state);
    /* The parameter block: the result's length, no key, a tree of one leaf. */
    state[0] ^= UINT64_C(0x01010000) ^ BLAKE2B_LEN;
    uint64_t done = 0;
    while (len > BLOCK) {
        done += BLOCK;
        compress(state, data, done, 0);
        data += BLOCK;
        len -= BLOCK;
    }
    unsigned char rest[BLOCK] = {0};
    if (len > 0)
        memcpy(rest, data, len);
    compress(state, rest, done + len, 1);
    for (int index = 0; index < BLAKE2B_LEN; index++)
        result[index] = (unsigned char)(state[index / 8] >> 8 * (index % 8));
}
