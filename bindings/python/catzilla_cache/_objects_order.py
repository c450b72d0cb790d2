"""Who leaves a plain object cache that is full: the rules of ``native/object_order.c`` once more, in Python.

Called by ``_objects_plain`` with its lock held; runs no code of the user. What each policy does is said in
``native/object_order.h``; tests hold the two side by side.
"""

from __future__ import annotations

import heapq
from typing import Any, Iterator, Optional

LRU, LFU, TTL, ADAPTIVE, FIFO, SIEVE, S3FIFO = range(7)

#: A deadline that never comes, in nanoseconds.
NEVER = 2**63 - 1

# As in native/object_order.c, which says where they come from.
_MOST_PASSED = 256
_MOST_USES = {LFU: 255, ADAPTIVE: 255, S3FIFO: 3, SIEVE: 1}
_REQUESTS = 4096
_MARGIN = 0.02


class Entry:
    """A key and its value, and where the order has them. Entries are told apart by identity."""

    __slots__ = (
        "key", "value", "hash", "deadline", "born", "weight", "is_held",
        "uses", "filed", "worth", "is_main", "newer", "older",
    )  # fmt: skip

    def __init__(self, key: Any, value: Any, hash_of_key: int, weight: int) -> None:
        self.key = key
        self.value = value
        self.hash = hash_of_key
        self.deadline = NEVER
        self.born = 0
        self.weight = weight
        self.is_held = True
        self.uses = self.filed = self.worth = 0
        self.is_main = False
        self.newer: Optional[Entry] = None
        self.older: Optional[Entry] = None


class _List:
    """Entries from the oldest to the newest."""

    __slots__ = ("newest", "oldest", "length")

    def __init__(self) -> None:
        self.newest: Optional[Entry] = None
        self.oldest: Optional[Entry] = None
        self.length = 0

    def __iter__(self) -> Iterator[Entry]:
        entry = self.oldest
        while entry is not None:
            following = entry.newer
            yield entry
            entry = following

    def push(self, entry: Entry) -> None:
        entry.newer, entry.older = None, self.newest
        if self.newest is not None:
            self.newest.newer = entry
        else:
            self.oldest = entry
        self.newest = entry
        self.length += 1

    def remove(self, entry: Entry) -> None:
        if entry.newer is not None:
            entry.newer.older = entry.older
        else:
            self.newest = entry.older
        if entry.older is not None:
            entry.older.newer = entry.newer
        else:
            self.oldest = entry.newer
        self.length -= 1

    def first(self) -> Entry:
        assert self.oldest is not None
        return self.oldest


class Deadlines:
    """The entries that expire, by when they do; those of one moment in the order in which they were stored."""

    __slots__ = ("_heap", "_filed")

    def __init__(self) -> None:
        # With the numbers of some that are filed no more; those are passed over.
        self._heap: list[tuple[int, int]] = []
        self._filed: dict[int, Entry] = {}

    @property
    def length(self) -> int:
        return len(self._filed)

    def add(self, entry: Entry) -> None:
        self._filed[entry.born] = entry
        heapq.heappush(self._heap, (entry.deadline, entry.born))
        if len(self._heap) > 2 * len(self._filed) + 64:
            self._heap = [number for number in self._heap if number[1] in self._filed]
            heapq.heapify(self._heap)

    def remove(self, entry: Entry) -> None:
        del self._filed[entry.born]

    def soonest(self) -> Entry:
        while self._heap[0][1] not in self._filed:
            heapq.heappop(self._heap)
        return self._filed[self._heap[0][1]]


class Order:
    """The order of the entries of one cache."""

    def __init__(self, policy: int, threshold: float) -> None:
        self.policy = policy
        self.threshold = threshold
        self.forget_requests()
        self.clear()
        self._by_frequency = self._has_looked = False

    def forget_requests(self) -> None:
        self._hits_seen = self._misses_seen = 0

    def clear(self) -> None:
        self._all = _List()
        self._main = _List()
        self._hand: Optional[Entry] = None
        # Hashes, the oldest first.
        self._ghost: dict[int, None] = {}
        self._by_worth: dict[int, dict[Entry, None]] = {}
        self._age = 0

    def change(self, policy: int) -> None:
        entries = [*self._all, *self._main]
        self.policy = policy
        self.clear()
        self._by_frequency = self._has_looked = False
        for entry in entries:
            self.insert(entry)

    @property
    def _counts_uses(self) -> bool:
        return self.policy in (LFU, ADAPTIVE)

    def touch(self, entry: Entry) -> None:
        if self.policy in (LRU, ADAPTIVE):
            self._all.remove(entry)
            self._all.push(entry)
        entry.uses = min(entry.uses + 1, _MOST_USES.get(self.policy, 0))

    def insert(self, entry: Entry) -> None:
        entry.uses, entry.is_main = 0, False
        if self.policy == S3FIFO and entry.hash in self._ghost:
            del self._ghost[entry.hash]
            entry.is_main = True
            self._main.push(entry)
            return
        self._all.push(entry)
        if self._counts_uses:
            entry.uses = 1
            self._file(entry)

    def remove(self, entry: Entry) -> None:
        if self._hand is entry:
            self._hand = entry.newer
        if self._counts_uses:
            self._unfile(entry)
        (self._main if entry.is_main else self._all).remove(entry)

    def victim(self, size: int, deadlines: Deadlines, hits: int, misses: int) -> Entry:
        if self.policy == LFU:
            return self._least_used()
        if self.policy == ADAPTIVE:
            self._look(size, hits, misses)
            return self._least_used() if self._by_frequency else self._all.first()
        if self.policy == TTL and deadlines.length:
            return deadlines.soonest()
        if self.policy == SIEVE:
            return self._sieved()
        if self.policy == S3FIFO:
            return self._from_two_queues(size)
        return self._all.first()

    def evicted(self, entry: Entry, size: int) -> None:
        if self.policy != S3FIFO or entry.is_main:
            return
        most = max(1, size * 9 // 10)
        self._ghost.pop(entry.hash, None)
        for _ in range(2):
            if len(self._ghost) >= most:
                del self._ghost[next(iter(self._ghost))]
        self._ghost[entry.hash] = None

    def _file(self, entry: Entry) -> None:
        entry.filed, entry.worth = entry.uses, self._age + entry.uses
        self._by_worth.setdefault(entry.worth, {})[entry] = None

    def _unfile(self, entry: Entry) -> None:
        equals = self._by_worth[entry.worth]
        del equals[entry]
        if not equals:
            del self._by_worth[entry.worth]

    def _least_used(self) -> Entry:
        for passed in range(_MOST_PASSED + 1):
            worth = min(self._by_worth)
            entry = next(iter(self._by_worth[worth]))
            if entry.uses == entry.filed or passed == _MOST_PASSED:
                break
            self._unfile(entry)
            self._file(entry)
        self._age = worth
        return entry

    def _sieved(self) -> Entry:
        entry = self._hand or self._all.first()
        for _ in range(_MOST_PASSED):
            if not entry.uses:
                break
            entry.uses = 0
            entry = entry.newer or self._all.first()
        self._hand = entry
        return entry

    def _from_two_queues(self, size: int) -> Entry:
        small = max(1, size // 10)
        passed = 0
        while True:
            is_small = self._all.length >= small or not self._main.length
            entry = (self._all if is_small else self._main).first()
            if not entry.uses or passed == _MOST_PASSED:
                return entry
            if is_small:
                self._all.remove(entry)
                entry.uses, entry.is_main = 0, True
            else:
                self._main.remove(entry)
                entry.uses -= 1
            self._main.push(entry)
            passed += 1

    def _look(self, size: int, all_hits: int, all_misses: int) -> None:
        hits = all_hits - self._hits_seen
        requests = hits + all_misses - self._misses_seen
        is_enough = requests >= max(size, _REQUESTS)
        if not is_enough and (self._has_looked or requests == 0):
            return
        margin = min(_MARGIN, self.threshold, 1.0 - self.threshold)
        least = self.threshold - margin if self._by_frequency else self.threshold + margin
        self._by_frequency = float(hits) > float(requests) * least
        if is_enough:
            self._has_looked = True
            self._hits_seen, self._misses_seen = all_hits, all_misses
