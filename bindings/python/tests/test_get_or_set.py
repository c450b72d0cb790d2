"""get_or_set: one load for all who miss a key, threads and tasks alike; how loads fail, and how values are served while they are loaded anew."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest

from catzilla_cache import _workers
from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheError, CacheValueError
from catzilla_cache.smart_cache import DiskCache, SmartCache, SmartCacheConfig

from in_threads import PATIENCE_SECONDS, in_threads, until
from interpreter import output_of


@pytest.fixture(params=["memory", "disk below", "disk alone"])
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmartCache]:
    """With nobody to wait for, with a tier below memory, and without memory: a load is asked for in other ways in each."""
    config = SmartCacheConfig(disk_path=str(tmp_path_factory.mktemp("cache") / "disk"), disk_enabled=request.param != "memory")
    with (DiskCache if request.param == "disk alone" else SmartCache)(config) as cache:
        yield cache


class Gate:
    """A loader that begins, and ends when it is let go."""

    def __init__(self, value: object = "loaded") -> None:
        self.value = value
        self.begun, self.go, self.runs = threading.Event(), threading.Event(), 0

    def __call__(self) -> object:
        self.runs += 1
        self.begun.set()
        assert self.go.wait(PATIENCE_SECONDS)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    async def awaited(self) -> object:
        self.runs += 1
        self.begun.set()
        while not self.go.is_set():
            await asyncio.sleep(0.001)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def waits(cache: SmartCache, key: str, count: int) -> Callable[[], bool]:
    """Whether so many callers wait for the load of a key."""

    def so_many_wait() -> bool:
        flight = cache._flights._flights.get(key.encode())
        # Each thread that waits is in the future's condition, each task has a callback.
        return flight is not None and len(flight._future._condition._waiters) + len(flight._future._done_callbacks) >= count  # type: ignore[attr-defined]

    return so_many_wait


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


# ---- Loads that fail ----


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


def test_what_is_to_be_warmed_is_pairs_or_a_mapping(cache: SmartCache) -> None:
    assert cache.warm({"a": lambda: 1, "b": lambda: 2}) == 2
    assert cache.warm([("b", lambda: 9), ("c", lambda: 3)]) == 1
    assert asyncio.run(cache.aio.warm({"c": lambda: 9, "d": lambda: 4})) == 1
    assert cache.get_many("abcd") == {"a": 1, "b": 2, "c": 3, "d": 4}


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


# ---- Served while it is loaded anew ----


def test_in_grace_the_old_value_is_served_while_one_loads_anew(cache: SmartCache) -> None:
    assert cache.get_or_set("key", lambda: "old", 0.05, grace=600, tags=["tag"]) == "old"
    loader = Gate("new")
    time.sleep(0.08)
    # Nobody else is given it.
    assert cache.get("key") == (None, False) and cache.get_many(["key"]) == {} and asyncio.run(cache.aio.get("key")) == (None, False)
    assert cache.touch("key", 60) is False
    for _ in range(20):
        assert cache.get_or_set("key", loader, 600, grace=600, tags=["other"]) == "old"
    until(loader.begun.is_set)
    loader.go.set()
    until(lambda: cache.get("key") == ("new", True))
    assert loader.runs == 1 and cache.get_or_set("key", loader, 600, grace=600) == "new"
    stats = cache.get_stats()
    assert stats.hits + stats.misses == stats.requests and stats.refused == stats.failed_refreshes == 0 and stats.misses >= 3
    assert cache.invalidate("tag") + cache.invalidate("other") <= 1 and "key" not in cache


def test_in_grace_a_task_is_served_and_loads_anew_beside_itself(cache: SmartCache) -> None:
    async def main() -> None:
        aio = cache.aio
        loader = Gate("new")
        assert await aio.get_or_set("key", at_once("old"), 0.05, grace=600) == "old"
        await asyncio.sleep(0.08)
        for _ in range(20):
            assert await aio.get_or_set("key", loader.awaited, 600, grace=600) == "old"
        while not loader.begun.is_set():
            await asyncio.sleep(0.001)
        loader.go.set()
        while (await aio.get("key"))[0] != "new":
            await asyncio.sleep(0.001)
        assert loader.runs == 1

    asyncio.run(main())


def at_once(value: object) -> Callable[[], Any]:
    async def load() -> object:
        return value

    return load


def test_after_its_grace_a_value_is_missing(cache: SmartCache) -> None:
    cache.get_or_set("key", lambda: "old", 0.03, grace=0.03)
    time.sleep(0.1)
    assert cache.get_or_set("key", lambda: "new", 60, grace=60) == "new" and "key" in cache


def test_a_refresh_that_fails_is_counted_and_the_old_value_goes_on_being_served(cache: SmartCache) -> None:
    cache.get_or_set("key", lambda: "old", 0.01, grace=600)
    time.sleep(0.03)
    failing: list[Callable[[], object]] = [lambda: 1 // 0, threading.Lock]
    for number, loader in enumerate(failing, 1):
        assert cache.get_or_set("key", loader, 600, grace=600) == "old"
        until(lambda: cache.get_stats().failed_refreshes == number and not cache._refreshing)

    async def main() -> None:
        async def fail() -> None:
            raise ZeroDivisionError

        assert await cache.aio.get_or_set("key", fail, 600, grace=600) == "old"
        while cache.get_stats().failed_refreshes < 3:
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert cache.get_or_set("key", lambda: "new", 600, grace=600) == "old"
    until(lambda: cache.get("key") == ("new", True))


@pytest.mark.parametrize("what", ["delete", "set"])
def test_a_key_that_is_changed_while_it_is_loaded_anew_stays_as_that_has_left_it(cache: SmartCache, what: str) -> None:
    cache.get_or_set("key", lambda: "old", 0.01, grace=600)
    time.sleep(0.03)
    loader = Gate("outdated")
    assert cache.get_or_set("key", loader, 600, grace=600) == "old"
    until(loader.begun.is_set)
    if what == "delete":
        cache.delete("key")
    elif isinstance(cache, DiskCache):
        pytest.skip("a value that is not in memory has no version: the later write wins")
    else:
        cache.set("key", "newer")
    loader.go.set()
    until(lambda: not cache._refreshing)
    assert cache.get("key") == (("newer", True) if what == "set" else (None, False))


def test_what_another_one_has_loaded_anew_is_not_loaded_again(cache: SmartCache) -> None:
    from catzilla_cache._loading import Load

    cache.get_or_set("key", lambda: "old", 0.01, grace=600)
    time.sleep(0.03)
    late = Load(cache, "key", 600, (), None, 600, 0)
    if isinstance(cache, DiskCache):
        late.ask(None)
    else:
        late.find_in_memory()
    assert late.is_still_stale() is True
    assert cache.get_or_set("key", lambda: "new", 600, grace=600) == "old"
    until(lambda: cache.get("key") == ("new", True))
    assert late.is_still_stale() is False


def test_tasks_that_never_end_do_not_keep_a_key_from_being_loaded_anew(cache: SmartCache) -> None:
    cache.get_or_set("key", lambda: "old", 0.01, grace=600)
    time.sleep(0.03)

    async def never() -> None:
        await asyncio.sleep(PATIENCE_SECONDS)

    async def cancelled_before_it_begins() -> None:
        assert await cache.aio.get_or_set("key", never, 600, grace=600) == "old"

    # asyncio.run cancels what is left.
    asyncio.run(cancelled_before_it_begins())
    assert not cache._refreshing
    # A loop that is closed does not.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(cancelled_before_it_begins())
    finally:
        left = list(cache._refreshing.values())
        loop.close()
    assert len(left) == 1
    assert cache.get_or_set("key", lambda: "new", 600, grace=600) == "old"
    until(lambda: cache.get("key") == ("new", True))
    for task in left:
        # Or it would be told of when it is collected.
        task._log_destroy_pending = False  # type: ignore[union-attr]


def test_a_lifetime_without_an_end_has_no_grace(cache: SmartCache) -> None:
    assert cache.get_or_set("key", lambda: 1, math.inf, grace=5, beta=1) == 1
    assert cache.get("key") == (1, True)
    assert cache.get_or_set("forever stale", lambda: 1, 0.01, grace=math.inf) == 1
    time.sleep(0.03)
    assert cache.get_or_set("forever stale", lambda: 1, 0.01, grace=math.inf) == 1


def test_touch_makes_a_value_with_grace_fresh_for_longer(cache: SmartCache) -> None:
    cache.get_or_set("key", lambda: "value", 60, grace=600)
    before = time.time()
    assert cache.touch("key", 5000) is True and cache.get("key") == ("value", True)
    annotation, value = cache._stored.decode(b"key", backend.read(cache._live(), b"key")[1])
    assert annotation.fresh_until is not None and before + 5000 <= annotation.fresh_until <= time.time() + 5000
    assert cache.touch("key", 0.01)
    time.sleep(0.03)
    assert cache.get("key") == (None, False)


def test_a_number_that_is_served_in_grace_alone_counts_from_0(cache: SmartCache) -> None:
    cache.get_or_set("key", lambda: 5, 600, grace=600)
    assert cache.incr("key") == 6
    cache.get_or_set("stale", lambda: 5, 0.01, grace=600)
    time.sleep(0.03)
    assert cache.incr("stale") == 1 and cache.get("stale") == (1, True)


def test_beta_loads_anew_before_the_end_the_sooner_the_longer_a_load_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probability that a request at t refreshes is exp(-(end - t) / (cost * beta)): counted against that, with a seed."""
    import catzilla_cache._loading as loading
    from catzilla_cache._annotation import Annotation

    class Clock:
        now = 1000.0

        def time(self) -> float:
            return self.now

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(loading, "time", clock)
    monkeypatch.setattr(loading, "random", random.Random(20151))
    with SmartCache() as cache:
        for cost, beta, left in [(2.0, 1.0, 2.0), (2.0, 1.0, 6.0), (1.0, 3.0, 2.0), (2.0, 0.5, 0.5), (0.0, 1.0, 0.001), (2.0, 0.0, 0.001)]:
            load = loading.Load(cache, "key", 100, (), None, 0, beta)
            data = cache._stored.encode(b"key", "value", 100_000, Annotation(clock.now + left, cost))
            asked = 4000
            early = sum(load._worth(data)[0] == loading.STALE for _ in range(asked))
            expected = math.exp(-left / (cost * beta)) if cost * beta else 0.0
            # Five standard deviations of a binomial distribution.
            assert abs(early - asked * expected) <= 5 * math.sqrt(asked * expected * (1 - expected))
        # The cost is what the load took.
        def load_for_seven_seconds() -> str:
            clock.now += 7
            return "value"

        cache.get_or_set("key", load_for_seven_seconds, 100, beta=1)
        stored = cache._stored.decode(b"key", loading._backend.read(cache._live(), b"key")[1])
        assert stored == (Annotation(clock.now + 100, 7.0, []), "value")


def test_slow_refreshes_do_not_keep_tasks_from_redis_or_disk(tmp_path: Any) -> None:
    with SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "disk"))) as cache:
        loaders = [Gate() for _ in range(_workers._CALLERS + _workers._REFRESHERS)]
        for number, loader in enumerate(loaders):
            cache.get_or_set(f"key {number}", lambda: "old", 0.01, grace=600)
        time.sleep(0.03)
        for number, loader in enumerate(loaders):
            assert cache.get_or_set(f"key {number}", loader, 600, grace=600) == "old"
        try:
            # Sooner than the loaders give up by themselves.
            assert asyncio.run(asyncio.wait_for(cache.aio.get("absent"), PATIENCE_SECONDS / 2)) == (None, False)
        finally:
            for loader in loaders:
                loader.go.set()
        until(lambda: not cache._refreshing)


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
