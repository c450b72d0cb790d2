"""What is stored in front of a value beside it: until when it is fresh, how long it took to make, and its tags.

Only values that were stored with one of these have an annotation. The compiled module knows the first four bytes (`native/engine_values.c`): it
skips an annotation that says nothing about freshness.

    0xF0 | flags | length of the rest, 2 bytes big-endian | fresh_until, cost: doubles, if flags & 1 | tags: count and lengths, bytes | value
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional, Sequence

MARK = 0xF0
_HAS_FRESHNESS = 1
_HEAD = struct.Struct(">BBH")
_FRESHNESS = struct.Struct(">dd")


@dataclass(frozen=True)
class Annotation:
    """Wall times and seconds."""

    #: Until when the value is fresh; what is stored longer may be served while somebody loads it anew. None: until it is gone.
    fresh_until: Optional[float] = None
    #: How long it took to load.
    cost: float = 0.0
    tags: Sequence[bytes] = ()


NONE = Annotation()


def write(annotation: Annotation, value: bytes) -> bytes:
    """The value with its annotation in front."""
    flags, rest = 0, b""
    if annotation.fresh_until is not None:
        flags, rest = _HAS_FRESHNESS, _FRESHNESS.pack(annotation.fresh_until, annotation.cost)
    if annotation.tags:
        rest += bytes([len(annotation.tags), *map(len, annotation.tags)]) + b"".join(annotation.tags)
    return _HEAD.pack(MARK, flags, len(rest)) + rest + value


def read(data: bytes) -> tuple[Annotation, bytes]:
    """The annotation of what was stored, and the value. Damage raises ``ValueError``."""
    if not data or data[0] != MARK:
        return NONE, data
    if len(data) < _HEAD.size:
        raise ValueError("an annotation that is cut short")
    _, flags, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    rest = data[_HEAD.size : end]
    if len(rest) != length or flags & ~_HAS_FRESHNESS:
        raise ValueError("an annotation that is cut short, or of a later version")
    fresh_until, cost = None, 0.0
    if flags & _HAS_FRESHNESS:
        if length < _FRESHNESS.size:
            raise ValueError("an annotation without the times that it announces")
        fresh_until, cost = _FRESHNESS.unpack_from(rest)
        rest = rest[_FRESHNESS.size :]
    return Annotation(fresh_until, cost, _tags(rest)), data[end:]


def _tags(rest: bytes) -> list[bytes]:
    if not rest:
        return []
    lengths = rest[1 : 1 + rest[0]]
    texts = rest[1 + rest[0] :]
    if len(lengths) != rest[0] or sum(lengths) != len(texts):
        raise ValueError("an annotation whose tags do not add up")
    tags, begin = [], 0
    for length in lengths:
        tags.append(texts[begin : begin + length])
        begin += length
    return tags
