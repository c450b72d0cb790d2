"""What the tests of SmartCache share: a cache in memory."""

from __future__ import annotations

from typing import Iterator

import pytest

from catzilla_cache.smart_cache import SmartCache


@pytest.fixture(name="cache")
def cache_in_memory() -> Iterator[SmartCache]:
    with SmartCache() as cache:
        yield cache
