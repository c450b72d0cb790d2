"""Many keys in one call, and the sweep of what has expired."""

from __future__ import annotations

import time
from typing import Any

import pytest

from catzilla_cache import BytesCache, CacheKeyError, CacheValueError
from catzilla_cache import _ctypes_backend as backend
from catzilla_cache import _status


def test_what_set_many_stores_get_many_finds_and_delete_many_removes(cache: BytesCache) -> None:
    cache.set_many({"a": b"1", b"b": bytearray(b"2"), "c": b""})
    assert cache.get_many(["c", "nobody", "a", b"b"]) == {"c": b"", "a": b"1", b"b": b"2"}
    assert cache.delete_many(["a", "nobody", b"b", "a"]) == 2
    assert cache.get_many(["a", "b", "c"]) == {"c": b""}


def test_a_text_and_its_bytes_are_one_key_and_both_are_answered(cache: BytesCache) -> None:
    cache["key"] = b"value"
    assert cache.get_many(["key", b"key"]) == {"key": b"value", b"key": b"value"}


def test_values_of_all_lengths_come_back_whole() -> None:
    with BytesCache({"memory.capacity": "unlimited"}) as cache:
        values = {f"key {size}": bytes([size % 251]) * size for size in (0, 1, 1023, 1024, 1025, 5_000, 3_000_000)}
        values.update({f"many {number}": str(number).encode() * 200 for number in range(2_500)})
        cache.set_many(values)
        assert cache.get_many(values) == values
        counted = cache.statistics()
        assert (counted.hits, counted.misses) == (len(values), 0), "an answer counts once, however often it was asked for"


def test_a_generator_is_gone_through_once(cache: BytesCache) -> None:
    cache.set_many({str(number): b"x" for number in range(10)})
    assert len(cache.get_many(str(number) for number in range(5))) == 5
    assert cache.delete_many(str(number) for number in range(20)) == 10


def test_empty_batches_do_nothing(cache: BytesCache) -> None:
    cache.set_many({})
    assert cache.get_many([]) == {}
    assert cache.delete_many([]) == 0


def test_all_values_of_a_batch_have_its_ttl(cache: BytesCache) -> None:
    cache.set_many({"a": b"1", "b": b"2"}, ttl=0.05)
    cache.set_many({"c": b"3"}, ttl=3600)
    deadline = time.monotonic() + 60
    while cache.get_many("abc") != {"c": b"3"}:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_the_library_refuses_is_an_error_and_the_rest_is_stored() -> None:
    with BytesCache({"memory.max_value_size": 100}) as cache:
        with pytest.raises(CacheValueError, match="101 bytes"):
            cache.set_many({"a": b"1", "b": bytes(101), "c": bytes(102), "d": b"4"})
        assert cache.get_many("abcd") == {"a": b"1", "d": b"4"}
        with pytest.raises(CacheKeyError, match="CATZILLA_KEY_TOO_LARGE"):
            cache.delete_many(["a", b"k" * (16 * 1024 * 1024 + 1), "d"])
        assert "a" not in cache and "d" not in cache
        with pytest.raises(CacheKeyError, match="CATZILLA_KEY_TOO_LARGE"):
            cache.get_many([b"k" * (16 * 1024 * 1024 + 1)])


def test_what_has_a_wrong_type_is_refused_before_anything_is_done(cache: BytesCache) -> None:
    wrong: Any = 5
    for call in (
        lambda: cache.set_many({"a": b"1", wrong: b"2"}),
        lambda: cache.get_many(["a", wrong]),
        lambda: cache.delete_many(["a", wrong]),
    ):
        with pytest.raises(CacheKeyError, match="a key is str or bytes"):
            call()
    with pytest.raises(CacheValueError, match="a value is bytes"):
        cache.set_many({"a": b"1", "b": wrong})
    with pytest.raises(CacheValueError, match="TTL"):
        cache.set_many({"a": b"1"}, ttl=-1)
    assert len(cache) == 0


def test_the_flat_functions_tell_the_status_of_each_item() -> None:
    status, handle = backend.open([(b"memory.max_value_size", b"4")])
    assert status == _status.OK and handle is not None
    status, statuses = backend.put_many(handle, [(b"a", b"1"), (b"b", b"12345"), (b"c", b"3")], 0)
    assert (status, statuses) == (_status.VALUE_TOO_LARGE, [_status.OK, _status.VALUE_TOO_LARGE, _status.OK])
    found = (_status.OK, [(_status.OK, b"1"), (_status.NOT_FOUND, b""), (_status.OK, b"3")])
    assert backend.get_many(handle, [b"a", b"b", b"c"]) == found
    assert backend.remove_many(handle, [b"a", b"b"]) == (_status.OK, [_status.OK, _status.NOT_FOUND])
    null = backend.Handle(0, asks_below=False)
    assert backend.get_many(null, [b"a"]) == (_status.INVALID_ARGUMENT, [(_status.INVALID_ARGUMENT, b"")])
    assert backend.put_many(null, [(b"a", b"1")], 0)[0] == _status.INVALID_ARGUMENT
    assert backend.remove_many(null, [])[0] == _status.INVALID_ARGUMENT
    assert backend.sweep(null) == (_status.INVALID_ARGUMENT, 0)


def test_a_sweep_frees_what_has_expired_and_says_how_many() -> None:
    with BytesCache({"memory.sweep_interval": 0}) as cache:
        cache.set_many({"a": b"1", "b": b"2"}, ttl=0.2)
        cache.set("c", b"3")
        assert len(cache) == 3
        deadline = time.monotonic() + 60
        swept = 0
        while swept < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            swept += cache.sweep()
        assert (swept, cache.sweep(), len(cache)) == (2, 0, 1)


def test_what_nobody_asks_for_is_freed_within_the_interval() -> None:
    with BytesCache({"memory.sweep_interval": 0.01}) as cache:
        cache.set("key", b"value", ttl=0.001)
        deadline = time.monotonic() + 60
        while len(cache) > 0:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert cache.statistics().memory_expirations == 1
