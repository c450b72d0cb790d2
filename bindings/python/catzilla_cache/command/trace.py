"""Reads recorded accesses: the project's own format (``data/traces/README.md``), and text with a key a line."""

from __future__ import annotations

import io
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path

from catzilla_cache.command.failure import Refusal

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

#: A trace is read whole. Far above every one that is known by name, low enough for a laptop.
_MOST_BYTES = 4 << 30
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Trace:
    """Who was asked for, in which order: each request is an index into the keys, which are in order of first appearance."""

    name: str
    keys: list[bytes]
    requests: array[int]

    def __len__(self) -> int:
        return len(self.requests)


def load(path: Path, most: int = 0) -> Trace:
    """The trace in a file, by what its name ends with: ``.u32`` numbers, ``.zst`` compressed, anything else text."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from None
    name = path.name
    if name.endswith(".zst"):
        raw, name = _unpacked(path, raw), name[: -len(".zst")]
    keys = _numbers(path, raw) if name.endswith(".u32") else [line for line in raw.splitlines() if line]
    if most > 0:
        keys = keys[:most]
    if not keys:
        raise Refusal(f"{path} holds no request")
    known: dict[bytes, int] = {}
    requests = array("L", (known.setdefault(key, len(known)) for key in keys))
    for ending in (".u32", ".key", ".txt"):
        name = name[: -len(ending)] if name.endswith(ending) else name
    return Trace(name, list(known), requests)


def _unpacked(path: Path, raw: bytes) -> bytes:
    if raw[:4] != _ZSTD_MAGIC:
        raise Refusal(f"{path} ends with .zst and is no zstd file")
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise Refusal(
            f"{path} is compressed, and the package zstandard is not installed: pip install 'catzilla-cache[replay]', "
            f"or unpack it first (zstd -d {path.name})"
        ) from None
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True) as reader:
            unpacked = bytearray()
            while len(unpacked) < _MOST_BYTES:
                piece = reader.read(_PIECE_BYTES)
                if not piece:
                    return bytes(unpacked)
                unpacked += piece
    except zstandard.ZstdError as error:
        raise Refusal(f"{path} is damaged: {error}") from None
    raise Refusal(f"{path} has more than {_MOST_BYTES >> 30} GiB in it; a trace is read whole")


def _numbers(path: Path, raw: bytes) -> list[bytes]:
    if len(raw) % 4:
        raise Refusal(f"{path} has {len(raw)} bytes, which is no whole number of 32-bit integers")
    # "I" has four bytes wherever CPython runs.
    numbers = array("I", raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return [b"%d" % number for number in numbers]
