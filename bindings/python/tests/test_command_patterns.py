"""The command line's own reading of patterns, beside the library's: ``purge --pattern`` counts with the one and removes with the other."""

from __future__ import annotations

import itertools
import random

from catzilla_cache import BytesCache
from catzilla_cache.command.key_pattern import KeyPattern


def agree(pattern: bytes, keys: "list[bytes]", cache: BytesCache) -> None:
    cache.clear()
    cache.set_many(dict.fromkeys(keys, b""))
    read = KeyPattern(pattern)
    fitting = {key for key in keys if read.fits(key)}
    assert all(key.startswith(read.beginning) for key in fitting), pattern
    assert cache.delete_pattern(pattern) == len(fitting), pattern
    assert set(cache.keys()) == set(keys) - fitting, pattern


def test_every_short_pattern_fits_the_keys_that_the_library_takes() -> None:
    keys = [bytes(key) for length in range(4) for key in itertools.product(b"a*\\", repeat=length)]
    with BytesCache() as cache:
        for length in range(5):
            for pattern in itertools.product(b"a*?\\", repeat=length):
                agree(bytes(pattern), keys, cache)


def test_long_patterns_fit_the_keys_that_the_library_takes() -> None:
    chance = random.Random(5)
    with BytesCache() as cache:
        for _ in range(300):
            pattern = bytes(chance.choices(b"ab\n\xff.[*?\\", weights=(6, 6, 2, 2, 2, 1, 4, 4, 1), k=chance.randrange(40)))
            keys = {bytes(chance.choices(b"ab\n\xff.[", k=chance.randrange(30))) for _ in range(20)}
            # Some that fit, which by chance hardly any does.
            keys |= {bytes(chance.choice(b"ab\n") if sign in b"*?" else sign for sign in pattern.replace(b"\\", b"")) for _ in range(5)}
            agree(pattern, sorted(keys), cache)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    pattern = KeyPattern(b"*a" * 2048)
    assert not pattern.fits(b"a" * 2047) and pattern.fits(b"a" * 2048)
    assert not KeyPattern(b"*a" * 500 + b"*b").fits(b"a" * 100_000)
