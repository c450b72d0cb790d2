"""Which keys fit a pattern, for commands that look at keys without the library. What the signs mean is said in
``src/pattern.rs``, which a test holds beside this.
"""

from __future__ import annotations

import re
from typing import List, Pattern

#: A sign by itself, or a byte with the backslash that takes it as it is. At the end a backslash stands for itself.
_ELEMENT = re.compile(rb"\\(.)|(.)", re.DOTALL)


class KeyPattern:
    """Keys that look alike: ``*`` stands for any bytes, also none, ``?`` for one byte, and ``\\`` before a byte takes
    that as it is.
    """

    __slots__ = ("beginning", "_parts", "_tail_len")

    def __init__(self, text: bytes) -> None:
        parts: List[List[bytes]] = [[]]
        beginning, is_fixed = b"", True
        for element in _ELEMENT.finditer(text):
            escaped, sign = element.groups()
            if sign == b"*":
                parts.append([])
            else:
                parts[-1].append(b"." if sign == b"?" else re.escape(escaped or sign))
            is_fixed = is_fixed and sign not in (b"*", b"?")
            if is_fixed:
                beginning += escaped or sign
        #: What every key that fits begins with.
        self.beginning = beginning
        self._tail_len = len(parts[-1])
        self._parts: List[Pattern[bytes]] = [re.compile(b"".join(part), re.DOTALL) for part in parts]

    def fits(self, key: bytes) -> bool:
        """Whether a key fits."""
        if len(self._parts) == 1:
            return self._parts[0].fullmatch(key) is not None
        head, *between, tail = self._parts
        found = head.match(key)
        for part in between:
            # The first place is as good as any: a star takes whatever is left.
            found = found and part.search(key, found.end())
        end = len(key) - self._tail_len
        return found is not None and found.end() <= end and tail.match(key, end) is not None
