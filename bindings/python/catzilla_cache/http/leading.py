"""One request for all who want the same: who asks the application, who waits, and the end of a flight, whichever way it ends.

Used by all adapters.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Optional, Union

from catzilla_cache._flights import Abandoned, Flight, TooLate
from catzilla_cache.errors import CacheError
from catzilla_cache.http.decisions import Fetch, LookUp, Serve
from catzilla_cache.http.steps import Landing, Steps
from catzilla_cache.http.stored import StoredResponse

if TYPE_CHECKING:
    from catzilla_cache.http.exchange import Exchange
    from catzilla_cache.http.middleware import ResponseCache


class Alone:
    """A request that nobody waits for."""

    def land(self, stored: Optional[StoredResponse]) -> None:
        pass

    def refuse(self, is_known: bool) -> None:
        pass

    def leave(self) -> None:
        pass

    def give_up(self) -> None:
        pass


class Led:
    """The flight of a request that others may wait for. Ended once, whatever happens."""

    __slots__ = ("_flight", "_key", "_middleware")

    def __init__(self, middleware: ResponseCache, flight: Flight[Any], key: bytes) -> None:
        self._flight: Optional[Flight[Any]] = flight
        self._middleware = middleware
        self._key = key

    def __del__(self) -> None:
        # Forgotten by who held it: an iterable that was never closed, a request whose handler has failed.
        self.give_up()

    def land(self, stored: Optional[StoredResponse]) -> None:
        """Those who wait get the answer; those who come until `leave`, too."""
        if self._flight is not None:
            self._flight.land(stored)
            self._middleware._unshared.discard(self._key)

    def refuse(self, is_known: bool) -> None:
        """There is none that others may have."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self._middleware._flights.leave(self._key, flight)
            if is_known:
                self._middleware._unshared.add(self._key)
            flight.land(None)

    def leave(self) -> None:
        """Who misses the key from now on asks again."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self._middleware._flights.leave(self._key, flight)

    def give_up(self) -> None:
        """One of those who wait takes over."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self._middleware._flights.leave(self._key, flight)
            flight.crash(Abandoned())


def board(middleware: ResponseCache, exchange: Exchange, fetch: Fetch) -> Steps[Union[LookUp, Serve, Fetch, Alone, Led]]:
    """Waits for another request that asks for the same, and says what to do next; or, by `Alone` or `Led`, that this one asks."""
    key = middleware._flight_of(exchange, fetch)
    if key is None:
        return Alone()
    deadline = time.monotonic() + middleware._policy.wait_timeout
    while True:
        flight, leads = middleware._flights.board(key)
        if leads:
            led = Led(middleware, flight, key)
            if middleware._has_come(exchange):
                led.give_up()
                return exchange.start()
            return led
        try:
            return exchange.landed((yield Landing(flight, max(0.0, deadline - time.monotonic()))))
        except Abandoned:
            continue
        except (TooLate, CacheError):
            # Or it would wait for itself: an application may ask itself something.
            return Alone()
        finally:
            # Not held by who keeps an exception.
            del flight
