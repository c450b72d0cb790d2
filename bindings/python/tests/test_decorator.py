"""@cached: where results are, what runs and what does not, and what a decorated function tells and forgets."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterator

import pytest

from catzilla_cache import _loading_async, decorator
from catzilla_cache.decorator import CacheInfo, cached
from catzilla_cache.errors import CacheError, CacheValueError
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig, get_cache, reset_cache
from in_threads import PATIENCE_SECONDS, in_threads, until
from interpreter import run
from smart_caches import Calls, cache_in_memory

__all__ = ["cache_in_memory"]


@pytest.fixture
def process_cache() -> Iterator[SmartCache]:
    reset_cache()
    try:
        yield get_cache()
    finally:
        reset_cache()


# ---- Where results are ----


def test_results_are_in_the_cache_of_the_process_with_and_without_parentheses(process_cache: SmartCache) -> None:
    calls: list[int] = []

    @cached
    def bare(x: int) -> int:
        calls.append(x)
        return x * 2

    @cached()
    def called(x: int) -> int:
        calls.append(x)
        return x * 3

    @cached(60, "prefix:")
    def prefixed(x: int) -> int:
        calls.append(x)
        return x * 4

    for _ in range(3):
        assert (bare(1), called(1), prefixed(1)) == (2, 3, 4)
    assert calls == [1, 1, 1] and len(process_cache) == 3
    for function in (bare, called, prefixed):
        key = function.cache_key(1)  # type: ignore[attr-defined]
        assert process_cache.get(key) == (function(1), True) and f"{__name__}.{function.__qualname__}:" in key
    assert prefixed.cache_key(1).startswith("prefix:")  # type: ignore[attr-defined]


def test_a_cache_or_what_returns_one_may_be_given(cache: SmartCache, process_cache: SmartCache) -> None:
    with SmartCache() as another:
        current = [cache]

        @cached(cache=lambda: current[0])
        def function() -> str:
            return "result"

        @functools.partial(cached, cache=cache, tags=["tag"])
        def tagged() -> str:
            return "tagged"

        assert function() == "result" and tagged() == "tagged" and len(cache) == 2
        assert cache.invalidate("tag") == 1
        current[0] = another
        assert function() == "result" and len(another) == 1 and len(process_cache) == 0


def test_a_result_lives_as_long_as_it_is_told(cache: SmartCache) -> None:
    calls = Calls()

    @cached(0.03, cache=cache)
    def short() -> None:
        calls()

    short(), time.sleep(0.06), short()
    assert len(calls) == 2
    for wrong in (-1, "60", float("nan")):
        with pytest.raises(CacheValueError, match="TTL"):
            cached(wrong)
    with pytest.raises(CacheValueError, match="prefix"):
        cached(60, 5)  # type: ignore[call-overload]
    with pytest.raises(CacheValueError, match="tags"):
        cached(60, tags="tag")


def test_reset_cache_between_calls_and_in_the_middle_of_one_loses_results_and_nothing_else(
    process_cache: SmartCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []

    @cached
    def function(then: Any = None) -> str:
        runs.append("run")
        if len(runs) == 3:
            reset_cache()
        return "result"

    @cached
    async def coroutine() -> str:
        reset_cache()
        return "awaited"

    assert function() == function() == "result" and len(runs) == 1
    reset_cache()
    assert function() == "result" and len(runs) == 2
    reset_cache()
    assert function() == "result" and function() == "result" and len(runs) == 4
    assert asyncio.run(coroutine()) == "awaited"

    # After the call has its cache, before it has asked it.
    for module, name in ((decorator, "get_or_set"), (_loading_async, "get_or_set_async")):
        original, closed = getattr(module, name), []

        def resets_first(load: Any, loader: Any, original: Any = original, closed: "list[bool]" = closed) -> Any:
            if not closed:
                closed.append(True)
                reset_cache()
            return original(load, loader)

        monkeypatch.setattr(module, name, resets_first)

    # Takes it over when it is decorated.
    @cached
    async def awaited() -> str:
        return "awaited"

    reset_cache()
    assert function("once more") == "result" and asyncio.run(awaited()) == "awaited"

    stop = threading.Event()

    def reset() -> None:
        while not stop.is_set():
            reset_cache()

    resetting = threading.Thread(target=reset)
    resetting.start()
    try:
        assert in_threads(3, lambda number: {function() for _ in range(300)}) == [{"result"}] * 3
    finally:
        stop.set()
        resetting.join()


def test_a_closed_cache_of_ones_own_is_an_error(cache: SmartCache) -> None:
    @cached(cache=cache)
    def function() -> None: ...

    cache.close()
    with pytest.raises(CacheError, match="closed"):
        function()


# ---- What runs ----


def test_what_a_function_raises_is_raised_each_time_and_not_kept(cache: SmartCache) -> None:
    runs: list[int] = []

    @cached(cache=cache)
    def failing(x: int) -> float:
        runs.append(x)
        return 1 / x

    @cached(cache=cache)
    async def failing_async(x: int) -> float:
        runs.append(x)
        return 1 / x

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            failing(0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(failing_async(0))
    assert len(runs) == 6 and len(cache) == 0
    with pytest.raises(TypeError):
        failing()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        failing(1, 2)  # type: ignore[call-arg]
    assert len(runs) == 6


def test_a_result_that_cannot_be_stored_says_so(cache: SmartCache) -> None:
    @cached(cache=cache)
    def function() -> Any:
        return threading.Lock()

    with pytest.raises(CacheValueError, match="lock"):
        function()


def test_none_is_a_result_and_every_caller_gets_a_copy(cache: SmartCache) -> None:
    calls = Calls()

    @cached(cache=cache)
    def nothing() -> None:
        calls()

    @cached(cache=cache)
    def something() -> list[int]:
        return [1]

    assert nothing() is None and nothing() is None and len(calls) == 1
    something().append(2)
    something().append(3)
    assert something() == [1]


def test_concurrent_callers_run_the_function_once(cache: SmartCache) -> None:
    runs: list[int] = []

    @cached(cache=cache)
    def slow(x: int) -> int:
        runs.append(x)
        time.sleep(0.1)
        return x

    @cached(cache=cache)
    async def slow_async(x: int) -> int:
        runs.append(x)
        await asyncio.sleep(0.1)
        return x

    async def main() -> list[int]:
        return await asyncio.gather(*(slow_async(1) for _ in range(20)))

    assert in_threads(8, lambda number: slow(1)) == [1] * 8 and len(runs) == 1
    assert in_threads(3, lambda number: asyncio.run(main())) == [[1] * 20] * 3 and len(runs) == 2
    assert slow.cache_info()[:2] == (7, 1) and slow_async.cache_info()[:2] == (59, 1)  # type: ignore[attr-defined]


def test_a_recursive_function_is_each_call_once(cache: SmartCache) -> None:
    runs: list[int] = []

    @cached(cache=cache)
    def fibonacci(n: int) -> int:
        runs.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(30) == 832040 and sorted(runs) == list(range(31))


def test_grace_beta_and_timeout_are_those_of_get_or_set(cache: SmartCache) -> None:
    results = iter(["old", "new"])

    @cached(0.02, cache=cache, grace=600)
    def function() -> str:
        return next(results)

    assert function() == "old"
    time.sleep(0.05)
    assert function() == "old"
    until(lambda: cache._stored.decode(function.cache_key().encode(), stored(cache, function.cache_key()))[1] == "new")  # type: ignore[attr-defined]
    begun, go = threading.Event(), threading.Event()

    @cached(cache=cache, timeout=0.01)
    def slow() -> str:
        begun.set()
        go.wait(PATIENCE_SECONDS)
        return "slow"

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(PATIENCE_SECONDS)
    with pytest.raises(CacheError, match=r"within 0\.01 s"):
        slow()
    go.set()
    thread.join()
    assert slow() == "slow"


def stored(cache: SmartCache, key: str) -> bytes:
    from catzilla_cache._backend import backend

    return backend.read(cache._live(), key.encode())[1]


# ---- What it tells and forgets ----


def test_a_decorated_function_looks_like_the_function(cache: SmartCache) -> None:
    def function(a: int, b: str = "x") -> str:
        """What it does."""
        return b * a

    async def coroutine(a: int) -> int:
        return a

    decorated, awaited = cached(cache=cache)(function), cached(cache=cache)(coroutine)
    assert decorated.__wrapped__ is function and awaited.__wrapped__ is coroutine  # type: ignore[attr-defined]
    assert (decorated.__name__, decorated.__doc__, decorated.__module__) == ("function", "What it does.", __name__)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert inspect.iscoroutinefunction(awaited) and not inspect.iscoroutinefunction(decorated)


def test_it_counts_and_forgets(cache: SmartCache) -> None:
    @cached(cache=cache)
    def function(x: int) -> int:
        return x

    @cached(cache=cache)
    def another(x: int) -> int:
        return x

    told: Any = function
    assert told.cache_info() == CacheInfo(0, 0, 10000, 0)
    for x in (1, 2, 1, 1):
        function(x), another(x)
    assert told.cache_info() == CacheInfo(hits=2, misses=2, maxsize=10000, currsize=2)
    assert told.cache_stats() == {"hits": 2, "misses": 2, "hit_ratio": 0.5, "size": 2, "capacity": 10000}
    assert told.invalidate(1) is True and told.invalidate(x=1) is False
    function(1)
    assert told.cache_info()[:2] == (2, 3)
    told.cache_clear()
    assert told.cache_info() == CacheInfo(0, 0, 10000, 0) and another.cache_info().currsize == 2  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        told.invalidate()


def test_a_coroutine_function_counts_and_forgets_from_its_loop(tmp_path: Path) -> None:
    with SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))) as cache:

        @cached(cache=cache)
        async def function(x: int) -> Fraction:
            return Fraction(x, 7)

        told: Any = function

        async def main() -> None:
            assert [await function(1), await function(1), await function(2)] == [Fraction(1, 7), Fraction(1, 7), Fraction(2, 7)]
            assert told.cache_info() == CacheInfo(1, 2, 10000, 2)
            assert await told.invalidate_async(1) is True and await told.invalidate_async(1) is False
            await told.cache_clear_async()
            assert told.cache_info() == CacheInfo(0, 0, 10000, 0)

        asyncio.run(main())


def test_generators_are_refused_where_they_are_written() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def generates() -> Any:
        yield 1

    for function in (generator, generates):
        with pytest.raises(TypeError, match="generator"):
            cached(function)
        with pytest.raises(TypeError, match="generator"):
            cached(60)(function)


@pytest.mark.parametrize("wishes", [{"lowest": "tape"}, {"grace": -1}, {"beta": float("nan")}, {"timeout": -1}])
def test_what_no_call_could_be_given_is_refused_where_it_is_written(wishes: dict[str, Any]) -> None:
    with pytest.raises(CacheValueError):
        cached(60, **wishes)


def test_a_function_that_a_forked_child_calls_goes_on_counting() -> None:
    done = run(
        """
        import os, signal, warnings
        from catzilla_cache import cached
        warnings.simplefilter("ignore", DeprecationWarning)

        @cached
        def function(x):
            return x

        function(1)
        for closure in function.cache_info.__self__, :
            closure._lock.acquire()
        if os.fork() == 0:
            signal.alarm(60)  # a deadlock ends as SIGALRM, which the parent reports
            assert function(1) == 1 and function(2) == 2 and function.cache_info()[:2] == (1, 2)
            os._exit(0)
        print(os.wait()[1])
        """
    )
    assert done.stdout == "0\n", done.stderr
