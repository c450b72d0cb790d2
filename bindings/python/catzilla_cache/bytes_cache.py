"""The cache as a Python class: a mapping from keys to bytes, that forgets what is old or least used.

All behaviour of the package is here; the backend below only speaks C. Safe to use from any number of threads, and after
a fork on both sides of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Callable, Iterable, Literal, Mapping, NoReturn, Optional, TypeVar, Union, overload

from catzilla_cache import _ctypes_backend as _backend
from catzilla_cache import _status
from catzilla_cache.errors import CacheError, CacheKeyError, CacheValueError, from_status
from catzilla_cache.options import encode, whole_milliseconds
from catzilla_cache.stats import Health, Statistics, TierStatistics

Key = Union[str, bytes]
BytesLike = Union[bytes, bytearray, memoryview]
Default = TypeVar("Default")

#: Called with key, value and cause.
Listener = Callable[[bytes, bytes, str], object]

#: The tiers that a cache can have.
Tier = Literal["memory", "redis", "disk"]

_TIERS: dict[str, int] = {"memory": _status.TIER_MEMORY, "redis": _status.TIER_REDIS, "disk": _status.TIER_DISK}

_CAUSES = {
    _status.CAUSE_EVICTED: "evicted",
    _status.CAUSE_EXPIRED: "expired",
    _status.CAUSE_REPLACED: "replaced",
    _status.CAUSE_REMOVED: "removed",
    _status.CAUSE_PURGED: "purged",
}

# The library takes milliseconds in 64 bits, the largest number meaning forever.
_LONGEST_TTL_SECONDS = float(_status.TTL_FOREVER // 1000)


def library_version() -> str:
    """The version of the loaded library, such as "0.1.0"."""
    return _backend.version()


class BytesCache:
    """A cache of bytes: in this process's memory, and below it in Redis and on disk where the options name them.

    >>> with BytesCache({"memory.capacity": 1000, "memory.ttl": "5m"}) as cache:
    ...     cache.set("greeting", b"hello", ttl=1.5)
    ...     cache.get("greeting")
    b'hello'

    Options are those of the library, by name (``available_options()`` lists them). Keys are ``str`` or ``bytes``, and a
    ``str`` is its UTF-8 bytes: ``"a"`` and ``b"a"`` are one key. Values are bytes or anything with the buffer interface,
    and come back as ``bytes``, a copy of the caller's own.
    """

    __slots__ = ("_handle", "__weakref__")

    # Without this, __getitem__ alone would make Python try cache[0], cache[1], ...
    __iter__ = None

    def __init__(self, options: Optional[Mapping[str, object]] = None) -> None:
        self._handle: Optional[_backend.Handle] = None
        status, handle = _backend.open(encode(options))
        if handle is None:
            _fail(status)
        self._handle = handle

    @overload
    def get(self, key: Key) -> Optional[bytes]: ...
    @overload
    def get(self, key: Key, default: Default) -> Union[bytes, Default]: ...
    def get(self, key: Key, default: object = None) -> object:
        """The value of a key, or the default when it is absent or expired."""
        status, value = _backend.read(self._live(), _key(key))
        if status == _status.OK:
            return value
        if status == _status.NOT_FOUND:
            return default
        _fail(status)

    def set(self, key: Key, value: BytesLike, ttl: Optional[float] = None) -> None:
        """Stores a value, for ``ttl`` seconds; None or 0 is the option ``memory.ttl``, ``math.inf`` never expires."""
        status = _backend.put(self._live(), _key(key), _value(value), _ttl_ms(ttl))
        if status != _status.OK:
            _fail(status)

    def get_or_set(
        self,
        key: Key,
        loader: Callable[[], Optional[BytesLike]],
        ttl: Optional[float] = None,
        timeout: Optional[float] = None,
    ) -> Optional[bytes]:
        """The value of a key; if it is absent, what ``loader()`` returns, which is stored for ``ttl`` seconds (as in ``set``).

        Of many threads that miss a key at the same time one runs its loader. The others wait for that, each for at most
        ``timeout`` seconds (None: as long as it takes, 0: not at all), without the interpreter's lock, and get what it gets:
        the value, or None if that is what the loader returned. What a loader raises is raised to the caller that ran it; those
        who waited get a ``CacheError``. Neither is kept: who calls later loads again.

        A key that is set or deleted while it is being loaded stays as that has left it. A loader must not ask for its own key.
        A signal, such as Ctrl-C, is handled when a wait has ended, not in the middle of it.
        """
        ttl_ms = _ttl_ms(ttl)
        status, value, lease = _backend.lease(self._live(), _key(key), _timeout_ms(timeout))
        if lease is None:
            return value if _found(status) else None
        try:
            loaded = loader()
            if loaded is None:
                _backend.lease_fail(lease, _status.NOT_FOUND)
                return None
            value = _value(loaded)
        except Exception:
            _backend.lease_fail(lease, _status.LOAD_FAILED)
            raise
        except BaseException:
            # Not the loader's failure: an interrupt, or the end of the program. Others may have more luck.
            _backend.lease_cancel(lease)
            raise
        # When it is refused (the cache was closed meanwhile, there is no memory) the caller has its value all the same.
        _backend.lease_fulfil(lease, value, ttl_ms)
        return value

    def delete(self, key: Key) -> bool:
        """Removes a key. True when it was there."""
        return _found(_backend.remove(self._live(), _key(key)))

    def get_many(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """The values of those keys that are there, in one call of the library."""
        asked = list(keys)
        status, answers = _backend.get_many(self._live(), [_key(key) for key in asked])
        if status != _status.OK:
            _fail(status)
        return {key: value for key, (found, value) in zip(asked, answers) if found == _status.OK}

    def set_many(self, values: Mapping[Key, BytesLike], ttl: Optional[float] = None) -> None:
        """Stores many values in one call of the library, all for ``ttl`` seconds (as in ``set``).

        When the library refuses some, the others are stored all the same, and the error is that of the first. Keys,
        values and TTLs of a wrong type are refused before anything is stored.
        """
        pairs = [(_key(key), _value(value)) for key, value in values.items()]
        status, _ = _backend.put_many(self._live(), pairs, _ttl_ms(ttl))
        if status != _status.OK:
            _fail(status)

    def delete_many(self, keys: Iterable[Key]) -> int:
        """Removes many keys in one call of the library. How many were there."""
        status, statuses = _backend.remove_many(self._live(), [_key(key) for key in keys])
        if status != _status.OK:
            _fail(status)
        return statuses.count(_status.OK)

    def sweep(self) -> int:
        """Frees what has expired, now instead of when the cache's own thread comes by. How many entries those were."""
        status, swept = _backend.sweep(self._live())
        if status != _status.OK:
            _fail(status)
        return swept

    def set_option(self, name: str, value: object) -> None:
        """Changes an option of the open cache, if it is one that can (``OptionInfo.live``)."""
        for encoded in encode({name: value}):
            status = _backend.set_option(self._live(), *encoded)
            if status != _status.OK:
                _fail(status)

    def set_listener(self, listener: Optional[Listener]) -> None:
        """Has a function called with key, value and cause of every entry that leaves; None: nobody, as at the beginning.

        The cause is "evicted", "expired", "replaced", "removed" or "purged". Called once for each entry, by the thread
        whose call made it leave, before that call returns, or by the cache's own thread; perhaps by several at once. It
        may call anything on the cache; what that makes leave is told after it has returned. What it raises goes to
        ``sys.unraisablehook``. Closing the cache tells nothing, and at the interpreter's exit all listeners are taken off.

        When this returns no call of the former listener is under way, unless it was called by it. So who calls it holds
        no lock that the listener takes.
        """

        def told(key: bytes, value: bytes, cause: int) -> None:
            if listener is not None:
                listener(key, value, _CAUSES.get(cause, "unknown"))

        status = _backend.set_listener(self._live(), None if listener is None else told)
        if status != _status.OK:
            _fail(status)

    def clear(self) -> None:
        """Removes everything. The counters go on."""
        status, _ = _backend.purge(self._live(), _status.PURGE_ALL)
        if status != _status.OK:
            _fail(status)

    def statistics(self) -> Statistics:
        """What was counted up to now, and what is held."""
        status, counted = _backend.statistics(self._live())
        if status != _status.OK:
            _fail(status)
        fields: dict[str, object] = dict(counted)
        for bound in ("memory_capacity", "memory_max_bytes"):
            if fields[bound] == _status.UNLIMITED:
                fields[bound] = None
        return Statistics(**fields)  # type: ignore[arg-type]

    def flush(self, timeout: Optional[float] = None) -> None:
        """Waits until everything that was set or deleted before is in the tiers below memory, for ``timeout`` seconds a tier.

        None: as long as it takes. Raises ``CacheNotAvailableError`` when a tier could not take everything; what waits still
        does then. Closing the cache does the same, for some seconds.
        """
        status = _backend.flush(self._live(), _timeout_ms(timeout))
        if status != _status.OK:
            _fail(status)

    def health(self, tier: Tier) -> Optional[Health]:
        """How "memory", "redis" or "disk" is doing; None when the cache has no such tier. Asks nobody."""
        status, is_up, last_error, at = _backend.health(self._live(), _tier(tier))
        if not _found(status):
            return None
        # Exact, unlike a float of seconds.
        when = datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=at) if at else None
        return Health(is_up, last_error or None, when)

    def tier_statistics(self, tier: Tier) -> Optional[TierStatistics]:
        """The figures of "redis" or "disk"; None when the cache has no such tier. Those of memory are in ``statistics``."""
        status, counted = _backend.tier_statistics(self._live(), _tier(tier))
        if not _found(status):
            return None
        fields: dict[str, object] = dict(counted)
        fields["is_open"] = bool(counted["is_open"])
        fields["max_bytes"] = counted["max_bytes"] or None
        return TierStatistics(**fields)  # type: ignore[arg-type]

    def close(self) -> None:
        """Ends the cache; closing twice is fine. What waits for a tier below memory is written. Its memory goes when the calls of other threads in it have returned."""
        self._handle = None

    @property
    def closed(self) -> bool:
        """Whether the cache has been closed."""
        return self._handle is None

    def __contains__(self, key: object) -> bool:
        """Whether a key is there. Counts neither as a request nor as a use."""
        return _found(_backend.contains(self._live(), _key(key)))

    def __getitem__(self, key: Key) -> bytes:
        status, value = _backend.read(self._live(), _key(key))
        if status == _status.NOT_FOUND:
            raise KeyError(key)
        if status != _status.OK:
            _fail(status)
        return value

    def __setitem__(self, key: Key, value: BytesLike) -> None:
        self.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __len__(self) -> int:
        """How many entries are held. Those that have expired and were not met since may be among them."""
        return self.statistics().memory_entries

    def __enter__(self) -> BytesCache:
        self._live()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} with {len(self)} entries>"
        except CacheError:
            return f"<{type(self).__name__}, closed>"

    def _live(self) -> _backend.Handle:
        # Callers pass this on without naming it: a local variable would keep the cache open for as long as somebody keeps
        # the traceback of an error.
        handle = self._handle
        if handle is None:
            raise CacheError("the cache is closed")
        return handle


def _key(key: object) -> bytes:
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        try:
            return key.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CacheKeyError(f"a key that is not valid text: {error}") from None
    raise CacheKeyError(f"a key is str or bytes, not {type(key).__name__}")


def _value(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type]
    except TypeError:
        raise CacheValueError(f"a value is bytes, bytearray or the like, not {type(value).__name__}") from None


def _ttl_ms(ttl: Optional[float]) -> int:
    if ttl is None or ttl == 0:
        return 0
    if not ttl > 0:
        raise CacheValueError(f"a TTL is a number of seconds above 0, not {ttl!r}")
    if ttl >= _LONGEST_TTL_SECONDS:
        return _status.TTL_FOREVER
    # At least 1, since the library takes 0 for the default.
    return max(1, whole_milliseconds(ttl))


def _timeout_ms(timeout: Optional[float]) -> int:
    if timeout is None:
        return _status.WAIT_FOREVER
    if not timeout >= 0:
        raise CacheValueError(f"a timeout is a number of seconds, 0 or above, not {timeout!r}")
    if timeout >= _LONGEST_TTL_SECONDS:
        return _status.WAIT_FOREVER
    return whole_milliseconds(timeout)


def _tier(name: str) -> int:
    number = _TIERS.get(name)
    if number is None:
        raise CacheValueError(f"a tier is one of {', '.join(_TIERS)}, not {name!r}")
    return number


def _found(status: int) -> bool:
    if status == _status.OK:
        return True
    if status == _status.NOT_FOUND:
        return False
    _fail(status)


def _fail(status: int) -> NoReturn:
    raise from_status(status, _backend.status_name(status), _backend.last_error()[1])
