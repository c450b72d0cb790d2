"""What a cache says of itself: counters that add up, bytes that rise and fall."""

from __future__ import annotations

import dataclasses
import os

import pytest

from catzilla_cache import BytesCache


def test_hits_misses_and_requests_add_up(cache: BytesCache) -> None:
    cache.set("key", b"value")
    for _ in range(3):
        cache.get("key")
    cache.get("absent")
    counted = cache.statistics()
    assert (counted.hits, counted.misses, counted.requests) == (3, 1, 4)
    assert counted.hit_ratio == pytest.approx(0.75)
    assert (counted.memory_hits, counted.memory_misses) == (3, 1)


def test_asking_whether_a_key_is_there_is_no_request(cache: BytesCache) -> None:
    cache.set("key", b"value")
    assert "key" in cache and "absent" not in cache
    assert cache.statistics().requests == 0


def test_puts_and_removals_are_counted(cache: BytesCache) -> None:
    cache.set("a", b"1")
    cache.set("a", b"2")
    cache.set("b", b"3")
    cache.delete("a")
    cache.delete("absent")
    counted = cache.statistics()
    assert (counted.puts, counted.removals, counted.memory_entries) == (3, 1, 1)


def test_a_reading_into_a_buffer_that_was_too_small_is_one_request(cache: BytesCache) -> None:
    cache.set("key", os.urandom(300_000))
    cache.get("key")
    counted = cache.statistics()
    assert (counted.hits, counted.misses, counted.requests) == (1, 0, 1)


def test_memory_rises_with_what_is_stored_and_falls_with_what_is_deleted(cache: BytesCache) -> None:
    empty = cache.statistics().memory_bytes
    value = os.urandom(100_000)
    for number in range(10):
        cache.set(str(number), value)
    full = cache.statistics().memory_bytes
    assert full - empty >= 10 * len(value)
    for number in range(10):
        cache.delete(str(number))
    assert cache.statistics().memory_bytes <= full - 10 * len(value)


def test_compression_is_counted_and_hidden() -> None:
    text = b'{"name": "catzilla", "kind": "cache"}' * 500
    with BytesCache({"memory.compression": True}) as cache:
        cache.set("key", text)
        assert cache.get("key") == text
        counted = cache.statistics()
        assert counted.memory_compressed_puts == 1
        assert counted.memory_compression_input_bytes == len(text)
        assert 0 < counted.memory_compression_output_bytes < len(text)
        assert counted.memory_bytes < len(text)
    with BytesCache({"memory.compression": False}) as cache:
        cache.set("key", text)
        assert cache.statistics().memory_compressed_puts == 0
        assert cache.statistics().memory_bytes >= len(text)


def test_bounds_that_do_not_exist_are_none() -> None:
    with BytesCache({"memory.capacity": 123}) as cache:
        assert cache.statistics().memory_capacity == 123
        assert cache.statistics().memory_max_bytes is None
    with BytesCache({"memory.capacity": "unlimited", "memory.max_bytes": 10_000_000}) as cache:
        assert cache.statistics().memory_capacity is None
        assert cache.statistics().memory_max_bytes == 10_000_000


def test_a_snapshot_does_not_change_afterwards(cache: BytesCache) -> None:
    before = cache.statistics()
    cache.get("absent")
    assert before.misses == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.misses = 1  # type: ignore[misc]
