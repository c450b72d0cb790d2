"""How fast counters go: from snapshots that are at least an interval apart. Taken when somebody asks; there is no thread for it."""

from __future__ import annotations

import threading
import time
from typing import Mapping

_COUNTERS = {
    "requests_per_second": "requests",
    "hits_per_second": "hits",
    "misses_per_second": "misses",
    "puts_per_second": "puts",
    "evictions_per_second": "memory_evictions",
}


class Rates:
    """Of one cache."""

    __slots__ = ("_before", "_interval", "_last", "_lock")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        start: tuple[float, Mapping[str, float]] = (time.monotonic(), {})
        # The stretch that is measured begins at the older one, so it is between one and two intervals long once there were that many.
        self._before = self._last = start

    def renew_in_child(self) -> None:
        """In a forked child: the thread that held the lock is not there any more."""
        self._lock = threading.Lock()

    def of(self, counters: Mapping[str, float]) -> dict[str, float]:
        """What was counted in a second, on average of the last stretch."""
        now = time.monotonic()
        taken = {name: counters[name] for name in _COUNTERS.values()}
        with self._lock:
            if now - self._last[0] >= self._interval:
                self._before, self._last = self._last, (now, taken)
            since, before = self._before
        seconds = now - since
        if seconds <= 0:
            return {rate: 0.0 for rate in _COUNTERS}
        return {rate: (taken[name] - before.get(name, 0)) / seconds for rate, name in _COUNTERS.items()}
