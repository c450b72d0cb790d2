"""Runs a piece of a test in several threads at the same time, and waits for what must come to pass."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

# Far beyond what anything here takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 60.0


def until(is_so: Callable[[], object]) -> None:
    """Waits until something is so; fails when it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "what the test waits for did not come to pass"
        time.sleep(0.002)


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What several threads return that begin at the same time."""
    barrier, results, errors = threading.Barrier(count), [None] * count, []

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "a thread does not end"
    if errors:
        raise errors[0]
    return results
