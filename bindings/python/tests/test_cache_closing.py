"""The end of a cache: explicit, by context manager, by garbage collection, while other threads are in it."""

from __future__ import annotations

import gc
import threading
from typing import Any, Callable

import pytest

from catzilla_cache import BytesCache, CacheError
from catzilla_cache._backend import backend
from interpreter import run

CALLS: dict[str, Callable[[BytesCache], Any]] = {
    "get": lambda cache: cache.get("key"),
    "set": lambda cache: cache.set("key", b"value"),
    "get_or_set": lambda cache: cache.get_or_set("key", lambda: b"value"),
    "delete": lambda cache: cache.delete("key"),
    "in": lambda cache: "key" in cache,
    "[]": lambda cache: cache["key"],
    "[]=": lambda cache: cache.__setitem__("key", b"value"),
    "del": lambda cache: cache.__delitem__("key"),
    "len": len,
    "clear": lambda cache: cache.clear(),
    "statistics": lambda cache: cache.statistics(),
    "with": lambda cache: cache.__enter__(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_closed_cache_says_so(call: Callable[[BytesCache], Any]) -> None:
    cache = BytesCache()
    cache.close()
    with pytest.raises(CacheError, match="the cache is closed"):
        call(cache)


def test_closing_twice_is_fine_and_can_be_asked() -> None:
    cache = BytesCache()
    assert not cache.closed
    cache.close()
    cache.close()
    assert cache.closed
    assert repr(cache) == "<BytesCache, closed>"


def test_the_context_manager_closes_also_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="from inside"):
        with BytesCache() as cache:
            assert repr(cache) == "<BytesCache with 0 entries>"
            raise RuntimeError("from inside")
    assert cache.closed


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The handles that have been destroyed, in order."""
    handles: list[int] = []
    really = backend.Handle.__del__

    def watched(handle: backend.Handle) -> None:
        if handle.address is not None:
            handles.append(handle.address)
        really(handle)

    monkeypatch.setattr(backend.Handle, "__del__", watched)
    return handles


def test_close_destroys_at_once_when_nobody_is_inside(destroyed: list[int]) -> None:
    cache = BytesCache()
    assert cache._handle is not None
    address = cache._handle.address
    cache.close()
    assert destroyed == [address]
    cache.close()
    del cache
    gc.collect()
    assert destroyed == [address], "once, and once only"


def test_a_cache_that_nobody_holds_is_destroyed(destroyed: list[int]) -> None:
    cache = BytesCache()
    cache.set("key", b"value")
    del cache
    gc.collect()
    assert len(destroyed) == 1


def test_an_error_that_is_kept_does_not_keep_the_cache_open(destroyed: list[int]) -> None:
    cache = BytesCache({"memory.max_value_size": 10})
    kept = []
    for call in (lambda: cache.set("key", b"far too long a value"), lambda: cache["absent"]):
        with pytest.raises((CacheError, KeyError)) as caught:
            call()
        kept.append(caught.value)
    cache.close()
    assert len(kept) == 2 and len(destroyed) == 1


def test_a_failed_open_destroys_nothing_and_keeps_its_error(destroyed: list[int]) -> None:
    with pytest.raises(CacheError, match="no.such.option"):
        BytesCache({"no.such.option": 1})
    gc.collect()
    assert destroyed == []


def test_closing_while_other_threads_are_inside_destroys_once_and_crashes_nothing(destroyed: list[int]) -> None:
    rounds = 100
    for _ in range(rounds):
        cache = BytesCache({"memory.capacity": 100})
        started = threading.Barrier(5)
        outcomes: list[str] = []

        def use(cache: BytesCache, number: int) -> None:
            started.wait()
            try:
                while True:
                    cache.set(f"key {number}", b"value" * 100)
                    cache.get(f"key {number}")
                    cache.statistics()
            except CacheError as error:
                outcomes.append(str(error))

        threads = [threading.Thread(target=use, args=(cache, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        cache.close()
        for thread in threads:
            thread.join()
        assert outcomes == ["the cache is closed"] * 4
    assert len(destroyed) == rounds


def test_an_interpreter_ends_well_with_caches_open_and_daemon_threads_in_them() -> None:
    done = run(
        """
        import threading
        from catzilla_cache import BytesCache

        cache = BytesCache({"memory.capacity": 100})
        started = threading.Barrier(5)

        def use(number):
            started.wait()
            while True:
                cache.set(f"key {number}", b"value" * 100)
                cache.get(f"key {number}")

        for number in range(4):
            threading.Thread(target=use, args=(number,), daemon=True).start()
        started.wait()
        print("done")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
