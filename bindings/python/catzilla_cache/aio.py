"""The operations of a ``SmartCache`` to await. A hit in memory takes no other thread; what may ask Redis or disk never blocks the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Optional, Union

from catzilla_cache._arguments import Key, Tags
from catzilla_cache._loading import Load, Loaders, pairs_of
from catzilla_cache._loading_async import get_or_set_async, in_turn, off_loop
from catzilla_cache._stored_values import NOT_SERVED
from catzilla_cache.errors import CacheValueError

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache

# Loads at the same time that `warm` begins, unless it is told otherwise. Arbitrary.
_WARM_TOGETHER = 8


class AsyncCache:
    """The same cache for tasks: ``SmartCache.aio``. May be used from any number of loops."""

    __slots__ = ("_cache",)

    def __init__(self, cache: SmartCache) -> None:
        self._cache = cache

    async def get(self, key: Key) -> tuple[Any, bool]:
        """The value of a key and True, or None and False."""
        cache = self._cache
        if not cache._asks_below:
            return cache.get(key)
        found = cache._get_from_memory(key)
        # What memory has and nobody believes is a miss, as in `SmartCache.get`.
        if found[1] or found is NOT_SERVED:
            return found
        answer: tuple[Any, bool] = await off_loop(cache._get, key)
        return answer

    async def set(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """Stores a value, as ``SmartCache.set``."""
        return bool(await self._call(self._cache._set, key, value, ttl, tags=tags))

    async def delete(self, key: Key) -> bool:
        """Removes a key from every tier. True when it was there."""
        return bool(await self._call(self._cache.delete, key))

    async def exists(self, key: Key) -> bool:
        """Whether a key is there. Counts neither as a request nor as a use."""
        return bool(await self._call(self._cache.exists, key))

    async def clear(self) -> None:
        """Removes everything that is this cache's own, from every tier."""
        await self._call(self._cache.clear)

    async def add(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """Stores a value if the key is absent. True when it was stored."""
        return bool(await self._call(self._cache.add, key, value, ttl, tags=tags))

    async def replace(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """Stores a value if the key is there. True when it was stored."""
        return bool(await self._call(self._cache.replace, key, value, ttl, tags=tags))

    async def touch(self, key: Key, ttl: Optional[float] = None) -> bool:
        """Gives a key a new lifetime from now on. True when it was there."""
        return bool(await self._call(self._cache.touch, key, ttl))

    async def incr(self, key: Key, delta: int = 1) -> int:
        """Adds to a whole number and returns the sum; an absent key counts from 0."""
        return int(await self._call(self._cache.incr, key, delta))

    async def decr(self, key: Key, delta: int = 1) -> int:
        """As ``incr``, downward."""
        return int(await self._call(self._cache.decr, key, delta))

    async def get_many(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """The values of those keys that are there."""
        cache = self._cache
        if not cache._asks_below:
            return cache.get_many(keys)
        answers: dict[Key, Any] = {}
        missing = []
        for key in keys:
            found = cache._get_from_memory(key)
            if found[1]:
                answers[key] = found[0]
            elif found is not NOT_SERVED:
                missing.append(key)
        if missing:
            answers = await off_loop(cache._get_below, answers, missing)
        return answers

    async def set_many(self, mapping: Mapping[Key, object], ttl: Optional[float] = None) -> bool:
        """Stores many values, as ``SmartCache.set_many``."""
        return bool(await self._call(self._cache.set_many, mapping, ttl))

    async def delete_many(self, keys: Iterable[Key]) -> int:
        """Removes many keys. How many were there."""
        return int(await self._call(self._cache.delete_many, list(keys)))

    async def delete_prefix(self, prefix: Union[str, bytes]) -> int:
        """Removes every key that begins so, from every tier. How many there were."""
        return int(await self._call(self._cache.delete_prefix, prefix))

    async def delete_pattern(self, pattern: Union[str, bytes]) -> int:
        """Removes every key that fits, from every tier, as ``SmartCache.delete_pattern``. How many there were."""
        return int(await self._call(self._cache.delete_pattern, pattern))

    async def invalidate(self, tag: Union[str, bytes]) -> int:
        """Removes everything that was stored with this tag, from every tier."""
        return int(await self._call(self._cache.invalidate, tag))

    async def flush(self, timeout: Optional[float] = None) -> None:
        """Waits until everything that was set or deleted before is in the tiers below memory."""
        await off_loop(self._cache.flush, timeout)

    async def get_or_set(
        self,
        key: Key,
        loader: Callable[[], Any],
        ttl: Optional[float] = None,
        *,
        tags: Tags = (),
        timeout: Optional[float] = None,
        grace: float = 0,
        beta: float = 0,
    ) -> Any:
        """The value of a key; if it is absent, what ``await loader()`` returns, or a plain ``loader()``, which runs on the loop.
        Otherwise as ``SmartCache.get_or_set``.

        Tasks that wait for another's load can be cancelled; when the task that loads is cancelled, one of those who wait takes over.
        """
        return await get_or_set_async(Load(self._cache, key, ttl, tags, timeout, grace, beta), loader)

    async def warm(
        self,
        loaders: Loaders,
        ttl: Optional[float] = None,
        *,
        tags: Tags = (),
        together: int = _WARM_TOGETHER,
    ) -> int:
        """Loads what is absent of these keys, so many at a time. How many were loaded; the first failure is raised when all are done."""
        if together < 1:
            raise CacheValueError(f"loads at the same time are 1 or more, not {together!r}")
        gate = asyncio.Semaphore(together)
        wanted_tags = list(tags)

        async def one(key: Key, loader: Callable[[], Any]) -> bool:
            async with gate:
                if await self.exists(key):
                    return False
                await self.get_or_set(key, loader, ttl, tags=wanted_tags)
                return True

        outcomes = await asyncio.gather(*(one(key, loader) for key, loader in pairs_of(loaders)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes.count(True)

    async def close(self) -> None:
        """Ends the cache, for threads and tasks alike."""
        await off_loop(self._cache.close)

    async def __aenter__(self) -> AsyncCache:
        self._cache._live()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _call(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """A call that waits for nothing is made here and now, any other on a thread of its own."""
        return await in_turn(self._cache, lambda: call(*arguments, **named))
