"""The classic C functions through ctypes: results and statistics are structs returned by value."""

from __future__ import annotations

import ctypes
import threading
import time
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Iterator

import pytest

from frozen_structs import CacheConfig, CacheResult, CacheStatistics

RESULT_LIFETIME = 64

SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "catzilla_cache_create": (c_void_p, [c_size_t, c_size_t]),
    "catzilla_cache_create_with_config": (c_void_p, [POINTER(CacheConfig)]),
    "catzilla_cache_set": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t, c_uint32]),
    "catzilla_cache_get": (CacheResult, [c_void_p, c_char_p]),
    "catzilla_cache_delete": (c_int, [c_void_p, c_char_p]),
    "catzilla_cache_exists": (c_bool, [c_void_p, c_char_p]),
    "catzilla_cache_get_stats": (CacheStatistics, [c_void_p]),
    "catzilla_cache_clear": (None, [c_void_p]),
    "catzilla_cache_destroy": (None, [c_void_p]),
    "catzilla_cache_configure": (c_int, [c_void_p, POINTER(CacheConfig)]),
    "catzilla_cache_expire_entries": (c_size_t, [c_void_p]),
    "catzilla_cache_memory_usage": (c_size_t, [c_void_p]),
    "catzilla_cache_resize": (c_int, [c_void_p, c_size_t]),
    "catzilla_cache_generate_key": (c_int, [c_char_p, c_char_p, c_char_p, c_uint32, c_char_p, c_size_t]),
    "catzilla_cache_hash_key": (c_uint32, [c_char_p, c_size_t]),
    "catzilla_cache_get_timestamp": (c_uint64, []),
    "catzilla_last_error_message": (c_char_p, []),
    "multi_cache_create": (c_void_p, [POINTER(CacheConfig), c_char_p, c_char_p]),
    "multi_cache_get": (CacheResult, [c_void_p, c_char_p]),
    "multi_cache_set": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t, c_uint32]),
    "multi_cache_delete": (c_int, [c_void_p, c_char_p]),
    "multi_cache_destroy": (None, [c_void_p]),
}


@pytest.fixture(scope="module")
def library(library_file: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(library_file))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@pytest.fixture
def classic(library: ctypes.CDLL) -> Iterator[int]:
    handle: int = library.catzilla_cache_create(100, 25)
    assert handle
    yield handle
    library.catzilla_cache_destroy(handle)


def test_a_result_comes_back_by_value(library: ctypes.CDLL, classic: int) -> None:
    assert library.catzilla_cache_set(classic, b"key", b"va\0lue", 6, 0) == 0
    result = library.catzilla_cache_get(classic, b"key")
    assert (result.found, result.size, result.value) == (True, 6, b"va\0lue")
    assert result.data % 16 == 0


def test_a_miss_has_no_data(library: ctypes.CDLL, classic: int) -> None:
    result = library.catzilla_cache_get(classic, b"absent")
    assert (result.found, result.size, result.data) == (False, 0, None)


def test_an_empty_value_is_found_and_has_an_address(library: ctypes.CDLL, classic: int) -> None:
    assert library.catzilla_cache_set(classic, b"", b"", 0, 0) == 0
    result = library.catzilla_cache_get(classic, b"")
    assert (result.found, result.size) == (True, 0)
    assert result.data


def test_statistics_come_back_by_value_and_add_up(library: ctypes.CDLL, classic: int) -> None:
    for number in range(150):
        library.catzilla_cache_set(classic, str(number).encode(), b"value", 5, 60)
    library.catzilla_cache_get(classic, b"149")
    library.catzilla_cache_get(classic, b"0")
    counted = library.catzilla_cache_get_stats(classic)
    assert (counted.hits, counted.misses, counted.total_requests) == (1, 1, 2)
    assert counted.hit_ratio == pytest.approx(0.5)
    assert (counted.evictions, counted.size, counted.capacity) == (50, 100, 100)
    assert counted.memory_usage == library.catzilla_cache_memory_usage(classic) > 100 * 5


def test_results_live_through_the_promised_number_of_calls_whatever_happens_to_the_entries(
    library: ctypes.CDLL, classic: int
) -> None:
    # One call in two is a miss: these count as well. The first result has then seen 63 later calls, and is still good.
    results = []
    for number in range(RESULT_LIFETIME // 2):
        key, value = f"key {number}".encode(), bytes([number]) * 1000
        library.catzilla_cache_set(classic, key, value, len(value), 0)
        results.append((value, library.catzilla_cache_get(classic, key)))
        library.catzilla_cache_get(classic, b"absent")

    def destroy_all() -> None:
        for number in range(RESULT_LIFETIME // 2):
            library.catzilla_cache_set(classic, f"key {number}".encode(), b"other" * 200, 1000, 0)
        library.catzilla_cache_clear(classic)

    thread = threading.Thread(target=destroy_all)
    thread.start()
    thread.join()
    assert not library.catzilla_cache_exists(classic, b"key 1")
    assert [result.value for _, result in results] == [value for value, _ in results]


def test_deleting_an_absent_key_is_minus_one(library: ctypes.CDLL, classic: int) -> None:
    library.catzilla_cache_set(classic, b"key", b"value", 5, 0)
    assert library.catzilla_cache_delete(classic, b"key") == 0
    assert library.catzilla_cache_delete(classic, b"key") == -1
    assert not library.catzilla_cache_exists(classic, b"key")


def test_memory_falls_again(library: ctypes.CDLL, classic: int) -> None:
    library.catzilla_cache_set(classic, b"key", b"v" * 50_000, 50_000, 0)
    full = library.catzilla_cache_memory_usage(classic)
    assert full >= 50_000
    library.catzilla_cache_delete(classic, b"key")
    assert library.catzilla_cache_memory_usage(classic) <= full - 50_000


def test_capacity_0_is_refused_with_words(library: ctypes.CDLL) -> None:
    assert library.catzilla_cache_create(0, 16) is None
    assert b"capacity" in library.catzilla_last_error_message()


def test_a_bucket_count_of_0_is_a_hint_like_any_other(library: ctypes.CDLL) -> None:
    handle = library.catzilla_cache_create(10, 0)
    assert handle
    assert library.catzilla_cache_set(handle, b"key", b"value", 5, 0) == 0
    assert library.catzilla_cache_get(handle, b"key").value == b"value"
    library.catzilla_cache_destroy(handle)


def test_a_config_is_read_as_it_is_laid_out(library: ctypes.CDLL) -> None:
    config = CacheConfig(
        capacity=5, bucket_count=16, default_ttl=60, max_value_size=100, compression_enabled=True, jemalloc_enabled=True
    )
    handle = library.catzilla_cache_create_with_config(ctypes.byref(config))
    assert handle
    assert library.catzilla_cache_set(handle, b"key", b"v" * 100, 100, 0) == 0
    assert library.catzilla_cache_set(handle, b"key", b"v" * 101, 101, 0) == -1
    assert library.catzilla_cache_get(handle, b"key").value == b"v" * 100
    assert library.catzilla_cache_get_stats(handle).capacity == 5
    assert library.catzilla_cache_resize(handle, 9) == 0
    assert library.catzilla_cache_resize(handle, 0) == -1
    assert library.catzilla_cache_get_stats(handle).capacity == 9
    config.max_value_size = 1000
    assert library.catzilla_cache_configure(handle, ctypes.byref(config)) == 0
    assert library.catzilla_cache_set(handle, b"key", b"v" * 1000, 1000, 0) == 0
    config.capacity = 0
    assert library.catzilla_cache_configure(handle, ctypes.byref(config)) == -1
    library.catzilla_cache_destroy(handle)


def test_null_is_a_failure_and_not_a_crash(library: ctypes.CDLL, classic: int) -> None:
    assert library.catzilla_cache_create_with_config(None) is None
    assert library.catzilla_cache_set(None, b"key", b"value", 5, 0) == -1
    assert library.catzilla_cache_set(classic, None, b"value", 5, 0) == -1
    assert library.catzilla_cache_set(classic, b"key", None, 5, 0) == -1
    assert library.catzilla_cache_get(None, b"key").found is False
    assert library.catzilla_cache_get(classic, None).found is False
    assert library.catzilla_cache_delete(None, b"key") == -1
    assert library.catzilla_cache_exists(None, b"key") is False
    assert library.catzilla_cache_get_stats(None).capacity == 0
    assert library.catzilla_cache_memory_usage(None) == 0
    assert library.catzilla_cache_resize(None, 5) == -1
    assert library.catzilla_cache_configure(classic, None) == -1
    assert library.catzilla_cache_expire_entries(None) == 0
    library.catzilla_cache_clear(None)
    library.catzilla_cache_destroy(None)


@pytest.mark.parametrize(
    ("key", "expected"), [(b"", 2166136261), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)], ids=["empty", "a", "foobar"]
)
def test_hash_key_is_fnv_1a(library: ctypes.CDLL, key: bytes, expected: int) -> None:
    assert library.catzilla_cache_hash_key(key, len(key)) == expected


def test_generate_key_writes_the_documented_form(library: ctypes.CDLL) -> None:
    buffer = ctypes.create_string_buffer(100)
    for query, expected in ((b"q=1", b"GET:/users?q=1:0000002a"), (b"", b"GET:/users:0000002a"), (None, b"GET:/users:0000002a")):
        assert library.catzilla_cache_generate_key(b"GET", b"/users", query, 42, buffer, 100) == len(expected)
        assert buffer.value == expected
    exact = len(expected) + 1
    assert library.catzilla_cache_generate_key(b"GET", b"/users", None, 42, buffer, exact) == exact - 1
    assert library.catzilla_cache_generate_key(b"GET", b"/users", None, 42, buffer, exact - 1) == -1
    assert library.catzilla_cache_generate_key(None, b"/users", None, 42, buffer, 100) == -1


def test_the_timestamp_is_microseconds_of_the_unix_epoch(library: ctypes.CDLL) -> None:
    before = time.time_ns() // 1000
    stamp = library.catzilla_cache_get_timestamp()
    after = time.time_ns() // 1000
    assert before <= stamp <= after


def test_a_multi_cache_serves_from_memory(library: ctypes.CDLL) -> None:
    config = CacheConfig(capacity=10, bucket_count=16)
    handle = library.multi_cache_create(ctypes.byref(config), None, None)
    assert handle
    assert library.multi_cache_set(handle, b"key", b"value", 5, 0) == 0
    assert library.multi_cache_get(handle, b"key").value == b"value"
    assert library.multi_cache_delete(handle, b"key") == 0
    assert library.multi_cache_get(handle, b"key").found is False
    library.multi_cache_destroy(handle)
