"""The cache of values of any kind, under the names that programs of the Catzilla framework know.

``SmartCache`` is one handle over up to three tiers; ``MemoryCache``, ``RedisCache`` and ``DiskCache`` are the same over one. How values
become bytes is decided in ``codec``, what waits for whom in ``_flights``, what a tier does in the library.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from catzilla_cache import _forks, _status, _updating, codec, keys
from catzilla_cache._annotation import Annotation
from catzilla_cache._arguments import Key, Tags, check, found, key_bytes, tag_bytes, ttl_ms
from catzilla_cache._backend import backend as _backend
from catzilla_cache._flights import Flights
from catzilla_cache._lifetimes import Lifetimes
from catzilla_cache._loading import Load, Loaders, get_or_set, pairs_of
from catzilla_cache._open_cache import OpenCache, Tier
from catzilla_cache._process_cache import get_cache, reset_cache
from catzilla_cache._rates import Rates
from catzilla_cache._smart_config import SmartCacheConfig
from catzilla_cache._stored_values import StoredValues
from catzilla_cache._tier_view import TierView
from catzilla_cache.decorator import CacheInfo, cached
from catzilla_cache.errors import CacheError, CacheKeyError, CacheNotAvailableError, CacheValueError
from catzilla_cache.stats import CacheStats

if TYPE_CHECKING:
    import asyncio

    from catzilla_cache.aio import AsyncCache
    from catzilla_cache.namespace import Namespace

__all__ = [
    "C_LIBRARY_AVAILABLE",
    "LZ4_AVAILABLE",
    "REDIS_AVAILABLE",
    "CacheError",
    "CacheInfo",
    "CacheKeyError",
    "CacheNotAvailableError",
    "CacheStats",
    "CacheValueError",
    "DiskCache",
    "MemoryCache",
    "RedisCache",
    "SmartCache",
    "SmartCacheConfig",
    "cached",
    "get_cache",
    "reset_cache",
]

# What programs of the framework ask before they use a tier. All of it is in the library.
C_LIBRARY_AVAILABLE = True
REDIS_AVAILABLE = True
LZ4_AVAILABLE = True

# What is asked of the library for a cache of one tier below memory: that memory keeps nothing, which others may have overwritten.
# Its lifetime would bound those that the other tier tells.
_WITHOUT_MEMORY: Dict[str, object] = {"memory.capacity": 1, "memory.max_value_size": 0, "memory.ttl": "36500d"}


class SmartCache(OpenCache, _backend.ValuesBase):
    """Values of any kind in memory, and below it in Redis and on disk as the configuration says.

    >>> with SmartCache(SmartCacheConfig(memory_capacity=1000)) as cache:
    ...     cache.set("user:1", {"name": "Ada"}, ttl=60)
    ...     cache.get("user:1")
    True
    ({'name': 'Ada'}, True)

    Keys are ``str`` or ``bytes``, and a ``str`` is its UTF-8 bytes. A value comes back equal and of the same type, as a copy of its own. A
    tier that is down is no exception: the others go on. Safe for any number of threads; ``aio`` has the same for tasks.
    """

    #: Whether memory keeps anything.
    _has_memory = True
    #: Whether anything was stored in this process that says itself until when it is fresh.
    _has_annotated = False

    def __init__(self, config: Optional[SmartCacheConfig] = None) -> None:
        self.config = config = config if config is not None else SmartCacheConfig()
        options = self._options(config)
        try:
            self._open(options)
        except CacheValueError as error:
            if "`disk.path` was given" in str(error):
                raise CacheNotAvailableError(str(error), error.status) from None
            raise
        try:
            self._begin(config, options)
        except BaseException:
            self.close()
            raise

    def _begin(self, config: SmartCacheConfig, options: Mapping[str, object]) -> None:
        """The rest of the constructor, with the library's cache open."""
        self._has_redis = self.health("redis") is not None
        self._has_disk = self.health("disk") is not None
        folder = options.get("disk.path") if self._has_disk else None
        values = codec.ValueCodec(
            config.codec,
            # Caches that share a Redis but no keys do not believe each other's values.
            namespace=str(options.get("redis.key_prefix", "")).encode() if self._has_redis else b"",
            secrets=self._secrets(config, None if folder is None else str(folder)),
            leaves_process=self._asks_below,
        )
        self._stored = StoredValues(values, Lifetimes(options, self._tiers()))
        self._flights = Flights()
        #: Keys that are being loaded anew; by which task, if it is one.
        self._refreshing: Dict[bytes, Optional[asyncio.Future[Any]]] = {}
        self._rates = Rates(config.stats_collection_interval)
        #: How often a value could not be loaded anew in the background, and went on being served.
        self._failed_refreshes = 0
        self._make_locks()
        _forks.watch(self)

    def _make_locks(self) -> None:
        # Of the counters and of what is being loaded anew; and of what is read and written again.
        self._lock = threading.Lock()
        self._update_lock = threading.Lock()

    def renew_in_child(self) -> None:
        """In a forked child: those who held a lock, led a flight or loaded something anew are not there any more."""
        self._make_locks()
        self._stored.renew_in_child()
        self._flights.renew_in_child()
        self._rates.renew_in_child()
        self._refreshing = {}

    def _options(self, config: SmartCacheConfig) -> Dict[str, object]:
        return config.library_options()

    def _tiers(self) -> List[Tier]:
        """Where the values are."""
        tiers: List[Tier] = ["memory"]
        return tiers + self._tiers_below()

    def _tiers_below(self) -> List[Tier]:
        below: List[Tier] = ["redis"] if self._has_redis else []
        return [*below, "disk"] if self._has_disk else below

    def _secrets(self, config: SmartCacheConfig, folder: Optional[str]) -> Sequence[bytes]:
        if not self._asks_below:
            return ()
        return codec.secret_for(config.secret, redis=self._has_redis, disk_folder=folder)

    # Made when they are asked for, since what refers to the cache in the cache would keep it until the next collection.

    @property
    def _memory_cache(self) -> TierView:
        return TierView(self, "memory")

    @property
    def _redis_cache(self) -> Optional[TierView]:
        return TierView(self, "redis") if self._has_redis else None

    @property
    def _disk_cache(self) -> Optional[TierView]:
        return TierView(self, "disk") if self._has_disk else None

    # ---- What the base falls back on, for its methods without the underscore ----

    def _get(self, key: Key) -> tuple[Any, bool]:
        status, data = _backend.read(self._live(), key_bytes(key))
        return self._revive(key, data) if found(status) else (None, False)

    def _look_in_memory(self, key: Key) -> tuple[Any, bool]:
        """For ``_get_from_memory``, which nothing else has: as ``get``, but asks memory alone. A miss is counted by whoever goes on."""
        status, data = _backend.read_memory(self._live(), key_bytes(key), False)
        return self._revive(key, data) if found(status) else (None, False)

    def _getitem(self, key: Key) -> Any:
        value, is_there = self._get(key)
        if not is_there:
            raise KeyError(key)
        return value

    def _set(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        name, lifetime = key_bytes(key), ttl_ms(ttl)
        # () is what there is when nobody has said anything; what else is empty is looked at.
        if tags == ():
            return self._is_stored(_backend.put(self._live(), name, self._stored.encode(name, value, lifetime), lifetime))
        encoded_tags = tag_bytes(tags)
        data = self._stored.encode(name, value, lifetime, Annotation(tags=encoded_tags))
        status, _ = _backend.put_with(self._live(), name, data, lifetime, 0, 0, encoded_tags)
        return self._is_stored(status)

    def _get_below(self, answers: dict[Key, Any], keys: list[Key]) -> dict[Key, Any]:
        """Adds what a batch finds of these keys."""
        status, read = _backend.get_many(self._live(), [key_bytes(key) for key in keys])
        check(status)
        for key, (answer, data) in zip(keys, read):
            if answer == _status.OK:
                value, is_there = self._revive(key, data)
                if is_there:
                    answers[key] = value
        return answers

    def _delete(self, key: Key) -> bool:
        return found(_backend.remove(self._live(), key_bytes(key)))

    def _exists(self, key: object) -> bool:
        return found(_backend.contains(self._live(), key_bytes(key)))

    # ---- Values and bytes ----

    def _is_stored(self, status: int) -> bool:
        """What came of a put. False: the one tier that there is did not take it; that it is down is no exception."""
        if not self._has_memory and status == _status.VALUE_TOO_LARGE:
            return False
        check(status)
        return True

    def _count_failed_refresh(self) -> None:
        with self._lock:
            self._failed_refreshes += 1

    def _revive(self, key: Key, data: bytes) -> tuple[Any, bool]:
        """The pair of ``get``, from what was stored. Called by the base for what it does not read itself."""
        return self._stored.revive(key_bytes(key), data)

    # ---- Writes that depend on what is there ----

    def add(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """Stores a value if the key is absent. Of several threads that try, one does. True when it was stored."""
        return self._put_if(_status.PUT_IF_ABSENT, key, value, ttl, tags)

    def replace(self, key: Key, value: object, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """Stores a value if the key is there. True when it was stored."""
        return self._put_if(_status.PUT_IF_PRESENT, key, value, ttl, tags)

    def _put_if(self, flags: int, key: Key, value: object, ttl: Optional[float], tags: Tags) -> bool:
        name, lifetime, encoded_tags = key_bytes(key), ttl_ms(ttl), tag_bytes(tags)
        data = self._stored.encode(name, value, lifetime, Annotation(tags=encoded_tags))
        status, _ = _backend.put_with(self._live(), name, data, lifetime, flags, 0, encoded_tags)
        return status <= 0 and self._is_stored(status)

    def touch(self, key: Key, ttl: Optional[float] = None) -> bool:
        """Gives a key a new lifetime from now on, as in ``set``. True when it was there."""
        return _updating.touch(self, key, ttl)

    def incr(self, key: Key, delta: int = 1) -> int:
        """Adds to a whole number and returns the sum; an absent key counts from 0. Of several threads none loses what it adds.

        The key keeps its end. A value that is no ``int`` is a ``CacheValueError``.
        """
        return _updating.increment(self, key, delta)

    def decr(self, key: Key, delta: int = 1) -> int:
        """As ``incr``, downward."""
        return self.incr(key, -delta)

    # ---- Loading what is missing ----

    def get_or_set(
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
        """The value of a key; if it is absent, what ``loader()`` returns, which is stored as by ``set``. None is a value.

        Of all threads and tasks that miss a key at the same time one runs its loader. The others wait for that, each for at most
        ``timeout`` seconds (None: as long as it takes), and get its value, or what it raises. Exceptions are not kept. A key that is set or
        deleted while it is being loaded stays as that has left it.

        With ``grace``, a value whose ``ttl`` is over is still served for so many seconds, while one thread in the background loads it
        anew. That is for those who can load it: to ``get`` and the like it is a miss, while ``exists``, ``add`` and ``replace``, which do
        not read it, find that something is there. With ``beta`` above 0 (1 is usual), a value is loaded anew a little before its end, the sooner the longer that takes and the more often
        it is asked for, so that it never is missing (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede
        Prevention", VLDB 2015).
        """
        return get_or_set(Load(self, key, ttl, tags, timeout, grace, beta), loader)

    # ---- Many keys ----

    def set_many(self, mapping: Mapping[Key, object], ttl: Optional[float] = None) -> bool:
        """Stores many values in one call of the library, all for ``ttl`` seconds, as ``set`` does. True.

        Nothing is stored when one of them cannot be. When the library refuses some, the others are stored all the same, and the error is that
        of the first.
        """
        lifetime = ttl_ms(ttl)
        names = [key_bytes(key) for key in mapping]
        pairs = [(name, self._stored.encode(name, value, lifetime)) for name, value in zip(names, mapping.values())]
        status, _ = _backend.put_many(self._live(), pairs, lifetime)
        return self._is_stored(status)

    def delete_many(self, keys: Iterable[Key]) -> int:
        """Removes many keys in one call of the library. How many were there."""
        status, statuses = _backend.remove_many(self._live(), [key_bytes(key) for key in keys])
        check(status)
        return statuses.count(_status.OK)

    def invalidate(self, tag: Union[str, bytes]) -> int:
        """Removes everything that was stored with this tag, from every tier. How many of those memory had."""
        return self.delete_tag(tag)

    def warm(self, loaders: Loaders, ttl: Optional[float] = None, *, tags: Tags = ()) -> int:
        """Loads what is absent of these keys, one after the other. How many were loaded."""
        loaded = 0
        for key, loader in pairs_of(loaders):
            if not self.exists(key):
                self.get_or_set(key, loader, ttl, tags=tags)
                loaded += 1
        return loaded

    # ---- The rest of what Python people expect ----

    def __setitem__(self, key: Key, value: object) -> None:
        self.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    @property
    def aio(self) -> AsyncCache:
        """The same operations to await: a hit in memory needs no thread, anything slower leaves the event loop free."""
        from catzilla_cache.aio import AsyncCache

        return AsyncCache(self)

    def namespace(self, name: str, version: int = 1) -> Namespace:
        """The keys that begin with a name and a version, as a cache of their own: its ``clear`` removes no others."""
        from catzilla_cache.namespace import Namespace

        return Namespace(self, name, version)

    def generate_key(
        self,
        method: str,
        path: str,
        query_string: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> str:
        """A key for an HTTP request: unambiguous, readable, and the same in every process. Of the headers it has a hash."""
        return keys.generate_key(method, path, query_string, headers)

    def get_stats(self) -> CacheStats:
        """What was counted up to now, and what is held."""
        refused, stale = self._stored.counts()
        with self._lock:
            failed_refreshes = self._failed_refreshes
        # Asked after those: each of them was counted as a hit before.
        statistics = self.statistics().less_hits(refused + stale)
        below = {tier: self.tier_statistics(tier) for tier in ("redis", "disk")}
        stats = CacheStats.of(statistics, below, refused, failed_refreshes, self._rates.of(vars(statistics)))
        return stats if self.config.enable_stats else stats.without_counters()

    def health_check(self) -> dict[str, bool]:
        """Which tiers can be used now; False for one that is not configured."""
        health = {tier: self.health(tier) for tier in ("memory", "redis", "disk")}
        return {tier: told is not None and told.is_up for tier, told in health.items()}


class MemoryCache(SmartCache):
    """A ``SmartCache`` in memory alone."""

    def _options(self, config: SmartCacheConfig) -> Dict[str, object]:
        options = super()._options(config)
        return {name: value for name, value in options.items() if not name.startswith(("redis.", "disk."))}


class RedisCache(SmartCache):
    """A ``SmartCache`` in Redis alone. A server that does not answer is a ``CacheNotAvailableError``."""

    _has_memory = False

    def _tiers(self) -> List[Tier]:
        return self._tiers_below()

    def _options(self, config: SmartCacheConfig) -> Dict[str, object]:
        config = replace(config, redis_enabled=True, disk_enabled=False)
        options = {**config.library_options(), **_WITHOUT_MEMORY, "redis.required": True}
        return {name: value for name, value in options.items() if not name.startswith("disk.")}


class DiskCache(SmartCache):
    """A ``SmartCache`` on disk alone: what was set is on disk when ``set`` returns. A folder that cannot be used is a ``CacheNotAvailableError``."""

    _has_memory = False

    def _tiers(self) -> List[Tier]:
        return self._tiers_below()

    def _options(self, config: SmartCacheConfig) -> Dict[str, object]:
        config = replace(config, redis_enabled=False, disk_enabled=True)
        options = {"disk.sync": "commit", **config.library_options(), **_WITHOUT_MEMORY}
        return {name: value for name, value in options.items() if not name.startswith("redis.")}
