"""What all middlewares of the response cache are, whatever they stand between: parameters, cache, figures, and what is removed."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional, TypeVar

from catzilla_cache._flights import Flights
from catzilla_cache import _forks
from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.admission import Exchanges
from catzilla_cache.http.decisions import Fetch
from catzilla_cache.http.exchange import Exchange
from catzilla_cache.http.finder import Messages, NoFinder, finder_for
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import STATE_FIELDS, Policy, policy_of
from catzilla_cache.http.purging import Purging
from catzilla_cache.http.shelf import Shelf
from catzilla_cache.http.statistics import Counters
from catzilla_cache.http.stored import StoredResponse, Varies
from catzilla_cache.http.unshared import Unshared
from catzilla_cache.http.warming import Warming
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig, get_cache

if TYPE_CHECKING:
    from typing import Callable, Collection, Mapping, Sequence, TypedDict

    class Parameters(TypedDict, total=False):
        """The parameters of every middleware, by name; see docs/http-cache.md."""

        config: Optional[SmartCacheConfig]
        cache_instance: Optional[SmartCache]
        default_ttl: float
        cache_methods: Optional[Collection[str]]
        cache_status_codes: Optional[Collection[int]]
        ignore_query_params: Optional[Collection[str]]
        cache_headers: Optional[Collection[str]]
        cache_private: bool
        cache_authenticated: bool
        exclude_paths: Optional[Sequence[str]]
        include_paths: Optional[Sequence[str]]
        cache_vary_headers: Optional[Collection[str]]
        custom_key_generator: Optional[Callable[[Any], str]]
        cache_rules: Optional[Mapping[str, Mapping[str, Any]]]
        stale_while_revalidate: float
        stale_if_error: float
        keep_stale: float
        max_body_size: int
        max_variants: int
        wait_timeout: float
        cacheable_cookies: Collection[str]
        cache_cookies: bool
        targeted_cache_control: Sequence[str]
        no_vary_search: bool
        surrogate_keys: Sequence[str]
        cache_name: str
        state_fields: Collection[str]
        key_prefix: str
        clock: Callable[[], float]


Self = TypeVar("Self", bound="ResponseCache")


class ResponseCache(Purging, Warming):
    """The base of ``CacheMiddleware``, ``WSGICacheMiddleware`` and ``SmartCacheMiddleware``."""

    def __init__(
        self, config: Optional[SmartCacheConfig] = None, cache_instance: Optional[SmartCache] = None, **parameters: Any
    ) -> None:
        self._policy: Policy = policy_of(**parameters)
        #: Where the responses are.
        self.cache = _opened(config, cache_instance)
        self._counters = Counters(self._policy.rule_names())
        self._exchanges = Exchanges(self._policy, self._counters)
        self._shelf = Shelf(self.cache, self._counters, self._policy.max_variants)
        self._finder = finder_for(self.cache, self._policy)
        self._find = self._finder.find
        self._find_environ = self._finder.find_environ
        self._flights = Flights()
        self._unshared = Unshared()
        _forks.watch(self)

    def renew_in_child(self) -> None:
        """In a forked child: who fetched something is not there any more."""
        self._flights.renew_in_child()

    def _ready(self, request: Request) -> Optional[Messages]:
        """What answers a request without another thought, for adapters that have no scope; None: somebody has to think about it."""
        return self._find({
            "type": "http", "method": request.method, "scheme": request.scheme, "path": request.path, "raw_path": request.raw_path,
            "query_string": request.query, "headers": request.headers.fields,
        })  # fmt: skip

    def _flight_of(self, exchange: Exchange, fetch: Fetch) -> Optional[bytes]:
        """The key of the flight that a request boards; None: it waits for nobody, and nobody for it."""
        key = None if fetch.shared is None else self._flight_key(exchange, fetch.shared)
        return None if key in self._unshared else key

    def _flight_key(self, exchange: Exchange, shared: bytes) -> bytes:
        # Who comes after an invalidation does not get what was asked for before.
        return shared + b" %d" % self._shelf.generation(self._exchanges.urls_of(exchange.target))

    def _has_come(self, exchange: Exchange) -> bool:
        """Whether another request has stored the answer between this one's look-up and now, in another thread or while it waited."""
        entry = self._shelf.find_in_memory(exchange.missed)
        if isinstance(entry, StoredResponse):
            return exchange.seen is None or entry.stored_at > exchange.seen
        return isinstance(entry, Varies) and exchange.missed == exchange.primary

    def _telling(self: Self) -> Self:
        """This very middleware, except that its answers tell of the cache: for who asks it in this process what has become of them."""
        if self._policy.state_fields == STATE_FIELDS:
            return self
        twin = copy.copy(self)
        twin._policy = replace(self._policy, state_fields=STATE_FIELDS)
        twin._exchanges = Exchanges(twin._policy, self._counters)
        twin._finder = NoFinder(len(self._policy.rules))
        twin._find, twin._find_environ = twin._finder.find, twin._finder.find_environ
        return twin

    # ---- What programs look at ----

    @property
    def default_ttl(self) -> float:
        """Seconds."""
        return self._policy.default_ttl

    @property
    def cache_methods(self) -> FrozenSet[str]:
        """As it was given, or the default."""
        return self._policy.cache_methods

    @property
    def cache_status_codes(self) -> FrozenSet[int]:
        """As they were given, or the default."""
        return self._policy.cache_status_codes

    @property
    def ignore_query_params(self) -> FrozenSet[str]:
        """As they were given, or the default."""
        return self._policy.ignore_query_params

    @property
    def cache_headers(self) -> FrozenSet[str]:
        """In lower case."""
        return self._policy.cache_headers

    @property
    def cache_vary_headers(self) -> FrozenSet[str]:
        """In lower case."""
        return self._policy.cache_vary_headers

    @property
    def cache_private(self) -> bool:
        """As it was given."""
        return self._policy.cache_private

    @property
    def cache_authenticated(self) -> bool:
        """As it was given."""
        return self._policy.cache_authenticated

    @property
    def exclude_paths(self) -> List[str]:
        """As they were given."""
        return list(self._policy.exclude_paths)

    @property
    def include_paths(self) -> Optional[List[str]]:
        """As they were given."""
        return None if self._policy.include_paths is None else list(self._policy.include_paths)

    @property
    def state_fields(self) -> FrozenSet[str]:
        """In lower case."""
        return self._policy.state_fields

    @property
    def custom_key_generator(self) -> Any:
        """As it was given."""
        return self._policy.custom_key_generator

    @property
    def stats(self) -> Dict[str, int]:
        """The documented counters, as they are now."""
        counted = self._counters.documented()
        found = sum(self._finder.counts())
        counted["total_requests"] += found
        counted["cache_hits"] += found
        return counted

    def get_stats(self) -> Dict[str, Any]:
        """What was counted, and how the cache is: see docs/http-cache.md."""
        counted = self.stats
        total = counted["total_requests"]
        stats = self.cache.get_stats()
        further = self._counters.further()
        further["not_modified"] += self._finder.not_modified()
        rules = self._counters.by_rule()
        for number, pattern in enumerate(rules, 1):
            rules[pattern]["hits"] += self._finder.counts()[number]
        return {
            "middleware_stats": counted,
            "cache_stats": {
                "hits": stats.hits,
                "misses": stats.misses,
                "evictions": stats.evictions,
                "memory_usage": stats.memory_usage,
                "size": stats.size,
                "capacity": stats.capacity,
                "hit_ratio": stats.hit_ratio,
                "tier_stats": stats.tier_stats,
            },
            "overall_hit_ratio": counted["cache_hits"] / total if total else 0.0,
            "cache_health": self.cache.health_check(),
            "http_stats": further,
            "rule_stats": rules,
        }

    def clear_cache(self) -> None:
        """Removes everything from the cache, of whomever it is, and begins to count at 0 again."""
        self._shelf.outdate(None)
        self.cache.clear()
        self._unshared.clear()
        self._counters.reset()
        self._finder.forget()


def _opened(config: Optional[SmartCacheConfig], given: Optional[SmartCache]) -> SmartCache:
    """The cache that was given; else that of the process, if it is as it should be; else one of its own."""
    if given is not None:
        if not isinstance(given, SmartCache):
            raise CacheValueError(f"cache_instance is a SmartCache, not {type(given).__name__}")
        return given
    if config is not None and not isinstance(config, SmartCacheConfig):
        raise CacheValueError(f"config is a SmartCacheConfig, not {type(config).__name__}")
    cache = get_cache(config)
    return cache if config is None or cache.config == config else SmartCache(config)


