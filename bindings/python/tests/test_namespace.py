"""Namespaces: keys with a name and a version before them, as a cache of their own."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from catzilla_cache.errors import CacheKeyError, CacheValueError
from catzilla_cache.smart_cache import SmartCache
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory"]


def test_a_namespace_sees_its_own_keys_alone(cache: SmartCache) -> None:
    users, pages = cache.namespace("users"), cache.namespace("pages")
    assert users.set("key", 1) and pages.set("key", Fraction(1, 3), 60, tags=["tag"]) and cache.set("key", 3)
    assert users.get("key") == (1, True) and pages.get(b"key") == (Fraction(1, 3), True) and cache.get("key") == (3, True)
    assert cache.get("users:v1:key") == (1, True)
    assert users.delete("key") and not users.exists("key") and pages.exists("key") and "key" in pages
    assert cache.invalidate("tag") == 1 and pages.get("key") == (None, False)


def test_another_version_sees_nothing_of_this_one(cache: SmartCache) -> None:
    one, two, twelve = cache.namespace("users", 1), cache.namespace("users", 2), cache.namespace("users", 12)
    one["key"] = "old"
    twelve["key"] = "twelve"
    assert "key" not in two and one["key"] == "old"
    two["key"] = "new"
    one.clear()
    assert "key" not in one and two["key"] == "new" and twelve["key"] == "twelve"
    assert (two.name, two.version) == ("users", 2) and "'users', version 2" in repr(two)


def test_every_operation_is_that_of_the_cache_under_its_own_keys(cache: SmartCache) -> None:
    space = cache.namespace("space")
    assert space.add("a", 1) and not space.add("a", 2, 60, tags=["tag"]) and space.replace("a", 3) and not space.replace("b", 1)
    assert space.touch("a", 60) and not space.touch("b") and space.incr("n") == 1 and space.incr("n", 5) == 6 and space.decr("n", 2) == 4
    assert space.get_or_set("loaded", lambda: [5], 60, tags=["tag"], grace=5) == [5] == space["loaded"]
    assert space.set_many({"x": 1, b"y": 2}, 60) and space.get_many(["x", b"y", "z"]) == {"x": 1, b"y": 2}
    assert sorted(space.keys()) == [b"a", b"loaded", b"n", b"x", b"y"] and space.delete_many(["x", "y", "z"]) == 2
    del space["a"]
    for absent in (lambda: space["a"], lambda: space.__delitem__("a")):
        with pytest.raises(KeyError, match="a"):
            absent()
    assert sorted(cache.keys()) == [b"space:v1:loaded", b"space:v1:n"]
    assert cache.set("outside", 1)
    space.clear()
    assert list(cache.keys()) == [b"outside"]
    with pytest.raises(TypeError):
        iter(space)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["space", "s*", "s?ace", "s\\*", "*"])
def test_a_prefix_and_a_pattern_reach_the_namespaces_own_keys_alone(cache: SmartCache, name: str) -> None:
    mine = cache.namespace(name)
    others = [cache.namespace(name, 2), cache.namespace("spaced"), cache.namespace("some"), cache.namespace("s\\x")]
    for space in (mine, *others):
        space.set_many({"page:1": 1, "page:2": 2, "user:1": 3, "*": 4, "page:10": 5})
    cache["page:1"] = 1
    assert mine.delete_pattern("page:?") == 2 and mine.delete_pattern(b"\\*") == 1 and mine.delete_pattern("page:?") == 0
    assert sorted(mine.keys()) == [b"page:10", b"user:1"]
    assert mine.delete_prefix("page:") == 1 and list(mine.keys()) == [b"user:1"]
    assert mine.delete_pattern("*") == 1 and list(mine.keys()) == []
    assert [len(list(space.keys())) for space in others] == [5, 5, 5, 5] and "page:1" in cache
    assert others[0].delete_prefix("") == 5 and mine.delete_prefix("") == 0


def test_a_pattern_is_as_long_as_the_librarys_with_the_namespaces_beginning(cache: SmartCache) -> None:
    space = cache.namespace("space")
    longest = 4096 - len("space:v1:")
    assert space.delete_pattern("*" * longest) == 0
    with pytest.raises(CacheValueError, match="a pattern has at most 4096 bytes, not 4097"):
        space.delete_pattern("*" * (longest + 1))
    for wrong in (5, None, "\ud800"):
        with pytest.raises(CacheValueError, match="a pattern"):
            space.delete_pattern(wrong)  # type: ignore[arg-type]
    with pytest.raises(CacheKeyError, match="a key is str or bytes, not int"):
        space.delete_prefix(5)  # type: ignore[arg-type]


def test_no_name_makes_keys_of_another_namespace(cache: SmartCache) -> None:
    for wrong in ("", "a:b", ":", None, 5, b"a", "\ud800"):
        with pytest.raises(CacheKeyError, match="key|namespace"):
            cache.namespace(wrong)  # type: ignore[arg-type]
    versions: list[Any] = ["1", 1.5, None]
    for version in versions:
        with pytest.raises(CacheKeyError, match="version"):
            cache.namespace("a", version)
    with pytest.raises(CacheKeyError):
        cache.namespace("a").get(5)  # type: ignore[arg-type]
    with pytest.raises(CacheValueError):
        cache.namespace("a").set("key", 1, -1)
