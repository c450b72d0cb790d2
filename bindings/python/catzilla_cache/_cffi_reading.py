"""How values come out of the library, for cffi: copied through a buffer, copied out of the entry, or seen where they lie.

As in ``_ctypes_reading``. A hit in memory does not come by here: the builtins of ``native`` make its value out of the entry.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Tuple

from catzilla_cache import _status
from catzilla_cache._cffi_handles import Handle
from catzilla_cache._cffi_module import ffi, lib, native

# The same in _ctypes_reading, which says why.
ROOM = 16 * 1024
Buffer = Tuple[Any, Any]
free_buffers: Deque[Buffer] = deque()


def _taken_buffer() -> Buffer:
    try:
        return free_buffers.pop()
    except IndexError:
        return ffi.new("char[]", ROOM), ffi.new("size_t *")


def read(handle: Handle, key: bytes) -> tuple[int, bytes]:
    """The value of a key, copied; the bytes mean something only when the status is OK."""
    if not handle.is_long:
        memory, length = buffer = _taken_buffer()
        status: int = lib.catzilla_cache_read(handle.cache, key, len(key), memory, ROOM, length)
        value = ffi.buffer(memory, length[0])[:] if status == _status.OK else b""
        free_buffers.append(buffer)
        if status != _status.TRUNCATED:
            return status, value
    status, view = acquire(handle, key)
    handle.is_long = len(view) > ROOM
    return status, bytes(view)


def read_memory(handle: Handle, key: bytes, is_last: bool) -> tuple[int, bytes]:
    """As ``read``, but asks memory alone: waits for nothing. A miss counts only if the look-up is the last."""
    status, value = native.read_memory(handle.address, key, is_last)
    return status, value


def acquire(handle: Handle, key: bytes) -> tuple[int, memoryview]:
    """A view of the value where it lies, which stays as it is; the status says whether there is one."""
    out = ffi.new("catzilla_value_t **")
    status: int = lib.catzilla_cache_acquire(handle.cache, key, len(key), out)
    if status != _status.OK:
        return status, memoryview(b"")
    size = lib.catzilla_value_size(out[0])
    if size == 0:
        lib.catzilla_value_release(out[0])
        return status, memoryview(b"")
    # Freed with the last view, since each holds the buffer, and that the pointer.
    data = ffi.cast("char *", lib.catzilla_value_data(out[0]))
    value = out[0]
    release = lib.catzilla_value_release
    pinned = ffi.gc(data, lambda _data: release(value), size)
    return status, memoryview(ffi.buffer(pinned, size)).toreadonly()


def copied(value: Any) -> bytes:
    """The bytes of a value that the library has lent."""
    data: bytes = ffi.buffer(ffi.cast("char *", lib.catzilla_value_data(value)), lib.catzilla_value_size(value))[:]
    return data


def inspect(handle: Handle, key: bytes) -> tuple[int, bytes, int, int, int]:
    """As ``read``; and what is left of the value's lifetime in milliseconds, its version, and the tier that it came from."""
    out = ffi.new("catzilla_value_t **")
    status: int = lib.catzilla_cache_acquire(handle.cache, key, len(key), out)
    if status != _status.OK:
        return status, b"", 0, 0, 0
    value = out[0]
    try:
        data = copied(value)
        left_ms, version = lib.catzilla_value_ttl_ms(value), lib.catzilla_value_version(value)
        return status, data, left_ms, version, lib.catzilla_value_tier(value)
    finally:
        lib.catzilla_value_release(value)
