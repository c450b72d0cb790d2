"""The response cache as the documented hooks of the Catzilla framework: one call before the handler, one after it.

A framework calls ``process_request`` and sends what it returns, or runs the handler when that is None and sends what
``process_response`` makes of the answer. What requests and responses look like is read in ``shapes``; what is done with them is said
by ``exchange``.
"""

from __future__ import annotations

import contextlib
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, Callable, Collection, List, Mapping, Optional, Sequence, Union

from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.admission import SAFE_METHODS
from catzilla_cache.http.decisions import Entry, Fetch, LookUp, Relay, Serve
from catzilla_cache.http.exchange import REPORTED, TOO_LARGE, Exchange
from catzilla_cache.http.leading import Alone, Led, board
from catzilla_cache.http.message import Request, ViewedHeaders
from catzilla_cache.http.overridable import Named, Overridable
from catzilla_cache.http.policy import X_CACHE
from catzilla_cache.http.response import Headers, Response
from catzilla_cache.http.reuse import Use, weigh
from catzilla_cache.http.shapes import body_of, drop_field, request_of, response_fields, set_field
from catzilla_cache.http.steps import Call, Steps, in_only_thread, in_task
from catzilla_cache.http.storing import fits, is_whole
from catzilla_cache.http.stored import OWN_TAG, StoredResponse
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig


class SmartCacheMiddleware(Overridable):
    """Caches the responses of handlers, between the two hooks that a framework calls around them.

        answer = await middleware.process_request(request)
        if answer is None:
            answer = await middleware.process_response(request, await handler(request))

    Any objects will do that have ``method``, ``url.path``, ``url.query``, ``headers`` and ``state``; ``status_code``, ``headers`` and
    ``body``. What is kept between the calls is kept in ``request.state``. A response whose body is not there as a whole (an iterator)
    is passed on and not stored.

    The handler is shown the client's own request: the cache cannot put conditions of its own into it. So what is stale is fetched
    anew as a whole (by one request, while others are served the stale one where that is allowed), and conditions and ranges of
    clients are answered from what is stored only: without it, by the handler or not at all.

    Parameters beyond the documented ones are in docs/http-cache.md. ``response_class`` makes the responses that come from the cache:
    it is called with status code, headers and body.

    Subclasses may override the hooks, and ``_should_cache_request``, ``_should_cache_response``, ``_generate_cache_key`` and
    ``_get_cache_ttl``. They can say that something is not to be cached, that a status is, under which key and for how long; what
    HTTP forbids to store they cannot allow.
    """

    def __init__(
        self,
        config: Optional[SmartCacheConfig] = None,
        cache_instance: Optional[SmartCache] = None,
        default_ttl: float = 3600,
        cache_methods: Optional[Collection[str]] = None,
        cache_status_codes: Optional[Collection[int]] = None,
        ignore_query_params: Optional[Collection[str]] = None,
        cache_headers: Optional[Collection[str]] = None,
        cache_private: bool = False,
        cache_authenticated: bool = False,
        exclude_paths: Optional[Sequence[str]] = None,
        include_paths: Optional[Sequence[str]] = None,
        cache_vary_headers: Optional[Collection[str]] = None,
        custom_key_generator: Optional[Callable[[Any], str]] = None,
        *,
        response_class: Callable[..., Any] = Response,
        **further: Any,
    ) -> None:
        if not callable(response_class):
            raise CacheValueError(
                f"response_class is called with status code, headers and body, and cannot be {response_class!r}"
            )
        super().__init__(
            config,
            cache_instance,
            default_ttl=default_ttl,
            cache_methods=cache_methods,
            cache_status_codes=cache_status_codes,
            ignore_query_params=ignore_query_params,
            cache_headers=cache_headers,
            cache_private=cache_private,
            cache_authenticated=cache_authenticated,
            exclude_paths=exclude_paths,
            include_paths=include_paths,
            cache_vary_headers=cache_vary_headers,
            custom_key_generator=custom_key_generator,
            **further,
        )
        self.response_class = response_class
        self._place = f"_catzilla_cache_{id(self):x}"

    # ---- The hooks ----

    async def process_request(self, request: Any) -> Any:
        """A response to send in place of the handler's; None: the handler is to be called."""
        answer = self._at_once(request)
        return answer if answer is not None else await in_task(self._arriving(request))

    async def process_response(self, request: Any, response: Any) -> Any:
        """The response to send: the handler's, with what the cache says about it, or a stored one in place of it."""
        return await in_task(self._leaving(request, response))

    def process_request_in_thread(self, request: Any) -> Any:
        """As ``process_request``, for a thread that serves all requests: never waits for another of them."""
        answer = self._at_once(request)
        return answer if answer is not None else in_only_thread(self._arriving(request))

    def process_response_in_thread(self, request: Any, response: Any) -> Any:
        """As ``process_response``, for such a thread."""
        return in_only_thread(self._leaving(request, response))

    def handler_failed(self, request: Any) -> Any:
        """For frameworks that know that a handler has raised: a stale response in place of its own; None: there is none."""
        pending = _taken(request, self._place)
        if pending is None:
            return None
        try:
            stale = pending.exchange.failed()
            if stale is None:
                return None
            # Who waits for it gets the same.
            pending.led.land(pending.exchange.stored)
            pending.led.leave()
            return self._made(stale)
        except Exception as error:
            self._shelf.fault(error)
            return None
        finally:
            pending.led.give_up()

    # ---- Before the handler ----

    def _at_once(self, request: Any) -> Any:
        """A response without another thought; None: somebody has to think about it."""
        if (
            self._names_keys
            or self._is_own("_should_cache_request")
            or isinstance(getattr(request, "headers", None), ViewedHeaders)
        ):
            return None
        try:
            facts = request_of(request)
            found = self._ready(facts) if b"host" in facts.headers else None
            return None if found is None else self._made(Serve(found[0]["status"], found[0]["headers"], found[1]["body"]))
        except Exception:
            # Whoever thinks about it says what is wrong.
            return None

    def _arriving(self, request: Any) -> Steps[Any]:
        self._counters.count("total_requests")
        exchange = self._begun(request)
        if exchange is None:
            self._counters.count("cache_skips")
            return None
        try:
            step: Union[LookUp, Serve, Fetch, None] = exchange.start()
            while step is not None:
                if isinstance(step, LookUp):
                    entry = self._shelf.find_in_memory(step.key) if self._shelf.may_wait else self._shelf.find(step.key)
                    if entry is None and self._shelf.may_wait:
                        entry = yield Call(self._shelf.find, (step.key,))
                    step = self._found(request, exchange, entry)
                elif isinstance(step, Serve):
                    return self._made(step)
                else:
                    step = yield from self._fetch(request, exchange, step)
        except Exception as error:
            self._shelf.fault(error)
        return None

    def _begun(self, request: Any) -> Optional[Exchange]:
        """The exchange of a request; None when it is not for the cache."""
        try:
            if self._is_own("_should_cache_request") and not self._should_cache_request(request):
                return None
            if self._names_keys:
                return self._named.begin(request_of(request), Named(self._generate_cache_key, request), hands_on=True)
            return self._exchanges.begin(request_of(request), None, hands_on=True)
        except Exception as error:
            # A program's own generator of keys, for one.
            self._shelf.fault(error)
            return None

    def _found(self, request: Any, exchange: Exchange, entry: Optional[Entry]) -> Union[LookUp, Serve, Fetch, None]:
        """What to do next; None: the handler is to be called, to have anew what is stale and served to others meanwhile."""
        if isinstance(entry, StoredResponse) and self._may_renew(exchange.request, entry):
            key = self._flight_key(exchange, exchange.key)
            flight, leads = self._flights.board(key)
            if leads:
                led = Led(self, flight, key)
                exchange.ask_about(entry)
                self._park(request, exchange, led)
                return None
        return exchange.found(entry)

    def _may_renew(self, request: Request, stored: StoredResponse) -> bool:
        """Whether what is stored is served stale while it is fetched anew, and this request can be the one that fetches it."""
        now = self._policy.clock()
        if not stored.fresh_until <= now < stored.refresh_until or request.method != "GET" or b"range" in request.headers:
            return False
        return b"only-if-cached" not in request.directives and weigh(self._policy, request, stored, now) is Use.REFRESH

    def _fetch(self, request: Any, exchange: Exchange, fetch: Fetch) -> Steps[Union[LookUp, Serve, Fetch, None]]:
        """Waits for another request that asks for the same. None: the handler is to be called."""
        turn = yield from board(self, exchange, fetch)
        if not isinstance(turn, (Alone, Led)):
            return turn
        self._park(request, exchange, turn)
        return None

    def _park(self, request: Any, exchange: Exchange, led: Union[Alone, Led]) -> None:
        """Leaves the exchange with the request, until that is answered. If it never is, the flight ends when it is forgotten."""
        exchange.asking()
        view = exchange.view
        try:
            state = _state_of(request)
            _keep(state, "cache_key", view.text if isinstance(view, Named) else exchange.primary.decode("latin-1"))
            _keep(state, self._place, Pending(exchange, led, self._shelf.moment()))
        except BaseException:
            # Not left to who forgets it: whoever keeps the exception keeps the flight.
            led.give_up()
            raise

    # ---- After it ----

    def _leaving(self, request: Any, response: Any) -> Steps[Any]:
        pending = _taken(request, self._place)
        led = Alone() if pending is None else pending.led
        try:
            if pending is None:
                yield from self._heard(request, response)
                return response
            return (yield from self._answered(pending, response))
        except Exception as error:
            self._shelf.fault(error)
            return response
        finally:
            led.give_up()

    def _heard(self, request: Any, response: Any) -> Steps[None]:
        """A request that was not for the cache, but may say that something in it is out of date."""
        if request.method in SAFE_METHODS:
            return
        urls = self._exchanges.invalidated(request_of(request), int(response.status_code), response_fields(response))
        if urls:
            yield Call(self._shelf.invalidate, (urls,))

    def _answered(self, pending: Pending, response: Any) -> Steps[Any]:
        exchange, led = pending.exchange, pending.led
        fields, body, method = response_fields(response), body_of(response), exchange.request.method
        lengths = [value for name, value in fields if name == b"content-length"]
        told = lengths[0] if len(lengths) == 1 else None
        obstacle = ""
        if body is None or len(lengths) > 1 or not is_whole(method, told, len(body)):
            obstacle = "a body that is not all there"
        elif method == "GET" and (len(body) > self._policy.max_body_size or not fits(told, self._policy.max_body_size)):
            obstacle = TOO_LARGE
        elif not self._is_wanted(exchange, response):
            obstacle = "not wanted"
        step = exchange.answered(int(response.status_code), fields, obstacle)
        if isinstance(step, Relay):
            stored = yield from self._stored_of(pending, step, body or b"", told)
            self._report(response, step, stored)
            return response
        if isinstance(step, Serve):
            renewed, writes = exchange.complete(None)
            if renewed is not None:
                led.land(renewed)
                yield from self._put(pending, writes)
            elif step.is_instead:
                # Who waits for a handler that fails gets the same.
                led.land(exchange.stored)
                led.leave()
            else:
                led.refuse(is_known=False)
            return self._made(step)
        # It has confirmed what is not stored: that is between it and the client.
        return response

    def _stored_of(self, pending: Pending, relay: Relay, body: bytes, told: Optional[bytes]) -> Steps[Optional[StoredResponse]]:
        """Stores what may be stored of an answer."""
        exchange, led, status = pending.exchange, pending.led, relay.status
        if relay.outdated is not None:
            yield Call(self._shelf.remove, (relay.outdated,))
        if relay.keep is None:
            led.refuse(is_known=status < 500 and status != 304)
            return None
        if exchange.request.method == "HEAD":
            # Some frameworks drop the body of an answer to HEAD only when they send it.
            body, told = b"", told if told is not None else b"%d" % len(body) if body else None
        stored, writes = exchange.complete(body, told)
        if stored is not None:
            # Who waits for it need not wait for Redis, too.
            led.land(stored)
            yield from self._put(pending, writes)
        return stored

    def _put(self, pending: Pending, writes: List[Any]) -> Steps[None]:
        if self._shelf.may_wait:
            yield Call(self._shelf.put, (writes, pending.since))
        else:
            self._shelf.put(writes, pending.since)
        pending.led.leave()

    def _report(self, response: Any, relay: Relay, stored: Optional[StoredResponse]) -> None:
        """Puts into a response what the cache says of it."""
        if X_CACHE not in self._policy.state_fields:
            # Else the handler's own would pass for the word of this cache.
            for name in REPORTED:
                drop_field(response, name.decode())
        for name, value in relay.told:
            set_field(response, name.decode(), value.decode("latin-1"), adds=name == b"cache-status")
        if stored is not None and stored.flags & OWN_TAG:
            set_field(response, "etag", stored.entity_tag.decode("latin-1"))

    def _made(self, serve: Serve) -> Any:
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in serve.fields])
        return self.response_class(serve.status, headers, serve.body)


class ConditionalCacheMiddleware(SmartCacheMiddleware):
    """The same, with rules for paths.

        ConditionalCacheMiddleware({"/api/users/*": {"ttl": 300, "methods": ["GET"]}, "/static/*": {"ttl": 86400}})

    The most specific pattern that fits a path has the rule for it; paths that none fits are cached by the other parameters.
    """

    def __init__(self, cache_rules: Mapping[str, Mapping[str, Any]], **parameters: Any) -> None:
        super().__init__(cache_rules=cache_rules, **parameters)


class Pending:
    """A request whose handler has been called."""

    __slots__ = ("exchange", "led", "since")

    def __init__(self, exchange: Exchange, led: Union[Alone, Led], since: int) -> None:
        self.exchange = exchange
        self.led = led
        self.since = since


def _state_of(request: Any) -> Any:
    state = getattr(request, "state", None)
    if state is None:
        state = request.state = SimpleNamespace()
    return state


def _keep(state: Any, name: str, value: Any) -> None:
    if isinstance(state, MutableMapping):
        state[name] = value
    else:
        setattr(state, name, value)


def _taken(request: Any, name: str) -> Optional[Pending]:
    """What was left with a request, which is answered once."""
    state = getattr(request, "state", None)
    kept = state.get(name) if isinstance(state, MutableMapping) else getattr(state, name, None)
    if not isinstance(kept, Pending):
        return None
    with contextlib.suppress(AttributeError):
        _keep(state, name, None)
    return kept
