"""get_or_set: one load for all who miss a key, threads and tasks alike, whatever happens to the key meanwhile."""

from __future__ import annotations

import asyncio
import math
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheError, CacheValueError
from catzilla_cache.smart_cache import SmartCache
from gated_loads import Gate, each_cache, thread_pool, waits
from in_threads import PATIENCE_SECONDS, in_threads, until
from interpreter import output_of

__all__ = ["each_cache", "thread_pool"]


# ---- One load for all ----


def test_what_is_missing_is_loaded_and_kept(cache: SmartCache) -> None:
    assert cache.get_or_set("key", lambda: [1, None]) == [1, None] and cache.get("key") == ([1, None], True)
    assert cache.get_or_set("key", lambda: pytest.fail("loaded again")) == [1, None]
    assert cache.get_or_set("none", lambda: None) is None and cache.get("none") == (None, True)
    assert cache.get_or_set("short", lambda: 1, 0.05) == 1
    time.sleep(0.08)
    assert cache.get_or_set("short", lambda: 2) == 2
    cache.get_or_set("tagged", lambda: 1, tags=["tag"])
    cache.invalidate("tag")
    assert "tagged" not in cache


def test_of_many_threads_one_loads(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate(loaded := {"value": object})
    calls = [pool.submit(cache.get_or_set, "key", loader) for _ in range(16)]
    until(waits(cache, "key", 15))
    loader.go.set()
    assert all(call.result(PATIENCE_SECONDS) is loaded for call in calls) and loader.runs == 1
    assert cache.get("key") == (loaded, True)


def test_of_many_tasks_one_loads(cache: SmartCache) -> None:
    async def main() -> None:
        loader = Gate()
        calls = [asyncio.ensure_future(cache.aio.get_or_set("key", loader.awaited)) for _ in range(50)]
        while not waits(cache, "key", 49)():
            await asyncio.sleep(0.001)
        loader.go.set()
        assert await asyncio.gather(*calls) == ["loaded"] * 50 and loader.runs == 1
        assert await cache.aio.get("key") == ("loaded", True)

    asyncio.run(main())


@pytest.mark.parametrize("leader", ["thread", "task"])
def test_threads_and_tasks_of_several_loops_share_one_load(cache: SmartCache, pool: ThreadPoolExecutor, leader: str) -> None:
    loader = Gate()

    async def as_tasks(count: int) -> list[Any]:
        return await asyncio.gather(*(cache.aio.get_or_set("key", loader.awaited) for _ in range(count)))

    if leader == "thread":
        calls: list[Future[Any]] = [pool.submit(cache.get_or_set, "key", loader)]
    else:
        calls = [pool.submit(asyncio.run, as_tasks(1))]
    until(loader.begun.is_set)
    calls += [pool.submit(cache.get_or_set, "key", loader) for _ in range(4)]
    calls += [pool.submit(asyncio.run, as_tasks(3)) for _ in range(3)]
    until(waits(cache, "key", 4 + 9))
    loader.go.set()
    results = [call.result(PATIENCE_SECONDS) for call in calls]
    assert loader.runs == 1 and all(result in ("loaded", ["loaded"], ["loaded"] * 3) for result in results)


def test_different_keys_do_not_wait_for_each_other(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate()
    slow = pool.submit(cache.get_or_set, "slow", loader)
    until(loader.begun.is_set)
    assert cache.get_or_set("fast", lambda: 1) == 1
    loader.go.set()
    assert slow.result(PATIENCE_SECONDS) == "loaded"


def test_many_threads_on_few_keys_always_get_the_right_value(cache: SmartCache) -> None:
    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(300):
            key = chance.randrange(5)
            assert cache.get_or_set(f"key {key}", lambda: [key] * 10) == [key] * 10
            if chance.random() < 0.3:
                cache.delete(f"key {key}")

    in_threads(8, work)


def test_what_is_to_be_warmed_is_pairs_or_a_mapping(cache: SmartCache) -> None:
    assert cache.warm({"a": lambda: 1, "b": lambda: 2}) == 2
    assert cache.warm([("b", lambda: 9), ("c", lambda: 3)]) == 1
    assert asyncio.run(cache.aio.warm({"c": lambda: 9, "d": lambda: 4})) == 1
    assert cache.get_many("abcd") == {"a": 1, "b": 2, "c": 3, "d": 4}


# ---- What happens to the key meanwhile ----


@pytest.mark.parametrize("before", ["nothing", "what nobody believes"])
@pytest.mark.parametrize("what", ["delete", "set", "clear", "invalidate"])
def test_a_key_that_is_changed_while_it_is_loaded_stays_as_that_has_left_it(
    cache: SmartCache, pool: ThreadPoolExecutor, what: str, before: str
) -> None:
    loader = Gate("outdated")
    if before != "nothing":
        backend.put(cache._live(), b"key", b"\xff foreign", 0)
    call = pool.submit(cache.get_or_set, "key", loader, tags=["tag"])
    until(loader.begun.is_set)
    if what == "set":
        cache.set("key", "newer")
    else:
        {"delete": lambda: cache.delete("key"), "clear": cache.clear, "invalidate": lambda: cache.invalidate("tag")}[what]()
    loader.go.set()
    assert call.result(PATIENCE_SECONDS) == "outdated"
    assert cache.get("key") == (("newer", True) if what == "set" else (None, False))


def test_a_cache_that_is_closed_while_a_value_is_loaded_hands_it_on_all_the_same(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate()
    calls = [pool.submit(cache.get_or_set, "key", loader) for _ in range(3)]
    until(waits(cache, "key", 2))
    cache.close()
    loader.go.set()
    assert [call.result(PATIENCE_SECONDS) for call in calls] == ["loaded"] * 3


def test_a_loader_that_asks_for_its_own_key_is_told_so(cache: SmartCache) -> None:
    with pytest.raises(CacheError, match="this very thread"):
        cache.get_or_set("key", lambda: cache.get_or_set("key", lambda: 1))
    assert cache.get_or_set("key", lambda: cache.get_or_set("other", lambda: 1)) == 1

    async def again() -> Any:
        return await cache.aio.get_or_set("task", again)

    async def blocking() -> Any:
        return cache.get_or_set("mixed", lambda: 1)

    with pytest.raises(CacheError, match="this very task"):
        asyncio.run(cache.aio.get_or_set("task", again))
    with pytest.raises(CacheError, match="this very thread"):
        asyncio.run(cache.aio.get_or_set("mixed", blocking))
    assert not cache._flights._flights


# ---- Timeouts ----


def test_who_waits_too_long_is_told_and_the_others_go_on(cache: SmartCache, pool: ThreadPoolExecutor) -> None:
    loader = Gate()
    leader = pool.submit(cache.get_or_set, "key", loader, timeout=0)
    until(loader.begun.is_set)
    patient = pool.submit(cache.get_or_set, "key", loader)
    for timeout in (0, 0.02):
        with pytest.raises(CacheError, match=f"'key' is being loaded, and was not there within {timeout} s"):
            cache.get_or_set("key", loader, timeout=timeout)
        with pytest.raises(CacheError, match=f"within {timeout} s"):
            asyncio.run(cache.aio.get_or_set("key", loader.awaited, timeout=timeout))
    loader.go.set()
    assert leader.result(PATIENCE_SECONDS) == patient.result(PATIENCE_SECONDS) == "loaded" and loader.runs == 1


@pytest.mark.parametrize(
    "how", [{"timeout": -1}, {"timeout": math.nan}, {"grace": -1}, {"grace": math.nan}, {"beta": -0.1}, {"grace": "5"}, {"ttl": -1}, {"tags": "x"}]
)
def test_what_is_wrong_with_a_call_is_said_before_anything_is_loaded(cache: SmartCache, how: dict[str, Any]) -> None:
    with pytest.raises(CacheValueError):
        cache.get_or_set("key", lambda: pytest.fail("loaded"), **how)
    with pytest.raises(CacheValueError):
        asyncio.run(cache.aio.get_or_set("key", lambda: pytest.fail("loaded"), **how))
    assert not cache._flights._flights


# ---- Forks ----


def test_a_child_forked_in_the_middle_of_loads_and_refreshes_goes_on() -> None:
    printed = output_of(
        """
        import os, signal, threading, time, warnings
        from catzilla_cache.smart_cache import SmartCache

        warnings.simplefilter("ignore", DeprecationWarning)
        cache = SmartCache()
        go, begun = threading.Event(), [threading.Event(), threading.Event()]

        def slow(number, value):
            begun[number].set()
            go.wait()
            return value

        cache.get_or_set("stale", lambda: "old", 0.01, grace=600)
        time.sleep(0.03)
        cache.get_or_set("stale", lambda: slow(0, "of the parent"), 600, grace=600)
        leader = threading.Thread(target=lambda: cache.get_or_set("key", lambda: slow(1, "of the parent")))
        leader.start()
        for event in begun:
            event.wait()
        cache._lock.acquire(), cache._update_lock.acquire(), cache._flights._lock.acquire(), cache._rates._lock.acquire()
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a deadlock ends as SIGALRM, which the parent reports
            # The library tells the child that whoever was loading is not there, or lets it load.
            assert cache.get_or_set("key", lambda: "of the child") == "of the child"
            assert cache.get_or_set("stale", lambda: "new", 600, grace=600) == "old"
            while cache.get("stale") != ("new", True):
                time.sleep(0.002)
            cache.get_stats(), cache.incr("number", 2**70)
            os._exit(0)
        for lock in (cache._lock, cache._update_lock, cache._flights._lock, cache._rates._lock):
            lock.release()
        status = os.waitpid(pid, 0)[1]
        go.set()
        leader.join()
        print(status, cache.get_or_set("key", lambda: "wrong"))
        """
    )
    assert printed == "0 of the parent\n"


def test_a_process_ends_while_a_value_is_loaded_anew() -> None:
    printed = output_of(
        """
        import atexit, time
        from catzilla_cache.smart_cache import SmartCache
        cache = SmartCache()
        cache.get_or_set("key", lambda: "old", 0.01, grace=600)
        time.sleep(0.03)
        # After the threads have been told to end.
        atexit.register(lambda: print(cache.get_or_set("key", lambda: "new", 600, grace=600), cache._refreshing))
        import catzilla_cache._workers as workers
        workers.refreshers().shutdown()
        """
    )
    assert printed == "old {}\n"
