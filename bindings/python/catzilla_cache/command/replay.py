"""``catzilla-cache replay``: plays recorded accesses through caches of several sizes and policies, and compares them."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, Optional

from catzilla_cache import BytesCache, available_options
from catzilla_cache.command import trace
from catzilla_cache.command.failure import OK, WRONG, Refusal
from catzilla_cache.command.report import Progress, print_json, print_table
from catzilla_cache.command.trace import Trace

DESCRIPTION = """play recorded accesses through the cache: hit ratio and speed for each size and policy

Each key of TRACE is read in order; what misses is put. Every value that comes back is checked. TRACE is NAME.u32.zst or
NAME.u32 (32-bit little-endian numbers, one a request; see data/traces), or text with a key a line, perhaps compressed
(.zst).
"""

_CAPACITIES = "1%,10%,25%"
_VALUE_BYTES = 128
_LARGEST_VALUE = 64 << 20

#: Requests between two looks at the clock and the progress bar: some milliseconds.
_STEP = 20_000


@dataclass
class Result:
    """What came of one replay."""

    capacity: int
    policy: str
    requests: int
    hits: int
    hit_ratio: float
    evictions: int
    requests_per_second: float
    wrong_values: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", type=Path, help="a file of recorded accesses")
    parser.add_argument(
        "--capacity",
        metavar="LIST",
        default=_CAPACITIES,
        help="sizes with commas between them: entries (5000) or a part of the unique keys (10%%), by default 1%%,10%%,25%%",
    )
    parser.add_argument(
        "--policy", metavar="LIST", help="policies with commas between them, or all (the library's default)"
    )
    parser.add_argument(
        "--value-size", metavar="N", type=int, default=_VALUE_BYTES, help=f"bytes of a value ({_VALUE_BYTES})"
    )
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="only the first so many requests")
    parser.add_argument(
        "--option", metavar="NAME=VALUE", action="append", default=[], help="any option of the library, as often as needed"
    )


def run(asked: argparse.Namespace) -> int:
    if not 0 <= asked.value_size <= _LARGEST_VALUE:
        raise Refusal(f"--value-size is 0 to {_LARGEST_VALUE}, not {asked.value_size}")
    options = _options(asked.option)
    policies = _policies(asked.policy)
    # Before the trace, which may take a while to read.
    parts = [_part(text) for text in asked.capacity.split(",")]
    recorded = trace.load(asked.trace, asked.limit)
    unique = len(recorded.keys)
    capacities = [max(1, round(part * unique)) if isinstance(part, float) else part for part in parts]
    total = len(capacities) * len(policies)
    results = []
    for number, (capacity, policy) in enumerate((capacity, policy) for capacity in capacities for policy in policies):
        title = f"{number + 1}/{total} {policy} {capacity}"
        with Progress(title, len(recorded), wanted=not asked.json) as progress:
            results.append(_replay(recorded, capacity, policy, asked.value_size, options, progress))
    wrong = sum(result.wrong_values for result in results)
    if asked.json:
        told = [asdict(result) for result in results]
        print_json({"trace": recorded.name, "requests": len(recorded), "unique": unique, "results": told})
    else:
        print(f"{recorded.name}: {len(recorded):,} requests, {unique:,} unique keys, values of {asked.value_size} bytes")
        print_table(("capacity", "policy", "hit ratio", "requests/s", "evictions"), _rows(results, unique), left=2)
        if len(policies) > 1:
            print("* the best policy at its capacity")
        if wrong:
            print(f"WRONG: {wrong} values were not those that had been put")
    return WRONG if wrong else OK


def _rows(results: list[Result], unique: int) -> Iterator[tuple[str, ...]]:
    best: dict[int, int] = {}
    for result in results:
        best[result.capacity] = max(best.get(result.capacity, 0), result.hits)
    compared = len(results) > len(best)
    last = None
    for result in results:
        size = f"{result.capacity:,} ({result.capacity / unique:.1%})" if result.capacity != last else ""
        last = result.capacity
        mark = " *" if compared and result.hits == best[result.capacity] else "  " if compared else ""
        yield size, result.policy, f"{result.hit_ratio:.2%}{mark}", f"{result.requests_per_second:,.0f}", f"{result.evictions:,}"


def _replay(
    recorded: Trace, capacity: int, policy: str, value_size: int, options: dict[str, str], progress: Progress
) -> Result:
    keys, requests = recorded.keys, recorded.requests
    filling = b"\xa5" * value_size
    hits = wrong = 0
    seconds = 0.0
    with BytesCache({"memory.capacity": capacity, "memory.policy": policy, **options}) as cache:
        get, put = cache.get, cache.set
        for begin in range(0, len(requests), _STEP):
            # As a program would have them: the keys are there, the value is made when it is needed.
            step = [keys[request] for request in requests[begin : begin + _STEP]]
            began = time.perf_counter()
            for key in step:
                value = get(key)
                if value is None:
                    put(key, (key + filling)[:value_size])
                else:
                    hits += 1
                    if len(value) != value_size or not (key + filling).startswith(value):
                        wrong += 1
            seconds += time.perf_counter() - began
            progress.at(begin)
        evictions = cache.statistics().memory_evictions
    count = len(requests)
    return Result(capacity, policy, count, hits, hits / count, evictions, count / max(seconds, 1e-9), wrong)


def _part(text: str) -> "int | float":
    """Entries as an int, a part of the unique keys as a float."""
    text = text.strip()
    try:
        if text.endswith("%"):
            part = float(text[:-1]) / 100
            if 0 < part <= 100:
                return part
        elif int(text) > 0:
            return int(text)
    except ValueError:
        pass
    raise Refusal(f"--capacity: {text!r} is neither a number of entries (5000) nor a part of the unique keys (10%)")


def _policies(text: Optional[str]) -> list[str]:
    (option,) = (option for option in available_options() if option.name == "memory.policy")
    known = [name.strip() for name in option.range.split(",")]
    if text is None:
        return [option.default]
    if text == "all":
        return known
    chosen = [name.strip() for name in text.split(",")]
    for name in chosen:
        if name not in known:
            raise Refusal(f"--policy: there is no policy {name!r}; there are {', '.join(known)}, and all")
    return list(dict.fromkeys(chosen))


def _options(assignments: list[str]) -> dict[str, str]:
    options = {}
    for assignment in assignments:
        name, is_there, value = assignment.partition("=")
        if not is_there or not name:
            raise Refusal(f"--option: {assignment!r} is not NAME=VALUE")
        if name in ("memory.capacity", "memory.policy"):
            raise Refusal(f"--option {name}: say --{name.partition('.')[2]}")
        options[name] = value
    return options
