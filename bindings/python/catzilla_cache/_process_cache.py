"""The one cache that a process has without opening any: ``get_cache`` and ``reset_cache``."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from catzilla_cache._smart_config import SmartCacheConfig
    from catzilla_cache.smart_cache import SmartCache

_the_cache: Optional[SmartCache] = None
_the_cache_lock = threading.Lock()


def _in_child() -> None:
    global _the_cache_lock
    _the_cache_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def get_cache(config: Optional[SmartCacheConfig] = None) -> SmartCache:
    """The cache of this process, opened by the first call, with its configuration; later ones get the same, whatever they pass."""
    global _the_cache
    cache = _the_cache
    if cache is None or cache.closed:
        from catzilla_cache.smart_cache import SmartCache

        with _the_cache_lock:
            cache = _the_cache
            if cache is None or cache.closed:
                cache = _the_cache = SmartCache(config)
    return cache


def reset_cache() -> None:
    """Clears the cache of this process, in every tier, and closes it; the next ``get_cache`` opens another."""
    global _the_cache
    with _the_cache_lock:
        cache, _the_cache = _the_cache, None
    if cache is not None and not cache.closed:
        cache.clear()
        cache.close()
