"""SmartCache over tiers that cannot be used: folders of somebody else, a Redis that is down, dies and comes up."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path

import pytest

import redis_server
from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import DiskCache, RedisCache, SmartCache, SmartCacheConfig
from in_threads import until
from interpreter import run
from places import SECRET, flushed
from redis_server import RedisServer


def test_a_folder_that_cannot_be_used_is_not_available(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    wrong = ["file", "link", "file/under"]
    if os.geteuid() == 0:
        (tmp_path / "foreign").mkdir(mode=0o700)
        os.chown(tmp_path / "foreign", 12345, 12345)
        wrong.append("foreign")
    for name in wrong:
        for kind in (SmartCache, DiskCache):
            with pytest.raises(CacheNotAvailableError, match="disk.path"):
                kind(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / name)))
    assert list((tmp_path / "folder").iterdir()) == []
    (tmp_path / "key").mkdir(mode=0o700)
    (tmp_path / "key" / "values.key").symlink_to(tmp_path / "file")
    with pytest.raises(CacheNotAvailableError, match="symbolic link"):
        DiskCache(SmartCacheConfig(disk_path=str(tmp_path / "key")))


@pytest.mark.parametrize("trap", ["symlink", "somebody else's", "usable"])
def test_the_default_folder_is_refused_when_it_is_not_ones_own(tmp_path: Path, trap: str) -> None:
    if os.geteuid() != 0 and trap == "somebody else's":
        pytest.skip("only root can give a folder away")
    done = run(
        """
        import ctypes, os, pathlib, sys
        libc = ctypes.CDLL(None, use_errno=True)
        # /tmp of this process alone: a mount namespace, and the test's folder bound over it.
        if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 1 << 14 | 1 << 18, None):
            sys.exit(77)
        trap, private = sys.argv[1:]
        from catzilla_cache.smart_cache import *
        if libc.mount(private.encode(), b"/tmp", None, 1 << 12, None):
            sys.exit(77)
        folder = pathlib.Path("/tmp/catzilla_cache")
        if trap == "symlink":
            folder.symlink_to("/tmp")
        elif trap != "usable":
            folder.mkdir(mode=0o700)
            os.chown(folder, 12345, 12345)
        try:
            with SmartCache(SmartCacheConfig(disk_enabled=True)) as cache:
                cache.set("key", 1)
            print(oct(folder.stat().st_mode & 0o777))
        except CacheNotAvailableError as error:
            print("refused")
        """,
        trap,
        str(tmp_path),
    )
    if done.returncode == 77:
        pytest.skip("no mount namespaces here")
    assert (done.returncode, done.stdout) == (0, "0o700\n" if trap == "usable" else "refused\n"), done.stderr


def test_a_redis_that_is_down_joins_when_it_comes_up(redis_installed: None, tmp_path: Path) -> None:
    port = redis_server.free_port()
    config = SmartCacheConfig(redis_enabled=True, redis_url=f"redis://127.0.0.1:{port}", secret=SECRET)
    with pytest.raises(CacheNotAvailableError):
        RedisCache(config)
    with SmartCache(config) as cache:
        assert cache.set("key", Fraction(1, 3)) and cache.get("key") == (Fraction(1, 3), True)
        assert cache.get("absent") == (None, False) and cache.get_or_set("loaded", lambda: 1) == 1
        assert cache.health_check() == {"memory": True, "redis": False, "disk": False}
        with redis_server.running(tmp_path, port) as server:

            def has_joined() -> bool:
                cache.set("later", 2)
                return server.ask("EXISTS catzilla:later") == ":1"

            until(has_joined)
            assert cache.health_check()["redis"] is True
            with RedisCache(config) as other:
                assert other.get("later") == (2, True)


def test_a_tier_that_dies_on_the_way_is_no_exception(server: RedisServer, tmp_path: Path) -> None:
    config = SmartCacheConfig(
        redis_enabled=True, redis_url=server.url, secret=SECRET, disk_enabled=True, disk_path=str(tmp_path / "disk"), memory_capacity=20
    )
    with SmartCache(config) as cache:
        for number in range(50):
            cache.set(f"key {number}", Fraction(number, 7))
        flushed(cache)
        assert cache.health_check() == {"memory": True, "redis": True, "disk": True}
        server.kill()
        for number in range(50):
            assert cache.get(f"key {number}") == (Fraction(number, 7), True)
            assert cache.set(f"key {number}", number)
            assert cache.get(f"key {number}") == (number, True)
        assert cache.get_or_set("loaded", lambda: 5) == 5 and cache.incr("count") == 1 and cache.delete("key 1") and cache.touch("key 2", 60)
        assert cache.get("absent") == (None, False) and cache.set_many({"a": 1}) and cache.get_many(["a", "key 3"]) == {"a": 1, "key 3": 3}
        assert cache.health_check() == {"memory": True, "redis": False, "disk": True}
        stats = cache.get_stats()
        assert stats.redis_errors > 0 and stats.refused == 0
    with DiskCache(config) as cache:
        assert cache.get("key 3") == (3, True) and cache.get("key 1") == (None, False)
    with pytest.raises(CacheNotAvailableError, match="redis"):
        RedisCache(config)


def test_a_redis_alone_that_dies_has_nothing_and_goes_on(server: RedisServer) -> None:
    with RedisCache(SmartCacheConfig(redis_url=server.url)) as cache:
        cache.set("key", [1])
        server.kill()
        assert cache.get("key") == (None, False) and cache.get_or_set("key", lambda: [2]) == [2]
        assert not cache.set("key", [3]) and not cache.set("key", True, 60) and not cache.set_many({"key": 1}) and not cache.add("key", 1)
        assert not cache.replace("key", 1) and not cache.touch("key") and not cache.delete("key") and not cache.exists("key")
        assert cache.incr("count", 5) == 5 and cache.get_many(["key", "count"]) == {}
        assert cache.health_check()["redis"] is False
        with pytest.raises(CacheValueError, match="lock"):
            cache.set("key", threading.Lock())
