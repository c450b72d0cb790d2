"""The figures of a SmartCache in memory: what is counted and what is not, rates, and views of its tiers."""

from __future__ import annotations

import time

import pytest

from catzilla_cache import SmartCacheConfig
from catzilla_cache.smart_cache import CacheStats, SmartCache
from smart_caches import Point, cache_in_memory

__all__ = ["cache_in_memory"]


def test_the_statistics_add_up(cache: SmartCache) -> None:
    for number in range(20):
        cache.set(f"key {number}", number)
    for number in range(30):
        cache.get(f"key {number}")
    cache.get_many([f"key {number}" for number in range(15, 25)])
    for key in ("key 0", "absent"):
        try:
            cache[key]
        except KeyError:
            pass
    cache.get_or_set("key 0", lambda: 1)
    cache.get_or_set("new", lambda: 1)
    stats = cache.get_stats()
    assert isinstance(stats, CacheStats)
    # get 20 + 10, get_many 5 + 5, [] 1 + 1, get_or_set 1 + 1
    assert (stats.hits, stats.misses) == (27, 17)
    assert stats.total_requests == stats.requests == 44 and stats.hit_ratio == pytest.approx(27 / 44)
    assert stats.size == 21 == len(cache) and stats.capacity == 10000 and stats.evictions == 0
    assert stats.tier_stats == {
        "memory": {"hits": 27, "misses": 17}, "redis": {"hits": 0, "misses": 0}, "disk": {"hits": 0, "misses": 0}
    }  # fmt: skip
    assert stats.memory_usage == stats.memory_bytes > 0 and stats.puts == 21 and stats.loads == 1


def test_whether_a_key_is_there_counts_as_nothing(cache: SmartCache) -> None:
    cache.set("key", 1)
    before = cache.get_stats()
    for key in ("key", "absent"):
        cache.exists(key)
        key in cache
    after_that = cache.get_stats()
    assert (before.requests, before.hits, before.misses) == (after_that.requests, after_that.hits, after_that.misses) == (0, 0, 0)


def test_without_statistics_every_counter_stays_0_and_sizes_are_told() -> None:
    with SmartCache(SmartCacheConfig(enable_stats=False, memory_capacity=5)) as cache:
        for number in range(20):
            cache.set(f"key {number}", "x" * 5000)
            cache.get(f"key {number}"), cache.get("absent"), cache.get_or_set(f"key {number}", lambda: 1)
        stats = cache.get_stats()
        held = {"size", "capacity", "memory_usage", "memory_entries", "memory_capacity", "memory_bytes", "memory_max_bytes"}
        held |= {"memory_index_bytes", "memory_lent_bytes", "memory_active_bytes"}
        for name, value in vars(stats).items():
            if name == "tier_stats":
                assert value == {tier: {"hits": 0, "misses": 0} for tier in ("memory", "redis", "disk")}
            elif name == "rates":
                assert value and not any(value.values())
            elif name not in held:
                assert value == 0, name
        assert stats.size == 5 == stats.capacity and stats.memory_usage > 0


def test_rates_are_of_the_last_interval() -> None:
    # The clock is the test's own.
    from catzilla_cache import _rates

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rates, "time", clock)
        with SmartCache(SmartCacheConfig(stats_collection_interval=10)) as cache:
            cache.set("key", 1)
            assert not any(cache.get_stats().rates.values())
            for _ in range(50):
                cache.get("key"), cache.get("absent")
            clock.now += 5
            rates = cache.get_stats().rates
            assert rates["requests_per_second"] == 20 and rates["hits_per_second"] == rates["misses_per_second"] == 10
            assert rates["puts_per_second"] == pytest.approx(0.2) and rates["evictions_per_second"] == 0
            clock.now += 5
            assert cache.get_stats().rates["requests_per_second"] == 10
            clock.now += 10
            assert cache.get_stats().rates["requests_per_second"] == 0
    with SmartCache(SmartCacheConfig(stats_collection_interval=0)) as cache:
        cache.get("key")
        assert cache.get_stats().rates["requests_per_second"] > 0
        time.sleep(0.01)
        cache.get_stats()
        assert cache.get_stats().rates["requests_per_second"] == 0


def test_views_of_the_tiers_are_there_for_those_configured(cache: SmartCache) -> None:
    assert cache._redis_cache is None and cache._disk_cache is None and cache.config == SmartCacheConfig()
    view = cache._memory_cache
    assert view.set("key", Point(1, 2)) and view.get("key") == (Point(1, 2), True) == cache.get("key")
    assert view.get("absent") == (None, False) and view.exists("key") and view.health_check() is True
    stats = view.get_stats()
    assert (stats.hits, stats.misses, stats.total_requests, stats.hit_ratio) == (2, 1, 3, 2 / 3)
    assert view.delete("key") is True and "memory" in repr(view)
    view.set("key", 1)
    view.clear()
    assert len(cache) == 0
    assert cache.health_check() == {"memory": True, "redis": False, "disk": False}
