/* Kinds of characters in requests, one and eight at a time, and where a key is written: for `http_key.c` and `http_url.c`. */
#ifndef CATZILLA_HTTP_TEXT_H
#define CATZILLA_HTTP_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that belong to the scope or environment that they were read from. */
struct http_text {
    const unsigned char *data;
    size_t len;
};

struct http_writer {
    unsigned char *at;
};

static inline void http_put(struct http_writer *out, const void *data, size_t len)
{
    memcpy(out->at, data, len);
    out->at += len;
}

static inline int is_upper(unsigned char character)
{
    return character >= 'A' && character <= 'Z';
}

static inline unsigned char lower(unsigned char character)
{
    return is_upper(character) ? character | 0x20 : character;
}

static inline int is_blank(unsigned char character)
{
    return character == ' ' || character == '\t';
}

/* What `bytes.strip` takes away. */
static inline int is_space(unsigned char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

/* ---- Eight at a time: in every byte of a word, whatever the order of bytes ---- */

enum { WORD = 8 };

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t word_at(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, WORD);
    return word;
}

/* Not 0 when there is such a byte. */
static inline uint64_t has_byte(uint64_t word, unsigned char byte)
{
    uint64_t other = word ^ EACH(byte);
    return (other - EACH(1)) & ~other & EACH(0x80);
}

/* 0x80 in the place of every capital letter. */
static inline uint64_t capitals(uint64_t word)
{
    uint64_t low = word & EACH(0x7f);
    return ((low + EACH(0x80 - 'A')) ^ (low + EACH(0x80 - 'Z' - 1))) & ~word & EACH(0x80);
}

static inline uint64_t lower_word(uint64_t word)
{
    return word | capitals(word) >> 2;
}

static inline uint64_t has_blank(uint64_t word)
{
    return has_byte(word, ' ') | has_byte(word, '\t');
}

/* Where the first blank is of a word that has one, as `has_blank` has found. */
static inline size_t first_blank(const unsigned char *at, uint64_t found)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    (void)at;
    return (size_t)__builtin_ctzll(found) / 8;
#else
    /* `has_byte` may also mark what stands before one. */
    (void)found;
    size_t blank = 0;
    while (!is_blank(at[blank]))
        blank++;
    return blank;
#endif
}

/* Not 0 when there is a byte below 0x21 or above 0x7e. */
static inline uint64_t has_invisible(uint64_t word)
{
    return (((word - EACH(0x21)) & ~word) | word | (word + EACH(1))) & EACH(0x80);
}

static inline int has_capitals(const unsigned char *data, size_t len)
{
    if (len >= WORD) {
        const unsigned char *last = data + len - WORD;
        /* The last word may have bytes of the one before it. */
        for (; data < last; data += WORD)
            if (capitals(word_at(data)))
                return 1;
        return capitals(word_at(last)) != 0;
    }
    for (size_t at = 0; at < len; at++)
        if (is_upper(data[at]))
            return 1;
    return 0;
}

#endif
