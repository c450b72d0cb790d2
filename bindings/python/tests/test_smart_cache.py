"""SmartCache in memory: values of every kind, lifetimes, limits, conditions, counting, many keys at once, and the figures of it all."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import math
import threading
import time
import weakref
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import plain_values
from catzilla_cache._backend import backend
from catzilla_cache import SmartCacheConfig, smart_cache
from catzilla_cache.errors import CacheError, CacheKeyError, CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import CacheStats, MemoryCache, SmartCache, get_cache, reset_cache
from in_threads import in_threads


@pytest.fixture
def cache() -> Iterator[SmartCache]:
    with SmartCache() as cache:
        yield cache


def left(cache: SmartCache, key: str) -> float:
    """How many seconds of a key's lifetime are left. Unlike sleeping, it does not depend on how fast the machine is."""
    status, _, left_ms, _, _ = backend.inspect(cache._live(), key.encode())
    assert status == 0
    return float(left_ms) / 1000


def after(seconds: float) -> None:
    """Waits until a lifetime of so many seconds that began before is surely over."""
    time.sleep(seconds + 0.02)


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Text(str):
    pass


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


# ---- Values ----


@pytest.mark.parametrize("value", plain_values.EXAMPLES, ids=lambda value: type(value).__name__)
def test_a_plain_value_comes_back_as_it_was(cache: SmartCache, value: object) -> None:
    assert cache.set("key", value) is True
    found, is_there = cache.get("key")
    assert is_there is True and plain_values.same(found, value)
    assert plain_values.same(cache["key"], value)
    assert plain_values.same(cache.get_many(["key"])["key"], value)


@pytest.mark.parametrize(
    "value", [Point(1, 2), Text("x"), complex(1, 2), datetime.date(2020, 1, 2), [Point(3, 4)], {"p": Point(5, 6)}, range(3), Ellipsis]
)
def test_any_other_value_comes_back_equal_and_of_its_type(cache: SmartCache, value: object) -> None:
    cache.set("key", value)
    found, is_there = cache.get("key")
    assert is_there and found == value and type(found) is type(value)


def test_none_is_a_value_and_no_miss(cache: SmartCache) -> None:
    assert cache.get("key") == (None, False)
    assert cache.set("key", None) is True
    assert cache.get("key") == (None, True)
    assert cache["key"] is None and "key" in cache and cache.exists("key") is True
    assert cache.get_many(["key", "absent"]) == {"key": None}
    assert cache.get_or_set("key", lambda: pytest.fail("a stored None was loaded again")) is None


def test_every_caller_gets_a_copy_of_its_own(cache: SmartCache) -> None:
    stored = {"list": [1]}
    cache.set("key", stored)
    stored["list"].append(2)
    cache["key"]["list"].append(3)
    assert cache["key"] == {"list": [1]}
    point = Point(1, 2)
    cache.set("point", point)
    point.x = 9
    cache["point"].y = 9
    assert cache["point"] == Point(1, 2)


@pytest.mark.parametrize("value", [threading.Lock(), lambda: 0, (each for each in "x"), {"deep": [threading.Lock()]}])
def test_a_value_that_cannot_be_stored_says_so_and_stores_nothing(cache: SmartCache, value: object) -> None:
    cache.set("key", "before")
    attempts: list[Callable[[], object]] = [
        lambda: cache.set("key", value),
        lambda: cache.set("key", value, 5),
        lambda: cache.set("key", value, tags=["tag"]),
        lambda: cache.add("other", value),
        lambda: cache.replace("key", value),
        lambda: cache.set_many({"key": "x", "other": value}),
        lambda: cache.get_or_set("other", lambda: value),
        lambda: cache.__setitem__("key", value),
    ]
    for attempt in attempts:
        with pytest.raises(CacheValueError, match="cannot be stored"):
            attempt()
    assert cache["key"] == "before" and "other" not in cache


def test_a_value_that_is_nested_too_deeply_says_so_and_one_that_contains_itself_comes_back(cache: SmartCache) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CacheValueError, match="nested"):
        cache.set("key", deep)
    assert "key" not in cache
    circle: list[Any] = [1]
    circle.append(circle)
    cache.set("key", circle)
    found = cache["key"]
    assert found is not circle and found[0] == 1 and found[1] is found


# ---- Keys ----


def test_a_str_key_is_its_utf8_bytes(cache: SmartCache) -> None:
    cache.set("schlüssel", 1)
    assert cache.get("schlüssel".encode()) == (1, True)
    cache.set(b"bytes", 2)
    assert cache["bytes"] == 2 and len(cache) == 2
    cache.set(Text("text"), 3)
    assert cache.get("text") == (3, True) and cache.get(Text("text")) == (3, True)

    class Raw(bytes):
        pass

    cache.set(Raw(b"raw"), 4)
    assert cache.get("raw") == (4, True) and cache.get(Raw(b"raw")) == (4, True) and cache.delete(Raw(b"raw"))
    assert cache.set("", "empty") and cache.get(b"") == ("empty", True)


@pytest.mark.parametrize("key", [None, 1, 1.5, True, ("a",), bytearray(b"a"), object(), "\ud800"], ids=repr)
def test_a_key_that_is_none_is_an_error_everywhere(cache: SmartCache, key: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: cache.get(key), lambda: cache.set(key, 1), lambda: cache.set(key, 1, 5), lambda: cache.delete(key),
        lambda: cache.exists(key), lambda: cache[key], lambda: key in cache, lambda: cache.add(key, 1), lambda: cache.replace(key, 1),
        lambda: cache.touch(key), lambda: cache.incr(key), lambda: cache.get_many([key]), lambda: cache.set_many({key: 1}),
        lambda: cache.delete_many([key]), lambda: cache.get_or_set(key, lambda: 1), lambda: cache.__delitem__(key),
    ]  # fmt: skip
    for call in calls:
        if key.__hash__ is None and call is calls[12]:
            continue  # no dict has such a key
        with pytest.raises(CacheKeyError, match="key"):
            call()
    assert len(cache) == 0


def test_keys_may_be_long(cache: SmartCache) -> None:
    key = "k" * (2**20 - 1)
    cache.set(key, "value")
    assert cache.get(key) == ("value", True) and cache.get(key[:-1]) == (None, False)
    with pytest.raises(CacheKeyError):
        cache.set("k" * 2**23, "value")


# ---- Lifetimes ----


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


def test_a_default_lifetime_given_as_an_option_is_that_of_values_that_are_served_in_grace() -> None:
    with SmartCache(SmartCacheConfig(options={"memory.ttl": "50ms"})) as cache:
        cache.get_or_set("key", lambda: 1, grace=60)
        after(0.05)
        assert cache.get("key") == (None, False)
        assert cache.get_or_set("key", lambda: 2, grace=60) == 1


# ---- Conditions, counting ----


def test_add_and_replace_ask_what_is_there(cache: SmartCache) -> None:
    assert cache.replace("key", 1) is False and "key" not in cache
    assert cache.add("key", 2) is True and cache.add("key", 3) is False and cache["key"] == 2
    assert cache.replace("key", Point(1, 2), 60, tags=["tag"]) is True and cache["key"] == Point(1, 2)
    assert cache.replace("key", Point(1, 2), 0.02) is True
    after(0.02)
    assert cache.replace("key", 4) is False and cache.add("key", 5, ttl=60) is True and cache["key"] == 5


def test_of_many_threads_that_add_one_key_one_does(cache: SmartCache) -> None:
    added = in_threads(8, lambda number: [cache.add(f"key {key}", number) for key in range(200)])
    assert [sum(winners) for winners in zip(*added)] == [1] * 200


def test_numbers_are_counted_up_and_down_beyond_64_bits(cache: SmartCache) -> None:
    assert cache.incr("key") == 1 and cache.incr("key", 5) == 6 and cache.decr("key", 10) == -4 and cache["key"] == -4
    assert type(cache["key"]) is int
    for start, delta in [(2**63 - 1, 1), (-(2**63), -1), (2**64, -1), (10**40, 10**39), (0, 10**30), (5, -(10**30)), (2**63, -1)]:
        cache.set("key", start)
        assert cache.incr("key", delta) == start + delta and cache["key"] == start + delta
    assert cache.incr("far", 10**30) == 10**30 and cache.decr("near", 2**63) == -(2**63) and cache.incr("near", True) == 1 - 2**63
    cache.set("tagged", 5, tags=["tag"])
    assert cache.incr("tagged") == 6 and cache.invalidate("tag") == 1 and "tagged" not in cache


@pytest.mark.parametrize("value", ["5", b"5", 5.0, True, None, [5], Point(1, 2)])
def test_only_an_int_can_be_counted(cache: SmartCache, value: object) -> None:
    cache.set("key", value)
    with pytest.raises(CacheValueError, match=type(value).__name__):
        cache.incr("key")
    assert cache["key"] == value
    for wrong in (1.5, "1", None):
        with pytest.raises(CacheValueError, match="delta"):
            cache.incr("number", wrong)  # type: ignore[arg-type]
    assert "number" not in cache


@pytest.mark.parametrize("start", [0, 2**64])
def test_a_counter_keeps_its_end(cache: SmartCache, start: int) -> None:
    cache.set("key", start, 50000)
    assert cache.incr("key") == start + 1 and cache.decr("key", 5) == start - 4
    assert 40000 < left(cache, "key") <= 50000
    cache.set("ends", start, 0.02)
    after(0.02)
    assert cache.incr("ends") == 1


@pytest.mark.parametrize("start", [0, 2**70, -(2**70)])
def test_of_many_threads_that_count_none_loses_what_it_adds(cache: SmartCache, start: int) -> None:
    cache.set("key", start)
    in_threads(8, lambda number: [cache.incr("key") for _ in range(300)] + [cache.decr("key") for _ in range(100)])
    assert cache["key"] == start + 8 * 200


# ---- Mapping, and many keys ----


def test_a_cache_is_used_like_a_mapping(cache: SmartCache) -> None:
    assert len(cache) == 0 and cache
    cache["key"] = [1]
    assert cache["key"] == [1] and "key" in cache and b"key" in cache and len(cache) == 1
    del cache["key"]
    for absent in (lambda: cache["key"], lambda: cache.__delitem__("key")):
        with pytest.raises(KeyError, match="key"):
            absent()
    with pytest.raises(TypeError):
        iter(cache)  # type: ignore[call-overload]
    assert repr(cache) == "<SmartCache with 0 entries>"


def test_many_keys_are_read_written_and_removed_at_once(cache: SmartCache) -> None:
    values: dict[Any, Any] = {"a": 1, b"b": [2], "c": Point(3, 4), "d": None}
    assert cache.set_many(values, 60) is True and cache.set_many({}) is True
    assert cache.get_many([*values, "absent"]) == values
    assert cache.get_many(iter(["a", "a", b"a"])) == {"a": 1, b"a": 1} and cache.get_many([]) == {}
    assert cache.delete_many(["a", b"b", "absent", "a"]) == 2 and cache.get_many(values) == {"c": Point(3, 4), "d": None}
    with pytest.raises(TypeError):
        cache.get_many(5)  # type: ignore[arg-type]

    def keys() -> Iterator[str]:
        yield "c"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.get_many(keys())


def test_tags_and_prefixes_and_patterns_remove_what_belongs_together(cache: SmartCache) -> None:
    cache.set("user:1", 1, tags=["users", b"one"])
    cache.set("user:2", Point(1, 2), 60, tags={"users"})
    cache.set("page:1", 3, tags=iter(["pages"]))
    cache.set("page:2", 4)
    assert cache["user:1"] == 1 and cache["user:2"] == Point(1, 2) and cache.get_many(["page:1"]) == {"page:1": 3}
    assert cache.invalidate("users") == 2 and cache.invalidate("users") == 0
    assert sorted(cache.keys()) == [b"page:1", b"page:2"]
    assert cache.delete_prefix("page:") == 2 and len(cache) == 0
    cache.set_many({"page:1:en": 1, "page:22:en": 2, "page:3:de": 3, "page:*": 4})
    assert cache.delete_pattern("page:?:*n") == 1 and cache.delete_pattern(b"page:2*") == 1
    assert cache.delete_pattern(r"page:\*") == 1 and cache.delete_pattern("[pq]age:*") == 0 and sorted(cache.keys()) == [b"page:3:de"]
    assert cache.delete_pattern("*") == 1 and len(cache) == 0
    for pattern in (1, None, "\ud800", "*" * 4097, b"?" * 4097):
        with pytest.raises(CacheValueError, match="a pattern"):
            cache.delete_pattern(pattern)  # type: ignore[arg-type]
    for wrong in ("tag", b"tag", [1], [f"{number}" for number in range(65)], ["x" * 256]):
        with pytest.raises(CacheValueError, match="tag"):
            cache.set("key", 1, tags=wrong)  # type: ignore[arg-type]


def test_clear_removes_everything_and_the_counters_go_on(cache: SmartCache) -> None:
    cache.set_many({"a": 1, "b": 2})
    cache.get("a")
    cache.clear()
    assert len(cache) == 0 and cache.get("a") == (None, False)
    assert (cache.get_stats().hits, cache.get_stats().misses) == (1, 1)


def test_warm_loads_what_is_absent(cache: SmartCache) -> None:
    cache.set("a", 1)
    assert cache.warm([("a", lambda: 5), ("b", lambda: 6)], ttl=60, tags=["warm"]) == 1
    assert (cache["a"], cache["b"]) == (1, 6) and cache.invalidate("warm") == 1


def test_generate_key_is_readable_and_the_same_whoever_asks(cache: SmartCache) -> None:
    key = cache.generate_key("GET", "/items", "page=2", {"Accept": "text/html"})
    assert key == cache.generate_key("GET", "/items", "page=2", {"accept": "text/html"}) == SmartCache.generate_key(
        cache, "GET", "/items", query_string="page=2", headers={"Accept": "text/html"}
    )
    assert all(part in key for part in ("GET", "/items", "page=2")) and len(key.rpartition("#")[2]) == 32
    assert key != cache.generate_key("GET", "/items", "page=2", {"Accept": "text/plain"})
    assert cache.generate_key("GET", "/a?b") != cache.generate_key("GET", "/a", "b")


# ---- Figures ----


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


@pytest.mark.parametrize("before", [b"value", "value"])
def test_stored_bytes_that_are_no_value_are_a_miss_whatever_was_read_before(before: object) -> None:
    with MemoryCache() as cache:
        cache.set("whole", before)
        for damaged in (b"", b"\x06\xff", b"\x00"):
            backend.put(cache._live(), b"damaged", damaged, 0)
            assert cache.get("whole") == (before, True)
            assert cache.get("damaged") == (None, False)
            assert cache["whole"] == before and cache.get_many(["damaged", "whole"]) == {"whole": before}
        stats = cache.get_stats()
        assert (stats.refused, stats.hits, stats.misses) == (6, 9, 6)
