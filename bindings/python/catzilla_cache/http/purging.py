"""Removing responses by hand: by URL, by surrogate key, by pattern, or all; at once, or softly.

What is purged softly is not gone but stale: it may still be served while it is fetched anew, or if that fails, where that is allowed
(``stale_while_revalidate``, ``stale_if_error``), and a validator may spare its body. Only what this process has in memory can be kept like
that; in the tiers below it is removed, as it is by a hard purge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Union

from catzilla_cache._loading_async import off_loop
from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.decisions import Write
from catzilla_cache.http.keys import surrogate_tag, url_tag
from catzilla_cache.http.patterns import UrlPattern
from catzilla_cache.http.stored import StoredResponse

if TYPE_CHECKING:
    from catzilla_cache.http.admission import Exchanges
    from catzilla_cache.http.policy import Policy
    from catzilla_cache.http.shelf import Shelf
    from catzilla_cache.http.statistics import Counters
    from catzilla_cache.http.unshared import Unshared
    from catzilla_cache.smart_cache import SmartCache


class Purging:
    """Inherited by the middlewares. Each call returns how many responses this process had in memory."""

    if TYPE_CHECKING:
        cache: SmartCache
        _counters: Counters
        _exchanges: Exchanges
        _policy: Policy
        _shelf: Shelf
        _unshared: Unshared

    def purge_url(self, url: str, soft: bool = False) -> int:
        """Purges every response for a URL, such as ``https://example.org/items?page=2``, whatever it varies by."""
        target = self._exchanges.target_of(url)
        if target is None:
            raise CacheValueError(f"a URL to purge is such as 'https://example.org/items', not {url!r}")
        tags = [url_tag(each) for each in self._exchanges.urls_of(target)]
        return self._purge(tags, lambda stored: stored.url == target.url or tags[-1] in stored.tags, soft)

    def purge_tag(self, tag: Union[str, bytes], soft: bool = False) -> int:
        """Purges every response with a surrogate key: one that came with it, or that a rule gave it."""
        name = surrogate_tag(tag.encode() if isinstance(tag, str) else tag)
        return self._purge([name], lambda stored: name in stored.tags, soft)

    def purge_pattern(self, pattern: str, soft: bool = False) -> int:
        """Purges every response whose path and query fit a pattern in which ``*`` stands for anything: ``/api/*``, or with an origin
        ``https://example.org/api/*``. Where a program makes its own keys, only what this process has in memory is found."""
        wanted = UrlPattern(pattern)
        self._counters.count("purges")
        has_own_keys = self._policy.custom_key_generator is not None
        kept = self._kept(lambda stored: wanted.matches(stored.url)) if soft or has_own_keys else []
        # What is on its way may fit, too.
        self._shelf.outdate(None)
        if has_own_keys:
            removed = self.cache.delete_many([write.key for write in kept])
        else:
            removed = sum(self.cache.delete_pattern(glob) for glob in wanted.globs(self._policy.prefix))
        if soft:
            self._put_back(kept)
        return removed

    def purge_all(self, soft: bool = False) -> int:
        """Purges every response; what else is in the cache stays."""
        self._counters.count("purges")
        kept = self._kept(lambda stored: True) if soft else []
        self._shelf.outdate(None)
        removed = self.cache.delete_prefix(self._policy.key_prefix + ":")
        self._unshared.clear()
        self._put_back(kept)
        return removed

    def _purge(self, tags: List[bytes], is_meant: Callable[[StoredResponse], bool], soft: bool) -> int:
        self._counters.count("purges")
        kept = self._kept(is_meant) if soft else []
        removed = sum(self._shelf.purge_tag(tag) for tag in tags)
        self._put_back(kept)
        return removed

    def _kept(self, is_meant: Callable[[StoredResponse], bool]) -> List[Write]:
        """What memory has of the responses that are meant, as it is put back: stale."""
        now = self._policy.clock()
        writes = []
        for key in self.cache.keys(self._policy.prefix):
            entry = self._shelf.find_in_memory(key)
            if isinstance(entry, StoredResponse) and is_meant(entry):
                stale = entry.made_stale(now)
                until = max(stale.refresh_until, stale.error_until, now + self._policy.keep_stale)
                writes.append(Write(key, stale, until - now))
        return writes

    def _put_back(self, kept: List[Write]) -> None:
        self._shelf.put(kept, self._shelf.moment())

    async def apurge_url(self, url: str, soft: bool = False) -> int:
        """As ``purge_url``, for tasks."""
        return int(await off_loop(self.purge_url, url, soft))

    async def apurge_tag(self, tag: Union[str, bytes], soft: bool = False) -> int:
        """As ``purge_tag``, for tasks."""
        return int(await off_loop(self.purge_tag, tag, soft))

    async def apurge_pattern(self, pattern: str, soft: bool = False) -> int:
        """As ``purge_pattern``, for tasks."""
        return int(await off_loop(self.purge_pattern, pattern, soft))

    async def apurge_all(self, soft: bool = False) -> int:
        """As ``purge_all``, for tasks."""
        return int(await off_loop(self.purge_all, soft))
