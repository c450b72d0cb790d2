"""Reads the head of the form in which values lie in Redis and on disk: enough to count and describe, never the value.

The layout is the library's (``src/codec/envelope.rs``). What is read here is shown to people and decides nothing: the checksum
over it is the library's business.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional

#: Magic, version, flags, length of tags, length for later versions, checksum, created, expires, namespace, length of the
#: value, length for later versions.
_HEAD = struct.Struct("<2sBBHHQQQQII")
_MAGIC = b"CZ"
_VERSION = 1
_LZ4 = 1
_NEVER = 2**64 - 1

#: So many bytes have the head and the tags of nearly every entry in them; the rest of a longer list of tags is not shown.
HEAD_BYTES = _HEAD.size + 1024


@dataclass(frozen=True)
class Head:
    """What an envelope says of its value."""

    #: Seconds since the Unix epoch.
    created: float
    #: The same; None: never.
    expires: Optional[float]
    namespace: int
    value_bytes: int
    compressed: bool
    tags: tuple[bytes, ...]


def read(head: bytes) -> Optional[Head]:
    """The head at the beginning of these bytes; None when they are no envelope of a version that is known."""
    if len(head) < _HEAD.size:
        return None
    magic, version, flags, tag_bytes, _, _, created, expires, namespace, value_bytes, _ = _HEAD.unpack_from(head)
    if magic != _MAGIC or version != _VERSION:
        return None
    return Head(
        created / 1e6,
        None if expires == _NEVER else expires / 1e6,
        namespace,
        value_bytes,
        bool(flags & _LZ4),
        _tags(head[_HEAD.size : _HEAD.size + tag_bytes]),
    )


def _tags(written: bytes) -> tuple[bytes, ...]:
    tags = []
    at = 0
    while at < len(written):
        length = written[at]
        tags.append(written[at + 1 : at + 1 + length])
        at += 1 + length
    return tuple(tags)


@dataclass(frozen=True)
class Entry:
    """A key and what is known of its value."""

    key: bytes
    #: As it lies there, with its head.
    stored_bytes: int
    #: None: not an envelope; somebody else's, or of another version.
    head: Optional[Head]
    #: Why a look-up will not find it although it is there: "expired" or "purged".
    dead: Optional[str] = None
