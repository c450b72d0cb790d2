"""The object cache's decorator on coroutine functions: what is kept, who runs it when many tasks ask, and what a hit is to await."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from typing import Any, Awaitable, Callable, Coroutine, Iterator, List

import pytest

from catzilla_cache.objects import CacheInfo, cached


@cached(max_size=5)
async def awaited_by_name(number: int) -> int:
    return 3 * number


# Python 3.9 takes nothing but functions for functions, and asyncio has a mark of its own.
is_coroutine_function = inspect.iscoroutinefunction if sys.version_info >= (3, 10) else asyncio.iscoroutinefunction


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_a_coroutine_function_stays_one_and_its_results_are_kept() -> None:
    calls: List[int] = []

    @cached(max_size=10)
    async def function(number: int) -> List[int]:
        calls.append(number)
        await asyncio.sleep(0)
        return [number]

    async def main() -> None:
        first = await function(1)
        assert await function(1) is first
        assert await function(number=1) == first
        assert function.cache_info() == CacheInfo(1, 2, 10, 2)
        function.cache_clear()
        assert await function(1) == [1]

    run(main())
    assert calls == [1, 1, 1]
    assert is_coroutine_function(function) and is_coroutine_function(awaited_by_name)
    if sys.version_info < (3, 14):
        assert asyncio.iscoroutinefunction(function)


def test_a_hit_is_answered_without_a_turn_of_the_loop() -> None:
    async def main() -> None:
        await awaited_by_name(1)
        turns: List[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        for _ in range(100):
            assert await awaited_by_name(1) == 3
        assert turns == []
        await asyncio.sleep(0)
        assert turns == [1]

    run(main())


def test_a_hit_can_be_made_a_task_gathered_and_waited_for() -> None:
    async def main() -> None:
        await awaited_by_name(2)
        assert await asyncio.create_task(awaited_by_name(2)) == 6  # type: ignore[arg-type]
        assert await asyncio.gather(*(awaited_by_name(2) for _ in range(5))) == [6] * 5
        assert await asyncio.wait_for(awaited_by_name(2), 10) == 6
        assert await asyncio.shield(awaited_by_name(2)) == 6

        async def delegate() -> int:
            return await awaited_by_name(2) + 1

        assert await delegate() == 7

    run(main())


def test_a_hit_is_awaited_once_like_a_coroutine() -> None:
    async def main() -> None:
        await awaited_by_name(2)
        hit: Any = awaited_by_name(2)
        assert await hit == 6
        with pytest.raises(RuntimeError, match="already awaited"):
            await hit
        hit = awaited_by_name(2)
        hit.close()
        with pytest.raises(RuntimeError, match="already awaited"):
            await hit
        for error in (OSError("thrown"), OSError):
            with pytest.raises(OSError):
                awaited_by_name(2).throw(error)  # type: ignore[attr-defined]
        with pytest.raises(StopIteration) as stopped:
            awaited_by_name(2).send(None)  # type: ignore[attr-defined]
        assert stopped.value.value == 6
        with pytest.raises(StopIteration) as stopped:
            next(iter(awaited_by_name(2).__await__()))  # type: ignore[attr-defined]
        assert stopped.value.value == 6

    run(main())


@pytest.mark.parametrize("result", [(1, 2), (), StopIteration(5), OSError("a value"), None])
def test_a_result_that_is_a_tuple_or_an_exception_comes_back_as_it_is(result: Any) -> None:
    @cached
    async def function() -> Any:
        return result

    async def main() -> None:
        for _ in range(3):
            assert await function() is result
        with pytest.raises(StopIteration) as stopped:
            function().send(None)
        assert stopped.value.value is result

    run(main())


def gate(fail_first: int = 0, error: Callable[[], BaseException] = OSError) -> tuple[Any, List[str], asyncio.Event]:
    """A coroutine function that waits for an event, and the names of the tasks that ran it."""
    runs: List[str] = []
    event = asyncio.Event()

    @cached
    async def function(key: str) -> str:
        task = asyncio.current_task()
        assert task is not None
        runs.append(task.get_name())
        await event.wait()
        if len(runs) <= fail_first:
            raise error()
        return f"{key} of {task.get_name()}"

    return function, runs, event


async def begun(function: Any, count: int) -> List["asyncio.Task[str]"]:
    tasks = [asyncio.create_task(function("key"), name=str(number)) for number in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def test_tasks_that_await_one_result_run_the_function_once() -> None:
    async def main() -> None:
        function, runs, event = gate()
        tasks = await begun(function, 10)
        other = asyncio.create_task(function("another"), name="other")
        event.set()
        assert await asyncio.gather(*tasks) == ["key of 0"] * 10
        assert await other == "another of other"
        assert runs == ["0", "other"]

    run(main())


def test_what_is_raised_goes_to_the_task_that_ran_it_and_the_next_one_runs() -> None:
    async def main() -> None:
        function, runs, event = gate(fail_first=2)
        tasks = await begun(function, 6)
        event.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [OSError, OSError, str, str, str, str]
        assert set(results[2:]) == {"key of 2"} and runs == ["0", "1", "2"]

    run(main())


def test_a_cancelled_task_hands_over_to_the_next_one() -> None:
    async def main() -> None:
        function, runs, event = gate()
        tasks = await begun(function, 5)
        assert runs == ["0"]
        tasks[0].cancel()
        tasks[2].cancel()  # one that waits: nobody else is cancelled by that
        await asyncio.sleep(0.01)
        assert tasks[0].cancelled() and tasks[2].cancelled() and runs == ["0", "1"]
        event.set()
        assert await asyncio.gather(tasks[1], tasks[3], tasks[4]) == ["key of 1"] * 3

    run(main())


def test_a_coroutine_that_awaits_its_own_result_is_told() -> None:
    @cached
    async def function(number: int) -> int:
        return await function(number)

    async def main() -> None:
        with pytest.raises(RuntimeError, match="awaits that very key"):
            await function(1)

    run(main())


def test_what_was_begun_before_a_clearing_is_not_kept() -> None:
    async def main() -> None:
        function, runs, event = gate()
        before = await begun(function, 2)
        function.cache_clear()
        after = asyncio.create_task(function("key"), name="after")
        await asyncio.sleep(0)
        event.set()
        assert await asyncio.gather(*before) == ["key of 0"] * 2
        assert await after == "key of after"
        assert await function("key") == "key of after"

    run(main())


def test_two_loops_run_it_once_each_and_share_what_is_kept() -> None:
    runs: List[int] = []
    both = threading.Barrier(2, timeout=60)

    @cached
    async def function() -> int:
        runs.append(1)
        both.wait()
        return 5

    results: List[int] = []
    threads = [threading.Thread(target=lambda: results.append(run(function()))) for _ in range(2)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [5, 5] and len(runs) == 2
    assert run(_await(function())) == 5 and len(runs) == 2


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def test_a_coroutine_that_is_never_awaited_leaves_nothing_behind() -> None:
    async def main() -> None:
        coroutine: Any = awaited_by_name(77)
        coroutine.close()
        assert await awaited_by_name(77) == 231

    run(main())


def test_methods_that_are_coroutine_functions() -> None:
    class Thing:
        calls = 0

        @cached
        async def method(self, number: int) -> int:
            self.calls += 1
            return number

    async def main() -> None:
        thing = Thing()
        assert [await thing.method(1), await thing.method(1)] == [1, 1] and thing.calls == 1
        assert is_coroutine_function(thing.method)

    run(main())


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    awaited_by_name.cache_clear()
