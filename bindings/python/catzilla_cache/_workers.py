"""Threads for what may not wait where it is: calls of tasks that ask Redis or disk, and values that are loaded anew in the background.

None is started before the first such call. A forked child starts its own.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

# As many as Redis has connections by default; more would wait for one.
_CALLERS = 10

# Loaders are the program's own code, and may take any time: they have threads apart, so that no call of a task waits for one.
# Arbitrary: more than one, since they mostly wait for others, and few, since nobody waits for them.
_REFRESHERS = 4

_lock = threading.Lock()
_executors: "dict[str, ThreadPoolExecutor]" = {}


def callers() -> ThreadPoolExecutor:
    """The threads that tasks leave their calls to. The interpreter waits for them when it ends."""
    return _executors.get("call") or _made("call", _CALLERS)


def refreshers() -> ThreadPoolExecutor:
    """The threads that load values anew."""
    return _executors.get("load") or _made("load", _REFRESHERS)


def _made(name: str, threads: int) -> ThreadPoolExecutor:
    with _lock:
        if name not in _executors:
            _executors[name] = ThreadPoolExecutor(threads, thread_name_prefix=f"catzilla-cache-{name}")
        return _executors[name]


def _in_child() -> None:
    global _executors, _lock
    _executors, _lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
