"""What is known not to be storable: requests for it do not wait for each other, which would only put them in a queue (Varnish: hit-for-miss)."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Optional

from catzilla_cache import _forks

# Seconds, as Varnish has it: so soon does an answer that can be stored again spare the application something.
_REMEMBERED_FOR = 120.0

# Arbitrary: some megabytes of keys at most.
_MOST = 8192


class Unshared:
    """Keys of which the last answer was not storable, the latest of them. Any number of threads."""

    __slots__ = ("__weakref__", "_lock", "_until")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: "OrderedDict[bytes, float]" = OrderedDict()
        _forks.watch(self)

    def renew_in_child(self) -> None:
        """In a forked child: whoever held the lock is not there any more."""
        self._lock = threading.Lock()

    def add(self, key: bytes) -> None:
        """The answer was not storable."""
        with self._lock:
            self._until[key] = time.monotonic() + _REMEMBERED_FOR
            self._until.move_to_end(key)
            while len(self._until) > _MOST:
                self._until.popitem(last=False)

    def discard(self, key: bytes) -> None:
        """It was."""
        if key in self._until:
            with self._lock:
                self._until.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._until.clear()

    def __contains__(self, key: Optional[bytes]) -> bool:
        until = None if key is None else self._until.get(key)
        return until is not None and time.monotonic() < until
