"""What the tests of the package share: the library under test, a small cache, a Redis, and what compiles C."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterator, NoReturn

import pytest

import redis_server
from catzilla_cache import BytesCache
from catzilla_cache import _ctypes_backend as backend
from redis_server import RedisServer

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def library_file() -> Path:
    """The very file that the package has loaded, so that what is inspected is what runs."""
    path = Path(backend.library_file())
    assert path.is_file(), f"the tests need the library as a file, not from the loader's search ({path})"
    return path


@pytest.fixture
def cache() -> Iterator[BytesCache]:
    with BytesCache({"memory.capacity": 1000}) as cache:
        yield cache


@pytest.fixture(scope="session")
def redis_installed() -> None:
    if not redis_server.is_installed():
        missing("redis-server (Debian: redis-server)")


@pytest.fixture
def server(redis_installed: None, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, with its data in the test's folder."""
    with redis_server.running(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def c_compiler() -> str:
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        found = name and shutil.which(name)
        if found:
            return found
    missing("a C compiler (Debian: gcc)")


def missing(what: str) -> NoReturn:
    """Skips a test whose tool is not installed; where everything is meant to be installed, fails it instead."""
    message = f"not installed: {what}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
