"""What the tests of loads share: caches that ask for one in different ways, and a loader that ends when it is let go."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest

from catzilla_cache.smart_cache import DiskCache, SmartCache, SmartCacheConfig
from in_threads import PATIENCE_SECONDS


@pytest.fixture(name="cache", params=["memory", "disk below", "disk alone"])
def each_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmartCache]:
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


def at_once(value: object) -> Callable[[], Any]:
    async def load() -> object:
        return value

    return load


@pytest.fixture(name="pool")
def thread_pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def waits(cache: SmartCache, key: str, count: int) -> Callable[[], bool]:
    """Whether so many callers wait for the load of a key."""

    def so_many_wait() -> bool:
        flight = cache._flights._flights.get(key.encode())
        # Each thread that waits is in the future's condition, each task has a callback.
        return flight is not None and len(flight._future._condition._waiters) + len(flight._future._done_callbacks) >= count  # type: ignore[attr-defined]

    return so_many_wait
