"""The C interface as flat Python functions, over the compiled module. The same functions as ``_ctypes_backend``, only faster.

Every call of ``lib`` gives the interpreter's lock up while it runs. The calls that have to be faster than that are builtins of
``native``, which keep it: they ask memory alone (see ``native/engine.c``).
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import sys
import threading
import weakref
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any, Callable, Optional, Sequence, Union

from catzilla_cache import _status

NAME = "cffi"

_catzilla_cffi: Any = importlib.import_module("catzilla_cache._catzilla_cffi")

ffi: Any = _catzilla_cffi.ffi
lib: Any = _catzilla_cffi.lib

if lib.catzilla_abi_version() != _status.ABI_VERSION:
    raise ImportError(
        f"catzilla_cache: the library has ABI {lib.catzilla_abi_version()}, this package is for ABI {_status.ABI_VERSION}: "
        "use the library and the package of one release"
    )


def _load_native() -> ModuleType:
    # The builtins are in the file of the cffi module, under an init function of their own.
    name = "catzilla_cache._native"
    loader = ExtensionFileLoader(name, _catzilla_cffi.__file__)
    spec = importlib.util.spec_from_file_location(name, _catzilla_cffi.__file__, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


native: Any = _load_native()
BytesBase: Any = native.BytesBase
ValuesBase: Any = native.ValuesBase

# As in _ctypes_backend, and as arbitrary.
_FIRST_BUFFER = 4096
_LARGEST_KEPT_BUFFER = 1024 * 1024
_FIRST_BATCH_BUFFER = 1024
_KEYS_AT_ONCE = 1024


class Handle:
    """An open cache. Destroys it when the last reference goes."""

    __slots__ = ("address", "cache", "listening", "__weakref__")

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        #: For ``native``, which works on the cache itself.
        self.address = int(ffi.cast("uintptr_t", cache))
        #: Set with the first listener, and stays: the library may call it until the cache is destroyed.
        self.listening: Any = None

    # Bound here, because at interpreter exit the module's globals may be gone before the last handle is.
    def __del__(self, destroy: Any = lib.catzilla_cache_destroy) -> None:
        destroy(self.cache)


class Iterator:
    """A walk through keys. Ends when the last reference goes."""

    __slots__ = ("walk",)

    def __init__(self, walk: Any) -> None:
        self.walk = walk

    def __del__(self, close: Any = lib.catzilla_iterator_close) -> None:
        close(self.walk)


class Lease:
    """The right to load a key. Gives it up when the last reference goes, unless it has been ended."""

    __slots__ = ("lease",)

    def __init__(self, lease: Any) -> None:
        self.lease = lease

    def __del__(self, cancel: Any = lib.catzilla_lease_cancel) -> None:
        if self.lease is not None:
            cancel(self.lease)

    def take(self) -> Any:
        """For the call that ends it."""
        taken, self.lease = self.lease, ffi.NULL
        return taken


def library_file() -> str:
    """The file of the library that this process has loaded."""
    return str(native.library_file())


def version() -> str:
    """The library's version."""
    return _text(lib.catzilla_version())


def abi_version() -> int:
    """The library's ABI number."""
    return int(lib.catzilla_abi_version())


def last_error() -> tuple[int, str]:
    """Status and message of this thread's last failed call; (0, "") before the first."""
    return int(lib.catzilla_last_error_code()), _text(lib.catzilla_last_error_message())


def status_name(status: int) -> str:
    """The C name of a status number."""
    return _text(lib.catzilla_status_name(status))


def option_rows() -> list[tuple[str, str, str, str, str, bool]]:
    """The library's table of options, in its order: name, type, default, range, help, whether it is live."""
    rows = []
    for index in range(lib.catzilla_option_count()):
        row = lib.catzilla_option_info(index)
        texts = (row.name, row.type, row.default_value, row.range, row.help)
        name, kind, default, allowed, told = map(_text, texts)
        rows.append((name, kind, default, allowed, told, bool(row.live)))
    return rows


def open(options: list[tuple[bytes, bytes]]) -> tuple[int, Optional[Handle]]:  # noqa: A001 - it is the C name
    """Opens a cache with these options, by name. The first option that is refused ends it, with its status."""
    table = lib.catzilla_options_create()
    if not table:
        return int(lib.catzilla_last_error_code()) or _status.OUT_OF_MEMORY, None
    try:
        for name, value in options:
            status: int = lib.catzilla_options_set(table, name, value)
            if status != _status.OK:
                return status, None
        out = ffi.new("catzilla_cache_t **")
        status = lib.catzilla_cache_open(table, out)
        return status, Handle(out[0]) if status == _status.OK else None
    finally:
        lib.catzilla_options_destroy(table)


def put(handle: Handle, key: bytes, value: bytes, ttl_ms: int) -> int:
    """Stores a copy of the value. ``ttl_ms`` 0 is the cache's default, ``TTL_FOREVER`` never expires."""
    status: int = lib.catzilla_cache_put(handle.cache, key, len(key), value, len(value), ttl_ms)
    return status


def put_with(
    handle: Handle, key: bytes, value: bytes, ttl_ms: int, flags: int, expected_version: int, tags: Sequence[bytes]
) -> tuple[int, int]:
    """Stores a value with tags, if what is there allows it. Status, and the new version if that is OK."""
    version = ffi.new("uint64_t *")
    options, _kept = _options(ttl_ms, flags, expected_version, tags)
    status: int = lib.catzilla_cache_put_with(handle.cache, key, len(key), value, len(value), options, version)
    return status, int(version[0])


def touch(handle: Handle, key: bytes, ttl_ms: int) -> int:
    """OK when the key was there, and has a new lifetime."""
    status: int = lib.catzilla_cache_touch(handle.cache, key, len(key), ttl_ms)
    return status


def read(handle: Handle, key: bytes) -> tuple[int, bytes]:
    """The value of a key, copied; the bytes mean something only when the status is OK."""
    # Taken out of the list while in use: see _ctypes_backend.
    try:
        buffer = _free.buffers.pop()
    except IndexError:
        buffer = _Buffer(_FIRST_BUFFER)
    try:
        while True:
            status: int = lib.catzilla_cache_read(handle.cache, key, len(key), buffer.memory, buffer.capacity, buffer.length)
            if status == _status.OK:
                return status, ffi.buffer(buffer.memory, buffer.length[0])[:]
            if status != _status.TRUNCATED:
                return status, b""
            # In a loop, since the value may have been replaced by a longer one since its length was told.
            buffer = _Buffer(max(buffer.length[0], 2 * buffer.capacity))
    finally:
        if buffer.capacity <= _LARGEST_KEPT_BUFFER:
            _free.buffers.append(buffer)


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


def inspect(handle: Handle, key: bytes) -> tuple[int, bytes, int, int, int]:
    """As ``read``; and what is left of the value's lifetime in milliseconds, its version, and the tier that it came from."""
    out = ffi.new("catzilla_value_t **")
    status: int = lib.catzilla_cache_acquire(handle.cache, key, len(key), out)
    if status != _status.OK:
        return status, b"", 0, 0, 0
    value = out[0]
    try:
        data = ffi.buffer(ffi.cast("char *", lib.catzilla_value_data(value)), lib.catzilla_value_size(value))[:]
        left_ms, version = lib.catzilla_value_ttl_ms(value), lib.catzilla_value_version(value)
        return status, data, left_ms, version, lib.catzilla_value_tier(value)
    finally:
        lib.catzilla_value_release(value)


def increment(handle: Handle, key: bytes, delta: int, initial: int, ttl_ms: int) -> tuple[int, int]:
    """Adds to the number that a key has in decimal digits; one that is absent becomes ``initial``. Status, and the sum."""
    result = ffi.new("int64_t *")
    status: int = lib.catzilla_cache_increment(handle.cache, key, len(key), delta, initial, ttl_ms, result)
    return status, int(result[0])


def keys(handle: Handle, prefix: bytes) -> tuple[int, Optional[Iterator]]:
    """Status, and a walk through the keys in memory that begin with the prefix."""
    out = ffi.new("catzilla_iterator_t **")
    status: int = lib.catzilla_iterator_open(handle.cache, prefix, len(prefix), out)
    return status, Iterator(out[0]) if status == _status.OK else None


def next_key(iterator: Iterator) -> tuple[int, bytes]:
    """The next key of a walk; NOT_FOUND at its end."""
    key, length = ffi.new("void **"), ffi.new("size_t *")
    status: int = lib.catzilla_iterator_next(iterator.walk, key, length)
    return status, ffi.buffer(key[0], length[0])[:] if status == _status.OK else b""


def set_option(handle: Handle, name: bytes, value: bytes) -> int:
    """OK when the option of the open cache has changed."""
    status: int = lib.catzilla_cache_set_option(handle.cache, name, value)
    return status


def remove(handle: Handle, key: bytes) -> int:
    """OK when the key was there, NOT_FOUND when not."""
    status: int = lib.catzilla_cache_remove(handle.cache, key, len(key))
    return status


def contains(handle: Handle, key: bytes) -> int:
    """OK when the key is there, NOT_FOUND when not. Counts neither as a request nor as a use."""
    status: int = lib.catzilla_cache_contains(handle.cache, key, len(key))
    return status


def purge(handle: Handle, what: int, selector: bytes = b"") -> tuple[int, int]:
    """Removes all entries, those whose key begins with the selector, or those with the tag. Status, and how many were removed."""
    removed = ffi.new("uint64_t *")
    status: int = lib.catzilla_cache_purge(handle.cache, what, selector, len(selector), removed)
    return status, int(removed[0])


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
            memory = ffi.new("char[]", sum(capacity for _, capacity in chunk))
            view = ffi.buffer(memory)
            items = ffi.new("catzilla_get_t[]", len(chunk))
            kept, places = [], []
            place = 0
            for index, (at, capacity) in enumerate(chunk):
                item, key = items[index], ffi.from_buffer(keys[at])
                kept.append(key)
                places.append(place)
                item.key, item.key_len, item.buffer, item.capacity = key, len(keys[at]), memory + place, capacity
                place += capacity
            status: int = lib.catzilla_cache_get_many(handle.cache, items, len(chunk))
            first_failure = first_failure or status
            for index, (at, capacity) in enumerate(chunk):
                item, place = items[index], places[index]
                if item.status == _status.TRUNCATED:
                    left.append((at, max(item.value_len, 2 * capacity)))
                else:
                    length = item.value_len if item.status == _status.OK else 0
                    answers[at] = (item.status, view[place : place + length])
    return first_failure, answers


def put_many(handle: Handle, values: list[tuple[bytes, bytes]], ttl_ms: int) -> tuple[int, list[int]]:
    """Stores copies of values under their keys. Status of the call, which is the first failure's, and of each item."""
    items = ffi.new("catzilla_put_t[]", len(values))
    kept = []
    for index, (key, value) in enumerate(values):
        item, key_data, value_data = items[index], ffi.from_buffer(key), ffi.from_buffer(value)
        kept.append((key_data, value_data))
        item.key, item.key_len, item.value, item.value_len, item.ttl_ms = key_data, len(key), value_data, len(value), ttl_ms
    status: int = lib.catzilla_cache_put_many(handle.cache, items, len(values))
    return status, [items[index].status for index in range(len(values))]


def remove_many(handle: Handle, keys: list[bytes]) -> tuple[int, list[int]]:
    """Removes keys. Status of the call, which is the first failure's, and of each key."""
    items = ffi.new("catzilla_remove_t[]", len(keys))
    kept = []
    for index, key in enumerate(keys):
        item, data = items[index], ffi.from_buffer(key)
        kept.append(data)
        item.key, item.key_len = data, len(key)
    status: int = lib.catzilla_cache_remove_many(handle.cache, items, len(keys))
    return status, [items[index].status for index in range(len(keys))]


def lease(handle: Handle, key: bytes, timeout_ms: int) -> tuple[int, bytes, Optional[Lease]]:
    """The value of a key, if the status is OK; the right to load it, if that is what there is. Waits for whoever loads it."""
    value, lease = ffi.new("catzilla_value_t **"), ffi.new("catzilla_lease_t **")
    status: int = lib.catzilla_cache_lease(handle.cache, key, len(key), timeout_ms, value, lease)
    if status != _status.OK:
        return status, b"", Lease(lease[0]) if lease[0] else None
    try:
        size = lib.catzilla_value_size(value[0])
        return status, ffi.buffer(ffi.cast("char *", lib.catzilla_value_data(value[0])), size)[:], None
    finally:
        lib.catzilla_value_release(value[0])


def lease_fulfil(lease: Lease, value: bytes, ttl_ms: int, tags: Sequence[bytes] = (), flags: int = 0) -> int:
    """Ends a lease with the value. ``ttl_ms``: as in ``put``."""
    options, _kept = _options(ttl_ms, flags, 0, tags)
    status: int = lib.catzilla_lease_fulfil_with(lease.take(), value, len(value), options)
    return status


def lease_fail(lease: Lease, failure: int) -> int:
    """Ends a lease without a value, and says why: NOT_FOUND, or a failure."""
    status: int = lib.catzilla_lease_fail(lease.take(), failure)
    return status


def lease_cancel(lease: Lease) -> None:
    """Gives a lease up: the next who waits gets one."""
    lib.catzilla_lease_cancel(lease.take())


def sweep(handle: Handle) -> tuple[int, int]:
    """Frees what has expired. Status, and how many entries those were."""
    swept = ffi.new("size_t *")
    status: int = lib.catzilla_cache_sweep(handle.cache, swept)
    return status, int(swept[0])


def statistics(handle: Handle) -> tuple[int, dict[str, Union[int, float]]]:
    """Status, and the counters by their C names. What an older library does not fill stays 0."""
    counted = ffi.new("catzilla_statistics_t *")
    counted.struct_size = ffi.sizeof("catzilla_statistics_t")
    status: int = lib.catzilla_cache_statistics(handle.cache, counted)
    return status, _fields(counted)


def flush(handle: Handle, timeout_ms: int) -> int:
    """OK when everything that was put before is in the tiers below memory."""
    status: int = lib.catzilla_cache_flush(handle.cache, timeout_ms)
    return status


def tier_contains(handle: Handle, tier: int, key: bytes) -> int:
    """OK when that tier has the key, NOT_FOUND when not."""
    status: int = lib.catzilla_tier_contains(handle.cache, tier, key, len(key))
    return status


def tier_remove(handle: Handle, tier: int, key: bytes) -> int:
    """OK when that tier had the key; the others keep what they have."""
    status: int = lib.catzilla_tier_remove(handle.cache, tier, key, len(key))
    return status


def health(handle: Handle, tier: int) -> tuple[int, bool, str, int]:
    """Status, whether the tier is up, its last error in words, and when that was, in microseconds since the Unix epoch."""
    told = ffi.new("catzilla_health_t *")
    told.struct_size = ffi.sizeof("catzilla_health_t")
    status: int = lib.catzilla_cache_health(handle.cache, tier, told)
    return status, bool(told.is_up), _text(told.last_error), int(told.last_error_at)


def tier_statistics(handle: Handle, tier: int) -> tuple[int, dict[str, int]]:
    """Status, and the counters of the tier by their C names. What an older library does not fill stays 0."""
    counted = ffi.new("catzilla_tier_statistics_t *")
    counted.struct_size = ffi.sizeof("catzilla_tier_statistics_t")
    status: int = lib.catzilla_cache_tier_statistics(handle.cache, tier, counted)
    return status, _fields(counted)


def set_listener(handle: Handle, listener: Optional[Callable[[bytes, bytes, int], object]]) -> int:
    """Has a function told key, value and cause of every entry that leaves; None: nobody.

    Waits for calls of the former one that are under way, unless it is called by it.
    """
    if handle.listening is None:
        if listener is None:
            return _status.OK
        handle.listening = ffi.new_handle(_Listening())
    ffi.from_handle(handle.listening).listener = listener
    _with_listener[id(handle)] = handle
    told = ffi.NULL if listener is None else lib.catzilla_python_told
    status: int = lib.catzilla_cache_set_listener(handle.cache, told, handle.listening)
    return status


class _Listening:
    """What the library calls for a cache. Does not keep the cache."""

    listener: Optional[Callable[[bytes, bytes, int], object]] = None


# What it raises goes to sys.unraisablehook.
@ffi.def_extern(name="catzilla_python_told", onerror=lambda *error: _raised(*error))  # type: ignore[untyped-decorator]
def _told(user: Any, departed: Any) -> None:
    listener = ffi.from_handle(user).listener
    if listener is None:
        return
    value = lib.catzilla_departed_value(departed)
    if not value:
        raise MemoryError("no memory for the plain form of a compressed value")
    key = ffi.buffer(lib.catzilla_departed_key(departed), lib.catzilla_departed_key_size(departed))[:]
    listener(key, ffi.buffer(value, lib.catzilla_departed_value_size(departed))[:], lib.catzilla_departed_cause(departed))


class _Unraisable:
    """What ``sys.unraisablehook`` takes."""

    def __init__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.exc_type, self.exc_value, self.exc_traceback = kind, error, traceback
        self.err_msg = "Exception ignored in a listener"
        self.object = None


def _raised(kind: Any, error: Any, traceback: Any) -> None:
    told: Any = _Unraisable(kind, error, traceback)
    sys.unraisablehook(told)


_with_listener: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()


@atexit.register
def _nobody_listens_any_more() -> None:
    # A cache's own thread must not call into an interpreter that is going.
    for handle in list(_with_listener.values()):
        set_listener(handle, None)


def _options(ttl_ms: int, flags: int, expected_version: int, tags: Sequence[bytes]) -> tuple[Any, object]:
    """What a put wants, and the memory that it points to."""
    options = ffi.new("catzilla_put_options_t *")
    options.struct_size = ffi.sizeof("catzilla_put_options_t")
    options.ttl_ms, options.flags, options.expected_version = ttl_ms, flags, expected_version
    if not tags:
        return options, None
    array, kept = ffi.new("catzilla_bytes_t[]", len(tags)), []
    for index, tag in enumerate(tags):
        data = ffi.from_buffer(tag)
        kept.append(data)
        array[index].data, array[index].len = data, len(tag)
    options.tags, options.tag_count = array, len(tags)
    return options, (array, kept)


def _fields(struct: Any) -> dict[str, Any]:
    names = dir(struct)
    return {name: getattr(struct, name) for name in names if name != "struct_size"}


def _text(value: Any) -> str:
    return ffi.string(value).decode("utf-8", "replace") if value else ""


class _Buffer:
    """Memory that the library copies a value into, and the place where it tells the length."""

    __slots__ = ("capacity", "length", "memory")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.memory = ffi.new("char[]", capacity)
        self.length = ffi.new("size_t *")


class _FreeBuffers(threading.local):
    """This thread's buffers that no read is using: one, unless a read was interrupted by another."""

    def __init__(self) -> None:
        self.buffers: list[_Buffer] = []


_free = _FreeBuffers()
