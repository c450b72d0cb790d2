"""The operations to await: the same results, an event loop that is never blocked, and no other thread where nothing is waited for."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterator

import pytest

from catzilla_cache import BytesCache, _workers
from catzilla_cache.aio import AsyncCache
from catzilla_cache.decorator import cached
from catzilla_cache.errors import CacheError, CacheKeyError, CacheValueError
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig
from in_threads import PATIENCE_SECONDS, in_threads
from redis_server import RedisServer

SECRET = "a-secret-of-the-tests-long-enough"

# How long Redis may take to answer here: a loop that waits for that is blocked for far longer than a busy machine ever delays one.
TIMEOUT_SECONDS = 2
LONGEST_GAP_SECONDS = TIMEOUT_SECONDS / 2


@pytest.fixture(params=["memory", "disk below"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmartCache]:
    config = SmartCacheConfig(disk_enabled=request.param != "memory", disk_path=str(tmp_path / "disk"))
    with SmartCache(config) as cache:
        yield cache


@pytest.fixture
def no_other_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Notes every call that is left to another thread."""
    left: list[str] = []

    def refuse() -> Any:
        left.append("call")
        raise AssertionError("this call has to be made in the loop's own thread")

    monkeypatch.setattr(_workers, "callers", refuse)
    monkeypatch.setattr(_workers, "refreshers", refuse)
    yield left
    assert not left


class Ticking:
    """Measures for how long a loop comes to nothing else."""

    longest = 0.0

    async def __aenter__(self) -> Ticking:
        self.task = asyncio.ensure_future(self.tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.sleep(0.01)
        self.task.cancel()

    async def tick(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.longest = max(self.longest, now - before)
            before = now


async def value_of(value: object) -> object:
    return value


async def everything(aio: AsyncCache) -> None:
    """Each operation once, with its result."""
    assert await aio.get("key") == (None, False) and await aio.exists("key") is False and await aio.delete("key") is False
    assert await aio.set("key", [1], 60, tags=["tag"]) is True and await aio.set("pickled", Fraction(1, 3)) is True
    assert await aio.get("key") == ([1], True) and await aio.get(b"pickled") == (Fraction(1, 3), True)
    assert await aio.add("key", 2) is False and await aio.add("new", None, tags=["tag"]) is True and await aio.replace("new", 3, 60) is True
    assert await aio.touch("key", 100) is True and await aio.touch("absent") is False
    assert await aio.incr("count") == 1 and await aio.incr("count", 2**70) == 2**70 + 1 and await aio.decr("count", 2**70) == 1
    assert await aio.set_many({"a": 1, "b": Fraction(1, 7)}, 60) is True
    assert await aio.get_many(["a", "b", "absent", b"a"]) == {"a": 1, b"a": 1, "b": Fraction(1, 7)} and await aio.get_many([]) == {}
    assert await aio.delete_many(iter(["a", "absent"])) == 1 and await aio.delete_prefix("pick") == 1 and await aio.delete_pattern("?") == 1
    assert await aio.get_or_set("loaded", lambda: value_of({"x": 1}), 60, tags=["tag"]) == {"x": 1}
    assert await aio.get_or_set("loaded", lambda: pytest.fail("loaded again")) == {"x": 1}
    await aio.invalidate("tag")
    assert await aio.get_many(["key", "loaded", "count"]) == {"count": 1}
    assert await aio.warm([("count", lambda: value_of(9)), ("warm", lambda: value_of(5))], 60) == 1 and await aio.get("warm") == (5, True)
    await aio.clear()
    assert await aio.get("count") == (None, False)


def test_every_operation_has_the_result_that_it_has_for_threads(cache: SmartCache) -> None:
    async def main() -> None:
        await everything(cache.aio)
        await cache.aio.flush(60)

    asyncio.run(main())
    named = {name for name, _ in inspect.getmembers(AsyncCache, inspect.iscoroutinefunction) if not name.startswith("_")}
    tried = set(re.findall(r"aio\.(\w+)\(", inspect.getsource(everything)))
    assert named - tried == {"flush", "close"}


def test_every_operation_is_there_with_the_parameters_that_it_has_for_threads() -> None:
    for name, call in inspect.getmembers(AsyncCache, inspect.iscoroutinefunction):
        if name.startswith("_") or name == "warm":
            continue
        known = inspect.signature(getattr(SmartCache, name)).parameters
        for parameter in inspect.signature(call).parameters:
            assert parameter in known, (name, parameter)


def test_in_memory_alone_no_call_takes_another_thread(no_other_thread: list[str]) -> None:
    with SmartCache() as cache:
        asyncio.run(everything(cache.aio))

        @cached(cache=cache)
        async def function(number: int) -> int:
            return number * 2

        async def main() -> None:
            assert [await function(2), await function(2)] == [4, 4] and function.cache_info()[:2] == (1, 1)  # type: ignore[attr-defined]
            assert await function.invalidate_async(2) is True  # type: ignore[attr-defined]
            await function.cache_clear_async()  # type: ignore[attr-defined]
            # Nor does what is loaded anew beside a task.
            await cache.aio.get_or_set("stale", lambda: value_of("old"), 0.01, grace=60)
            await asyncio.sleep(0.03)
            assert await cache.aio.get_or_set("stale", lambda: value_of("new"), 60, grace=60) == "old"
            while await cache.aio.get("stale") != ("new", True):
                await asyncio.sleep(0.001)

        asyncio.run(main())


def test_what_memory_has_takes_no_other_thread_whatever_is_below(tmp_path: Path, no_other_thread: list[str]) -> None:
    with SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))) as cache:
        cache.set_many({"a": [1], "b": Fraction(1, 3)})

        @cached(cache=cache)
        async def function() -> str:
            return "result"

        cache.set(function.cache_key(), "result")  # type: ignore[attr-defined]

        async def main() -> None:
            assert await cache.aio.get("a") == ([1], True) and await cache.aio.get("b") == (Fraction(1, 3), True)
            assert await cache.aio.get_many(["a", "b"]) == {"a": [1], "b": Fraction(1, 3)}
            assert await cache.aio.get_or_set("a", lambda: pytest.fail("loaded")) == [1]
            assert await function() == "result"

        asyncio.run(main())
        stats = cache.get_stats()
        assert (stats.hits, stats.misses) == (6, 0)


def test_hits_and_misses_are_counted_once_each(tmp_path: Path) -> None:
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))
    with SmartCache(config) as cache:
        cache.set_many({"a": 1, "b": 2, "c": 3})
        cache.flush(60)
    with SmartCache(config) as cache:

        async def main() -> None:
            await cache.aio.get("a"), await cache.aio.get("a"), await cache.aio.get("absent")
            await cache.aio.get_many(["a", "b", "c", "nothing"])
            await cache.aio.get_or_set("d", lambda: value_of(1)), await cache.aio.get_or_set("d", lambda: value_of(1))

        asyncio.run(main())
        stats = cache.get_stats()
        assert (stats.hits, stats.misses, stats.requests) == (2 + 3 + 1, 1 + 1 + 1, 9)


def test_what_memory_has_and_nobody_believes_is_one_miss(tmp_path: Path) -> None:
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))
    with BytesCache(config.library_options()) as foreign:
        foreign["refused"] = b"\xff foreign"
    with SmartCache(config) as cache:

        async def main() -> None:
            for count in range(1, 5):
                if count < 3:
                    assert await cache.aio.get("refused") == (None, False)
                else:
                    assert await cache.aio.get_many(["refused"]) == {}
                stats = cache.get_stats()
                assert (stats.refused, stats.hits, stats.misses, stats.requests) == (count, 0, count, count)

        asyncio.run(main())


def test_a_loop_is_not_blocked_while_redis_does_not_answer(server: RedisServer) -> None:
    # The breaker that leaves a dead server alone is given no time to help.
    options = {"redis.timeout": f"{TIMEOUT_SECONDS}s", "redis.connect_timeout": f"{TIMEOUT_SECONDS}s"}
    config = SmartCacheConfig(redis_enabled=True, redis_url=server.url, secret=SECRET, options=options, redis_max_connections=30)

    def calls(aio: AsyncCache, function: Any) -> list[Awaitable[Any]]:
        return [
            aio.get("absent"), aio.get_many(["a", "absent"]), aio.set("key", Fraction(1, 3)), aio.set_many({"many": 1}), aio.delete("key 1"),
            aio.delete_many(["key 2"]), aio.exists("absent"), aio.add("added", 1), aio.replace("a", 2), aio.touch("pickled", 60),
            aio.incr("count"), aio.invalidate("tag"), aio.delete_prefix("p"), aio.delete_pattern("*p"), aio.clear(), aio.get_or_set("loaded", lambda: value_of(1)),
            function(1), function.invalidate_async(2), function.cache_clear_async(), aio.warm([("warm", lambda: value_of(1))]),
            aio.get_or_set("refused", lambda: value_of("loaded")),
        ]  # fmt: skip

    async def blocked(cache: SmartCache) -> float:
        async with Ticking() as ticking:
            cache.get("something absent")
        return ticking.longest

    async def awaited(cache: SmartCache, function: Any) -> float:
        async with Ticking() as ticking:
            await asyncio.gather(*calls(cache.aio, function))
        return ticking.longest

    def gap_of_a_new_cache() -> float:
        with SmartCache(config) as cache, BytesCache({"redis.url": server.url}) as foreign:

            @cached(cache=cache)
            async def function(number: int) -> int:
                return number

            cache.set("a", 1), cache.set("pickled", Fraction(1, 3)), foreign.set("refused", b"\xff")
            # Memory has it, and does not believe it.
            assert cache.get("refused") == (None, False) and cache.get("a") == (1, True)
            with server.stopped():
                gap = asyncio.run(awaited(cache, function))
            foreign.clear()
            return gap

    # A loop that waits does so each time; a machine that stands still for so long does not.
    assert any(gap_of_a_new_cache() < LONGEST_GAP_SECONDS for _ in range(3))
    # So that it is known that the measure measures.
    with SmartCache(config) as cache:
        cache.set("a", 1)
        with server.stopped():
            assert asyncio.run(blocked(cache)) > LONGEST_GAP_SECONDS


def test_a_loop_is_not_blocked_by_waiting_for_a_thread_that_loads(cache: SmartCache) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(PATIENCE_SECONDS)
        return "loaded"

    thread = threading.Thread(target=cache.get_or_set, args=("key", slow))
    thread.start()
    assert begun.wait(PATIENCE_SECONDS)

    async def main() -> None:
        waiting = [asyncio.ensure_future(cache.aio.get_or_set("key", lambda: value_of("wrong"))) for _ in range(20)]
        async with Ticking() as ticking:
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
            go.set()
            assert await asyncio.gather(*waiting) == ["loaded"] * 20
        # Were it blocked, nothing would let the loader go on before that gives up.
        assert ticking.longest < PATIENCE_SECONDS / 2

    asyncio.run(main())
    thread.join()


def test_one_cache_is_used_by_many_loops_at_the_same_time(cache: SmartCache) -> None:
    loads: list[int] = []

    async def load(number: int) -> list[int]:
        loads.append(number)
        await asyncio.sleep(0.001)
        return [number]

    async def main() -> None:
        for start in range(0, 60, 20):
            found = await asyncio.gather(*(cache.aio.get_or_set(f"key {each}", lambda each=each: load(each)) for each in range(start, start + 20)))
            assert found == [[each] for each in range(start, start + 20)]

    in_threads(6, lambda number: asyncio.run(main()))
    assert sorted(loads) == list(range(60))
    # One object for the loops of its whole life.
    aio = cache.aio
    for _ in range(3):
        asyncio.run(everything(aio))


def test_errors_are_those_of_threads(cache: SmartCache) -> None:
    async def main() -> None:
        aio = cache.aio
        wrong: list[tuple[type[Exception], Callable[[], Awaitable[object]]]] = [
            (CacheKeyError, lambda: aio.get(5)), (CacheKeyError, lambda: aio.get_many(["a", None])), (CacheKeyError, lambda: aio.set(None, 1)),  # type: ignore[arg-type, list-item]
            (CacheValueError, lambda: aio.set("key", 1, -1)), (CacheValueError, lambda: aio.set("key", threading.Lock())),
            (CacheValueError, lambda: aio.incr("text")), (CacheValueError, lambda: aio.set("key", 1, tags="tag")),
            (CacheValueError, lambda: aio.warm([("key", lambda: value_of(1))], together=0)),
        ]  # fmt: skip
        await aio.set("text", "x")
        for kind, call in wrong:
            with pytest.raises(kind):
                await call()
        with pytest.raises(ZeroDivisionError):
            await aio.get_or_set("key", failing)
        assert await aio.get("key") == (None, False)
        await aio.close()
        for operation in (lambda: aio.get("key"), lambda: aio.set("key", 1), lambda: aio.get_or_set("key", lambda: value_of(1))):
            with pytest.raises(CacheError, match="closed"):
                await operation()
        with pytest.raises(CacheError, match="closed"):
            async with aio:
                pass

    asyncio.run(main())
    assert cache.closed


async def failing() -> int:
    return 1 // 0


def test_warm_loads_a_bounded_number_at_a_time_and_raises_when_all_are_done(cache: SmartCache) -> None:
    running, most = 0, 0

    async def load(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        if number == 3:
            raise ZeroDivisionError
        return number

    async def main() -> None:
        loaders = [(f"key {number}", lambda number=number: load(number)) for number in range(20)]
        with pytest.raises(ZeroDivisionError):
            await cache.aio.warm(loaders, 60, tags=iter(["warm"]), together=4)
        assert len(await cache.aio.get_many([f"key {number}" for number in range(20)])) == 19 and 1 < most <= 4
        await cache.aio.invalidate("warm")
        assert await cache.aio.get_many([f"key {number}" for number in range(20)]) == {}

    asyncio.run(main())


def test_the_async_context_closes_the_cache(tmp_path: Path) -> None:
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))

    async def main() -> SmartCache:
        async with SmartCache(config).aio as aio:
            await aio.set("key", Fraction(1, 3))
            return aio._cache

    assert asyncio.run(main()).closed
    with SmartCache(config) as cache:
        assert cache.get("key") == (Fraction(1, 3), True)
