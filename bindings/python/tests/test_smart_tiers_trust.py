"""What a SmartCache believes of what comes back from Redis and disk: signatures, secrets, and ends that are signed."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import RedisCache, SmartCache, SmartCacheConfig
from places import OTHER_SECRET, SECRET, Place, each_place, flushed, set_and_touched
from redis_server import RedisServer

__all__ = ["each_place"]


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
