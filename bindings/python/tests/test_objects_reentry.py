"""User code in the middle of the object cache's calls: __eq__, __hash__, __del__ and weighers that use the very cache, and
memory."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import tracemalloc
import weakref
from typing import Any, Callable, Optional

import pytest

from catzilla_cache.objects import EvictionPolicy, SmartCache, cached


class Key:
    """Equal by number, with one hash for all; calls somebody when it is compared."""

    meddle: Optional[Callable[[], object]] = None

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 5

    def __eq__(self, other: object) -> bool:
        meddle, Key.meddle = Key.meddle, None
        if meddle is not None:
            meddle()
        return isinstance(other, Key) and self.number == other.number


def filled(policy: EvictionPolicy = EvictionPolicy.LRU) -> SmartCache[Any, Any]:
    cache = SmartCache[Any, Any](max_size=8, policy=policy)
    for number in range(8):
        cache[Key(number)] = number
    return cache


MEDDLERS: dict[str, Callable[[SmartCache[Any, Any]], object]] = {
    "clears": lambda cache: cache.clear(),
    "removes the key": lambda cache: cache.remove(Key(7)),
    "removes others": lambda cache: [cache.remove(Key(number)) for number in range(7)],
    "puts the key": lambda cache: cache.put(Key(7), "new"),
    "removes and puts the key": lambda cache: (cache.remove(Key(7)), cache.put(Key(7), "new")),
    "removes and puts all": lambda cache: [(cache.remove(Key(n)), cache.put(Key(n), "new")) for n in range(8)],
    "evicts all": lambda cache: [cache.put(Key(number), "other") for number in range(100, 108)],
    "shrinks": lambda cache: cache.set_max_size(1),
    "grows": lambda cache: (cache.set_max_size(1000), [cache.put(number, number) for number in range(500)]),
    "changes the policy": lambda cache: cache.set_policy(EvictionPolicy.S3FIFO),
    "asks": lambda cache: [cache.get(Key(number)) for number in range(8)],
}

CALLS: dict[str, Callable[[SmartCache[Any, Any]], object]] = {
    "get": lambda cache: cache.get(Key(7), "default"),
    "put": lambda cache: cache.put(Key(7), "put"),
    "put another": lambda cache: cache.put(Key(50), "put"),
    "contains": lambda cache: cache.contains(Key(7)),
    "remove": lambda cache: cache.remove(Key(7)),
    "get_or_set": lambda cache: cache.get_or_set(Key(7), lambda: "loaded"),
}


@pytest.mark.parametrize("policy", EvictionPolicy, ids=lambda policy: policy.value)
@pytest.mark.parametrize("meddler", MEDDLERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_comparison_may_do_anything_to_the_cache(call: str, meddler: str, policy: EvictionPolicy) -> None:
    cache = filled(policy)
    Key.meddle = lambda: MEDDLERS[meddler](cache)
    result = CALLS[call](cache)
    assert Key.meddle is None, "nothing was compared"
    assert result in (7, "new", "default", "loaded", True, False, None)
    # It is a sound cache afterwards: nothing twice, the bound kept, and every key found.
    keys = cache.keys()
    assert len({key.number if isinstance(key, Key) else ("int", key) for key in keys}) == len(keys) == len(cache)
    bound = cache.get_max_size()
    assert bound is not None and len(cache) <= bound
    for key in keys:
        assert cache.contains(key)
    if call == "put":
        assert cache.get(Key(7)) == "put"
    if call == "remove":
        assert not cache.contains(Key(7))
    for number in range(2000, 2000 + 2 * bound):
        cache.put(number, number)
    assert len(cache) == bound


def test_a_table_that_grows_while_keys_are_compared_loses_none_of_them() -> None:
    cache = SmartCache[Any, Any](max_size=None)
    numbers = list(range(8))
    for number in numbers:
        cache[Key(number)] = number
    # Their places are given out anew in another order, and then the table grows: with it, who is compared before whom
    # changes.
    for number in (0, 1, 2, 3):
        cache.remove(Key(number))
    for number in (0, 1, 2, 3):
        cache[Key(number)] = number
    for asked in numbers:
        Key.meddle = lambda: [cache.put(f"{asked}, {filling}", filling) for filling in range(3 * len(cache))]
        assert cache.get(Key(asked)) == asked
        Key.meddle = None
        cache[Key(asked)] = asked
        assert sum(isinstance(key, Key) for key in cache.keys()) == len(numbers)


def test_a_comparison_that_raises_stops_the_call_and_changes_nothing() -> None:
    def fail() -> None:
        raise OSError("compared")

    cache = filled()
    for call in CALLS.values():
        Key.meddle = fail
        with pytest.raises(OSError, match="compared"):
            call(cache)
        assert sorted(key.number for key in cache.keys()) == list(range(8))
    assert cache.stats()["hits"] == cache.stats()["misses"] == 0


def test_a_hash_that_uses_the_cache_or_raises() -> None:
    class Hashed:
        def __hash__(self) -> int:
            cache.clear()
            cache["from the hash"] = 1
            return 9

    class Failing:
        def __hash__(self) -> int:
            raise OSError("hashed")

    cache = SmartCache[Any, Any](max_size=3)
    key = Hashed()
    cache[key] = 1
    assert len(cache) == 2
    assert cache.get(key) is None and cache.keys() == ["from the hash"]
    for call in (cache.get, cache.remove, cache.contains, cache.__getitem__):
        with pytest.raises(OSError, match="hashed"):
            call(Failing())
    assert len(cache) == 1


class Finalised:
    """Calls somebody when it is dropped."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def __del__(self) -> None:
        self.call()


def test_a_finaliser_finds_the_cache_as_it_is_after_what_dropped_the_value() -> None:
    seen: list[Any] = []
    cache = SmartCache[Any, Any](max_size=2)

    def look() -> None:
        seen.append((sorted(cache.keys()), len(cache)))

    cache["a"] = Finalised(look)
    cache["a"] = 1
    cache["a"] = Finalised(look)
    cache["b"] = 1
    cache["c"] = 1
    cache["d"] = Finalised(look)
    cache.remove("d")
    cache["e"] = Finalised(look)
    cache.clear()
    cache["f"] = Finalised(look)
    cache["g"] = 1
    cache.set_max_size(1)
    assert seen == [(["a"], 1), (["b", "c"], 2), (["c"], 1), ([], 0), (["g"], 1)]


def test_a_finaliser_may_put_remove_and_clear() -> None:
    cache = SmartCache[Any, Any](max_size=3)
    left = [200]

    def meddle() -> None:
        if left[0]:
            left[0] -= 1
            cache.put(f"from a finaliser {left[0]}", Finalised(meddle))
            cache.remove("b")
            if left[0] % 50 == 0:
                cache.clear()

    for key in "abc":
        cache[key] = Finalised(meddle)
    for number in range(100):
        cache[number] = Finalised(meddle)
        assert len(cache) <= 3
    left[0] = 0
    cache.clear()
    assert len(cache) == 0


def test_a_finaliser_of_the_key_is_called_as_well() -> None:
    class Dying(Key):
        def __del__(self) -> None:
            cache.put("grave", self.number)

    cache = SmartCache[Any, Any](max_size=2)
    cache[Dying(1)] = "value"
    cache.remove(Key(1))
    assert cache.get("grave") == 1


def test_what_a_finaliser_raises_does_not_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))

    def fail() -> None:
        raise OSError

    cache = SmartCache[Any, Any](max_size=1)
    cache["a"] = Finalised(fail)
    cache["b"] = Finalised(fail)
    cache["b"] = 1
    cache.clear()
    assert told == [OSError, OSError]


def test_a_collection_may_come_at_any_moment() -> None:
    """Finalisers that use the cache, called by a collector that runs as often as it can."""
    cache = SmartCache[Any, Any](max_size=20)
    met = [0]

    class Cyclic:
        def __init__(self, number: int) -> None:
            self.me = self
            self.number = number

        def __del__(self) -> None:
            met[0] += 1
            cache.get(self.number)
            cache.put(self.number + 1, [])
            cache.remove(self.number + 2)

    before = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        for number in range(3000):
            cache.put(number % 50, Cyclic(number % 50))
            cache.get((number * 7 % 50, 1), ())
            assert cache.get(number % 50) is not None or met[0]
            assert len(cache) <= 20
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert met[0] > 1000


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_a_signal_handler_may_use_the_cache() -> None:
    cache = SmartCache[Any, Any](max_size=10)
    calls = [0]

    def handler(*_: object) -> None:
        calls[0] += 1
        cache.put(calls[0] % 20, calls[0])
        cache.get(calls[0] % 20)
        cache.remove((calls[0] + 3) % 20)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while calls[0] < 50:
            for number in range(100):
                cache.put(number % 20, number)
                cache.get(number % 20)
            assert len(cache) <= 10
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(set(cache.keys())) == len(cache)


def test_a_weigher_and_a_timer_may_use_the_cache() -> None:
    def weigh(value: Any) -> int:
        cache.remove("a")
        return len(value)

    def tell() -> float:
        cache.contains("b")  # has no deadline to ask the timer about again
        return 1.0

    cache = SmartCache[Any, Any](max_bytes=10, weigher=weigh)
    cache["a"] = "12345"
    cache["b"] = "12345"
    assert cache.keys() == ["b"] and cache.weight() == 5
    timed = SmartCache[Any, Any](ttl_seconds=5, timer=tell)
    timed["key"] = 1
    assert timed.get("key") == 1


def test_a_reference_is_held_once_and_given_back() -> None:
    cache = SmartCache[Any, Any](max_size=2)
    key, value = tuple(["a", "key"]), ["a", "value"]
    before = sys.getrefcount(key), sys.getrefcount(value)
    cache.put(key, value)
    assert (sys.getrefcount(key), sys.getrefcount(value)) == (before[0] + 1, before[1] + 1)
    for _ in range(10):
        cache.get(key), cache[key], cache.contains(key), cache.put(("a", "key"), value)
        cache.get_or_set(key, list), cache.keys(), cache.get("nobody", value)
    assert (sys.getrefcount(key), sys.getrefcount(value)) == (before[0] + 1, before[1] + 1)
    cache["b"] = cache["c"] = 1
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before
    cache[key] = value
    cache.set_policy(EvictionPolicy.LFU)
    cache.remove(key)
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before
    cache[value[0]] = value
    cache.clear()
    cache.get_or_set(key, lambda: value)
    del cache[key]
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before


def test_a_default_and_what_a_miss_was_asked_with_are_not_kept() -> None:
    class Thing:
        pass

    cache = SmartCache[Any, Any]()
    key, default = Thing(), Thing()
    gone = [weakref.ref(key), weakref.ref(default)]
    assert cache.get(key, default) is default
    with pytest.raises(RuntimeError):
        cache.get_or_set(key, lambda: (_ for _ in ()).throw(RuntimeError("no")))
    del key, default
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def resident() -> int:
    with open("/proc/self/statm", encoding="utf-8") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def churn(operations: int, seed: int) -> None:
    choose = random.Random(seed)
    cache = SmartCache[Any, Any](max_size=500, ttl_seconds=0.05, policy=EvictionPolicy.S3FIFO)
    remember = cached(max_size=200)(lambda *arguments, **keywords: [arguments, keywords])
    policies = list(EvictionPolicy)
    for step in range(operations):
        number = choose.randrange(3000)
        what = number % 7
        if what < 2:
            cache.put((number, "key"), [number])
        elif what == 2:
            cache.get((number, "key"))
        elif what == 3:
            cache.remove(str(number))
        elif what == 4:
            cache.get_or_set(str(number), lambda: bytearray(number))
        elif what == 5:
            remember(number, str(number))
            remember(number, name=number)
        else:
            cache.put(str(number), bytearray(choose.randrange(2000)), ttl_seconds=choose.choice((None, 0.001, 10)))
        if step % 20_011 == 0:
            cache.set_policy(policies[step % 7])
            cache.clear()


def test_memory_does_not_grow_over_a_million_operations() -> None:
    # The plain cache has no memory of its own to lose; a part of the time it would take is enough.
    operations = 1_000_000 if SmartCache.__mro__[1].__module__ == "catzilla_cache._native" else 100_000
    churn(operations // 10, seed=0)
    resident()  # for what it imports
    gc.collect()
    tracemalloc.start()
    try:
        churn(operations // 10, seed=1)
        gc.collect()
        traced_before, resident_before = tracemalloc.get_traced_memory()[0], resident()
        churn(operations // 10, seed=2)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] - traced_before
    finally:
        tracemalloc.stop()
    churn(operations * 7 // 10, seed=3)
    gc.collect()
    assert traced < 20_000, f"{traced} bytes more after {operations // 10} operations"
    assert resident() - resident_before < 8 << 20
