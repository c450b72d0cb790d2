"""Opens the ``SmartCache`` below an adapter from what a framework's settings hold: options of the library by name."""

from __future__ import annotations

import math
import threading
from typing import Any, Mapping, Optional

from catzilla_cache.errors import CacheValueError
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

#: What is not an option of the library, but of the codec.
_OF_VALUES = ("codec", "secret")

_shared: dict[str, SmartCache] = {}
_shared_lock = threading.Lock()


def opened(options: Mapping[str, Any], secret: Any = None) -> SmartCache:
    """A cache with these options, such as ``{"memory.capacity": 50_000, "redis.url": "redis://..."}``.

    ``codec`` and ``secret`` among them are those of ``SmartCacheConfig``; the secret given beside them is for when there is none.
    """
    engine = {name: value for name, value in options.items() if name not in _OF_VALUES}
    return SmartCache(
        SmartCacheConfig(options=engine, codec=options.get("codec", "pickle"), secret=options.get("secret", secret))
    )


def shared(name: str, options: Mapping[str, Any], secret: Any = None) -> SmartCache:
    """The cache of this process with that name and these options; the first who asks opens it, and it stays open."""
    key = f"{name}\n{sorted((option, repr(value)) for option, value in options.items())}"
    with _shared_lock:
        cache = _shared.get(key)
        if cache is None or cache.closed:
            cache = _shared[key] = opened(options, secret)
        return cache


def place(location: Optional[str]) -> dict[str, object]:
    """Options for a place in one word: nothing is memory alone, a URL is Redis, a path is a folder on disk."""
    if not location:
        return {}
    if "://" in location:
        return {"redis.url": location}
    if location.startswith(("/", "./", "../", "~/")):
        return {"disk.path": location}
    raise CacheValueError(
        f"{location!r} is no place: nothing is memory alone, redis://... a server, /... a folder; options by name say all else"
    )


def forever_if_zero(timeout: Optional[float], default: float) -> float:
    """Seconds as cachelib counts them: None is the default, 0 and below has no end."""
    seconds = default if timeout is None else timeout
    return seconds if seconds > 0 else math.inf
