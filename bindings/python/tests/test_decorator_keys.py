"""@cached: which calls share a key, of functions and of methods."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any, Callable

import pytest

from catzilla_cache.decorator import cached
from catzilla_cache.errors import CacheKeyError
from catzilla_cache.smart_cache import SmartCache
from interpreter import output_of
from smart_caches import Calls, cache_in_memory

__all__ = ["cache_in_memory"]


# ---- Functions ----


def test_calls_that_bind_to_the_same_arguments_share_a_key(cache: SmartCache) -> None:
    calls = Calls()

    @cached(cache=cache)
    def function(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> Any:
        return calls(a, b, rest, c, more)

    for call in (lambda: function(1), lambda: function(a=1), lambda: function(1, 2), lambda: function(1, b=2, c=3), lambda: function(c=3, a=1)):
        call()
    assert len(calls) == 1
    for different in (lambda: function(2), lambda: function(1, 3), lambda: function(1, 2, 3), lambda: function(1, c=4), lambda: function(1, d=4)):
        different()
        different()
    assert len(calls) == 6
    function(1, x=1, y=2), function(1, y=2, x=1)
    assert len(calls) == 7


def test_arguments_of_different_types_never_share_a_key(cache: SmartCache) -> None:
    calls = Calls()

    @cached(cache=cache)
    def function(x: Any) -> Any:
        calls(x)
        return type(x).__name__, repr(x)

    values = [
        1, True, 1.0, "1", b"1", bytearray(b"1"), None, "None", 0, False, 0.0, -0.0, "", b"", [], (), {}, set(), frozenset(), [1], (1,), {1}, {1: 1},
        [[1]], [1, [1]], {"a": 1}, {"a": "1"}, Fraction(1), complex(1), 2**64, -1,
    ]  # fmt: skip
    for _ in range(2):
        for value in values:
            assert function(value) == (type(value).__name__, repr(value))
    assert len(calls) == len(values)
    with pytest.raises(CacheKeyError):
        function(iter([1]).__class__.__name__ and object())  # neither plain nor able to be told from the next one


def test_functions_of_one_name_never_share_a_key(cache: SmartCache) -> None:
    def make(result: Any) -> Callable[[], Any]:
        @cached(cache=cache)
        def function() -> Any:
            return result

        return function

    functions = [make(number) for number in range(5)]
    assert [function() for function in functions] == list(range(5)) == [function() for function in functions]

    def same_name(module: str) -> Any:
        namespace: dict[str, Any] = {"__name__": module}
        exec(f"def function(x): return {module!r}", namespace)
        return cached(cache=cache)(namespace["function"])

    assert [same_name(module)(1) for module in ("one", "two")] == ["one", "two"]


def test_plain_arguments_give_the_same_key_in_every_process() -> None:
    code = """
        from catzilla_cache import cached
        @cached
        def function(a, b=2, **more): ...
        print(function.cache_key(1, {"x", "y", "z"}, m=[1.5, None, {"k": b"v"}]))
        """
    keys = {output_of(code, environment={"PYTHONHASHSEED": seed}) for seed in ("0", "1", "2")}
    assert len(keys) == 1


def test_other_arguments_say_who_they_are_or_are_their_own_for_life(cache: SmartCache) -> None:
    calls = Calls()

    class Plain: ...

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def __cache_key__(self) -> str:
            return self.name

    @cached(cache=cache)
    def function(x: Any) -> None:
        calls(1)

    one, two = Plain(), Plain()
    function(one), function(one), function(two), function([one])
    assert len(calls) == 3
    function(Named("a")), function(Named("a")), function(Named("b"))
    assert len(calls) == 5
    # An address is given out again; a token never is.
    for _ in range(100):
        function(Plain())
    assert len(calls) == 105


def test_a_key_builder_makes_the_key_instead(cache: SmartCache) -> None:
    seen: list[Any] = []

    def build(function: Any, args: Any, kwargs: Any) -> str:
        seen.append((function.__name__, args, kwargs))
        return str(args[0]).lower()

    calls = Calls()

    @cached(cache=cache, key_builder=build)
    def function(x: str, y: int = 0) -> None:
        calls(x)

    function("A", 1), function("a", y=2)
    assert len(calls) == 1 and seen == [("function", ("A", 1), {}), ("function", ("a",), {"y": 2})]
    assert function.invalidate("A") is True  # type: ignore[attr-defined]


# ---- Methods ----


class Shop:
    runs: list[Any] = []
    store: SmartCache

    def __init__(self, name: str) -> None:
        self.name = name

    @cached(cache=lambda: Shop.store)
    def price(self, item: str, discount: int = 0) -> tuple[str, str, int]:
        self.runs.append((self.name, item))
        return self.name, item, discount

    @classmethod
    @cached(cache=lambda: Shop.store)
    def of_class(cls, x: int) -> tuple[str, int]:
        cls.runs.append(x)
        return cls.__name__, x

    @staticmethod
    @cached(cache=lambda: Shop.store)
    def of_nobody(x: int) -> int:
        Shop.runs.append(x)
        return x

    @property
    @cached(cache=lambda: Shop.store)
    def size(self) -> str:
        self.runs.append("size")
        return self.name

    @cached(cache=lambda: Shop.store)
    async def awaited(self, x: int) -> tuple[str, int]:
        self.runs.append(x)
        return self.name, x


class OtherShop(Shop): ...


def test_methods_have_keys_of_their_object(cache: SmartCache) -> None:
    Shop.store, Shop.runs = cache, []
    one, two = Shop("one"), Shop("two")
    for _ in range(2):
        assert one.price("tea") == ("one", "tea", 0) == one.price(item="tea", discount=0) and two.price("tea") == ("two", "tea", 0)
        assert Shop.of_class(1) == ("Shop", 1) and OtherShop.of_class(1) == ("OtherShop", 1) and one.of_nobody(1) == Shop.of_nobody(1) == 1
        assert one.size == "one" and two.size == "two"
        assert asyncio.run(one.awaited(5)) == ("one", 5) and asyncio.run(two.awaited(5)) == ("two", 5)
    assert len(Shop.runs) == 2 + 2 + 1 + 2 + 2
    assert Shop.price.invalidate(one, "tea") is True  # type: ignore[attr-defined]
    one.price("tea")
    assert len(Shop.runs) == 10
    # Without its object it would name a call that never was.
    with pytest.raises(TypeError, match="item"):
        one.price.invalidate("tea")  # type: ignore[attr-defined]
