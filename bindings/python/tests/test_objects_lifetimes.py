"""How long an object cache keeps an entry: until its lifetime is over, by a timer that the tests move and by the system's."""

from __future__ import annotations

import math
from typing import Any, Callable

import pytest

from catzilla_cache.objects import SmartCache


class Clock:
    """A timer that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("wrong", [0, -1, 0.0, -0.5, math.nan, -math.inf])
def test_a_lifetime_that_is_not_above_zero_is_a_value_error(wrong: float) -> None:
    cache = SmartCache[Any, Any](ttl_seconds=5)
    attempts: list[Callable[[], object]] = [
        lambda: SmartCache[Any, Any](ttl_seconds=wrong),
        lambda: cache.set_ttl(wrong),
        lambda: cache.put("key", 1, wrong),
        lambda: cache.put("key", 1, ttl_seconds=wrong),
        lambda: cache.get_or_set("key", int, wrong),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="ttl_seconds is more than 0"):
            attempt()
    assert cache.get_ttl() == 5 and len(cache) == 0


@pytest.mark.parametrize("wrong", [True, "1", (1, 2)])
def test_a_lifetime_that_is_no_number_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="ttl_seconds is a number of seconds"):
        SmartCache(ttl_seconds=wrong)
    with pytest.raises(TypeError, match="ttl_seconds is a number of seconds"):
        SmartCache[Any, Any]().put("key", 1, wrong)


def test_an_entry_is_gone_when_its_lifetime_is_over(clock: Clock) -> None:
    cache = SmartCache[Any, Any](ttl_seconds=10, timer=clock)
    cache["a"] = 1
    cache.put("b", 2, ttl_seconds=20)
    clock.now += 9.5
    assert cache.get("a") == 1 and "a" in cache
    clock.now += 0.5
    assert cache.get("a") is None and "a" not in cache and cache.remove("a") is None
    assert cache.get("b") == 2
    clock.now += 10
    assert len(cache) == 1, "nobody has met it since"
    assert "b" not in cache and cache.keys() == []
    assert cache.remove("b") is None
    with pytest.raises(KeyError):
        cache["b"]
    assert len(cache) == 0


def test_a_hit_does_not_lengthen_a_life_and_a_put_does(clock: Clock) -> None:
    cache = SmartCache[Any, Any](ttl_seconds=10, timer=clock)
    cache["a"] = cache["b"] = 1
    clock.now += 6
    cache.get("a")
    cache["b"] = 2
    clock.now += 6
    assert cache.get("a") is None and cache.get("b") == 2


def test_a_changed_lifetime_is_for_what_is_put_from_then_on(clock: Clock) -> None:
    cache = SmartCache[Any, Any](timer=clock)
    cache["always"] = 1
    cache.set_ttl(5)
    cache["short"] = 1
    cache.set_ttl(None)
    cache["always too"] = 1
    clock.now += 5
    assert [cache.get(key) for key in ("always", "short", "always too")] == [1, None, 1]


def test_cleanup_counts_what_it_removes(clock: Clock) -> None:
    cache = SmartCache[Any, Any](timer=clock)
    for number in range(100):
        cache.put(number, number, ttl_seconds=1 + number)
    cache["always"] = 1
    assert cache.cleanup() == 0
    clock.now += 60
    assert cache.cleanup() == 60
    assert cache.cleanup() == 0
    assert len(cache) == 41
    clock.now += 1000
    assert cache.cleanup() == 40
    assert cache.keys() == ["always"]
    assert cache.stats()["evictions"] == 0


def test_what_has_expired_leaves_before_anything_is_evicted(clock: Clock) -> None:
    cache = SmartCache[Any, Any](max_size=3, timer=clock)
    cache["old"] = 1
    cache.put("expiring", 1, ttl_seconds=1)
    cache["new"] = 1
    clock.now += 2
    cache["newer"] = 1
    assert sorted(cache.keys()) == ["new", "newer", "old"]
    assert cache.stats()["evictions"] == 0


def test_what_has_expired_does_not_stay_until_the_cache_is_full(clock: Clock) -> None:
    cache = SmartCache[Any, Any](max_size=1000, ttl_seconds=1, timer=clock)
    for number in range(500):
        cache[number] = number
    clock.now += 2
    for number in range(500, 600):
        cache[number] = number
    assert len(cache) == 100


def test_lifetimes_may_be_as_long_and_as_short_as_one_likes() -> None:
    cache = SmartCache[Any, Any]()
    cache.put("long", 1, ttl_seconds=math.inf)
    cache.put("longer", 1, ttl_seconds=1e300)
    cache.put("an int", 1, ttl_seconds=10**12)
    cache.put("a long int", 1, ttl_seconds=10**400)
    cache.put("short", 1, ttl_seconds=1e-9)
    assert [cache.get(key) for key in ("long", "longer", "an int", "a long int", "short")] == [1, 1, 1, 1, None]


def test_real_time_passes_too() -> None:
    import time

    cache = SmartCache[Any, Any](ttl_seconds=0.05)
    stored = time.monotonic()
    cache["key"] = 1
    value = cache.get("key")
    # On a slow machine it may be over already, but never before.
    assert value == 1 or time.monotonic() - stored >= 0.05
    while time.monotonic() - stored < 0.05:
        if cache.get("key") is None:
            assert time.monotonic() - stored >= 0.05
    time.sleep(0.001)
    assert cache.get("key") is None
