"""What the tests of the plain encoding share: both implementations, values of every kind, and equality that knows types."""

from __future__ import annotations

import struct
from typing import Callable, NamedTuple, Optional

from catzilla_cache._backend import backend
from catzilla_cache.codec import plain


class Implementation(NamedTuple):
    name: str
    encode: Callable[[object], Optional[bytes]]
    decode: Callable[[bytes], object]


IN_PYTHON = Implementation("python", plain.encode, plain.decode)
_native = getattr(backend, "native", None)
COMPILED = None if _native is None else Implementation("compiled", _native.encode, _native.decode)
IMPLEMENTATIONS = [IN_PYTHON] + ([COMPILED] if COMPILED else [])


def same(one: object, other: object) -> bool:
    """Equal, of the same types throughout, floats to the bit, dicts in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, dict) and isinstance(other, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)) and isinstance(other, (set, frozenset)):
        # 1, 1.0 and True are equal, and NaN is not even equal to itself: what they are encoded as is compared.
        return sorted(map(encoded_member, one)) == sorted(map(encoded_member, other))
    return one == other


def encoded_member(member: object) -> "list[object]":
    if isinstance(member, frozenset):
        return ["frozenset", sorted(map(encoded_member, member))]
    if isinstance(member, tuple):
        return ["tuple", [encoded_member(each) for each in member]]
    return ["scalar", plain.encode(member)]


NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("7ff8000000abcdef"))[0]

#: One of everything, and what lies at the edges of the forms.
EXAMPLES: "list[object]" = [
    None, True, False,
    0, 1, -1, 9, 10, -16, -17, 111, 112, 255, 256, -255, -256, 2**31, 2**32, 2**56 - 1, 2**56, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
    -(2**63), -(2**63) - 1, -(2**64) + 1, -(2**64), 10**40, -(10**40), 1 << 4000, -(1 << 4001), 10**5000,
    0.0, -0.0, 1.5, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"), NAN_WITH_PAYLOAD,
    b"", b"x", bytes(range(256)), b"x" * 127, b"x" * 128, b"x" * 70000,
    "", "x", "0", "-1", "é", "日本語", "🐈", "\x00", "x" * 63, "x" * 64, "é" * 31, "é" * 32, "x" * 20000, "é" * 5000,
    "\ud800", "a\udfffb", "\ud83d\ude00", "\udc80" * 5000,
    bytearray(), bytearray(b"abc"), bytearray(300),
    [], (), set(), frozenset(), {},
    [None], (None,), {None}, frozenset([None]), {None: None},
    list(range(-20, 300)), [2**63, -(2**63), -(2**63) - 1, 2**64, -(2**64) + 1, -(2**64)],
    [[], [[]], [[], []], ()], ((1, (2, (3,))),), {frozenset([frozenset([1]), (1, 2)])},
    {1: "int", "1": "str", b"1": "bytes", (1,): "tuple", frozenset([1]): "frozenset", 1.5: "float", None: "None"},
    {"nested": {"nested": {"nested": [{"deep": (1, [2, {3}])}]}}}, {"\ud800": "\udfff"},
    ["x" * 64, b"x", bytearray(b"y"), 1.5, float("nan"), -0.0, True, False, None, "\ud800"],
    {float("nan"), -0.0, (0.5,)}, {str(number): number for number in range(1000)}, set(range(500)),
]  # fmt: skip
