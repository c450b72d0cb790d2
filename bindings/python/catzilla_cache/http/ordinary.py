"""Requests that can be answered without another thought, which are most: told of by servers as usual, and asking for an answer that was made for
everybody, or whether it is still the same.

`native/http_scope.c` and `native/http_environ.c` know the same requests. Whatever is odd about another one is for `exchange` to find out.
"""

from __future__ import annotations

import re
from typing import Any, FrozenSet, NamedTuple, Optional, Tuple
from urllib.parse import unquote_to_bytes

from catzilla_cache.http.fields import Fields, date, entity_tags, opaque
from catzilla_cache.http.keys import KeyMaker, authority, is_plain_path
from catzilla_cache.http.message import FieldMap, Request
from catzilla_cache.http.policy import METHOD_OVERRIDES, Policy
from catzilla_cache.http.wsgi_messages import Environ, request_of

#: Requests with one of these ask for more than an answer, or are asked by somebody in particular.
REFUSED_FIELDS = frozenset(
    (
        b"authorization", b"cache-control", b"expect", b"forwarded", b"if-match", b"if-range", b"if-unmodified-since", b"pragma", b"range",
        b"transfer-encoding", b"upgrade", *METHOD_OVERRIDES,
    )
)  # fmt: skip
# Others that are looked at, whether they are part of the key or not.
_LOOKED_AT = REFUSED_FIELDS | {b"content-length", b"host", b"if-modified-since", b"if-none-match"}

# The same bounds as in `native/http_key.h`, `native/http_url.h` and `native/http_conditions.h`, which say where they come from.
_LONGEST_AUTHORITY, _LONGEST_PREFIX, _LONGEST_TAGS = 260, 512, 512
_MOST_PARAMETERS, _MOST_LINES, _MOST_KEY_FIELDS = 64, 64, 1000

# Lines of entity tags, and a date of the form that is sent today, that nobody can take for anything else.
_TAGS = re.compile(rb'[ \t,]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|\Z))*')
_ANY_TAG = re.compile(rb"[ \t]*\*[ \t]*")
_DATE = re.compile(rb"[A-Z][a-z]{2}, (?!29 Feb)\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")

# Names of fields as servers spell them in an environment.
_VARIABLE = re.compile(r"HTTP_[^a-z\x80-\U0010ffff-]*")
# A path that would be written as it is.
_WRITTEN_SO = re.compile(rb"[/:@!$&'()*+,;=~_.\-a-zA-Z0-9]+")


class Ordinary(NamedTuple):
    """A request that can be answered without another thought."""

    key: bytes
    request: Request

    @property
    def is_head(self) -> bool:
        """Whether it wants no body."""
        return self.request.method == "HEAD"


class OrdinaryRequests:
    """Tells which requests are ordinary under one policy."""

    __slots__ = ("_is_usable", "_key_fields", "_keys", "_prefix", "_takes_head")

    def __init__(self, prefix: bytes, key_fields: Tuple[bytes, ...], ignored: FrozenSet[bytes], takes_head: bool) -> None:
        self._prefix = prefix
        self._keys = KeyMaker(Policy(prefix=prefix, key_fields=key_fields, ignored=ignored))
        self._key_fields = frozenset(key_fields)
        self._is_usable = len(prefix) <= _LONGEST_PREFIX and len(key_fields) <= _MOST_KEY_FIELDS
        self._takes_head = takes_head

    def of_scope(self, scope: Any) -> Optional[Ordinary]:
        """The request of an ASGI scope. None: it is no ordinary one, or not told of as servers do."""
        if not self._is_usable or type(scope) is not dict or _text(scope.get("type")) != "http":
            return None
        method, scheme = _text(scope.get("method")), _text(scope.get("scheme", "http"))
        path, raw_path, query = _text(scope.get("path")), scope.get("raw_path"), scope.get("query_string", b"")
        if method is None or scheme is None or path is None or type(raw_path) is not bytes or not raw_path or type(query) is not bytes:
            return None
        # Somebody between may have rewritten the path: another one is another answer.
        if unquote_to_bytes(raw_path) != path.encode():
            return None
        fields = _fields_of(scope.get("headers"))
        if fields is None:
            return None
        host = next((value for name, value in fields if name == b"host"), b"")
        return self._ordinary(Request(method, scheme, host, path, raw_path, query, fields))

    def of_environ(self, environ: Any) -> Optional[Ordinary]:
        """The same of a WSGI environment."""
        if not self._is_usable or type(environ) is not dict:
            return None
        if _text(environ.get("REQUEST_METHOD")) is None or _text(environ.get("wsgi.url_scheme", "http")) is None:
            return None
        if not _has_ordinary_text(environ, self._key_fields) or not _has_ordinary_path(environ):
            return None
        return self._ordinary(request_of(environ))

    def _ordinary(self, request: Request) -> Optional[Ordinary]:
        if not (request.method == "GET" or (request.method == "HEAD" and self._takes_head)) or request.scheme not in ("http", "https"):
            return None
        if not is_plain_path(request.path) or request.query.count(b"&") >= _MOST_PARAMETERS or not self._has_ordinary_fields(request):
            return None
        target = self._keys.target(request) if authority(request) else None
        if target is None:
            return None
        key = self._keys.primary(request, "GET", target)
        # What is long has been hashed: behind a byte that no path has, or with which the values of fields begin.
        if b"\x01" in target.path or key.startswith(b"\x01", len(self._prefix) + len(b"GET ") + len(target.url) + 2):
            return None
        return Ordinary(key, request)

    def _has_ordinary_fields(self, request: Request) -> bool:
        headers = request.headers
        if not headers.has_none_of(REFUSED_FIELDS) or any(value != b"0" for value in headers.lines(b"content-length")):
            return False
        if len(headers.lines(b"host")) != 1 or len(request.authority) > _LONGEST_AUTHORITY or not _has_ordinary_conditions(headers):
            return False
        return sum(name in self._key_fields for name, _ in headers.fields) <= _MOST_LINES


def _has_ordinary_conditions(headers: FieldMap) -> bool:
    """Whether there are no conditions, or such that everybody reads alike."""
    lines, dates = headers.lines(b"if-none-match"), headers.lines(b"if-modified-since")
    if lines:
        # Where there are tags, dates say nothing (RFC 9110 section 13.2.2).
        if len(lines) == 1 and _ANY_TAG.fullmatch(lines[0]) is not None:
            return True
        return all(_TAGS.fullmatch(line) for line in lines) and sum(len(opaque(tag)) for tag in entity_tags(lines)) <= _LONGEST_TAGS
    return not dates or (len(dates) == 1 and _DATE.fullmatch(dates[0]) is not None and date(dates[0]) is not None)


# ---- What servers say ----


def _text(value: Any) -> Optional[str]:
    """Text as a server makes it."""
    if type(value) is not str:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _fields_of(headers: Any) -> Optional[Fields]:
    """The field lines of a scope; None: they are not as servers make them."""
    if type(headers) not in (list, tuple):
        return None
    for pair in headers:
        if type(pair) not in (tuple, list) or len(pair) != 2:
            return None
        name, value = pair
        if type(name) is not bytes or type(value) is not bytes or name != name.lower():
            return None
    return list(headers)


def _has_ordinary_text(environ: Environ, key_fields: FrozenSet[bytes]) -> bool:
    """Whether the names in an environment are as servers spell them, and what is looked at stands for itself."""
    for name, value in environ.items():
        if _text(name) is None:
            return False
        if name.startswith("HTTP_") and _VARIABLE.fullmatch(name) is None:
            return False
        is_looked_at = name == "QUERY_STRING"
        if name.startswith("HTTP_") and name not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            field = name[5 * name.startswith("HTTP_") :].replace("_", "-").lower().encode()
            is_looked_at = field in key_fields or field in _LOOKED_AT
        if is_looked_at and not (type(value) is str and value.isascii()):
            return False
    return True


def _has_ordinary_path(environ: Environ) -> bool:
    """Whether an environment has a path, and says how that came or need not."""
    parts = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    if not all(type(part) is str and all(character <= "\xff" for character in part) for part in parts):
        return False
    path = "".join(parts).encode("latin-1")
    for name in ("REQUEST_URI", "RAW_URI"):
        if name in environ:
            told = environ[name]
            # To a proxy it is the URL of another place.
            if type(told) is not str or not told.isascii() or not told.startswith("/"):
                return False
            if unquote_to_bytes(told.split("#", 1)[0].split("?", 1)[0]) == path:
                return True
    return _WRITTEN_SO.fullmatch(path) is not None
