"""What the tests of SmartCache share: a cache in memory, values that are pickled, what is left of a lifetime, and a function that notes its calls."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Iterator

import pytest

from catzilla_cache._backend import backend
from catzilla_cache.smart_cache import SmartCache


@pytest.fixture(name="cache")
def cache_in_memory() -> Iterator[SmartCache]:
    with SmartCache() as cache:
        yield cache


def left(cache: SmartCache, key: str) -> float:
    """How many seconds of a key's lifetime are left. Unlike sleeping, it does not depend on how fast the machine is."""
    status, _, left_ms, _, _ = backend.inspect(cache._live(), key.encode())
    assert status == 0
    return float(left_ms) / 1000


def after(seconds: float) -> None:
    """Waits until a lifetime of so many seconds that began before is surely over."""
    time.sleep(seconds + 0.02)


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Text(str):
    pass


class Calls(list[Any]):
    """Notes what a function is called with."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.append((args, kwargs))
        return args, kwargs
