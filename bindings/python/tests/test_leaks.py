"""A million operations on random values: memory stays where it was after the warm-up, and every value is the right one."""

from __future__ import annotations

import gc
import os
import random
import sys
import tracemalloc
from fractions import Fraction
from typing import Any

import pytest

from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig
from in_threads import in_threads
from interpreter import output_of

MIB = 2**20


def value_for(number: int) -> Any:
    """What is stored under a key of this number: each kind of value, of sizes that are compressed and that are not."""
    kind = number % 9
    if kind == 0:
        return number
    if kind == 1:
        return f"text {number} " * (number % 50)
    if kind == 2:
        return b"%d" % number * (number % 300)
    if kind == 3:
        return {"number": number, "list": [number, str(number), None, 1.5]}
    if kind == 4:
        return (number, {number, number + 1}, [b"x"] * (number % 20))
    if kind == 5:
        return None
    if kind == 6:
        return 2.0 ** (number % 100)
    return Fraction(number, 7) if kind == 7 else 2**70 + number


def work(cache: SmartCache, seed: int, operations: int) -> int:
    """Does so many operations, and checks what comes back; how many values did."""
    chance, found = random.Random(seed), 0
    for _ in range(operations):
        number, what = chance.randrange(3000), chance.random()
        key = f"key {number}"
        if what < 0.45:
            value, is_there = cache.get(key)
            if is_there:
                assert value == value_for(number) and type(value) is type(value_for(number)), key
                found += 1
        elif what < 0.8:
            cache.set(key, value_for(number), None if what < 0.7 else 0.001)
        elif what < 0.86:
            cache.set(key, value_for(number), tags=[f"tag {number % 10}"])
        elif what < 0.92:
            cache.delete(key)
        elif what < 0.95:
            assert cache.get_or_set(key, lambda: value_for(number)) == value_for(number)
        elif what < 0.97:
            assert all(value == value_for(int(each[4:])) for each, value in cache.get_many([key, f"key {(number + 1) % 3000}"]).items())
        elif what < 0.98:
            try:
                cache[f"absent {number}"]
            except KeyError:
                pass
        elif what < 0.99:
            assert cache.incr(f"count {number % 5}") > 0
        elif what < 0.9999:
            key in cache, cache.touch(key, 60)
        else:
            cache.invalidate(f"tag {number % 10}")
    return found


def test_a_million_operations_leave_memory_where_it_was() -> None:
    """In a process of its own, so that nothing else is in the figures; a thousand entries are evicted all the time."""
    printed = output_of(
        """
        import gc, os, sys
        from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig
        from test_leaks import work

        def resident():
            gc.collect()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        cache = SmartCache(SmartCacheConfig(memory_capacity=1000))
        work(cache, 1, 250_000)
        blocks, before = sys.getallocatedblocks(), resident()
        found = work(cache, 2, 1_000_000)
        assert found > 10_000 and cache.get_stats().evictions > 10_000
        print(sys.getallocatedblocks() - blocks, resident() - before)
        """,
        # This module and what it imports.
        python_path=os.pathsep.join(sys.path),
    )
    blocks, resident = map(int, printed.split())
    # One block kept in a hundred operations would be 10,000; eight bytes each, 8 MiB.
    assert blocks < 5000, printed
    assert resident < 8 * MIB, printed


def test_what_python_allocates_stays_flat() -> None:
    with SmartCache(SmartCacheConfig(memory_capacity=500)) as cache:
        work(cache, 3, 20_000)
        gc.collect()
        tracemalloc.start()
        try:
            work(cache, 4, 20_000)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            work(cache, 5, 40_000)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    # Two bytes an operation.
    assert grown < 80_000


@pytest.mark.parametrize("capacity", [200, 100_000])
def test_eight_threads_never_get_a_wrong_value(capacity: int) -> None:
    with SmartCache(SmartCacheConfig(memory_capacity=capacity)) as cache:
        assert all(in_threads(8, lambda number: work(cache, number, 8000)))
        stats = cache.get_stats()
        assert stats.hits + stats.misses == stats.requests and stats.refused == 0 and stats.size == len(cache) <= capacity


def test_opening_and_closing_caches_leaves_nothing() -> None:
    def cycle(count: int) -> None:
        for number in range(count):
            with SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
                cache.set("key", Fraction(1, 3))
                assert cache.get("key") == (Fraction(1, 3), True)

    def resident() -> int:
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("this system does not tell how much memory a process has")
    cycle(100)
    before = resident()
    cycle(300)
    # An arena or a thread that stayed would be far more than 50 KiB each.
    assert resident() - before < 300 * 50 * 1024
