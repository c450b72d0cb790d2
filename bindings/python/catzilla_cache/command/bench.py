"""``catzilla-cache bench``: this package beside the caches that are installed, in one process, round by round in turn."""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from catzilla_cache._backend import backend
from catzilla_cache.command.failure import OK, Refusal
from catzilla_cache.command.peers import CONTENDERS, DISK_GET, DISK_SET, KEYS, Contender, Round
from catzilla_cache.command.report import Progress, duration, print_json, print_table

DESCRIPTION = """measure this package beside cachebox, cachetools, functools, diskcache, aiocache and cashews

Those that are installed; the others are named. Rounds of all contenders of a question take turns, so that what else the
machine does meets all of them; shown is the median round. Times are of one operation, the loop around it included (some 10
ns).
"""

_ROUNDS = 11
_OPERATIONS = 20_000
#: Disks are a hundred times slower.
_DISK_OPERATIONS = 2_000
#: `--quick`: enough to see that everything runs, not enough to believe the numbers.
_QUICK_ROUNDS = 3
_QUICK_PART = 10


@dataclass
class Measured:
    contender: Contender
    #: Seconds an operation, of each round.
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="TEXT", default="", help="only questions that have this in their name")
    parser.add_argument("--rounds", metavar="N", type=int, help=f"rounds of each contender ({_ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the operations in fewer rounds: to see that it runs"
    )


def run(asked: argparse.Namespace) -> int:
    questions = [name for name in dict.fromkeys(each.question for each in CONTENDERS) if asked.only in name]
    if not questions:
        names = ", ".join(repr(name) for name in dict.fromkeys(each.question for each in CONTENDERS))
        raise Refusal(f"--only: no question has {asked.only!r} in its name; there are {names}")
    rounds = asked.rounds if asked.rounds is not None else _QUICK_ROUNDS if asked.quick else _ROUNDS
    if rounds < 1:
        raise Refusal(f"--rounds is 1 or more, not {rounds}")
    missing = sorted({each.module for each in CONTENDERS if not _is_there(each.module)})
    results = []
    for question in questions:
        there = [each for each in CONTENDERS if each.question == question and _is_there(each.module)]
        results.extend(_measure(question, there, rounds, asked))
    if asked.json:
        print_json(_document(results, missing, rounds))
    else:
        _print(results, missing, rounds)
    return OK


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _measure(question: str, contenders: list[Contender], rounds: int, asked: argparse.Namespace) -> list[Measured]:
    operations = _DISK_OPERATIONS if question in (DISK_GET, DISK_SET) else _OPERATIONS
    if asked.quick:
        operations //= _QUICK_PART
    results = [Measured(each) for each in contenders]
    with ExitStack() as stack, Progress(question, rounds, wanted=not asked.json) as progress:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catzilla-bench-")))
        ready: list[tuple[Measured, Round]] = []
        for number, result in enumerate(results):
            place = folder / str(number)
            place.mkdir(mode=0o700)
            ready.append((result, result.contender.prepare(stack, str(place), operations)))
        for _, once in ready:
            # Full, warm, and with all that is made on first use.
            once()
        # A collection in the middle of a round would be counted for whoever has it.
        gc.collect()
        gc.disable()
        try:
            for number in range(rounds):
                for result, once in ready:
                    began = time.perf_counter()
                    once()
                    result.rounds.append((time.perf_counter() - began) / operations)
                progress.at(number + 1)
        finally:
            gc.enable()
    return results


def _fastest_peer(results: list[Measured], question: str) -> Optional[Measured]:
    peers = [each for each in results if each.contender.question == question and not each.contender.is_ours]
    return min(peers, key=lambda each: each.median, default=None)


def _times(result: Measured, results: list[Measured]) -> Optional[float]:
    """How many times as long as the fastest peer it takes; None without one."""
    peer = _fastest_peer(results, result.contender.question)
    return None if peer is None else result.median / peer.median


def _loses(result: Measured, results: list[Measured]) -> bool:
    # Each of ours by itself: that the cache of objects wins is no help to who needs the one of bytes.
    times = _times(result, results)
    return result.contender.is_ours and times is not None and times > 1


def _print(results: list[Measured], missing: list[str], rounds: int) -> None:
    print(f"{KEYS:,} keys, backend {backend.NAME}; median of {rounds} rounds")
    rows, losses, last = [], [], None
    for result in results:
        contender, times = result.contender, _times(result, results)
        lost = _loses(result, results)
        peer = _fastest_peer(results, contender.question)
        if lost and peer is not None:
            losses.append(f"{contender.question}: {contender.name} takes {times:.2f} times as long as {peer.contender.name}")
        question = contender.question if contender.question != last else ""
        last = contender.question
        shown, mark = "-" if times is None else f"{times:.2f}", "<- we lose" if lost else ""
        rows.append((question, contender.name, _version(contender), duration(result.median), shown, mark))
    print_table(("question", "cache", "version", "time", "of the fastest peer's", ""), rows, left=3)
    print()
    for loss in losses or ["we lose nowhere"]:
        print(f"we lose: {loss}" if losses else loss)
    for module in missing:
        print(f"not installed, so not measured: {module}")


def _version(contender: Contender) -> str:
    if contender.is_ours or contender.module == "functools":
        return ""
    try:
        return importlib.metadata.version(contender.module)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _document(results: list[Measured], missing: list[str], rounds: int) -> dict[str, object]:
    told = [
        {
            "question": result.contender.question,
            "cache": result.contender.name,
            "version": _version(result.contender) or None,
            "ours": result.contender.is_ours,
            "seconds": result.median,
            "times_fastest_peer": _times(result, results),
            "loses": _loses(result, results),
        }
        for result in results
    ]
    return {"backend": backend.NAME, "keys": KEYS, "rounds": rounds, "results": told, "not_installed": missing}
