"""The cache as the framework's plan drew it: levels, sizes in megabytes, decorators with a level and tags, and what it refuses."""

from __future__ import annotations

import asyncio
import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from catzilla_cache.cache import Cache, CacheConfig, CacheLevel
from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import DiskCache, RedisCache, SmartCache, get_cache, reset_cache
from redis_server import RedisServer

SECRET = "a-secret-of-the-tests-long-enough"
ALL = (CacheLevel.C_MEMORY, CacheLevel.REDIS, CacheLevel.DISK)


@pytest.fixture
def config(server: RedisServer, tmp_path: Path) -> CacheConfig:
    return CacheConfig(ALL, redis_cluster_nodes=[server.url], disk_cache_path=str(tmp_path / "disk"), disk_cache_size_gb=0.5, secret=SECRET)


def test_levels_and_fields_are_the_documented_ones() -> None:
    assert {level.name: level.value for level in CacheLevel} == {
        "C_MEMORY": "c_memory", "REDIS": "redis", "DISK": "disk", "DISTRIBUTED": "distributed"
    }  # fmt: skip
    documented = {
        "levels": (CacheLevel.C_MEMORY,), "c_memory_size_mb": 1024, "redis_cluster_nodes": None, "disk_cache_path": "/tmp/catzilla_cache",
        "disk_cache_size_gb": 10, "compression": True, "encryption": False, "replication_factor": 1, "hash_table_size": 65536,
        "max_value_size_mb": 100, "background_cleanup_interval": 300, "cluster_aware": True, "monitoring_enabled": True, "audit_logging": False,
    }  # fmt: skip
    assert [field.name for field in dataclasses.fields(CacheConfig)][: len(documented)] == list(documented)
    assert {name: getattr(CacheConfig(), name) for name in documented} == documented


def test_it_is_a_smart_cache_bounded_by_bytes_and_not_by_entries() -> None:
    with Cache() as cache:
        assert isinstance(cache, SmartCache) and cache.set("key", Fraction(1, 3)) and cache.get("key") == (Fraction(1, 3), True)
        stats = cache.get_stats()
        assert stats.memory_max_bytes == 2**30 and stats.memory_capacity is None and stats.capacity == 0
    with Cache(CacheConfig(c_memory_size_mb=1, compression=False, max_value_size_mb=1)) as cache:
        for number in range(100):
            cache.set(f"key {number}", b"x" * 50_000)
        stats = cache.get_stats()
        assert 10 <= len(cache) < 25 and stats.evictions == 100 - len(cache) and stats.memory_compressed_puts == 0
        with pytest.raises(CacheValueError):
            cache.set("key", b"x" * (2**20 + 1))
    with Cache(CacheConfig(hash_table_size=7, options={"memory.max_bytes": "2MiB", "memory.policy": "lru"})) as cache:
        assert cache.get_stats().memory_max_bytes == 2**21


@pytest.mark.parametrize(
    "fields",
    [
        {"encryption": True}, {"audit_logging": True}, {"replication_factor": 2}, {"levels": (CacheLevel.C_MEMORY, CacheLevel.DISTRIBUTED)},
        {"levels": ("c_memory", "distributed")},
    ],
)  # fmt: skip
def test_what_is_not_built_is_refused_by_its_name(fields: dict[str, Any]) -> None:
    name = next(iter(fields)) if "levels" not in fields else "DISTRIBUTED"
    with pytest.raises(CacheNotAvailableError, match=name):
        Cache(CacheConfig(**fields))


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(CacheNotAvailableError, match="encryption.*audit_logging.*replication_factor=3"):
        Cache(CacheConfig(encryption=True, audit_logging=True, replication_factor=3))
    with pytest.raises(CacheValueError, match="RedisCache and DiskCache"):
        Cache(CacheConfig(levels=(CacheLevel.DISK,)))
    with pytest.raises(ValueError, match="tape"):
        Cache(CacheConfig(levels=("tape",)))  # type: ignore[arg-type]


def test_a_result_is_written_to_its_level_and_no_lower_one(config: CacheConfig) -> None:
    with Cache(config) as cache:
        written: dict[CacheLevel, Any] = {}
        for level in ALL:

            @cache.cached(600, level=level)
            def function(level: str = level.value) -> Any:
                return [level, Fraction(1, 3)]

            assert function() == function() == [level.value, Fraction(1, 3)] and function.cache_info()[:2] == (1, 1)  # type: ignore[attr-defined]
            written[level] = function.cache_key()  # type: ignore[attr-defined]
        cache.flush(60)
        smart = cache.config
        with RedisCache(smart) as redis, DiskCache(smart) as disk:
            for level, (in_redis, on_disk) in {ALL[0]: (False, False), ALL[1]: (True, False), ALL[2]: (True, True)}.items():
                key = written[level]
                assert cache._memory_cache.get(key)[1] and (redis.exists(key), disk.exists(key)) == (in_redis, on_disk), level
                if in_redis:
                    assert redis.get(key) == ([level.value, Fraction(1, 3)], True)


def test_a_coroutine_and_what_is_loaded_anew_keep_to_their_level_too(config: CacheConfig) -> None:
    with Cache(config) as cache:

        @cache.cached(600, CacheLevel.REDIS)
        async def function(x: int) -> int:
            return x + 1000

        assert asyncio.run(function(1)) == 1001
        cache.flush(60)
        key = function.cache_key(1)  # type: ignore[attr-defined]
        with RedisCache(cache.config) as redis, DiskCache(cache.config) as disk:
            assert redis.exists(key) and not disk.exists(key)


def test_a_tag_drops_results_in_every_tier(config: CacheConfig) -> None:
    with Cache(config) as cache:
        runs: list[int] = []

        @cache.cached(600, CacheLevel.DISK, invalidate_on=["users"])
        def tagged(x: int) -> Fraction:
            runs.append(x)
            return Fraction(x, 3)

        @cache.cached(600, CacheLevel.DISK)
        def untagged(x: int) -> Fraction:
            runs.append(-x)
            return Fraction(x, 3)

        for function in (tagged, untagged):
            assert function(1) == Fraction(1, 3)
        cache.flush(60)
        assert cache.invalidate("users") == 1
        cache.flush(60)
        with RedisCache(cache.config) as redis, DiskCache(cache.config) as disk:
            for tier in (redis, disk):
                assert not tier.exists(tagged.cache_key(1)) and tier.exists(untagged.cache_key(1))  # type: ignore[attr-defined]
        assert tagged(1) == untagged(1) and runs == [1, -1, 1]


def test_results_are_in_this_cache_with_and_without_parentheses() -> None:
    reset_cache()
    try:
        with Cache() as cache:

            @cache.cached
            def bare() -> str:
                return "bare"

            @cache.cached()
            def called() -> str:
                return "called"

            assert (bare(), called(), bare(), called()) == ("bare", "called", "bare", "called") and len(cache) == 2
            assert len(get_cache()) == 0
    finally:
        reset_cache()


def test_a_decorator_refuses_what_the_cache_has_not_got() -> None:
    with Cache() as cache:
        for level in (CacheLevel.REDIS, CacheLevel.DISK, CacheLevel.DISTRIBUTED):
            with pytest.raises(CacheNotAvailableError, match=level.name):
                cache.cached(60, level=level)
        with pytest.raises(CacheValueError, match="CacheConfig"):
            cache.cached(60, compression=False)
        assert cache.cached(60, compression=True, key_builder=lambda function, args, kwargs: "key")(lambda: 5)() == 5


def test_warm_loads_what_is_absent_with_coroutines_and_plain_functions() -> None:
    async def load() -> int:
        return 5

    async def main() -> None:
        with Cache() as cache:
            cache.set("there", 1)
            loaded = await cache.warm([("there", load), ("awaited", load), ("plain", lambda: 6), ("task", lambda: asyncio.ensure_future(load()))])
            assert loaded == 3 and cache.get_many(["there", "awaited", "plain", "task"]) == {"there": 1, "awaited": 5, "plain": 6, "task": 5}
            assert await cache.warm([("more", load)], 60, tags=["tag"]) == 1 and cache.invalidate("tag") == 1

    asyncio.run(main())


def test_figures_are_told_by_name() -> None:
    with Cache() as cache:
        cache.set("key", "x" * 100), cache.get("key"), cache.get("absent")
        figures = cache.get_statistics()
        assert figures["hit_ratio"] == 0.5 and figures["hits"] == figures["misses"] == 1 and figures["levels"] == ["c_memory"]
        assert figures["memory_usage_mb"] == cache.get_stats().memory_usage / 2**20 > 0 and figures["ops_per_second"] > 0
        assert set(vars(cache.get_stats())) <= set(figures)
    with Cache(CacheConfig(monitoring_enabled=False)) as cache:
        cache.set("key", 1), cache.get("key")
        figures = cache.get_statistics()
        assert figures["hits"] == figures["ops_per_second"] == figures["hit_ratio"] == 0 and figures["memory_usage_mb"] > 0


def test_nodes_of_a_cluster_and_single_servers_become_options() -> None:
    def redis_options(**fields: Any) -> dict[str, object]:
        plan = CacheConfig((CacheLevel.C_MEMORY, CacheLevel.REDIS), **fields)
        smart = plan.smart()
        opened = Cache.__new__(Cache)._options(smart)
        return {name: opened[name] for name in ("redis.url", "redis.nodes") if name in opened}

    assert redis_options() == {"redis.url": "redis://localhost:6379/0"}
    assert redis_options(redis_cluster_nodes=["a:1"]) == {"redis.url": "redis://a:1"}
    assert redis_options(redis_cluster_nodes=["redis://a:1/3"]) == {"redis.url": "redis://a:1/3"}
    assert redis_options(redis_cluster_nodes=["a:1", "b:2"]) == {"redis.nodes": "a:1,b:2"}
    assert redis_options(redis_cluster_nodes=["a:1", "b:2"], cluster_aware=False) == {"redis.url": "redis://a:1"}
    assert "redis.url" not in CacheConfig(redis_cluster_nodes=["a:1"]).smart().library_options()
