"""``get_or_set``: who loads a missing value, who waits for it, and how it is kept. For threads and for tasks, who share their flights.

The two ways through differ in how they wait and nothing else; what they have in common is ``Load``.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional

from catzilla_cache import _status, _workers, codec
from catzilla_cache._annotation import Annotation
from catzilla_cache._arguments import Key, Tags, found, key_bytes, tag_bytes, timeout_ms, ttl_ms
from catzilla_cache._backend import backend as _backend
from catzilla_cache._open_cache import Tier
from catzilla_cache._flights import Abandoned, Flight, TooLate
from catzilla_cache.errors import CacheError, CacheValueError

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache

_FRESH, _STALE, _MISSING = range(3)

# By the lowest tier that a value goes to.
_PLACES = {"memory": _status.PUT_MEMORY_ONLY, "redis": _status.PUT_NOT_TO_DISK, "disk": 0}


class Load:
    """One call of ``get_or_set``: which key, and how what is loaded for it is stored."""

    __slots__ = ("beta", "cache", "flags", "fresh_for", "key", "lifetime_ms", "name", "tags", "timeout", "version")

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
        if lowest is not None and lowest not in _PLACES:
            raise CacheValueError(f"a tier is one of {', '.join(_PLACES)}, not {lowest!r}")
        if not grace >= 0 or not beta >= 0:
            raise CacheValueError(f"grace and beta are numbers, 0 or above, not {grace!r} and {beta!r}")
        timeout_ms(timeout)
        self.cache = cache
        self.key = key
        self.name = key_bytes(key)
        self.tags = tag_bytes(tags)
        self.timeout = timeout
        self.beta = beta
        #: Which tiers a loaded value goes to.
        self.flags = _PLACES[lowest or "disk"]
        self.version = 0
        #: For how many seconds a loaded value is fresh; None: for as long as it is kept.
        self.fresh_for: Optional[float] = None
        if grace or beta:
            fresh_for = ttl or cache.config.memory_ttl
            if math.isfinite(fresh_for):
                self.fresh_for = fresh_for
                ttl = fresh_for + grace
        self.lifetime_ms = ttl_ms(ttl)

    def decoded(self, data: bytes) -> tuple[int, Any]:
        """What stored bytes are worth to this call."""
        try:
            annotation, value = self.cache._decode(self.name, data)
        except codec.Refused:
            self.cache._delete(self.key)
            return _MISSING, None
        if annotation.fresh_until is None:
            return _FRESH, value
        now = time.time()
        # Before the end by a random time of the same order as a load takes. 1 - random() is never 0.
        early = -annotation.cost * self.beta * math.log(1 - random.random()) if self.beta else 0.0
        return (_STALE if now + early >= annotation.fresh_until else _FRESH), value

    def encoded(self, value: object, cost: float) -> bytes:
        """What is stored for a loaded value."""
        fresh_until = None if self.fresh_for is None else time.time() + self.fresh_for
        return self.cache._encode(self.name, value, self.lifetime_ms, Annotation(fresh_until, cost, self.tags))

    def board(self) -> tuple[Flight[Any], bool]:
        """The flight of the key, and whether this call leads it."""
        return self.cache._flights.board(self.name)

    def lease(self, deadline: Optional[float]) -> tuple[int, bytes, Optional[_backend.Lease]]:
        """Asks the library for the key, or for the right to load it; may ask Redis and disk, and wait for callers outside this package."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return _backend.lease(self.cache._live(), self.name, timeout_ms(left))

    def find_in_memory(self) -> tuple[int, Any]:
        """What memory has. If it has nothing, whoever goes on asks the library again, and is counted there."""
        status, data = _backend.read_memory(self.cache._live(), self.name, False)
        return self.answered(status, data)

    def answered(self, status: int, data: bytes) -> tuple[int, Any]:
        """What an answer of the library is worth, and the value in it."""
        return self.decoded(data) if found(status) else (_MISSING, None)

    def end(self, flight: Flight[Any], lease: Optional[_backend.Lease], value: object, begun: float) -> None:
        """Stores what was loaded, and hands it to everybody who waits. Raises when it cannot be stored."""
        data = self.encoded(value, time.monotonic() - begun)
        if lease is not None:
            # When it is refused (the cache was closed meanwhile, there is no memory) everybody has the value all the same.
            _backend.lease_fulfil(lease, data, self.lifetime_ms, self.tags, self.flags)
        self.land(flight, value)

    def land(self, flight: Flight[Any], value: object) -> None:
        """Hands the value to everybody who waits."""
        self.cache._flights.leave(self.name, flight)
        flight.land(value)

    def crash(self, flight: Flight[Any], lease: Optional[_backend.Lease], error: BaseException) -> None:
        """Hands an error to everybody who waits; what is no failure of the loader but the end of who ran it makes another one load."""
        self.cache._flights.leave(self.name, flight)
        if isinstance(error, Exception):
            if lease is not None:
                _backend.lease_fail(lease, _status.LOAD_FAILED)
            flight.crash(error)
        else:
            if lease is not None:
                _backend.lease_cancel(lease)
            flight.crash(Abandoned())

    # ---- Loading anew what is there ----

    def claim_refresh(self) -> bool:
        """Whether this call is to load anew what is stale: one in this process does at a time, and only if it is still there."""
        cache = self.cache
        with cache._refreshing_lock:
            if self.name in cache._refreshing:
                return False
            cache._refreshing.add(self.name)
        return True

    def find_version(self) -> bool:
        """Which version is to be replaced. False: none is there any more."""
        status, _, _, self.version, _ = _backend.inspect(self.cache._live(), self.name)
        return status == _status.OK

    def replace(self, value: object, begun: float) -> None:
        """Stores the new value, unless the key was set or deleted meanwhile."""
        data = self.encoded(value, time.monotonic() - begun)
        _backend.put_with(self.cache._live(), self.name, data, self.lifetime_ms, self.flags, self.version, self.tags)

    def refreshed(self) -> None:
        """The end of a claim."""
        with self.cache._refreshing_lock:
            self.cache._refreshing.discard(self.name)


# ---- For threads ----


def get_or_set(load: Load, loader: Callable[[], Any]) -> Any:
    """What ``SmartCache.get_or_set`` says."""
    worth, value = load.find_in_memory()
    if worth == _STALE:
        _refresh_in_background(load, loader)
    if worth != _MISSING:
        return value
    deadline = None if load.timeout is None else time.monotonic() + load.timeout
    while True:
        flight, leads = load.board()
        if leads:
            return _lead(load, flight, loader, deadline)
        try:
            return flight.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Abandoned:
            continue
        except TooLate:
            raise _too_late(load) from None


def _lead(load: Load, flight: Flight[Any], loader: Callable[[], Any], deadline: Optional[float]) -> Any:
    lease: Optional[_backend.Lease] = None
    try:
        status, data, lease = load.lease(deadline)
        if lease is None:
            worth, value = load.answered(status, data)
            if worth == _STALE:
                _refresh_in_background(load, loader)
            if worth != _MISSING:
                load.land(flight, value)
                return value
        begun = time.monotonic()
        value = loader()
        load.end(flight, lease, value, begun)
        return value
    except BaseException as error:
        load.crash(flight, lease, error)
        raise


def _refresh_in_background(load: Load, loader: Callable[[], Any]) -> None:
    if load.claim_refresh():
        _workers.executor().submit(_refresh, load, loader)


def _refresh(load: Load, loader: Callable[[], Any]) -> None:
    try:
        if load.find_version():
            begun = time.monotonic()
            load.replace(loader(), begun)
    except Exception:
        # The stale value goes on being served until its grace is over; then whoever asks gets the failure.
        load.cache._count_failed_refresh()
    finally:
        load.refreshed()


# ---- For tasks ----


async def get_or_set_async(load: Load, loader: Callable[[], Awaitable[Any]]) -> Any:
    """The same; ``loader()`` is awaited."""
    worth, value = load.find_in_memory()
    if worth == _STALE:
        _refresh_in_task(load, loader)
    if worth != _MISSING:
        return value
    deadline = None if load.timeout is None else time.monotonic() + load.timeout
    while True:
        flight, leads = load.board()
        if leads:
            return await _lead_async(load, flight, loader, deadline)
        try:
            return await flight.wait_async(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Abandoned:
            continue
        except TooLate:
            raise _too_late(load) from None


async def _lead_async(
    load: Load, flight: Flight[Any], loader: Callable[[], Awaitable[Any]], deadline: Optional[float]
) -> Any:
    lease: Optional[_backend.Lease] = None
    try:
        status, data, lease = await off_loop(load.lease, deadline)
        if lease is None:
            worth, value = load.answered(status, data)
            if worth == _STALE:
                _refresh_in_task(load, loader)
            if worth != _MISSING:
                load.land(flight, value)
                return value
        begun = time.monotonic()
        value = await loader()
        if load.cache._asks_below:
            await off_loop(load.end, flight, lease, value, begun)
        else:
            load.end(flight, lease, value, begun)
        return value
    except BaseException as error:
        load.crash(flight, lease, error)
        raise


def _refresh_in_task(load: Load, loader: Callable[[], Awaitable[Any]]) -> None:
    if load.claim_refresh():
        tasks = load.cache._tasks
        task = asyncio.ensure_future(_refresh_async(load, loader))
        # The loop itself keeps no task.
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _refresh_async(load: Load, loader: Callable[[], Awaitable[Any]]) -> None:
    try:
        if await off_loop(load.find_version):
            begun = time.monotonic()
            await off_loop(load.replace, await loader(), begun)
    except Exception:
        load.cache._count_failed_refresh()
    finally:
        load.refreshed()


async def off_loop(call: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a call that may wait, on a thread of its own."""
    return await asyncio.get_running_loop().run_in_executor(_workers.executor(), call, *arguments)


def _too_late(load: Load) -> CacheError:
    return CacheError(f"{load.key!r} is being loaded, and was not there within {load.timeout} s", _status.TIMED_OUT)
