"""From a request to the key of its answer: readable, the same in every process, and never that of another request's answer.

    <prefix>:<policy>:GET /items?page=2 https://example.org 0=3:*/*,4=4:gzip

Spaces end path and query, and the origin, which have none of their own, nor any other byte that is not visible: what has is not for the cache. Then come
the values of the request fields that are part of the key: number of the field, length, value. The path is in front so that what begins alike
can be purged alike. Long parts are cut and end with their hash behind a byte 0x01. What a variant is selected by (``Vary``) follows as a hash. `native/http_key.c` makes the same keys for the requests that it knows.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from catzilla_cache.errors import CacheKeyError
from catzilla_cache.http.fields import elements
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import Policy

# What is longer is hashed: the readable beginning is for patterns and people. Arbitrary: beyond what people write into links.
_LONGEST_PATH, _LONGEST_QUERY, _LONGEST_FIELDS = 1024, 1024, 512
_READABLE = 768

# Makes these hashes others than those of anybody else; that they cannot be foreseen is not needed, since 256 bits collide for nobody.
_HASH_KEY = b"catzilla-cache http"

_AUTHORITY = re.compile(rb"(?:[a-z0-9._~-]*|\[[0-9a-f:.]+\])(?::[0-9]*)?")
_INVISIBLE = re.compile(rb"[^\x21-\x7e]")
_INVISIBLE_IN_PATH = re.compile(rb"[^\x21\x22\x24-\x3e\x40-\x7e]")
_DEFAULT_PORTS = {"http": b":80", "https": b":443"}
# Segments that a server may resolve and a cache does not: what they lead to is not what the path says.
_DOT_SEGMENT = re.compile(r"(?:^|[/\\])(?:\.|%2e){1,2}(?:[/\\]|$)", re.IGNORECASE)


def authority(request: Request) -> Optional[bytes]:
    """The host and port of a request, as all who mean the same write them. None: it is none."""
    name = request.authority.lower()
    if _AUTHORITY.fullmatch(name) is None:
        return None
    port = _DEFAULT_PORTS.get(request.scheme, b":")
    if name.endswith(port):
        return name[: -len(port)]
    return name[:-1] if name.endswith(b":") else name


def is_plain_path(path: str) -> bool:
    """Whether a decoded path leads where it says."""
    return ("." not in path and "%" not in path) or _DOT_SEGMENT.search(path) is None


def normalised_query(query: bytes, ignored: FrozenSet[bytes]) -> bytes:
    """The parameters by name, without those that are ignored; values of one name keep their order, and everything its encoding."""
    if not query:
        return b""
    if b"&" not in query:
        return b"" if query.split(b"=", 1)[0] in ignored else query
    parameters = [parameter for parameter in query.split(b"&") if parameter.split(b"=", 1)[0] not in ignored]
    parameters.sort(key=lambda parameter: parameter.split(b"=", 1)[0])
    return b"&".join(parameters)


def normalised_value(name: bytes, request: Request) -> Optional[bytes]:
    """The value of a request field as all who mean the same write it (RFC 9111 section 4.1); None when there is none."""
    value = request.headers.combined(name)
    if value is None:
        return None
    if name in (b"accept", b"accept-encoding", b"accept-language", b"accept-charset"):
        value = value.replace(b" ", b"").replace(b"\t", b"")
        return value if name == b"accept" else value.lower()
    if name == b"forwarded":
        return _forwarded(value)
    return value


def _forwarded(value: bytes) -> bytes:
    """What RFC 7239's field says of host and scheme. By whom and for whom a request is forwarded differs from client to client."""
    kept: List[bytes] = []
    for element in elements([value]):
        for pair in element.split(b";"):
            name = pair.split(b"=", 1)[0].strip().lower()
            if name not in (b"for", b"by", b""):
                kept.append(pair.strip())
        kept.append(b",")
    return b";".join(kept)


class Target(NamedTuple):
    """What a request is for."""

    #: Scheme and authority.
    origin: bytes
    #: Path and query.
    path: bytes

    @property
    def url(self) -> bytes:
        """Both, as people write them."""
        return self.origin + self.path

    @property
    def any_query(self) -> bytes:
        """What stands for all queries of the path: no URL, which has no spaces."""
        return self.origin + self.path.split(b"?", 1)[0] + b" search"


class KeyMaker:
    """Makes the keys of one policy's requests."""

    __slots__ = ("_generator", "_ignored", "_numbers", "_prefix")

    def __init__(self, policy: Policy) -> None:
        self._prefix = policy.prefix
        self._numbers = {name: number for number, name in enumerate(policy.key_fields)}
        self._ignored = policy.ignored
        self._generator = policy.custom_key_generator

    def target(self, request: Request, query: Optional[bytes] = None) -> Optional[Target]:
        """What a request is for, as all who mean the same write it; None when that cannot be told. ``query`` in place of its own, normalised."""
        host = authority(request)
        if host is None:
            return None
        path = request.raw_path or b"/"
        if _INVISIBLE_IN_PATH.search(path) is not None or _INVISIBLE.search(request.query) is not None:
            # No URL has these bytes. An application may take them for others than their percent-encoded form, which has a key of its own.
            return None
        if len(path) > _LONGEST_PATH:
            path = path[:_READABLE] + b"\x01" + _hash(path)
        if query is None:
            query = normalised_query(request.query, self._ignored)
        if query:
            if len(query) > _LONGEST_QUERY:
                query = query[:_READABLE] + b"\x01" + _hash(query)
            path += b"?" + query
        return Target(b"%s://%s" % (request.scheme.encode(), host), path)

    def primary(self, request: Request, method: str, target: Target, view: object = None) -> bytes:
        """The key of the answer to a method. ``view`` is what a program's own generator is shown."""
        if self._generator is not None:
            made = self._generator(view)
            if not isinstance(made, str):
                raise CacheKeyError(f"custom_key_generator returns text, not {type(made).__name__}")
            own = _INVISIBLE.sub(_percent, made.encode("utf-8", "surrogateescape").replace(b"%", b"%25"))
            return b"%s%s custom:%s " % (self._prefix, method.encode(), own if len(own) <= 4096 else _hash(own))
        return b"%s%s %s %s %s" % (self._prefix, method.encode(), target.path, target.origin, self._selecting(request))

    def variant(self, primary: bytes, names: Sequence[bytes], request: Request) -> bytes:
        """The key of the variant that a request selects, of an answer that varies by these fields."""
        return primary + b" vary:" + _hash(b"".join(_pairs(names, request)))

    def by_query(self, primary: bytes) -> bytes:
        """The key of what is known of all queries of a path: of ``primary`` made for the URL without one."""
        return primary + b" search"

    def _selecting(self, request: Request) -> bytes:
        numbers = self._numbers
        parts: List[Tuple[int, bytes]] = []
        for name in request.headers.names():
            number = numbers.get(name)
            if number is not None:
                value = normalised_value(name, request) or b""
                if name == b"authorization":
                    # Not for those who can read keys.
                    value = _hash(value)
                parts.append((number, b"%d=%d:%s" % (number, len(value), value)))
        parts.sort()
        joined = b",".join([text for _, text in parts])
        return joined if len(joined) <= _LONGEST_FIELDS else b"\x01" + _hash(joined)


def _pairs(names: Sequence[bytes], request: Request) -> Iterable[bytes]:
    for name in names:
        value = normalised_value(name, request)
        yield b"%s-," % name if value is None else b"%s=%d:%s," % (name, len(value), value)


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32, key=_HASH_KEY).hexdigest().encode()


def percent_encoded(text: str, is_path: bool) -> bytes:
    """Part of a URL that somebody has written, as clients send it."""
    return (_INVISIBLE_IN_PATH if is_path else _INVISIBLE).sub(_percent, text.encode("utf-8", "surrogateescape"))


def url_tag(url: bytes) -> bytes:
    """The tag of everything that is stored for a URL."""
    return b"http:u:" + blake2b(url, digest_size=16, key=_HASH_KEY).digest()


def surrogate_tag(name: bytes) -> bytes:
    """The tag of everything that is stored with a surrogate key."""
    return b"http:t:" + (name if len(name) <= 128 else _hash(name))


def _percent(match: "re.Match[bytes]") -> bytes:
    return b"%%%02X" % match[0][0]


