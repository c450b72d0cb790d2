"""The C interface as flat Python functions, over ctypes. Needs nothing but the built library.

Called by everything above the backends. Statuses come back as numbers, text as ``str``; nothing here raises for a
failed call, checks an argument, or keeps state beyond the read buffers: behaviour is written once, above the backends.

There is no function that closes a cache. The handle that ``open`` returns destroys it when its last reference goes, and
each call under way holds one, so that a cache can be dropped by one thread while others are still inside it.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int64, c_size_t, c_uint64, c_void_p
from typing import Optional, Sequence, Union

from catzilla_cache import _ctypes_library as c
from catzilla_cache import _status
from catzilla_cache._ctypes_bases import BytesBase, ValuesBase
from catzilla_cache._ctypes_handles import Handle, Iterator, Lease
from catzilla_cache._ctypes_listening import set_listener
from catzilla_cache._ctypes_reading import acquire, copied, inspect, read, read_memory
from catzilla_cache._ctypes_structs import CBytes, CGet, CHealth, CPut, CPutOptions, CRemove, CStatistics, CTierStatistics

__all__ = [
    "BytesBase",
    "Handle",
    "Iterator",
    "Lease",
    "NAME",
    "ValuesBase",
    "abi_version",
    "acquire",
    "contains",
    "flush",
    "get_many",
    "health",
    "increment",
    "inspect",
    "keys",
    "last_error",
    "lease",
    "lease_cancel",
    "lease_fail",
    "lease_fulfil",
    "library_file",
    "next_key",
    "open",
    "option_rows",
    "purge",
    "put",
    "put_many",
    "put_with",
    "read",
    "read_memory",
    "remove",
    "remove_many",
    "set_listener",
    "set_option",
    "statistics",
    "status_name",
    "sweep",
    "tier_contains",
    "tier_remove",
    "tier_statistics",
    "touch",
    "version",
]

NAME = "ctypes"

# Both arbitrary: room for most values at the first attempt, and a bound on the memory that a batch takes for that.
_FIRST_BATCH_BUFFER = 1024
_KEYS_AT_ONCE = 1024

# A put of so many bytes gives the interpreter's lock up: compressing and copying take longer than that costs.
# Arbitrary: some 10 us.
_LONG_VALUE = 64 * 1024


def library_file() -> str:
    """The name under which the library was loaded: its path, or the soname when the loader found it."""
    return str(c.library._name)


def version() -> str:
    """The library's version."""
    return _text(c.version())


def abi_version() -> int:
    """The library's ABI number."""
    return int(c.abi_version())


def last_error() -> tuple[int, str]:
    """Status and message of this thread's last failed call; (0, "") before the first."""
    return int(c.last_error_code()), _text(c.last_error_message())


def status_name(status: int) -> str:
    """The C name of a status number."""
    return _text(c.status_name(status))


def option_rows() -> list[tuple[str, str, str, str, str, bool]]:
    """The library's table of options, in its order: name, type, default, range, help, whether it is live."""
    rows = []
    for index in range(c.option_count()):
        row = c.option_info(index).contents
        rows.append(
            (_text(row.name), _text(row.type), _text(row.default_value), _text(row.range), _text(row.help), bool(row.live))
        )
    return rows


def open(options: list[tuple[bytes, bytes]]) -> tuple[int, Optional[Handle]]:  # noqa: A001 - it is the C name
    """Opens a cache with these options, by name. The first option that is refused ends it, with its status."""
    table = c.options_create()
    if not table:
        return int(c.last_error_code()) or _status.OUT_OF_MEMORY, None
    try:
        for name, value in options:
            status: int = c.options_set(table, name, value)
            if status != _status.OK:
                return status, None
        opened = c_void_p()
        status = c.cache_open(table, byref(opened))
        if status != _status.OK or opened.value is None:
            return status, None
        below = (c.cache_health(opened, tier, byref(_health_struct())) for tier in (_status.TIER_REDIS, _status.TIER_DISK))
        return status, Handle(opened.value, asks_below=_status.OK in below)
    finally:
        c.options_destroy(table)


def put(handle: Handle, key: bytes, value: bytes, ttl_ms: int) -> int:
    """Stores a copy of the value. ``ttl_ms`` 0 is the cache's default, ``TTL_FOREVER`` never expires."""
    call = handle.put if len(value) < _LONG_VALUE else c.yielding.put
    status: int = call(handle.argument, key, c.size(len(key)), value, c.size(len(value)), c.ttl(ttl_ms))
    return status


def put_with(
    handle: Handle, key: bytes, value: bytes, ttl_ms: int, flags: int, expected_version: int, tags: Sequence[bytes]
) -> tuple[int, int]:
    """Stores a value with tags, if what is there allows it. Status, and the new version if that is OK."""
    version = c_uint64()
    options, _kept = _options(ttl_ms, flags, expected_version, tags)
    status: int = c.cache_put_with(handle.argument, key, len(key), value, len(value), byref(options), byref(version))
    return status, version.value


def touch(handle: Handle, key: bytes, ttl_ms: int) -> int:
    """OK when the key was there, and has a new lifetime."""
    status: int = c.cache_touch(handle.argument, key, len(key), ttl_ms)
    return status


def increment(handle: Handle, key: bytes, delta: int, initial: int, ttl_ms: int) -> tuple[int, int]:
    """Adds to the number that a key has in decimal digits; one that is absent becomes ``initial``. Status, and the sum."""
    result = c_int64()
    status: int = c.cache_increment(handle.argument, key, len(key), delta, initial, ttl_ms, byref(result))
    return status, result.value


def keys(handle: Handle, prefix: bytes) -> tuple[int, Optional[Iterator]]:
    """Status, and a walk through the keys in memory that begin with the prefix."""
    iterator = Iterator()
    status: int = c.iterator_open(handle.argument, prefix, len(prefix), byref(iterator))
    return status, iterator if status == _status.OK else None


def next_key(iterator: Iterator) -> tuple[int, bytes]:
    """The next key of a walk; NOT_FOUND at its end."""
    key, length = c_void_p(), c_size_t()
    status: int = c.iterator_next(iterator, byref(key), byref(length))
    return status, ctypes.string_at(key, length.value) if status == _status.OK else b""


def _options(ttl_ms: int, flags: int, expected_version: int, tags: Sequence[bytes]) -> tuple[CPutOptions, object]:
    """What a put wants, and the memory that it points to."""
    array = (CBytes * len(tags))(*[CBytes(tag, len(tag)) for tag in tags])
    options = CPutOptions(ctypes.sizeof(CPutOptions), ttl_ms, expected_version, flags, array, len(tags))
    return options, array


def set_option(handle: Handle, name: bytes, value: bytes) -> int:
    """OK when the option of the open cache has changed."""
    status: int = c.cache_set_option(handle.argument, name, value)
    return status


def remove(handle: Handle, key: bytes) -> int:
    """OK when the key was there, NOT_FOUND when not."""
    status: int = handle.remove(handle.argument, key, c.size(len(key)))
    return status


def contains(handle: Handle, key: bytes) -> int:
    """OK when the key is there, NOT_FOUND when not. Counts neither as a request nor as a use."""
    status: int = handle.contains(handle.argument, key, c.size(len(key)))
    return status


def purge(handle: Handle, what: int, selector: bytes = b"") -> tuple[int, int]:
    """Removes all entries, those whose key begins with the selector, or those with the tag. Status, and how many were removed."""
    removed = c_uint64()
    status: int = c.cache_purge(handle.argument, what, selector, len(selector), byref(removed))
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
            status: int = c.cache_get_many(handle.argument, items, len(chunk))
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
    status: int = c.cache_put_many(handle.argument, items, len(values))
    return status, [item.status for item in items]


def remove_many(handle: Handle, keys: list[bytes]) -> tuple[int, list[int]]:
    """Removes keys. Status of the call, which is the first failure's, and of each key."""
    items = (CRemove * len(keys))()
    for item, key in zip(items, keys):
        item.key, item.key_len = key, len(key)
    status: int = c.cache_remove_many(handle.argument, items, len(keys))
    return status, [item.status for item in items]


def lease(handle: Handle, key: bytes, timeout_ms: int) -> tuple[int, bytes, Optional[Lease]]:
    """The value of a key, if the status is OK; the right to load it, if that is what there is. Waits for whoever loads it."""
    value, lease = c_void_p(), Lease()
    status: int = c.cache_lease(handle.argument, key, len(key), timeout_ms, byref(value), byref(lease))
    if status != _status.OK:
        return status, b"", lease if lease else None
    try:
        return status, copied(value), None
    finally:
        c.value_release(value)


def lease_fulfil(lease: Lease, value: bytes, ttl_ms: int, tags: Sequence[bytes] = (), flags: int = 0) -> int:
    """Ends a lease with the value. ``ttl_ms``: as in ``put``."""
    options, _kept = _options(ttl_ms, flags, 0, tags)
    status: int = c.lease_fulfil_with(lease.take(), value, len(value), byref(options))
    return status


def lease_fail(lease: Lease, failure: int) -> int:
    """Ends a lease without a value, and says why: NOT_FOUND, or a failure."""
    status: int = c.lease_fail(lease.take(), failure)
    return status


def lease_cancel(lease: Lease) -> None:
    """Gives a lease up: the next who waits gets one."""
    c.lease_cancel(lease.take())


def sweep(handle: Handle) -> tuple[int, int]:
    """Frees what has expired. Status, and how many entries those were."""
    swept = c_size_t()
    status: int = c.cache_sweep(handle.argument, byref(swept))
    return status, swept.value


def statistics(handle: Handle) -> tuple[int, dict[str, Union[int, float]]]:
    """Status, and the counters by their C names. What an older library does not fill stays 0."""
    counted = CStatistics(struct_size=ctypes.sizeof(CStatistics))
    status: int = c.cache_statistics(handle.argument, byref(counted))
    return status, {field[0]: getattr(counted, field[0]) for field in CStatistics._fields_[1:]}


def flush(handle: Handle, timeout_ms: int) -> int:
    """OK when everything that was put before is in the tiers below memory."""
    status: int = c.cache_flush(handle.argument, timeout_ms)
    return status


def tier_contains(handle: Handle, tier: int, key: bytes) -> int:
    """OK when that tier has the key, NOT_FOUND when not."""
    status: int = c.tier_contains(handle.argument, tier, key, len(key))
    return status


def tier_remove(handle: Handle, tier: int, key: bytes) -> int:
    """OK when that tier had the key; the others keep what they have."""
    status: int = c.tier_remove(handle.argument, tier, key, len(key))
    return status


def health(handle: Handle, tier: int) -> tuple[int, bool, str, int]:
    """Status, whether the tier is up, its last error in words, and when that was, in microseconds since the Unix epoch."""
    told = _health_struct()
    status: int = c.cache_health(handle.argument, tier, byref(told))
    return status, bool(told.is_up), _text(told.last_error), told.last_error_at


def tier_statistics(handle: Handle, tier: int) -> tuple[int, dict[str, int]]:
    """Status, and the counters of the tier by their C names. What an older library does not fill stays 0."""
    counted = CTierStatistics(struct_size=ctypes.sizeof(CTierStatistics))
    status: int = c.cache_tier_statistics(handle.argument, tier, byref(counted))
    return status, {field[0]: getattr(counted, field[0]) for field in CTierStatistics._fields_[1:]}


def _health_struct() -> CHealth:
    return CHealth(struct_size=ctypes.sizeof(CHealth))


def _text(value: Optional[bytes]) -> str:
    return "" if value is None else value.decode("utf-8", "replace")
