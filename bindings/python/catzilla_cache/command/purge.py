"""``catzilla-cache purge``: removes everything, a prefix or a tag from a disk folder or a Redis, through the library."""

from __future__ import annotations

import argparse
import sys
from typing import Literal

from catzilla_cache import BytesCache
from catzilla_cache.command import place
from catzilla_cache.command.failure import OK, Failure, Refusal
from catzilla_cache.command.report import print_json

DESCRIPTION = """remove everything, a prefix or a tag from a disk folder or a Redis

Programs that have the cache open may go on; what they have in their own memory already stays there until its time is over.
Entries with a purged tag are not found from then on; their room is given back by and by.
"""

#: A Redis with some million keys takes half a minute.
_FLUSH_SECONDS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place.add_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="everything")
    what.add_argument("--prefix", metavar="TEXT", help="every entry whose key begins so")
    what.add_argument("--tag", metavar="TEXT", help="every entry that was stored with this tag")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(asked: argparse.Namespace) -> int:
    if asked.prefix == "":
        raise Refusal("--prefix is empty; if everything is to go, say --all")
    selector, words = _chosen(asked)
    # Closed before the library opens the same folder.
    with place.opened(asked) as where:
        matching = sum(
            asked.tag is None or bool(entry.head and selector in entry.head.tags)
            for entry in where.entries(selector if asked.prefix is not None else b"")
            if entry.dead is None
        )
    if not asked.yes:
        _confirm(f"Remove {words} ({matching} entries) from {where.kind} {where.name}?")
    _purge(asked, where)
    if asked.json:
        print_json({"place": where.name, "kind": where.kind, "what": words, "entries": matching})
    else:
        print(f"removed {words}: {matching} entries")
    return OK


def _chosen(asked: argparse.Namespace) -> tuple[bytes, str]:
    """What keys begin with or entries are tagged with, and what that is called."""
    if asked.all:
        return b"", "everything"
    if asked.prefix is not None:
        return asked.prefix.encode(), f"what begins with {asked.prefix!r}"
    return asked.tag.encode(), f"what has the tag {asked.tag!r}"


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Refusal(f"{question} Nobody is there to answer; say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("nothing was removed")


def _purge(asked: argparse.Namespace, where: place.Place) -> None:
    # With next to no memory: nothing is read.
    with BytesCache({**where.options(), "memory.capacity": 1}) as cache:
        if asked.all:
            cache.clear()
        elif asked.prefix is not None:
            cache.delete_prefix(asked.prefix)
        else:
            cache.delete_tag(asked.tag)
        # A tier that fails is no failure of a purge: the cache would remember it, and do it when the tier is back. This process
        # ends, so that here it is one.
        cache.flush(_FLUSH_SECONDS)
        tier: Literal["redis", "disk"] = "disk" if where.kind == "disk" else "redis"
        health = cache.health(tier)
    if health is None or not health.is_up:
        why = health.last_error if health else "it is not used"
        raise Failure(f"{where.name}: {why}; not everything was removed")
