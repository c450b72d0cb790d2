"""The BytesCache as a caller sees it: values, keys, lifetimes, refusals."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from catzilla_cache import BytesCache, CacheError, CacheKeyError, CacheValueError


def test_what_was_set_is_returned_as_bytes(cache: BytesCache) -> None:
    cache.set("key", b"value")
    assert cache.get("key") == b"value"
    assert type(cache.get("key")) is bytes


def test_an_absent_key_gives_the_default(cache: BytesCache) -> None:
    assert cache.get("absent") is None
    assert cache.get("absent", b"other") == b"other"
    assert cache.get("absent", 7) == 7


def test_setting_again_replaces_the_value(cache: BytesCache) -> None:
    cache.set("key", b"a long first value")
    cache.set("key", b"second")
    assert cache.get("key") == b"second"
    assert len(cache) == 1


def test_a_str_key_is_its_utf8_bytes(cache: BytesCache) -> None:
    cache.set("schlüssel", b"value")
    assert cache.get("schlüssel".encode()) == b"value"


@pytest.mark.parametrize("key", ["", b"", b"\0", b"a\0b", b"\xff\xfe", "ключ", "k" * 100_000])
def test_any_text_and_any_bytes_are_a_key(cache: BytesCache, key: Any) -> None:
    cache.set(key, b"value of this key")
    cache.set(b"a", b"value of a prefix")
    assert cache.get(key) == b"value of this key"
    assert cache.delete(key) is True


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4095, 4096, 4097, 1024 * 1024, 3 * 1024 * 1024 + 1])
def test_values_of_any_size_come_back_unchanged(cache: BytesCache, size: int) -> None:
    value = (bytes(range(251)) * (size // 251 + 1))[:size]
    cache.set("key", value)
    assert cache.get("key") == value


@pytest.mark.parametrize(
    "value",
    [bytearray(b"abcdef"), memoryview(b"abcdef"), memoryview(b"a-b-c-d-e-f")[::2]],
    ids=["bytearray", "memoryview", "strided"],
)
def test_anything_with_the_buffer_interface_is_a_value(cache: BytesCache, value: Any) -> None:
    cache.set("key", value)
    assert cache.get("key") == b"abcdef"


def test_the_stored_value_is_a_copy(cache: BytesCache) -> None:
    value = bytearray(b"before")
    cache.set("key", value)
    value[:] = b"after!"
    assert cache.get("key") == b"before"


def test_delete_says_whether_the_key_was_there(cache: BytesCache) -> None:
    cache.set("key", b"value")
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.get("key") is None


def test_it_reads_like_a_mapping(cache: BytesCache) -> None:
    cache["key"] = b"value"
    assert cache["key"] == b"value"
    assert "key" in cache and b"key" in cache and "other" not in cache
    assert len(cache) == 1
    del cache["key"]
    assert "key" not in cache
    assert len(cache) == 0


def test_an_absent_key_is_a_key_error_in_brackets(cache: BytesCache) -> None:
    with pytest.raises(KeyError, match="absent"):
        cache["absent"]
    with pytest.raises(KeyError, match="absent"):
        del cache["absent"]


def test_it_does_not_pretend_to_be_iterable(cache: BytesCache) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        iter(cache)  # type: ignore[call-overload]


def test_clear_removes_everything_and_keeps_the_counters(cache: BytesCache) -> None:
    for number in range(100):
        cache.set(str(number), b"value")
    cache.get("1")
    cache.clear()
    assert len(cache) == 0
    assert cache.get("1") is None
    assert cache.statistics().hits == 1


def test_an_entry_expires_after_its_ttl_and_not_before(cache: BytesCache) -> None:
    begun = time.monotonic()
    cache.set("key", b"value", ttl=0.25)
    cache.set("stays", b"value", ttl=3600)
    while cache.get("key") is not None:
        assert time.monotonic() - begun < 60
        time.sleep(0.005)
    assert time.monotonic() - begun >= 0.25
    assert "key" not in cache
    assert cache.get("stays") == b"value"


def test_without_a_ttl_or_with_0_the_default_of_the_options_counts() -> None:
    with BytesCache({"memory.ttl": 0.05}) as cache:
        cache.set("none", b"value")
        cache.set("zero", b"value", ttl=0)
        cache.set("long", b"value", ttl=3600)
        cache.set("forever", b"value", ttl=math.inf)
        deadline = time.monotonic() + 60
        while "none" in cache or "zero" in cache:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert "long" in cache and "forever" in cache


@pytest.mark.parametrize("ttl", [1e-9, 1e300, math.inf, 2**64, 10**30, True])
def test_extreme_ttls_are_lifetimes_and_not_errors(cache: BytesCache, ttl: float) -> None:
    cache.set("key", b"value", ttl=ttl)
    if ttl >= 1:
        assert cache.get("key") == b"value"


@pytest.mark.parametrize("ttl", [-1, -0.001, math.nan, -math.inf])
def test_a_ttl_that_is_no_lifetime_is_refused(cache: BytesCache, ttl: float) -> None:
    with pytest.raises(ValueError, match="TTL"):
        cache.set("key", b"value", ttl=ttl)
    assert "key" not in cache


@pytest.mark.parametrize("key", [None, 1, 1.5, ("a",), bytearray(b"a"), object()])
def test_a_key_of_another_type_is_refused_everywhere(cache: BytesCache, key: Any) -> None:
    for call in (
        lambda: cache.get(key),
        lambda: cache.set(key, b"value"),
        lambda: cache.delete(key),
        lambda: key in cache,
        lambda: cache[key],
    ):
        with pytest.raises(CacheKeyError, match="a key is str or bytes"):
            call()


def test_text_that_has_no_utf8_form_is_no_key(cache: BytesCache) -> None:
    with pytest.raises(CacheKeyError, match="not valid text"):
        cache.get("\ud800")


@pytest.mark.parametrize("value", [None, "text", 5, ["a"], object()])
def test_a_value_that_is_not_bytes_is_refused(cache: BytesCache, value: Any) -> None:
    with pytest.raises(CacheValueError, match="a value is bytes"):
        cache.set("key", value)
    assert "key" not in cache


def test_a_key_that_is_too_long_is_refused_with_the_librarys_words(cache: BytesCache) -> None:
    with pytest.raises(CacheKeyError, match="CATZILLA_KEY_TOO_LARGE") as caught:
        cache.set(b"k" * (16 * 1024 * 1024 + 1), b"value")
    assert caught.value.status == -200
    assert len(str(caught.value)) > len("CATZILLA_KEY_TOO_LARGE") + 10


def test_a_value_that_is_too_long_is_refused_and_the_old_one_stays() -> None:
    with BytesCache({"memory.max_value_size": 1000}) as cache:
        cache.set("key", b"v" * 1000)
        with pytest.raises(CacheValueError, match="CATZILLA_VALUE_TOO_LARGE"):
            cache.set("key", b"w" * 1001)
        assert cache.get("key") == b"v" * 1000


def test_there_are_never_more_entries_than_the_capacity() -> None:
    with BytesCache({"memory.capacity": 50}) as cache:
        for number in range(500):
            cache.set(f"key {number}", b"value")
            assert len(cache) <= 50
        assert "key 499" in cache and "key 0" not in cache
        assert cache.statistics().memory_evictions == 500 - len(cache)


def test_lru_keeps_what_was_used() -> None:
    with BytesCache({"memory.capacity": 3, "memory.policy": "lru"}) as cache:
        cache["a"], cache["b"], cache["c"] = b"1", b"2", b"3"
        assert cache.get("a") == b"1"
        cache["d"] = b"4"
        assert "b" not in cache
        assert all(key in cache for key in "acd")


def test_the_bound_on_bytes_holds() -> None:
    with BytesCache({"memory.max_bytes": "256KiB", "memory.compression": False}) as cache:
        for number in range(1000):
            cache.set(f"key {number}", bytes(1024) + str(number).encode())
        counted = cache.statistics()
        assert counted.memory_capacity is None, "a bound on bytes alone takes the default bound on entries away"
        assert counted.memory_max_bytes == 256 * 1024
        assert counted.memory_bytes <= 256 * 1024
        assert 0 < counted.memory_entries <= 256


def test_two_caches_know_nothing_of_each_other() -> None:
    with BytesCache() as one, BytesCache() as other:
        one["key"] = b"one"
        assert "key" not in other
        other["key"] = b"other"
        assert one["key"] == b"one"


def test_every_refusal_is_a_cache_error() -> None:
    assert issubclass(CacheKeyError, CacheError) and not issubclass(CacheKeyError, KeyError)
    assert issubclass(CacheValueError, CacheError) and issubclass(CacheValueError, ValueError)
