"""Threads for what may not wait where it is: calls of tasks that ask Redis or disk, and values that are loaded anew in the background.

None is started before the first such call. A forked child starts its own.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Optional

# As many as Redis has connections by default; more would wait for one.
_THREADS = 10

_lock = threading.Lock()
_executor: Optional[ThreadPoolExecutor] = None


def executor() -> ThreadPoolExecutor:
    """The threads of this process. The interpreter waits for them when it ends."""
    global _executor
    found = _executor
    if found is None:
        with _lock:
            found = _executor
            if found is None:
                found = _executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="catzilla-cache")
    return found


def _in_child() -> None:
    global _executor, _lock
    _executor, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
