"""The C interface as flat Python functions, over the compiled module. The same functions as ``_ctypes_backend``, only faster."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

from catzilla_cache import _status
from catzilla_cache._cffi_handles import Handle, Iterator, Lease
from catzilla_cache._cffi_listening import set_listener
from catzilla_cache._cffi_module import ffi, lib, native
from catzilla_cache._cffi_reading import acquire, copied, inspect, read, read_memory

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
    "native",
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

NAME = "cffi"

#: What ``BytesCache`` and ``SmartCache`` inherit: their calls that a builtin can answer.
BytesBase: Any = native.BytesBase
ValuesBase: Any = native.ValuesBase

# As in _ctypes_backend, and as arbitrary.
_FIRST_BATCH_BUFFER = 1024
_KEYS_AT_ONCE = 1024


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
        return status, copied(value[0]), None
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
