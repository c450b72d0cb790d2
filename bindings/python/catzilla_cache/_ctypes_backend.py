"""The C interface as flat Python functions, over ctypes. Needs nothing but the built library.

Called by ``cache`` and ``options``. Statuses come back as numbers, text as ``str``; nothing here raises for a failed
call, checks an argument, or keeps state beyond the read buffers: behaviour is written once, above the backends.

There is no function that closes a cache. The handle that ``open`` returns destroys it when its last reference goes, and
each call under way holds one, so that a cache can be dropped by one thread while others are still inside it.
"""

from __future__ import annotations

import atexit
import ctypes
import weakref
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Callable, Optional, Sequence, Union

from catzilla_cache import _library, _status

NAME = "ctypes"

# Most values are smaller than the first; a buffer beyond the second is not kept, so that one huge value does not cost
# every thread that ever read it the same memory for good. Both are arbitrary: they change speed and memory, not results.
_FIRST_BUFFER = 4096
_LARGEST_KEPT_BUFFER = 1024 * 1024

# Both arbitrary: room for most values at the first attempt, and a bound on the memory that a batch takes for that.
_FIRST_BATCH_BUFFER = 1024
_KEYS_AT_ONCE = 1024


class CStatistics(ctypes.Structure):
    """``catzilla_statistics_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("hits", c_uint64),
        ("misses", c_uint64),
        ("requests", c_uint64),
        ("hit_ratio", c_double),
        ("puts", c_uint64),
        ("removals", c_uint64),
        ("memory_hits", c_uint64),
        ("memory_misses", c_uint64),
        ("memory_entries", c_uint64),
        ("memory_capacity", c_uint64),
        ("memory_bytes", c_uint64),
        ("memory_max_bytes", c_uint64),
        ("memory_index_bytes", c_uint64),
        ("memory_lent_bytes", c_uint64),
        ("memory_active_bytes", c_uint64),
        ("memory_evictions", c_uint64),
        ("memory_expirations", c_uint64),
        ("memory_compressed_puts", c_uint64),
        ("memory_compression_input_bytes", c_uint64),
        ("memory_compression_output_bytes", c_uint64),
        ("memory_compression_ratio", c_double),
        ("memory_pressure_shrinks", c_uint64),
        ("loads", c_uint64),
        ("load_failures", c_uint64),
        ("load_waits", c_uint64),
        ("memory_untold_departures", c_uint64),
        ("memory_read_samples", c_uint64),
        ("memory_read_p50_ns", c_uint64),
        ("memory_read_p99_ns", c_uint64),
        ("memory_read_p999_ns", c_uint64),
        ("memory_read_max_ns", c_uint64),
        ("memory_write_samples", c_uint64),
        ("memory_write_p50_ns", c_uint64),
        ("memory_write_p99_ns", c_uint64),
        ("memory_write_p999_ns", c_uint64),
        ("memory_write_max_ns", c_uint64),
        ("redis_hits", c_uint64),
        ("redis_misses", c_uint64),
        ("redis_errors", c_uint64),
        ("disk_hits", c_uint64),
        ("disk_misses", c_uint64),
        ("disk_errors", c_uint64),
    ]


class CHealth(ctypes.Structure):
    """``catzilla_health_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("is_up", c_int32),
        ("reserved", c_int32),
        ("last_error_at", c_uint64),
        ("last_error", c_char * _status.HEALTH_TEXT),
    ]


class CTierStatistics(ctypes.Structure):
    """``catzilla_tier_statistics_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("hits", c_uint64),
        ("misses", c_uint64),
        ("puts", c_uint64),
        ("removals", c_uint64),
        ("errors", c_uint64),
        ("timeouts", c_uint64),
        ("connection_errors", c_uint64),
        ("refusals", c_uint64),
        ("full_errors", c_uint64),
        ("damage_errors", c_uint64),
        ("too_large", c_uint64),
        ("unreadable", c_uint64),
        ("outdated", c_uint64),
        ("is_open", c_uint64),
        ("openings", c_uint64),
        ("entries", c_uint64),
        ("bytes", c_uint64),
        ("max_bytes", c_uint64),
        ("evictions", c_uint64),
        ("expirations", c_uint64),
        ("queued", c_uint64),
        ("queued_bytes", c_uint64),
        ("dropped_writes", c_uint64),
        ("owed", c_uint64),
        ("owed_ever", c_uint64),
        ("owed_overflows", c_uint64),
        ("demotions", c_uint64),
        ("set_aside", c_uint64),
        ("connections", c_uint64),
        ("connects", c_uint64),
        ("read_samples", c_uint64),
        ("read_p50_ns", c_uint64),
        ("read_p99_ns", c_uint64),
        ("read_p999_ns", c_uint64),
        ("read_max_ns", c_uint64),
        ("write_samples", c_uint64),
        ("write_p50_ns", c_uint64),
        ("write_p99_ns", c_uint64),
        ("write_p999_ns", c_uint64),
        ("write_max_ns", c_uint64),
    ]


class CGet(ctypes.Structure):
    """``catzilla_get_t``."""

    _fields_ = [
        ("key", c_char_p),
        ("key_len", c_size_t),
        ("buffer", c_void_p),
        ("capacity", c_size_t),
        ("value_len", c_size_t),
        ("status", c_int32),
    ]


class CPut(ctypes.Structure):
    """``catzilla_put_t``."""

    _fields_ = [
        ("key", c_char_p),
        ("key_len", c_size_t),
        ("value", c_char_p),
        ("value_len", c_size_t),
        ("ttl_ms", c_uint64),
        ("status", c_int32),
    ]


class CRemove(ctypes.Structure):
    """``catzilla_remove_t``."""

    _fields_ = [("key", c_char_p), ("key_len", c_size_t), ("status", c_int32)]


class CBytes(ctypes.Structure):
    """``catzilla_bytes_t``."""

    _fields_ = [("data", c_char_p), ("len", c_size_t)]


class CPutOptions(ctypes.Structure):
    """``catzilla_put_options_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("ttl_ms", c_uint64),
        ("expected_version", c_uint64),
        ("flags", c_uint32),
        ("tags", POINTER(CBytes)),
        ("tag_count", c_size_t),
    ]


class COptionInfo(ctypes.Structure):
    """``catzilla_option_info_t``."""

    _fields_ = [
        ("name", c_char_p),
        ("type", c_char_p),
        ("default_value", c_char_p),
        ("range", c_char_p),
        ("help", c_char_p),
        ("live", c_bool),
    ]


def _bind(name: str, result: Any, *arguments: Any) -> Any:
    try:
        function = getattr(_lib, name)
    except AttributeError:
        raise ImportError(f"catzilla_cache: {_lib._name} is not a library of this ABI: it has no function {name}") from None
    function.restype = result
    function.argtypes = arguments
    return function


_lib = _library.load()
_abi_version = _bind("catzilla_abi_version", c_uint32)
if _abi_version() != _status.ABI_VERSION:
    raise ImportError(
        f"catzilla_cache: {_lib._name} has ABI {_abi_version()}, this package is for ABI {_status.ABI_VERSION}: "
        "use the library and the package of one release"
    )

_version = _bind("catzilla_version", c_char_p)
_last_error_message = _bind("catzilla_last_error_message", c_char_p)
_last_error_code = _bind("catzilla_last_error_code", c_int32)
_status_name = _bind("catzilla_status_name", c_char_p, c_int32)
_options_create = _bind("catzilla_options_create", c_void_p)
_options_set = _bind("catzilla_options_set", c_int32, c_void_p, c_char_p, c_char_p)
_options_destroy = _bind("catzilla_options_destroy", None, c_void_p)
_option_count = _bind("catzilla_option_count", c_size_t)
_option_info = _bind("catzilla_option_info", POINTER(COptionInfo), c_size_t)
_open = _bind("catzilla_cache_open", c_int32, c_void_p, POINTER(c_void_p))
_set_option = _bind("catzilla_cache_set_option", c_int32, c_void_p, c_char_p, c_char_p)
_destroy = _bind("catzilla_cache_destroy", None, c_void_p)
_put = _bind("catzilla_cache_put", c_int32, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_uint64)
_put_with = _bind(
    "catzilla_cache_put_with",
    c_int32,
    c_void_p,
    c_char_p,
    c_size_t,
    c_char_p,
    c_size_t,
    POINTER(CPutOptions),
    POINTER(c_uint64),
)
_touch = _bind("catzilla_cache_touch", c_int32, c_void_p, c_char_p, c_size_t, c_uint64)
_increment = _bind(
    "catzilla_cache_increment", c_int32, c_void_p, c_char_p, c_size_t, c_int64, c_int64, c_uint64, POINTER(c_int64)
)
_read_memory = _bind(
    "catzilla_memory_read", c_int32, c_void_p, c_char_p, c_size_t, c_bool, c_void_p, c_size_t, POINTER(c_size_t)
)
_acquire = _bind("catzilla_cache_acquire", c_int32, c_void_p, c_char_p, c_size_t, POINTER(c_void_p))
_value_ttl_ms = _bind("catzilla_value_ttl_ms", c_uint64, c_void_p)
_value_version = _bind("catzilla_value_version", c_uint64, c_void_p)
_value_tier = _bind("catzilla_value_tier", c_int32, c_void_p)
_iterator_open = _bind("catzilla_iterator_open", c_int32, c_void_p, c_char_p, c_size_t, POINTER(c_void_p))
_iterator_next = _bind("catzilla_iterator_next", c_int32, c_void_p, POINTER(c_void_p), POINTER(c_size_t))
_iterator_close = _bind("catzilla_iterator_close", None, c_void_p)
# The one call that has to be quick: without types to convert to, ctypes takes objects that are C's already as they are, which
# saves a third of the time. The caller makes sure of every type.
_read = _bind("catzilla_cache_read", c_int32)
_read.argtypes = None
_OK = _status.OK
_PREPARED_LENGTHS = 128
_LENGTHS = [c_size_t(length) for length in range(_PREPARED_LENGTHS)]
_remove = _bind("catzilla_cache_remove", c_int32, c_void_p, c_char_p, c_size_t)
_contains = _bind("catzilla_cache_contains", c_int32, c_void_p, c_char_p, c_size_t)
_purge = _bind("catzilla_cache_purge", c_int32, c_void_p, c_int32, c_char_p, c_size_t, POINTER(c_uint64))
_get_many = _bind("catzilla_cache_get_many", c_int32, c_void_p, POINTER(CGet), c_size_t)
_put_many = _bind("catzilla_cache_put_many", c_int32, c_void_p, POINTER(CPut), c_size_t)
_remove_many = _bind("catzilla_cache_remove_many", c_int32, c_void_p, POINTER(CRemove), c_size_t)
_lease = _bind(
    "catzilla_cache_lease", c_int32, c_void_p, c_char_p, c_size_t, c_uint64, POINTER(c_void_p), POINTER(c_void_p)
)
_lease_fulfil = _bind("catzilla_lease_fulfil_with", c_int32, c_void_p, c_char_p, c_size_t, POINTER(CPutOptions))
_lease_fail = _bind("catzilla_lease_fail", c_int32, c_void_p, c_int32)
_lease_cancel = _bind("catzilla_lease_cancel", None, c_void_p)
_value_data = _bind("catzilla_value_data", c_void_p, c_void_p)
_value_size = _bind("catzilla_value_size", c_size_t, c_void_p)
_value_release = _bind("catzilla_value_release", None, c_void_p)
_sweep = _bind("catzilla_cache_sweep", c_int32, c_void_p, POINTER(c_size_t))
_statistics = _bind("catzilla_cache_statistics", c_int32, c_void_p, POINTER(CStatistics))
_flush = _bind("catzilla_cache_flush", c_int32, c_void_p, c_uint64)
_tier_contains = _bind("catzilla_tier_contains", c_int32, c_void_p, c_int32, c_char_p, c_size_t)
_tier_remove = _bind("catzilla_tier_remove", c_int32, c_void_p, c_int32, c_char_p, c_size_t)
_health = _bind("catzilla_cache_health", c_int32, c_void_p, c_int32, POINTER(CHealth))
_tier_statistics = _bind("catzilla_cache_tier_statistics", c_int32, c_void_p, c_int32, POINTER(CTierStatistics))

_Told = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
_set_listener = _bind("catzilla_cache_set_listener", c_int32, c_void_p, _Told, c_void_p)
_departed_key = _bind("catzilla_departed_key", c_void_p, c_void_p)
_departed_key_size = _bind("catzilla_departed_key_size", c_size_t, c_void_p)
_departed_value = _bind("catzilla_departed_value", c_void_p, c_void_p)
_departed_value_size = _bind("catzilla_departed_value_size", c_size_t, c_void_p)
_departed_cause = _bind("catzilla_departed_cause", c_int32, c_void_p)


class Handle(c_void_p):
    """An open cache. Destroys it when the last reference goes."""

    #: Set with the first listener, and stays: the library may call it until the cache is destroyed.
    listening: Optional[_Listening] = None

    @property
    def address(self) -> Optional[int]:
        """Where the cache is; None when it was never opened."""
        return self.value

    # Bound here, because at interpreter exit the module's globals may be gone before the last handle is.
    def __del__(self, destroy: Any = _destroy) -> None:
        # A handle that was never opened is NULL; nothing is called for it, so that the error of the open stays the last.
        if self:
            destroy(self)


class BytesBase:
    """What ``BytesCache`` inherits: here nothing is faster than what it does itself."""

    __slots__ = ()

    def _attach(self, handle: Handle, memory_only: bool) -> None:
        """The cache is open."""

    def _detach(self) -> None:
        """The cache is closed."""


class ValuesBase(BytesBase):
    """The same for caches of values of any kind."""

    __slots__ = ()


class Iterator(c_void_p):
    """A walk through keys. Ends when the last reference goes."""

    def __del__(self, close: Any = _iterator_close) -> None:
        if self:
            close(self)


class Lease(c_void_p):
    """The right to load a key. Gives it up when the last reference goes, unless it has been ended."""

    def __del__(self, cancel: Any = _lease_cancel) -> None:
        if self:
            cancel(self)

    def take(self) -> c_void_p:
        """For the call that ends it."""
        taken = c_void_p(self.value)
        self.value = None
        return taken


def library_file() -> str:
    """The name under which the library was loaded: its path, or the soname when the loader found it."""
    return str(_lib._name)


def version() -> str:
    """The library's version."""
    return _text(_version())


def abi_version() -> int:
    """The library's ABI number."""
    return int(_abi_version())


def last_error() -> tuple[int, str]:
    """Status and message of this thread's last failed call; (0, "") before the first."""
    return int(_last_error_code()), _text(_last_error_message())


def status_name(status: int) -> str:
    """The C name of a status number."""
    return _text(_status_name(status))


def option_rows() -> list[tuple[str, str, str, str, str, bool]]:
    """The library's table of options, in its order: name, type, default, range, help, whether it is live."""
    rows = []
    for index in range(_option_count()):
        row = _option_info(index).contents
        rows.append(
            (_text(row.name), _text(row.type), _text(row.default_value), _text(row.range), _text(row.help), bool(row.live))
        )
    return rows


def open(options: list[tuple[bytes, bytes]]) -> tuple[int, Optional[Handle]]:  # noqa: A001 - it is the C name
    """Opens a cache with these options, by name. The first option that is refused ends it, with its status."""
    table = _options_create()
    if not table:
        return int(_last_error_code()) or _status.OUT_OF_MEMORY, None
    try:
        for name, value in options:
            status: int = _options_set(table, name, value)
            if status != _status.OK:
                return status, None
        handle = Handle()
        status = _open(table, byref(handle))
        return status, handle if status == _status.OK else None
    finally:
        _options_destroy(table)


def put(handle: Handle, key: bytes, value: bytes, ttl_ms: int) -> int:
    """Stores a copy of the value. ``ttl_ms`` 0 is the cache's default, ``TTL_FOREVER`` never expires."""
    status: int = _put(handle, key, len(key), value, len(value), ttl_ms)
    return status


def put_with(
    handle: Handle, key: bytes, value: bytes, ttl_ms: int, flags: int, expected_version: int, tags: Sequence[bytes]
) -> tuple[int, int]:
    """Stores a value with tags, if what is there allows it. Status, and the new version if that is OK."""
    version = c_uint64()
    options, _kept = _options(ttl_ms, flags, expected_version, tags)
    status: int = _put_with(handle, key, len(key), value, len(value), byref(options), byref(version))
    return status, version.value


def touch(handle: Handle, key: bytes, ttl_ms: int) -> int:
    """OK when the key was there, and has a new lifetime."""
    status: int = _touch(handle, key, len(key), ttl_ms)
    return status


def read(handle: Handle, key: bytes) -> tuple[int, bytes]:
    """The value of a key, copied; the bytes mean something only when the status is OK."""
    # Taken out of the list while in use: other threads find others, and so does a signal handler or a finaliser that reads on this thread
    # in the middle of this function.
    try:
        buffer = _free_buffers.pop()
    except IndexError:
        buffer = _Buffer(_FIRST_BUFFER)
    try:
        while True:
            length = len(key)
            key_len = _LENGTHS[length] if length < _PREPARED_LENGTHS else c_size_t(length)
            status: int = _read(handle, key, key_len, buffer.memory, buffer.capacity_argument, buffer.length_out)
            if status == _OK:
                return status, buffer.memory[: buffer.length.value]
            if status != _status.TRUNCATED:
                return status, b""
            # In a loop, since the value may have been replaced by a longer one since its length was told.
            buffer = _Buffer(max(buffer.length.value, 2 * buffer.capacity))
    finally:
        if buffer.capacity <= _LARGEST_KEPT_BUFFER:
            _free_buffers.append(buffer)


def read_memory(handle: Handle, key: bytes, is_last: bool) -> tuple[int, bytes]:
    """As ``read``, but asks memory alone: waits for nothing. A miss counts only if the look-up is the last."""
    buffer = _Buffer(_FIRST_BUFFER)
    while True:
        status: int = _read_memory(handle, key, len(key), is_last, buffer.memory, buffer.capacity, buffer.length_out)
        if status == _OK:
            return status, buffer.memory[: buffer.length.value]
        if status != _status.TRUNCATED:
            return status, b""
        buffer = _Buffer(max(buffer.length.value, 2 * buffer.capacity))


def acquire(handle: Handle, key: bytes) -> tuple[int, memoryview]:
    """A view of the value where it lies, which stays as it is; the status says whether there is one."""
    value = c_void_p()
    status: int = _acquire(handle, key, len(key), byref(value))
    if status != _status.OK:
        return status, memoryview(b"")
    size = _value_size(value)
    if size == 0:
        _value_release(value)
        return status, memoryview(b"")
    # Freed with the last view, since each holds the array.
    memory = (c_char * size).from_address(_value_data(value))
    weakref.finalize(memory, _value_release, value).atexit = False
    return status, memoryview(memory).cast("B").toreadonly()


def inspect(handle: Handle, key: bytes) -> tuple[int, bytes, int, int, int]:
    """As ``read``; and what is left of the value's lifetime in milliseconds, its version, and the tier that it came from."""
    value = c_void_p()
    status: int = _acquire(handle, key, len(key), byref(value))
    if status != _status.OK:
        return status, b"", 0, 0, 0
    try:
        data = ctypes.string_at(_value_data(value), _value_size(value))
        return status, data, int(_value_ttl_ms(value)), int(_value_version(value)), int(_value_tier(value))
    finally:
        _value_release(value)


def increment(handle: Handle, key: bytes, delta: int, initial: int, ttl_ms: int) -> tuple[int, int]:
    """Adds to the number that a key has in decimal digits; one that is absent becomes ``initial``. Status, and the sum."""
    result = c_int64()
    status: int = _increment(handle, key, len(key), delta, initial, ttl_ms, byref(result))
    return status, result.value


def keys(handle: Handle, prefix: bytes) -> tuple[int, Optional[Iterator]]:
    """Status, and a walk through the keys in memory that begin with the prefix."""
    iterator = Iterator()
    status: int = _iterator_open(handle, prefix, len(prefix), byref(iterator))
    return status, iterator if status == _status.OK else None


def next_key(iterator: Iterator) -> tuple[int, bytes]:
    """The next key of a walk; NOT_FOUND at its end."""
    key, length = c_void_p(), c_size_t()
    status: int = _iterator_next(iterator, byref(key), byref(length))
    return status, ctypes.string_at(key, length.value) if status == _status.OK else b""


def _options(ttl_ms: int, flags: int, expected_version: int, tags: Sequence[bytes]) -> tuple[CPutOptions, object]:
    """What a put wants, and the memory that it points to."""
    array = (CBytes * len(tags))(*[CBytes(tag, len(tag)) for tag in tags])
    options = CPutOptions(ctypes.sizeof(CPutOptions), ttl_ms, expected_version, flags, array, len(tags))
    return options, array


def set_option(handle: Handle, name: bytes, value: bytes) -> int:
    """OK when the option of the open cache has changed."""
    status: int = _set_option(handle, name, value)
    return status


def remove(handle: Handle, key: bytes) -> int:
    """OK when the key was there, NOT_FOUND when not."""
    status: int = _remove(handle, key, len(key))
    return status


def contains(handle: Handle, key: bytes) -> int:
    """OK when the key is there, NOT_FOUND when not. Counts neither as a request nor as a use."""
    status: int = _contains(handle, key, len(key))
    return status


def purge(handle: Handle, what: int, selector: bytes = b"") -> tuple[int, int]:
    """Removes all entries, those whose key begins with the selector, or those with the tag. Status, and how many were removed."""
    removed = c_uint64()
    status: int = _purge(handle, what, selector, len(selector), byref(removed))
    return status, removed.value


def get_many(handle: Handle, keys: list[bytes]) -> tuple[int, list[tuple[int, bytes]]]:
    """Status of the call, and for each key its own status and value; the bytes mean something only when that is OK."""
    answers: list[tuple[int, bytes]] = [(_status.OK, b"")] * len(keys)
    first_failure = _status.OK
    # Which keys are left to ask for, and how long their values are as far as is known.
    left = [(at, _FIRST_BATCH_BUFFER) for at in range(len(keys))]
    while left:
        asked, left = left, []
        for begin in range(0, len(asked), _KEYS_AT_ONCE):
            chunk = asked[begin : begin + _KEYS_AT_ONCE]
            memory = ctypes.create_string_buffer(sum(capacity for _, capacity in chunk))
            items = (CGet * len(chunk))()
            place = ctypes.addressof(memory)
            for item, (at, capacity) in zip(items, chunk):
                item.key, item.key_len, item.buffer, item.capacity = keys[at], len(keys[at]), place, capacity
                place += capacity
            status: int = _get_many(handle, items, len(chunk))
            first_failure = first_failure or status
            view, place = memoryview(memory), 0
            for item, (at, capacity) in zip(items, chunk):
                if item.status == _status.TRUNCATED:
                    left.append((at, max(item.value_len, 2 * capacity)))
                else:
                    length = item.value_len if item.status == _status.OK else 0
                    answers[at] = (item.status, view[place : place + length].tobytes())
                place += capacity
    return first_failure, answers


def put_many(handle: Handle, values: list[tuple[bytes, bytes]], ttl_ms: int) -> tuple[int, list[int]]:
    """Stores copies of values under their keys. Status of the call, which is the first failure's, and of each item."""
    items = (CPut * len(values))()
    for item, (key, value) in zip(items, values):
        item.key, item.key_len, item.value, item.value_len, item.ttl_ms = key, len(key), value, len(value), ttl_ms
    status: int = _put_many(handle, items, len(values))
    return status, [item.status for item in items]


def remove_many(handle: Handle, keys: list[bytes]) -> tuple[int, list[int]]:
    """Removes keys. Status of the call, which is the first failure's, and of each key."""
    items = (CRemove * len(keys))()
    for item, key in zip(items, keys):
        item.key, item.key_len = key, len(key)
    status: int = _remove_many(handle, items, len(keys))
    return status, [item.status for item in items]


def lease(handle: Handle, key: bytes, timeout_ms: int) -> tuple[int, bytes, Optional[Lease]]:
    """The value of a key, if the status is OK; the right to load it, if that is what there is. Waits for whoever loads it."""
    value, lease = c_void_p(), Lease()
    status: int = _lease(handle, key, len(key), timeout_ms, byref(value), byref(lease))
    if status != _status.OK:
        return status, b"", lease if lease else None
    try:
        return status, ctypes.string_at(_value_data(value), _value_size(value)), None
    finally:
        _value_release(value)


def lease_fulfil(lease: Lease, value: bytes, ttl_ms: int, tags: Sequence[bytes] = (), flags: int = 0) -> int:
    """Ends a lease with the value. ``ttl_ms``: as in ``put``."""
    options, _kept = _options(ttl_ms, flags, 0, tags)
    status: int = _lease_fulfil(lease.take(), value, len(value), byref(options))
    return status


def lease_fail(lease: Lease, failure: int) -> int:
    """Ends a lease without a value, and says why: NOT_FOUND, or a failure."""
    status: int = _lease_fail(lease.take(), failure)
    return status


def lease_cancel(lease: Lease) -> None:
    """Gives a lease up: the next who waits gets one."""
    _lease_cancel(lease.take())


def sweep(handle: Handle) -> tuple[int, int]:
    """Frees what has expired. Status, and how many entries those were."""
    swept = c_size_t()
    status: int = _sweep(handle, byref(swept))
    return status, swept.value


def statistics(handle: Handle) -> tuple[int, dict[str, Union[int, float]]]:
    """Status, and the counters by their C names. What an older library does not fill stays 0."""
    counted = CStatistics(struct_size=ctypes.sizeof(CStatistics))
    status: int = _statistics(handle, byref(counted))
    return status, {field[0]: getattr(counted, field[0]) for field in CStatistics._fields_[1:]}


def flush(handle: Handle, timeout_ms: int) -> int:
    """OK when everything that was put before is in the tiers below memory."""
    status: int = _flush(handle, timeout_ms)
    return status


def tier_contains(handle: Handle, tier: int, key: bytes) -> int:
    """OK when that tier has the key, NOT_FOUND when not."""
    status: int = _tier_contains(handle, tier, key, len(key))
    return status


def tier_remove(handle: Handle, tier: int, key: bytes) -> int:
    """OK when that tier had the key; the others keep what they have."""
    status: int = _tier_remove(handle, tier, key, len(key))
    return status


def health(handle: Handle, tier: int) -> tuple[int, bool, str, int]:
    """Status, whether the tier is up, its last error in words, and when that was, in microseconds since the Unix epoch."""
    told = CHealth(struct_size=ctypes.sizeof(CHealth))
    status: int = _health(handle, tier, byref(told))
    return status, bool(told.is_up), _text(told.last_error), told.last_error_at


def tier_statistics(handle: Handle, tier: int) -> tuple[int, dict[str, int]]:
    """Status, and the counters of the tier by their C names. What an older library does not fill stays 0."""
    counted = CTierStatistics(struct_size=ctypes.sizeof(CTierStatistics))
    status: int = _tier_statistics(handle, tier, byref(counted))
    return status, {field[0]: getattr(counted, field[0]) for field in CTierStatistics._fields_[1:]}


def set_listener(handle: Handle, listener: Optional[Callable[[bytes, bytes, int], object]]) -> int:
    """Has a function told key, value and cause of every entry that leaves; None: nobody.

    Waits for calls of the former one that are under way, unless it is called by it.
    """
    listening = handle.listening
    if listening is None:
        if listener is None:
            return _status.OK
        listening = handle.listening = _Listening()
    listening.listener = listener
    _with_listener[id(handle)] = handle
    status: int = _set_listener(handle, _NOBODY if listener is None else listening.told, None)
    return status


_NOBODY = _Told()


class _Listening:
    """What the library calls for a cache. Does not keep the cache."""

    def __init__(self) -> None:
        self.listener: Optional[Callable[[bytes, bytes, int], object]] = None
        # What it raises goes to sys.unraisablehook.
        self.told = _Told(self._call)

    def _call(self, _user: Optional[int], departed: Optional[int]) -> None:
        listener = self.listener
        if listener is None:
            return
        value = _departed_value(departed)
        if value is None:
            raise MemoryError("no memory for the plain form of a compressed value")
        key = ctypes.string_at(_departed_key(departed), _departed_key_size(departed))
        listener(key, ctypes.string_at(value, _departed_value_size(departed)), _departed_cause(departed))


_with_listener: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()


@atexit.register
def _nobody_listens_any_more() -> None:
    # A cache's own thread must not call into an interpreter that is going.
    for handle in list(_with_listener.values()):
        set_listener(handle, None)


def _text(value: Optional[bytes]) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


class _Buffer:
    """Memory that the library copies a value into, and the place where it tells the length."""

    __slots__ = ("capacity", "capacity_argument", "length", "length_out", "memory")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.capacity_argument = c_size_t(capacity)
        self.memory: Any = ctypes.create_string_buffer(capacity)
        self.length = c_size_t()
        self.length_out = byref(self.length)


#: That no read is using: as many as ever read at the same time.
_free_buffers: list[_Buffer] = []
