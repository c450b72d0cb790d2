"""What the benches of the Python package share: interleaved rounds, medians, and a table that says where we lose.

Used by the other files here. A bench is a list of questions; a question has one contestant of ours and some peers, each a
function that does the operation many times. Rounds go through all contestants in turn, so that whatever the machine does
meanwhile hits all alike, and what is compared are medians of the same run.
"""

from __future__ import annotations

import gc
import importlib
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Callable, Optional

#: `pip install --target` puts the peers here, so that nothing of theirs gets into the package's own tests.
PEERS_FOLDER = Path(__file__).resolve().parents[3] / "build" / "python-bench-packages"

ROUNDS = 15
QUICK_ROUNDS = 3


@dataclass
class Contestant:
    """`run()` does the operation `count` times and takes all the time between."""

    name: str
    run: Callable[[], object]
    count: int
    #: Done before each round, and not timed.
    prepare: Optional[Callable[[], object]] = None
    nanoseconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.nanoseconds)


@dataclass
class Question:
    """`ours` against the peers. The targets are the most that ours may take, in times of a peer's: what was promised."""

    name: str
    ours: Contestant
    peers: list[Contestant]
    targets: dict[str, float] = field(default_factory=dict)
    #: The most that ours may take above a peer, in nanoseconds.
    above: dict[str, float] = field(default_factory=dict)
    #: False: all of them are ours, and none loses.
    is_contest: bool = True


def peer(name: str) -> Optional[ModuleType]:
    """A peer's module; None when it is not installed, and the bench says so."""
    if str(PEERS_FOLDER) not in sys.path:
        sys.path.append(str(PEERS_FOLDER))
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"not installed, and left out: {name} (pip install --target {PEERS_FOLDER} {name})", file=sys.stderr)
        return None


def repeated(statement: str, count: int, **names: object) -> Callable[[], object]:
    """A function that executes the statement so many times. Written out, so that a loop's own cost is a fiftieth of it."""
    unrolled = 50
    body = "\n".join([f"        {statement}"] * unrolled)
    parameters = ", ".join(f"{name}={name}" for name in names)
    source = f"def run({parameters}):\n    for _ in range({max(1, count // unrolled)}):\n{body}\n"
    namespace: dict[str, object] = dict(names)
    exec(source, namespace)
    run = namespace["run"]
    assert callable(run)
    return run


def contestant(name: str, statement: str, count: int, **names: object) -> Contestant:
    """A contestant that executes a statement, in which `names` are local variables."""
    return Contestant(name, repeated(statement, count, **names), max(1, count // 50) * 50)


def measure(question: Question, rounds: int) -> None:
    everybody = [question.ours, *question.peers]
    was_enabled = gc.isenabled()
    try:
        for round_ in range(rounds + 1):
            # Another one goes first each time: whoever follows finds other things in the processor's caches.
            turn = round_ % len(everybody)
            for one in everybody[turn:] + everybody[:turn]:
                if one.prepare is not None:
                    one.prepare()
                gc.collect()
                gc.disable()
                begin = time.perf_counter_ns()
                one.run()
                taken = time.perf_counter_ns() - begin
                if was_enabled:
                    gc.enable()
                if round_ > 0:  # the first is for warming up
                    one.nanoseconds.append(taken / one.count)
    finally:
        if was_enabled:
            gc.enable()


def report(question: Question) -> bool:
    """Prints the question's rows. False when a target is missed."""
    ours = question.ours.median
    print(f"\n{question.name}")
    print(f"    {question.ours.name:<44}{ours:>12.1f} ns")
    kept = True
    for one in question.peers:
        if not question.is_contest:
            print(f"    {one.name:<44}{one.median:>12.1f} ns")
            continue
        notes = []
        if ours > one.median:
            notes.append("we lose")
        target, above = question.targets.get(one.name), question.above.get(one.name)
        if target is not None:
            is_kept = ours <= target * one.median
            notes.append(f"at most {target:g} was promised" + ("" if is_kept else ": MISSED"))
            kept = kept and is_kept
        if above is not None:
            is_kept = ours <= one.median + above
            notes.append(f"{ours - one.median:.0f} ns above it, at most {above:g} was promised" + ("" if is_kept else ": MISSED"))
            kept = kept and is_kept
        row = f"    {one.name:<44}{one.median:>12.1f} ns   ours takes {ours / one.median:>7.3f} of it   {'; '.join(notes)}"
        print(row.rstrip())
    return kept


def run(title: str, questions: list[Question], arguments: list[str]) -> int:
    """Measures and prints everything; `--quick` in fewer rounds. Another argument is a part of the wanted questions' names."""
    rounds = QUICK_ROUNDS if "--quick" in arguments else ROUNDS
    wanted = [argument for argument in arguments if not argument.startswith("-")]
    chosen = [question for question in questions if not wanted or any(part in question.name for part in wanted)]
    print(f"{title}: medians of {rounds} interleaved rounds, Python {sys.version.split()[0]}")
    kept = True
    for question in chosen:
        measure(question, rounds)
        kept = report(question) and kept
    return 0 if kept else 1
