"""A cache that can stand wherever one of aiocache does.

    cache = CatzillaCache({"memory.capacity": 50_000, "redis.url": "redis://localhost:6379/0"}, namespace="main:")

    @aiocache.cached(ttl=10, cache=CatzillaCache)

A hit in memory waits for nothing; what asks Redis or disk leaves the event loop free. Values of any kind go without a
serializer, which is the default; with one of aiocache's, the cache stores what that makes.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, Iterable, Mapping, Optional

from aiocache.base import BaseCache  # type: ignore[import-untyped,import-not-found,unused-ignore]
from aiocache.serializers import NullSerializer  # type: ignore[import-untyped,import-not-found,unused-ignore]

from catzilla_cache.contrib.opening import opened
from catzilla_cache.errors import CacheValueError


class CatzillaCache(BaseCache):  # type: ignore[misc,unused-ignore]
    """See the module. Without a TTL an entry has no end, as everywhere in aiocache."""

    NAME = "catzilla"

    def __init__(self, options: Optional[Mapping[str, Any]] = None, serializer: Any = None, **of_aiocache: Any) -> None:
        super().__init__(serializer=serializer or NullSerializer(), **of_aiocache)
        self._cache = opened(options or {})
        self._aio = self._cache.aio

    def _build_key(self, key: Any, namespace: Optional[str] = None) -> Any:
        prefix = namespace if namespace is not None else self.namespace
        text = key.value if isinstance(key, Enum) else key
        return f"{prefix}{text}" if prefix is not None else text

    async def _get(self, key: Any, encoding: Optional[str] = "utf-8", _conn: Any = None) -> Any:
        return (await self._aio.get(key))[0]

    async def _gets(self, key: Any, encoding: Optional[str] = "utf-8", _conn: Any = None) -> Any:
        return await self._get(key)

    async def _multi_get(self, keys: Iterable[Any], encoding: Optional[str] = "utf-8", _conn: Any = None) -> list[Any]:
        asked = list(keys)
        found = await self._aio.get_many(asked)
        return [found.get(key) for key in asked]

    async def _set(
        self, key: Any, value: Any, ttl: Optional[float] = None, _cas_token: Any = None, _conn: Any = None
    ) -> Any:
        if _cas_token is not None and _cas_token != await self._get(key):
            return 0
        return await self._aio.set(key, value, _lifetime(ttl))

    async def _multi_set(self, pairs: Iterable[tuple[Any, Any]], ttl: Optional[float] = None, _conn: Any = None) -> bool:
        return await self._aio.set_many(dict(pairs), _lifetime(ttl))

    async def _add(self, key: Any, value: Any, ttl: Optional[float] = None, _conn: Any = None) -> bool:
        if not await self._aio.add(key, value, _lifetime(ttl)):
            raise ValueError(f"Key {key} already exists, use .set to update the value")
        return True

    async def _exists(self, key: Any, _conn: Any = None) -> bool:
        return await self._aio.exists(key)

    async def _increment(self, key: Any, delta: int, _conn: Any = None) -> int:
        if await self._aio.add(key, delta, math.inf):
            return delta
        try:
            return await self._aio.incr(key, delta)
        except CacheValueError:
            raise TypeError("Value is not an integer") from None

    async def _expire(self, key: Any, ttl: Optional[float], _conn: Any = None) -> bool:
        return await self._aio.touch(key, _lifetime(ttl))

    async def _delete(self, key: Any, _conn: Any = None) -> int:
        return int(await self._aio.delete(key))

    async def _clear(self, namespace: Optional[str] = None, _conn: Any = None) -> bool:
        if namespace:
            await self._aio.delete_prefix(namespace)
        else:
            await self._aio.clear()
        return True

    async def _raw(
        self, command: str, *arguments: Any, encoding: Optional[str] = "utf-8", _conn: Any = None, **named: Any
    ) -> Any:
        """A method of ``SmartCache.aio`` by its name, with keys as they are stored."""
        return await getattr(self._aio, command)(*arguments, **named)

    async def _redlock_release(self, key: Any, value: Any) -> int:
        return await self._delete(key) if await self._get(key) == value else 0

    async def _close(self, *_: Any, **__: Any) -> None:
        # aiocache allows calls after this: what closes is the cache's end, and that comes with the last reference.
        await self._aio.flush()


def _lifetime(ttl: Optional[float]) -> float:
    return ttl if ttl else math.inf
