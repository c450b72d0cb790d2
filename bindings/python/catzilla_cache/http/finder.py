"""The shortest way to an answer: a request that asks for nothing but a response that memory has, fresh.

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
from catzilla_cache.http import stored
from catzilla_cache.http.fields import Fields
from catzilla_cache.http.keys import KeyMaker, authority, is_plain_path
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import METHOD_OVERRIDES, Policy

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache

#: The ASGI messages that answer a request: its start, and its body.
Messages = Tuple[Dict[str, Any], Dict[str, Any]]


class Finder(Protocol):
    """What answers requests from memory."""

    def find(self, scope: Any) -> Optional[Messages]:
        """The two messages that answer the request of an ASGI scope; None: somebody has to think about it."""

    def counts(self) -> List[int]:
        """How many requests were answered, by the number of the rule that the response was stored under; 0: none."""

    def forget(self) -> None:
        """Sets these to 0."""


#: Requests with one of these ask for more than an answer, or are asked by somebody in particular.
REFUSED_FIELDS = frozenset(
    (
        b"authorization", b"cache-control", b"expect", b"forwarded", b"if-match", b"if-modified-since", b"if-none-match", b"if-range",
        b"if-unmodified-since", b"pragma", b"range", b"transfer-encoding", b"upgrade", *METHOD_OVERRIDES,
    )
)  # fmt: skip

# Seconds that another's clock may be ahead. Arbitrary: clocks that are set over the network differ by less.
MOST_AHEAD = 5.0

# The same bounds as in `native/http_key.h` and `native/http_url.h`, which say where they come from.
_LONGEST_AUTHORITY, _LONGEST_PREFIX = 260, 512
_MOST_PARAMETERS, _MOST_LINES, _MOST_KEY_FIELDS = 64, 64, 1000


class Ordinary(NamedTuple):
    """A request that can be answered without another thought."""

    key: bytes
    is_head: bool


class ResponseFinder:
    """Answers requests from memory. What was answered is counted here, by the number of the rule that the response was stored under."""

    __slots__ = (
        "__weakref__", "_cache", "_hits", "_is_usable", "_key_fields", "_keys", "_lock", "_prefix", "_status", "_takes_head",
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
    ) -> None:
        self._cache = cache
        self._prefix = prefix
        self._keys = KeyMaker(Policy(prefix=prefix, key_fields=key_fields, ignored=ignored))
        self._key_fields = frozenset(key_fields)
        self._is_usable = len(prefix) <= _LONGEST_PREFIX and len(key_fields) <= _MOST_KEY_FIELDS
        self._status = cache_name + b"; hit; ttl=%d"
        self._takes_head = takes_head
        self._hits = [0] * rules
        self._lock = threading.Lock()
        _forks.watch(self)

    def renew_in_child(self) -> None:
        """In a forked child: who held the lock is not there any more."""
        self._lock = threading.Lock()

    def find(self, scope: Any) -> Optional[Messages]:
        """The two messages that answer the request of an ASGI scope; None: somebody has to think about it."""
        ordinary = self.ordinary(scope)
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
        with self._lock:
            self._hits[response.rule] += 1
        fields = [
            *response.fields,
            (b"age", b"%d" % response.age(now)),
            (b"x-cache", b"HIT"),
            (b"x-cache-time", b"%d" % max(0.0, now - response.stored_at)),
            (b"cache-status", self._status % (response.fresh_until - now)),
        ]
        start = {"type": "http.response.start", "status": response.status, "headers": fields}
        return start, {"type": "http.response.body", "body": b"" if ordinary.is_head else response.body}

    def counts(self) -> List[int]:
        """How many requests were answered, by the number of the rule; 0: none."""
        with self._lock:
            return list(self._hits)

    def forget(self) -> None:
        """Sets these to 0."""
        with self._lock:
            self._hits = [0] * len(self._hits)

    def ordinary(self, scope: Any) -> Optional[Ordinary]:
        """The key of an ordinary request's answer. None: the request is not one, or not what a server makes."""
        if not self._is_usable or type(scope) is not dict or _text(scope.get("type")) != "http":
            return None
        method, scheme = _text(scope.get("method")), _text(scope.get("scheme", "http"))
        if not (method == "GET" or (method == "HEAD" and self._takes_head)) or scheme not in ("http", "https"):
            return None
        path, raw_path, query = _text(scope.get("path")), scope.get("raw_path"), scope.get("query_string", b"")
        if path is None or type(raw_path) is not bytes or not raw_path or type(query) is not bytes or not is_plain_path(path):
            return None
        if query.count(b"&") >= _MOST_PARAMETERS:
            return None
        fields = self._fields(scope.get("headers"))
        if fields is None:
            return None
        hosts = [value for name, value in fields if name == b"host"]
        if len(hosts) != 1 or len(hosts[0]) > _LONGEST_AUTHORITY:
            return None
        request = Request(method, scheme, hosts[0], path, raw_path, query, fields)
        target = self._keys.target(request) if authority(request) else None
        if target is None:
            return None
        key = self._keys.primary(request, "GET", target)
        # What is long has been hashed: behind a byte that no path has, or with which the values of fields begin.
        if b"\x01" in target.path or key.startswith(b"\x01", len(self._prefix) + len(b"GET ") + len(target.url) + 2):
            return None
        return Ordinary(key, method == "HEAD")

    def _fields(self, headers: Any) -> Optional[Fields]:
        """The field lines of an ordinary request."""
        if type(headers) not in (list, tuple):
            return None
        lines = 0
        for pair in headers:
            if type(pair) not in (tuple, list) or len(pair) != 2:
                return None
            name, value = pair
            if type(name) is not bytes or type(value) is not bytes or name != name.lower() or name in REFUSED_FIELDS:
                return None
            if name == b"content-length" and value != b"0":
                return None
            lines += name in self._key_fields
        return list(headers) if lines <= _MOST_LINES else None


class NoFinder:
    """Leaves every request to those who think about it."""

    __slots__ = ("_rules",)

    def __init__(self, rules: int) -> None:
        self._rules = rules

    def find(self, scope: Any) -> Optional[Messages]:
        """None."""
        return None

    def counts(self) -> List[int]:
        """Nothing was answered."""
        return [0] * self._rules

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
    finder: Finder = kind(cache, policy.prefix, policy.key_fields, policy.ignored, policy.cache_name.encode(), rules, takes_head)
    return finder


def _text(value: Any) -> Optional[str]:
    """Text as a server makes it."""
    if type(value) is not str:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value
