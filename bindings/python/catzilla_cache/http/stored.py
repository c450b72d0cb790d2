"""The stored form of a response: made once, read on every hit without parsing more than its head. `native/http_stored.h` has the same layout.

All numbers are little-endian; times are microseconds since 1970.

     0  1 byte   tag of plain bytes in the built-in encoding, so that a look-up through ``SmartCache`` gives the rest as ``bytes``
     1  2 bytes  mark 0xC7, version
     3  1 byte   kind: 1 a response, 2 what a response varies by, 3 what matters of the query
     4  2 bytes  status                                        6  2 bytes  number of the rule, 0: none
     8  4 bytes  flags                                        12  4 bytes  reserved, 0
    16  8 bytes  when it was stored                           24  8 bytes  when it was born: now less this is its age
    32  8 bytes  until when it is fresh                       40  8 bytes  until when it is served while it is fetched anew
    48  8 bytes  until when it is served if that fails        56  4 bytes  number of field lines
    60  4 bytes  length of the fields                         64  4 bytes  length of what follows them    68  4 bytes  reserved, 0
    72           fields: for each the length of its name (2 bytes) and its value (4 bytes), name, value
                 texts: URL, entity tag, what it varies by, tags: for each list a count (2 bytes), for each text a length (4 bytes), text
                 the body, up to the end
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple, Optional, Sequence, Tuple

from catzilla_cache.codec import plain
from catzilla_cache.http.fields import Fields

MARK, VERSION = 0xC7, 1
RESPONSE, VARIES, SEARCH = 1, 2, 3

#: May answer a request with Authorization (RFC 9111 section 3.5).
FOR_AUTHORIZED = 1
#: Has to be validated each time: no-cache.
NO_CACHE = 2
#: Never to be served stale: must-revalidate, proxy-revalidate.
NEVER_STALE = 4
#: Has an s-maxage, which forbids to serve it stale unless it says itself for how long (RFC 9111 section 5.2.2.10).
SHARED_AGE = 8
#: Its entity tag was made here: who made the response does not know it.
OWN_TAG = 16
#: The answer to HEAD: it has no body.
HEAD_ONLY = 32

_HEAD = struct.Struct("<BBBBHHIIqqqqqIIII")
_FIELD = struct.Struct("<HI")
_COUNT = struct.Struct("<H")
_LENGTH = struct.Struct("<I")
HEAD_SIZE = _HEAD.size
assert HEAD_SIZE == 72

_MICRO = 1_000_000
# Times that fit the eight bytes with room to add to them: some 140,000 years.
_LATEST = 2**62


class Damaged(ValueError):
    """Bytes that are no stored form, or one of a later version."""


class StoredResponse(NamedTuple):
    """A response that may be reused. Times are seconds since 1970."""

    status: int
    fields: Fields
    body: bytes
    stored_at: float
    born: float
    fresh_until: float
    #: Until when it may be served while it is fetched anew, and if that fails; not before ``fresh_until``.
    refresh_until: float
    error_until: float
    flags: int = 0
    rule: int = 0
    url: bytes = b""
    #: The entity tag among the fields; empty when there is none.
    entity_tag: bytes = b""
    vary: Tuple[bytes, ...] = ()
    tags: Tuple[bytes, ...] = ()

    def age(self, now: float) -> float:
        """How old it is in seconds; never negative, whatever clocks say."""
        return max(0.0, now - self.born)

    def made_stale(self, now: float) -> StoredResponse:
        """The same, to be validated or fetched before it is served as fresh again."""
        gone = max(0.0, self.fresh_until - now)
        return self._replace(
            fresh_until=min(self.fresh_until, now), refresh_until=self.refresh_until - gone, error_until=self.error_until - gone
        )


@dataclass(frozen=True)
class Varies:
    """What stands in place of a response that varies: by which fields of the request."""

    names: Tuple[bytes, ...]


@dataclass(frozen=True)
class SearchRule:
    """Which part of a path's query matters (No-Vary-Search)."""

    #: Whether parameters in another order make another response.
    ordered: bool
    #: Names that do not matter; None: none matters but ``kept``.
    ignored: Optional[Tuple[bytes, ...]]
    kept: Tuple[bytes, ...] = ()


def encode_response(response: StoredResponse) -> bytes:
    """The stored form of a response."""
    fields = b"".join(_FIELD.pack(len(name), len(value)) + name + value for name, value in response.fields)
    texts = _texts([response.url]) + _texts([response.entity_tag]) + _texts(response.vary) + _texts(response.tags)
    head = _HEAD.pack(
        plain.BYTES, MARK, VERSION, RESPONSE, response.status, response.rule, response.flags, 0,
        _stamp(response.stored_at), _stamp(response.born), _stamp(response.fresh_until), _stamp(response.refresh_until),
        _stamp(response.error_until), len(response.fields), len(fields), len(texts), 0,
    )  # fmt: skip
    return b"".join((head, fields, texts, response.body))


def encode_varies(varies: Varies) -> bytes:
    """The stored form of what a response varies by."""
    return _record(VARIES, 0, _texts(varies.names))


def encode_search(rule: SearchRule) -> bytes:
    """The stored form of what matters of a query."""
    flags = (1 if rule.ordered else 0) | (2 if rule.ignored is None else 0)
    return _record(SEARCH, flags, _texts(rule.ignored or ()) + _texts(rule.kept))


def _record(kind: int, flags: int, texts: bytes) -> bytes:
    return _HEAD.pack(plain.BYTES, MARK, VERSION, kind, 0, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0, len(texts), 0) + texts


def decode(data: bytes) -> "StoredResponse | Varies | SearchRule":
    """What was stored. ``Damaged`` for anything else."""
    if len(data) < HEAD_SIZE:
        raise Damaged(f"{len(data)} bytes are no stored response")
    (
        tag, mark, version, kind, status, rule, flags, _, stored_at, born, fresh, refresh, error, count, fields_len, texts_len, _
    ) = _HEAD.unpack_from(data)  # fmt: skip
    if tag != plain.BYTES or mark != MARK or version != VERSION:
        raise Damaged("bytes that are no stored response, or one of another version")
    texts_at = HEAD_SIZE + fields_len
    body_at = texts_at + texts_len
    if body_at > len(data):
        raise Damaged("a stored response that is cut short")
    if kind == VARIES:
        return Varies(_read_texts(data, texts_at, body_at)[0])
    if kind == SEARCH:
        ignored, position = _read_texts(data, texts_at, body_at)
        kept, _ = _read_texts(data, position, body_at)
        return SearchRule(bool(flags & 1), None if flags & 2 else ignored, kept)
    if kind != RESPONSE or not 100 <= status <= 999:
        raise Damaged("a stored response of an unknown kind")
    fields = _read_fields(data, count, texts_at)
    url, position = _read_texts(data, texts_at, body_at)
    entity_tag, position = _read_texts(data, position, body_at)
    vary, position = _read_texts(data, position, body_at)
    tags, _ = _read_texts(data, position, body_at)
    if len(url) != 1 or len(entity_tag) != 1:
        raise Damaged("a stored response without its URL")
    return StoredResponse(
        status=status,
        fields=fields,
        body=data[body_at:],
        stored_at=stored_at / _MICRO,
        born=born / _MICRO,
        fresh_until=fresh / _MICRO,
        refresh_until=refresh / _MICRO,
        error_until=error / _MICRO,
        flags=flags,
        rule=rule,
        url=url[0],
        entity_tag=entity_tag[0],
        vary=vary,
        tags=tags,
    )


def _read_fields(data: bytes, count: int, end: int) -> Fields:
    fields: Fields = []
    position = HEAD_SIZE
    for _ in range(count):
        if position + _FIELD.size > end:
            raise Damaged("a stored response whose fields do not add up")
        name_len, value_len = _FIELD.unpack_from(data, position)
        name_at = position + _FIELD.size
        value_at = name_at + name_len
        position = value_at + value_len
        fields.append((data[name_at:value_at], data[value_at:position]))
    if position != end:
        raise Damaged("a stored response whose fields do not add up")
    return fields


def _read_texts(data: bytes, position: int, end: int) -> Tuple[Tuple[bytes, ...], int]:
    """A list of texts, and where what follows it begins."""
    try:
        (count,) = _COUNT.unpack_from(data, position)
        position += _COUNT.size
        texts = []
        for _ in range(count):
            begin = position + _LENGTH.size
            position = begin + _LENGTH.unpack_from(data, position)[0]
            texts.append(data[begin:position])
    except struct.error:
        position = end + 1
    # Whatever was read from beyond the end is of something else.
    if position > end:
        raise Damaged("a stored response whose texts do not add up")
    return tuple(texts), position


def _texts(texts: Sequence[bytes]) -> bytes:
    return _COUNT.pack(len(texts)) + b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _stamp(seconds: float) -> int:
    return max(-_LATEST, min(_LATEST, int(seconds * _MICRO)))
