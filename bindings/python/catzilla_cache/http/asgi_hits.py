"""A middleware's ``__call__`` for hits: what its finder has is sent, and nothing else is done.

The compiled module has the same (`native/http_call.c`), where a hit has no frame of Python's: a server's ``send`` is awaited for both
messages by an object that passes for a coroutine.
"""

from __future__ import annotations

import functools
from typing import Any, Awaitable, Callable, TypeVar, cast

from catzilla_cache._backend import backend
from catzilla_cache._coroutines import mark_as_coroutine_function

Call = TypeVar("Call", bound=Callable[..., Awaitable[None]])


def from_memory_first(rest: Call) -> Call:
    """Has the method that is called for all requests see those only that the finder leaves to it."""
    # Not there for CPython 3.9, which has nothing by which an awaitable could be driven from C.
    compiled: Any = getattr(getattr(backend, "native", None), "AsgiCall", None)
    return in_python(rest) if compiled is None else by_module(compiled, rest)


def by_module(compiled: Callable[[Call], Any], rest: Call) -> Call:
    """With the type of the compiled module."""
    call = compiled(rest)
    functools.update_wrapper(call, rest)
    mark_as_coroutine_function(call, rest)
    return cast(Call, call)


def in_python(rest: Call) -> Call:
    """With a coroutine function."""

    @functools.wraps(rest)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        found = self._finder.find(scope)
        if found is None:
            await rest(self, scope, receive, send)
            return
        start, body = found
        await send(start)
        await send(body)

    return cast(Call, call)


async def awaiting(awaitable: Awaitable[Any]) -> None:
    """A coroutine that awaits what is none: for `native/http_sending.c`, whose server has a ``send`` that is no coroutine function."""
    await awaitable
