"""What passes for a coroutine function without being one: callables of the compiled module that return what can be awaited."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Awaitable, Callable


def mark_as_coroutine_function(wrapper: Any, function: Callable[..., Awaitable[Any]]) -> None:
    """Makes ``inspect.iscoroutinefunction`` true of it, which frameworks ask before they await what a handler returns.

    Python 3.9 takes nothing but functions for functions there; ``asyncio.iscoroutinefunction`` believes its own mark.
    """
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(wrapper)
        return
    # What 3.10 and 3.11 look at is the code's flags, of anything that has the attributes of a function.
    plain = inspect.unwrap(function)
    for name in ("__code__", "__defaults__", "__kwdefaults__"):
        setattr(wrapper, name, getattr(plain, name, None))
    import asyncio.coroutines

    wrapper._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
