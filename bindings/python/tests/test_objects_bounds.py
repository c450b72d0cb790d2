"""What an object cache has room for: so many entries, so many bytes, by a weigher or by the size of the objects."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from catzilla_cache.objects import SmartCache


@pytest.mark.parametrize("wrong", [0, -1, -(10**30)])
def test_a_bound_below_one_is_a_value_error(wrong: int) -> None:
    with pytest.raises(ValueError, match="max_size is 1 or more entries"):
        SmartCache(max_size=wrong)
    with pytest.raises(ValueError, match="max_bytes is 1 or more bytes"):
        SmartCache(max_bytes=wrong)
    cache = SmartCache[Any, Any]()
    with pytest.raises(ValueError, match="max_size"):
        cache.set_max_size(wrong)
    assert cache.get_max_size() == 1000


@pytest.mark.parametrize("wrong", [True, 2.5, "10", [1]])
def test_a_bound_that_is_no_whole_number_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="max_size is a whole number of entries"):
        SmartCache(max_size=wrong)
    with pytest.raises(TypeError, match="max_size"):
        SmartCache[Any, Any]().set_max_size(wrong)


def test_a_smaller_bound_lets_go_at_once_of_who_would_leave_first() -> None:
    cache = SmartCache[int, int](max_size=500)
    for number in range(500):
        cache[number] = number
    for number in range(0, 500, 2):
        cache.get(number)
    cache.set_max_size(250)
    assert sorted(cache.keys()) == list(range(0, 500, 2))
    assert cache.stats()["evictions"] == 250
    cache.set_max_size(1)
    assert cache.keys() == [498]
    cache.set_max_size(3)
    for number in range(10):
        cache[number] = number
    assert sorted(cache.keys()) == [7, 8, 9]


def test_a_bound_in_bytes_goes_by_the_weigher() -> None:
    cache = SmartCache[str, bytes](max_size=None, max_bytes=100, weigher=len)
    for key in "abcd":
        cache[key] = bytes(30)
    assert sorted(cache.keys()) == ["b", "c", "d"] and cache.weight() == 90
    cache["c"] = bytes(5)
    assert cache.weight() == 65
    cache["d"] = bytes(71)  # it and c fit no more with b
    assert sorted(cache.keys()) == ["c", "d"] and cache.weight() == 76
    cache["e"] = bytes(100)
    assert cache.keys() == ["e"] and cache.weight() == 100
    cache.remove("e")
    assert cache.weight() == 0


def test_what_alone_is_heavier_than_the_bound_is_not_kept() -> None:
    cache = SmartCache[str, bytes](max_bytes=100, weigher=len)
    cache["small"] = bytes(50)
    cache["key"] = bytes(10)
    cache["key"] = bytes(101)
    assert "key" not in cache, "and the former value is not kept either"
    assert cache.get("small") is not None
    assert cache.get_or_set("key", lambda: bytes(500)) == bytes(500)
    assert cache.keys() == ["small"]


def test_the_default_weigher_is_the_size_of_the_object() -> None:
    cache = SmartCache[int, bytes](max_size=None, max_bytes=10_000)
    for number in range(100):
        cache[number] = bytes(967)
    assert len(cache) == 10_000 // sys.getsizeof(bytes(967))
    assert cache.weight() == len(cache) * sys.getsizeof(bytes(967))
    assert SmartCache[int, int]().weight() == 0


def test_a_weigher_that_fails_leaves_all_as_it_was() -> None:
    answers: list[Any] = [5]

    def weigh(_: object) -> Any:
        if isinstance(answers[0], BaseException):
            raise answers[0]
        return answers[0]

    cache = SmartCache[str, int](max_bytes=100, weigher=weigh)
    cache["key"] = 1
    for answer, error in ((OSError("no"), OSError), (-1, ValueError), (1.5, TypeError), (2**80, ValueError)):
        answers[0] = answer
        with pytest.raises(error):
            cache["key"] = 2
    assert cache.get("key") == 1 and cache.weight() == 5
