"""Threads that miss one key of a plain object cache: one loads, the others wait. As ``native/object_flight.c``, in Python.

Called by ``_objects_plain``. A flight belongs to the thread that loads. It is among the flights until that has ended, or
until somebody has put or removed its key: then what it brings is not stored, and goes to those alone who are waiting for
it already.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Optional


class Flight:
    """A load under way."""

    __slots__ = ("key", "hash", "owner", "process", "is_current", "has_value", "value", "gate")

    def __init__(self, key: Any) -> None:
        self.key = key
        self.hash = hash(key)
        self.owner = threading.get_ident()
        # A child that was forked off has not got the thread.
        self.process = os.getpid()
        self.is_current = True
        self.has_value = False
        self.value: Any = None
        self.gate = threading.Event()


# Who waits for which flight, in all caches: so that no circle of threads waits for each other.
_waiting: dict[int, Flight] = {}
_waiting_lock = threading.Lock()


def _forget_other_threads() -> None:
    global _waiting_lock
    _waiting_lock = threading.Lock()
    _waiting.clear()


os.register_at_fork(after_in_child=_forget_other_threads)


class Flights:
    """The loads under way of one cache."""

    def __init__(self) -> None:
        # Never changed in place, so that keys can be compared without a lock.
        self._flights: tuple[Flight, ...] = ()
        self._lock = threading.RLock()

    def overtake(self, key: Any) -> None:
        """Somebody puts or removes a key: what is being loaded for it is no longer news."""
        if self._flights:
            flight = self._of(key)
            if flight is not None:
                self._end(flight)

    def overtake_all(self) -> None:
        for flight in self._flights:
            self._end(flight)

    def load(
        self,
        key: Any,
        find_again: Callable[[], Any],
        call: Callable[[], Any],
        store: Callable[[Any, Optional[Flight]], None],
        missing: object,
    ) -> Any:
        """The value of a key, from somebody else's load, or from `call` and then stored."""
        while True:
            before = self._flights
            flight = self._of(key)
            if flight is None:
                value = find_again()
                if value is not missing:
                    return value
                flight = Flight(key)
                with self._lock:
                    if self._flights is not before:
                        continue
                    self._flights = (*before, flight)
                return self._fly(flight, call, store)
            if flight.process != os.getpid():
                self._end(flight)
                continue
            if flight.owner == threading.get_ident():
                raise RuntimeError(f"the loader of the key {key!r} asks for that very key: it would wait for itself")
            if not _wait(flight):
                value = call()
                store(value, None)
                return value
            if flight.has_value:
                return flight.value
            # It brought nothing: the next one loads, and that may be this one.

    def _of(self, key: Any) -> Optional[Flight]:
        hash_of_key = hash(key)
        for flight in self._flights:
            if flight.key is key or (flight.hash == hash_of_key and flight.key == key):
                if flight.is_current:
                    return flight
        return None

    def _end(self, flight: Flight) -> None:
        with self._lock:
            flight.is_current = False
            self._flights = tuple(other for other in self._flights if other is not flight)

    def _fly(self, flight: Flight, call: Callable[[], Any], store: Callable[[Any, Optional[Flight]], None]) -> Any:
        try:
            value = call()
            store(value, flight)
            flight.value, flight.has_value = value, True
            return value
        finally:
            self._end(flight)
            flight.gate.set()


def _wait(flight: Flight) -> bool:
    """Waits for a flight to end. False when it never would: its thread waits, perhaps by way of others, for this one."""
    me = threading.get_ident()
    with _waiting_lock:
        other: Optional[Flight] = flight
        while other is not None:
            if other.owner == me:
                return False
            other = _waiting.get(other.owner)
        _waiting[me] = flight
    try:
        flight.gate.wait()
    finally:
        with _waiting_lock:
            _waiting.pop(me, None)
    return True
