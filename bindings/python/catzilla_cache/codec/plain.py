"""The plain encoding: values of Python's basic types to bytes and back, safe to read whoever wrote the bytes.

Plain are ``str``, ``bytes``, ``bytearray``, ``int``, ``float``, ``bool``, ``None``, and lists, tuples, sets, frozensets and dicts
of plain values, nested up to ``MAX_DEPTH`` deep: of exactly these types, since a subclass (``OrderedDict``, a named tuple, an
``IntEnum``) would come back as something else. A container that contains itself is not plain. Every value has one form,
but for the order of a set, and decoding refuses any other.

This is the reference, and what runs where the compiled module is not built; ``native/codec_write.c`` and
``native/codec_read.c`` do the same in C, byte for byte. The first byte says what follows:

    01 None   02 False   03 True   04 float: 8 bytes, IEEE 754, the highest first
    05 bytes   06 str in UTF-8   07 str with lone surrogates   08 bytearray
    09 int above, 0a int below what 64 bits with a sign hold: its magnitude, the highest byte first
    0b list   0c tuple   0d set   0e frozenset   0f dict: a count, then so many values; keys and values in turns
    2d, 30 to 39: an int of 64 bits is its own decimal digits, as the engine's counters read and write them

A value by itself extends to the end of the bytes. Inside a container a length stands before the bytes of 05 to 0a,
and shorter forms replace longer ones:

    10 to 17 int above 111, 18 to 1f int below -16: 1 to 8 bytes of magnitude
    40 to 7f str of 0 to 63 bytes   80 to ff int from -16 to 111

A length or count has seven bits a byte, the lowest first, the top bit set on all bytes but the last. 20 and 21
are the first bytes of values that a codec made (``values``).

What reading takes is bounded by the length of the bytes, in time and memory; but keys can be made whose hashes meet, and a dict of
those takes the square of that, as any dict of somebody else's keys does.
"""

from __future__ import annotations

import struct
from itertools import chain
from typing import Optional, cast

from catzilla_cache.errors import CacheValueError

#: How many containers can be inside one another: the interpreter's own default, beyond which nothing can be compared or printed.
MAX_DEPTH = 1000

NONE, FALSE, TRUE, FLOAT, BYTES, TEXT, TEXT_WITH_SURROGATES, BYTEARRAY = range(0x01, 0x09)
LARGE_POSITIVE, LARGE_NEGATIVE, LIST, TUPLE, SET, FROZENSET, DICT = range(0x09, 0x10)
POSITIVE, NEGATIVE, SHORT_TEXT, SMALL = 0x10, 0x18, 0x40, 0x80

_SHORT_TEXT_LEN = 63
_SMALL_LEAST, _SMALL_MOST = -16, 111
_LEAST, _MOST = -(2**63), 2**63 - 1
_DIGITS = frozenset(b"-0123456789")

_CONTAINERS: "dict[type[object], int]" = {list: LIST, tuple: TUPLE, set: SET, frozenset: FROZENSET, dict: DICT}
_float = struct.Struct(">d")


class Refused(CacheValueError):
    """Stored bytes that are not believed: damaged, of an unknown form, signed by somebody else, or past their end."""


def encode(value: object) -> Optional[bytes]:
    """The value's bytes, or None when it is not plain."""
    kind = type(value)
    if kind is bytes:
        return b"\x05" + cast(bytes, value)
    if kind is str and cast(str, value).isascii():
        return b"\x06" + cast(str, value).encode("ascii")
    out = bytearray()
    if kind is int and _LEAST <= cast(int, value) <= _MOST:
        return b"%d" % cast(int, value)
    if kind in _CONTAINERS:
        return bytes(out) if _write_container(out, value) else None
    return bytes(out) if _write_scalar(out, value, alone=True) else None


def decode(data: bytes) -> object:
    """The value; ``Refused`` for bytes that ``encode`` does not make."""
    # The two most frequent kinds, without a reader; what is wrong with a text the reader says.
    tag = data[0] if data else None
    if tag == BYTES:
        return data[1:]
    if tag == TEXT:
        try:
            return data[1:].decode("utf-8")
        except UnicodeDecodeError:
            pass
    return _Reader(data).read()


def _write_length(out: bytearray, length: int) -> None:
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)


def _write_run(out: bytearray, tag: int, run: bytes, alone: bool) -> None:
    out.append(tag)
    if not alone:
        _write_length(out, len(run))
    out += run


def _write_scalar(out: bytearray, value: object, alone: bool) -> bool:
    kind = type(value)
    if kind is str:
        text = cast(str, value)
        try:
            utf8 = text.encode("utf-8")
        except UnicodeEncodeError:
            _write_run(out, TEXT_WITH_SURROGATES, text.encode("utf-8", "surrogatepass"), alone)
        else:
            if alone or len(utf8) > _SHORT_TEXT_LEN:
                _write_run(out, TEXT, utf8, alone)
            else:
                out.append(SHORT_TEXT + len(utf8))
                out += utf8
    elif kind is int:
        _write_int(out, cast(int, value), alone)
    elif kind is bytes:
        _write_run(out, BYTES, cast(bytes, value), alone)
    elif value is None:
        out.append(NONE)
    elif kind is float:
        out.append(FLOAT)
        out += _float.pack(value)
    elif kind is bool:
        out.append(TRUE if value else FALSE)
    elif kind is bytearray:
        _write_run(out, BYTEARRAY, bytes(cast(bytearray, value)), alone)
    else:
        return False
    return True


def _write_int(out: bytearray, number: int, alone: bool) -> None:
    if not alone and _SMALL_LEAST <= number <= _SMALL_MOST:
        out.append(SMALL + number - _SMALL_LEAST)
        return
    magnitude = abs(number)
    run = magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big")
    if not alone and len(run) <= 8:
        out.append((NEGATIVE if number < 0 else POSITIVE) + len(run) - 1)
        out += run
    else:
        _write_run(out, LARGE_NEGATIVE if number < 0 else LARGE_POSITIVE, run, alone)


def _write_container(out: bytearray, value: object) -> bool:
    # A stack of our own: depth is bounded by MAX_DEPTH, not by how deep the caller already is.
    stack = [_enter(out, value)]
    open_now = [id(value)]
    while stack:
        for child in stack[-1]:
            kind = type(child)
            # The two most frequent kinds, without a call.
            if kind is str and len(cast(str, child)) <= _SHORT_TEXT_LEN and cast(str, child).isascii():
                out.append(SHORT_TEXT + len(cast(str, child)))
                out += cast(str, child).encode("ascii")
            elif kind is int and _SMALL_LEAST <= cast(int, child) <= _SMALL_MOST:
                out.append(SMALL - _SMALL_LEAST + cast(int, child))
            elif kind not in _CONTAINERS:
                if not _write_scalar(out, child, alone=False):
                    return False
            elif id(child) in open_now:
                return False
            elif len(stack) == MAX_DEPTH:
                raise CacheValueError(f"a value nested deeper than {MAX_DEPTH} containers")
            else:
                stack.append(_enter(out, child))
                open_now.append(id(child))
                break
        else:
            stack.pop()
            open_now.pop()
    return True


def _enter(out: bytearray, container: object) -> "chain[object]":
    """Writes a container's head; its children, as they are now, whatever other threads do to it meanwhile."""
    out.append(_CONTAINERS[type(container)])
    if type(container) is dict:
        items = list(container.items())
        _write_length(out, len(items))
        return chain.from_iterable(items)
    children = tuple(cast("tuple[object, ...]", container))
    _write_length(out, len(children))
    return chain(children)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        # Values that the open containers still expect. Each needs a byte, so little data cannot ask for much memory.
        self.owed = 0

    def refuse(self, reason: str) -> Refused:
        return Refused(f"a stored value is damaged at byte {self.at}: {reason}")

    def read(self) -> object:
        if not self.data:
            raise self.refuse("it is empty")
        tag = self.data[0]
        if tag in _DIGITS:
            return self.digits()
        self.at = 1
        value = self.container(tag) if LIST <= tag <= DICT else self.common(tag, alone=True)
        if self.at != len(self.data):
            raise self.refuse("something stands behind its end")
        return value

    def take(self, length: int) -> bytes:
        if length > len(self.data) - self.at:
            raise self.refuse("it ends inside a value")
        start = self.at
        self.at += length
        return self.data[start : self.at]

    def length(self) -> int:
        if self.at < len(self.data) and self.data[self.at] < 0x80:
            self.at += 1
            return self.data[self.at - 1]
        value = shift = 0
        while True:
            if self.at == len(self.data):
                raise self.refuse("it ends inside a length")
            # 9 bytes of 7 bits are more than any memory holds.
            if shift == 63:
                raise self.refuse("a length has too many bytes")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise self.refuse("a length has more bytes than it needs")
                return value
            shift += 7

    def run(self, alone: bool) -> bytes:
        return self.take(len(self.data) - self.at if alone else self.length())

    def common(self, tag: int, alone: bool) -> object:
        """What has one form by itself and inside a container, but for the length."""
        if tag == NONE:
            return None
        if tag == FALSE:
            return False
        if tag == TRUE:
            return True
        if tag == FLOAT:
            return _float.unpack(self.take(8))[0]
        if tag == BYTES:
            return self.run(alone)
        if tag == BYTEARRAY:
            return bytearray(self.run(alone))
        if tag == TEXT:
            run = self.run(alone)
            if not alone and len(run) <= _SHORT_TEXT_LEN:
                raise self.refuse("a short text has the form of a long one")
            return self.text(run, "strict")
        if tag == TEXT_WITH_SURROGATES:
            text = self.text(self.run(alone), "surrogatepass")
            if not any("\ud800" <= character <= "\udfff" for character in text):
                raise self.refuse("a text is marked as one with surrogates and has none")
            return text
        if tag in (LARGE_POSITIVE, LARGE_NEGATIVE):
            run = self.run(alone)
            number = -int.from_bytes(run, "big") if tag == LARGE_NEGATIVE else int.from_bytes(run, "big")
            if not run or run[0] == 0 or (_LEAST <= number <= _MOST if alone else len(run) <= 8):
                raise self.refuse("a number has a longer form than it needs")
            return number
        raise self.refuse("it has an unknown tag")

    def text(self, run: bytes, errors: str) -> str:
        try:
            return run.decode("utf-8", errors)
        except UnicodeDecodeError:
            raise self.refuse("a text is not UTF-8") from None

    def digits(self) -> int:
        try:
            number = int(self.data) if len(self.data) <= 20 else None
        except ValueError:
            number = None
        if number is None or not _LEAST <= number <= _MOST or b"%d" % number != self.data:
            raise self.refuse("a number by itself is not the digits of 64 bits")
        return number

    def inside(self, tag: int) -> object:
        """What is neither short nor small, nor a container."""
        if POSITIVE <= tag < NEGATIVE + 8:
            negative = tag >= NEGATIVE
            run = self.take(tag - (NEGATIVE if negative else POSITIVE) + 1)
            number = -int.from_bytes(run, "big") if negative else int.from_bytes(run, "big")
            if run[0] == 0 or _SMALL_LEAST <= number <= _SMALL_MOST:
                raise self.refuse("a number has a longer form than it needs")
            return number
        return self.common(tag, alone=False)

    def container(self, tag: int) -> object:
        data = self.data
        # Of the containers that are open, but for the innermost: tag, count, children.
        around: "list[tuple[int, int, list[object]]]" = []
        count, children = self.head(tag), cast("list[object]", [])
        kind = tag
        while True:
            # Every container that now has all its children is a child of the one around it.
            while len(children) == count:
                made = self.finish(kind, children)
                if not around:
                    return made
                kind, count, children = around.pop()
                children.append(made)
            at = self.at
            if at == len(data):
                raise self.refuse("it ends inside a container")
            tag = data[at]
            self.at = at = at + 1
            self.owed -= 1
            if tag >= SMALL:
                children.append(tag - SMALL + _SMALL_LEAST)
            elif tag >= SHORT_TEXT:
                children.append(self.text(self.take(tag - SHORT_TEXT), "strict"))
            elif LIST <= tag <= DICT:
                if len(around) + 1 == MAX_DEPTH:
                    raise self.refuse(f"it is nested deeper than the {MAX_DEPTH} containers that are allowed")
                around.append((kind, count, children))
                kind, count, children = tag, self.head(tag), []
            else:
                children.append(self.inside(tag))

    def head(self, tag: int) -> int:
        """How many values a container has; keys and values of a dict counted singly."""
        count = self.length() * (2 if tag == DICT else 1)
        self.owed += count
        if self.owed > len(self.data) - self.at:
            raise self.refuse("a container expects more values than bytes are left")
        return count

    def finish(self, tag: int, children: "list[object]") -> object:
        if tag == LIST:
            return children
        if tag == TUPLE:
            return tuple(children)
        try:
            if tag == DICT:
                pairs = dict(zip(children[::2], children[1::2]))
                made: object = pairs
                complete = 2 * len(pairs) == len(children)
            else:
                members = set(children)
                made = members if tag == SET else frozenset(members)
                complete = len(members) == len(children)
        except (TypeError, RecursionError):
            raise self.refuse("a key or a member of a set is what cannot be one") from None
        if not complete:
            raise self.refuse("a key or a member of a set comes twice")
        return made
