"""A SmartCache from its configuration to its end: fields and what they bound, where tiers are, and the cache of the process."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Callable

import pytest

from catzilla_cache import SmartCacheConfig, smart_cache
from catzilla_cache.errors import CacheError, CacheKeyError, CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import MemoryCache, SmartCache, get_cache, reset_cache
from in_threads import in_threads
from smart_caches import Point


# ---- The documented names ----


def test_the_configuration_has_the_documented_fields_and_defaults() -> None:
    documented = {
        "memory_capacity": 10000, "memory_bucket_count": 0, "memory_ttl": 3600, "max_value_size": 100 * 2**20,
        "compression_enabled": True, "jemalloc_enabled": True, "redis_enabled": False, "redis_url": "redis://localhost:6379/0",
        "redis_ttl": 86400, "redis_max_connections": 10, "disk_enabled": False, "disk_path": "/tmp/catzilla_cache",
        "disk_ttl": 604800, "disk_max_size": 2**30, "enable_stats": True, "stats_collection_interval": 60,
        "auto_expire_interval": 300, "options": {},
    }  # fmt: skip
    config = SmartCacheConfig()
    assert {name: getattr(config, name) for name in documented} == documented
    assert [field.name for field in dataclasses.fields(config)][: len(documented)] == list(documented)
    assert SmartCacheConfig(5, 0, 60).memory_ttl == 60
    assert config.options is not SmartCacheConfig().options


def test_flags_and_exceptions_are_those_that_programs_ask_for() -> None:
    assert smart_cache.C_LIBRARY_AVAILABLE is smart_cache.REDIS_AVAILABLE is smart_cache.LZ4_AVAILABLE is True
    for kind in (CacheNotAvailableError, CacheKeyError, CacheValueError):
        assert issubclass(kind, CacheError)
    assert not issubclass(CacheKeyError, KeyError)
    assert all(hasattr(smart_cache, name) for name in smart_cache.__all__)


# ---- What the configuration bounds ----


def test_the_longest_value_is_as_long_as_configured() -> None:
    with SmartCache(SmartCacheConfig(max_value_size=1000, compression_enabled=False)) as cache:
        for longest in (b"x" * 1000, "x" * 1000):
            assert cache.set("key", longest) and cache["key"] == longest
        calls: list[Callable[[], object]] = [
            lambda: cache.set("key", b"x" * 1001), lambda: cache.set("key", "é" * 501), lambda: cache.set("key", "x" * 1001, ttl=5),
            lambda: cache.set_many({"a": 1, "key": "x" * 1001}), lambda: cache.add("new", "x" * 1001),
            lambda: cache.replace("key", "x" * 2000), lambda: cache.set("key", [1000] * 1000), lambda: cache.set("key", "x", tags=["y" * 256]),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(CacheValueError):
                call()
        assert cache["key"] == "x" * 1000 and cache["a"] == 1 and "new" not in cache
        # Everybody has what was loaded, whether there is room for it or not.
        assert cache.get_or_set("loaded", lambda: "x" * 5000) == "x" * 5000 and "loaded" not in cache


def test_the_capacity_bounds_the_entries() -> None:
    with SmartCache(SmartCacheConfig(memory_capacity=50)) as cache:
        for number in range(500):
            cache.set(f"key {number}", number)
        stats = cache.get_stats()
        assert len(cache) <= 50 and stats.size == len(cache) and stats.capacity == 50
        assert stats.evictions == 500 - len(cache) == stats.memory_evictions


def test_fields_of_the_configuration_and_options_by_name_reach_the_library() -> None:
    compressible = "abc" * 10000
    for enabled in (True, False):
        with SmartCache(SmartCacheConfig(compression_enabled=enabled, jemalloc_enabled=enabled)) as cache:
            cache.set("key", compressible)
            assert cache["key"] == compressible and (cache.get_stats().memory_compressed_puts > 0) is enabled
            assert (cache.get_stats().memory_usage < 15000) is enabled
    config = SmartCacheConfig(memory_capacity=5, options={"memory.capacity": 7, "memory.policy": "s3fifo", "memory.max_bytes": "1MiB"})
    with SmartCache(config) as cache:
        stats = cache.get_stats()
        assert (stats.capacity, stats.memory_max_bytes) == (7, 2**20)
        cache.set_option("memory.capacity", 9)
        assert cache.get_stats().capacity == 9
    with SmartCache(SmartCacheConfig(memory_bucket_count=12345)) as cache:
        assert cache.set("key", 1)
    for wrong in ({"memory.capacity": 0}, {"memory.polizy": "lru"}, {"memory.policy": "best"}, {"memory.ttl": "soon"}):
        with pytest.raises(CacheValueError, match=next(iter(wrong))):
            SmartCache(SmartCacheConfig(options=dict(wrong)))
    for config in (SmartCacheConfig(memory_capacity=0), SmartCacheConfig(memory_ttl=-1), SmartCacheConfig(codec="gzip")):
        with pytest.raises(CacheValueError):
            SmartCache(config)


# ---- Where tiers are ----


def test_a_tier_that_is_enabled_without_a_place_is_refused() -> None:
    for config in (SmartCacheConfig(disk_enabled=True, disk_path=""), SmartCacheConfig(redis_enabled=True, redis_url="")):
        with pytest.raises(CacheValueError, match="says where the tier is that is enabled, and cannot be ''"):
            SmartCache(config)


def test_the_nodes_of_a_cluster_take_the_place_of_the_url() -> None:
    config = SmartCacheConfig(redis_enabled=True, redis_ttl=60, options={"redis.nodes": "127.0.0.1:1"})
    assert "redis.url" not in config.library_options() and config.library_options()["redis.ttl"] == 60


def test_the_fields_of_a_tier_hold_where_an_option_says_the_place(tmp_path: Path) -> None:
    options = SmartCacheConfig(disk_ttl=60, disk_max_size=2**24, options={"disk.path": str(tmp_path / "cache")}).library_options()
    assert (options["disk.ttl"], options["disk.max_bytes"], options["disk.path"]) == (60, 2**24, str(tmp_path / "cache"))


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with SmartCache(SmartCacheConfig(disk_enabled=True, disk_path="~/cache")) as cache:
        assert cache.set("key", 1)
    assert (tmp_path / "cache" / "cache.db").is_file()


# ---- Beginning and end ----


def test_a_closed_cache_says_so_and_closing_twice_is_fine() -> None:
    with SmartCache() as cache:
        cache.set("key", 1)
    assert cache.closed
    cache.close()
    calls: list[Callable[[], object]] = [
        lambda: cache.get("key"), lambda: cache.set("key", 1), lambda: cache.set("key", 1, 5), lambda: cache.delete("key"),
        lambda: cache.exists("key"), lambda: "key" in cache, lambda: cache["key"], lambda: cache.get_many(["key"]),
        lambda: cache.set_many({"key": 1}), lambda: cache.delete_many(["key"]), lambda: cache.add("key", 1), lambda: cache.touch("key"),
        lambda: cache.incr("key"), lambda: cache.get_or_set("key", lambda: 1), lambda: cache.clear(), lambda: cache.get_stats(),
        lambda: cache.health_check(), lambda: len(cache), lambda: cache.invalidate("tag"), lambda: cache._memory_cache.get("key"),
        lambda: cache.warm([("key", lambda: 1)]), lambda: cache.__enter__(),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(CacheError, match="closed"):
            call()
    assert repr(cache) == "<SmartCache, closed>"


def test_a_cache_that_nobody_refers_to_is_gone_without_a_collection() -> None:
    gc.collect()
    gc.disable()
    try:
        cache = SmartCache()
        cache.set("key", Point(1, 2))
        cache.get("key"), cache._memory_cache, cache.get_or_set("other", lambda: 1), cache.get_stats()
        with pytest.raises(ZeroDivisionError):
            cache.get_or_set("failing", lambda: 1 // 0)
        gone = weakref.ref(cache)
        del cache
        assert gone() is None
    finally:
        gc.enable()


def test_memory_cache_is_memory_alone_whatever_else_is_configured() -> None:
    with MemoryCache(SmartCacheConfig(redis_enabled=True, disk_enabled=True, disk_path="/nowhere/at/all")) as cache:
        cache.set("key", Point(1, 2))
        assert cache.get("key") == (Point(1, 2), True)
        assert cache.health_check() == {"memory": True, "redis": False, "disk": False}


def test_the_cache_of_the_process_is_one_until_it_is_reset() -> None:
    reset_cache()
    try:
        first = get_cache(SmartCacheConfig(memory_capacity=7))
        assert get_cache() is first and get_cache(SmartCacheConfig(memory_capacity=9)) is first
        assert first.get_stats().capacity == 7
        assert len(set(map(id, in_threads(8, lambda number: get_cache())))) == 1
        reset_cache()
        assert first.closed and get_cache() is not first and get_cache().get_stats().capacity == 10000
        get_cache().close()
        assert get_cache().set("key", 1)
    finally:
        reset_cache()
    reset_cache()


def test_many_threads_that_miss_the_cache_of_the_process_open_one() -> None:
    reset_cache()
    try:
        assert len({id(cache) for cache in in_threads(8, lambda number: get_cache())}) == 1
    finally:
        reset_cache()
