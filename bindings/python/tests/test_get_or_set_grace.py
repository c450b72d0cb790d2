"""get_or_set: values that are served after their lifetime, or loaded anew before its end, while somebody loads."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from typing import Any, Callable

import pytest

from catzilla_cache import _workers
from catzilla_cache._backend import backend
from catzilla_cache.smart_cache import DiskCache, SmartCache, SmartCacheConfig
from gated_loads import Gate, at_once, each_cache
from in_threads import PATIENCE_SECONDS, until

__all__ = ["each_cache"]


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
