"""Writes of a ``SmartCache`` that depend on what is stored: it is read, and written again unless somebody else was faster.

Memory has versions, by which that is noticed. Of what is in another tier alone, nobody else in this process writes at
the same time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Optional

from catzilla_cache import _status, codec
from catzilla_cache._arguments import Key, fail, found, key_bytes, ttl_ms
from catzilla_cache._backend import backend as _backend
from catzilla_cache.errors import CacheValueError

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache


def touch(cache: SmartCache, key: Key, ttl: Optional[float]) -> bool:
    """What ``SmartCache.touch`` says."""
    name, lifetime = key_bytes(key), ttl_ms(ttl)
    while True:
        # Only what says itself when it ends has to be written again.
        if not (cache._asks_below or cache._has_annotated):
            return found(_backend.touch(cache._live(), name, lifetime))
        status, stored, _, version, _ = _backend.inspect(cache._live(), name)
        if not found(status):
            return False
        prolonged = cache._stored.prolonged(name, stored, lifetime)
        if prolonged is None:
            return False
        annotation, data = prolonged
        if data is None:
            return found(_backend.touch(cache._live(), name, lifetime))
        condition = 0 if version else _status.PUT_IF_PRESENT
        status, _ = _backend.put_with(cache._live(), name, data, lifetime, condition, version, list(annotation.tags))
        if status != _status.VERSION_MISMATCH:
            return found(status)


def increment(cache: SmartCache, key: Key, delta: int) -> int:
    """What ``SmartCache.incr`` says."""
    if not isinstance(delta, int):
        raise CacheValueError(f"a delta is an int, not {type(delta).__name__}")
    name = key_bytes(key)
    if cache._has_memory and -(2**63) <= delta < 2**63:
        # The built-in encoding of a number is what the library counts.
        status, total = _backend.increment(cache._live(), name, delta, delta, 0)
        if status == _status.OK:
            return total
        if status not in (_status.NOT_A_NUMBER, _status.NUMBER_OVERFLOW):
            fail(status)
    # What is not in memory has no version, by which two threads could tell that they are at it at the same time.
    with cache._update_lock:
        return _increment(cache, key, name, delta)


def _increment(cache: SmartCache, key: Key, name: bytes, delta: int) -> int:
    """The same for numbers that the library does not count."""
    while True:
        status, stored, left_ms, version, _ = _backend.inspect(cache._live(), name)
        if not found(status):
            data = cache._stored.encode(name, delta, 0)
            status, _ = _backend.put_with(cache._live(), name, data, 0, _status.PUT_IF_ABSENT, 0, [])
            if status == _status.EXISTS:
                continue
            # When the one tier that there is did not take it, the next begins at 0 again.
            cache._is_stored(status)
            return delta
        try:
            annotation, value = cache._stored.decode(name, stored)
            is_over = annotation.fresh_until is not None and time.time() >= annotation.fresh_until
        except codec.Refused:
            is_over = True
        if is_over:
            # Or not to be believed: so not there.
            cache.set(key, delta)
            return delta
        if not isinstance(value, int) or isinstance(value, bool):
            raise CacheValueError(f"the value of {key!r} is {type(value).__name__}, and only an int can be counted up and down")
        data = cache._stored.encode(name, value + delta, left_ms, annotation)
        condition = 0 if version else _status.PUT_IF_PRESENT
        status, _ = _backend.put_with(cache._live(), name, data, max(left_ms, 1), condition, version, list(annotation.tags))
        if status <= 0:
            cache._is_stored(status)
            return value + delta
