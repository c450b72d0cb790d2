"""A cache backend for Django.

    CACHES = {
        "default": {
            "BACKEND": "catzilla_cache.contrib.django.CatzillaCache",
            "LOCATION": "redis://localhost:6379/0",      # or a folder; or nothing: memory alone
            "OPTIONS": {"memory.capacity": 50_000, "disk.path": "/var/cache/site"},
        }
    }

``OPTIONS`` are those of the library by name; ``MAX_ENTRIES`` is ``memory.capacity``. Values that have to be pickled are
signed with a key made of ``SECRET_KEY`` (older ones: ``SECRET_KEY_FALLBACKS``) before they leave the process, unless
``secret`` is among the options. Configurations with the same place and options are one cache, whatever their prefix,
version and thread; ``clear`` empties it.
"""

from __future__ import annotations

import math
import operator
import pickle
from typing import Any, Callable, Iterable, Iterator, Mapping, NoReturn, Optional

from django.conf import settings  # type: ignore[import-untyped,import-not-found,unused-ignore]
from django.core.cache.backends.base import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
    DEFAULT_TIMEOUT,
    BaseCache,
)
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped,import-not-found,unused-ignore]
from django.utils.crypto import salted_hmac  # type: ignore[import-untyped,import-not-found,unused-ignore]

from catzilla_cache.contrib.opening import place, shared
from catzilla_cache.errors import CacheValueError

#: Options of Django's own, which are no options of the library. The engine evicts one entry at a time: nothing is culled.
_OF_DJANGO = ("MAX_ENTRIES", "CULL_FREQUENCY")


class CatzillaCache(BaseCache):  # type: ignore[misc,unused-ignore]
    """See the module. All of Django's interface, its ``a...`` methods included: those wait for no thread on a hit in memory."""

    def __init__(self, location: str, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        given: Mapping[str, Any] = params.get("OPTIONS") or {}
        options = {**place(location), **{name: value for name, value in given.items() if name not in _OF_DJANGO}}
        entries = params.get("MAX_ENTRIES", given.get("MAX_ENTRIES"))
        if entries is not None:
            options.setdefault("memory.capacity", entries)
        self._cache = shared(str(location or ""), options, list(_secrets()) or None)
        self._aio = self._cache.aio

    def get(self, key: str, default: Any = None, version: Optional[int] = None) -> Any:
        value, found = self._cache.get(self.make_and_validate_key(key, version))
        return value if found else default

    async def aget(self, key: str, default: Any = None, version: Optional[int] = None) -> Any:
        value, found = await self._aio.get(self.make_and_validate_key(key, version))
        return value if found else default

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> None:
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        if ttl is None:
            self._cache.delete(name)
            return
        try:
            self._cache.set(name, value, ttl)
        except CacheValueError as error:
            _raise(error)

    async def aset(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> None:
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        if ttl is None:
            await self._aio.delete(name)
            return
        try:
            await self._aio.set(name, value, ttl)
        except CacheValueError as error:
            _raise(error)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> bool:
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        if ttl is None:
            # Stored, and over at once.
            return not self._cache.exists(name)
        try:
            return self._cache.add(name, value, ttl)
        except CacheValueError as error:
            _raise(error)

    async def aadd(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> bool:
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        if ttl is None:
            return not await self._aio.exists(name)
        try:
            return await self._aio.add(name, value, ttl)
        except CacheValueError as error:
            _raise(error)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> bool:
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        return self._cache.delete(name) if ttl is None else self._cache.touch(name, ttl)

    async def atouch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> bool:
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        return await (self._aio.delete(name) if ttl is None else self._aio.touch(name, ttl))

    def delete(self, key: str, version: Optional[int] = None) -> bool:
        return self._cache.delete(self.make_and_validate_key(key, version))

    async def adelete(self, key: str, version: Optional[int] = None) -> bool:
        return await self._aio.delete(self.make_and_validate_key(key, version))

    def has_key(self, key: str, version: Optional[int] = None) -> bool:
        return self._cache.exists(self.make_and_validate_key(key, version))

    async def ahas_key(self, key: str, version: Optional[int] = None) -> bool:
        return await self._aio.exists(self.make_and_validate_key(key, version))

    def get_or_set(self, key: str, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> Any:
        """As Django's, but of many threads that miss a key at the same time one calls ``default``."""
        name, ttl = self.make_and_validate_key(key, version), self._ttl(timeout)
        # None is a value, too.
        loader: Callable[[], Any] = default if callable(default) else lambda: default
        if ttl is None:
            value, found = self._cache.get(name)
            return value if found else loader()
        return self._cache.get_or_set(name, loader, ttl)

    def incr(self, key: str, delta: int = 1, version: Optional[int] = None) -> int:
        name, delta = self.make_and_validate_key(key, version), operator.index(delta)
        # Should it go between the two calls, it counts from 0 again, as a counter does that has ended.
        if not self._cache.exists(name):
            raise ValueError(f"Key {key!r} not found")
        try:
            return self._cache.incr(name, delta)
        except CacheValueError as error:
            raise TypeError(str(error)) from None

    async def aincr(self, key: str, delta: int = 1, version: Optional[int] = None) -> int:
        name, delta = self.make_and_validate_key(key, version), operator.index(delta)
        if not await self._aio.exists(name):
            raise ValueError(f"Key {key!r} not found")
        try:
            return await self._aio.incr(name, delta)
        except CacheValueError as error:
            raise TypeError(str(error)) from None

    def get_many(self, keys: Iterable[str], version: Optional[int] = None) -> dict[str, Any]:
        names = {self.make_and_validate_key(key, version): key for key in keys}
        return {names[name]: value for name, value in self._cache.get_many(names).items()}

    async def aget_many(self, keys: Iterable[str], version: Optional[int] = None) -> dict[str, Any]:
        names = {self.make_and_validate_key(key, version): key for key in keys}
        return {names[name]: value for name, value in (await self._aio.get_many(names)).items()}

    def set_many(self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None) -> list[str]:
        values, ttl = {self.make_and_validate_key(key, version): value for key, value in data.items()}, self._ttl(timeout)
        try:
            if ttl is None:
                self._cache.delete_many(values)
            else:
                self._cache.set_many(values, ttl)
        except CacheValueError as error:
            _raise(error)
        return []

    async def aset_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: Optional[int] = None
    ) -> list[str]:
        values, ttl = {self.make_and_validate_key(key, version): value for key, value in data.items()}, self._ttl(timeout)
        try:
            await (self._aio.delete_many(values) if ttl is None else self._aio.set_many(values, ttl))
        except CacheValueError as error:
            _raise(error)
        return []

    def delete_many(self, keys: Iterable[str], version: Optional[int] = None) -> None:
        self._cache.delete_many([self.make_and_validate_key(key, version) for key in keys])

    async def adelete_many(self, keys: Iterable[str], version: Optional[int] = None) -> None:
        await self._aio.delete_many([self.make_and_validate_key(key, version) for key in keys])

    def clear(self) -> None:
        self._cache.clear()

    async def aclear(self) -> None:
        await self._aio.clear()

    def close(self, **kwargs: Any) -> None:
        """Called by Django after each request: nothing, since the cache is the process's."""

    def _ttl(self, timeout: Any) -> Optional[float]:
        """Seconds as the cache takes them; None for what is over at once."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return math.inf
        return timeout if timeout > 0 else None


def _secrets() -> Iterator[bytes]:
    """The first signs, all are believed."""
    try:
        keys = [settings.SECRET_KEY, *getattr(settings, "SECRET_KEY_FALLBACKS", ())]
    except ImproperlyConfigured:
        # None is set: what cannot do without one says so.
        return
    for key in keys:
        digest: bytes = salted_hmac("catzilla_cache.contrib.django", "values", secret=key, algorithm="sha256").digest()
        yield digest


def _raise(error: CacheValueError) -> NoReturn:
    # What programs for Django expect of a value that cannot be pickled.
    if isinstance(error.__cause__, pickle.PickleError):
        raise error.__cause__ from None
    raise error
