"""Backends for dogpile.cache.

    region = make_region().configure(
        "catzilla_cache",
        expiration_time=3600,
        arguments={"options": {"memory.capacity": 50_000, "redis.url": "redis://localhost:6379/0", "secret": "..."}},
    )

``catzilla_cache`` stores values, signed where they have to be pickled and leave the process: use it.
``catzilla_cache.bytes`` stores what the region's own serializer makes, which by default is a pickle that nobody signs: for
a region with a serializer that is safe to read.

Arguments: ``options`` are those of the library by name, or ``cache`` is an open ``SmartCache`` (``BytesCache`` for bytes);
``ttl``: after so many seconds an entry goes from the cache, which should be longer than the region's expiration time
(default: that of each tier); ``lock``: True has all regions on this backend share one lock a key, where each region has its
own otherwise.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, Iterable, Mapping, Optional, Sequence

from dogpile.cache.api import (  # type: ignore[import-not-found,unused-ignore]
    NO_VALUE,
    BytesBackend,
    CacheBackend,
    CachedValue,
    CacheMutex,
)

from catzilla_cache import BytesCache
from catzilla_cache.contrib.opening import opened


class _Mutex(CacheMutex):  # type: ignore[misc,unused-ignore]
    """A lock of this process, for one key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, wait: bool = True) -> bool:
        return self._lock.acquire(wait)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


class _Shared:
    """What both backends have."""

    _cache: Any

    def _begin(self, arguments: Mapping[str, Any]) -> None:
        self._ttl: Optional[float] = arguments.get("ttl")
        self._locks = bool(arguments.get("lock", False))
        # Each goes with the last region that holds it.
        self._mutexes: "weakref.WeakValueDictionary[str, _Mutex]" = weakref.WeakValueDictionary()
        self._guard = threading.Lock()

    def get_mutex(self, key: str) -> Optional[CacheMutex]:
        if not self._locks:
            return None
        with self._guard:
            mutex = self._mutexes.get(key)
            if mutex is None:
                mutex = self._mutexes[key] = _Mutex()
            return mutex

    def delete(self, key: str) -> None:
        self._cache.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        self._cache.delete_many(keys)


class CatzillaBackend(_Shared, CacheBackend):  # type: ignore[misc,unused-ignore]
    """Values: the region does not serialise them, the cache does."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._begin(arguments)
        given = arguments.get("cache")
        self._cache = given if given is not None else opened(arguments.get("options") or {})

    def get(self, key: str) -> Any:
        return _found(*self._cache.get(key))

    def get_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        asked = list(keys)
        found = self._cache.get_many(asked)
        return [_found(found.get(key), key in found) for key in asked]

    def set(self, key: str, value: Any) -> None:
        self._cache.set(key, _stored(value), self._ttl)

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        self._cache.set_many({key: _stored(value) for key, value in mapping.items()}, self._ttl)


def _stored(value: Any) -> Any:
    # A plain tuple needs no pickle, if what is in it does not. A region that has a serializer of its own passes bytes.
    return tuple(value) if isinstance(value, CachedValue) else value


def _found(value: Any, is_there: bool) -> Any:
    if not is_there:
        return NO_VALUE
    return CachedValue(*value) if isinstance(value, tuple) else value


class CatzillaBytesBackend(_Shared, BytesBackend):  # type: ignore[misc,unused-ignore]
    """Bytes: what the region's serializer makes."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._begin(arguments)
        given = arguments.get("cache")
        self._cache = given if given is not None else BytesCache(arguments.get("options") or {})

    def get_serialized(self, key: str) -> Any:
        value = self._cache.get(key)
        return NO_VALUE if value is None else value

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        asked = list(keys)
        found = self._cache.get_many(asked)
        return [found.get(key, NO_VALUE) for key in asked]

    def set_serialized(self, key: str, value: bytes) -> None:
        self._cache.set(key, value, self._ttl)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        self._cache.set_many(mapping, self._ttl)
