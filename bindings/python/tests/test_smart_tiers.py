"""SmartCache over Redis and disk: what goes where, and what other caches and processes see of it."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from catzilla_cache.smart_cache import MemoryCache
from in_threads import in_threads
from interpreter import output_of
from places import VALUES, Place, each_place, flushed, set_and_touched

__all__ = ["each_place"]


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
