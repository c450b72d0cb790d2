"""The cache of bytes as a Python class: a mapping from keys to bytes, that forgets what is old or least used.

The one to use where values are bytes already; ``SmartCache`` stores values of any kind. Safe to use from any number of threads,
and after a fork on both sides of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Mapping, Optional, Union

from catzilla_cache import _status
from catzilla_cache._arguments import Key, Tags, check, fail, found, key_bytes, tag_bytes, timeout_ms, ttl_ms, value_bytes
from catzilla_cache._backend import backend as _backend
from catzilla_cache._open_cache import TIER_NAMES, OpenCache, Tier

BytesLike = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True)
class Entry:
    """A stored value, and what is known of it."""

    value: bytes
    #: What was left of its lifetime, in seconds; None when it never ends.
    ttl: Optional[float]
    #: Another one for each value that this process stores under the key.
    version: int
    #: Where it was found.
    tier: Tier


class BytesCache(OpenCache, _backend.BytesBase):
    """A cache of bytes: in this process's memory, and below it in Redis and on disk where the options name them.

    >>> with BytesCache({"memory.capacity": 1000, "memory.ttl": "5m"}) as cache:
    ...     cache.set("greeting", b"hello", ttl=1.5)
    ...     cache.get("greeting")
    b'hello'

    Options are those of the library, by name (``available_options()`` lists them). Keys are ``str`` or ``bytes``, and a
    ``str`` is its UTF-8 bytes: ``"a"`` and ``b"a"`` are one key. Values are bytes or anything with the buffer interface,
    and come back as ``bytes``, a copy of the caller's own.
    """

    __slots__ = ("_handle", "_asks_below", "__weakref__")

    def __init__(self, options: Optional[Mapping[str, object]] = None) -> None:
        self._open(options)

    # `get`, `set`, `get_many`, `delete`, `in` and brackets are the base's; these are what it falls back on.

    def _get(self, key: Key, default: object = None) -> object:
        status, value = _backend.read(self._live(), key_bytes(key))
        return value if found(status) else default

    def _get_below(self, answers: dict[Key, bytes], keys: list[Key]) -> dict[Key, bytes]:
        """Adds what one call of the library finds of these keys."""
        status, read = _backend.get_many(self._live(), [key_bytes(key) for key in keys])
        check(status)
        answers.update({key: value for key, (answer, value) in zip(keys, read) if answer == _status.OK})
        return answers

    def _set(self, key: Key, value: BytesLike, ttl: Optional[float] = None, *, tags: Tags = ()) -> None:
        if tags:
            status, _ = _backend.put_with(self._live(), key_bytes(key), value_bytes(value), ttl_ms(ttl), 0, 0, tag_bytes(tags))
        else:
            status = _backend.put(self._live(), key_bytes(key), value_bytes(value), ttl_ms(ttl))
        check(status)

    def _delete(self, key: Key) -> bool:
        return found(_backend.remove(self._live(), key_bytes(key)))

    def _exists(self, key: object) -> bool:
        return found(_backend.contains(self._live(), key_bytes(key)))

    def _getitem(self, key: Key) -> bytes:
        status, value = _backend.read(self._live(), key_bytes(key))
        if not found(status):
            raise KeyError(key)
        return value

    def add(self, key: Key, value: BytesLike, ttl: Optional[float] = None, *, tags: Tags = ()) -> bool:
        """Stores a value if the key is absent. Of several threads that try, one does. True when it was stored."""
        return self._put_if(_status.PUT_IF_ABSENT, 0, key, value, ttl, tags)

    def replace(
        self, key: Key, value: BytesLike, ttl: Optional[float] = None, *, version: Optional[int] = None, tags: Tags = ()
    ) -> bool:
        """Stores a value if the key is there, and in this version (``Entry.version``) when one is given. True when it was stored."""
        return self._put_if(_status.PUT_IF_PRESENT, version or 0, key, value, ttl, tags)

    def _put_if(
        self, flags: int, version: int, key: Key, value: BytesLike, ttl: Optional[float], tags: Tags
    ) -> bool:
        status, _ = _backend.put_with(
            self._live(), key_bytes(key), value_bytes(value), ttl_ms(ttl), flags, version, tag_bytes(tags)
        )
        return not status > 0 and (status == _status.OK or fail(status))

    def touch(self, key: Key, ttl: Optional[float] = None) -> bool:
        """Gives a key a new lifetime from now on, as in ``set``. True when it was there."""
        return found(_backend.touch(self._live(), key_bytes(key), ttl_ms(ttl)))

    def entry(self, key: Key) -> Optional[Entry]:
        """A key's value with its lifetime, version and tier; None when it is absent. A look-up like ``get``."""
        status, value, left_ms, version, tier = _backend.inspect(self._live(), key_bytes(key))
        if not found(status):
            return None
        return Entry(value, None if left_ms == _status.TTL_FOREVER else left_ms / 1000, version, TIER_NAMES[tier])

    def increment(self, key: Key, delta: int = 1, *, initial: int = 0, ttl: Optional[float] = None) -> int:
        """Adds to a number that is stored in decimal digits, and returns the sum. Of several threads none loses what it adds.

        A key that is absent counts from ``initial`` and lives for ``ttl`` seconds; one that is there keeps its end. Numbers have 64 bits.
        """
        status, total = _backend.increment(self._live(), key_bytes(key), delta, initial + delta, ttl_ms(ttl))
        check(status)
        return total

    def view(self, key: Key) -> Optional[memoryview]:
        """The value of a key where it lies, without a copy; None when it is absent.

        The view stays as it is, whatever happens to the key or the cache. Its memory is kept until it, and whatever was made from it,
        is released.
        """
        status, view = _backend.acquire(self._live(), key_bytes(key))
        return view if found(status) else None

    def get_from_memory(self, key: Key) -> Optional[bytes]:
        """The value that memory has of a key, or None; Redis and disk are not asked, nothing is waited for."""
        status, value = _backend.read_memory(self._live(), key_bytes(key), True)
        return value if found(status) else None

    def get_or_set(
        self,
        key: Key,
        loader: Callable[[], Optional[BytesLike]],
        ttl: Optional[float] = None,
        timeout: Optional[float] = None,
        *,
        tags: Tags = (),
    ) -> Optional[bytes]:
        """The value of a key; if it is absent, what ``loader()`` returns, which is stored for ``ttl`` seconds (as in ``set``).

        Of many threads that miss a key at the same time one runs its loader. The others wait for that, each for at most
        ``timeout`` seconds (None: as long as it takes, 0: not at all), without the interpreter's lock, and get what it gets:
        the value, or None if that is what the loader returned. What a loader raises is raised to the caller that ran it; those
        who waited get a ``CacheError``. Neither is kept: who calls later loads again.

        A key that is set or deleted while it is being loaded stays as that has left it. A loader must not ask for its own key.
        A signal, such as Ctrl-C, is handled when a wait has ended, not in the middle of it.
        """
        lifetime, encoded_tags = ttl_ms(ttl), tag_bytes(tags)
        status, value, lease = _backend.lease(self._live(), key_bytes(key), timeout_ms(timeout))
        if lease is None:
            return value if found(status) else None
        try:
            loaded = loader()
            if loaded is None:
                _backend.lease_fail(lease, _status.NOT_FOUND)
                return None
            value = value_bytes(loaded)
        except Exception:
            _backend.lease_fail(lease, _status.LOAD_FAILED)
            raise
        except BaseException:
            # Not the loader's failure: an interrupt, or the end of the program. Others may have more luck.
            _backend.lease_cancel(lease)
            raise
        # When it is refused (the cache was closed meanwhile, there is no memory) the caller has its value all the same.
        _backend.lease_fulfil(lease, value, lifetime, encoded_tags)
        return value

    def set_many(self, values: Mapping[Key, BytesLike], ttl: Optional[float] = None) -> None:
        """Stores many values in one call of the library, all for ``ttl`` seconds (as in ``set``).

        When the library refuses some, the others are stored all the same, and the error is that of the first. Keys,
        values and TTLs of a wrong type are refused before anything is stored.
        """
        pairs = [(key_bytes(key), value_bytes(value)) for key, value in values.items()]
        status, _ = _backend.put_many(self._live(), pairs, ttl_ms(ttl))
        check(status)

    def delete_many(self, keys: Iterable[Key]) -> int:
        """Removes many keys in one call of the library. How many were there."""
        status, statuses = _backend.remove_many(self._live(), [key_bytes(key) for key in keys])
        check(status)
        return statuses.count(_status.OK)

    def __setitem__(self, key: Key, value: BytesLike) -> None:
        self.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)


def library_version() -> str:
    """The version of the loaded library, such as "0.1.0"."""
    return _backend.version()
