"""Has Python functions told what leaves a cache, for ctypes."""

from __future__ import annotations

import atexit
import ctypes
import weakref
from typing import Callable, Optional

from catzilla_cache import _ctypes_library as c
from catzilla_cache import _status
from catzilla_cache._ctypes_handles import Handle

_NOBODY = c.Told()


def set_listener(handle: Handle, listener: Optional[Callable[[bytes, bytes, int], object]]) -> int:
    """Has a function told key, value and cause of every entry that leaves; None: nobody.

    Waits for calls of the former one that are under way, unless it is called by it.
    """
    listening = handle.listening
    if listening is None:
        if listener is None:
            return _status.OK
        listening = handle.listening = Listening()
    listening.listener = listener
    _with_listener[id(handle)] = handle
    status: int = c.cache_set_listener(handle.argument, _NOBODY if listener is None else listening.told, None)
    return status


class Listening:
    """What the library calls for a cache. Does not keep the cache."""

    def __init__(self) -> None:
        self.listener: Optional[Callable[[bytes, bytes, int], object]] = None
        # What it raises goes to sys.unraisablehook.
        self.told = c.Told(self._call)

    def _call(self, _user: Optional[int], departed: Optional[int]) -> None:
        listener = self.listener
        if listener is None:
            return
        value = c.departed_value(departed)
        if value is None:
            raise MemoryError("no memory for the plain form of a compressed value")
        key = ctypes.string_at(c.departed_key(departed), c.departed_key_size(departed))
        listener(key, ctypes.string_at(value, c.departed_value_size(departed)), c.departed_cause(departed))


_with_listener: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()


@atexit.register
def _nobody_listens_any_more() -> None:
    # A cache's own thread must not call into an interpreter that is going.
    for handle in list(_with_listener.values()):
        set_listener(handle, None)
