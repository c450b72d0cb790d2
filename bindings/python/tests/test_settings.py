"""Caches by name: from dicts, URLs and the environment, with everything that is not known refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import catzilla_cache
from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from catzilla_cache.settings import Caches, config_from, config_from_environment
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig
from in_threads import in_threads


@pytest.fixture(autouse=True)
def no_variables_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [*os.environ]:
        if name.startswith("CATZILLA_CACHE_") and name not in ("CATZILLA_CACHE_LIBRARY", "CATZILLA_CACHE_BACKEND"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "url, options",
    [
        ("memory://", {}),
        ("memory:///?capacity=5", {"memory.capacity": "5"}),
        ("memory://?capacity=5&policy=s3fifo&memory.ttl=5m", {"memory.capacity": "5", "memory.policy": "s3fifo", "memory.ttl": "5m"}),
        ("redis://localhost:6379/1", {"redis.url": "redis://localhost:6379/1"}),
        ("rediss://user:pa%20ss@host/0?redis.ttl=2h", {"redis.url": "rediss://user:pa%20ss@host/0", "redis.ttl": "2h"}),
        ("redis+unix:///run/redis.sock?capacity=9", {"redis.url": "redis+unix:///run/redis.sock", "memory.capacity": "9"}),
        ("disk:///var/cache/app", {"disk.path": "/var/cache/app"}),
        ("disk:///with%20space?disk.max_bytes=10MiB", {"disk.path": "/with space", "disk.max_bytes": "10MiB"}),
    ],
)  # fmt: skip
def test_a_url_says_where_the_values_are_and_how(url: str, options: dict[str, object]) -> None:
    assert config_from(url) == SmartCacheConfig(options=options) == config_from({"url": url})


@pytest.mark.parametrize(
    "wrong",
    [
        "memory", "", "http://x", "memory://host", "memory:///path", "disk://path", "disk://", "disk:///", "memory://?colour=red",
        "memory://?capacity", "memory://?redis.colour=red", "redis://x?url=5", "memory://[",
    ],
)  # fmt: skip
def test_a_url_that_is_wrong_says_so(wrong: str) -> None:
    with pytest.raises(CacheValueError):
        config_from(wrong)


def test_a_dict_has_fields_and_options_by_name() -> None:
    config = config_from({"memory_capacity": 5, "memory.policy": "lru", "enable_stats": False, "options": {"memory.shards": 1}})
    assert config == SmartCacheConfig(memory_capacity=5, enable_stats=False, options={"memory.policy": "lru", "memory.shards": 1})
    given = SmartCacheConfig(memory_capacity=7)
    assert config_from(given) is given
    for wrong in ({"memory_capacities": 5}, {"memory.capacities": 5}, {"URL": "memory://"}, {"": 1}):
        with pytest.raises(CacheValueError, match="option"):
            config_from(wrong)


def test_what_stands_by_itself_wins_over_the_url_wherever_it_stands() -> None:
    url = "memory://?capacity=5"
    for settings in ({"url": url, "memory.capacity": 9}, {"memory.capacity": 9, "url": url}):
        assert config_from(settings).options == {"memory.capacity": 9}
        with Caches({"a": settings})["a"] as cache:
            assert cache.get_stats().capacity == 9


def test_the_environment_has_a_url_and_options() -> None:
    environment = {
        "CATZILLA_CACHE_MEMORY_CAPACITY": "9", "CATZILLA_CACHE_URL": "memory://?capacity=5&policy=lru", "CATZILLA_CACHE_DISK_MAX_BYTES": "1GiB",
        "CATZILLA_CACHE_SESSIONS_URL": "memory://", "CATZILLA_CACHE_SECRET": "x", "CATZILLA_CACHE_LIBRARY": "x", "CATZILLA_CACHE_BACKEND": "x",
        "HOME": "/", "CATZILLA_OTHER": "1",
    }  # fmt: skip
    assert config_from_environment(environment) == SmartCacheConfig(
        options={"memory.capacity": "9", "memory.policy": "lru", "disk.max_bytes": "1GiB"}
    )
    assert config_from_environment({"CATZILLA_CACHE_REDIS_URL": "redis://x"}).options == {"redis.url": "redis://x"}
    assert config_from_environment({}) == SmartCacheConfig()
    with pytest.raises(CacheValueError, match="CATZILLA_CACHE_MEMORY_CAPACITTY"):
        config_from_environment({"CATZILLA_CACHE_MEMORY_CAPACITTY": "9"})


def test_caches_are_opened_when_they_are_asked_for_and_are_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = Caches({"a": "memory://?capacity=5", "pages": {"disk.path": tmp_path / "pages", "disk.max_bytes": "10MiB"}})
    try:
        assert not (tmp_path / "pages").exists()
        assert len(set(map(id, in_threads(8, lambda number: caches["a"])))) == 1 and caches["a"].get_stats().capacity == 5
        caches["pages"].set("key", 1)
        assert (tmp_path / "pages").is_dir() and caches["pages"].health_check()["disk"] is True
        assert sorted(caches) == ["a", "default", "pages"]
        assert isinstance(caches["default"], SmartCache) and caches["default"] is caches["default"]
        monkeypatch.setenv("CATZILLA_CACHE_SESSIONS_URL", "memory://?capacity=7")
        assert caches["sessions"].get_stats().capacity == 7
        with pytest.raises(KeyError, match="CATZILLA_CACHE_NOBODY_URL"):
            caches["nobody"]
        first = caches["a"]
        first.close()
        assert caches["a"] is not first and not caches["a"].closed
    finally:
        caches.close()


def test_configuring_again_takes_all_over_or_nothing(tmp_path: Path) -> None:
    caches = Caches({"a": "memory://?capacity=5"})
    try:
        before = caches["a"]
        wrong: dict[str, Any] = {"a": "memory://?capacity=6", "b": {"colour": "red"}}
        with pytest.raises(CacheValueError, match="colour"):
            caches.configure(wrong)
        assert caches["a"] is before and not before.closed
        caches.configure({"a": "memory://?capacity=6"})
        assert before.closed and caches["a"].get_stats().capacity == 6
        (tmp_path / "file").touch()
        caches.configure({"a": f"disk://{tmp_path}/file"})
        with pytest.raises(CacheNotAvailableError):
            caches["a"]
    finally:
        caches.close()


def test_the_caches_of_the_process_are_configured_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATZILLA_CACHE_MEMORY_CAPACITY", "11")
    try:
        assert catzilla_cache.caches["default"].get_stats().capacity == 11
        catzilla_cache.configure({"default": {"memory_capacity": 12}})
        assert catzilla_cache.caches["default"].get_stats().capacity == 12
    finally:
        catzilla_cache.configure({})
