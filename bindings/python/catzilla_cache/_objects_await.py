"""Coroutine functions that remember their results: what is done about a result that is not there.

Called by the object cache's decorator, compiled or not, for a call that has found nothing. In one event loop the tasks
that await one call's result run the function once. What it raises, and a cancellation, goes to the task that ran it; of
the others the next one runs the function. Two loops, which are two threads, run it once each.
"""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Mapping, Optional

_MISSING = object()


class _Run:
    """A call under way, and who waits for it."""

    __slots__ = ("task", "outcome", "waiters")

    def __init__(self) -> None:
        self.task = asyncio.current_task()
        #: Empty: it has brought nothing, or not yet.
        self.outcome: tuple[Any, ...] = ()
        # One for each who waits: to cancel one must not cancel all.
        self.waiters: list[asyncio.Future[None]] = []

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        for waiter in self.waiters:
            if not waiter.done() and not loop.is_closed():
                waiter.set_result(None)


class Runs:
    """The calls under way of one function."""

    def __init__(self, function: Callable[..., Awaitable[Any]], cache: Any) -> None:
        self._function = function
        self._cache = cache
        # By loop, key, and how often the cache had been cleared: what was begun before is no answer to who comes after.
        self._runs: dict[tuple[asyncio.AbstractEventLoop, int, Any], _Run] = {}

    async def bring(self, key: Any, arguments: tuple[Any, ...], keywords: Optional[Mapping[str, Any]]) -> Any:
        """The result of a call: from the cache, from a call under way, or from the function."""
        loop = asyncio.get_running_loop()
        while True:
            value = self._cache._peek(key, _MISSING)
            if value is not _MISSING:
                return value
            clears = self._cache._figures()[-1]
            place = (loop, clears, key)
            run = self._runs.get(place)
            if run is None:
                run = self._runs[place] = _Run()
                try:
                    value = await self._function(*arguments, **(keywords or {}))
                    if self._cache._figures()[-1] == clears:
                        self._cache.put(key, value)
                    run.outcome = (value,)
                    return value
                finally:
                    self._runs.pop(place, None)
                    run.end(loop)
            if run.task is not None and run.task is asyncio.current_task():
                raise RuntimeError(f"the coroutine of the key {key!r} awaits that very key: it would wait for itself")
            waiter: asyncio.Future[None] = loop.create_future()
            run.waiters.append(waiter)
            await waiter
            if run.outcome:
                return run.outcome[0]
            # It brought nothing: the next one runs it, and that may be this one.
