"""The library's functions for ctypes, by their C names without ``catzilla_``: what they take, what they return, and
which of them keep the interpreter's lock.

Called by the other files of the ctypes backend. Loads the library when it is imported, and refuses one of another ABI.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

from catzilla_cache import _library, _status
from catzilla_cache._ctypes_structs import CGet, CHealth, COptionInfo, CPut, CPutOptions, CRemove, CStatistics, CTierStatistics

library = _library.load()


def _bind(short_name: str, result: Any, *arguments: Any) -> Any:
    name = f"catzilla_{short_name}"
    try:
        function = getattr(library, name)
    except AttributeError:
        raise ImportError(f"catzilla_cache: {library._name} is not a library of this ABI: it has no function {name}") from None
    function.restype = result
    function.argtypes = arguments
    return function


abi_version = _bind("abi_version", c_uint32)
if abi_version() != _status.ABI_VERSION:
    raise ImportError(
        f"catzilla_cache: {library._name} has ABI {abi_version()}, this package is for ABI {_status.ABI_VERSION}: "
        "use the library and the package of one release"
    )

version = _bind("version", c_char_p)
last_error_message = _bind("last_error_message", c_char_p)
last_error_code = _bind("last_error_code", c_int32)
status_name = _bind("status_name", c_char_p, c_int32)

options_create = _bind("options_create", c_void_p)
options_set = _bind("options_set", c_int32, c_void_p, c_char_p, c_char_p)
options_destroy = _bind("options_destroy", None, c_void_p)
option_count = _bind("option_count", c_size_t)
option_info = _bind("option_info", POINTER(COptionInfo), c_size_t)

_CACHE_KEY = (c_void_p, c_char_p, c_size_t)
cache_open = _bind("cache_open", c_int32, c_void_p, POINTER(c_void_p))
cache_set_option = _bind("cache_set_option", c_int32, c_void_p, c_char_p, c_char_p)
cache_destroy = _bind("cache_destroy", None, c_void_p)
cache_put_with = _bind("cache_put_with", c_int32, *_CACHE_KEY, c_char_p, c_size_t, POINTER(CPutOptions), POINTER(c_uint64))
cache_touch = _bind("cache_touch", c_int32, *_CACHE_KEY, c_uint64)
cache_increment = _bind("cache_increment", c_int32, *_CACHE_KEY, c_int64, c_int64, c_uint64, POINTER(c_int64))
cache_acquire = _bind("cache_acquire", c_int32, *_CACHE_KEY, POINTER(c_void_p))
cache_purge = _bind("cache_purge", c_int32, c_void_p, c_int32, c_char_p, c_size_t, POINTER(c_uint64))
cache_get_many = _bind("cache_get_many", c_int32, c_void_p, POINTER(CGet), c_size_t)
cache_put_many = _bind("cache_put_many", c_int32, c_void_p, POINTER(CPut), c_size_t)
cache_remove_many = _bind("cache_remove_many", c_int32, c_void_p, POINTER(CRemove), c_size_t)
cache_lease = _bind("cache_lease", c_int32, *_CACHE_KEY, c_uint64, POINTER(c_void_p), POINTER(c_void_p))
cache_sweep = _bind("cache_sweep", c_int32, c_void_p, POINTER(c_size_t))
cache_statistics = _bind("cache_statistics", c_int32, c_void_p, POINTER(CStatistics))
cache_flush = _bind("cache_flush", c_int32, c_void_p, c_uint64)
cache_health = _bind("cache_health", c_int32, c_void_p, c_int32, POINTER(CHealth))
cache_tier_statistics = _bind("cache_tier_statistics", c_int32, c_void_p, c_int32, POINTER(CTierStatistics))
tier_contains = _bind("tier_contains", c_int32, c_void_p, c_int32, c_char_p, c_size_t)
tier_remove = _bind("tier_remove", c_int32, c_void_p, c_int32, c_char_p, c_size_t)

value_data = _bind("value_data", c_void_p, c_void_p)
value_size = _bind("value_size", c_size_t, c_void_p)
value_ttl_ms = _bind("value_ttl_ms", c_uint64, c_void_p)
value_version = _bind("value_version", c_uint64, c_void_p)
value_tier = _bind("value_tier", c_int32, c_void_p)
value_release = _bind("value_release", None, c_void_p)

iterator_open = _bind("iterator_open", c_int32, *_CACHE_KEY, POINTER(c_void_p))
iterator_next = _bind("iterator_next", c_int32, c_void_p, POINTER(c_void_p), POINTER(c_size_t))
iterator_close = _bind("iterator_close", None, c_void_p)

lease_fulfil_with = _bind("lease_fulfil_with", c_int32, c_void_p, c_char_p, c_size_t, POINTER(CPutOptions))
lease_fail = _bind("lease_fail", c_int32, c_void_p, c_int32)
lease_cancel = _bind("lease_cancel", None, c_void_p)

Told = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
cache_set_listener = _bind("cache_set_listener", c_int32, c_void_p, Told, c_void_p)
departed_key = _bind("departed_key", c_void_p, c_void_p)
departed_key_size = _bind("departed_key_size", c_size_t, c_void_p)
departed_value = _bind("departed_value", c_void_p, c_void_p)
departed_value_size = _bind("departed_value_size", c_size_t, c_void_p)
departed_cause = _bind("departed_cause", c_int32, c_void_p)


# ---- The calls that have to be quick ----
#
# Without types to convert to, ctypes takes bytes and what is a parameter already as they are. So the sizes and
# addresses for these calls are made into parameters beforehand, and whoever calls makes sure of every type. Both halve
# what a call costs (a hit: 640 to 340 ns).


class Quick(NamedTuple):
    """What is called for every key, over and over."""

    read: Any
    put: Any
    remove: Any
    contains: Any


def _quick(library: ctypes.CDLL) -> Quick:
    functions = [library[f"catzilla_cache_{name}"] for name in Quick._fields]
    for function in functions:
        function.restype = c_int32
    return Quick(*functions)


#: For caches with tiers below memory: others run while one waits.
yielding = _quick(library)

# The same library under a class that keeps the interpreter's lock, as the builtins of the compiled module do.
_keeping_library = ctypes.PyDLL(library._name, handle=library._handle)

#: For caches in memory alone, where no call waits for anything: to give the lock up and take it back costs 80 ns.
keeping = _quick(_keeping_library)

#: Asks memory alone, whatever the cache has below it.
memory_read = _keeping_library["catzilla_memory_read"]
memory_read.restype = c_int32


def pointer(address: int) -> Any:
    """An address as a parameter of the quick calls."""
    return c_void_p.from_param(address)


#: Sizes as parameters of the quick calls; `size` makes those beyond. Arbitrary: nearly all keys, and the values that
#: are copied in no time.
SIZES: list[Any] = [c_size_t.from_param(size) for size in range(1024)]


def size(number: int) -> Any:
    """A size as a parameter of the quick calls."""
    return SIZES[number] if number < len(SIZES) else c_size_t.from_param(number)


YES, NO = c_bool.from_param(True), c_bool.from_param(False)
DEFAULT_TTL: Any = c_uint64.from_param(0)


def ttl(milliseconds: int) -> Any:
    """A lifetime as a parameter of the quick calls."""
    return c_uint64.from_param(milliseconds) if milliseconds else DEFAULT_TTL
