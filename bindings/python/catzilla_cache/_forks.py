"""What a forked child has to make anew: locks that a thread of the parent held, and what waits for threads that are not there any more."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewed(Protocol):
    """An object of this process that cannot be used in a child as it is."""

    def renew_in_child(self) -> None:
        """Called in a forked child, before anything else runs there."""


_renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()


def watch(thing: Renewed) -> None:
    """Has it renewed in every forked child, for as long as it lives."""
    _renewed.add(thing)


def _in_child() -> None:
    for thing in list(_renewed):
        thing.renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
