"""Eight threads on few keys: no value is ever torn, mixed up or invented, whatever the others do meanwhile."""

from __future__ import annotations

import hashlib
import random

import pytest

from catzilla_cache import BytesCache
from in_threads import in_threads

THREADS = 8
OPERATIONS = 4000
KEYS = 40


def value_of(key: str, version: int) -> bytes:
    """A value that can be checked without knowing which one was stored: key, version, filling, digest of all that."""
    body = f"{key}|{version}|".encode() + bytes([version % 251]) * (version * 37 % 6000)
    return body + hashlib.blake2b(body, digest_size=16).digest()


def check(key: str, value: bytes) -> None:
    body, digest = value[:-16], value[-16:]
    assert hashlib.blake2b(body, digest_size=16).digest() == digest, f"a torn value for {key}"
    assert body.startswith(key.encode() + b"|"), f"the value of another key for {key}: {body[:40]!r}"


@pytest.mark.parametrize(
    "options",
    [
        {"memory.capacity": KEYS * 2},
        {"memory.capacity": KEYS // 3},
        {"memory.capacity": KEYS // 3, "memory.compression": False, "memory.jemalloc": False, "memory.shards": 1},
        {"memory.capacity": "unlimited", "memory.max_bytes": "64KiB"},
    ],
    ids=["roomy", "evicting", "evicting, one shard, plain", "bounded in bytes"],
)
def test_eight_threads_mixing_every_call_see_only_values_that_were_stored(options: dict[str, object]) -> None:
    hits = [0] * THREADS

    def work(number: int) -> None:
        choose = random.Random(number)
        for step in range(OPERATIONS):
            key = f"key {choose.randrange(KEYS)}"
            what = choose.random()
            if what < 0.45:
                value = cache.get(key)
                if value is not None:
                    check(key, value)
                    hits[number] += 1
            elif what < 0.85:
                ttl = choose.choice((None, 0.002, 60))
                cache.set(key, value_of(key, choose.randrange(500)), ttl=ttl)
            elif what < 0.93:
                cache.delete(key)
            elif what < 0.97:
                assert (key in cache) in (True, False)
            elif what < 0.995:
                assert cache.statistics().requests >= hits[number]
            else:
                cache.clear()

    with BytesCache(options) as cache:
        in_threads(THREADS, work)
        counted = cache.statistics()
        assert counted.hits == sum(hits) > 0
        assert counted.requests == counted.hits + counted.misses
        if counted.memory_capacity is not None:
            assert counted.memory_entries <= counted.memory_capacity
        if counted.memory_max_bytes is not None:
            assert counted.memory_bytes <= counted.memory_max_bytes
        for number in range(KEYS):
            value = cache.get(f"key {number}")
            if value is not None:
                check(f"key {number}", value)
        cache.clear()
        assert len(cache) == 0


def test_each_thread_finds_what_it_alone_wrote() -> None:
    def work(number: int) -> None:
        for step in range(OPERATIONS // 4):
            key = f"{number}/{step % 50}"
            value = value_of(key, step)
            cache[key] = value
            assert cache[key] == value

    with BytesCache({"memory.capacity": THREADS * 100}) as cache:
        in_threads(THREADS, work)
        assert len(cache) == THREADS * 50


def test_caches_opened_and_closed_by_many_threads_at_once() -> None:
    def work(number: int) -> None:
        for step in range(50):
            with BytesCache({"memory.capacity": 10}) as cache:
                for item in range(20):
                    cache[f"{item}"] = value_of(f"{item}", step)
                assert len(cache) == 10
                check("19", cache["19"])

    in_threads(THREADS, work)
