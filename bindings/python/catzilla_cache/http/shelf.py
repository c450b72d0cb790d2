"""Responses in a ``SmartCache``: the one place that looks them up, stores them and removes them.

A fault of the cache is counted and logged here, and is a miss to everybody else.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, TypeVar

from catzilla_cache import _forks, _status
from catzilla_cache._arguments import check, found, ttl_ms
from catzilla_cache._backend import backend as _backend
from catzilla_cache._loading_async import off_loop
from catzilla_cache.http.decisions import Entry, Write
from catzilla_cache.http.keys import url_tag
from catzilla_cache.http.statistics import Counters
from catzilla_cache.http.stored import (
    Damaged,
    StoredResponse,
    Varies,
    decode,
    encode_response,
    encode_search,
    encode_varies,
)
from catzilla_cache.smart_cache import SmartCache

logger = logging.getLogger("catzilla.cache")

Result = TypeVar("Result")

# Of how many URLs it is known how many responses they have, those that were stored last. Arbitrary: an attacker who wants to fill the
# cache through one URL is noticed long before he has asked for so many others.
_KNOWN_URLS = 1024

# Of how many invalidations it is known one by one that they came after an answer had been asked for; older ones count for everything. Arbitrary:
# more than come while one answer is on its way.
_KNOWN_INVALIDATIONS = 4096

# Bytes from which on responses are compressed, where the cache is. To decompress 1 KiB takes a hit half as long again (measured by
# `make bench-http`), and spares as little memory as there is.
_LEAST_COMPRESSED = 4096


class Shelf:
    """The responses of one middleware. Any number of threads and loops."""

    def __init__(self, cache: SmartCache, counters: Counters, max_variants: int) -> None:
        self.cache = cache
        self._counters = counters
        self._max_variants = max_variants
        self._stored: "OrderedDict[bytes, Dict[bytes, None]]" = OrderedDict()
        #: Numbers of invalidations, by URL and by tag; up to which number everything is invalidated; and the last one's.
        self._invalidated: "OrderedDict[bytes, int]" = OrderedDict()
        self._all_invalidated = 0
        self._last = 0
        self._lock = threading.Lock()
        _forks.watch(self)

    def renew_in_child(self) -> None:
        """In a forked child: whoever held the lock is not there any more."""
        self._lock = threading.Lock()

    @property
    def may_wait(self) -> bool:
        """Whether a call may have to wait for Redis or the disk."""
        return self.cache._asks_below

    # ---- Looking up ----

    def find(self, key: bytes) -> Optional[Entry]:
        """What is stored under a key; may wait for Redis and disk."""
        return self._guarded(self._find, key, False)

    def find_in_memory(self, key: bytes) -> Optional[Entry]:
        """The same from memory alone, without waiting. A miss is counted by whoever goes on."""
        return self._guarded(self._find, key, True)

    async def find_async(self, key: bytes) -> Optional[Entry]:
        """The same for tasks: what memory has is found here and now, anything slower leaves the loop free."""
        if not self.may_wait:
            return self.find(key)
        entry = self.find_in_memory(key)
        return entry if entry is not None else await off_loop(self.find, key)

    def _find(self, key: bytes, in_memory: bool) -> Optional[Entry]:
        handle = self.cache._live()
        status, data = _backend.read_memory(handle, key, False) if in_memory else _backend.read(handle, key)
        if not found(status):
            return None
        try:
            return decode(data)
        except Damaged as error:
            self._counters.count("damaged")
            logger.warning("a stored response is of no use: %s", error)
            return None

    # ---- Storing ----

    def moment(self) -> int:
        """Now, among the invalidations of this process: what is asked of the application from here on knows of all before."""
        return self._last

    def generation(self, urls: Iterable[bytes]) -> int:
        """Another one after each invalidation of one of these URLs."""
        return max(self._all_invalidated, *(self._invalidated.get(url_tag(url), 0) for url in urls)) if self._last else 0

    def put(self, writes: Sequence[Write], since: int) -> None:
        """Stores what an exchange says; may wait for Redis and disk. Not what was invalidated after it was asked for, at ``since``."""
        for write in writes:
            self._guarded(self._put, write, since)

    async def put_async(self, writes: Sequence[Write], since: int) -> None:
        """The same for tasks."""
        if not self.may_wait:
            self.put(writes, since)
        else:
            await off_loop(self.put, writes, since)

    def _is_outdated(self, tags: Iterable[bytes], since: int) -> bool:
        if self._last <= since:
            return False
        with self._lock:
            return self._all_invalidated > since or any(self._invalidated.get(tag, 0) > since for tag in tags)

    def _put(self, write: Write, since: int) -> None:
        entry = write.entry
        if entry is None:
            self.cache.delete(write.key)
            return
        tags: List[bytes] = []
        if isinstance(entry, StoredResponse):
            data = encode_response(entry)
            tags = [url_tag(entry.url), *entry.tags]
            if self._is_outdated(tags, since):
                return
        else:
            data = encode_varies(entry) if isinstance(entry, Varies) else encode_search(entry)
        # What is short is decompressed for longer than it is copied.
        flags = _status.PUT_UNCOMPRESSED if len(data) < _LEAST_COMPRESSED or _is_coded(entry) else 0
        status, _ = _backend.put_with(self.cache._live(), write.key, data, ttl_ms(max(write.kept_for, 0.001)), flags, 0, tags)
        if status == _status.VALUE_TOO_LARGE:
            self._counters.count("too_large")
            return
        check(status)
        if isinstance(entry, StoredResponse):
            if self._is_outdated(tags, since):
                # Invalidated in the meantime, perhaps before it was there.
                self.cache.delete(write.key)
                return
            self._counters.count("cache_sets", entry.rule)
            self._bound(entry.url, write.key)

    def _bound(self, url: bytes, key: bytes) -> None:
        """Drops the oldest response of a URL that has too many: requests whose fields differ must not fill the cache."""
        oldest = []
        with self._lock:
            keys = self._stored.setdefault(url, {})
            self._stored.move_to_end(url)
            keys.pop(key, None)
            keys[key] = None
            while len(keys) > self._max_variants:
                first = next(iter(keys))
                del keys[first]
                oldest.append(first)
            while len(self._stored) > _KNOWN_URLS:
                self._stored.popitem(last=False)
        for each in oldest:
            self.cache.delete(each)

    # ---- Removing ----

    def remove(self, key: bytes) -> None:
        """Removes what is stored under a key, from every tier."""
        self._guarded(self.cache.delete, key)

    async def remove_async(self, key: bytes) -> None:
        """The same for tasks."""
        await self._in_turn(self.remove, key)

    def invalidate(self, urls: Iterable[bytes]) -> None:
        """Removes every response of these URLs, from every tier."""
        for url in urls:
            self._counters.count("invalidations")
            self._guarded(self.purge_tag, url_tag(url))

    def purge_tag(self, tag: bytes) -> int:
        """Removes everything with a tag, from every tier. How many of those memory had."""
        self.outdate(tag)
        return self.cache.delete_tag(tag)

    def outdate(self, tag: Optional[bytes]) -> None:
        """What has been asked for and has this tag (None: whatever it has) is not to be stored when it comes."""
        with self._lock:
            self._last += 1
            if tag is None:
                self._all_invalidated = self._last
                return
            self._invalidated[tag] = self._last
            self._invalidated.move_to_end(tag)
            while len(self._invalidated) > _KNOWN_INVALIDATIONS:
                self._all_invalidated = max(self._all_invalidated, self._invalidated.popitem(last=False)[1])

    async def invalidate_async(self, urls: Sequence[bytes]) -> None:
        """The same for tasks. A walk through a large memory would hold the loop up, so it is done elsewhere."""
        await off_loop(self.invalidate, urls)

    async def _in_turn(self, call: Callable[..., Any], *arguments: Any) -> None:
        if self.may_wait:
            await off_loop(call, *arguments)
        else:
            call(*arguments)

    # ---- Faults ----

    def _guarded(self, call: Callable[..., Result], *arguments: Any) -> Optional[Result]:
        """What a call returns; None when the cache cannot do it: that is no fault of the request."""
        try:
            return call(*arguments)
        except Exception as error:
            self.fault(error)
            return None

    def fault(self, error: BaseException) -> None:
        """Counts and logs a fault of the cache."""
        self._counters.count("cache_errors")
        logger.warning("the response cache could not be used: %s", error)


def _is_coded(entry: Entry) -> bool:
    """Whether a body is compressed already."""
    return isinstance(entry, StoredResponse) and any(name == b"content-encoding" for name, _ in entry.fields)
