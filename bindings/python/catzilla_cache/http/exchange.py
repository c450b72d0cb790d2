"""One request's way through the cache: a state machine without I/O. Adapters tell it what happened and do what it says.

    exchange = exchanges.begin(request)          `admission`; None: not for the cache, the request goes to the application untouched
    step = exchange.start()
    LookUp(key)                                  -> exchange.found(what is stored under the key, or None)
    Serve(...)                                   send this; if `refresh`, fetch anew in the background, with an exchange of its own
    Fetch(...)                                   ask the application (one request per `shared` key at a time)
                                                     the head of its answer -> exchange.answered(...): Relay, Serve, or Fetch once more
                                                     it has failed          -> exchange.failed(): Serve a stale response, or None
                                                     another's answer came  -> exchange.landed(...)
    Relay(...)                                   pass the answer on; with `keep`, collect its body and call `exchange.complete(body)`: what to store

Nothing here reads a clock but ``policy.clock``, or touches the cache. An exchange belongs to one request and one thread at a time.
"""

from __future__ import annotations

from typing import List, Optional, Tuple, Union

from catzilla_cache.http import keys, ranges, validation
from catzilla_cache.http.decisions import Entry, Fetch, LookUp, Relay, Serve, Write
from catzilla_cache.http.fields import Fields
from catzilla_cache.http.message import FieldMap, Request
from catzilla_cache.http.policy import CACHE_STATUS, X_CACHE, Policy, Settings
from catzilla_cache.http.reuse import Use, is_for_one, may_serve_on_error, weigh
from catzilla_cache.http.search import reduced_query, search_rule_of
from catzilla_cache.http.statistics import Counters
from catzilla_cache.http.storing import FAILURES, Keep, Refusal, judge, with_body
from catzilla_cache.http.stored import HEAD_ONLY, SearchRule, StoredResponse, Varies

#: Why an answer is not stored that is longer than is allowed.
TOO_LARGE = "too large"

#: What only the cache tells: an answer of the application that has them is relayed without.
REPORTED = (b"x-cache", b"x-cache-time", b"x-cache-ttl")


class Exchange:
    """See the module."""

    __slots__ = (
        "_asked_at", "_counters", "_for_client", "_forward", "_hands_on", "_in_background", "_keep", "_keys", "_of_get", "_of_url",
        "_own_conditions", "_policy", "_search_key", "_search_rule", "_tried_again", "key", "missed", "primary", "request",
        "seen", "settings", "stored", "stored_key", "target", "view",
    )  # fmt: skip

    def __init__(
        self, policy: Policy, maker: keys.KeyMaker, counters: Counters, request: Request, target: keys.Target, settings: Settings,
        view: object, hands_on: bool,
    ) -> None:  # fmt: skip
        self._policy = policy
        self._keys = maker
        self._counters = counters
        #: What a program's generator of keys is shown.
        self.view = view
        self._hands_on = hands_on
        self.request = request
        self.settings = settings
        self.target = target
        #: The key of the answer to the request's method (GET also for HEAD, at first), before any variant.
        self.primary = self._of_url = self._keys.primary(request, "GET", self.target, view)
        #: The key that was asked for last.
        self.key = self.primary
        #: The key under which there was nothing to serve, and when what was there had been stored, if there was anything.
        self.missed = self.primary
        self.seen: Optional[float] = None
        #: A response that could not be served without asking, and its key.
        self.stored: Optional[StoredResponse] = None
        self.stored_key = b""
        self._forward = "uri-miss"
        self._for_client = False
        self._own_conditions: Fields = []
        self._of_get = True
        self._search_key = b""
        #: What an answer has said of the queries of the path, if that led to the key.
        self._search_rule: Optional[SearchRule] = None
        self._keep: Optional[Keep] = None
        self._in_background = False
        self._tried_again = False
        self._asked_at = 0.0

    # ---- Before the application is asked ----

    def start(self) -> LookUp:
        """What to begin with."""
        self.key = self.primary
        return LookUp(self.key)

    def found(self, entry: Optional[Entry]) -> Union[LookUp, Serve, Fetch]:
        """What was stored under the key that was looked up."""
        now = self._policy.clock()
        self.missed = self.key
        self.seen = entry.stored_at if isinstance(entry, StoredResponse) else None
        if isinstance(entry, Varies):
            if self.key != self.primary:
                # A variant that varies again is nobody's doing; the application knows.
                return self._fetch("vary-miss")
            self.key = self._keys.variant(self.primary, entry.names, self.request)
            self._forward = "vary-miss"
            return LookUp(self.key)
        if isinstance(entry, SearchRule):
            self._search_rule = entry
            reduced = reduced_query(entry, self.request.query)
            self.primary = self.key = self._keys.primary(
                self.request, "GET" if self._of_get else "HEAD", self._target_with(reduced), self.view
            )
            return LookUp(self.key)
        if entry is not None and not self._answers_query(entry):
            # A later answer to the shortened query itself, which says something else of it, or nothing.
            self.primary = self.missed = self._of_url
            self.seen = entry = None
        if entry is not None and not (entry.flags & HEAD_ONLY and self.request.method != "HEAD"):
            return self._weighed(entry, now)
        if self._policy.no_vary_search and not self._search_key:
            self.key = self._search_key = self._key_of_search()
            return LookUp(self.key)
        if self.request.method == "HEAD" and self._of_get:
            self._of_get = False
            self.primary = self.key = self._keys.primary(self.request, "HEAD", self.target, self.view)
            return LookUp(self.key)
        self.key = self.primary
        return self._fetch(self._forward)

    def _answers_query(self, stored: StoredResponse) -> bool:
        """Whether what was found by a part of the query says itself that the rest does not matter."""
        return self._search_rule is None or search_rule_of(stored) == self._search_rule

    def _weighed(self, stored: StoredResponse, now: float) -> Union[Serve, Fetch]:
        use = weigh(self._policy, self.request, stored, now)
        if use in (Use.FRESH, Use.STALE, Use.REFRESH):
            self._count("cache_hits", stored.rule)
            if use is not Use.FRESH:
                self._counters.count("stale_hits")
            return self._serve(stored, now, b"hit; ttl=%d" % _whole(stored.fresh_until - now), use is Use.REFRESH)
        if use is Use.NOTHING:
            return self._fetch("request")
        self._for_client = use is Use.VALIDATE_FOR_CLIENT
        return self.ask_about(stored)

    def ask_about(self, stored: StoredResponse) -> Union[Serve, Fetch]:
        """Has the application say what is to be served in place of what was found, or that it still holds.

        In place of `found` where nothing is done in the background: so a request fetches anew what others are served meanwhile.
        """
        self.stored, self.stored_key = stored, self.key
        if not self._hands_on or validation.asks_about(self.request, stored):
            self._own_conditions = validation.own_conditions(stored)
        return self._fetch("request" if self._for_client else "stale")

    def _fetch(self, why: str) -> Union[Serve, Fetch]:
        self._forward = why
        request = self.request
        if b"only-if-cached" in request.directives:
            self._count("cache_misses", self.settings.rule)
            return self._unavailable()
        self._for_client = self._for_client or b"no-cache" in request.directives
        is_part = b"range" in request.headers and (self._hands_on or not self._own_conditions)
        fields = request.headers.fields
        if request.method == "GET" and not is_part or self._own_conditions:
            fields = validation.request_fields(fields, self._own_conditions)
            if self._own_conditions:
                # The whole is asked about, and a part can be made of it.
                fields = [(name, value) for name, value in fields if name != b"range"]
        if is_part or self._for_client or (self.stored is not None and is_for_one(self.stored)):
            return Fetch(fields, None)
        # What may be stored depends on these, too; who has neither does not wait for an answer that is only for who has.
        shared = self.key
        if self.request.method == "HEAD" and self._of_get:
            # It asks about what GET has stored, and cannot get it for those who want the whole.
            shared += b" head"
        if b"authorization" in request.headers and not self._policy.cache_authenticated:
            shared += b" authorized"
        if b"cookie" in request.headers and not self._policy.cache_cookies:
            shared += b" cookies"
        return Fetch(fields, shared)

    def _unavailable(self) -> Serve:
        told = self._told(b"MISS", None, b"fwd=%s; detail=only-if-cached" % self._forward.encode())
        return Serve(504, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"0"), *told], b"")

    def refresh(self, stored: StoredResponse, key: bytes) -> Fetch:
        """In place of `start`, for an exchange without a client: what is stored is asked about, or fetched anew."""
        self._in_background = True
        self.stored, self.stored_key, self.key = stored, key, key
        self._own_conditions = validation.own_conditions(stored)
        self._forward = "stale"
        self._counters.count("refreshes")
        return Fetch(validation.request_fields(self.request.headers.fields, self._own_conditions), key)

    def _count(self, what: str, rule: int) -> None:
        """Counts what became of the client's request, if there is one."""
        if not self._in_background:
            self._counters.count(what, rule)

    # ---- When another request has fetched the same ----

    def landed(self, stored: Optional[StoredResponse]) -> Union[LookUp, Serve, Fetch]:
        """What the request that this one waited for has got; None: nothing that may be served to others."""
        now = self._policy.clock()
        if stored is None or (stored.flags & HEAD_ONLY and self.request.method != "HEAD") or not self._answers_query(stored):
            return Fetch(self._fetch(self._forward).fields, None)
        if self._variant_key(stored) not in (None, self.key):
            # It varies, by other fields than what was there before: whether it is what this request selects is found in the cache.
            return self.start()
        use = weigh(self._policy, self.request, stored, now)
        # It was made while this request waited: if it was fresh for a moment, that is as fresh as can be.
        if use in (Use.NOTHING, Use.VALIDATE_FOR_CLIENT) or (use is Use.VALIDATE and is_for_one(stored)):
            return Fetch(self._fetch(self._forward).fields, None)
        self._count("cache_hits", stored.rule)
        self._counters.count("collapsed")
        return self._serve(stored, now, b"fwd=%s; collapsed" % self._forward.encode(), False)

    # ---- When the application has answered ----

    def asking(self) -> None:
        """The application is being asked now."""
        self._asked_at = self._policy.clock()

    def answered(self, status: int, fields: Fields, obstacle: str = "") -> Union[Relay, Serve, Fetch]:
        """The head of the application's answer. ``obstacle`` says why its body cannot be kept, if it cannot: TOO_LARGE, for one."""
        now = self._policy.clock()
        response = FieldMap([(name.lower(), value) for name, value in fields])
        stored = self.stored
        if stored is not None and self._still_holds(stored, status, response):
            return self._validated(stored, status, response, now)
        if status in FAILURES and stored is not None and may_serve_on_error(self.request, stored, now):
            served = self._stale_on_error(stored, now, b"fwd-status=%d; " % status)
            if served is not None:
                return served
        self._count("cache_misses", self.settings.rule)
        verdict = judge(
            self._policy, self.settings, self.request, status, response, self._asked_at or now, now, self.target.url
        )
        if isinstance(verdict, Keep) and obstacle:
            if obstacle == TOO_LARGE:
                self._counters.count("too_large")
            verdict = Refusal(obstacle)
        how = b"fwd=%s; fwd-status=%d" % (self._forward.encode(), status)
        if isinstance(verdict, Refusal):
            self._counters.count("uncacheable")
            self._keep = None
            told = self._told(b"MISS", None, how)
        else:
            self._keep = verdict
            # The time that the answer took is part of its age: what is told is not a second less for a moment.
            told = self._told(b"MISS", (b"x-cache-ttl", round(verdict.fresh_for)), how + b"; stored")
        relayed = [pair for pair in response.fields if pair[0] not in REPORTED] + told
        if stored is None:
            is_outdated = False
        elif self.request.method == "HEAD" and not stored.flags & HEAD_ONLY:
            # The answer to GET has changed as well, and this is not the whole of the new one (RFC 9111 section 4.3.5).
            is_outdated = status == 200
        else:
            # A failure says nothing of what is stored; any other answer takes its place.
            is_outdated = self._keep is None and status < 500 and status != 304
        not_modified = self._client_has_it(status, response, relayed, now)
        return Relay(status, relayed, told, self._keep, not_modified, self.stored_key if is_outdated else None)

    def _client_has_it(self, status: int, response: FieldMap, relayed: Fields, now: float) -> Optional[Serve]:
        """The 304 that a client gets whose own conditions were kept from the application."""
        if self._hands_on:
            return None
        etag = response.only(b"etag") or b""
        if self.request.method == "GET" and validation.is_not_modified(self.request, status, response, etag, None):
            self._counters.count("not_modified")
            return Serve(304, validation.not_modified_fields(relayed), b"")
        return None

    def _still_holds(self, stored: StoredResponse, status: int, response: FieldMap) -> bool:
        """Whether the application says that what it was asked about is as it was."""
        if self.request.method == "HEAD" and status == 200 and not stored.flags & HEAD_ONLY:
            return validation.shows_the_same(stored, response)
        return status == 304 and bool(self._own_conditions)

    def _validated(self, stored: StoredResponse, status: int, response: FieldMap, now: float) -> Union[Serve, Fetch]:
        """The application says that what is stored still holds."""
        if not validation.is_about(stored, response) and not self._tried_again:
            # It has another in mind: so what is stored is of no use, and nobody has sent what is.
            self._tried_again = True
            self._own_conditions = []
            self.stored = None
            return Fetch(validation.request_fields(self.request.headers.fields, []), None)
        self._counters.count("revalidations")
        self._count("cache_hits", stored.rule)
        updated = validation.updated_fields(stored, response)
        verdict = judge(self._policy, self.settings, self.request, stored.status, updated, self._asked_at or now, now, stored.url)
        if isinstance(verdict, Keep):
            renewed = validation.with_fields_of(stored, verdict.response)
            length = [(name, value) for name, value in stored.fields if name in (b"content-length", b"etag")]
            fields = [pair for pair in renewed.fields if pair[0] not in (b"content-length", b"etag")]
            renewed = renewed._replace(fields=fields + length)
            self._keep = Keep(renewed, verdict.kept_for, verdict.fresh_for)
        else:
            renewed = stored
            self._keep = None
        return self._serve(renewed, now, b"fwd=%s; fwd-status=%d" % (self._forward.encode(), status), False)

    def failed(self) -> Optional[Serve]:
        """The application has raised, or does not answer: a stale response in its place; None: there is none."""
        now = self._policy.clock()
        if self.stored is None or not may_serve_on_error(self.request, self.stored, now):
            self._count("cache_misses", self.settings.rule)
            return None
        return self._stale_on_error(self.stored, now, b"")

    def _stale_on_error(self, stored: StoredResponse, now: float, how: bytes) -> Optional[Serve]:
        self._count("cache_hits", stored.rule)
        self._counters.count("stale_hits")
        self._counters.count("stale_if_error")
        told = b"fwd=%s; %sdetail=stale-if-error" % (self._forward.encode(), how)
        return self._serve(stored, now, told, False)._replace(is_instead=True)

    # ---- What is stored ----

    def complete(self, body: Optional[bytes], content_length: Optional[bytes] = None) -> Tuple[Optional[StoredResponse], List[Write]]:
        """The response that others may have, and what to store; ``body`` None after a 304, whose body is there."""
        keep = self._keep
        if keep is None:
            return None, []
        response = keep.response if body is None else with_body(keep.response, body, content_length)
        return response, self._writes(response, keep.kept_for)

    def _writes(self, response: StoredResponse, kept_for: float) -> List[Write]:
        method = "HEAD" if response.flags & HEAD_ONLY else "GET"
        target = self.target
        writes = []
        if self._policy.no_vary_search:
            rule = search_rule_of(response)
            if rule is not None:
                writes.append(Write(self._key_of_search(), rule, kept_for))
                response = response._replace(tags=(*response.tags, keys.url_tag(self.target.any_query)))
                target = self._target_with(reduced_query(rule, self.request.query))
            elif self._search_rule is not None:
                writes.append(Write(self._search_key, None, 0))
        if method == "GET" and target is self.target:
            # As it was made in the beginning.
            primary = self._of_url
        else:
            primary = self._keys.primary(self.request, method, target, self.view)
        names = self._beyond_the_key(response.vary)
        if not names:
            return [*writes, Write(primary, response, kept_for)]
        variant = self._keys.variant(primary, names, self.request)
        return [*writes, Write(primary, Varies(names), kept_for), Write(variant, response, kept_for)]

    def _key_of_search(self) -> bytes:
        """The key of what matters of the query."""
        return self._keys.by_query(self._keys.primary(self.request, "GET", self._target_with(b""), self.view))

    def _target_with(self, query: bytes) -> keys.Target:
        """What the request is for, with another query."""
        return self._keys.target(self.request, query) or self.target

    def _beyond_the_key(self, names: Tuple[bytes, ...]) -> Tuple[bytes, ...]:
        """Those of the names that are not part of every key."""
        if self._policy.custom_key_generator is not None:
            return names
        return tuple(name for name in names if name not in self._policy.key_fields)

    def _variant_key(self, stored: StoredResponse) -> Optional[bytes]:
        names = self._beyond_the_key(stored.vary)
        return self._keys.variant(self.primary, names, self.request) if names else None

    # ---- What is sent ----

    def _told(self, state: bytes, seconds: Optional[Tuple[bytes, float]], how: bytes) -> Fields:
        """The fields that tell the client of the cache, of those that may: X-Cache, with seconds by their name, and Cache-Status."""
        told: Fields = []
        if X_CACHE in self._policy.state_fields:
            told.append((b"x-cache", state))
            if seconds is not None:
                told.append((seconds[0], b"%d" % seconds[1]))
        if CACHE_STATUS in self._policy.state_fields:
            told.append((b"cache-status", b"%s; %s" % (self._policy.cache_name.encode(), how)))
        return told

    def _serve(self, stored: StoredResponse, now: float, how: bytes, refresh: bool) -> Serve:
        """A stored response as the client wants it: whole, a part, or nothing that it has already."""
        fields = [
            *stored.fields,
            (b"age", b"%d" % stored.age(now)),
            *self._told(b"HIT", (b"x-cache-time", max(0.0, now - stored.stored_at)), how),
        ]
        request = self.request
        is_conditional = not request.headers.has_none_of(validation.CLIENT_CONDITIONS)
        if is_conditional and validation.is_not_modified(
            request, stored.status, FieldMap(stored.fields), stored.entity_tag, stored.stored_at
        ):
            self._counters.count("not_modified")
            return Serve(304, validation.not_modified_fields(fields), b"", refresh)
        if b"range" in request.headers:
            part = ranges.part_of(request, stored, fields)
            if part is not None:
                return Serve(part.status, part.fields, part.body, refresh)
        return Serve(stored.status, fields, b"" if request.method == "HEAD" else stored.body, refresh)


def _whole(seconds: float) -> int:
    """Whole seconds, rounded down also below 0: -0.5 left is not 0 left."""
    return int(seconds // 1)
