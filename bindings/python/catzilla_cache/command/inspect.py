"""``catzilla-cache inspect``: how much is in a disk folder or a Redis, and on demand which keys."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from typing import Iterable, Iterator, Optional

from catzilla_cache.command import place
from catzilla_cache.command.envelope import Entry
from catzilla_cache.command.failure import OK
from catzilla_cache.command.report import duration, print_facts, print_json, print_table, printable, size

DESCRIPTION = """show what is in a disk folder or a Redis: counts, bytes, keys

Changes nothing, and counts neither as a request nor as a use. Every entry is looked at, so a large cache takes a while: some
100,000 entries a second on disk, less in Redis, which serves others in between.
"""

#: What is listed when nobody says how much. Arbitrary: a few screens.
_LISTED = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place.add_arguments(parser)
    parser.add_argument("--prefix", metavar="TEXT", default="", help="only entries whose key begins so")
    parser.add_argument("--keys", action="store_true", help="list them, too")
    parser.add_argument("--limit", metavar="N", type=int, default=_LISTED, help=f"list so many at most, 0: all ({_LISTED})")


@dataclass
class Summary:
    """What the entries come to."""

    entries: int = 0
    #: There, and not found by a look-up any more; the library removes them in passing.
    expired: int = 0
    purged: int = 0
    #: Values that the library has not written, or another version of it.
    unreadable: int = 0
    stored_bytes: int = 0
    value_bytes: int = 0
    compressed: int = 0
    tagged: int = 0
    forever: int = 0
    oldest: Optional[float] = None
    newest: Optional[float] = None
    by_tag: dict[bytes, int] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        self.entries += 1
        self.stored_bytes += entry.stored_bytes
        self.expired += entry.dead == "expired"
        self.purged += entry.dead == "purged"
        head = entry.head
        if head is None:
            self.unreadable += 1
            return
        self.value_bytes += head.value_bytes
        self.compressed += head.compressed
        self.tagged += bool(head.tags)
        self.forever += head.expires is None
        self.oldest = head.created if self.oldest is None else min(self.oldest, head.created)
        self.newest = head.created if self.newest is None else max(self.newest, head.created)
        for tag in head.tags:
            self.by_tag[tag] = self.by_tag.get(tag, 0) + 1


def summed(entries: Iterable[Entry], summary: Summary) -> Iterator[Entry]:
    """The same entries, added up in passing."""
    for entry in entries:
        summary.add(entry)
        yield entry


def run(asked: argparse.Namespace) -> int:
    summary = Summary()
    listed: list[Entry] = []
    with place.opened(asked) as where:
        facts = where.facts()
        for entry in summed(where.entries(asked.prefix.encode()), summary):
            if asked.keys and (asked.limit <= 0 or len(listed) < asked.limit):
                listed.append(entry)
    if asked.json:
        document: dict[str, object] = {"place": where.name, "kind": where.kind, "prefix": asked.prefix, **facts}
        document.update({name: value for name, value in vars(summary).items() if name != "by_tag"})
        document["by_tag"] = {printable(tag): count for tag, count in sorted(summary.by_tag.items())}
        if asked.keys:
            document["keys"] = [_described(entry) for entry in listed]
        print_json(document)
        return OK
    of = f" with keys that begin with {asked.prefix!r}" if asked.prefix else ""
    print_facts(f"{where.kind}: {where.name}", {name: _shown(name, value) for name, value in facts.items()})
    print_facts(f"\nentries{of}: {summary.entries}", _readable(summary))
    if asked.keys:
        print()
        _print_keys(listed)
        if len(listed) < summary.entries:
            print(f"... and {summary.entries - len(listed)} more (--limit)")
    return OK


def _readable(summary: Summary) -> dict[str, object]:
    now = time.time()
    tags = sorted(summary.by_tag.items(), key=lambda item: -item[1])[:5]
    return {
        "stored": f"{size(summary.stored_bytes)} ({size(summary.value_bytes)} of values before compression)",
        "compressed": summary.compressed or None,
        "without end": summary.forever or None,
        "expired, not yet removed": summary.expired or None,
        "purged, not yet removed": summary.purged or None,
        "not readable (another program's or version's)": summary.unreadable or None,
        "with tags": (
            f"{summary.tagged}: " + ", ".join(f"{printable(tag)} {count}" for tag, count in tags) if tags else None
        ),
        "stored first": None if summary.oldest is None else f"{duration(max(now - summary.oldest, 0))} ago",
        "stored last": None if summary.newest is None else f"{duration(max(now - summary.newest, 0))} ago",
    }


def _print_keys(entries: list[Entry]) -> None:
    now = time.time()
    rows = []
    for entry in entries:
        head = entry.head
        ends = "never" if head and head.expires is None else duration(head.expires - now) if head and head.expires else "?"
        tags = ", ".join(printable(tag) for tag in head.tags) if head else ""
        rows.append((printable(entry.key), head.value_bytes if head else "?", entry.stored_bytes, entry.dead or ends, tags))
    print_table(("key", "bytes", "stored", "ends in", "tags"), rows)


def _described(entry: Entry) -> dict[str, object]:
    head = entry.head
    told: dict[str, object] = {"key": printable(entry.key), "key_hex": entry.key.hex(), "stored_bytes": entry.stored_bytes}
    told["dead"] = entry.dead
    if head is not None:
        told.update(value_bytes=head.value_bytes, compressed=head.compressed, created=head.created, expires=head.expires)
        told["tags"] = [printable(tag) for tag in head.tags]
    return told


def _shown(name: str, value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    if name.endswith("bytes") and isinstance(value, int):
        return size(value)
    return value
