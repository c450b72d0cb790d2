"""How long values live that are stored without a lifetime, and until when a value can be believed: from the options of an open cache.

The library keeps the lifetimes themselves. This is for what is written into values: their signed end, and until when they are fresh.
"""

from __future__ import annotations

import re
import time
from typing import Mapping, Optional, Sequence

from catzilla_cache import _status
from catzilla_cache._open_cache import Tier
from catzilla_cache.options import available_options, encode

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+)\s*([a-z]+)")
_OFF = ("off", "false", "no", "0")


class Lifetimes:
    """Those of a cache whose values are in these tiers."""

    __slots__ = ("longest", "shortest", "_is_sliding", "_stretch")

    def __init__(self, options: Mapping[str, object], tiers: Sequence[Tier]) -> None:
        texts = {option.name: option.default for option in available_options()}
        texts.update((name.decode(), text.decode("utf-8", "replace")) for name, text in encode(options))
        seconds = [_seconds(texts[f"{tier}.ttl"]) for tier in tiers]
        #: What a value without a lifetime lives in the tier that drops it first, and in the one that drops it last.
        self.shortest = min(seconds)
        self.longest = max(seconds)
        self._is_sliding = texts["memory.sliding"].strip() not in _OFF
        self._stretch = 1 + float(texts["memory.ttl_jitter"].strip().rstrip("%")) / 100

    def end(self, lifetime_ms: int) -> Optional[float]:
        """The wall time after which a value that is stored now is not to be believed in any tier; None: there is none."""
        if lifetime_ms == _status.TTL_FOREVER or self._is_sliding:
            return None
        seconds = lifetime_ms / 1000 if lifetime_ms else self.longest
        return time.time() + seconds * self._stretch


def _seconds(text: str) -> float:
    """A duration that the library has accepted."""
    parts = _DURATION.fullmatch(text.strip().lower())
    if parts is None or parts[2] not in _SECONDS:
        raise ValueError(f"{text!r} is no duration that this package can read")
    return float(parts[1]) * _SECONDS[parts[2]]
