"""Requests and responses of any framework, as far as the documented middleware reads and changes them.

    request    method, url.path, url.query, headers; url.scheme, url.netloc if they are there
    response   status_code, headers, body

Headers are a mapping of names in any case to values, or know their lines themselves (``raw``, ``multi_items``). Values are text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, FrozenSet, Iterable, List, Optional, Set, Tuple
from urllib.parse import unquote_to_bytes

from catzilla_cache.http.fields import Fields
from catzilla_cache.http.message import FieldMap, Request, ViewedHeaders


def request_of(request: Any) -> Request:
    """The request that an object describes."""
    url, headers = getattr(request, "url", None), getattr(request, "headers", None)
    asked = headers.map if isinstance(headers, ViewedHeaders) else None
    fields = fields_of(headers) if asked is None else asked.fields
    path = _text(getattr(url, "path", None)) or _text(getattr(request, "path", None)) or "/"
    query = _text(getattr(url, "query", None))
    if query is None and "?" in path and _text(getattr(url, "path", None)) is None:
        path, query = path.split("?", 1)
    raw = path.encode("utf-8", "surrogateescape")
    # Paths of ``url`` are encoded in some frameworks and decoded in others, and nothing says which. So they are taken as they are: what
    # is encoded here could be another path's name there. One that no URL has then has no key, unless the framework tells it as it came.
    raw_path = _told_path(request, raw) or raw
    authority = next((value for name, value in fields if name == b"host"), None) if asked is None else asked.only(b"host")
    if authority is None:
        authority = (_text(getattr(url, "netloc", None)) or "").encode("latin-1", "replace")
    scheme = _text(getattr(url, "scheme", None))
    facts = Request(
        str(request.method), scheme.lower() if scheme in ("http", "https", "HTTP", "HTTPS") else "http", authority,
        unquote_to_bytes(raw).decode("utf-8", "surrogateescape"), raw_path, (query or "").encode("utf-8", "surrogateescape"), fields,
    )  # fmt: skip
    if asked is not None:
        facts.headers = asked
    return facts


def _told_path(request: Any, path: bytes) -> Optional[bytes]:
    """The path as it came over the wire, from frameworks that keep the ASGI scope; None when it is not of this very path."""
    scope = getattr(request, "scope", None)
    told = scope.get("raw_path") if isinstance(scope, dict) else None
    if not isinstance(told, bytes) or not told:
        return None
    return told if unquote_to_bytes(told) == path else None


class AskedFields(FieldMap):
    """The fields of a request whose framework can be asked for one at a time, and cannot tell which there are. One line of each name."""

    __slots__ = ("_ask", "_asked", "_usual")

    def __init__(self, ask: Callable[[str], Optional[str]], usual: Iterable[bytes]) -> None:
        super().__init__([])
        self._ask = ask
        #: Those that are looked for when it matters which there are.
        self._usual = usual
        self._asked: Set[bytes] = set()

    def _look(self, name: bytes) -> bool:
        if name not in self._asked:
            self._asked.add(name)
            value = self._ask(name.decode("latin-1"))
            if value is not None:
                self._by_name[name] = [_bytes(value)]
                self.fields.append((name, _bytes(value)))
        return name in self._by_name

    def lines(self, name: bytes) -> List[bytes]:
        """As in ``FieldMap``."""
        self._look(name)
        return super().lines(name)

    def only(self, name: bytes) -> Optional[bytes]:
        """As in ``FieldMap``."""
        self._look(name)
        return super().only(name)

    def combined(self, name: bytes) -> Optional[bytes]:
        """As in ``FieldMap``."""
        self._look(name)
        return super().combined(name)

    def has_none_of(self, names: FrozenSet[bytes]) -> bool:
        """As in ``FieldMap``."""
        return not any([self._look(name) for name in names])

    def names(self) -> Iterable[bytes]:
        """Those of the usual ones, and of others that were asked for, that have a line."""
        for name in self._usual:
            self._look(name)
        return self._by_name

    def __contains__(self, name: bytes) -> bool:
        return self._look(name)


def _text(value: Any) -> Optional[str]:
    """Text, if it is some: what is no text (a stand-in of a test, for one) says nothing."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("latin-1")
    return value if isinstance(value, str) else None


def fields_of(headers: Any) -> Fields:
    """The lines of headers of any kind, names in lower case."""
    return [(_bytes(name).lower(), _bytes(value)) for name, value in _lines(headers)]


def _lines(headers: Any) -> Iterable[Tuple[Any, Any]]:
    raw = getattr(headers, "raw", None)
    if isinstance(raw, (list, tuple)):
        return raw
    many = getattr(headers, "multi_items", None)
    if many is not None and not isinstance(headers, dict):
        return [*many()]
    items: Any = headers.items() if hasattr(headers, "items") else headers if isinstance(headers, (list, tuple)) else ()
    lines: List[Tuple[Any, Any]] = []
    for name, value in items:
        if isinstance(value, (list, tuple)):
            lines.extend((name, each) for each in value)
        elif value is not None:
            lines.append((name, value))
    return lines


def _bytes(text: Any) -> bytes:
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    return str(text).encode("latin-1") if _is_latin(text) else str(text).encode("utf-8", "surrogateescape")


def _is_latin(text: Any) -> bool:
    return all(character <= "\xff" for character in str(text))


def response_fields(response: Any) -> Fields:
    """The field lines of a response; its type also where the framework keeps that elsewhere."""
    fields = fields_of(getattr(response, "headers", None))
    if not any(name == b"content-type" for name, _ in fields):
        for place in ("content_type", "media_type"):
            told = getattr(response, place, None)
            if isinstance(told, str) and told:
                fields.append((b"content-type", _bytes(told)))
                break
    return fields


def body_of(response: Any) -> Optional[bytes]:
    """The body, if all of it is there; None when it is still to come, or no bytes and no text."""
    if getattr(type(response), "body_iterator", None) is not None or "body_iterator" in getattr(response, "__dict__", ()):
        return None
    body = getattr(response, "body", None)
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    return b"" if body is None and hasattr(response, "body") else None


def drop_field(response: Any, name: str) -> None:
    """Removes a field from a response, which may have it in any case, several times, or not at all."""
    headers = response.headers
    if isinstance(headers, Mapping):
        for each in [key for key in headers if isinstance(key, str) and key.lower() == name]:
            # A mapping that knows names in any case has removed all of them with the first.
            if each in headers:
                del headers[each]  # type: ignore[attr-defined]
    elif headers.get(name) is not None:
        del headers[name]


def set_field(response: Any, name: str, value: str, adds: bool = False) -> None:
    """Sets a field of a response, in place of what it has of that name; with ``adds`` behind it."""
    headers = response.headers
    if isinstance(headers, Mapping):
        # A plain mapping knows names in one case only.
        for each in [key for key in headers if isinstance(key, str) and key.lower() == name]:
            if adds:
                value = f"{headers[each]}, {value}"
            if each != name:
                del headers[each]  # type: ignore[attr-defined]
    elif adds and headers.get(name):
        value = f"{headers.get(name)}, {value}"
    headers[name] = value
