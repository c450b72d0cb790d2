"""What the middleware has counted: requests, and what came of them. Every request is a hit, a miss or a skip."""

from __future__ import annotations

import threading
from typing import Dict, List, Sequence

from catzilla_cache import _forks

#: The documented ones.
DOCUMENTED = ("total_requests", "cache_hits", "cache_misses", "cache_sets", "cache_skips")
#: What goes beyond them: `get_stats()["http_stats"]`.
FURTHER = (
    "stale_hits", "stale_if_error", "revalidations", "refreshes", "failed_refreshes", "collapsed", "not_modified", "uncacheable",
    "too_large", "damaged", "invalidations", "purges", "cache_errors",
)  # fmt: skip
_BY_RULE = {"cache_hits": "hits", "cache_misses": "misses", "cache_sets": "sets"}


class Counters:
    """Counted by any number of threads; none is lost."""

    __slots__ = ("__weakref__", "_by_rule", "_counts", "_lock", "_rules")

    def __init__(self, rules: Sequence[str] = ()) -> None:
        self._rules = list(rules)
        self._make_lock()
        self.reset()
        _forks.watch(self)

    def _make_lock(self) -> None:
        self._lock = threading.Lock()

    def renew_in_child(self) -> None:
        """In a forked child: whoever held the lock is not there any more."""
        self._make_lock()

    def reset(self) -> None:
        """Begins at 0 again."""
        with self._lock:
            self._counts = dict.fromkeys(DOCUMENTED + FURTHER, 0)
            self._by_rule: List[Dict[str, int]] = [dict.fromkeys(_BY_RULE.values(), 0) for _ in self._rules]

    def count(self, name: str, rule: int = 0, by: int = 1) -> None:
        """Counts something; under a rule, too, if it has to do with one."""
        with self._lock:
            self._counts[name] += by
            if rule and rule <= len(self._by_rule):
                self._by_rule[rule - 1][_BY_RULE[name]] += by

    def documented(self) -> Dict[str, int]:
        """The documented counters."""
        with self._lock:
            return {name: self._counts[name] for name in DOCUMENTED}

    def further(self) -> Dict[str, int]:
        """The others."""
        with self._lock:
            return {name: self._counts[name] for name in FURTHER}

    def by_rule(self) -> Dict[str, Dict[str, int]]:
        """Hits, misses and sets of each rule, by its pattern."""
        with self._lock:
            return {pattern: dict(counts) for pattern, counts in zip(self._rules, self._by_rule)}
