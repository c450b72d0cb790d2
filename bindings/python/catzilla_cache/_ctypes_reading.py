"""How values come out of the library, for ctypes: copied through a buffer, copied out of the entry, or seen where they lie.

A buffer belongs to one read, so that neither another thread's read nor one that interrupts it (a signal handler's, a
finaliser's) changes its bytes. What interrupts a read for good keeps its buffer from coming back, which costs the next
read a new one.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from ctypes import byref, c_char, c_size_t, c_void_p
from typing import Any, Deque, Tuple

from catzilla_cache import _ctypes_library as c
from catzilla_cache import _status
from catzilla_cache._ctypes_handles import Handle

#: How long a value may be to go through a buffer; a longer one is copied out of the entry, which takes more calls and
#: no room. Arbitrary: most values are shorter. The other backend has the same number.
ROOM = 16 * 1024

#: The memory; as parameters, where it is and how large; and where the library tells the length, as object and as parameter.
Buffer = Tuple[Any, Any, Any, Any, Any]

#: Those that no read is using: as many as ever read at the same time.
free_buffers: Deque[Buffer] = deque()


def taken_buffer() -> Buffer:
    """A free buffer, or a new one."""
    try:
        return free_buffers.pop()
    except IndexError:
        memory, length = ctypes.create_string_buffer(ROOM), c_size_t()
        return memory, byref(memory), c.size(ROOM), length, byref(length)


def read(handle: Handle, key: bytes) -> tuple[int, bytes]:
    """The value of a key, copied; the bytes mean something only when the status is OK."""
    if not handle.is_long:
        memory, room, capacity, length, length_out = buffer = taken_buffer()
        status: int = handle.read(handle.argument, key, c.size(len(key)), room, capacity, length_out)
        value = memory[: length.value] if status == _status.OK else b""
        free_buffers.append(buffer)
        if status != _status.TRUNCATED:
            return status, value
    status, view = acquire(handle, key)
    # Memory tells at once that a value is too long. Whoever has to ask a server for that does not want to be told twice.
    handle.is_long = handle.asks_below and len(view) > ROOM
    return status, bytes(view)


def read_memory(handle: Handle, key: bytes, is_last: bool) -> tuple[int, bytes]:
    """As ``read``, but asks memory alone: waits for nothing. A miss counts only if the look-up is the last."""
    memory, room, capacity, length, length_out = buffer = taken_buffer()
    last = c.YES if is_last else c.NO
    while True:
        status: int = c.memory_read(handle.argument, key, c.size(len(key)), last, room, capacity, length_out)
        if status != _status.TRUNCATED:
            value = memory[: length.value] if status == _status.OK else b""
            free_buffers.append(buffer)
            return status, value
        # In a loop, since the value may have been replaced by a longer one since its length was told.
        memory = ctypes.create_string_buffer(length.value)
        room, capacity = byref(memory), c.size(length.value)


def acquire(handle: Handle, key: bytes) -> tuple[int, memoryview]:
    """A view of the value where it lies, which stays as it is; the status says whether there is one."""
    value = c_void_p()
    status: int = c.cache_acquire(handle.argument, key, len(key), byref(value))
    if status != _status.OK:
        return status, memoryview(b"")
    size = c.value_size(value)
    if size == 0:
        c.value_release(value)
        return status, memoryview(b"")
    # Freed with the last view, since each holds the array.
    memory = (c_char * size).from_address(c.value_data(value))
    weakref.finalize(memory, c.value_release, value).atexit = False
    return status, memoryview(memory).cast("B").toreadonly()


def copied(value: c_void_p) -> bytes:
    """The bytes of a value that the library has lent."""
    return ctypes.string_at(c.value_data(value), c.value_size(value))


def inspect(handle: Handle, key: bytes) -> tuple[int, bytes, int, int, int]:
    """As ``read``; and what is left of the value's lifetime in milliseconds, its version, and the tier that it came from."""
    value = c_void_p()
    status: int = c.cache_acquire(handle.argument, key, len(key), byref(value))
    if status != _status.OK:
        return status, b"", 0, 0, 0
    try:
        return status, copied(value), int(c.value_ttl_ms(value)), int(c.value_version(value)), int(c.value_tier(value))
    finally:
        c.value_release(value)
