"""What a request and the head of a response are to the cache, whatever the framework calls them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from catzilla_cache.http.fields import Directives, Fields, directives

_OF_ONE_REQUEST = frozenset({b"cache-control", b"pragma", b"range", b"if-range", b"if-none-match", b"if-modified-since"})


class FieldMap:
    """Field lines, looked up by name. Names are lower case and bytes."""

    __slots__ = ("_by_name", "fields")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        by_name: Dict[bytes, List[bytes]] = {}
        for name, value in fields:
            by_name.setdefault(name, []).append(value)
        self._by_name = by_name

    def lines(self, name: bytes) -> List[bytes]:
        """The values of all lines of a name, in order."""
        return self._by_name.get(name, [])

    def only(self, name: bytes) -> Optional[bytes]:
        """The value of a field that has one line; None when there is none, or more than one, which nobody can rely on."""
        lines = self._by_name.get(name, ())
        return lines[0].strip() if len(lines) == 1 else None

    def combined(self, name: bytes) -> Optional[bytes]:
        """The value of a field whose lines are one list (RFC 9110 section 5.3); None when there is none."""
        lines = self._by_name.get(name)
        if lines is None:
            return None
        return lines[0].strip() if len(lines) == 1 else b", ".join(line.strip() for line in lines)

    def has_none_of(self, names: FrozenSet[bytes]) -> bool:
        """Whether there is no line of any of these names."""
        return names.isdisjoint(self._by_name)

    def names(self) -> Iterable[bytes]:
        """Each name that has a line."""
        return self._by_name

    def __contains__(self, name: bytes) -> bool:
        return name in self._by_name


class Request:
    """A request: facts, nothing that is read or awaited."""

    __slots__ = ("_directives", "authority", "headers", "method", "path", "query", "raw_path", "scheme")

    def __init__(
        self, method: str, scheme: str, authority: bytes, path: str, raw_path: bytes, query: bytes, fields: Fields
    ) -> None:
        #: As it came: methods are case-sensitive.
        self.method = method
        #: "http" or "https".
        self.scheme = scheme
        #: Host and port as the client named them; empty when it did not.
        self.authority = authority
        #: Decoded, for people and patterns.
        self.path = path
        #: As it came over the wire, for keys.
        self.raw_path = raw_path
        #: As it came, without the question mark.
        self.query = query
        self.headers = FieldMap(fields)
        self._directives: Optional[Directives] = None

    @property
    def directives(self) -> Directives:
        """What the request's Cache-Control says; of Pragma where there is none (RFC 9111 section 5.4)."""
        found = self._directives
        if found is None:
            headers = self.headers
            found = directives(headers.lines(b"cache-control")) if b"cache-control" in headers else {}
            if b"pragma" in headers and b"cache-control" not in headers and b"no-cache" in directives(headers.lines(b"pragma")):
                found = {b"no-cache": None}
            self._directives = found
        return found

    def anew(self, method: str) -> Request:
        """The same for nobody in particular: what one client asks of one answer is not what others are fetched by in the background."""
        fields = [(name, value) for name, value in self.headers.fields if name not in _OF_ONE_REQUEST]
        return Request(method, self.scheme, self.authority, self.path, self.raw_path, self.query, fields)


class ViewedURL(NamedTuple):
    """Path and query as text."""

    path: str
    query: str


class ViewedHeaders:
    """The fields of a request as text, by names in any case."""

    __slots__ = ("map",)

    def __init__(self, headers: FieldMap) -> None:
        self.map = headers

    def get(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """The value of a field."""
        value = self.map.combined(name.lower().encode("latin-1", "replace"))
        return default if value is None else value.decode("latin-1")

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def items(self) -> List[Tuple[str, str]]:
        """All field lines."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.map.fields]


class View:
    """A request as the documented interface shows it to a generator of keys."""

    __slots__ = ("headers", "method", "state", "url")

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.url = ViewedURL(request.path, request.query.decode("latin-1"))
        self.headers = ViewedHeaders(request.headers)
        self.state = SimpleNamespace()
