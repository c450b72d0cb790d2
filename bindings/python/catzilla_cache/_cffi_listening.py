"""Has Python functions told what leaves a cache, for cffi."""

from __future__ import annotations

import atexit
import sys
import weakref
from typing import Any, Callable, Optional

from catzilla_cache import _status
from catzilla_cache._cffi_handles import Handle
from catzilla_cache._cffi_module import ffi, lib


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
