"""What do values cost on their way to bytes and back? Nanoseconds, beside what else could do it.

    make python && PYTHONPATH=bindings/python:build/python-packages python3 bindings/python/benches/codec_bench.py

All take turns in every round, and the best round of each counts: what disturbs a round can only make it slower. A dash stands
for what cannot do a value, or gives back another one (JSON: bytes, sets; MessagePack: tuples, sets).
"""

from __future__ import annotations

import fractions
import json
import marshal
import pickle
import sys
import time
from typing import Any, Callable, Optional

from catzilla_cache.codec import ValueCodec, decode, encode, plain

VALUES: "dict[str, object]" = {
    "128 bytes": b"x" * 128,
    "64 KiB bytes": b"x" * 65536,
    "str of 20": "a short line of text",
    "str of 100, not ASCII": "naïve café " * 9 + "!",
    "int": 1234567,
    "int of 100 digits": 10**100,
    "float": 3.14159,
    "None": None,
    "dict of 5": {"id": 4711, "name": "Katze", "price": 9.99, "active": True, "note": None},
    "record": {
        "id": 4711,
        "user": {"name": "Katze", "mail": "katze@example.org", "roles": ["admin", "editor"]},
        "points": [(1, 2), (3, 4), (5, 6)],
        "tags": {"a", "b", "c"},
    },
    "20 rows": [
        {"id": number, "name": f"row {number}", "price": number * 1.25, "active": True} for number in range(20)
    ],
    "list of 1000 ints": list(range(1000)),
}

ROUNDS = 15
# A round of one measurement lasts about this long.
ROUND_SECONDS = 0.004


class Way:
    def __init__(self, name: str, dumps: Callable[[Any], Any], loads: Callable[[Any], Any]) -> None:
        self.name = name
        self.dumps = dumps
        self.loads = loads


def ways() -> "list[Way]":
    found = [Way("catzilla", encode, decode)]
    if encode is not plain.encode:
        found.append(Way("in Python", plain.encode, plain.decode))
    found.append(Way("pickle", lambda value: pickle.dumps(value, 5), pickle.loads))
    found.append(Way("marshal", marshal.dumps, marshal.loads))
    try:
        import msgspec.msgpack

        # Made once, as its guide advises.
        found.append(Way("msgspec", msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode))
    except ImportError:
        print("msgspec is not installed", file=sys.stderr)
    found.append(Way("json", lambda value: json.dumps(value).encode(), json.loads))
    return found


def same(value: object, back: object) -> bool:
    if type(value) is not type(back):
        return False
    if isinstance(value, dict) and isinstance(back, dict):
        return value.keys() == back.keys() and all(same(value[key], back[key]) for key in value)
    if isinstance(value, (list, tuple)) and isinstance(back, (list, tuple)):
        return len(value) == len(back) and all(map(same, value, back))
    return value == back


def does(way: Way, value: object) -> Optional[int]:
    """The size it makes of the value, or None when it cannot do it."""
    try:
        made = way.dumps(value)
        return len(made) if same(value, way.loads(made)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def nanoseconds(call: Callable[[Any], Any], argument: object, times: int) -> float:
    steps = range(times)
    start = time.perf_counter_ns()
    for _ in steps:
        call(argument)
    return (time.perf_counter_ns() - start) / times


def measure(contestants: "list[tuple[Callable[[Any], Any], object]]") -> "list[float]":
    times = [max(3, int(ROUND_SECONDS * 1e9 / nanoseconds(call, argument, 10))) for call, argument in contestants]
    best = [float("inf")] * len(contestants)
    for _ in range(ROUNDS):
        for index, (call, argument) in enumerate(contestants):
            best[index] = min(best[index], nanoseconds(call, argument, times[index]))
    return best


def main() -> None:
    there = ways()
    idle = min(nanoseconds(lambda value: value, None, 10000) for _ in range(ROUNDS))
    print(
        f"CPython {sys.version.split()[0]}; ns to write / ns to read / bytes; a call that does nothing takes {idle:.0f} ns"
    )
    print(f"{'':<22}" + "".join(f"{way.name:>24}" for way in there))
    for name, value in VALUES.items():
        able = [way for way in there if does(way, value) is not None]
        wrote = measure([(way.dumps, value) for way in able])
        read = measure([(way.loads, way.dumps(value)) for way in able])
        cells = {}
        for way, writing, reading in zip(able, wrote, read):
            cells[way.name] = f"{writing:.0f} / {reading:.0f} / {does(way, value)}"
        print(f"{name:<22}" + "".join(f"{cells.get(way.name, '-'):>24}" for way in there))
    print("\nvalues that are not plain, by codec, and what a signature adds")
    key, value = b"user:17", fractions.Fraction(1, 3)
    inside = ValueCodec()
    outside = ValueCodec(secrets=[bytes(32)], leaves_process=True)
    contestants: "list[tuple[Callable[[Any], Any], object]]" = [
        (lambda value: pickle.dumps(value, 5), value),
        (lambda value: inside.dumps(key, value), value),
        (lambda value: outside.dumps(key, value, 4e9), value),
    ]
    wrote = measure(contestants)
    read = measure(
        [
            (pickle.loads, pickle.dumps(value, 5)),
            (lambda data: inside.loads(key, data, 0.0), inside.dumps(key, value)),
            (lambda data: outside.loads(key, data, 0.0), outside.dumps(key, value)),
        ]
    )
    for name, writing, reading in zip(("pickle alone", "inside the process", "signed"), wrote, read):
        print(f"{name:<22}{f'{writing:.0f} / {reading:.0f}':>24}")


if __name__ == "__main__":
    main()
