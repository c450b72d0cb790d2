"""``get_or_set``: who loads a missing value, who waits for it, and how it is kept. For threads and for tasks, who share their flights.

The two ways through differ in how they wait and nothing else: ``_loading_async`` is the other. What they have in common is ``Load``.
"""

from __future__ import annotations

import contextvars
import math
import random
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Coroutine, Iterable, Mapping, NamedTuple, Optional, Union

from catzilla_cache import _annotation, _status, _workers, codec
from catzilla_cache._annotation import Annotation
from catzilla_cache._arguments import Key, Tags, check, found, key_bytes, tag_bytes, timeout_ms, ttl_ms
from catzilla_cache._backend import backend as _backend
from catzilla_cache._open_cache import Tier
from catzilla_cache._flights import Abandoned, Flight, TooLate
from catzilla_cache.errors import CacheError, CacheValueError

if TYPE_CHECKING:
    import asyncio

    from catzilla_cache.smart_cache import SmartCache

FRESH, STALE, MISSING = range(3)

# By the lowest tier that a value goes to.
_PLACES = {"memory": _status.PUT_MEMORY_ONLY, "redis": _status.PUT_NOT_TO_DISK, "disk": 0}

# How often a leader asks again after it has removed what is not to be believed. Somebody who goes on writing such things, or a tier
# that cannot remove them, must not keep a value from being loaded.
_ATTEMPTS = 2


class Answer(NamedTuple):
    """What a leader was told: what there is, or that it may load."""

    worth: int
    value: Any
    #: The right to load the key. None, and nothing is there: somebody outside this package keeps it busy, and what is loaded is just set.
    lease: Optional[_backend.Lease]


def check_wishes(timeout: Optional[float], grace: float, beta: float, lowest: Optional[Tier]) -> None:
    """Refuses what no load can be asked for."""
    if lowest is not None and lowest not in _PLACES:
        raise CacheValueError(f"a tier is one of {', '.join(_PLACES)}, not {lowest!r}")
    for number in (grace, beta):
        if not isinstance(number, (int, float)) or not number >= 0:
            raise CacheValueError(f"grace and beta are numbers, 0 or above, not {grace!r} and {beta!r}")
    timeout_ms(timeout)


class Load:
    """One call of ``get_or_set``: which key, and how what is loaded for it is stored."""

    __slots__ = ("beta", "cache", "flags", "fresh_for", "key", "lifetime_ms", "name", "seen_until", "tags", "timeout", "version")

    def __init__(
        self,
        cache: SmartCache,
        key: Key,
        ttl: Optional[float],
        tags: Tags,
        timeout: Optional[float],
        grace: float,
        beta: float,
        lowest: Optional[Tier] = None,
    ) -> None:
        check_wishes(timeout, grace, beta, lowest)
        self.cache = cache
        self.key = key
        self.name = key_bytes(key)
        self.tags = tag_bytes(tags)
        self.timeout = timeout
        self.beta = beta
        #: Which tiers a loaded value goes to.
        self.flags = _PLACES[lowest or "disk"]
        #: Of what is to be replaced; 0 when it is not in memory, which alone has versions.
        self.version = 0
        #: Until when the stale value was fresh that this call was given.
        self.seen_until: Optional[float] = None
        #: For how many seconds a loaded value is fresh; None: for as long as it is kept.
        self.fresh_for: Optional[float] = None
        self.lifetime_ms = ttl_ms(ttl)
        if grace or beta:
            fresh_for = ttl or cache._stored.lifetimes.shortest
            if math.isfinite(fresh_for):
                self.fresh_for = fresh_for
                self.lifetime_ms = ttl_ms(fresh_for + grace)
                cache._has_annotated = True

    # ---- What is there ----

    def find_in_memory(self) -> tuple[int, Any]:
        """What memory has. If it has nothing, whoever goes on asks the library again, and is counted there."""
        status, data = _backend.read_memory(self.cache._live(), self.name, False)
        return self._worth(data) if found(status) else (MISSING, None)

    def ask(self, deadline: Optional[float]) -> Answer:
        """Asks the library for the key, or for the right to load it. May ask Redis and disk, and wait for callers outside this package."""
        for _ in range(_ATTEMPTS):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            status, data, lease = _backend.lease(self.cache._live(), self.name, timeout_ms(left))
            if lease is not None:
                return Answer(MISSING, None, lease)
            if status == _status.TIMED_OUT:
                raise TooLate
            if not found(status):
                break
            worth, value = self._worth(data)
            if worth != MISSING:
                return Answer(worth, value, None)
            # As long as it is there, the library gives nobody the right to load it.
            self.cache._delete(self.key)
        return Answer(MISSING, None, None)

    def _worth(self, data: bytes) -> tuple[int, Any]:
        """What stored bytes are worth to this call, and the value in them."""
        try:
            annotation, value = self.cache._stored.decode(self.name, data)
        except codec.Refused:
            return MISSING, None
        if annotation.fresh_until is None:
            return FRESH, value
        now = time.time()
        # Before the end by a random time of the same order as a load takes. 1 - random() is never 0.
        early = -annotation.cost * self.beta * math.log(1 - random.random()) if self.beta else 0.0
        self.seen_until = annotation.fresh_until
        return (STALE if now + early >= annotation.fresh_until else FRESH), value

    # ---- Flights ----

    def board(self) -> tuple[Flight[Any], bool]:
        """The flight of the key, and whether this call leads it."""
        return self.cache._flights.board(self.name)

    def end(self, flight: Flight[Any], lease: Optional[_backend.Lease], value: object, begun: float) -> None:
        """Stores what was loaded, and hands it to everybody who waits. What cannot be stored is an error to them all."""
        try:
            data = self._encoded(value, time.monotonic() - begun)
            # When it is refused (the cache was closed meanwhile, there is no room) everybody has the value all the same.
            if lease is not None:
                _backend.lease_fulfil(lease, data, self.lifetime_ms, self.tags, self.flags)
            elif not self.cache.closed:
                _backend.put_with(self.cache._live(), self.name, data, self.lifetime_ms, self.flags, 0, self.tags)
            self.land(flight, value)
        except BaseException as error:
            self.crash(flight, lease, error)
            raise

    def land(self, flight: Flight[Any], value: object) -> None:
        """Hands the value to everybody who waits."""
        self.cache._flights.leave(self.name, flight)
        flight.land(value)

    def crash(self, flight: Flight[Any], lease: Optional[_backend.Lease], error: BaseException) -> None:
        """Hands an error to everybody who waits; what is no failure of the loader but the end of who ran it makes another one load."""
        is_failure = isinstance(error, Exception) and not isinstance(error, TooLate)
        # Before anybody else can lead: who asks for a lease while this thread's own is out is refused.
        if lease is not None:
            if is_failure:
                _backend.lease_fail(lease, _status.LOAD_FAILED)
            else:
                _backend.lease_cancel(lease)
        self.cache._flights.leave(self.name, flight)
        flight.crash(error if is_failure else Abandoned())

    def give_up(self, flight: Flight[Any], asked: Future[Answer]) -> None:
        """The end of a flight whose leader was cancelled while it asked: called when the answer is there."""
        error = None if asked.cancelled() else asked.exception()
        lease = None if asked.cancelled() or error is not None else asked.result().lease
        self.crash(flight, lease, error or BaseException("given up"))

    def _encoded(self, value: object, cost: float) -> bytes:
        """What is stored for a loaded value."""
        fresh_until = None if self.fresh_for is None else time.time() + self.fresh_for
        return self.cache._stored.encode(self.name, value, self.lifetime_ms, Annotation(fresh_until, cost, self.tags))

    # ---- Loading anew what is there ----

    def claim(self) -> bool:
        """Whether this call is to load anew what is stale: one in this process does at a time."""
        cache = self.cache
        with cache._lock:
            if self.name in cache._refreshing:
                task = cache._refreshing[self.name]
                # A task whose loop has ended never does.
                if task is None or not task.get_loop().is_closed():
                    return False
            cache._refreshing[self.name] = None
            return True

    def claimed_by(self, task: asyncio.Future[Any]) -> None:
        """Notes who loads. The loop itself does not keep its tasks."""
        self.cache._refreshing[self.name] = task

    def release(self) -> None:
        """The end of a claim."""
        with self.cache._lock:
            self.cache._refreshing.pop(self.name, None)

    def is_still_stale(self) -> bool:
        """Whether there still is what this call was given, and nobody has loaded it anew."""
        status, data, _, self.version, _ = _backend.inspect(self.cache._live(), self.name)
        if not found(status):
            return False
        try:
            annotation, _ = _annotation.read(data)
        except ValueError:
            return False
        return annotation.fresh_until == self.seen_until

    def replace(self, value: object, begun: float) -> None:
        """Stores the new value, unless the key was set or deleted meanwhile."""
        data = self._encoded(value, time.monotonic() - begun)
        condition = 0 if self.version else _status.PUT_IF_PRESENT
        status, _ = _backend.put_with(
            self.cache._live(), self.name, data, self.lifetime_ms, self.flags | condition, self.version, self.tags
        )
        if status not in (_status.NOT_FOUND, _status.VERSION_MISMATCH):
            check(status)


# ---- What callers load with ----

#: What ``warm`` takes: pairs, or a mapping.
Loaders = Union[Mapping[Key, Callable[[], Any]], Iterable[tuple[Key, Callable[[], Any]]]]


def pairs_of(loaders: Loaders) -> Iterable[tuple[Key, Callable[[], Any]]]:
    """Keys and who loads them."""
    return loaders.items() if isinstance(loaders, Mapping) else loaders


def loaded(loader: Callable[[], Any]) -> Any:
    """What a loader returns on a thread, which awaits nothing."""
    value = loader()
    if isinstance(value, Awaitable):
        if isinstance(value, Coroutine):
            value.close()
        raise CacheValueError("the loader returned something to await; that is for `await cache.aio.get_or_set(...)`")
    return value


# ---- For threads ----


def get_or_set(load: Load, loader: Callable[[], Any]) -> Any:
    """What ``SmartCache.get_or_set`` says."""
    worth, value = load.find_in_memory()
    if worth == STALE:
        _refresh_in_background(load, loader)
    if worth != MISSING:
        return value
    deadline = None if load.timeout is None else time.monotonic() + load.timeout
    while True:
        flight, leads = load.board()
        try:
            if leads:
                return _lead(load, flight, loader, deadline)
            return flight.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Abandoned:
            continue
        except TooLate:
            raise too_late(load) from None
        finally:
            # It holds what was raised, and that this frame.
            del flight


def _lead(load: Load, flight: Flight[Any], loader: Callable[[], Any], deadline: Optional[float]) -> Any:
    lease: Optional[_backend.Lease] = None
    try:
        worth, value, lease = load.ask(deadline)
        if worth == MISSING:
            begun = time.monotonic()
            value = loaded(loader)
            load.end(flight, lease, value, begun)
        else:
            load.land(flight, value)
    except BaseException as error:
        load.crash(flight, lease, error)
        raise
    finally:
        del flight
    if worth == STALE:
        _refresh_in_background(load, loader)
    return value


def _refresh_in_background(load: Load, loader: Callable[[], Any]) -> None:
    if load.claim():
        try:
            _workers.refreshers().submit(contextvars.copy_context().run, _refresh, load, loader)
        except RuntimeError:
            # The interpreter is ending, and starts nothing any more; the stale value is there all the same.
            load.release()


def _refresh(load: Load, loader: Callable[[], Any]) -> None:
    try:
        if load.is_still_stale():
            begun = time.monotonic()
            load.replace(loaded(loader), begun)
    except Exception:
        # The stale value goes on being served until its grace is over; then whoever asks gets the failure.
        load.cache._count_failed_refresh()
    finally:
        load.release()


def too_late(load: Load) -> CacheError:
    """What a caller is told whose time is over."""
    return CacheError(f"{load.key!r} is being loaded, and was not there within {load.timeout} s", _status.TIMED_OUT)
