"""The flat functions over ctypes: statuses, errors, and the buffer that values are read into."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator, Optional

import pytest

from catzilla_cache import _ctypes_backend as backend
from catzilla_cache import _ctypes_library as c
from catzilla_cache import _ctypes_reading as reading
from catzilla_cache import _status, library_version
from catzilla_cache._ctypes_bases import BytesBase, ValuesBase
from catzilla_cache._ctypes_structs import CStatistics
from in_threads import in_threads


@pytest.fixture
def handle() -> Iterator[backend.Handle]:
    status, handle = backend.open([(b"memory.capacity", b"100")])
    assert status == _status.OK and handle is not None
    yield handle


def test_versions_are_the_headers(repository: Any) -> None:
    header = (repository / "include" / "catzilla_cache.h").read_text()
    version = re.search(r'#define CATZILLA_CACHE_VERSION "([^"]+)"', header)
    assert version and backend.version() == version[1] == library_version()
    assert backend.abi_version() == _status.ABI_VERSION


def test_statuses_have_names_also_those_nobody_knows() -> None:
    for name, number in vars(_status).items():
        if name in ("OK", "NOT_FOUND", "TRUNCATED") or (name.isupper() and number < 0):
            assert backend.status_name(number) == f"CATZILLA_{name}"
    assert backend.status_name(12345) == "CATZILLA_UNKNOWN_STATUS"


def test_put_read_contains_and_remove_answer_with_statuses(handle: backend.Handle) -> None:
    assert backend.read(handle, b"key") == (_status.NOT_FOUND, b"")
    assert backend.contains(handle, b"key") == _status.NOT_FOUND
    assert backend.remove(handle, b"key") == _status.NOT_FOUND
    assert backend.put(handle, b"key", b"value", 0) == _status.OK
    assert backend.contains(handle, b"key") == _status.OK
    assert backend.read(handle, b"key") == (_status.OK, b"value")
    assert backend.remove(handle, b"key") == _status.OK


def test_purge_removes_a_prefix_or_all_and_counts(handle: backend.Handle) -> None:
    for key in (b"user:1", b"user:2", b"page:1"):
        backend.put(handle, key, b"value", 0)
    assert backend.purge(handle, _status.PURGE_PREFIX, b"user:") == (_status.OK, 2)
    assert backend.contains(handle, b"page:1") == _status.OK
    assert backend.purge(handle, _status.PURGE_PATTERN, b"*:no such?") == (_status.OK, 0)
    assert backend.purge(handle, _status.PURGE_PATTERN, b"*" * (_status.MAX_PATTERN_LEN + 1)) == (_status.INVALID_ARGUMENT, 0)
    assert backend.purge(handle, _status.PURGE_ALL) == (_status.OK, 1)
    assert backend.contains(handle, b"page:1") == _status.NOT_FOUND


def test_an_unknown_purge_is_an_invalid_argument(handle: backend.Handle) -> None:
    status, removed = backend.purge(handle, 99)
    assert (status, removed) == (_status.INVALID_ARGUMENT, 0)
    assert backend.last_error()[0] == _status.INVALID_ARGUMENT


def test_a_handle_that_is_null_is_refused_and_not_a_crash() -> None:
    null = backend.Handle(0, asks_below=False)
    for status in (
        backend.put(null, b"key", b"value", 0),
        backend.read(null, b"key")[0],
        backend.remove(null, b"key"),
        backend.contains(null, b"key"),
        backend.purge(null, _status.PURGE_ALL)[0],
        backend.statistics(null)[0],
        backend.lease(null, b"key", 0)[0],
    ):
        assert status == _status.INVALID_ARGUMENT


def test_the_last_error_is_the_threads_own_and_success_leaves_it(handle: backend.Handle) -> None:
    status, nothing = backend.open([(b"no.such.option", b"1")])
    assert (status, nothing) == (_status.UNKNOWN_OPTION, None)
    before = backend.last_error()
    assert before[0] == _status.UNKNOWN_OPTION and "no.such.option" in before[1]
    assert backend.put(handle, b"key", b"value", 0) == _status.OK
    assert backend.read(handle, b"absent")[0] == _status.NOT_FOUND
    assert backend.last_error() == before
    seen: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: seen.append(backend.last_error()))
    thread.start()
    thread.join()
    assert seen == [(0, "")]


def test_a_value_of_any_length_is_read_whole_and_buffers_stay_as_they_are(handle: backend.Handle) -> None:
    for size in (0, 1, reading.ROOM - 1, reading.ROOM, reading.ROOM + 1, 400_000, 5_000_000, 10):
        value = bytes([size % 251]) * size
        backend.put(handle, b"key", value, 0)
        assert backend.read(handle, b"key") == (_status.OK, value)
        assert backend.read_memory(handle, b"key", True) == (_status.OK, value)
    assert {len(buffer[0]) for buffer in reading.free_buffers} == {reading.ROOM}


def test_a_value_that_grows_between_two_attempts_is_read_whole(handle: backend.Handle) -> None:
    statuses = []
    really = handle.read

    def grows_afterwards(*arguments: Any) -> int:
        status: int = really(*arguments)
        statuses.append(status)
        backend.put(handle, b"key", b"x" * 10_000_000, 0)
        return status

    backend.put(handle, b"key", b"x" * 100_000, 0)
    handle.read = grows_afterwards
    assert backend.read(handle, b"key") == (_status.OK, b"x" * 10_000_000)
    assert statuses == [_status.TRUNCATED]


def test_a_cache_in_memory_alone_keeps_the_interpreters_lock_and_others_give_it_up(tmp_path: Path) -> None:
    for options, calls in (([], c.keeping), ([(b"disk.path", str(tmp_path).encode())], c.yielding)):
        status, handle = backend.open([(b"memory.capacity", b"100"), *options])
        assert status == _status.OK and handle is not None
        assert (handle.read, handle.put, handle.remove, handle.contains) == calls


def test_from_below_memory_a_long_value_is_asked_for_once_when_the_last_was_long(tmp_path: Path) -> None:
    options = [(b"memory.max_value_size", b"0"), (b"disk.path", str(tmp_path).encode()), (b"disk.sync", b"commit")]
    status, handle = backend.open(options)
    assert status == _status.OK and handle is not None
    attempts = []
    really = handle.read
    handle.read = lambda *arguments: (attempts.append(1), really(*arguments))[1]
    backend.put(handle, b"long", b"l" * 100_000, 0)
    backend.put(handle, b"short", b"s", 0)
    for key, value, attempts_until_then in (
        (b"short", b"s", 1),
        (b"long", b"l" * 100_000, 2),
        (b"long", b"l" * 100_000, 2),
        (b"short", b"s", 2),
        (b"short", b"s", 3),
    ):
        assert backend.read(handle, key) == (_status.OK, value)
        assert len(attempts) == attempts_until_then


BETWEEN: dict[str, Callable[[backend.Handle], object]] = {
    "a read": lambda handle: backend.read(handle, b"outer")[1],
    "a read of memory": lambda handle: backend.read_memory(handle, b"outer", True)[1],
    "BytesCache.get": lambda handle: _over(BytesBase, handle).get("outer"),
    "SmartCache.get": lambda handle: _over(ValuesBase, handle).get("outer")[0],
}


def _over(base: Any, handle: backend.Handle) -> Any:
    """A cache of nothing but its base."""
    cache = type("Cache", (base,), {"_live": lambda self: handle, "_get": None, "_revive": lambda self, key, data: (data, True)})()
    cache._handle = handle
    return cache


@pytest.mark.parametrize("call", BETWEEN.values(), ids=BETWEEN.keys())
def test_a_read_that_interrupts_a_read_on_the_same_thread_does_not_change_its_bytes(
    handle: backend.Handle, call: Callable[[backend.Handle], object]
) -> None:
    # What a signal handler or a finaliser can do. The trace function runs before each instruction of the interpreter, where they would.
    backend.put(handle, b"outer", b"o" * 3000, 0)
    backend.put(handle, b"inner", b"i" * 4000, 0)
    watched = {function.__code__ for function in (backend.read, backend.read_memory, BytesBase.get, ValuesBase.get)}
    interruptions = 0
    call(handle)

    def trace(frame: FrameType, event: str, argument: object) -> Optional[Any]:
        nonlocal interruptions
        if frame.f_code not in watched:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            interruptions += 1
            assert backend.read(handle, b"inner") == (_status.OK, b"i" * 4000)
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        result = call(handle)
    finally:
        sys.settrace(previous)
    assert interruptions >= 20
    assert result == b"o" * 3000


def test_threads_that_read_at_the_same_time_get_their_own_bytes(handle: backend.Handle) -> None:
    for number in range(8):
        backend.put(handle, b"%d" % number, b"%d" % number * (1000 + number), 0)
    wrong: list[object] = []

    def reads(number: int) -> None:
        expected = (_status.OK, b"%d" % number * (1000 + number))
        for _ in range(2000):
            if backend.read(handle, b"%d" % number) != expected:
                wrong.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(8, reads)
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


def test_statistics_are_asked_for_with_the_size_of_the_struct(handle: backend.Handle) -> None:
    backend.put(handle, b"key", b"value", 0)
    status, counted = backend.statistics(handle)
    assert status == _status.OK
    assert "struct_size" not in counted
    assert (counted["puts"], counted["memory_entries"], counted["memory_capacity"]) == (1, 1, 100)


def test_an_older_caller_with_a_shorter_struct_gets_what_fits(handle: backend.Handle) -> None:
    counted = CStatistics(struct_size=32, puts=77)
    backend.read(handle, b"absent")
    assert c.cache_statistics(handle.argument, counted) == _status.OK
    assert counted.struct_size == 32
    assert (counted.misses, counted.requests) == (1, 1)
    assert counted.puts == 77, "nothing is written beyond the size that was given"
