"""The object cache in Python, for where nothing is compiled: the results of ``native/object_cache.c``, only slower.

``objects`` makes its public names of what is here or there. As there, no lock is held while code of the user runs: keys
are compared, and what was removed is dropped, outside. Since a finaliser or a signal's handler can also come in the middle
of anything that Python does, a call that comes while its own thread is at work in the cache is answered from what is
there, and changes nothing before that work is done.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar, Union, overload

from catzilla_cache._objects_flight import Flight, Flights
from catzilla_cache._objects_order import NEVER, Deadlines, Entry, Order

# As in native/object_cache.c.
_EXPIRED_A_PUT = 8

MISSING = object()

Bucket = tuple[Entry, ...]

Key = TypeVar("Key")
Value = TypeVar("Value")
Default = TypeVar("Default")


class ObjectCache(Generic[Key, Value]):
    """A cache of Python objects: what ``objects.SmartCache`` is made of."""

    def __init__(
        self,
        max_size: int,
        policy: int,
        lifetime: int,
        threshold: float,
        max_bytes: int,
        weigher: Optional[Callable[[Any], int]],
        timer: Optional[Callable[[], float]],
    ) -> None:
        # Bounds of 0 are none; what is in here is checked by who calls.
        self._lock = threading.RLock()
        self._postponed: list[Callable[[], object]] = []
        self._is_draining = False
        # By hash. A tuple is never changed, so whoever has compared its keys can tell whether it is still the same.
        self._buckets: dict[int, Bucket] = {}
        self._size_bound = max_size
        self._max_bytes = max_bytes
        self._lifetime_ns = lifetime
        self._weigher = weigher
        self._timer = timer
        self._order_of = Order(policy, threshold)
        self._deadlines = Deadlines()
        self._flights = Flights()
        self._size = self._bytes = self._births = self._clears = 0
        self._reset_figures()

    # -- What is public under the same names in the compiled module --

    @overload
    def get(self, key: Key) -> Optional[Value]: ...
    @overload
    def get(self, key: Key, default: Default) -> Union[Value, Default]: ...
    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or the default when it is absent or has expired."""
        value = self._find(key)
        return default if value is MISSING else value

    def put(self, key: Key, value: Value, ttl_seconds: Optional[float] = None) -> None:
        """Stores a value; for ttl_seconds, when the cache's own lifetime is not meant."""
        self._put(key, value, self._lifetime_of(ttl_seconds), None)

    def get_or_set(self, key: Key, loader: Callable[[], Value], ttl_seconds: Optional[float] = None) -> Value:
        """The value of a key; if it is absent, what loader() returns, which is stored as by put.

        Of many threads that miss a key at the same time one runs its loader, and the others wait for what it returns. What a
        loader raises is raised to the one who ran it; of those who waited the next one loads. A key that is put or removed
        while it is being loaded stays as that has left it. A loader that asks for its own key gets a RuntimeError.
        """
        lifetime = self._lifetime_of(ttl_seconds)
        value = self._find(key)
        return self._load(key, loader, lifetime) if value is MISSING else value  # type: ignore[no-any-return]

    def contains(self, key: object) -> bool:
        """Whether a key is there. Not counted, and no use of it."""
        now = self._moment()
        entry = self._look_up(key, hash(key))[1]
        return entry is not None and not self._has_expired(entry, now)

    def remove(self, key: Key) -> Optional[Value]:
        """Removes a key. Its value, or None when it was not there."""
        value = self._remove(key)
        return None if value is MISSING else value

    def clear(self) -> None:
        """Removes everything. The counters go on."""
        if self._is_at_work():
            self._postponed.append(self.clear)
            return
        with self._work():
            kept = self._buckets
            for bucket in kept.values():
                for entry in bucket:
                    entry.is_held = False
                    entry.newer = entry.older = None  # no circles, which only a collection would free
            self._buckets = {}
            self._order_of.clear()
            self._deadlines = Deadlines()
            self._size = self._bytes = 0
            self._clears += 1
            self._flights.overtake_all()

    def size(self) -> int:
        """How many entries are held, with those that have expired and were not met since."""
        return self._size

    def cleanup(self) -> int:
        """Removes what has expired, now. How many entries those were."""
        now = self._moment(is_needed=True)
        if self._is_at_work():
            self._postponed.append(self.cleanup)
            return 0
        dropped: list[Entry] = []
        with self._work():
            self._take_out_expired(now, self._size, dropped)
        return len(dropped)

    def keys(self) -> list[Key]:
        """The keys that are there, as a list, in no order that is promised."""
        now = self._moment()
        with self._lock:
            entries = [entry for bucket in list(self._buckets.values()) for entry in bucket]
        return [entry.key for entry in entries if not self._has_expired(entry, now)]

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: object) -> bool:
        return self.contains(key)

    def __getitem__(self, key: Key) -> Value:
        value = self._find(key)
        if value is MISSING:
            raise KeyError(key)
        return value  # type: ignore[no-any-return]

    def __setitem__(self, key: Key, value: Value) -> None:
        self._put(key, value, self._lifetime_ns, None)

    def __delitem__(self, key: Key) -> None:
        if self._remove(key) is MISSING:
            raise KeyError(key)

    # -- What objects.py calls --

    def _figures(self) -> tuple[int, int, int, int, int, int]:
        return self._hits, self._misses, self._evictions, self._size, self._bytes, self._clears

    def _reset_figures(self) -> None:
        self._hits = self._misses = self._evictions = 0
        self._order_of.forget_requests()

    def _bound(self, max_size: int) -> None:
        if self._is_at_work():
            self._postponed.append(lambda: self._bound(max_size))
            return
        dropped: list[Entry] = []
        with self._work():
            self._size_bound = max_size
            while max_size and self._size > max_size:
                self._evict(dropped)

    def _order(self, policy: int) -> None:
        if self._is_at_work():
            self._postponed.append(lambda: self._order(policy))
            return
        with self._work():
            if policy != self._order_of.policy:
                self._order_of.change(policy)

    def _live(self, lifetime: int) -> None:
        self._lifetime_ns = lifetime

    @staticmethod
    def _lifetime(seconds: Any) -> int:
        raise NotImplementedError

    def _peek(self, key: Any, default: Any) -> Any:
        """The value of a key, without a count and without a use."""
        now = self._moment()
        _, entry = self._look_up(key, hash(key))
        return default if entry is None or self._has_expired(entry, now) else entry.value

    # -- Look-ups --

    def _look_up(self, key: Any, hash_of_key: int) -> tuple[Optional[Bucket], Optional[Entry]]:
        """The entries that have the hash of a key, and which of them has the key."""
        while True:
            bucket = self._buckets.get(hash_of_key)
            for entry in bucket or ():
                if entry.is_held and (entry.key is key or entry.key == key):
                    if entry.is_held:
                        return bucket, entry
                    break  # removed while it was compared
            else:
                if self._buckets.get(hash_of_key) is bucket:
                    return bucket, None

    def _find(self, key: Any) -> Any:
        now = self._moment()
        while True:
            bucket, entry = self._look_up(key, hash(key))
            is_expired = entry is not None and self._has_expired(entry, now)
            if self._is_at_work():
                return MISSING if entry is None or is_expired else entry.value
            with self._work():
                if entry is None:
                    self._misses += 1
                    return MISSING
                if not entry.is_held:
                    continue
                if is_expired:
                    self._misses += 1
                    self._take_out(entry)
                    return MISSING
                self._hits += 1
                self._order_of.touch(entry)
                return entry.value

    def _remove(self, key: Any) -> Any:
        now = self._moment()
        self._flights.overtake(key)
        while True:
            _, entry = self._look_up(key, hash(key))
            if entry is None:
                return MISSING
            value = MISSING if self._has_expired(entry, now) else entry.value
            if self._is_at_work():
                self._postponed.append(lambda: self._remove(key))
                return value
            with self._work():
                if entry.is_held:
                    self._take_out(entry)
                    return value

    def _put(self, key: Any, value: Any, lifetime: int, flight: Optional[Flight]) -> None:
        hash_of_key = hash(key)
        weight = self._weigh(value)
        now = self._moment(is_needed=lifetime != NEVER)
        deadline = now + lifetime if lifetime != NEVER else NEVER
        if flight is None:
            self._flights.overtake(key)
        dropped: list[object] = []
        while True:
            bucket, entry = self._look_up(key, hash_of_key)
            if self._is_at_work():
                self._postponed.append(lambda: self._put(key, value, lifetime, flight))
                return
            with self._work():
                if flight is not None and not flight.is_current:
                    return
                if self._buckets.get(hash_of_key) is not bucket:
                    continue
                if now:
                    self._take_out_expired(now, _EXPIRED_A_PUT, dropped)
                if entry is not None and entry.is_held and self._max_bytes:
                    # One that has become too heavy for its place comes in anew, so that it is not its own victim.
                    if self._bytes - entry.weight + weight > self._max_bytes:
                        self._take_out(entry)
                    else:
                        self._bytes += weight - entry.weight
                        entry.weight = weight
                if entry is not None and entry.is_held:
                    dropped.append(entry.value)
                    entry.value = value
                    self._order_of.touch(entry)
                    self._set_deadline(entry, deadline)
                    return
                if self._max_bytes and weight > self._max_bytes:
                    return  # nothing makes room for it
                while self._has_no_room(weight):
                    self._evict(dropped)
                entry = Entry(key, value, hash_of_key, weight)
                self._births += 1
                entry.born = self._births
                self._buckets[hash_of_key] = (*self._buckets.get(hash_of_key, ()), entry)
                self._size += 1
                self._bytes += weight
                self._order_of.insert(entry)
                self._set_deadline(entry, deadline)
                return

    def _load(self, key: Any, call: Callable[[], Any], lifetime: int) -> Any:
        """What a look-up that was counted has not found: see Flights."""

        def find_again() -> Any:
            return self._peek(key, MISSING)

        def store(value: Any, flight: Optional[Flight]) -> None:
            self._put(key, value, lifetime, flight)

        return self._flights.load(key, find_again, call, store, MISSING)

    # -- With the lock held --

    def _take_out(self, entry: Entry) -> None:
        if entry.deadline != NEVER:
            self._deadlines.remove(entry)
        entry.is_held = False
        self._order_of.remove(entry)
        others = tuple(other for other in self._buckets[entry.hash] if other is not entry)
        if others:
            self._buckets[entry.hash] = others
        else:
            del self._buckets[entry.hash]
        self._size -= 1
        self._bytes -= entry.weight

    def _evict(self, dropped: list[Any]) -> None:
        entry = self._order_of.victim(self._size, self._deadlines, self._hits, self._misses)
        self._order_of.evicted(entry, self._size)
        self._take_out(entry)
        self._evictions += 1
        dropped.append(entry)

    def _take_out_expired(self, now: int, most: int, dropped: list[Any]) -> None:
        while most and self._deadlines.length:
            entry = self._deadlines.soonest()
            if entry.deadline > now:
                return
            self._take_out(entry)
            dropped.append(entry)
            most -= 1

    def _set_deadline(self, entry: Entry, deadline: int) -> None:
        if entry.deadline != NEVER:
            self._deadlines.remove(entry)
        entry.deadline = deadline
        if deadline != NEVER:
            self._births += 1
            entry.born = self._births
            self._deadlines.add(entry)

    def _has_no_room(self, weight: int) -> bool:
        if self._size_bound and self._size >= self._size_bound:
            return True
        return bool(self._max_bytes and self._size and self._bytes + weight > self._max_bytes)

    def _is_at_work(self) -> bool:
        # A finaliser, or a signal's handler, in the middle of a change that its thread makes.
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]

    def _work(self) -> "_Work":
        return _Work(self)

    # -- Time and weight --

    def _moment(self, is_needed: bool = False) -> int:
        """Nanoseconds; 0 when nothing can expire, and no one has to know."""
        if not is_needed and not self._deadlines.length:
            return 0
        return time.monotonic_ns() if self._timer is None else int(self._timer() * 1e9)

    @staticmethod
    def _has_expired(entry: Entry, now: int) -> bool:
        return entry.deadline != NEVER and now >= entry.deadline

    def _lifetime_of(self, seconds: Optional[float]) -> int:
        return self._lifetime_ns if seconds is None else self._lifetime(seconds)

    def _weigh(self, value: Any) -> int:
        if not self._max_bytes:
            return 0
        assert self._weigher is not None
        weight = self._weigher(value)
        if not isinstance(weight, int):
            raise TypeError(f"a weigher returns a number of bytes, 0 or more, not {weight!r}")
        if weight < 0 or weight >= 2**63:
            raise ValueError(f"a weigher returns a number of bytes, 0 or more, not {weight!r}")
        return int(weight)


class _Work:
    """A change of a cache, with its lock held. What came in the middle is done when it ends."""

    __slots__ = ("_cache",)

    def __init__(self, cache: ObjectCache[Any, Any]) -> None:
        self._cache = cache

    def __enter__(self) -> None:
        self._cache._lock.acquire()

    def __exit__(self, *_: object) -> None:
        cache = self._cache
        is_drainer = bool(cache._postponed) and not cache._is_draining
        if is_drainer:
            cache._is_draining = True
        cache._lock.release()
        while is_drainer:
            with cache._lock:
                postponed = cache._postponed.pop(0) if cache._postponed else None
                is_drainer = cache._is_draining = postponed is not None
            if postponed is not None:
                postponed()
