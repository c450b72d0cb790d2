"""``catzilla-cache check``: whether a disk file or a Redis is as the library needs it. Changes nothing."""

from __future__ import annotations

import argparse
import os
import statistics
import stat
import time
from dataclasses import asdict, dataclass
from typing import Iterator

from catzilla_cache.command import place
from catzilla_cache.command.disk_file import DiskFile
from catzilla_cache.command.failure import OK, WRONG, Failure
from catzilla_cache.command.inspect import Summary, summed
from catzilla_cache.command.redis_keys import RedisKeys
from catzilla_cache.command.report import duration, print_json, size

DESCRIPTION = """check a disk file (layout, integrity, indexes) or a Redis (latency, settings, values)

Exit status 1 if something is wrong. A warning is what works and should be looked at; it is no failure.
"""

_PINGS = 100
#: Below the library's default redis.timeout, 250 ms, by enough that a busy moment does not exceed it.
_SLOW_SECONDS = 0.05
#: Enough to see what is broken; a file with more is broken all the same.
_COMPLAINTS = 10


@dataclass
class Finding:
    what: str
    #: "ok", "warning" or "wrong".
    state: str
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place.add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="leave out what reads everything")


def run(asked: argparse.Namespace) -> int:
    findings = []
    with place.opened(asked) as where:
        looks = _of_disk(where, asked.quick) if isinstance(where, DiskFile) else _of_redis(where, asked.quick)
        for finding in looks:
            findings.append(finding)
            if not asked.json:
                print(f"{finding.state:<7}  {finding.what}: {finding.detail}")
    failed = any(finding.state == "wrong" for finding in findings)
    if asked.json:
        print_json(
            {"place": where.name, "kind": where.kind, "ok": not failed, "findings": [asdict(each) for each in findings]}
        )
    elif failed:
        print("something is wrong")
    return WRONG if failed else OK


def _finding(what: str, good: bool, detail: str, otherwise: str = "wrong") -> Finding:
    return Finding(what, "ok" if good else otherwise, detail)


def _of_disk(where: DiskFile, quick: bool) -> Iterator[Finding]:
    found = where.folder.stat()
    mode, mine = stat.S_IMODE(found.st_mode), found.st_uid == os.geteuid()
    yield _finding("owner", mine, "this user" if mine else f"user {found.st_uid}; only that user can open the cache")
    closed = not mode & 0o077
    advice = "" if closed else "; others can look into it, the library closes it when it opens it, or refuses it"
    yield _finding("mode", closed, f"{mode:04o}{advice}", "warning")
    try:
        where.recognise()
    except Failure as failure:
        # Nothing below would mean anything.
        yield Finding("layout", "wrong", str(failure))
        return
    yield Finding("layout", "ok", f"version 1, {where.number('SELECT count(*) FROM entries')} entries")
    journal = where.text("PRAGMA journal_mode")[0]
    yield _finding(
        "journal", journal == "wal", journal if journal == "wal" else f"{journal}; the library sets such a file aside"
    )
    complaints = where.text(f"PRAGMA {'quick_check' if quick else 'integrity_check'}({_COMPLAINTS})")
    yield _finding("integrity", complaints == ["ok"], "; ".join(complaints))
    yield from _indexes_of(where)
    if not quick:
        yield _values(where)
    aside = where.set_aside()
    yield _finding("set aside", not aside, f"{', '.join(aside) or 'nothing'}", "warning")


def _indexes_of(where: DiskFile) -> Iterator[Finding]:
    # Each is one statement and so of one moment: the library may be writing.
    lost = where.number(
        "SELECT count(*) FROM entries e WHERE NOT EXISTS (SELECT 1 FROM recent i WHERE i.hash = e.hash AND i.id = e.id)"
        " AND NOT EXISTS (SELECT 1 FROM settled i WHERE i.hash = e.hash AND i.id = e.id)"
    )
    yield _finding("index", not lost, f"{lost} entries cannot be found" if lost else "every entry can be found")
    counted = "SELECT (SELECT count(*) FROM entries) - (SELECT entries FROM books)"
    off = where.number(counted)
    yield _finding("books", not off, f"the count is off by {off}" if off else "the count of entries is right")


def _values(where: place.Place) -> Finding:
    summary = Summary()
    for _ in summed(where.entries(), summary):
        pass
    bad = summary.unreadable
    dead = (
        f", of which {summary.expired} have expired and {summary.purged} were purged"
        if summary.expired + summary.purged
        else ""
    )
    detail = f"{summary.entries} entries, {size(summary.stored_bytes)}{dead}"
    if bad:
        detail += f"; {bad} are not of this library or version, and will be misses"
    return _finding("values", not bad, detail)


def _of_redis(where: RedisKeys, quick: bool) -> Iterator[Finding]:
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        where.client.ask("PING")
        times.append(time.perf_counter() - began)
    middle, worst = statistics.median(times), max(times)
    yield _finding(
        "latency", worst < _SLOW_SECONDS, f"{duration(middle)}, at worst {duration(worst)} of {_PINGS}", "warning"
    )
    told = where.info()
    version = told.get("valkey_version") or told.get("redis_version") or "unknown"
    yield Finding("version", "ok", version)
    role = told.get("role", "unknown")
    yield _finding("role", role == "master", role if role == "master" else f"{role}; nothing can be stored there")
    bounded, policy = int(told.get("maxmemory", 0)), told.get("maxmemory_policy", "unknown")
    evicts = not bounded or policy != "noeviction"
    bound = f"{size(bounded)}, {policy}" if bounded else "no bound"
    yield _finding(
        "memory", evicts, bound if evicts else f"{bound}; when it is full, nothing is stored any more", "warning"
    )
    known = where.namespace is not None
    yield _finding("namespace", known, str(where.namespace) if known else "none; no cache has used this prefix", "warning")
    yield Finding("keys", "ok", str(where.count())) if quick else _values(where)
