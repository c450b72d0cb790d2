"""get_or_set: loads that fail, and who loads when the one who did is interrupted or cancelled."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from catzilla_cache import _workers
from catzilla_cache.errors import CacheError, CacheValueError
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig
from gated_loads import Gate, at_once, each_cache, thread_pool, waits
from in_threads import PATIENCE_SECONDS, until

__all__ = ["each_cache", "thread_pool"]


def test_what_a_loader_raises_reaches_everybody_and_is_not_kept(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate(ZeroDivisionError("as it is"))
    calls = [pool.submit(cache.get_or_set, "key", loader) for _ in range(4)]
    calls += [pool.submit(asyncio.run, cache.aio.get_or_set("key", loader.awaited)) for _ in range(4)]
    until(waits(cache, "key", 7))
    loader.go.set()
    for call in calls:
        with pytest.raises(ZeroDivisionError, match="as it is"):
            call.result(PATIENCE_SECONDS)
    assert loader.runs == 1 and "key" not in cache
    assert cache.get_or_set("key", lambda: "better") == "better"


def test_a_loader_that_has_to_be_awaited_is_refused_on_a_thread_and_a_plain_one_is_taken_by_tasks(cache: SmartCache) -> None:
    async def awaited() -> str:
        return "awaited"

    with pytest.raises(CacheValueError, match="`await cache.aio.get_or_set"):
        cache.get_or_set("key", awaited)
    assert "key" not in cache
    assert asyncio.run(cache.aio.get_or_set("key", lambda: "plain")) == "plain" == cache["key"]
    assert asyncio.run(cache.aio.get_or_set("other", awaited)) == "awaited" == cache["other"]


@pytest.mark.parametrize("error", [StopIteration("once"), TimeoutError("its own"), CacheError("its own"), asyncio.TimeoutError("its own")])
def test_a_task_that_waits_gets_whatever_a_thread_raised(cache: SmartCache, pool: ThreadPoolExecutor, error: Exception) -> None:
    loader = Gate(error)
    leader = pool.submit(cache.get_or_set, "key", loader)
    until(loader.begun.is_set)
    waiting = [pool.submit(asyncio.run, cache.aio.get_or_set("key", loader.awaited, timeout=PATIENCE_SECONDS)) for _ in range(2)]
    waiting += [pool.submit(cache.get_or_set, "key", loader, timeout=PATIENCE_SECONDS)]
    until(waits(cache, "key", 3))
    loader.go.set()
    with pytest.raises(type(error)):
        leader.result(PATIENCE_SECONDS)
    for call in waiting:
        with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)) as raised:
            call.result(PATIENCE_SECONDS)
        assert "its own" in str(raised.value) or isinstance(error, StopIteration)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_when_the_leader_is_interrupted_another_one_loads(
    cache: SmartCache, pool: ThreadPoolExecutor, interrupt: type[BaseException]
) -> None:
    first, second = Gate(interrupt()), Gate("of the second")
    outcome: list[BaseException] = []

    def lead() -> None:
        try:
            cache.get_or_set("key", first)
        except BaseException as error:
            outcome.append(error)

    leader = threading.Thread(target=lead)
    leader.start()
    until(first.begun.is_set)
    calls: list[Future[Any]] = [pool.submit(cache.get_or_set, "key", second) for _ in range(3)]
    calls += [pool.submit(asyncio.run, cache.aio.get_or_set("key", second.awaited)) for _ in range(3)]
    until(waits(cache, "key", 6))
    second.go.set(), first.go.set()
    assert [call.result(PATIENCE_SECONDS) for call in calls] == ["of the second"] * 6 and second.runs == 1
    leader.join()
    assert type(outcome[0]) is interrupt


@pytest.mark.parametrize("moment", ["asking", "loading", "storing"])
def test_when_the_leader_is_cancelled_nobody_who_waits_notices(tmp_path: Any, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from catzilla_cache._loading import Load

    begun, go = threading.Event(), threading.Event()
    slowed = {"asking": "ask", "storing": "end"}.get(moment)
    if slowed:
        original = getattr(Load, slowed)

        def slow(self: Load, *arguments: Any) -> Any:
            if begun.is_set():
                return original(self, *arguments)
            # After it has the right to load, before the task hears of it; before it has stored anything.
            answer = original(self, *arguments) if slowed == "ask" else None
            begun.set()
            assert go.wait(PATIENCE_SECONDS)
            return answer if slowed == "ask" else original(self, *arguments)

        monkeypatch.setattr(Load, slowed, slow)
    loads: list[str] = []

    async def load(who: str) -> str:
        loads.append(who)
        if moment == "loading" and who == "first":
            begun.set()
            await asyncio.sleep(PATIENCE_SECONDS)
        return who

    async def main() -> None:
        with SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))) as cache:
            leader = asyncio.ensure_future(cache.aio.get_or_set("key", lambda: load("first")))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            others = [asyncio.ensure_future(cache.aio.get_or_set("key", lambda: load("second"))) for _ in range(5)]
            while not waits(cache, "key", 5)():
                await asyncio.sleep(0.001)
            others.pop().cancel()
            leader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leader
            go.set()
            done = await asyncio.wait_for(asyncio.gather(*others), PATIENCE_SECONDS)
            if moment == "storing":
                # It was loaded already.
                assert done == ["first"] * 4 and loads == ["first"]
            else:
                assert done == ["second"] * 4 and loads.count("second") == 1
            assert await cache.aio.get("key") == (done[0], True)
            assert not cache._flights._flights

    asyncio.run(main())


def test_what_was_loaded_is_stored_although_its_task_is_cancelled_before_a_thread_is_free(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    async def main() -> None:
        async def load() -> str:
            # The one thread there is has other things to do when this is to be stored.
            one_thread.submit(go.wait, PATIENCE_SECONDS)
            return "loaded"

        leader = asyncio.ensure_future(cache.aio.get_or_set("key", load))
        while one_thread._work_queue.qsize() < 1:
            await asyncio.sleep(0.001)
        other = asyncio.ensure_future(cache.aio.get_or_set("key", at_once("wrong")))
        while not waits(cache, "key", 1)():
            await asyncio.sleep(0.001)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        go.set()
        assert await asyncio.wait_for(other, PATIENCE_SECONDS) == "loaded" == (await cache.aio.get("key"))[0]

    with ThreadPoolExecutor(1) as one_thread, SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))) as cache:
        monkeypatch.setattr(_workers, "callers", lambda: one_thread)
        asyncio.run(main())


def test_a_task_that_is_cancelled_while_it_waits_does_not_disturb_the_load(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate()
    leader = pool.submit(cache.get_or_set, "key", loader)
    until(loader.begun.is_set)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(cache.aio.get_or_set("key", loader.awaited), 0.02)

    asyncio.run(main())
    loader.go.set()
    assert leader.result(PATIENCE_SECONDS) == "loaded" and cache.get("key") == ("loaded", True)


def test_a_value_that_cannot_be_stored_is_an_error_to_everybody(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate(threading.Lock())
    calls = [pool.submit(cache.get_or_set, "key", loader) for _ in range(3)]
    calls += [pool.submit(asyncio.run, cache.aio.get_or_set("key", loader.awaited)) for _ in range(2)]
    until(waits(cache, "key", 4))
    loader.go.set()
    for call in calls:
        with pytest.raises(CacheValueError, match="lock"):
            call.result(PATIENCE_SECONDS)
    assert loader.runs == 1 and cache.get_or_set("key", lambda: 1) == 1
