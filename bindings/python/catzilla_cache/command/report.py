"""How commands print: tables and facts for people, JSON for programs, a progress bar for who waits at a terminal."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import Iterable, Mapping, Optional, Sequence, TextIO

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")

#: A bar that moves more often costs time and shows nothing more.
_BAR_SECONDS = 0.1


def print_json(document: object) -> None:
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    print()


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> None:
    """Columns as wide as their widest cell; the first ``left`` of them, and what is not a number, begin at the left."""
    lines = [list(heads)] + [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths))
        ]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """A title, and names with what they are below it. What is None is left out."""
    print(title)
    shown = {name: value for name, value in facts.items() if value is not None}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        print(f"  {name.ljust(width)}  {value}")


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes everything")


def duration(seconds: float) -> str:
    """Seconds as people read them, with one unit."""
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if abs(seconds) < limit:
            return f"{seconds * factor:.3g} {unit}"
    for limit, factor, unit in ((7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if abs(seconds) < limit:
            return f"{seconds / factor:.1f} {unit}"
    return f"{seconds / 86400:.1f} d"


def printable(key: bytes) -> str:
    """A key on one line: its text, with what no terminal should get written as escapes."""
    text = key.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class Progress:
    """A bar on stderr, if that is a terminal; nothing at all if it is not. Erased when its block ends."""

    def __init__(self, title: str, total: int, stream: Optional[TextIO] = None, wanted: bool = True) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._title, self._total = title, max(total, 1)
        self._shown = wanted and self._stream.isatty()
        self._began = time.monotonic()
        self._last = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def at(self, done: int) -> None:
        """So many of the total are done."""
        now = time.monotonic()
        if not self._shown or now - self._last < _BAR_SECONDS:
            return
        self._last = now
        part = min(done / self._total, 1.0)
        left = f", {duration((now - self._began) * (1 - part) / part)} left" if part > 0.02 else ""
        room = shutil.get_terminal_size().columns - len(self._title) - len(left) - 12
        bar = "#" * int(part * room) + "." * (room - int(part * room)) if room > 5 else ""
        self._stream.write(f"\r\x1b[K{self._title} [{bar}] {part:4.0%}{left}")
        self._stream.flush()
