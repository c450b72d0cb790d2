"""One tier of a ``SmartCache``, for programs that look at them: the cache's ``_memory_cache``, ``_redis_cache`` and ``_disk_cache``."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from catzilla_cache._arguments import Key, found, key_bytes
from catzilla_cache._backend import backend as _backend
from catzilla_cache._open_cache import TIERS, Tier
from catzilla_cache.stats import CacheStats

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache


class TierView:
    """One tier of a ``SmartCache``, for programs that look at it: what it has, apart from the others."""

    __slots__ = ("_cache", "_number", "tier")

    def __init__(self, cache: SmartCache, tier: Tier) -> None:
        # Not the other way round, too: the cache would be kept by its views.
        self._cache = weakref.proxy(cache)
        self._number = TIERS[tier]
        self.tier = tier

    def exists(self, key: Key) -> bool:
        """Whether this tier has the key, whatever the others have."""
        return found(_backend.tier_contains(self._cache._live(), self._number, key_bytes(key)))

    def get(self, key: Key) -> tuple[Any, bool]:
        """The value of a key that this tier has."""
        cache = self._cache
        if self.tier != "memory":
            return cache.get(key) if self.exists(key) else (None, False)
        status, data = _backend.read_memory(cache._live(), key_bytes(key), True)
        return cache._revive(key, data) if found(status) else (None, False)

    def set(self, key: Key, value: object, ttl: Optional[float] = None) -> bool:
        """As the cache's: no tier is written to by itself, since another would have an older value then."""
        return bool(self._cache.set(key, value, ttl))

    def delete(self, key: Key) -> bool:
        """Removes a key from this tier. A look-up that finds it in another brings it back."""
        return found(_backend.tier_remove(self._cache._live(), self._number, key_bytes(key)))

    def clear(self) -> None:
        """As the cache's; the view of memory clears memory alone."""
        if self.tier != "memory":
            self._cache.clear()
            return
        for key in list(self._cache.keys()):
            self.delete(key)

    def get_stats(self) -> CacheStats:
        """The cache's figures, with this tier's hits and misses as the hits and misses."""
        stats: CacheStats = self._cache.get_stats()
        hits, misses = stats.tier_stats[self.tier]["hits"], stats.tier_stats[self.tier]["misses"]
        return replace(
            stats,
            hits=hits,
            misses=misses,
            requests=hits + misses,
            total_requests=hits + misses,
            hit_ratio=hits / (hits + misses) if hits + misses else 0.0,
        )

    def health_check(self) -> bool:
        """Whether the tier can be used now."""
        return bool(self._cache.health_check()[self.tier])

    def __repr__(self) -> str:
        return f"<the {self.tier} tier of a SmartCache>"
