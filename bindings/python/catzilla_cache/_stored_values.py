"""What a ``SmartCache`` stores for its values, and what it makes of stored bytes: which are believed, which are fresh.
Counts those that are not.

The values' own bytes are ``codec``'s, what stands in front of them ``_annotation``'s. Asks no cache anything.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Optional, Tuple

from catzilla_cache import _annotation, _status, codec
from catzilla_cache._annotation import Annotation
from catzilla_cache._lifetimes import Lifetimes

#: What `revive` answers for what was found and is not served: a miss, told from one where nothing was found by being
#: this very pair. Made at run time, since constants of one value may be one object.
NOT_SERVED: Tuple[Any, bool] = tuple([None, False])  # type: ignore[assignment]


class StoredValues:
    """Those of one cache."""

    def __init__(self, values: codec.ValueCodec, lifetimes: Lifetimes) -> None:
        self._values = values
        self.lifetimes = lifetimes
        self._refused = 0
        self._stale = 0
        self._lock = threading.Lock()

    def renew_in_child(self) -> None:
        """In a forked child: who held the lock is not there any more."""
        self._lock = threading.Lock()

    def encode(self, key: bytes, value: object, lifetime_ms: int, annotation: Annotation = _annotation.NONE) -> bytes:
        """What is stored for a value. ``CacheValueError`` says why not."""
        data = codec.encode(value)
        if data is None:
            data = self._values.dumps_by_codec(key, value, self.lifetimes.end(lifetime_ms))
        return _with(annotation, data)

    def decode(self, key: bytes, data: bytes) -> tuple[Annotation, Any]:
        """What was stored; raises ``codec.Refused`` for what is not to be believed, and counts it."""
        try:
            try:
                annotation, data = _annotation.read(data)
            except ValueError as error:
                raise codec.Refused(str(error)) from None
            return annotation, self._values.loads(key, data, time.time())
        except codec.Refused:
            with self._lock:
                self._refused += 1
            raise

    def revive(self, key: bytes, data: bytes) -> tuple[Any, bool]:
        """The value of stored bytes and True, or ``NOT_SERVED``."""
        try:
            annotation, value = self.decode(key, data)
        except codec.Refused:
            return NOT_SERVED
        if annotation.fresh_until is not None and time.time() >= annotation.fresh_until:
            # Kept for those who can load it anew.
            with self._lock:
                self._stale += 1
            return NOT_SERVED
        return value, True

    def prolonged(self, key: bytes, data: bytes, lifetime_ms: int) -> Optional[tuple[Annotation, Optional[bytes]]]:
        """Stored bytes with another lifetime from now on, and what they say of themselves; None: not to be believed, or
        stale, so not there.

        No bytes: these do not say when they end.
        """
        try:
            annotation, data = _annotation.read(data)
            rebound = self._values.rebind(key, data, self.lifetimes.end(lifetime_ms))
        except ValueError:
            return None
        if annotation.fresh_until is not None:
            now = time.time()
            if now >= annotation.fresh_until:
                return None
            fresh_for = lifetime_ms / 1000 if lifetime_ms else self.lifetimes.shortest
            fresh_until = None if lifetime_ms == _status.TTL_FOREVER else now + fresh_for
            annotation = Annotation(fresh_until, annotation.cost, annotation.tags)
        elif rebound is None:
            return annotation, None
        return annotation, _with(annotation, data if rebound is None else rebound)

    def counts(self) -> tuple[int, int]:
        """How often something was not believed (not ours, damaged, or past its end), and how often something was there
        for those alone who can load it anew. The library has counted each as a hit, and each was a miss.
        """
        with self._lock:
            return self._refused, self._stale


def _with(annotation: Annotation, data: bytes) -> bytes:
    if annotation.fresh_until is None and not annotation.tags:
        return data
    return _annotation.write(annotation, data)
