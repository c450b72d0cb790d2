"""Options by name: the library's table, and Python values as its text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from catzilla_cache import BytesCache, CacheError, CacheValueError, OptionInfo, available_options
from catzilla_cache.options import encode

#: Names that are fixed, with the default the library gives them.
FIXED = {
    "memory.capacity": "10000",
    "memory.max_bytes": "none",
    "memory.ttl": "1h",
    "memory.max_value_size": "100MiB",
    "memory.shards": "0",
    "memory.compression": "on",
    "memory.jemalloc": "on",
}


def test_the_librarys_table_is_readable_and_has_the_fixed_names_and_defaults() -> None:
    table = {option.name: option for option in available_options()}
    assert FIXED == {name: table[name].default for name in FIXED}
    for option in table.values():
        assert isinstance(option, OptionInfo)
        assert option.type and option.range and option.help
        assert isinstance(option.live, bool)


def test_no_option_is_listed_twice() -> None:
    names = [option.name for option in available_options()]
    assert len(names) == len(set(names)) > len(FIXED)


def test_every_default_can_be_given_as_it_is_written() -> None:
    options = {option.name: option.default for option in available_options()}
    with BytesCache(options) as cache:
        cache.set("key", b"value")
        assert cache.get("key") == b"value"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("memory.capacity", 500, b"500"),
        ("memory.capacity", "unlimited", b"unlimited"),
        ("memory.max_bytes", 2**30, b"1073741824"),
        ("memory.max_bytes", "512MiB", b"512MiB"),
        ("memory.compression", True, b"on"),
        ("memory.compression", False, b"off"),
        ("memory.ttl", 3600, b"3600000ms"),
        ("memory.ttl", 0.3, b"300ms"),
        ("memory.ttl", 1.1, b"1100ms"),
        ("memory.ttl", 0.00025, b"1ms"),
        ("memory.ttl", timedelta(minutes=5), b"300000ms"),
        ("memory.ttl", "5s", b"5s"),
    ],
)
def test_python_values_become_the_text_that_the_library_takes(name: str, value: object, text: bytes) -> None:
    assert encode({name: value}) == [(name.encode(), text)]
    BytesCache({"memory.max_bytes": "2GiB", name: value}).close()


def test_none_leaves_an_option_at_its_default() -> None:
    assert encode({"memory.capacity": None}) == []
    with BytesCache({"memory.capacity": None}) as cache:
        assert cache.statistics().memory_capacity == 10_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory.capacty": 5}, ["memory.capacty", "CATZILLA_UNKNOWN_OPTION"]),
        ({"memory.capacity": "many"}, ["memory.capacity", "many", "CATZILLA_INVALID_OPTION"]),
        ({"memory.capacity": 0}, ["memory.capacity", "CATZILLA_OPTION_OUT_OF_RANGE"]),
        ({"memory.policy": "best"}, ["memory.policy", "best", "lru"]),
        ({"memory.ttl": "soon"}, ["memory.ttl", "soon"]),
        ({"memory.compression": "maybe"}, ["memory.compression", "maybe"]),
        ({"memory.max_bytes": -1}, ["memory.max_bytes", "-1"]),
    ],
)
def test_a_refused_option_names_itself_and_what_was_given(options: dict[str, object], words: list[str]) -> None:
    with pytest.raises(CacheValueError) as caught:
        BytesCache(options)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert caught.value.status < 0


@pytest.mark.parametrize(
    "options",
    [
        {"memory.capacity": 1.5},
        {"memory.capacity": [1]},
        {"memory.ttl": float("nan")},
        {"memory.ttl": -1},
        {"memory.ttl": timedelta(seconds=-1)},
        {"memory.policy": "lru\0lfu"},
        {"memory\0.policy": "lru"},
        {5: "lru"},
    ],
)
def test_a_value_that_no_option_takes_is_refused_before_the_library_sees_it(options: Any) -> None:
    with pytest.raises(CacheValueError, match="option") as caught:
        BytesCache(options)
    assert caught.value.status == 0


def test_options_act() -> None:
    with BytesCache({"memory.capacity": 7, "memory.shards": 1}) as cache:
        for number in range(20):
            cache.set(str(number), b"value")
        assert len(cache) == 7


def test_a_cache_error_is_what_a_caller_catches() -> None:
    with pytest.raises(CacheError):
        BytesCache({"nothing": "known"})


def test_a_live_option_of_an_open_cache_changes_at_once() -> None:
    with BytesCache({"memory.capacity": 10, "memory.policy": "lru"}) as cache:
        for number in range(10):
            cache.set(str(number), b"value")
        cache.set_option("memory.capacity", 3)
        assert [number for number in range(10) if str(number) in cache] == [7, 8, 9]
        assert cache.statistics().memory_capacity == 3


def test_an_option_that_cannot_change_is_refused_by_name() -> None:
    with BytesCache() as cache:
        with pytest.raises(CacheValueError, match="memory.shards"):
            cache.set_option("memory.shards", 2)
        with pytest.raises(CacheValueError, match="memory.capacity"):
            cache.set_option("memory.capacity", 0)
