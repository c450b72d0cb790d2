"""What a listener is told of entries that leave."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest

from catzilla_cache import BytesCache, CacheError

def listen(cache: BytesCache) -> list[tuple[bytes, bytes, str]]:
    told: list[tuple[bytes, bytes, str]] = []
    cache.set_listener(lambda key, value, cause: told.append((key, value, cause)))
    return told


def test_every_way_out_is_told_with_its_cause() -> None:
    with BytesCache({"memory.capacity": 2, "memory.policy": "fifo"}) as cache:
        told = listen(cache)
        cache.set("a", b"1")
        cache.set("b", b"2")
        assert told == []
        cache.set("c", b"3")
        cache.set("c", b"4")
        del cache["c"]
        cache.clear()
        cache.set("d", b"x" * 100_000, ttl=0.001)
        deadline = time.monotonic() + 60
        while len(told) < 5 and time.monotonic() < deadline:
            cache.sweep()
        assert told == [
            (b"a", b"1", "evicted"),
            (b"c", b"3", "replaced"),
            (b"c", b"4", "removed"),
            (b"b", b"2", "purged"),
            (b"d", b"x" * 100_000, "expired"),
        ]
        cache.set_listener(None)
        cache.set("e", b"")
        cache.clear()
        assert len(told) == 5


def test_the_listener_may_use_the_cache_and_take_itself_off(cache: BytesCache) -> None:
    calls = []

    def again(key: bytes, value: bytes, cause: str) -> None:
        calls.append(cause)
        cache.set(key, value)
        if len(calls) == 10:
            cache.set_listener(None)
        assert cache.delete(key)

    cache.set_listener(again)
    cache.set("key", b"value")
    cache.delete("key")
    assert calls == ["removed"] * 10


def test_what_it_raises_is_told_to_the_interpreter_and_the_call_goes_on(
    cache: BytesCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)

    def fail(key: bytes, value: bytes, cause: str) -> None:
        raise ValueError("from a listener")

    cache.set_listener(fail)
    cache.set("key", b"value")
    assert cache.delete("key") is True
    assert [str(error.exc_value) for error in raised] == ["from a listener"]


def test_a_listener_goes_with_its_cache_and_closing_tells_nothing() -> None:
    cache = BytesCache()
    told = listen(cache)

    class Owned:
        def __call__(self, key: bytes, value: bytes, cause: str) -> None: ...

    other = BytesCache()
    owned = Owned()
    gone = weakref.ref(owned)
    other.set_listener(owned)
    del owned
    for each in (cache, other):
        each.set("key", b"value")
        each.close()
    gc.collect()
    assert told == []
    assert gone() is None
    with pytest.raises(CacheError):
        cache.set_listener(None)


def test_threads_are_told_of_all_they_make_leave() -> None:
    told = []
    with BytesCache({"memory.capacity": 10}) as cache:
        cache.set_listener(lambda key, value, cause: told.append(value))

        def work(thread: int) -> None:
            for number in range(2000):
                cache.set(str(number % 50), b"%d-%d" % (thread, number))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cache.clear()
    assert len(told) == len(set(told)) == 4 * 2000


def test_a_program_may_end_while_its_cache_tells() -> None:
    program = (
        "from catzilla_cache import BytesCache\n"
        "cache = BytesCache({'memory.sweep_interval': '1ms', 'memory.capacity': 'unlimited'})\n"
        "cache.set_listener(lambda key, value, cause: sum(range(1000)))\n"
        "for number in range(20_000): cache.set(str(number), b'', ttl=0.05)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_latencies_are_ordered_and_sampled(cache: BytesCache) -> None:
    for number in range(20_000):
        cache.set(str(number % 100), b"value")
        cache.get("1")
    counted = cache.statistics()
    assert counted.memory_write_samples > 0 and counted.memory_read_samples > 0
    assert counted.memory_untold_departures == 0
    for kind in ("read", "write"):
        times = [getattr(counted, f"memory_{kind}_{name}_ns") for name in ("p50", "p99", "p999", "max")]
        assert times == sorted(times) and times[-1] > 0
