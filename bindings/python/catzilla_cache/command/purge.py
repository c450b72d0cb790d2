"""``catzilla-cache purge``: removes everything, a prefix, what fits a pattern, or a tag from a disk folder or a
Redis, through the library.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from typing import Callable, Literal

from catzilla_cache import BytesCache
from catzilla_cache._arguments import pattern_bytes
from catzilla_cache.command import place
from catzilla_cache.command.envelope import Entry
from catzilla_cache.command.failure import OK, Failure, Refusal
from catzilla_cache.command.key_pattern import KeyPattern
from catzilla_cache.command.report import print_json

DESCRIPTION = """remove everything, a prefix, what fits a pattern, or a tag from a disk folder or a Redis

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
    what.add_argument(
        "--pattern", metavar="TEXT", help=r"every entry whose key fits: * is anything, ? one byte, \ takes the next as it is"
    )
    what.add_argument("--tag", metavar="TEXT", help="every entry that was stored with this tag")
    parser.add_argument("--yes", action="store_true", help="do not ask")


@dataclass(frozen=True)
class _Chosen:
    """What is to go."""

    words: str
    #: What all of its keys begin with, so that no others are looked at.
    prefix: bytes
    includes: Callable[[Entry], bool]
    remove: Callable[[BytesCache], object]


def run(asked: argparse.Namespace) -> int:
    chosen = _chosen(asked)
    # Closed before the library opens the same folder.
    with place.opened(asked) as where:
        matching = sum(entry.dead is None and chosen.includes(entry) for entry in where.entries(chosen.prefix))
    if not asked.yes:
        _confirm(f"Remove {chosen.words} ({matching} entries) from {where.kind} {where.name}?")
    _purge(chosen, where)
    if asked.json:
        print_json({"place": where.name, "kind": where.kind, "what": chosen.words, "entries": matching})
    else:
        print(f"removed {chosen.words}: {matching} entries")
    return OK


def _chosen(asked: argparse.Namespace) -> _Chosen:
    for name in ("prefix", "pattern"):
        if getattr(asked, name) == "":
            raise Refusal(f"--{name} is empty; if everything is to go, say --all")
    if asked.all:
        return _Chosen("everything", b"", lambda entry: True, BytesCache.clear)
    # Arguments are bytes, which need not be text.
    if asked.prefix is not None:
        prefix = os.fsencode(asked.prefix)
        words = f"what begins with {asked.prefix!r}"
        return _Chosen(words, prefix, lambda entry: True, lambda cache: cache.delete_prefix(prefix))
    if asked.pattern is not None:
        text = pattern_bytes(os.fsencode(asked.pattern))
        pattern = KeyPattern(text)
        return _Chosen(
            f"what fits {asked.pattern!r}",
            pattern.beginning,
            lambda entry: pattern.fits(entry.key),
            lambda cache: cache.delete_pattern(text),
        )
    tag = os.fsencode(asked.tag)
    return _Chosen(
        f"what has the tag {asked.tag!r}",
        b"",
        lambda entry: entry.head is not None and tag in entry.head.tags,
        lambda cache: cache.delete_tag(tag),
    )


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Refusal(f"{question} Nobody is there to answer; say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("nothing was removed")


def _purge(chosen: _Chosen, where: place.Place) -> None:
    # With next to no memory: nothing is read.
    with BytesCache({**where.options(), "memory.capacity": 1}) as cache:
        chosen.remove(cache)
        # A tier that fails is no failure of a purge: the cache would remember it, and do it when the tier is back. This process
        # ends, so that here it is one.
        cache.flush(_FLUSH_SECONDS)
        tier: Literal["redis", "disk"] = "disk" if where.kind == "disk" else "redis"
        health = cache.health(tier)
    if health is None or not health.is_up:
        why = health.last_error if health else "it is not used"
        raise Failure(f"{where.name}: {why}; not everything was removed")
