"""Which requests are for the cache, whose exchanges begin here; and what the answers to all others say is out of date.

Used by the adapters, for every request that the finder has not answered. What happens to one that is for the cache is `exchange`'s.
"""

from __future__ import annotations

from typing import List, Optional
from urllib.parse import urljoin, urlsplit

from catzilla_cache.http import keys, validation
from catzilla_cache.http.exchange import Exchange
from catzilla_cache.http.fields import Fields
from catzilla_cache.http.message import Request, View
from catzilla_cache.http.policy import METHOD_OVERRIDES, Policy
from catzilla_cache.http.statistics import Counters

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

# With these a request is not for the cache; with those it has to be looked at.
_NEVER_PLAIN = frozenset({b"upgrade", b"transfer-encoding", *METHOD_OVERRIDES, *validation.ORIGIN_CONDITIONS})
_NOT_PLAIN = _NEVER_PLAIN | {b"host", b"content-length"}


def _is_plain(request: Request) -> bool:
    """Whether a request is what it seems to be, and a cache can answer it."""
    headers = request.headers
    if not headers.has_none_of(_NOT_PLAIN) and (
        not headers.has_none_of(_NEVER_PLAIN)
        or len(headers.lines(b"host")) > 1
        # An answer to a body is to that body.
        or headers.combined(b"content-length") not in (None, b"0")
    ):
        return False
    return keys.is_plain_path(request.path)


class Exchanges:
    """Begins the exchanges of one middleware."""

    __slots__ = ("counters", "keys", "policy")

    def __init__(self, policy: Policy, counters: Counters) -> None:
        self.policy = policy
        self.counters = counters
        self.keys = keys.KeyMaker(policy)

    def begin(self, request: Request, view: object = None, hands_on: bool = False) -> Optional[Exchange]:
        """The exchange of a request; None when it is not for the cache. ``view`` is what a program's generator of keys is shown; a ``View`` unless given.

        ``hands_on`` says that the application is shown the client's own request, whatever `Fetch` has: with its conditions and its range.
        """
        settings = self.policy.settings(request.path)
        if settings is None or request.method not in settings.methods or not _is_plain(request):
            return None
        target = self.keys.target(request)
        if target is None or b"no-store" in request.directives:
            return None
        if view is None and self.policy.custom_key_generator is not None:
            view = View(request)
        return Exchange(self.policy, self.keys, self.counters, request, target, settings, view, hands_on)

    def invalidated(self, request: Request, status: int, fields: Fields) -> List[bytes]:
        """The URLs of which nothing stored may be used any more, after the answer to a request that was not for the cache (RFC 9111 section 4.4)."""
        own = self.keys.target(request)
        if request.method in SAFE_METHODS or not 200 <= status < 400 or own is None:
            return []
        urls = self.urls_of(own)
        base = "%s://%s%s" % (
            request.scheme, request.authority.decode("latin-1"), (request.raw_path or b"/").decode("latin-1")
        )  # fmt: skip
        for name, value in fields:
            if name in (b"location", b"content-location"):
                target = self.target_of(value.decode("utf-8", "surrogateescape").strip(), base)
                # Of another origin it would let one site forget another's.
                if target is not None and target.origin == own.origin:
                    urls.extend(url for url in self.urls_of(target) if url not in urls)
        return urls

    def urls_of(self, target: keys.Target) -> List[bytes]:
        """The URLs as whose a response may have been stored that answers requests for a target."""
        # One that says itself which part of a query matters may have been asked for by another query.
        return [target.url, target.any_query] if self.policy.no_vary_search else [target.url]

    def target_of(self, text: str, base: str = "") -> Optional[keys.Target]:
        """A URL, which may be relative to another, as keys have it; None for what is none of http or https."""
        try:
            parts = urlsplit(urljoin(base, text))
            request = Request(
                "GET", parts.scheme.lower(), parts.netloc.encode("latin-1", "replace"), parts.path,
                keys.percent_encoded(parts.path, True) or b"/", keys.percent_encoded(parts.query, False), [],
            )  # fmt: skip
        except ValueError:
            return None
        return self.keys.target(request) if request.scheme in ("http", "https") else None
