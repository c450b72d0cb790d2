"""What the library has made for this process and has to be given back, for cffi: an open cache, a walk through keys,
the right to load a key.
"""

from __future__ import annotations

from typing import Any

from catzilla_cache._cffi_module import ffi, lib


class Handle:
    """An open cache. Destroys it when the last reference goes; so who calls the library with `cache` holds the handle
    meanwhile.
    """

    __slots__ = ("address", "cache", "is_long", "listening", "__weakref__")

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        #: For ``native``, which works on the cache itself.
        self.address = int(ffi.cast("uintptr_t", cache))
        #: Whether the last value was too long for a buffer: the next is not asked for twice.
        self.is_long = False
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
