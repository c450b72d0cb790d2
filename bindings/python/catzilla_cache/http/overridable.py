"""What programs that know the framework's own middleware call, and what its subclasses put their own in place of."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Set

from catzilla_cache.errors import CacheKeyError
from catzilla_cache.http.admission import Exchanges
from catzilla_cache.http.exchange import Exchange
from catzilla_cache.http.freshness import control_of, lifetime
from catzilla_cache.http.keys import normalised_query
from catzilla_cache.http.message import FieldMap, Request
from catzilla_cache.http.middleware import ResponseCache
from catzilla_cache.http.policy import CENTURY
from catzilla_cache.http.shapes import request_of, response_fields
from catzilla_cache.http.storing import Keep, judge
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

#: The exchange whose response a subclass is asked about.
_asked_about: ContextVar[Optional[Exchange]] = ContextVar("catzilla_cache_exchange", default=None)

# What subclasses may have an own idea of.
_OVERRIDABLE = ("_should_cache_request", "_should_cache_response", "_generate_cache_key", "_get_cache_ttl")


class Named:
    """The name that a program gives the answer to a request. Made once; the request is not held for longer."""

    __slots__ = ("text",)

    def __init__(self, generate: Callable[[Any], str], request: Any) -> None:
        self.text = generate(request)

    @staticmethod
    def text_of(named: "Named") -> str:
        return named.text


class Overridable(ResponseCache):
    """The base of ``SmartCacheMiddleware``. What a subclass does not override is answered by the policy."""

    def __init__(
        self, config: Optional[SmartCacheConfig] = None, cache_instance: Optional[SmartCache] = None, **parameters: Any
    ) -> None:
        super().__init__(config, cache_instance, **parameters)
        self._overridden: Set[str] = {
            name for name in _OVERRIDABLE if getattr(type(self), name) is not getattr(Overridable, name)
        }
        # Keys that a program names are named before the exchange begins: it must not hold the request, which holds the exchange.
        self._named = Exchanges(replace(self._policy, custom_key_generator=Named.text_of), self._counters)

    @property
    def _names_keys(self) -> bool:
        """Whether a program says itself under which keys responses are."""
        return self._policy.custom_key_generator is not None or self._is_own("_generate_cache_key")

    def _is_own(self, name: str) -> bool:
        """Whether a subclass, or somebody else, has put something of his own in place of a method."""
        return name in self._overridden or name in self.__dict__

    def _is_wanted(self, exchange: Exchange, response: Any) -> bool:
        """Whether a subclass wants a response to be stored. It is stored as long as it says."""
        token = _asked_about.set(exchange)
        try:
            settings = exchange.settings
            if self._is_own("_should_cache_response"):
                if not self._should_cache_response(response):
                    return False
                settings = replace(settings, status_codes=settings.status_codes | {int(response.status_code)})
            if self._is_own("_get_cache_ttl"):
                ttl = self._get_cache_ttl(response)
                if ttl != Overridable._get_cache_ttl(self, response):
                    if ttl is None or ttl <= 0:
                        return False
                    settings = replace(settings, ttl=float(min(ttl, CENTURY)))
            exchange.settings = settings
            return True
        finally:
            _asked_about.reset(token)

    def _should_cache_request(self, request: Any) -> bool:
        """Whether a request is for the cache: its method, its path, and what it says itself. It may find nothing there."""
        return self._named.begin(request_of(request), Named(lambda _: "", None), hands_on=True) is not None

    def _should_cache_response(self, response: Any) -> bool:
        """Whether a response may be stored."""
        exchange = _asked_about.get()
        settings = self._policy.rules[0] if exchange is None else exchange.settings
        request = Request("GET", "http", b"", "/", b"/", b"", []) if exchange is None else exchange.request
        now = self._policy.clock()
        fields = FieldMap(response_fields(response))
        return isinstance(judge(self._policy, settings, request, int(response.status_code), fields, now, now, b""), Keep)

    def _get_cache_ttl(self, response: Any) -> Any:
        """For how many seconds a response is fresh: what the rule for its path says, what it says itself, or the default."""
        exchange = _asked_about.get()
        if exchange is not None and exchange.settings.ttl is not None:
            return int(exchange.settings.ttl)
        fields = FieldMap(response_fields(response))
        said = lifetime(fields, control_of(fields, self._policy.targeted_cache_control), self._policy.clock())
        return int(self._policy.default_ttl if said is None else said.seconds)

    def _generate_cache_key(self, request: Any) -> str:
        """The key under which the response to a request is in the cache, or what it says of others which it varies by. With a
        ``custom_key_generator`` what that returns, which is a part of the key."""
        generator = self._policy.custom_key_generator
        if generator is not None:
            return generator(request)
        facts = request_of(request)
        target = self._exchanges.keys.target(facts)
        if target is None:
            raise CacheKeyError("a request without a plain URL has no key")
        return self._exchanges.keys.primary(facts, "GET", target).decode("latin-1")

    def _normalize_query_string(self, query_string: str) -> str:
        """A query as it is in keys: sorted by name, without what is ignored."""
        query = (query_string or "").encode("utf-8", "surrogateescape")
        return normalised_query(query, self._policy.ignored).decode("utf-8", "surrogateescape")

    def _get_cache_headers(self, request: Any) -> Dict[str, str]:
        """The fields of a request that the program has named as part of its key."""
        headers = request_of(request).headers
        found = {name: headers.combined(name.encode()) for name in sorted(self.cache_headers | self.cache_vary_headers)}
        return {name: value.decode("latin-1") for name, value in found.items() if value}

    def _get_rule_for_path(self, path: str) -> Optional[Mapping[str, Any]]:
        """The rule that holds for a path, as it was given."""
        number = self._policy._find_rule(path)
        return list(self._policy.cache_rules.values())[number - 1] if number else None

    @property
    def cache_rules(self) -> Dict[str, Mapping[str, Any]]:
        """As they were given."""
        return dict(self._policy.cache_rules)
