"""SmartCache in memory: keys and values of every kind, conditions, counting, and many keys at once."""

from __future__ import annotations

import datetime
import threading
from typing import Any, Callable, Iterator

import pytest

import plain_values
from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheKeyError, CacheValueError
from catzilla_cache.smart_cache import MemoryCache, SmartCache
from in_threads import in_threads
from smart_caches import Point, Text, after, cache_in_memory, left

__all__ = ["cache_in_memory"]


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
