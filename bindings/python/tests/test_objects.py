"""The object cache: every method, its arguments, and what they are refused with."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import sys
import weakref
from typing import Any, Callable

import pytest

from catzilla_cache.objects import EvictionPolicy, SmartCache


def test_what_was_put_comes_back_as_the_same_object() -> None:
    cache = SmartCache[Any, Any]()
    value = ["a", {"list": 1}]
    cache.put(("a", 1), value)
    assert cache.get(("a", 1)) is value
    assert cache[("a", 1)] is value


def test_a_miss_is_none_or_the_default_and_as_an_item_a_key_error() -> None:
    cache = SmartCache[Any, Any]()
    assert cache.get("nobody") is None
    assert cache.get("nobody", 5) == 5
    assert cache.get("nobody", default=6) == 6
    with pytest.raises(KeyError) as caught:
        cache["nobody"]
    assert caught.value.args == ("nobody",)
    with pytest.raises(KeyError) as caught:
        cache[(1, 2)]
    assert caught.value.args == ((1, 2),)
    with pytest.raises(KeyError):
        del cache["nobody"]


def test_none_is_a_value() -> None:
    cache = SmartCache[Any, Any]()
    cache.put("key", None)
    assert "key" in cache
    assert cache.get("key", "default") is None
    assert cache["key"] is None
    assert cache.get_or_set("key", lambda: 1) is None
    del cache["key"]
    assert "key" not in cache


def test_keys_are_compared_by_equality_and_never_by_hash_alone() -> None:
    class Same:
        def __init__(self, name: str) -> None:
            self.name = name

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Same) and self.name == other.name

    cache = SmartCache[Any, Any]()
    for name in "abcdefgh":
        cache.put(Same(name), name)
    assert [cache.get(Same(name)) for name in "abcdefghi"] == [*"abcdefgh", None]
    assert cache.get(7) is None
    cache.put(1, "int")
    assert cache.get(1.0) == "int" and cache.get(True) == "int"
    assert cache.get("1") is None
    for name in "hcafb":
        assert cache.remove(Same(name)) == name
    assert [cache.get(Same(name)) for name in "abcdefgh"] == [None, None, None, "d", "e", None, "g", None]


def test_numbers_far_apart_with_the_same_low_bits_are_found() -> None:
    cache = SmartCache[int, int](max_size=None)
    for shift in (0, 8, 20, 40, 55):
        cache.clear()
        for number in range(300):
            cache.put(number << shift, number)
        assert [cache.get(number << shift) for number in range(300)] == list(range(300))


def test_a_key_put_again_has_the_new_value_and_one_entry() -> None:
    cache = SmartCache[Any, Any]()
    cache["key"] = 1
    cache.put("key", 2)
    cache.put(key="key", value=3)
    assert cache.get("key") == 3
    assert len(cache) == cache.size() == 1
    assert cache.stats()["evictions"] == 0


def test_remove_gives_the_value_and_none_when_there_was_none() -> None:
    cache = SmartCache[Any, Any]()
    cache["key"] = "value"
    assert cache.remove("key") == "value"
    assert cache.remove("key") is None
    assert len(cache) == 0


def test_clear_removes_everything_and_the_counters_go_on() -> None:
    cache = SmartCache[Any, Any](max_size=20)
    for number in range(30):
        cache[number] = number
    assert cache.get(29) == 29
    cache.clear()
    assert len(cache) == 0 and cache.keys() == []
    assert cache.stats() == {
        "hits": 1, "misses": 0, "evictions": 10, "current_size": 0, "max_size": 20, "hit_rate": 1.0,
    }  # fmt: skip
    cache[1] = 1
    assert cache.get(1) == 1


def test_statistics_count_look_ups_but_not_contains() -> None:
    cache = SmartCache[Any, Any](max_size=2)
    assert cache.stats() == {
        "hits": 0, "misses": 0, "evictions": 0, "current_size": 0, "max_size": 2, "hit_rate": 0.0,
    }  # fmt: skip
    for key in "abc":
        cache.put(key, key)
    assert [cache.get(key) for key in "abcc"] == [None, "b", "c", "c"]
    assert cache.contains("b") and "c" in cache and not cache.contains("a")
    cache.get_or_set("c", list)
    cache.get_or_set("z", list)
    with pytest.raises(KeyError):
        cache["a"]
    assert cache.stats() == {
        "hits": 4, "misses": 3, "evictions": 2, "current_size": 2, "max_size": 2, "hit_rate": 4 / 7,
    }  # fmt: skip


def test_contains_is_no_use_of_a_key() -> None:
    cache = SmartCache[str, str](max_size=2)
    cache["a"] = cache["b"] = "value"
    assert cache.contains("a") and "a" in cache
    cache["c"] = "value"
    assert "a" not in cache


def test_it_has_the_manners_of_an_object() -> None:
    with SmartCache[Any, Any](max_size=3, policy=EvictionPolicy.LFU) as cache:
        cache["key"] = 1
        assert repr(cache) == "SmartCache(size=1, max_size=3, policy=EvictionPolicy.LFU)"
        assert bool(cache)
        with pytest.raises(TypeError):
            iter(cache)
        with pytest.raises(TypeError, match="cannot pickle 'SmartCache'"):
            pickle.dumps(cache)
        with pytest.raises(TypeError, match="cannot pickle 'SmartCache'"):
            copy.copy(cache)
        assert weakref.ref(cache)() is cache
    assert len(cache) == 0


def test_it_can_be_derived_from() -> None:
    class Doubling(SmartCache[Any, Any]):
        def __init__(self, name: str) -> None:
            super().__init__(max_size=2)
            self.name = name

        def get(self, key: Any, default: Any = None) -> Any:
            return 2 * super().get(key, default)

        def __missing__(self, key: Any) -> Any:
            raise AssertionError("not a dict")

    cache = Doubling("mine")
    cache["key"] = 4
    assert cache.get("key") == 8 and cache["key"] == 4 and cache.name == "mine"
    assert repr(cache).startswith("Doubling(size=1")
    with pytest.raises(KeyError):
        cache["nobody"]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, 70])
def test_a_threshold_outside_of_zero_to_one_is_a_value_error(wrong: float) -> None:
    with pytest.raises(ValueError, match="adaptive_threshold is a part of the requests"):
        SmartCache(adaptive_threshold=wrong)


def test_other_arguments_are_checked_as_well() -> None:
    with pytest.raises(TypeError, match="adaptive_threshold"):
        SmartCache(adaptive_threshold="0.7")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="policy is one of EvictionPolicy.LRU, .*, not 'best'"):
        SmartCache(policy="best")
    with pytest.raises(TypeError, match="weigher is a function"):
        SmartCache(weigher=5)  # type: ignore[arg-type]
    cache = SmartCache[Any, Any]()
    wrong: list[Callable[[], object]] = [
        lambda: cache.get(),  # type: ignore[call-overload]
        lambda: cache.get(1, 2, 3),  # type: ignore[call-overload]
        lambda: cache.get(1, other=2),  # type: ignore[call-overload]
        lambda: cache.get(1, key=1),  # type: ignore[call-overload]
        lambda: cache.put(1),  # type: ignore[call-arg]
        lambda: cache.get_or_set(1, 5),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()


def test_an_unhashable_key_is_a_type_error_everywhere() -> None:
    cache = SmartCache[Any, Any]()
    cache["key"] = 1
    calls: list[Callable[[], object]] = [
        lambda: cache.get([]), lambda: cache.put([], 1), lambda: cache.contains([]), lambda: cache.remove([]), lambda: cache[[]],
        lambda: [] in cache, lambda: cache.get_or_set([], int), lambda: cache.__setitem__([], 1), lambda: cache.__delitem__([]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match="unhashable"):
            call()
    assert cache.stats()["misses"] == 0 and len(cache) == 1


def test_bounds_policies_and_lifetimes_can_be_asked_for_and_changed() -> None:
    cache = SmartCache[Any, Any](max_size=10, policy="fifo", ttl_seconds=2.5)
    assert cache.get_max_size() == 10 and cache.get_policy() is EvictionPolicy.FIFO and cache.get_ttl() == 2.5
    cache.set_policy(EvictionPolicy.SIEVE)
    cache.set_max_size(None)
    cache.set_ttl(None)
    assert cache.get_max_size() is None and cache.get_policy() is EvictionPolicy.SIEVE and cache.get_ttl() is None
    for number in range(5000):
        cache[number] = number
    assert len(cache) == 5000 and cache.stats()["max_size"] is None
    with pytest.raises(ValueError):
        cache.set_policy("none")
    assert cache.get_policy() is EvictionPolicy.SIEVE


def test_the_size_of_the_cache_itself_is_told_and_given_back() -> None:
    cache = SmartCache[int, int](max_size=None)
    empty = sys.getsizeof(cache)
    for number in range(10_000):
        cache[number] = 0
    if type(cache).__mro__[1].__module__ == "catzilla_cache._native":
        assert 10_000 * 64 < sys.getsizeof(cache) < 10_000 * 200
    cache.clear()
    assert sys.getsizeof(cache) == empty


def test_it_takes_part_in_garbage_collection() -> None:
    class Holder:
        pass

    holder, key = Holder(), Holder()
    cache = SmartCache[Any, Any]()
    holder.cache = cache  # type: ignore[attr-defined]
    cache["holder"] = holder
    cache[key] = [cache]
    gone = [weakref.ref(holder), weakref.ref(cache), weakref.ref(key)]
    del holder, cache, key
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3


def test_a_cache_in_a_cache_as_deep_as_one_likes_is_freed() -> None:
    innermost = SmartCache[str, Any]()
    cache = innermost
    for _ in range(20_000):
        outer = SmartCache[str, Any](max_size=1)
        outer["inner"] = cache
        cache = outer
    gone = weakref.ref(innermost)
    del innermost, outer, cache
    gc.collect()
    assert gone() is None


def test_arguments_of_every_call_may_be_named() -> None:
    cache: Any = SmartCache(max_size=5)
    assert cache.put(key="a", value=1, ttl_seconds=60) is None and cache.get(key="a") == 1 and cache.get(key="b", default=2) == 2
    assert cache.get_or_set(key="c", loader=lambda: 3) == 3 and cache.contains(key="c") is True and cache.remove(key="c") == 3
    for call in (cache.contains, cache.remove):
        for arguments, named in (((), {}), (("a", "b"), {}), (("a",), {"key": "a"}), ((), {"name": "a"})):
            with pytest.raises(TypeError):
                call(*arguments, **named)
    assert cache.get("a") == 1
