"""What every cache of this package is, whatever its values are: an open handle, its options, figures, health and end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Iterator, Literal, Mapping, NoReturn, Optional, TypeVar

from catzilla_cache import _status
from catzilla_cache._arguments import check, found, key_bytes, pattern_bytes, tag_bytes, timeout_ms
from catzilla_cache._backend import backend as _backend
from catzilla_cache.errors import CacheError, CacheValueError
from catzilla_cache.options import encode
from catzilla_cache.stats import Health, Statistics, TierStatistics

#: Called with key, value and cause.
Listener = Callable[[bytes, bytes, str], object]

#: The tiers that a cache can have.
Tier = Literal["memory", "redis", "disk"]

TIERS: dict[str, int] = {"memory": _status.TIER_MEMORY, "redis": _status.TIER_REDIS, "disk": _status.TIER_DISK}
TIER_NAMES: dict[int, Tier] = {_status.TIER_MEMORY: "memory", _status.TIER_REDIS: "redis", _status.TIER_DISK: "disk"}

_CAUSES = {
    _status.CAUSE_EVICTED: "evicted",
    _status.CAUSE_EXPIRED: "expired",
    _status.CAUSE_REPLACED: "replaced",
    _status.CAUSE_REMOVED: "removed",
    _status.CAUSE_PURGED: "purged",
}

_Self = TypeVar("_Self", bound="OpenCache")


class OpenCache:
    """Inherited by ``BytesCache`` and ``SmartCache``, beside a base of the backend that has ``_attach`` and ``_detach``."""

    if not TYPE_CHECKING:
        # The two attributes are in the slots of each heir, since one of two bases with slots is all that there can be.
        __slots__ = ()

    # Without this, __getitem__ alone would make Python try cache[0], cache[1], ...
    __iter__ = None

    if TYPE_CHECKING:
        _handle: Optional[_backend.Handle]
        #: Whether a call may have to ask Redis or the disk.
        _asks_below: bool

        def _attach(self, handle: _backend.Handle, memory_only: bool) -> None: ...
        def _detach(self) -> None: ...

    def _open(self, options: Optional[Mapping[str, object]]) -> None:
        """The end of every constructor: until it is through, the cache counts as closed."""
        self._handle = None
        self._asks_below = False
        status, handle = _backend.open(encode(options))
        check(status)
        assert handle is not None
        self._asks_below = any(
            _backend.health(handle, tier)[0] == _status.OK for tier in (_status.TIER_REDIS, _status.TIER_DISK)
        )
        self._handle = handle
        self._attach(handle, not self._asks_below)

    def delete_prefix(self, prefix: str | bytes) -> int:
        """Removes every key that begins so, from every tier. How many there were."""
        status, removed = _backend.purge(self._live(), _status.PURGE_PREFIX, key_bytes(prefix))
        check(status)
        return removed

    def delete_pattern(self, pattern: str | bytes) -> int:
        r"""Removes every key that fits, from every tier: ``*`` stands for anything, ``?`` for one byte, ``\`` takes the next as it is.

        How many there were. A pattern has at most 4096 bytes; a letter outside of ASCII is several of them.
        """
        status, removed = _backend.purge(self._live(), _status.PURGE_PATTERN, pattern_bytes(pattern))
        check(status)
        return removed

    def delete_tag(self, tag: str | bytes) -> int:
        """Removes everything that was stored with this tag, from every tier. How many of those memory had."""
        status, removed = _backend.purge(self._live(), _status.PURGE_TAG, tag_bytes([tag])[0])
        check(status)
        return removed

    def clear(self) -> None:
        """Removes everything that is this cache's own, from every tier. The counters go on."""
        status, _ = _backend.purge(self._live(), _status.PURGE_ALL)
        check(status)

    def keys(self, prefix: str | bytes = b"") -> Iterator[bytes]:
        """The keys in memory that begin so, in no order; each is looked up as it is asked for, and the cache may change meanwhile."""
        status, walk = _backend.keys(self._live(), key_bytes(prefix))
        check(status)
        assert walk is not None
        while True:
            status, key = _backend.next_key(walk)
            if not found(status):
                return
            yield key

    def sweep(self) -> int:
        """Frees what has expired, now instead of when the cache's own thread comes by. How many entries those were."""
        status, swept = _backend.sweep(self._live())
        check(status)
        return swept

    def set_option(self, name: str, value: object) -> None:
        """Changes an option of the open cache, if it is one that can (``OptionInfo.live``)."""
        for encoded in encode({name: value}):
            check(_backend.set_option(self._live(), *encoded))

    def set_listener(self, listener: Optional[Listener]) -> None:
        """Has a function called with key, value and cause of every entry that leaves memory; None: nobody, as at the beginning.

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

        check(_backend.set_listener(self._live(), None if listener is None else told))

    def statistics(self) -> Statistics:
        """What was counted up to now, and what is held."""
        status, counted = _backend.statistics(self._live())
        check(status)
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
        check(_backend.flush(self._live(), timeout_ms(timeout)))

    def health(self, tier: Tier) -> Optional[Health]:
        """How "memory", "redis" or "disk" is doing; None when the cache has no such tier. Asks nobody."""
        status, is_up, last_error, at = _backend.health(self._live(), _tier(tier))
        if not found(status):
            return None
        # Exact, unlike a float of seconds.
        when = datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=at) if at else None
        return Health(is_up, last_error or None, when)

    def tier_statistics(self, tier: Tier) -> Optional[TierStatistics]:
        """The figures of "redis" or "disk"; None when the cache has no such tier. Those of memory are in ``statistics``."""
        status, counted = _backend.tier_statistics(self._live(), _tier(tier))
        if not found(status):
            return None
        fields: dict[str, object] = dict(counted)
        fields["is_open"] = bool(counted["is_open"])
        fields["max_bytes"] = counted["max_bytes"] or None
        return TierStatistics(**fields)  # type: ignore[arg-type]

    def close(self) -> None:
        """Ends the cache; closing twice is fine. What waits for a tier below memory is written. Its memory goes when the calls of other threads in it have returned."""
        self._detach()
        self._handle = None

    @property
    def closed(self) -> bool:
        """Whether the cache has been closed."""
        return self._handle is None

    def __len__(self) -> int:
        """How many entries memory holds. Those that have expired and were not met since may be among them."""
        return self.statistics().memory_entries

    # A cache without entries is still a cache.
    def __bool__(self) -> bool:
        return True

    def __enter__(self: _Self) -> _Self:
        self._live()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Else ctypes would copy the handle's number, and two objects would destroy one cache.
        raise TypeError(f"a {type(self).__name__} is not copied or pickled: open one with the same options where it is needed")

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


def _tier(name: str) -> int:
    number = TIERS.get(name)
    if number is None:
        raise CacheValueError(f"a tier is one of {', '.join(TIERS)}, not {name!r}")
    return number
