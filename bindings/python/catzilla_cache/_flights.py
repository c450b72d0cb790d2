"""One load per key: of all threads and tasks that miss a key at the same time, one loads it and the others wait for what it gets.

The engine has leases for the same, which hold across languages and which a ``delete`` in the middle of a load outdates; who leads a
flight takes one. Waiting is done here, because a task may not block its loop, because a value is handed on as the object that it is,
and because what the loader raises reaches everybody who waits.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar

from catzilla_cache.errors import CacheError

if TYPE_CHECKING:
    import asyncio

Value = TypeVar("Value")


class Abandoned(Exception):
    """Whoever led the flight has been interrupted, or cancelled: one of those who wait takes over."""


class TooLate(Exception):
    """The value was not there in time."""


class Flight(Generic[Value]):
    """A load that is under way. Ended by its leader."""

    __slots__ = ("_future", "_task", "_thread")

    def __init__(self) -> None:
        self._future: Future[Value] = Future()
        # So that nobody who waits can cancel it for the others.
        self._future.set_running_or_notify_cancel()
        self._thread = threading.get_ident()
        self._task = _current_task()

    def land(self, value: Value) -> None:
        """Everybody who waits gets the value."""
        self._future.set_result(value)

    def crash(self, error: BaseException) -> None:
        """Everybody who waits gets the exception, unless they have the value already: an interrupt may come right after it."""
        if self._future.done():
            return
        if isinstance(error, StopIteration):
            # No future of asyncio takes one, and a task that waits would wait forever.
            wrapped = RuntimeError("the loader raised StopIteration")
            wrapped.__cause__, error = error, wrapped
        self._future.set_exception(error)

    def wait(self, timeout: Optional[float]) -> Value:
        """What the leader gets, for a thread. Raises ``TooLate``, or ``Abandoned``."""
        if self._thread == threading.get_ident():
            # A load in a task of this thread's own loop cannot end while the loop waits here.
            raise CacheError("the key is being loaded by this very thread, which would wait for itself")
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            # It may also be what the loader has raised.
            if self._future.done():
                return self._future.result()
            raise TooLate from None

    async def wait_async(self, timeout: Optional[float]) -> Value:
        """What the leader gets, for a task. Raises ``TooLate``, or ``Abandoned``."""
        task = _current_task()
        if task is not None and task is self._task:
            raise CacheError("the key is being loaded by this very task, which would wait for itself")
        import asyncio

        # A task that is cancelled while it waits cancels nothing but its own waiting.
        landing = asyncio.shield(asyncio.wrap_future(self._future))
        try:
            return await asyncio.wait_for(landing, timeout)
        except asyncio.TimeoutError:
            if self._future.done():
                return self._future.result()
            raise TooLate from None


class Flights:
    """The loads of a cache that are under way in this process."""

    __slots__ = ("_flights", "_lock")

    def __init__(self) -> None:
        # Reentrant: a leader that is forgotten leaves from wherever the garbage collector comes along, also from in here.
        self._lock = threading.RLock()
        self._flights: dict[bytes, Flight[Any]] = {}

    def board(self, key: bytes) -> tuple[Flight[Any], bool]:
        """The flight of a key, and whether the caller leads it: it has to end it then, by ``leave`` and one of the flight's own."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def leave(self, key: bytes, flight: Flight[Any]) -> None:
        """Who misses the key from now on begins a flight of its own."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def renew_in_child(self) -> None:
        """In a forked child: those who led are not there any more."""
        self._lock = threading.RLock()
        self._flights = {}


def _current_task() -> Optional[asyncio.Task[Any]]:
    # Where nobody has imported it no task can be; it takes longer to import than this package.
    if "asyncio" not in sys.modules:
        return None
    import asyncio

    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
