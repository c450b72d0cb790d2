"""What the library has made for this process and has to be given back, for ctypes: an open cache, a walk through
keys, the right to load a key.
"""

from __future__ import annotations

from ctypes import c_void_p
from typing import TYPE_CHECKING, Any, Optional

from catzilla_cache import _ctypes_library as c

if TYPE_CHECKING:
    from catzilla_cache._ctypes_listening import Listening


class Handle:
    """An open cache. Destroys it when the last reference goes; so who calls the library with `argument` holds the
    handle meanwhile.
    """

    __slots__ = ("address", "argument", "read", "put", "remove", "contains", "asks_below", "is_long", "listening", "__weakref__")

    def __init__(self, address: int, asks_below: bool) -> None:
        #: Where the cache is.
        self.address = address
        #: The same, for calls of the library.
        self.argument = c.pointer(address)
        self.asks_below = asks_below
        #: The quick calls, which keep the interpreter's lock where nothing is waited for.
        self.read, self.put, self.remove, self.contains = c.yielding if asks_below else c.keeping
        #: Whether the last value from below memory was too long for a buffer: the next is not asked for twice.
        self.is_long = False
        #: Set with the first listener, and stays: the library may call it until the cache is destroyed.
        self.listening: Optional[Listening] = None

    # Bound here, because at interpreter exit the module's globals may be gone before the last handle is.
    def __del__(self, destroy: Any = c.cache_destroy) -> None:
        destroy(self.argument)


class Iterator(c_void_p):
    """A walk through keys. Ends when the last reference goes."""

    def __del__(self, close: Any = c.iterator_close) -> None:
        if self:
            close(self)


class Lease(c_void_p):
    """The right to load a key. Gives it up when the last reference goes, unless it has been ended."""

    def __del__(self, cancel: Any = c.lease_cancel) -> None:
        if self:
            cancel(self)

    def take(self) -> c_void_p:
        """For the call that ends it."""
        taken = c_void_p(self.value)
        self.value = None
        return taken
