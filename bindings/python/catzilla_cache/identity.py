"""What an argument is, for a key: its value if that is plain, else what it says of itself, else that it is this very object.

``canonical`` makes a plain value of anything, so that equal arguments give equal bytes in every process and different ones
different bytes: types are kept apart, sets and dicts are brought into one order. Called by ``keys``.
"""

from __future__ import annotations

import enum
import itertools
import os
import sys
import weakref
from typing import Any, Callable, Optional, cast

from catzilla_cache.codec.encoding import encode
from catzilla_cache.errors import CacheKeyError, CacheValueError

#: Types whose objects stand for themselves.
SCALARS = frozenset({str, bytes, int, float, bool, type(None)})

# Immutable values of the standard library, most of which cannot be told apart in any other way: they cannot be referenced weakly.
# What they are is made of plain values and of one another. By name, so that nobody has to import them; exactly these types.
_BY_VALUE: "dict[tuple[str, str], Callable[[Any], Optional[tuple[object, ...]]]]" = {
    ("builtins", "complex"): lambda value: (value.real, value.imag),
    ("builtins", "range"): lambda value: (value.start, value.stop, value.step),
    ("builtins", "slice"): lambda value: (value.start, value.stop, value.step),
    ("datetime", "date"): lambda value: (value.isoformat(),),
    ("datetime", "time"): lambda value: (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo),
    ("datetime", "datetime"): lambda value: (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo),
    ("datetime", "timedelta"): lambda value: (value.days, value.seconds, value.microseconds),
    ("datetime", "timezone"): lambda value: (value.utcoffset(None), value.tzname(None)),
    # One that was read from a file has no name, and is itself only.
    ("zoneinfo", "ZoneInfo"): lambda value: None if value.key is None else (value.key,),
    ("decimal", "Decimal"): lambda value: (str(value),),
    ("fractions", "Fraction"): lambda value: (value.numerator, value.denominator),
    ("uuid", "UUID"): lambda value: (value.bytes,),
    ("pathlib", "PosixPath"): lambda value: (str(value),),
    ("pathlib", "PurePosixPath"): lambda value: (str(value),),
    ("pathlib", "PureWindowsPath"): lambda value: (str(value),),
}


def canonical(value: object) -> object:
    """A plain value that stands for an argument. ``CacheKeyError`` when the argument cannot be identified."""
    try:
        return _canonical(value)
    except RecursionError:
        raise CacheKeyError(
            "an argument that contains itself, or is nested too deeply, cannot be part of a key"
        ) from None


def canonical_bytes(value: object) -> bytes:
    """``canonical`` in the plain encoding."""
    return encoded(canonical(value))


def encoded(plain: object) -> bytes:
    """What ``canonical`` made, in the plain encoding."""
    try:
        made = encode(plain)
    except CacheValueError as error:
        raise CacheKeyError(f"an argument cannot be part of a key: {error}") from None
    assert made is not None
    return made


def _canonical(value: object) -> object:
    kind = type(value)
    if kind in SCALARS or kind is bytearray:
        return value
    # Everything else becomes a tuple that begins with what it is; bare tuples there are none.
    if kind is tuple:
        return ("tuple", tuple(map(_canonical, cast("tuple[object, ...]", value))))
    if kind is list:
        return ("list", tuple(map(_canonical, tuple(cast("list[object]", value)))))
    if kind is dict:
        items = list(cast("dict[object, object]", value).items())
        return ("dict", tuple(sorted((canonical_bytes(key), canonical_bytes(held)) for key, held in items)))
    if kind is set or kind is frozenset:
        return (kind.__name__, tuple(sorted(map(canonical_bytes, tuple(cast("set[object]", value))))))
    return _identified(value, kind)


def _identified(value: object, kind: "type[Any]") -> object:
    known = _tokens.get(id(value))
    if known is not None and known[0]() is value:
        # It had no other identity when it was met first.
        return ("object", _process, known[1])
    own = getattr(kind, "__cache_key__", None)
    if own is not None:
        return ("key", kind.__module__, kind.__qualname__, _canonical(own(value)))
    if value is Ellipsis or value is NotImplemented:
        return ("value", "builtins", repr(value))
    # Where the class is offered, not where this version of Python has put it.
    module = kind.__module__.partition(".")[0]
    parts = _BY_VALUE.get((module, kind.__name__))
    if parts is not None and getattr(sys.modules.get(module), kind.__name__, None) is kind:
        made = parts(value)
        if made is not None:
            return ("value", module, kind.__name__, tuple(map(_canonical, made)))
    if isinstance(value, enum.Enum):
        # Members live as long as their class, and some, like those of IntEnum, cannot be referenced weakly. A combination
        # of flags may have no name.
        return ("member", token(kind), value.name if isinstance(value.name, str) else _canonical(value.value))
    return token(value)


# Identities, by the address of what has them. A lock would be held where a collection can call `forget`; none is needed, since each
# step on the dict is atomic, and no new object can have an address before the callback for the former one has returned.
_tokens: "dict[int, tuple[weakref.ref[Any], int]]" = {}
_numbers = itertools.count(1)
_process = os.urandom(16)


def token(value: object) -> object:
    """What stands for this object alone, for as long as it lives and in this process; nothing else ever gets the same."""
    address = id(value)
    known = _tokens.get(address)
    if known is None or known[0]() is not value:
        try:
            reference = weakref.ref(value, _forgetting(address))
        except TypeError:
            kind = type(value)
            raise CacheKeyError(
                f"an argument of type {kind.__module__}.{kind.__qualname__} cannot be part of a key: it is no plain value, "
                "has no __cache_key__() and cannot be referenced weakly, so another object could be taken for it later. Give "
                "the class a method __cache_key__ that returns what identifies the object"
            ) from None
        made = (reference, next(_numbers))
        known = _tokens.setdefault(address, made)
        if known[0]() is not value:
            _tokens[address] = known = made
    return ("object", _process, known[1])


def own_token() -> object:
    """As ``token``, for what has no object: never given out again."""
    return ("object", _process, next(_numbers))


def _forgetting(address: int) -> "Callable[[weakref.ref[Any]], None]":
    def forget(reference: "weakref.ref[Any]") -> None:
        known: "Optional[tuple[weakref.ref[Any], int]]" = _tokens.get(address)
        if known is not None and known[0] is reference:
            del _tokens[address]

    return forget


def _start_anew() -> None:
    # The parent goes on giving out the same numbers.
    global _process
    _process = os.urandom(16)


os.register_at_fork(after_in_child=_start_anew)
