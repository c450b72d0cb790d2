"""``get_or_set`` for tasks: as ``_loading``, but nothing here waits on the thread of a loop. Imported by those who await."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional

from catzilla_cache import _workers
from catzilla_cache._flights import Abandoned, Flight, TooLate
from catzilla_cache._loading import MISSING, STALE, Answer, Load, too_late

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache


async def get_or_set_async(load: Load, loader: Callable[[], Any]) -> Any:
    """What ``AsyncCache.get_or_set`` says."""
    worth, value = load.find_in_memory()
    if worth == STALE:
        _refresh_in_task(load, loader)
    if worth != MISSING:
        return value
    deadline = None if load.timeout is None else time.monotonic() + load.timeout
    while True:
        flight, leads = load.board()
        try:
            if leads:
                return await _lead_async(load, flight, loader, deadline)
            return await flight.wait_async(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Abandoned:
            continue
        except TooLate:
            raise too_late(load) from None
        finally:
            del flight


async def _lead_async(
    load: Load, flight: Flight[Any], loader: Callable[[], Any], deadline: Optional[float]
) -> Any:
    try:
        worth, value, lease = _ask_at_once(load, flight) or await _ask_elsewhere(load, flight, deadline)
        if worth != MISSING:
            load.land(flight, value)
            if worth == STALE:
                _refresh_in_task(load, loader)
            return value
        begun = time.monotonic()
        try:
            value = await _loaded(loader)
        except BaseException as error:
            load.crash(flight, lease, error)
            raise
        if not load.cache._asks_below:
            load.end(flight, lease, value, begun)
            return value
        try:
            storing = _workers.callers().submit(load.end, flight, lease, value, begun)
        except BaseException as error:
            load.crash(flight, lease, error)
            raise
    finally:
        del flight
    # Whoever cancels this task now does not cancel that: what was loaded is stored, and handed on.
    await asyncio.shield(asyncio.wrap_future(storing))
    return value


async def _loaded(loader: Callable[[], Any]) -> Any:
    """What a loader returns, or what that comes to."""
    value = loader()
    return await value if isinstance(value, Awaitable) else value


def _ask_at_once(load: Load, flight: Flight[Any]) -> Optional[Answer]:
    """The answer, if there is memory alone, which is asked here and now. Ends the flight when it raises."""
    if load.cache._asks_below:
        return None
    try:
        return load.ask(time.monotonic())
    except TooLate:
        # Somebody outside this package loads it, and that can be waited for elsewhere.
        return None
    except BaseException as error:
        load.crash(flight, None, error)
        raise


async def _ask_elsewhere(load: Load, flight: Flight[Any], deadline: Optional[float]) -> Answer:
    """The answer, waited for on another thread. Ends the flight when it raises."""
    try:
        asked = _workers.callers().submit(load.ask, deadline)
    except BaseException as error:
        load.crash(flight, None, error)
        raise
    try:
        return await asyncio.wrap_future(asked)
    except BaseException:
        # A task that is cancelled does not stop the thread, which may be given the right to load after this.
        asked.add_done_callback(lambda asked: load.give_up(flight, asked))
        raise


def _refresh_in_task(load: Load, loader: Callable[[], Any]) -> None:
    if load.claim():
        task = asyncio.ensure_future(_refresh_async(load, loader))
        load.claimed_by(task)
        # Not at the end of the coroutine, which never begins if the task is cancelled before.
        task.add_done_callback(lambda _: load.release())


async def _refresh_async(load: Load, loader: Callable[[], Any]) -> None:
    cache = load.cache
    try:
        if await in_turn(cache, load.is_still_stale):
            begun = time.monotonic()
            await in_turn(cache, load.replace, await _loaded(loader), begun)
    except Exception:
        cache._count_failed_refresh()


async def in_turn(cache: SmartCache, call: Callable[..., Any], *arguments: Any) -> Any:
    """Makes a call on a cache: here and now if it waits for nothing, else on a thread of its own."""
    if not cache._asks_below:
        return call(*arguments)
    return await off_loop(call, *arguments)


async def off_loop(call: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a call that may wait, on a thread of its own."""
    return await asyncio.get_running_loop().run_in_executor(_workers.callers(), call, *arguments)
