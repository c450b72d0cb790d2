"""The compiled bases of the caches: the same as the methods in Python, whatever they are given, and no reference lost or kept."""

from __future__ import annotations

import gc
import math
import sys
import threading
import weakref
from fractions import Fraction
from typing import Any, Callable

import pytest

import plain_values
from catzilla_cache import BytesCache
from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheError, CacheKeyError, CacheValueError
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig
from in_threads import in_threads
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory"]

native = getattr(backend, "native", None)
pytestmark = pytest.mark.skipif(native is None, reason="this backend has no compiled bases")

# Calls of a kind after which a reference lost or kept at each would show. Others in the process lose and gain a few.
CALLS = 200_000
FEW = 50


class Text(str):
    pass


class Raw(bytes):
    pass


class Whole(int):
    pass


class Fractional(float):
    pass


def outcome(call: Callable[[], object]) -> object:
    """What a call returns, or raises: two calls that are the same have the same."""
    try:
        value = call()
        return ("returned", type(value), value)
    except Exception as error:
        # KeyError is told apart from CacheKeyError, and the words count.
        return ("raised", type(error), str(error))


# ---- The same as in Python ----

KEYS: list[Any] = ["key", b"key", Text("key"), Raw(b"key"), "", b"", "ü\0x", "\ud800", None, 5, 1.5, ["key"], bytearray(b"key"), memoryview(b"key"), ("key",)]
#: Rounded up to a millisecond, so that it may be over before the next line.
SHORTEST = 0.0001
TTLS: list[Any] = [
    None, 0, 0.0, -0.0, 1, 5, 2.5, SHORTEST, True, False, Whole(5), Fractional(2.5), 3e9, 3e9 + 1, 2**53 + 1, 2**63, 10**400, math.inf,
    -1, -0.5, -math.inf, math.nan, -(10**400), "5", b"5", [], 1j, Fraction(5, 2),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_keys_are_those_of_the_methods_in_python(key: Any) -> None:
    pairs: list[tuple[Callable[[SmartCache], object], Callable[[SmartCache], object]]] = [
        (lambda cache: cache.get(key), lambda cache: cache._get(key)),
        (lambda cache: cache[key], lambda cache: cache._getitem(key)),
        (lambda cache: cache.exists(key), lambda cache: cache._exists(key)),
        (lambda cache: key in cache, lambda cache: cache._exists(key)),
        (lambda cache: cache.set(key, "new"), lambda cache: cache._set(key, "new")),
        (lambda cache: cache.get(key), lambda cache: cache._get(key)),
        (lambda cache: cache.get_many(iter([key])), lambda cache: cache._get_below({}, [key])),
        (lambda cache: cache.delete(key), lambda cache: cache._delete(key)),
        (lambda cache: cache.get(key), lambda cache: cache._get(key)),
    ]
    with SmartCache() as one, SmartCache() as other:
        for filled in (one, other):
            filled.set("key", "old")
        for compiled, in_python in pairs:
            assert outcome(lambda: compiled(one)) == outcome(lambda: in_python(other))
        counted, expected = one.get_stats(), other.get_stats()
        assert (counted.hits, counted.misses, counted.puts) == (expected.hits, expected.misses, expected.puts)


@pytest.mark.parametrize("ttl", TTLS, ids=repr)
def test_lifetimes_are_those_of_the_methods_in_python(ttl: Any) -> None:
    with SmartCache() as one, SmartCache() as other, BytesCache() as bytes_one, BytesCache() as bytes_other:
        assert outcome(lambda: one.set("key", "value", ttl)) == outcome(lambda: other._set("key", "value", ttl))
        assert outcome(lambda: one.set("named", "value", ttl=ttl)) == outcome(lambda: other._set("named", "value", ttl))
        assert outcome(lambda: bytes_one.set("key", b"value", ttl)) == outcome(lambda: bytes_other._set("key", b"value", ttl))
        for got, wanted in ((one, other), (bytes_one, bytes_other)):
            (status, _, left, _, _), (expected, _, wanted_left, _, _) = (backend.inspect(each._live(), b"key") for each in (got, wanted))
            if ttl == SHORTEST and status != expected:
                # One of the two is asked just after its end. It has had one: what has none is there for an hour.
                assert max(left, wanted_left) <= 60_000
                continue
            assert status == expected
            # What a few milliseconds in between take away.
            assert left == wanted_left or (status == 0 and abs(left - wanted_left) < 60_000)


@pytest.mark.parametrize("value", plain_values.EXAMPLES + [Fraction(1, 3), [Fraction(1, 3)], Text("x"), Whole(5), Text], ids=lambda value: type(value).__name__)
def test_values_are_stored_as_the_methods_in_python_store_them(value: Any) -> None:
    with SmartCache() as cache:
        assert cache.set("compiled", value) is cache._set("python", value) is True
        assert backend.read(cache._live(), b"compiled") == backend.read(cache._live(), b"python")
        for key in ("compiled", "python"):
            (one, is_one), (other, is_other) = cache.get(key), cache._get(key)
            assert is_one is is_other is True
            assert plain_values.same(one, other) or one == other == value
            assert cache._get_from_memory(key)[1] is True and plain_values.same(cache[key], cache._getitem(key)) or cache[key] == value
        cache.set("tagged", value, tags=["tag"])
        assert plain_values.same(cache.get("tagged")[0], one) or cache["tagged"] == value


def test_a_value_that_is_too_long_is_refused_as_in_python() -> None:
    for limit in (10, 100_000):
        with SmartCache(SmartCacheConfig(max_value_size=limit, compression_enabled=False)) as cache:
            for value in ("x" * limit, b"x" * (limit + 1), ["x" * limit] * 2, "x" * 70_000, limit):
                assert outcome(lambda: cache.set("key", value)) == outcome(lambda: cache._set("key", value))
            assert cache.set("key", "x" * limit if limit < 50_000 else "x" * limit) is True


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"\x07", b"\x0b", b"\x04\x00", b"12x", b"\x06\xff", b"\xf0", b"\xf0\x00\x00\x00", b"\xf0\x00\x00\x05abc", b"\xf0\x01\x00\x00\x01", b"\x20", b"\x21\x01\x02", b"\x0b" * 50])
def test_damaged_values_are_counted_misses(cache: SmartCache, damaged: bytes) -> None:
    reads: list[Callable[[], object]] = [
        lambda: cache.get("key"), lambda: cache._get("key"), lambda: cache["key"], lambda: cache._getitem("key"), lambda: cache.get_many(["key"]),
    ]  # fmt: skip
    backend.put(cache._live(), b"key", damaged, 0)
    results = [outcome(read) for read in reads]
    assert results[0] == results[1] == ("returned", tuple, (None, False)) and results[4] == ("returned", dict, {})
    assert results[2] == results[3] == ("raised", KeyError, "'key'")
    stats = cache.get_stats()
    assert stats.refused >= len(reads) and stats.hits == 0 and stats.misses >= len(reads) and stats.hits + stats.misses == stats.requests


def test_a_value_that_only_python_can_read_is_asked_of_it(cache: SmartCache) -> None:
    class Odd(SmartCache):
        def _revive(self, key: Any, data: bytes) -> Any:
            return answers.pop()

    with Odd() as odd:
        odd._set("key", Fraction(1, 3))
        answers: list[Any] = [("revived", True)]
        assert odd.get("key") == ("revived", True)
        for wrong in (None, [1, True], (1,), (1, True, 2), "ab"):
            answers.append(wrong)
            with pytest.raises(TypeError, match="pair"):
                odd.get("key")
        answers = [(None, False), ("many", True), ("item", True)]
        assert odd["key"] == "item" and odd.get_many(["key"]) == {"key": "many"} and odd.get_many(["key"]) == {}
        answers.append((None, False))
        with pytest.raises(KeyError):
            odd["key"]


# ---- Arguments, and heirs ----


def test_arguments_are_checked(cache: SmartCache) -> None:
    c: Any = cache
    wrong: list[Callable[[], object]] = [
        lambda: c.get(), lambda: c.get("a", "b"), lambda: c.get(name="a"), lambda: c.set(), lambda: c.set("a"), lambda: c.set("a", 1, 2, 3),
        lambda: c.set("a", 1, lifetime=5), lambda: c.set("a", 1, 5, ttl=5), lambda: c.set("a", value=1, key="b"), lambda: c.delete(),
        lambda: c.delete("a", "b"), lambda: c.exists(), lambda: c.get_many(), lambda: c.get_many(5), lambda: c.get_many("a", "b"),
        lambda: c._attach(), lambda: c._attach(1), lambda: c._attach(1, 2, 3),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(AttributeError):
        c._attach(object(), True)
    assert len(cache) == 0 and cache.set(key="a", value=1, ttl=5, tags=["tag"]) and cache.set("a", value=2) and cache["a"] == 2
    with BytesCache() as raw:
        b: Any = raw
        assert b.set(key="a", value=b"1", ttl=5) is None and b.get(key="a") == b"1" and b.get("x", default=b"d") == b"d" and b.get("x", 5) == 5
        for call in (lambda: b.get(), lambda: b.get("a", 1, 2), lambda: b.set("a"), lambda: b.get("a", fallback=1)):
            with pytest.raises(TypeError):
                call()


def test_a_base_by_itself_has_no_cache() -> None:
    for base in (native.ValuesBase, native.BytesBase):
        bare = base()
        for call in (lambda: bare.get("key"), lambda: bare.set("key", b"x"), lambda: bare.delete("key"), lambda: "key" in bare):
            with pytest.raises(AttributeError):
                call()
        bare._detach()
        bare._detach()


def test_heirs_override_what_they_like() -> None:
    class Loud(SmartCache):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[Any] = []

        def get(self, key: Any) -> Any:
            self.told.append(("get", key))
            return super().get(key)

        def set(self, key: Any, value: Any, ttl: Any = None, *, tags: Any = ()) -> bool:
            self.told.append(("set", key))
            return super().set(key, value, ttl, tags=tags)

        def delete(self, key: Any) -> bool:
            self.told.append(("delete", key))
            return super().delete(key)

        def __getitem__(self, key: Any) -> Any:
            return "item", super().__getitem__(key)

    class Slotted(BytesCache):
        __slots__ = ("more",)

    with Loud() as cache:
        cache["a"] = 1
        assert cache.set("b", 2, ttl=5) and cache.get("a") == (1, True) and cache["b"] == ("item", 2) and "a" in cache
        del cache["a"]
        assert cache.told == [("set", "a"), ("set", "b"), ("get", "a"), ("delete", "a")]
    with Slotted() as slotted:
        slotted.more = 5
        slotted.set("a", b"1")
        assert slotted.get("a") == b"1"


# ---- Closing ----


@pytest.mark.parametrize("kind", [SmartCache, BytesCache])
def test_a_listener_may_close_the_cache_in_the_middle_of_the_call_that_told_it(kind: Any) -> None:
    for call in (lambda c: c.set("key", b"new"), lambda c: c.delete("key"), lambda c: c.set("key", b"x" * 200_000), lambda c: c.set("key", b"new", ttl=5)):
        cache = kind()
        told: list[bytes] = []

        def listener(key: bytes, value: bytes, cause: str) -> None:
            told.append(key)
            cache.close()

        cache.set("key", b"old")
        cache.set_listener(listener)
        call(cache)
        assert told == [b"key"] and cache.closed
        with pytest.raises(CacheError, match="closed"):
            cache.get("key")


def test_closing_while_other_threads_call_is_safe() -> None:
    for _ in range(20):
        cache = SmartCache()
        cache.set("key", "x" * 1000)
        begun = threading.Barrier(4)

        def work(number: int) -> int:
            begun.wait()
            if number == 0:
                cache.close()
                return 0
            calls = 0
            try:
                while True:
                    assert cache.get("key") in ((None, False), ("x" * 1000, True))
                    cache.set(f"key {calls}", [calls])
                    calls += 1
            except CacheError:
                return calls

        in_threads(4, work)


# ---- References ----


def test_a_cache_whose_listener_refers_to_it_is_collected() -> None:
    for kind in (SmartCache, BytesCache):
        made: Any = kind()
        cell: list[Any] = [made]
        made.set_listener(lambda key, value, cause: cell)
        made.set("key", b"value")
        gone = weakref.ref(made)
        del made, cell
        gc.collect()
        assert gone() is None


def references(*objects: object) -> list[int]:
    return [sys.getrefcount(each) for each in objects]


def test_calls_neither_lose_nor_keep_references(cache: SmartCache) -> None:
    key, raw_key, value, plain, ttl, absent = "a key of its own", b"raw key", "value " * 5, [1, "two"], 1000.5, "absent key"
    no_value = cache.get(absent)
    cache.set(key, value)
    cache.set("plain", plain)
    cache.set("pickled", Fraction(1, 3))
    with BytesCache() as raw:
        data = b"data of its own"
        raw.set(raw_key, data)
        default = object()
        kept = (key, raw_key, value, plain, ttl, absent, no_value, data, default, None, True, False, type(cache), Fraction, raw, cache)

        def missing(call: Callable[[Any], object], argument: Any) -> None:
            try:
                call(argument)
            except (KeyError, CacheKeyError, CacheValueError):
                pass

        calls: list[Callable[[], object]] = [
            lambda: cache.get(key), lambda: cache.get(raw_key), lambda: cache.get(absent), lambda: cache[key], lambda: cache["plain"],
            lambda: cache.set(key, value), lambda: cache.set(key, value, ttl), lambda: cache.set(raw_key, plain), lambda: cache.set(key, value, ttl=5),
            lambda: key in cache, lambda: absent in cache, lambda: cache.exists(key), lambda: cache.delete(absent), lambda: cache.get_many((key, absent)),
            lambda: missing(cache.__getitem__, absent), lambda: missing(cache.get, default), lambda: missing(cache.exists, 5),
            lambda: cache._get_from_memory(key), lambda: cache._get_from_memory(absent), lambda: cache.get("pickled"),
            lambda: raw.get(raw_key), lambda: raw.get(absent, default), lambda: raw.get(absent), lambda: raw[raw_key], lambda: raw.set(raw_key, data),
            lambda: raw_key in raw, lambda: raw.delete(absent), lambda: missing(raw.__getitem__, absent), lambda: raw.get(key=raw_key),
        ]  # fmt: skip
        for call in calls:
            call()
        gc.collect()
        for call in calls:
            before = references(*kept)
            allocated = sys.getallocatedblocks()
            for _ in range(CALLS // len(calls)):
                call()
            after = references(*kept)
            grown = [now - then for now, then in zip(after, before)]
            assert all(abs(each) < FEW for each in grown), (calls.index(call), grown)
            gc.collect()
            assert sys.getallocatedblocks() - allocated < 2000, calls.index(call)


def test_a_view_pins_its_value_and_lets_it_go() -> None:
    with BytesCache() as cache:
        cache.set("key", b"first value" * 100)
        view = cache.view("key")
        assert view is not None and view.readonly
        part = view[:5]
        cache.set("key", b"second")
        cache.delete("key")
        assert cache.statistics().memory_lent_bytes > 0
        view.release()
        assert bytes(part) == b"first" and cache.statistics().memory_lent_bytes > 0
        part.release()
        gc.collect()
        assert cache.statistics().memory_lent_bytes == 0
        cache.set("key", b"outlives the cache" * 50)
        view = cache.view("key")
    assert view is not None and bytes(view[:8]) == b"outlives"
