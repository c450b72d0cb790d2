"""The dogpile.cache backends, in dogpile.cache's own test suites for backends, mutexes and serialisers."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

if not os.environ.get("CI"):
    # Where everything is meant to be installed, the import fails.
    pytest.importorskip("dogpile.cache", reason="not installed: dogpile.cache (PyPI)")

from dogpile.cache import make_region, register_backend  # noqa: E402
from dogpile.cache.api import NO_VALUE, CachedValue  # noqa: E402

with warnings.catch_warnings():
    # Of a mark of dogpile's own, for tests that take seconds.
    warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)
    from dogpile.testing.fixtures import (
        _GenericBackendFixture,
        _GenericBackendTestSuite,
        _GenericMutexTestSuite,
        _GenericSerializerTestSuite,
    )

from catzilla_cache import BytesCache  # noqa: E402
from catzilla_cache.smart_cache import SmartCache  # noqa: E402

ENTRY_POINTS = {"catzilla_cache": "CatzillaBackend", "catzilla_cache.bytes": "CatzillaBytesBackend"}

# An installed package is found by its entry points; these tests run in a checkout.
for name, class_name in ENTRY_POINTS.items():
    register_backend(name, "catzilla_cache.contrib.dogpile", class_name)


class TestValues(_GenericBackendTestSuite):  # type: ignore[misc,unused-ignore]
    backend = "catzilla_cache"
    config_args = {"arguments": {"options": {"memory.capacity": 5000}}}


class TestValuesWithASerializer(_GenericSerializerTestSuite, _GenericBackendFixture):  # type: ignore[misc,unused-ignore]
    backend = "catzilla_cache"
    config_args = {"arguments": {}}


class TestBytes(_GenericBackendTestSuite):  # type: ignore[misc,unused-ignore]
    backend = "catzilla_cache.bytes"
    config_args = {"arguments": {"options": {"memory.capacity": 5000}, "ttl": 3600}}
    # They wait half a minute for what is the same for values: threads, and the region's own expiration.
    test_threaded_dogpile = test_threaded_get_multi = test_region_expire = None


class TestBytesWithASerializer(_GenericSerializerTestSuite, _GenericBackendFixture):  # type: ignore[misc,unused-ignore]
    backend = "catzilla_cache.bytes"
    config_args = {"arguments": {}}


class TestLocks(_GenericMutexTestSuite):  # type: ignore[misc,unused-ignore]
    backend = "catzilla_cache"
    config_args = {"arguments": {"lock": True}}


class TestRegionsWithLocks(TestValues):
    config_args = {"arguments": {"lock": True}}


def region(**arguments: Any) -> Any:
    return make_region().configure("catzilla_cache", expiration_time=60, arguments=arguments)


def test_values_that_are_plain_are_stored_without_a_pickle(tmp_path: Path) -> None:
    with SmartCache() as cache:
        plain = region(cache=cache)
        plain.set("key", {"a": [1, None, b"x"]})
        plain.set_multi({"many": (1, 2), "none": None})
        assert plain.get("key") == {"a": [1, None, b"x"]} and plain.get_multi(["many", "none", "absent"]) == [
            (1, 2),
            None,
            NO_VALUE,
        ]
        stored, found = cache.get("key")
        assert found and type(stored) is tuple and stored[0] == {"a": [1, None, b"x"]}
        value = plain.backend.get("key")
        assert isinstance(value, CachedValue) and value.age < 60


def test_regions_over_one_cache_share_the_lock_of_a_key() -> None:
    first = region(lock=True)
    second = make_region()
    second.configure("catzilla_cache", expiration_time=60, arguments={"lock": True})
    second.backend = first.backend
    lock = first.backend.get_mutex("key")
    assert lock is second.backend.get_mutex("key") and lock is not first.backend.get_mutex("other")
    made, start = [], threading.Barrier(6)

    def make() -> int:
        made.append(1)
        return len(made)

    def ask(which: Any) -> None:
        start.wait()
        assert which.get_or_create("key", make) == 1

    threads = [threading.Thread(target=ask, args=(each,)) for each in (first, second) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert region().backend.get_mutex("key") is None


def test_an_open_cache_can_be_given() -> None:
    with BytesCache() as cache:
        given = make_region().configure("catzilla_cache.bytes", arguments={"cache": cache})
        given.set("key", "value")
        assert given.get("key") == "value" and "key" in cache
        given.delete("key")
        assert "key" not in cache and given.get("key") is NO_VALUE


def test_the_entry_points_are_those_of_the_package(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text()
    section = text.partition('[project.entry-points."dogpile.cache"]\n')[2].partition("\n[")[0]
    lines = [line.partition(" = ") for line in section.splitlines() if " = " in line]
    assert {name.strip('"'): value.strip('"') for name, _, value in lines} == {
        name: f"catzilla_cache.contrib.dogpile:{class_name}" for name, class_name in ENTRY_POINTS.items()
    }
