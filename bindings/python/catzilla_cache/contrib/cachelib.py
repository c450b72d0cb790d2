"""A cache for what takes those of cachelib, such as Flask-Session.

CatzillaCache({"memory.capacity": 50_000, "redis.url": "redis://localhost:6379/0"}, default_timeout=60)
"""

from __future__ import annotations

import datetime
from typing import Any, Mapping, Optional, Union

from cachelib import BaseCache  # type: ignore[import-untyped,import-not-found,unused-ignore]

from catzilla_cache.contrib.opening import forever_if_zero, opened

_Timeout = Union[int, datetime.timedelta, None]


class CatzillaCache(BaseCache):  # type: ignore[misc,unused-ignore]
    """Values of any kind under ``key_prefix``, with the library's options by name. ``clear`` removes what has the prefix.

    A timeout of 0 has no end, as everywhere in cachelib. ``inc`` and ``dec`` lose nothing among threads.
    """

    def __init__(
        self,
        options: Optional[Mapping[str, Any]] = None,
        default_timeout: Union[int, datetime.timedelta] = 300,
        key_prefix: Optional[str] = None,
        **of_cachelib: Any,
    ) -> None:
        super().__init__(default_timeout, **of_cachelib)
        self._cache = opened(options or {})
        self.key_prefix = key_prefix or ""

    def get(self, key: str) -> Any:
        return self._cache.get(self.key_prefix + key)[0]

    def get_many(self, *keys: str) -> list[Any]:
        found = self._cache.get_many([self.key_prefix + key for key in keys])
        return [found.get(self.key_prefix + key) for key in keys]

    def set(self, key: str, value: Any, timeout: _Timeout = None) -> bool:
        return self._cache.set(self.key_prefix + key, value, self._ttl(timeout))

    def set_many(self, mapping: Mapping[str, Any], timeout: _Timeout = None) -> list[Any]:
        self._cache.set_many({self.key_prefix + key: value for key, value in mapping.items()}, self._ttl(timeout))
        return list(mapping)

    def add(self, key: str, value: Any, timeout: _Timeout = None) -> bool:
        return self._cache.add(self.key_prefix + key, value, self._ttl(timeout))

    def delete(self, key: str) -> bool:
        return self._cache.delete(self.key_prefix + key)

    def delete_many(self, *keys: str) -> list[Any]:
        """Those that are not there afterwards: all."""
        self._cache.delete_many([self.key_prefix + key for key in keys])
        return list(keys)

    def has(self, key: str) -> bool:
        return self._cache.exists(self.key_prefix + key)

    def inc(self, key: str, delta: int = 1) -> int:
        name = self.key_prefix + key
        # A counter that begins has the default timeout, as all that is set without one.
        return delta if self._cache.add(name, delta, self._ttl(None)) else self._cache.incr(name, delta)

    def dec(self, key: str, delta: int = 1) -> int:
        return self.inc(key, -delta)

    def clear(self) -> bool:
        if self.key_prefix:
            self._cache.delete_prefix(self.key_prefix)
        else:
            self._cache.clear()
        return True

    def _ttl(self, timeout: _Timeout) -> float:
        seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else timeout
        default = self.default_timeout
        return forever_if_zero(seconds, default.total_seconds() if isinstance(default, datetime.timedelta) else default)
