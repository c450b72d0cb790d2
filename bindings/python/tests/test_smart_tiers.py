"""SmartCache over Redis and disk: what goes where, what is believed of what comes back, and tiers that fail, die and come up."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest

import redis_server
from catzilla_cache import BytesCache
from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import DiskCache, MemoryCache, RedisCache, SmartCache, SmartCacheConfig
from in_threads import in_threads, until
from interpreter import output_of, run
from redis_server import RedisServer

SECRET, OTHER_SECRET = "a-secret-of-the-tests-long-enough", "another-secret-of-the-tests"

#: Every form that values are stored in: single bytes, plain ones, containers, and what is pickled.
VALUES: Mapping[str, Any] = {
    "none": None, "true": True, "false": False, "digit": 7, "number": 12345, "huge": 2**80, "empty": "", "empty bytes": b"", "text": "é" * 50,
    "list": [1, [2, {"a": None}]], "pickled": Fraction(1, 3), "both": {"third": Fraction(1, 3)}, "long": "x" * 300_000,
}  # fmt: skip


class Place:
    """Where the values of a test are below memory; each ``open`` is another cache there, as another process would have."""

    def __init__(self, name: str, config: Callable[..., SmartCacheConfig], alone: type[SmartCache]) -> None:
        self.name, self.config, self.alone = name, config, alone

    def open(self, **fields: Any) -> SmartCache:
        return SmartCache(self.config(**fields))

    def open_alone(self, **fields: Any) -> SmartCache:
        return self.alone(self.config(**fields))

    def raw(self) -> BytesCache:
        options = self.config().library_options()
        options["memory.max_value_size"] = 1
        return BytesCache(options)


@pytest.fixture(params=["redis", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        path = str(tmp_path / "disk")
        return Place("disk", lambda **fields: SmartCacheConfig(**{"disk_enabled": True, "disk_path": path, **fields}), DiskCache)
    url = request.getfixturevalue("server").url
    return Place("redis", lambda **fields: SmartCacheConfig(**{"redis_enabled": True, "redis_url": url, "secret": SECRET, **fields}), RedisCache)


def flushed(cache: SmartCache) -> SmartCache:
    cache.flush(60)
    return cache


def set_and_touched(cache: SmartCache, key: str, value: object, ttl: float) -> None:
    """Stores a value with a short lifetime and gives it a long one before that is over."""
    while True:
        stored = time.monotonic()
        cache.set(key, value, ttl)
        if cache.touch(key, 600):
            return
        # On a slow machine it may be over already, and then it is done again; but not long before.
        assert time.monotonic() - stored >= ttl / 2


# ---- Values over tiers ----


def test_values_of_every_kind_are_read_by_another_cache(place: Place) -> None:
    with place.open() as first:
        assert first.set_many(VALUES) is True
        for key, value in VALUES.items():
            assert first.set(f"alone {key}", value, 60) and first.set(f"tagged {key}", value, tags=["tag"])
        flushed(first)
        with place.open() as second, place.open_alone() as third:
            for cache in (second, third):
                assert cache.get_many([*VALUES, "absent"]) == VALUES
                for key, value in VALUES.items():
                    for name in (key, f"alone {key}", f"tagged {key}"):
                        found, is_there = cache.get(name)
                        assert is_there and found == value and type(found) is type(value) and cache.exists(name), name
            assert second.get_stats().tier_stats[place.name]["misses"] == 1
            assert third.get_stats().tier_stats["memory"]["hits"] == 0


def test_lifetimes_hold_in_every_tier(place: Place) -> None:
    for name in ("open", "open_alone"):
        with getattr(place, name)(memory_ttl=0.05, redis_ttl=0.05, disk_ttl=0.05) as cache:
            for key, value in VALUES.items():
                cache.set(f"short {key}", value, 0.05), cache.set(f"default {key}", value), cache.set(f"long {key}", value, 600)
            time.sleep(0.1)
            for key, value in VALUES.items():
                assert cache.get(f"short {key}") == cache.get(f"default {key}") == (None, False)
                assert cache.get(f"long {key}") == (value, True)
            cache.clear()
    # What is over in memory is not over below it.
    with place.open(memory_ttl=0.02) as cache:
        cache.set("key", Fraction(1, 3))
        flushed(cache)
        time.sleep(0.05)
        assert cache.get("key") == (Fraction(1, 3), True)


def test_a_batch_counts_each_key_once(place: Place) -> None:
    with place.open() as first:
        first.set_many({f"key {number}": [number] for number in range(10)})
        flushed(first)
        with place.open() as cache:
            for number in range(4):
                cache.get(f"key {number}")
            before = cache.get_stats()
            assert len(cache.get_many([f"key {number}" for number in range(15)])) == 10
            after = cache.get_stats()
            assert (after.hits - before.hits, after.misses - before.misses) == (10, 5)
            assert after.requests == after.hits + after.misses
            tier = after.tier_stats[place.name]
            assert (tier["hits"], tier["misses"]) == (10, 5) and after.tier_stats["memory"]["hits"] == 4
            for key in ("key 1", "absent"):
                cache.exists(key), key in cache
            assert cache.get_stats().requests == after.requests


def test_removing_removes_from_every_tier(place: Place) -> None:
    keys = ["a", "b", "c", "p:1", "p:2", "t:1", "t:2", "x:1:y", "x:2:y"]
    with place.open() as cache, place.open_alone() as other:
        for key in keys:
            cache.set(key, [key], tags=["tag"] if key.startswith("t:") else [])
        flushed(cache)
        assert cache.delete("a") is True and cache.delete("a") is False
        del cache["b"]
        assert cache.delete_many(["c", "absent"]) == 1
        assert cache.delete_pattern("?:*:y") == 2
        cache.delete_prefix("p:"), cache.invalidate("tag")
        flushed(cache)
        assert other.get_many(keys) == {} == cache.get_many(keys)
        cache.set("key", 1)
        cache.clear()
        flushed(cache)
        assert other.get("key") == (None, False)


@pytest.mark.parametrize("alone", [False, True])
def test_touch_and_counting_and_conditions_hold_over_tiers(place: Place, alone: bool) -> None:
    with (place.open_alone() if alone else place.open()) as cache, place.open_alone() as other:
        for key, value in VALUES.items():
            assert cache.touch(key, 60) is False
            set_and_touched(cache, key, value, 0.4)
            assert cache.add(key, "another") is False and cache.replace(f"absent {key}", value) is False
            cache.set(f"ends {key}", value, 600)
            assert cache.touch(f"ends {key}", 0.05) is True
        flushed(cache)
        time.sleep(0.45)
        for key, value in VALUES.items():
            for each in (cache, other):
                assert each.get(key) == (value, True), key
                assert each.get(f"ends {key}") == (None, False), key
            assert cache.replace(key, "replaced") is True and cache.add(f"ends {key}", value) is True
            flushed(cache)
            assert other.get(key) == ("replaced", True) and other.get(f"ends {key}") == (value, True)
        for number in (1, 2, 3):
            assert cache.incr("count") == number
        assert cache.decr("count", 3) == 0 and cache.incr("count", 2**70) == 2**70 and cache.incr("count", -(2**70)) == 0
        flushed(cache)
        assert other.get("count") == (0, True)


@pytest.mark.parametrize("start", [0, 2**70])
def test_no_thread_loses_what_it_counts_in_one_tier_alone(place: Place, start: int) -> None:
    with place.open_alone() as cache:
        cache.set("count", start)
        in_threads(4, lambda number: [cache.incr("count") for _ in range(50)])
        assert cache["count"] == start + 200


def test_a_counter_keeps_its_end_in_one_tier_alone(place: Place) -> None:
    from catzilla_cache._backend import backend

    with place.open_alone(memory_ttl=60, redis_ttl=50_000, disk_ttl=50_000) as cache:
        cache.incr("count"), cache.incr("count"), cache.incr("count")
        flushed(cache)
        assert 40_000_000 < backend.inspect(cache._live(), b"count")[2] <= 50_000_000


# ---- One tier alone ----


def test_what_another_cache_overwrites_is_seen_at_once(place: Place) -> None:
    with place.open_alone() as reader, place.open_alone() as writer, place.open() as both:
        for lifetime in (None, 600, float("inf")):
            for writing in (writer, both):
                for value in [*VALUES.values(), 0, 1, 9, True, None, "a", b"b"]:
                    # What a reader or a writer kept in memory, it would be wrong about.
                    for each in (reader, writing):
                        each.set("key", False, lifetime)
                        flushed(each).get("key")
                    writing.set("key", value, lifetime)
                    flushed(writing)
                    assert reader.get("key") == (value, True) and type(reader["key"]) is type(value)
                    assert reader.get_many(["key"]) == {"key": value} and reader.get_or_set("key", lambda: "loaded") == value
                    writing.delete("key")
                    flushed(writing)
                    assert reader.get("key") == (None, False) and not reader.exists("key")
        assert reader.get_stats().tier_stats["memory"]["hits"] == 0


def test_another_process_is_seen_at_once(place: Place) -> None:
    config = place.config()
    with place.open_alone() as cache:
        cache.set("key", True, 600)
        flushed(cache)
        printed = output_of(
            f"""
            import sys
            from catzilla_cache.smart_cache import *
            with {place.alone.__name__}({config!r}) as cache:
                print(cache.get("key"))
                cache.set("key", None, 600)
                cache.set("pickled", 1j)
                cache.flush(60)
            """
        )
        assert printed == "(True, True)\n"
        assert cache.get("key") == (None, True) and cache.get("pickled") == (1j, True)


def test_memory_alone_does_not_look_below(place: Place) -> None:
    with MemoryCache(place.config()) as cache, place.open() as other:
        other.set("key", 1)
        flushed(other)
        assert cache.get("key") == (None, False) and cache.set("key", 2) and other.get("key") == (1, True)


def test_health_and_views_are_those_of_the_tiers_configured(place: Place) -> None:
    with place.open() as cache, place.open_alone() as alone:
        for each in (cache, alone):
            assert each.health_check() == {"memory": True, "redis": place.name == "redis", "disk": place.name == "disk"}
            view = each._redis_cache if place.name == "redis" else each._disk_cache
            assert view is not None and (each._disk_cache if place.name == "redis" else each._redis_cache) is None
            assert view.set("key", [1]) and view.get("key") == ([1], True) and view.exists("key") and view.health_check()
            assert view.get_stats().hits + view.get_stats().misses == view.get_stats().requests
            assert view.delete("key") and not view.exists("key") and view.get("key") == (None, False)


# ---- What is believed ----


def test_values_that_were_tampered_with_are_misses_and_counted(place: Place) -> None:
    with place.open() as cache, place.raw() as raw:
        cache.set("pickled", Fraction(1, 3)), cache.set("moved", Fraction(2, 3)), cache.set("plain", [1, 2])
        flushed(cache)
        stored = {key: raw[key] for key in ("pickled", "moved", "plain")}
        assert b"Fraction" in stored["pickled"] and stored["pickled"][0] == 0x21
        raw["flipped"] = stored["pickled"][:-3] + b"?" + stored["pickled"][-2:]
        raw["cut"] = stored["pickled"][:-1]
        raw["renamed"] = stored["pickled"]
        raw["unsigned"] = b"\x20\x06pickle" + stored["pickled"].partition(b"pickle")[2]
        raw["plain cut"] = stored["plain"][:-1]
        raw["foreign"] = b"\xff whatever a BytesCache has"
        raw["annotated"] = b"\xf0\x01\x00"
        raw["nothing"] = b""
        raw.flush(60)
        wrong = ["flipped", "cut", "renamed", "unsigned", "plain cut", "foreign", "annotated", "nothing"]
    for name in ("open", "open_alone"):
        with getattr(place, name)() as cache:
            for count, key in enumerate(wrong, 1):
                assert cache.get(key) == (None, False), key
                assert cache.get_stats().refused == count, key
            stats = cache.get_stats()
            assert (stats.hits, stats.misses, stats.requests) == (0, len(wrong), len(wrong)) and stats.hit_ratio == 0
            assert cache.get_many([*wrong, "pickled"]) == {"pickled": Fraction(1, 3)}
            assert cache.get_stats().refused == 2 * len(wrong) and cache.get_stats().hits == 1
            with pytest.raises(KeyError):
                cache["flipped"]
            assert cache.touch("flipped", 60) is False
    with place.open() as cache:
        # Who loads it replaces it, and that is kept.
        for key in wrong:
            assert cache.get_or_set(key, lambda: "loaded") == "loaded" and cache.get(key) == ("loaded", True), key
        assert cache.incr("number") == 1
        flushed(cache)
        with place.open_alone() as other:
            assert other.get_many(wrong) == dict.fromkeys(wrong, "loaded")
    with place.open() as cache, place.raw() as raw:
        raw["count"] = b"\xff"
        raw.flush(60)
        assert cache.incr("count", 5) == 5 and cache.incr("count") == 6


def test_an_old_value_that_is_put_back_is_not_believed_after_its_end(place: Place) -> None:
    with place.open() as cache, place.raw() as raw:
        cache.set("key", Fraction(1, 3), 0.05)
        set_and_touched(cache, "renewed", Fraction(1, 3), 0.05)
        flushed(cache)
        kept = {key: raw[key] for key in ("renewed",)}
        short = raw.get("key")
        time.sleep(0.1)
        for key, stored in kept.items():
            raw.set(key, stored, 600)
        if short is not None:
            raw.set("key", short, 600)
        raw.flush(60)
    with place.open_alone() as cache:
        assert cache.get("key") == (None, False) and cache.get("renewed") == (Fraction(1, 3), True)


def test_in_redis_pickles_need_a_secret_and_everybody_who_has_it_reads_them(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATZILLA_CACHE_SECRET", raising=False)

    def opened(secret: Any, **fields: Any) -> SmartCache:
        return RedisCache(SmartCacheConfig(redis_url=server.url, secret=secret, **fields))

    with opened(None) as cache:
        with pytest.raises(CacheValueError, match="secret"):
            cache.set("key", Fraction(1, 3))
        with pytest.raises(CacheValueError, match="CATZILLA_CACHE_SECRET"):
            cache.get_or_set("key", lambda: Fraction(1, 3))
        assert "key" not in cache and cache.set("plain", [1])
    with opened(None, codec="json") as cache:
        # Reading json runs nothing.
        assert cache.set("plain", {"a": [1.5]})
    with opened(SECRET) as one, opened([OTHER_SECRET.encode(), SECRET.encode()]) as both, opened(OTHER_SECRET) as other:
        one.set("key", Fraction(1, 3))
        assert both.get("key") == (Fraction(1, 3), True) and other.get("key") == (None, False)
        assert other.get_stats().refused == 1
        both.set("key", Fraction(2, 3))
        assert other.get("key") == (Fraction(2, 3), True) and one.get("key") == (None, False)
    with opened(SECRET, options={"redis.key_prefix": "one:"}) as one, opened(SECRET, options={"redis.key_prefix": "one:two"}) as two:
        one.set("two:key", Fraction(1, 3))
        # The same place in Redis, but not the same key.
        assert server.ask("EXISTS one:two:key") == ":1" and two.get(":key") == (None, False)
    monkeypatch.setenv("CATZILLA_CACHE_SECRET", SECRET)
    with opened(None) as cache:
        assert cache.set("key", Fraction(1, 3)) and cache.get("key") == (Fraction(1, 3), True)
    with pytest.raises(CacheValueError, match="guessed"):
        opened("short")


def test_on_disk_a_key_of_its_own_is_kept_beside_the_file(tmp_path: Path) -> None:
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "cache"))
    with SmartCache(config) as cache:
        assert cache.set("key", Fraction(1, 3))
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    key = tmp_path / "cache" / "values.key"
    assert key.stat().st_mode & 0o777 == 0o600
    with SmartCache(config) as cache:
        assert cache.get("key") == (Fraction(1, 3), True)
    key.chmod(0o644)
    with pytest.raises(CacheNotAvailableError, match="0600"):
        SmartCache(config)
    key.unlink()
    with SmartCache(config) as cache:
        assert cache.get("key") == (None, False) and cache.get_stats().refused == 1


def test_a_signed_end_moves_with_the_lifetimes_that_options_lengthen(tmp_path: Path) -> None:
    options = {"memory.sliding": True, "memory.ttl_jitter": "50%"}
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "cache"), options=options)
    with SmartCache(config) as cache:
        cache.set("key", Fraction(1, 3), 0.3)
        end = time.monotonic() + 1
        # Each hit renews it, long after its first lifetime; a slow machine may miss that, and then it may be a miss, but not a refusal.
        while time.monotonic() < end:
            cache.get("key")
            time.sleep(0.005)
        assert cache.get_stats().refused == 0
    with SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "cache"), options={"memory.ttl_jitter": 50})) as cache:
        assert cache._stored.lifetimes.end(10_000) == pytest.approx(time.time() + 15, abs=5)


# ---- Tiers that cannot be used ----


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


def test_values_of_any_length_are_read_whole_from_below_whatever_came_before(place: Place) -> None:
    # Short ones are read into room on the stack, of some 16 KiB; after one without room the next is held where it is.
    lengths = [0, 1, 100, 16_000, 16_383, 16_384, 16_385, 20_000, 300_000, 5, 300_000, 300_001, 16_383, 16_384, 7]
    with place.open_alone() as cache:
        values = {f"key {at}": bytes([at]) * length for at, length in enumerate(lengths)}
        for key, value in values.items():
            cache.set(key, value)
        flushed(cache)
        for _ in range(2):
            for key, value in values.items():
                assert cache.get(key) == (value, True) and cache[key] == value
        assert cache.get_many(values) == values
