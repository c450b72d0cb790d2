"""The tiers below memory: real files over a restart, a real redis-server, and what is told of both."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import redis_server
from catzilla_cache import BytesCache, CacheError, CacheNotAvailableError, CacheValueError
from redis_server import RedisServer


def test_a_cache_of_memory_alone_has_no_tier_below_it(cache: BytesCache) -> None:
    memory = cache.health("memory")
    assert memory is not None and memory.is_up and memory.last_error is None and memory.last_error_at is None
    assert cache.health("redis") is None and cache.health("disk") is None
    assert cache.tier_statistics("memory") is None and cache.tier_statistics("disk") is None
    cache.flush()
    cache.flush(0)
    for wrong in ("", "Memory", "tape", 1, None):
        with pytest.raises(CacheValueError, match="memory, redis, disk"):
            cache.health(wrong)  # type: ignore[arg-type]
    with pytest.raises(CacheValueError):
        cache.flush(-1)
    cache.close()
    for call in (cache.flush, lambda: cache.health("disk"), lambda: cache.tier_statistics("disk")):
        with pytest.raises(CacheError, match="closed"):
            call()


@pytest.mark.parametrize("flushed", [True, False])
def test_what_was_set_is_read_from_disk_by_the_next_cache(tmp_path: Path, flushed: bool) -> None:
    options = {"disk.path": tmp_path / "cache", "memory.capacity": 10}
    with BytesCache(options) as cache:
        for number in range(100):
            cache.set(f"key {number}", b"%d" % number)
        cache.delete("key 7")
        if flushed:
            cache.flush(20)
            disk = cache.tier_statistics("disk")
            assert disk is not None and (disk.queued, disk.entries) == (0, 99)
    with BytesCache(options) as cache:
        assert cache.get_many([f"key {number}" for number in range(100)]) == {
            f"key {number}": b"%d" % number for number in range(100) if number != 7
        }
        disk = cache.tier_statistics("disk")
        assert disk is not None and (disk.hits, disk.misses, disk.errors, disk.is_open) == (99, 1, 0, False)
        assert disk.max_bytes == 2**30 and 0 < disk.bytes < disk.max_bytes and disk.read_p50_ns > 0
        counted = cache.statistics()
        assert (counted.hits, counted.misses, counted.disk_hits, counted.redis_hits) == (99, 1, 99, 0)
        cache.clear()
    with BytesCache(options) as cache:
        assert "key 1" not in cache


def test_a_disk_without_a_bound_says_none(tmp_path: Path) -> None:
    with BytesCache({"disk.path": tmp_path / "cache", "disk.max_bytes": "none"}) as cache:
        disk = cache.tier_statistics("disk")
        assert disk is not None and disk.max_bytes is None


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link", "file/under"):
        with pytest.raises(CacheValueError, match="disk.path"):
            BytesCache({"disk.path": tmp_path / name})


def test_values_are_shared_through_redis(server: RedisServer) -> None:
    with BytesCache({"redis.url": server.url}) as first, BytesCache({"redis.url": server.url}) as second:
        first["key"] = b"value"
        assert server.ask("EXISTS catzilla:key") == ":1"
        assert second["key"] == b"value"
        redis = second.tier_statistics("redis")
        assert redis is not None and (redis.hits, redis.misses, redis.errors, redis.connections) == (1, 0, 0, 1)
        health = second.health("redis")
        assert health is not None and health.is_up
        second.delete("key")
        assert server.ask("EXISTS catzilla:key") == ":0"


def test_a_redis_that_is_down_is_no_exception_but_a_flush_says_so(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{redis_server.free_port()}"
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    with BytesCache({"redis.url": url, "disk.path": tmp_path / "cache"}) as cache:
        cache["key"] = b"value"
        assert cache["key"] == b"value" and cache.get("absent") is None
        health = cache.health("redis")
        assert health is not None and not health.is_up and health.last_error is not None
        assert health.last_error_at is not None
        assert before < health.last_error_at < datetime.now(timezone.utc) + timedelta(seconds=1)
        disk = cache.health("disk")
        assert disk is not None and disk.is_up
        with pytest.raises(CacheNotAvailableError, match="redis"):
            cache.flush(0.1)
        redis = cache.tier_statistics("redis")
        assert redis is not None and redis.is_open and redis.connection_errors > 0 and redis.max_bytes is None
    with pytest.raises(CacheNotAvailableError, match="redis.required"):
        BytesCache({"redis.url": url, "redis.required": True})
    with pytest.raises(CacheValueError, match="redis.url"):
        BytesCache({"redis.url": "http://127.0.0.1"})
