"""What the documented middleware returns for a hit, unless it is told to make something else (``response_class``)."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple, Union


class Headers(Mapping[str, str]):
    """Field lines as text, in their order, looked up by names in any case. A name may be there several times."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Union[None, Mapping[str, str], Iterable[Tuple[str, str]]] = None) -> None:
        pairs: Iterable[Tuple[str, str]] = lines.items() if isinstance(lines, Mapping) else lines or ()
        self._lines: List[Tuple[str, str]] = [(name.lower(), value) for name, value in pairs]

    def getlist(self, name: str) -> List[str]:
        """All values of a name."""
        name = name.lower()
        return [value for each, value in self._lines if each == name]

    def items(self) -> List[Tuple[str, str]]:  # type: ignore[override]
        """All lines: a name that is there several times is here several times."""
        return list(self._lines)

    def append(self, name: str, value: str) -> None:
        """Adds a line, whatever there is of that name."""
        self._lines.append((name.lower(), value))

    def __getitem__(self, name: str) -> str:
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return values[0]

    def __setitem__(self, name: str, value: str) -> None:
        del self[name]
        self.append(name, value)

    def __delitem__(self, name: str) -> None:
        name = name.lower()
        self._lines = [line for line in self._lines if line[0] != name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.getlist(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._lines))

    def __len__(self) -> int:
        return len(set(name for name, _ in self._lines))

    def __eq__(self, other: object) -> bool:
        return self._lines == other._lines if isinstance(other, Headers) else Mapping.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self._lines!r})"


class Response:
    """A response: ``status_code``, ``headers`` and ``body``."""

    __slots__ = ("__dict__", "body", "headers", "status_code")

    def __init__(self, status_code: int = 200, headers: Any = None, body: Union[bytes, str] = b"") -> None:
        self.status_code = status_code
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body.encode() if isinstance(body, str) else bytes(body)

    @property
    def media_type(self) -> Optional[str]:
        """What Content-Type says, without parameters; None when it says nothing."""
        told = self.headers.get("content-type")
        return None if told is None else told.split(";", 1)[0].strip()

    def __repr__(self) -> str:
        return f"<Response {self.status_code}, {len(self.body)} bytes>"
