"""The HTTP cache beside its peers and beside no cache: prints every table, what was promised, and where we lose.

    make bench-http [BENCH_ARGS=--quick]

or, where everything is installed (`python3 bindings/python/benches/http_contestants.py` does it) and built:

    python3 bindings/python/benches/http_bench.py [--quick] [process] [load] [expiry]

    process   how long a hit takes without a server around it
    load      requests a second and processor time behind uvicorn, under wrk
    expiry    the slowest answers while entries expire and are fetched anew

The exit status is 1 when a promise is missed.
"""

from __future__ import annotations

import os
import sys
from typing import Callable, Dict, List, Optional

import http_in_process
import http_load
from http_contestants import FASTAPI, OURS, RAW, STARLETTE, TELLING_NOTHING
from http_in_process import FORMS, USUAL, Row
from http_load import LoadRow

#: What was promised. In process, on the compiled backend, in microseconds.
MOST_MICROSECONDS = 3.0
#: How many times less processor time a hit takes than an endpoint of FastAPI, in process.
LESS_THAN_FASTAPI = 10.0
#: Behind a server, of the raw application's.
LEAST_RATE = 0.90
MOST_CPU = 1.10

#: The original project's words about its cache.
CLAIMED_FASTER = (10, 50)
CLAIMED_LESS_CPU = 0.90
CLAIMED_RATE = 100_000


def less(share: float) -> str:
    return f"{share:.1%} less" if share >= 0 else f"{-share:.0%} more"


class Report:
    def __init__(self) -> None:
        self.missed: List[str] = []
        self.lost: List[str] = []

    def promise(self, what: str, is_kept: bool, found: str) -> None:
        print(f"    {'kept' if is_kept else 'MISSED':<8}{what}: {found}")
        if not is_kept:
            self.missed.append(f"{what}: {found}")

    def aside(self, what: str, is_kept: bool, found: str) -> None:
        """The same words about what was not promised."""
        print(f"    {'kept' if is_kept else 'missed':<8}{what}: {found}")

    def claim(self, what: str, is_reached: Optional[bool], found: str) -> None:
        word = "no figures" if is_reached is None else "reached" if is_reached else "not reached"
        print(f"    {word:<14}{what}: {found}")


def in_process(report: Report, is_quick: bool) -> Dict[str, Row]:
    print("\nIn process: a hit of 1 KiB of JSON; what is not cached gives the same answer")
    rows, mixtures = http_in_process.measure(is_quick)
    print("\n".join(http_in_process.table(rows)))
    print("  hishel: its ASGI middleware, over SQLite in memory, which it asks in a thread; fastapi-cache2 and cashews: decorators of")
    print("  an endpoint, so that FastAPI's own work is in theirs")
    by_name = {row.one.name: row for row in rows}
    with_figures = {name: row for name, row in by_name.items() if row.wall}
    print("\n  promised")
    for name, row in by_name.items():
        if not row.one.is_promised:
            continue
        if not row.wall:
            report.promise(f"{name}, at most {MOST_MICROSECONDS:g} us", False, row.trouble)
            continue
        for form in FORMS:
            found = row.median(form)
            report.promise(f"{name}, {form}, at most {MOST_MICROSECONDS:g} us", found <= MOST_MICROSECONDS, f"{found:.2f} us")
    fastapi, ours = with_figures.get(FASTAPI), with_figures.get(OURS)
    if fastapi and ours:
        times = fastapi.median(USUAL, "cpu") / ours.median(USUAL, "cpu")
        report.promise(
            f"at least {LESS_THAN_FASTAPI:g} times less processor time than FastAPI", times >= LESS_THAN_FASTAPI, f"{times:.1f} times"
        )
    for row in with_figures.values():
        if row.one.is_ours:
            faster = [
                other.one.name
                for other in with_figures.values()
                if not other.one.is_ours and other.one.is_wsgi == row.one.is_wsgi and other.median(USUAL) < row.median(USUAL)
            ]
            if faster:
                report.lost.append(f"in process, {row.one.name} ({row.median(USUAL):.2f} us) is slower than: {', '.join(faster)}")
    claims(report, with_figures, mixtures)
    return with_figures


def claims(report: Report, rows: Dict[str, Row], mixtures: Dict[str, Dict[str, float]]) -> None:
    print("\n  what the original project says of its cache, in process")
    ours = rows.get(OURS)
    least, most = CLAIMED_FASTER
    for name in (FASTAPI, STARLETTE):
        other = rows.get(name)
        what = f"{least}-{most} times faster responses than {name}"
        if ours is None or other is None:
            report.claim(what, None, "")
            continue
        times = other.median(USUAL) / ours.median(USUAL)
        report.claim(what, times >= least, f"{times:.1f} times")
        saved = 1 - ours.median(USUAL, "cpu") / other.median(USUAL, "cpu")
        report.claim(f"{CLAIMED_LESS_CPU:.0%} less CPU than {name}", saved >= CLAIMED_LESS_CPU, less(saved))
    what = f"{CLAIMED_RATE:,} requests a second at 90% hits"
    if not mixtures:
        report.claim(what, None, "")
    for name, found in mixtures.items():
        report.claim(
            f"{what}, one thread, {name}",
            found["rate"] >= CLAIMED_RATE and found["hits"] >= 0.895,
            f"{found['rate']:,.0f} at {found['hits']:.1%} hits",
        )


def under_load(report: Report, is_quick: bool) -> None:
    print(f"\nBehind a server: {http_load.means()[0]}; {http_load.CONNECTIONS} connections, 8 fields of a browser in each request")
    rows, mixture = http_load.measure(is_quick)
    print("\n".join(http_load.table(rows)))
    by_name: Dict[str, LoadRow] = {row.one.name: row for row in rows}
    found = {name: row for name, row in by_name.items() if row.rates}
    print("\n  promised")
    for row in rows:
        if not row.one.is_promised:
            continue
        beside_raw(report.promise, row, found.get(RAW))
        with_fields = found.get(http_load.RAW_WITH_FIELDS)
        if with_fields is not None and row.rates and not row.trouble:
            rate, cpu = http_load.share(row.rates, with_fields.rates), http_load.share(row.cpu, with_fields.cpu)
            print(f"            of the raw app that sends the same fields: {rate:.1%} of the requests/s, {cpu - 1:+.1%} CPU a request")
    if TELLING_NOTHING in by_name:
        print(f"\n  the same of what was not promised: {TELLING_NOTHING} (state_fields=())")
        beside_raw(report.aside, by_name[TELLING_NOTHING], found.get(RAW))
    for row in found.values():
        if row.one.is_ours:
            faster = [other.one.name for other in found.values() if not other.one.is_ours and other.rate > row.rate]
            if faster:
                report.lost.append(f"under load, {row.one.name} ({row.rate:,.0f} requests/s) is slower than: {', '.join(faster)}")
    print("\n  what the original project says of its cache, with the server's own work in it")
    ours = found.get(OURS)
    least, most = CLAIMED_FASTER
    for name in (FASTAPI, STARLETTE):
        other = found.get(name)
        if ours is None or other is None:
            report.claim(f"against {name}", None, "")
            continue
        times, saved = http_load.share(ours.rates, other.rates), 1 - http_load.share(ours.cpu, other.cpu)
        report.claim(f"{least}-{most} times faster responses than {name}", times >= least, f"{times:.1f} times the requests/s")
        report.claim(f"{CLAIMED_LESS_CPU:.0%} less CPU than {name}", saved >= CLAIMED_LESS_CPU, less(saved))
    what = f"{CLAIMED_RATE:,} requests a second at 90% hits"
    if mixture:
        report.claim(f"{what}, one process", mixture["rate"] >= CLAIMED_RATE, f"{mixture['rate']:,.0f} at {mixture['hits']:.1%} hits")
    else:
        report.claim(what, None, "")


def beside_raw(say: Callable[[str, bool, str], None], row: LoadRow, raw: Optional[LoadRow]) -> None:
    """What a hit of ours may cost under load, and what it does."""
    if raw is None or not row.rates or row.trouble:
        say(f"{row.one.name}, under load", False, row.trouble or "the raw app has no figures")
        return
    rate, cpu = http_load.share(row.rates, raw.rates), http_load.share(row.cpu, raw.cpu)
    say(f"at least {LEAST_RATE:.0%} of the raw app's requests/s", rate >= LEAST_RATE, f"{rate:.1%}")
    say(f"at most {MOST_CPU - 1:.0%} more CPU a request", cpu <= MOST_CPU, f"{cpu - 1:+.1%}")


def expiring(report: Report, is_quick: bool) -> None:
    print(
        f"\nWhile entries expire: {http_load.URLS} URLs, each fresh for {http_load.FRESH_SECONDS} s, of an application that takes "
        f"{http_load.ORIGIN_SECONDS * 1000:.0f} ms; {http_load.FEW_CONNECTIONS} connections"
    )
    print("\n".join(http_load.expiry_table(http_load.measure_expiry(is_quick))))
    print("  not cached: every answer waits for the application; no stale answers: whoever comes first after a second waits, and")
    print("  others with it; with stale-while-revalidate nobody does")


def main(arguments: List[str]) -> int:
    questions = {"process": in_process, "load": under_load, "expiry": expiring}
    wanted = [argument for argument in arguments if not argument.startswith("-")] or list(questions)
    is_quick = "--quick" in arguments
    report = Report()
    busy = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"The HTTP cache: Python {sys.version.split()[0]}, {os.cpu_count()} cores, load of the machine before it began {busy}")
    _, lacking = http_load.means()
    for name, question in questions.items():
        if name in wanted:
            if name != "process" and lacking:
                print(f"\n{name}: left out, {lacking}")
                continue
            question(report, is_quick)
    for title, lines in (("Promises that are missed", report.missed), ("Where we lose", report.lost)):
        print(f"\n{title}" + ("" if lines else ": none"))
        for line in lines:
            print(f"    {line}")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
