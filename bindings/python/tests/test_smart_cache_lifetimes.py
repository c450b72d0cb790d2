"""How long a SmartCache in memory keeps a value: lifetimes of every length, by default, touched, and over."""

from __future__ import annotations

import math
import time
from typing import Any, Callable

import pytest

from catzilla_cache import SmartCacheConfig
from catzilla_cache.errors import CacheValueError
from catzilla_cache.smart_cache import SmartCache
from smart_caches import Point, after, cache_in_memory, left

__all__ = ["cache_in_memory"]


def test_a_lifetime_may_have_fractions_and_ends(cache: SmartCache) -> None:
    cache.set("short", 1, 0.05)
    cache.set("keyword", 1, ttl=0.05)
    cache.set("long", 1, ttl=60)
    after(0.05)
    assert cache.get("short") == cache.get("keyword") == (None, False) and cache.get("long") == (1, True)
    assert not cache.exists("short") and "short" not in cache
    assert cache.delete("short") is False
    with pytest.raises(KeyError):
        cache["short"]


@pytest.mark.parametrize("ttl", [None, 0, 0.0, -0.0, False])
def test_none_and_0_are_the_default_lifetime(ttl: Any) -> None:
    with SmartCache(SmartCacheConfig(memory_ttl=5000)) as cache:
        cache.set("key", 1, ttl)
        cache.set_many({"many": 1}, ttl)
        cache.set("touched", 1, 60)
        cache.touch("touched", ttl)
        cache.get_or_set("loaded", lambda: 1, ttl)
        for key in ("key", "many", "touched", "loaded"):
            assert 4000 < left(cache, key) <= 5000
    with SmartCache(SmartCacheConfig(memory_ttl=0.05)) as cache:
        cache.set("key", 1, ttl)
        after(0.05)
        assert cache.get("key") == (None, False)


@pytest.mark.parametrize("ttl", [math.inf, 10**30, 2**64, 1e300, 3e9, 10**18, True, 1, 2.5])
def test_a_lifetime_may_be_of_any_length(cache: SmartCache, ttl: float) -> None:
    assert cache.set("key", 1, ttl) and cache.get("key") == (1, True)
    assert cache.touch("key", ttl) and cache.get("key") == (1, True)


def test_the_shortest_lifetime_is_a_millisecond_and_not_the_default(cache: SmartCache) -> None:
    cache.set("key", 1, 1e-9)
    after(0.01)
    assert cache.get("key") == (None, False)


@pytest.mark.parametrize("ttl", [-1, -0.001, -math.inf, math.nan, "5", [5], 1j, -(10**400)])
def test_a_lifetime_that_is_none_is_a_value_error(cache: SmartCache, ttl: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: cache.set("key", 1, ttl), lambda: cache.set("key", 1, ttl=ttl), lambda: cache.add("key", 1, ttl),
        lambda: cache.replace("key", 1, ttl), lambda: cache.touch("key", ttl), lambda: cache.set_many({"key": 1}, ttl),
        lambda: cache.get_or_set("key", lambda: 1, ttl), lambda: cache.get_or_set("key", lambda: 1, ttl, grace=1e9),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="TTL") as raised:
            call()
        assert isinstance(raised.value, CacheValueError)
    assert len(cache) == 0


def test_touch_gives_a_new_lifetime(cache: SmartCache) -> None:
    for number, value in enumerate([1, "text", Point(1, 2), None]):
        key = f"key {number}"
        assert cache.touch(key, 60) is False
        cache.set(key, value, 60)
        assert cache.touch(key, 5000) is True and 4000 < left(cache, key) <= 5000
        cache.set(f"ends {key}", value, 60)
        assert cache.touch(f"ends {key}", 0.05) is True
    after(0.05)
    for number, value in enumerate([1, "text", Point(1, 2), None]):
        assert cache.get(f"key {number}") == (value, True) and not cache.exists(f"ends key {number}")
        assert cache.touch(f"ends key {number}") is False


def test_a_default_lifetime_given_as_an_option_is_that_of_values_that_are_served_in_grace() -> None:
    with SmartCache(SmartCacheConfig(options={"memory.ttl": "50ms"})) as cache:
        cache.get_or_set("key", lambda: 1, grace=60)
        after(0.05)
        assert cache.get("key") == (None, False)
        assert cache.get_or_set("key", lambda: 2, grace=60) == 1


def test_what_has_expired_is_freed_without_being_asked_for() -> None:
    with SmartCache(SmartCacheConfig(auto_expire_interval=0.02)) as cache:
        cache.set("key", 1, 0.01)
        deadline = time.monotonic() + 20
        while len(cache) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(cache) == 0
    with SmartCache(SmartCacheConfig(auto_expire_interval=0)) as cache:
        cache.set("key", 1, 0.01)
        after(0.1)
        assert len(cache) == 1 and cache.sweep() == 1 and len(cache) == 0
