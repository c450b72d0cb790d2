"""The aiocache cache: aiocache's own acceptance tests, and what they do not ask."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import threading
from pathlib import Path

import pytest

import published_tests
from conftest import missing


@pytest.fixture(scope="module", autouse=True)
def aiocache_installed() -> None:
    if importlib.util.find_spec("aiocache") is None:
        missing("aiocache (PyPI)")


#: In place of the fixtures that make aiocache's own caches; "memory_cache" is what tests of its decorators, locks and
#: plugins use.
FIXTURES = """
import pytest
from aiocache import caches
from catzilla_cache.contrib.aiocache import CatzillaCache


@pytest.fixture(autouse=True)
def reset_caches():
    caches._caches = {}
    serializer = {"class": "aiocache.serializers.NullSerializer"}
    caches.set_config({"default": {"cache": "catzilla_cache.contrib.aiocache.CatzillaCache", "serializer": serializer}})


@pytest.fixture
async def cache():
    async with CatzillaCache(namespace="test") as cache:
        yield cache


@pytest.fixture
async def memory_cache(cache):
    yield cache
"""

#: What is left out, and why.
LEFT_OUT = {
    # That the very object comes back that was stored: ours comes back equal, as a copy, since it may have been on a disk.
    "test_serializers.py::TestNullSerializer::test_set_get_types",
    "test_serializers.py::TestNullSerializer::test_add_get_types",
    "test_serializers.py::TestNullSerializer::test_multi_set_multi_get_types",
    # They put a dict in the place of what the memory cache has inside.
    "test_plugins.py::TestHitMissRatioPlugin::test_get_hit_miss_ratio",
    "test_plugins.py::TestHitMissRatioPlugin::test_multi_get_hit_miss_ratio",
    # A method of dict.
    "test_base.py::TestMemoryCache::test_raw",
    # Asks in the same millisecond in which the lifetime is over.
    "test_lock.py::TestOptimisticLock::test_check_and_set_with_int_ttl",
}


def test_the_tests_that_aiocache_publishes_pass(tmp_path: Path) -> None:
    source = published_tests.source_of("aiocache")
    if not (published_tests.PLUGINS / "pytest_asyncio").is_dir():
        missing("pytest-asyncio, pytest-mock and marshmallow (PyPI; tools/install-test-tools)")
    shutil.copytree(source / "tests", tmp_path / "tests")
    (tmp_path / "tests" / "acceptance" / "conftest.py").write_text(FIXTURES)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nmarkers =\n    redis\n    memcached\n"
    )
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not redis and not memcached", "tests/acceptance"]
    for test in sorted(LEFT_OUT):
        arguments += ["--deselect", f"tests/acceptance/{test}"]
    done = published_tests.run(arguments, tmp_path, published_tests.PLUGINS)
    assert done.returncode == 0, done.stdout
    assert published_tests.counts(done)["passed"] >= 130, done.stdout


def test_no_value_is_lost_among_tiers_and_the_loop_stays_free(tmp_path: Path) -> None:
    from catzilla_cache.contrib.aiocache import CatzillaCache

    async def main() -> None:
        options = {"disk.path": tmp_path / "cache", "memory.capacity": 1}
        async with CatzillaCache(options, namespace="n:") as cache:
            assert await cache.multi_set([(f"key {number}", {"n": number}) for number in range(50)])
            assert await cache.multi_get(["key 7", "absent"]) == [{"n": 7}, None]
            assert await cache.increment("count") == 1 and await cache.increment("count", 4) == 5
            with pytest.raises(TypeError):
                await cache.increment("key 1")
            with pytest.raises(ValueError, match="already exists"):
                await cache.add("key 1", 2)
            assert await cache.set("other", 1, namespace="m:")
            assert await cache.clear(namespace="n:") and await cache.get("key 7") is None
            assert await cache.get("other", namespace="m:") == 1
            assert await cache.raw("exists", "m:other") is True
            # Closing is not the end in aiocache.
            await cache.close()
            assert await cache.delete("other", namespace="m:") == 1

    asyncio.run(main())


def test_a_hit_in_memory_takes_no_thread() -> None:
    from aiocache import cached

    from catzilla_cache.contrib.aiocache import CatzillaCache

    calls = []

    async def main() -> int:
        cache = CatzillaCache()

        @cached(ttl=60, cache=CatzillaCache)
        async def slow(number: int) -> int:
            calls.append(number)
            return number + 1

        assert [await slow(1), await slow(1), await slow(2)] == [2, 2, 3]
        await cache.set("key", 1, ttl=60)
        for _ in range(100):
            assert await cache.get("key") == 1
        return sum("asyncio" in thread.name or "ThreadPool" in thread.name for thread in threading.enumerate())

    assert asyncio.run(main()) == 0 and calls == [1, 2]
