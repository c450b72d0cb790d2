"""One tier of a ``SmartCache``, for programs that look at them: the cache's ``_memory_cache``, ``_redis_cache`` and ``_disk_cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from catzilla_cache._arguments import Key, found, key_bytes
from catzilla_cache._backend import backend as _backend
from catzilla_cache._open_cache import Tier

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache


class TierView:
    """What a ``SmartCache`` shows of one of its tiers to programs that look at them. Values go through the whole cache."""

    def __init__(self, cache: SmartCache, tier: Tier) -> None:
        self._cache = cache
        self.tier = tier

    def get(self, key: Key) -> tuple[Any, bool]:
        """As the cache's; the view of memory asks memory alone."""
        cache = self._cache
        if self.tier != "memory":
            return cache.get(key)
        status, data = _backend.read_memory(cache._live(), key_bytes(key), True)
        return cache._revive(key, data) if found(status) else (None, False)

    def set(self, key: Key, value: object, ttl: Optional[float] = None) -> bool:
        """As the cache's."""
        return self._cache.set(key, value, ttl)

    def delete(self, key: Key) -> bool:
        """As the cache's."""
        return self._cache.delete(key)

    def exists(self, key: Key) -> bool:
        """As the cache's."""
        return self._cache.exists(key)

    def clear(self) -> None:
        """As the cache's."""
        self._cache.clear()

    def get_stats(self) -> dict[str, int]:
        """The tier's hits and misses."""
        return self._cache.get_stats().tier_stats[self.tier]

    def health_check(self) -> bool:
        """Whether the tier can be used now."""
        return self._cache.health_check()[self.tier]

    def __repr__(self) -> str:
        return f"<the {self.tier} tier of {self._cache!r}>"
