"""What WSGI (PEP 3333) says of requests and responses, to and from what the cache has. `native/http_environ.c` reads requests as this does."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Dict, Iterable, List, Tuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from catzilla_cache.http.fields import Fields
from catzilla_cache.http.message import Request

Environ = Dict[str, Any]
Lines = List[Tuple[str, str]]

_PHRASES = {int(status): status.phrase for status in HTTPStatus}

#: Each status below 1000 with its reason, which WSGI wants to have.
STATUS_LINES: Tuple[str, ...] = tuple(f"{status} {_PHRASES.get(status, 'Unknown')}" for status in range(1000))

# Of one connection, which is the server's: a WSGI application may not send them (PEP 3333).
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer trailers transfer-encoding upgrade".split()
)


# ---- Requests ----


def request_of(environ: Environ) -> Request:
    """The request that an environment describes."""
    fields: Fields = []
    for name, value in environ.items():
        if name.startswith("HTTP_") and name not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            fields.append((name[5:].replace("_", "-").lower().encode("latin-1", "replace"), _bytes(value)))
        elif name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            fields.append((name.replace("_", "-").lower().encode(), _bytes(value)))
    path = _bytes(environ.get("SCRIPT_NAME", "")) + _bytes(environ.get("PATH_INFO", ""))
    host = environ.get("HTTP_HOST")
    if host is None:
        name, port = environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", "")
        host = (f"[{name}]" if ":" in name else name) + (f":{port}" if port else "")
    return Request(
        environ["REQUEST_METHOD"], environ.get("wsgi.url_scheme", "http"), _bytes(host),
        path.decode("utf-8", "surrogateescape") or "/", _raw_path(environ, path), _bytes(environ.get("QUERY_STRING", "")), fields,
    )  # fmt: skip


def _bytes(text: Any) -> bytes:
    """Bytes that came as text: each as the character of its number."""
    return str(text).encode("latin-1", "replace")


def _raw_path(environ: Environ, path: bytes) -> bytes:
    """The path as it came over the wire, where the server tells that of the very path that the application sees; else as it would be written."""
    for name in ("REQUEST_URI", "RAW_URI"):
        told = environ.get(name)
        if isinstance(told, str) and told:
            raw = _bytes(told).split(b"#", 1)[0].split(b"?", 1)[0]
            if not raw.startswith(b"/") and b"://" in raw:
                rest = raw.split(b"://", 1)[1]
                raw = rest[rest.index(b"/") :] if b"/" in rest else b"/"
            # Somebody between may have rewritten it: another path is another answer.
            if unquote_to_bytes(raw) == path:
                return raw
    return quote_from_bytes(path, safe="/:@!$&'()*+,;=~").encode() or b"/"


# ---- Responses ----


def status_line(status: int) -> str:
    """A status with its reason."""
    return STATUS_LINES[status] if 0 <= status < len(STATUS_LINES) else f"{status} Unknown"


def fields_of(headers: Iterable[Tuple[str, str]]) -> Fields:
    """Field lines as the cache has them, from those of WSGI."""
    return [(name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]


def lines_of(fields: Fields) -> Lines:
    """Field lines as WSGI has them, but for those that only servers send."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields if name not in _HOP_BY_HOP]


def sendable(headers: Iterable[Tuple[str, str]]) -> Lines:
    """Field lines of an application, but for those that only servers send."""
    return [(name, value) for name, value in headers if name.lower().encode("latin-1", "replace") not in _HOP_BY_HOP]
