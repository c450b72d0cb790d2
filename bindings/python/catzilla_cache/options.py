"""Options by name: the library's own table of them, and Python values turned into the text that it takes.

Called by ``BytesCache``. Which options exist, and which values they take, is the library's to say: nothing is listed here.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Mapping, Optional

from catzilla_cache._backend import backend as _backend
from catzilla_cache.errors import CacheValueError


@dataclass(frozen=True)
class OptionInfo:
    """One option: what it is called, what it takes, what it is when nobody says, and whether it can change while running."""

    name: str
    type: str
    default: str
    range: str
    help: str
    live: bool


def available_options() -> list[OptionInfo]:
    """Every option that the loaded library has."""
    return [OptionInfo(*row) for row in _backend.option_rows()]


def encode(options: Optional[Mapping[str, object]]) -> list[tuple[bytes, bytes]]:
    """Options as the C interface takes them. ``None`` as a value leaves the option at its default.

    A ``str`` goes through as it is, a path is its text, a ``bool`` becomes on or off, an ``int`` is a count or a number of bytes; for an
    option that is a duration, a number is seconds and a ``timedelta`` is itself.
    """
    if not options:
        return []
    durations = {option.name for option in available_options() if option.type == "duration"}
    return [
        (_c_text(name, name), _c_text(name, _text(name, value, name in durations)))
        for name, value in options.items()
        if value is not None
    ]


def _text(name: str, value: object, is_duration: bool) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, timedelta):
        return _milliseconds(name, value.total_seconds())
    if isinstance(value, (int, float)) and is_duration:
        return _milliseconds(name, value)
    if isinstance(value, int):
        return str(value)
    raise CacheValueError(f"option {name}: a {type(value).__name__} ({value!r}) is no option's value")


def _milliseconds(name: str, seconds: float) -> str:
    if not math.isfinite(seconds) or seconds < 0:
        raise CacheValueError(f"option {name}: {seconds!r} is not a number of seconds")
    return f"{whole_milliseconds(seconds)}ms"


def whole_milliseconds(seconds: float) -> int:
    """Seconds as milliseconds, rounded up: nothing may expire earlier than it was told to."""
    # The inner rounding takes away what binary fractions add: 1.1 s is 1100 ms, not 1101.
    return math.ceil(round(seconds * 1000, 3))


def _c_text(name: object, text: object) -> bytes:
    if not isinstance(text, str):
        raise CacheValueError(f"option {name!r}: the name of an option is a str, not a {type(text).__name__}")
    if "\0" in text:
        raise CacheValueError(f"option {name!r}: {text!r} has a NUL character in it, where C text ends")
    return text.encode("utf-8", "surrogateescape")
