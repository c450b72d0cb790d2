"""get_or_set: one load a key at a time, and what goes to whom when it fails."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Optional

import pytest

from catzilla_cache import BytesCache, CacheError, CacheKeyError, CacheValueError
from catzilla_cache._backend import backend
from catzilla_cache import _status

# Far longer than a loaded machine needs, so that reaching it means "never".
PATIENCE = 60


def never() -> bytes:
    raise AssertionError("this loader must not run")


def until_waiting(cache: BytesCache, callers: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while cache.statistics().load_waits < callers:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_is_absent_is_loaded_and_kept(cache: BytesCache) -> None:
    assert cache.get_or_set("key", lambda: b"loaded") == b"loaded"
    assert cache.get_or_set("key", never) == b"loaded"
    assert cache.get("key") == b"loaded"
    assert cache.get_or_set("buffer", lambda: bytearray(b"bytes")) == b"bytes"
    assert (cache.statistics().loads, cache.statistics().load_failures) == (2, 0)


def test_it_is_kept_for_its_ttl(cache: BytesCache) -> None:
    cache.get_or_set("short", lambda: b"", ttl=0.001)
    deadline = time.monotonic() + PATIENCE
    while "short" in cache:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_none_means_that_there_is_none_and_is_not_kept(cache: BytesCache) -> None:
    assert cache.get_or_set("key", lambda: None) is None
    assert "key" not in cache
    assert cache.get_or_set("key", lambda: b"now") == b"now"


def together(cache: BytesCache, loader: Callable[[], Optional[bytes]], callers: int = 8) -> list[Future[Optional[bytes]]]:
    """Many callers of one key, of whom one runs the loader when all the others wait."""

    def load() -> Optional[bytes]:
        until_waiting(cache, callers - 1)
        return loader()

    with ThreadPoolExecutor(callers) as pool:
        return [pool.submit(cache.get_or_set, "key", load) for _ in range(callers)]


def test_of_many_threads_one_loads_and_all_get_the_value(cache: BytesCache) -> None:
    loads: list[int] = []

    def load() -> bytes:
        loads.append(1)
        return b"loaded"

    assert [caller.result() for caller in together(cache, load)] == [b"loaded"] * 8
    assert len(loads) == 1


def test_what_the_loader_raises_reaches_its_caller_and_the_others_are_told_that_it_failed(cache: BytesCache) -> None:
    def load() -> bytes:
        raise ZeroDivisionError("the loader's own")

    errors = [caller.exception() for caller in together(cache, load)]
    own = [error for error in errors if isinstance(error, ZeroDivisionError)]
    told = [error for error in errors if isinstance(error, CacheError)]
    assert len(own) == 1 and len(told) == 7
    assert all(error.status == _status.LOAD_FAILED and "loader failed" in str(error) for error in told)
    assert cache.get_or_set("key", lambda: b"anew") == b"anew"


def test_an_interrupt_is_not_the_loaders_failure_and_the_next_one_loads(cache: BytesCache) -> None:
    interrupted: list[bool] = []

    def load() -> bytes:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return b"by the next"

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_set("key", load)
    cache.delete("key")
    interrupted.clear()
    callers = together(cache, load)
    errors = [caller.exception() for caller in callers]
    assert sum(isinstance(error, KeyboardInterrupt) for error in errors) == 1
    assert [caller.result() for caller, error in zip(callers, errors) if error is None] == [b"by the next"] * 7


def test_a_value_of_a_wrong_type_is_a_failure(cache: BytesCache) -> None:
    wrong: Any = "text"
    with pytest.raises(CacheValueError, match="not str"):
        cache.get_or_set("key", lambda: wrong)
    assert cache.statistics().load_failures == 1
    assert cache.get_or_set("key", lambda: b"right") == b"right"


def test_who_does_not_want_to_wait_is_told_so(cache: BytesCache) -> None:
    loading, done = threading.Event(), threading.Event()

    def slow() -> bytes:
        loading.set()
        assert done.wait(PATIENCE)
        return b"at last"

    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(cache.get_or_set, "key", slow)
        assert loading.wait(PATIENCE)
        for timeout in (0, 0.01):
            with pytest.raises(CacheError) as told:
                cache.get_or_set("key", never, timeout=timeout)
            assert told.value.status == _status.TIMED_OUT
        done.set()
        assert caller.result() == b"at last"
    with pytest.raises(CacheValueError):
        cache.get_or_set("key", never, timeout=-1)
    with pytest.raises(CacheValueError):
        cache.get_or_set("key", never, ttl=-1)


def test_a_loader_may_use_the_cache_but_not_ask_for_its_own_key(cache: BytesCache) -> None:
    def load() -> bytes:
        inner = cache.get_or_set("inner", lambda: b"one")
        with pytest.raises(CacheError) as refused:
            cache.get_or_set("key", never)
        assert refused.value.status == _status.LOAD_REENTERED
        assert inner is not None
        return inner + b", two"

    assert cache.get_or_set("key", load) == b"one, two"


def test_what_was_set_while_it_was_loaded_stays(cache: BytesCache) -> None:
    def load() -> bytes:
        cache.set("key", b"newer")
        return b"older"

    assert cache.get_or_set("key", load) == b"older"
    assert cache.get("key") == b"newer"


def test_a_value_that_the_cache_refuses_is_returned_all_the_same() -> None:
    with BytesCache({"memory.max_value_size": 4}) as cache:
        assert cache.get_or_set("key", lambda: b"longer than four") == b"longer than four"
        assert "key" not in cache


def test_a_cache_may_be_closed_by_a_loader() -> None:
    cache = BytesCache()

    def load() -> bytes:
        cache.close()
        return b"value"

    assert cache.get_or_set("key", load) == b"value"


def test_a_lease_that_is_forgotten_is_given_up(cache: BytesCache) -> None:
    assert cache._handle is not None
    status, _, lease = backend.lease(cache._handle, b"key", 0)
    assert (status, lease is not None) == (_status.NOT_FOUND, True)
    del lease
    assert cache.get_or_set("key", lambda: b"loaded") == b"loaded"


def test_keys_are_checked_as_elsewhere(cache: BytesCache) -> None:
    wrong: Any = 7
    with pytest.raises(CacheKeyError):
        cache.get_or_set(wrong, never)
    with pytest.raises(CacheKeyError):
        cache.get_or_set("k" * (4 * 1024 * 1024), never)
