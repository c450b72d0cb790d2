"""The flat functions over ctypes: statuses, errors, and the buffer that values are read into."""

from __future__ import annotations

import re
import sys
import threading
from types import FrameType
from typing import Any, Iterator, Optional

import pytest

from catzilla_cache import _ctypes_backend as backend
from catzilla_cache import _status, library_version


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
    null = backend.Handle()
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


def test_the_read_buffer_grows_with_the_values_and_a_huge_one_is_not_kept(
    handle: backend.Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffers: list[Any] = []
    monkeypatch.setattr(backend, "_free_buffers", buffers)
    capacities: list[list[int]] = []
    for size in (10, 5_000, 400_000, 5_000_000, 10):
        value = bytes([size % 251]) * size
        backend.put(handle, b"key", value, 0)
        assert backend.read(handle, b"key") == (_status.OK, value)
        capacities.append([buffer.capacity for buffer in buffers])
    assert len(capacities) == 5
    small, grown, larger, huge, again = capacities
    assert small == [4096]
    assert len(grown) == len(larger) == len(again) == 1
    assert grown[0] >= 5_000 and larger[0] >= 400_000
    assert huge == []


def test_a_value_that_grows_between_two_attempts_is_read_whole(
    handle: backend.Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []
    really = backend._read

    def grows_after_each_attempt(*arguments: Any) -> int:
        status: int = really(*arguments)
        statuses.append(status)
        if len(statuses) < 4:
            backend.put(handle, b"key", b"x" * 10 ** (len(statuses) + 4), 0)
        return status

    backend.put(handle, b"key", b"x" * 10_000, 0)
    monkeypatch.setattr(backend, "_read", grows_after_each_attempt)
    monkeypatch.setattr(backend, "_free_buffers", [])
    assert backend.read(handle, b"key") == (_status.OK, b"x" * 10_000_000)
    assert statuses == [_status.TRUNCATED] * 4 + [_status.OK]


def test_a_read_that_interrupts_a_read_on_the_same_thread_does_not_change_its_bytes(handle: backend.Handle) -> None:
    # What a signal handler or a finaliser can do. The trace function runs before each line of a read, where they would.
    backend.put(handle, b"outer", b"o" * 3000, 0)
    backend.put(handle, b"inner", b"i" * 4000, 0)
    interruptions = 0

    def trace(frame: FrameType, event: str, argument: object) -> Optional[Any]:
        nonlocal interruptions
        if frame.f_code is not backend.read.__code__:
            return None
        if event == "line":
            interruptions += 1
            assert backend.read(handle, b"inner") == (_status.OK, b"i" * 4000)
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        result = backend.read(handle, b"outer")
    finally:
        sys.settrace(previous)
    assert interruptions >= 4
    assert result == (_status.OK, b"o" * 3000)


def test_statistics_are_asked_for_with_the_size_of_the_struct(handle: backend.Handle) -> None:
    backend.put(handle, b"key", b"value", 0)
    status, counted = backend.statistics(handle)
    assert status == _status.OK
    assert "struct_size" not in counted
    assert (counted["puts"], counted["memory_entries"], counted["memory_capacity"]) == (1, 1, 100)


def test_an_older_caller_with_a_shorter_struct_gets_what_fits(handle: backend.Handle) -> None:
    counted = backend.CStatistics(struct_size=32, puts=77)
    backend.read(handle, b"absent")
    assert backend._statistics(handle, counted) == _status.OK
    assert counted.struct_size == 32
    assert (counted.misses, counted.requests) == (1, 1)
    assert counted.puts == 77, "nothing is written beyond the size that was given"
