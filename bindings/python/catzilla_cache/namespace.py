"""The keys that begin with a name and a version, as a cache of their own over a ``SmartCache``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Optional, Union

from catzilla_cache._arguments import Key, Tags, key_bytes, pattern_bytes
from catzilla_cache.errors import CacheKeyError

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache

#: What means something in a pattern, and may be in a namespace's name.
_SIGNS = re.compile(rb"[*?\\]")


class Namespace:
    """``SmartCache.namespace(name, version)``. Another version sees none of the keys of this one: raise it when what is
    stored changes its meaning.

    Shares everything with its cache but the keys: capacity, policy, tiers, figures.
    """

    __slots__ = ("_cache", "_prefix", "name", "version")

    # Without this, __getitem__ alone would make Python try namespace[0], namespace[1], ...
    __iter__ = None

    def __init__(self, cache: SmartCache, name: str, version: int) -> None:
        if not isinstance(name, str) or not name or ":" in name:
            raise CacheKeyError(f"the name of a namespace is text without a colon, not {name!r}")
        if not isinstance(version, int):
            raise CacheKeyError(f"the version of a namespace is a whole number, not {version!r}")
        self._cache = cache
        self.name = name
        self.version = version
        self._prefix = key_bytes(f"{name}:v{int(version)}:")

    def _key(self, key: Key) -> bytes:
        return self._prefix + key_bytes(key)

    def get(self, key: Key) -> tuple[Any, bool]:
        """The value of a key and True, or None and False."""
        return self._cache.get(self._key(key))

    def set(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """As ``SmartCache.set``."""
        return self._cache.set(self._key(key), value, ttl, tags=tags) if tags else self._cache.set(self._key(key), value, ttl)

    def add(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """As ``SmartCache.add``."""
        return self._cache.add(self._key(key), value, ttl, tags=tags)

    def replace(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """As ``SmartCache.replace``."""
        return self._cache.replace(self._key(key), value, ttl, tags=tags)

    def delete(self, key: Key) -> bool:
        """As ``SmartCache.delete``."""
        return self._cache.delete(self._key(key))

    def exists(self, key: Key) -> bool:
        """As ``SmartCache.exists``."""
        return self._cache.exists(self._key(key))

    def touch(self, key: Key, ttl: Optional[float] = None) -> bool:
        """As ``SmartCache.touch``."""
        return self._cache.touch(self._key(key), ttl)

    def incr(self, key: Key, delta: int = 1) -> int:
        """As ``SmartCache.incr``."""
        return self._cache.incr(self._key(key), delta)

    def decr(self, key: Key, delta: int = 1) -> int:
        """As ``SmartCache.decr``."""
        return self._cache.decr(self._key(key), delta)

    def get_or_set(self, key: Key, loader: Callable[[], Any], ttl: Optional[float] = None, **how: Any) -> Any:
        """As ``SmartCache.get_or_set``."""
        return self._cache.get_or_set(self._key(key), loader, ttl, **how)

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """As ``SmartCache.get_many``."""
        asked = {self._key(key): key for key in keys}
        return {asked[name]: value for name, value in self._cache.get_many(asked).items()}  # type: ignore[index]

    def set_many(self, mapping: Mapping[Key, object], ttl: Optional[float] = None) -> bool:
        """As ``SmartCache.set_many``."""
        return self._cache.set_many({self._key(key): value for key, value in mapping.items()}, ttl)

    def delete_many(self, keys: Iterable[Key]) -> int:
        """As ``SmartCache.delete_many``."""
        return self._cache.delete_many([self._key(key) for key in keys])

    def delete_prefix(self, prefix: Key) -> int:
        """As ``SmartCache.delete_prefix``, of the keys of this namespace and version."""
        return self._cache.delete_prefix(self._key(prefix))

    def delete_pattern(self, pattern: Key) -> int:
        """As ``SmartCache.delete_pattern``, of the keys of this namespace and version, whose own beginning counts as
        part of the pattern's length.
        """
        return self._cache.delete_pattern(_SIGNS.sub(rb"\\\g<0>", self._prefix) + pattern_bytes(pattern))

    def keys(self) -> Iterator[bytes]:
        """The namespace's keys in memory, in no order."""
        return (key[len(self._prefix) :] for key in self._cache.keys(self._prefix))

    def clear(self) -> None:
        """Removes what is in this namespace and version, from every tier."""
        self._cache.delete_prefix(self._prefix)

    def __contains__(self, key: Union[str, bytes]) -> bool:
        return self.exists(key)

    def __getitem__(self, key: Key) -> Any:
        value, is_there = self.get(key)
        if not is_there:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Key, value: object) -> None:
        self.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __repr__(self) -> str:
        return f"<namespace {self.name!r}, version {self.version}, of {self._cache!r}>"
