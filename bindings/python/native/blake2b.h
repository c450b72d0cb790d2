/* BLAKE2b of RFC 7693, with a result of 128 bits and no key: what `hashlib.blake2b(data, digest_size=16)` gives. */
#ifndef CATZILLA_BLAKE2B_H
#define CATZILLA_BLAKE2B_H

#include <stddef.h>

enum { BLAKE2B_LEN = 16 };

void blake2b(const unsigned char *data, size_t len, unsigned char result[BLAKE2B_LEN]);

#endif
