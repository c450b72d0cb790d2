"""Patterns of paths, and of URLs to purge: prefixes, and globs in which ``*`` stands for anything."""

from __future__ import annotations

import re
from typing import Callable, Iterable, List, Sequence, Tuple
from urllib.parse import quote

from catzilla_cache.errors import CacheValueError

_URL_PATTERN = re.compile(r"(?P<origin>(?:https?|\*)://[^/\s]+)?(?P<path>[/*]\S*)")
_ORIGIN_AND_PATH = re.compile(r"([a-z]+://[^/]*)(.*)", re.DOTALL)
# What keys leave as it is: every visible character.
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


class PathPattern:
    """One pattern. Without a ``*`` it is what a path begins with; with one it has to fit the whole of it."""

    __slots__ = ("matches", "rank", "text")

    def __init__(self, text: object) -> None:
        if not isinstance(text, str) or not text:
            raise CacheValueError(f"a pattern of paths is text such as '/api' or '/api/*', not {text!r}")
        self.text = text
        self.matches: Callable[[str], bool]
        if "*" not in text:
            self.matches = lambda path: path.startswith(text)
        elif text.index("*") == len(text) - 1:
            prefix = text[:-1]
            self.matches = lambda path: path.startswith(prefix)
        else:
            whole = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
            self.matches = lambda path: whole.fullmatch(path) is not None
        literal = text.split("*", 1)[0]
        #: The larger, the more specific: what is spelled out before the first ``*``, then what is spelled out at all.
        self.rank = (len(literal), len(text) - text.count("*"))


class UrlPattern:
    """A pattern of URLs to purge: a glob over path and query, perhaps behind an origin. ``*`` stands for anything, everything else for itself."""

    __slots__ = ("_origin", "_path")

    def __init__(self, text: object) -> None:
        match = _URL_PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise CacheValueError(f"a pattern to purge is such as '/api/*' or 'https://example.org/api/*', not {text!r}")
        self._origin = (match["origin"] or "*").lower()
        self._path = quote(match["path"], safe=_VISIBLE)

    def matches(self, url: bytes) -> bool:
        """Whether it fits a URL as keys have it."""
        origin, path = _ORIGIN_AND_PATH.fullmatch(url.decode("latin-1")).groups()  # type: ignore[union-attr]
        return _fits(self._origin, origin) and _fits(self._path, path)

    def globs(self, prefix: bytes) -> List[bytes]:
        """What fits the keys that begin with a prefix, in the globs of the library."""
        return [
            b"%s%s %s %s *" % (_glob(prefix.decode()), method, _glob(self._path), _glob(self._origin)) for method in (b"GET", b"HEAD")
        ]


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def _glob(text: str) -> bytes:
    return re.sub(r"([\\?])", r"\\\1", text).encode("latin-1", "replace")


def any_of(patterns: Iterable[PathPattern]) -> Callable[[str], bool]:
    """Whether one of these fits."""
    matchers = [pattern.matches for pattern in patterns]
    if len(matchers) == 1:
        return matchers[0]
    return lambda path: any(matches(path) for matches in matchers)


class Ranked:
    """What is kept under patterns; the most specific of those that fit is meant."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, ruled: Sequence[Tuple[str, int]]) -> None:
        self._exact = {text: value for text, value in ruled if "*" not in text}
        patterns: List[Tuple[PathPattern, int]] = [(PathPattern(text), value) for text, value in ruled]
        # Of two that are as specific the one that was named first.
        self._patterns = sorted(patterns, key=lambda pair: pair[0].rank, reverse=True)

    def find(self, path: str) -> int:
        """The value of the pattern that is meant for a path, or 0."""
        found = self._exact.get(path)
        if found is not None:
            return found
        for pattern, value in self._patterns:
            if pattern.matches(path):
                return value
        return 0
