"""The object cache's decorator on functions and methods: like functools.lru_cache, and beyond it."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import pickle
import sys
import threading
import weakref
from typing import Any, Iterator, List

import pytest

from catzilla_cache.objects import CacheInfo, CachedFunction, EvictionPolicy, SmartCache, cached
from test_objects_cached_coroutines import awaited_by_name


@cached
def by_name(number: int) -> int:
    """Doubles."""
    return 2 * number


def counting(**options: Any) -> tuple[Any, List[Any]]:
    calls: List[Any] = []

    @cached(**options)
    def function(*arguments: Any, **keywords: Any) -> Any:
        calls.append((arguments, keywords))
        return arguments, keywords

    return function, calls


def test_a_result_is_kept_and_is_the_same_object() -> None:
    function, calls = counting()
    first = function(1, "a", key=[].__class__)
    assert function(1, "a", key=list) is first
    assert len(calls) == 1


CALLS: List[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}), ((1,), {}), ((1.0,), {}), ((True,), {}), (("1",), {}), (((1,),), {}), ((1, 2), {}), (((1, 2),), {}),
    ((1, 2.0), {}), ((), {"x": 1}), ((), {"x": 1.0}), ((), {"y": 1}), ((1,), {"y": 2}), ((1, "y", 2), {}), ((None,), {}),
    ((), {"x": 1, "y": 2}), ((), {"y": 2, "x": 1}), ((0,), {}), ((False,), {}), ((0.0,), {}), ((b"1",), {}), ((-1,), {}), ((-2,), {}),
    ((frozenset(),), {}), ((2**70,), {}), ((float(2**70),), {}), (((),), {}), ((((),),), {}), ((-1, -1), {}), ((-1, -2), {}),
]  # fmt: skip


@pytest.mark.parametrize("typed", [False, True])
def test_calls_are_told_apart_as_functools_does_it(typed: bool) -> None:
    mine, my_calls = counting(max_size=None, typed=typed)
    other_calls: List[Any] = []

    @functools.lru_cache(maxsize=None, typed=typed)
    def theirs(*arguments: Any, **keywords: Any) -> Any:
        other_calls.append((arguments, keywords))

    for round_ in range(2):
        for arguments, keywords in CALLS:
            mine(*arguments, **keywords)
            theirs(*arguments, **keywords)
            assert mine.cache_info() == theirs.cache_info(), (arguments, keywords)
    assert my_calls == other_calls
    assert mine.cache_info() == CacheInfo(*theirs.cache_info())


def test_positional_and_named_arguments_are_other_calls_as_in_functools() -> None:
    @cached
    def function(x: int, y: int = 2) -> int:
        return x + y

    assert [function(1), function(x=1), function(1, 2), function(1, y=2)] == [3] * 4
    assert function.cache_info().misses == 4


def test_an_unhashable_argument_is_a_type_error_and_one_too_many_is_too() -> None:
    function, calls = counting()
    for arguments in ([[]], [1, []], [1, 2, {}]):
        with pytest.raises(TypeError, match="unhashable"):
            function(*arguments)
    with pytest.raises(TypeError, match="unhashable"):
        function(name=[])
    assert calls == [] and function.cache_info().misses == 0
    with pytest.raises(TypeError):
        by_name(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        by_name(nothing=2)  # type: ignore[call-arg]


def test_it_is_called_in_every_way_a_function_is() -> None:
    function, calls = counting()
    assert function(*range(20)) == (tuple(range(20)), {})
    assert function(*(), **{}) == ((), {})
    assert function.__call__(1, a=2) == ((1,), {"a": 2}) == function(1, a=2)
    assert functools.partial(function, 1)(a=2) == ((1,), {"a": 2})
    assert list(map(function, "aab")) == [(("a",), {}), (("a",), {}), (("b",), {})]
    assert len(calls) == 5


def test_it_looks_like_the_function_that_it_wraps() -> None:
    assert isinstance(by_name, CachedFunction)
    assert by_name.__name__ == by_name.__qualname__ == "by_name"
    assert by_name.__doc__ == "Doubles." and by_name.__module__ == __name__
    assert by_name.__wrapped__(4) == 8 and not isinstance(by_name.__wrapped__, CachedFunction)
    assert str(inspect.signature(by_name)) == "(number: 'int') -> 'int'"
    assert repr(by_name).startswith("<cached function by_name at 0x")
    by_name.note = 5  # type: ignore[attr-defined]
    assert by_name.note == 5 and by_name.__dict__["note"] == 5  # type: ignore[attr-defined]
    del by_name.note  # type: ignore[attr-defined]
    assert weakref.ref(by_name)() is by_name
    assert not inspect.iscoroutinefunction(by_name)


def test_it_is_pickled_and_copied_by_name() -> None:
    assert pickle.loads(pickle.dumps(by_name)) is by_name
    assert pickle.loads(pickle.dumps(awaited_by_name)) is awaited_by_name
    assert copy.copy(by_name) is by_name and copy.deepcopy([by_name])[0] is by_name
    function, _ = counting()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(function)


def test_statistics_sizes_and_clearing() -> None:
    function, calls = counting(max_size=2)
    for number in (1, 1, 2, 3, 3):
        function(number)
    assert function.cache_info() == CacheInfo(hits=2, misses=3, maxsize=2, currsize=2)
    assert str(function.cache_info()) == "CacheInfo(hits=2, misses=3, maxsize=2, currsize=2)"
    assert function.cache_stats() == function.cache.stats()
    assert function.cache_stats()["evictions"] == 1 and function.cache_size() == 2
    assert isinstance(function.cache, SmartCache)
    function.cache_clear()
    assert function.cache_info() == CacheInfo(0, 0, 2, 0)
    function(3)
    assert len(calls) == 4
    with pytest.raises(AttributeError):
        function.cache = None


def test_policies_lifetimes_and_no_bound() -> None:
    function, calls = counting(max_size=2, policy=EvictionPolicy.FIFO)
    for number in (1, 2, 1, 3, 1):
        function(number)
    assert [arguments[0] for arguments, _ in calls] == [1, 2, 3, 1]
    assert function.cache.get_policy() is EvictionPolicy.FIFO
    short, calls = counting(ttl_seconds=1e-6)
    short(1)
    threading.Event().wait(0.001)
    short(1)
    assert len(calls) == 2 and short.cache.get_ttl() == 1e-6
    unbounded, _ = counting(max_size=None)
    for number in range(1000):
        unbounded(number)
    assert unbounded.cache_info().currsize == 1000 and unbounded.cache_info().maxsize is None


def test_wrong_arguments_are_told_where_the_decorator_is_written() -> None:
    with pytest.raises(ValueError, match="max_size"):
        cached(max_size=0)
    with pytest.raises(TypeError, match="max_size"):
        cached("128")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="ttl_seconds"):
        cached(ttl_seconds=0)
    with pytest.raises(TypeError, match="write @classmethod and the like above it"):
        cached(max_size=1)(classmethod(int))  # type: ignore[arg-type]


def test_exceptions_are_not_kept_and_none_is() -> None:
    calls: List[int] = []

    @cached
    def function(number: int) -> None:
        calls.append(number)
        if number == 2 and len(calls) < 3:
            raise OSError("not yet")

    for _ in range(2):
        with pytest.raises(OSError, match="not yet"):
            function(2)
    function(2), function(2), function(1), function(1)
    assert calls == [2, 2, 2, 1]


def test_a_method_is_remembered_for_each_instance() -> None:
    class Thing:
        def __init__(self, name: str) -> None:
            self.name, self.calls = name, 0

        @cached(max_size=10)
        def method(self, number: int, plus: int = 0) -> str:
            """Of a thing."""
            self.calls += 1
            return f"{self.name} {number + plus}"

        @classmethod
        @cached
        def of_the_class(cls, number: int) -> str:
            return f"{cls.__name__} {number}"

        @staticmethod
        @cached
        def of_nobody(number: int) -> int:
            return number

        @property
        @cached
        def asked(self) -> List[str]:
            return [self.name]

    one, two = Thing("one"), Thing("two")
    assert [one.method(1), two.method(1), one.method(1), one.method(1, plus=1)] == ["one 1", "two 1", "one 1", "one 2"]
    assert (one.calls, two.calls) == (2, 1)
    bound = one.method
    assert bound(1) == "one 1" and bound.__self__ is one and one.calls == 2  # type: ignore[attr-defined]
    assert bound.cache_info() == Thing.method.cache_info() == CacheInfo(2, 3, 10, 3)
    assert Thing.method(one, 1) == "one 1" and bound.__doc__ == "Of a thing."
    assert Thing.of_the_class(1) == Thing.of_the_class(1) == "Thing 1"  # type: ignore[arg-type, call-arg]
    assert Thing.of_nobody(4) == one.of_nobody(4) == 4
    assert one.asked is one.asked and two.asked == ["two"]
    gone = weakref.ref(two)
    del two
    Thing.method.cache_clear()
    Thing.__dict__["asked"].fget.cache_clear()
    gc.collect()
    assert gone() is None


def test_a_recursive_function() -> None:
    @cached(max_size=None)
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    assert fibonacci(90) == 2880067194370816120
    assert fibonacci.cache_info() == CacheInfo(hits=88, misses=91, maxsize=None, currsize=91)


def test_arguments_with_an_equality_of_their_own() -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Point) and self.x == other.x

    function, calls = counting()
    for _ in range(3):
        for x in range(5):
            function(Point(x))
            function(Point(x), "second")
            function("first", Point(x))
    assert len(calls) == 15

    class Failing(Point):
        __hash__ = Point.__hash__

        def __eq__(self, other: object) -> bool:
            raise OSError("compared")

    with pytest.raises(OSError, match="compared"):
        function(Failing(1))


def test_a_function_that_clears_its_own_cache_while_it_runs() -> None:
    @cached
    def function(number: int) -> int:
        function.cache_clear()
        return number

    assert function(1) == 1
    assert function.cache_size() == 0, "what was begun before the clearing is not kept"


def test_a_function_and_its_results_are_collected_with_it() -> None:
    class Result:
        pass

    @cached
    def function(number: int) -> Result:
        return Result()

    result = function(1)
    result.function = function  # type: ignore[attr-defined]
    gone = [weakref.ref(result), weakref.ref(function), weakref.ref(function.__wrapped__)]
    del result, function
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3


def test_arguments_are_not_kept_by_a_hit() -> None:
    function, _ = counting()
    argument = tuple(["a", "tuple"])
    function(argument, 5)
    before = sys.getrefcount(argument)
    for _ in range(20):
        function(argument, 5)
        function(argument, 5, **{})
    assert sys.getrefcount(argument) == before
    function.cache_clear()
    assert sys.getrefcount(argument) == before - 1


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    by_name.cache_clear()
