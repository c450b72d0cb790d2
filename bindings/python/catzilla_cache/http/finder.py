"""The shortest way to an answer: a request that asks for nothing but a response that memory has, fresh, or that this is what it has already.

Most hits are that, so they are answered here before anything is decided. The compiled module has the same class (`native/http_finder.c`),
and both answer the same. None is no miss: it says that somebody has to think about the request, who looks it up again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, NamedTuple, Optional, Protocol, Tuple

from catzilla_cache import _forks
from catzilla_cache._arguments import found
from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheError
from catzilla_cache.http import stored, validation
from catzilla_cache.http.fields import Fields
from catzilla_cache.http.message import FieldMap, Request
from catzilla_cache.http.ordinary import Ordinary, OrdinaryRequests
from catzilla_cache.http.policy import CACHE_STATUS, X_CACHE, Policy
from catzilla_cache.http.wsgi_messages import Lines, lines_of, status_line

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache

#: The ASGI messages that answer a request: its start, and its body.
Messages = Tuple[Dict[str, Any], Dict[str, Any]]
#: The same for WSGI: status line, fields, body.
Whole = Tuple[str, Lines, bytes]


class Finder(Protocol):
    """What answers requests from memory."""

    def find(self, scope: Any) -> Optional[Messages]:
        """The two messages that answer the request of an ASGI scope; None: somebody has to think about it."""

    def find_environ(self, environ: Any) -> Optional[Whole]:
        """The same for the request of a WSGI environment."""

    def counts(self) -> List[int]:
        """How many requests were answered, by the number of the rule that the response was stored under; 0: none."""

    def not_modified(self) -> int:
        """How many of them were told that they have it already."""

    def forget(self) -> None:
        """Sets these to 0."""


# Seconds that another's clock may be ahead. Arbitrary: clocks that are set over the network differ by less.
MOST_AHEAD = 5.0


class Answer(NamedTuple):
    """What is answered, however it is told."""

    status: int
    fields: Fields
    body: bytes


class ResponseFinder:
    """Answers requests from memory. What was answered is counted here, by the number of the rule that the response was stored under."""

    __slots__ = (
        "__weakref__", "_cache", "_hits", "_lock", "_not_modified", "_requests", "_status", "_tells_status", "_tells_x_cache",
    )  # fmt: skip

    def __init__(
        self,
        cache: SmartCache,
        prefix: bytes,
        key_fields: Tuple[bytes, ...],
        ignored: FrozenSet[bytes],
        cache_name: bytes,
        rules: int,
        takes_head: bool = True,
        *,
        tells_x_cache: bool = True,
        tells_status: bool = True,
    ) -> None:
        self._cache = cache
        self._requests = OrdinaryRequests(prefix, key_fields, ignored, takes_head)
        self._status = cache_name + b"; hit; ttl=%d"
        self._tells_x_cache = tells_x_cache
        self._tells_status = tells_status
        self._hits = [0] * rules
        self._not_modified = 0
        self._lock = threading.Lock()
        _forks.watch(self)

    def renew_in_child(self) -> None:
        """In a forked child: who held the lock is not there any more."""
        self._lock = threading.Lock()

    def find(self, scope: Any) -> Optional[Messages]:
        """The two messages that answer the request of an ASGI scope; None: somebody has to think about it."""
        answer = self._answer(self._requests.of_scope(scope))
        if answer is None:
            return None
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.fields}
        return start, {"type": "http.response.body", "body": answer.body}

    def find_environ(self, environ: Any) -> Optional[Whole]:
        """Status line, fields and body that answer the request of a WSGI environment; None as in `find`."""
        answer = self._answer(self._requests.of_environ(environ))
        return None if answer is None else (status_line(answer.status), lines_of(answer.fields), answer.body)

    def _answer(self, ordinary: Optional[Ordinary]) -> Optional[Answer]:
        """What memory has to say to a request."""
        if ordinary is None:
            return None
        try:
            status, data = backend.read_memory(self._cache._live(), ordinary.key, False)
            if not found(status):
                return None
            response = stored.decode(data)
        except (CacheError, stored.Damaged):
            # A cache that is closed, most of all: whoever goes on finds out, and says so.
            return None
        if not isinstance(response, stored.StoredResponse):
            return None
        now = time.time()
        if response.flags & stored.NO_CACHE or (response.flags & stored.HEAD_ONLY and not ordinary.is_head):
            return None
        if now >= response.fresh_until or response.stored_at > now + MOST_AHEAD or response.rule >= len(self._hits):
            return None
        fields = [*response.fields, (b"age", b"%d" % response.age(now))]
        if self._tells_x_cache:
            fields += [(b"x-cache", b"HIT"), (b"x-cache-time", b"%d" % max(0.0, now - response.stored_at))]
        if self._tells_status:
            fields.append((b"cache-status", self._status % (response.fresh_until - now)))
        has_changed = _has_changed(ordinary.request, response)
        if has_changed is None:
            return None
        with self._lock:
            self._hits[response.rule] += 1
            self._not_modified += not has_changed
        if not has_changed:
            return Answer(304, validation.not_modified_fields(fields), b"")
        return Answer(response.status, fields, b"" if ordinary.is_head else response.body)

    def counts(self) -> List[int]:
        """How many requests were answered, by the number of the rule; 0: none."""
        with self._lock:
            return list(self._hits)

    def not_modified(self) -> int:
        """How many of them were answered by 304."""
        with self._lock:
            return self._not_modified

    def forget(self) -> None:
        """Sets these to 0."""
        with self._lock:
            self._hits = [0] * len(self._hits)
            self._not_modified = 0


class NoFinder:
    """Leaves every request to those who think about it."""

    __slots__ = ("_rules",)

    def __init__(self, rules: int) -> None:
        self._rules = rules

    def find(self, scope: Any) -> Optional[Messages]:
        """None."""
        return None

    def find_environ(self, environ: Any) -> Optional[Whole]:
        """None."""
        return None

    def counts(self) -> List[int]:
        """Nothing was answered."""
        return [0] * self._rules

    def not_modified(self) -> int:
        """Nothing was answered."""
        return 0

    def forget(self) -> None:
        """Nothing was counted."""


def finder_for(cache: SmartCache, policy: Policy) -> Finder:
    """What answers the requests under a policy that can be answered without anything being decided."""
    rules = len(policy.rules)
    # A program's own keys and clock are not known here, and an answer to HEAD stands under GET.
    if policy.custom_key_generator is not None or policy.clock is not time.time or not cache._has_memory:
        return NoFinder(rules)
    if not all("GET" in settings.methods for settings in policy.rules):
        return NoFinder(rules)
    takes_head = all("HEAD" in settings.methods for settings in policy.rules)
    native = getattr(backend, "native", None)
    kind: Any = ResponseFinder if native is None else native.ResponseFinder
    finder: Finder = kind(
        cache, policy.prefix, policy.key_fields, policy.ignored, policy.cache_name.encode(), rules, takes_head,
        tells_x_cache=X_CACHE in policy.state_fields, tells_status=CACHE_STATUS in policy.state_fields,
    )  # fmt: skip
    return finder


def _has_changed(request: Request, response: stored.StoredResponse) -> Optional[bool]:
    """Whether a response is not what the client has already; None: somebody has to compare dates."""
    fields = FieldMap(response.fields)
    has_tags = b"if-none-match" in request.headers
    if b"if-modified-since" in request.headers and not has_tags and 200 <= response.status < 300:
        # Clients send back the date that they were sent.
        if fields.lines(b"last-modified") != request.headers.lines(b"if-modified-since"):
            return None
    return not validation.is_not_modified(request, response.status, fields, response.entity_tag, response.stored_at)
