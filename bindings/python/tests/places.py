"""What the tests of SmartCache over tiers share: a place below memory, in Redis and on disk, and values of every form to put there."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest

from catzilla_cache import BytesCache
from catzilla_cache.smart_cache import DiskCache, RedisCache, SmartCache, SmartCacheConfig

SECRET, OTHER_SECRET = "a-secret-of-the-tests-long-enough", "another-secret-of-the-tests"

#: Every form that values are stored in: single bytes, plain ones, containers, and what is pickled.
VALUES: Mapping[str, Any] = {
    "none": None, "true": True, "false": False, "digit": 7, "number": 12345, "huge": 2**80, "empty": "", "empty bytes": b"", "text": "é" * 50,
    "list": [1, [2, {"a": None}]], "pickled": Fraction(1, 3), "both": {"third": Fraction(1, 3)}, "long": "x" * 300_000,
}  # fmt: skip


class Place:
    """Where the values of a test are below memory; each ``open`` is another cache there, as another process would have."""

    def __init__(self, name: str, config: Callable[..., SmartCacheConfig], alone: type[SmartCache]) -> None:
        self.name, self.config, self.alone = name, config, alone

    def open(self, **fields: Any) -> SmartCache:
        return SmartCache(self.config(**fields))

    def open_alone(self, **fields: Any) -> SmartCache:
        return self.alone(self.config(**fields))

    def raw(self) -> BytesCache:
        options = self.config().library_options()
        options["memory.max_value_size"] = 1
        return BytesCache(options)


@pytest.fixture(name="place", params=["redis", "disk"])
def each_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        path = str(tmp_path / "disk")
        return Place("disk", lambda **fields: SmartCacheConfig(**{"disk_enabled": True, "disk_path": path, **fields}), DiskCache)
    url = request.getfixturevalue("server").url
    return Place("redis", lambda **fields: SmartCacheConfig(**{"redis_enabled": True, "redis_url": url, "secret": SECRET, **fields}), RedisCache)


def flushed(cache: SmartCache) -> SmartCache:
    cache.flush(60)
    return cache


def set_and_touched(cache: SmartCache, key: str, value: object, ttl: float) -> None:
    """Stores a value with a short lifetime and gives it a long one before that is over."""
    while True:
        stored = time.monotonic()
        cache.set(key, value, ttl)
        if cache.touch(key, 600):
            return
        # On a slow machine it may be over already, and then it is done again; but not long before.
        assert time.monotonic() - stored >= ttl / 2
