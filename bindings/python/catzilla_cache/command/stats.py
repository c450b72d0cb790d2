"""``catzilla-cache stats``: the library and its options, or the figures of a tier as the library sees them."""

from __future__ import annotations

import argparse
import itertools
import platform
from dataclasses import asdict
from typing import Literal, Optional

import catzilla_cache
from catzilla_cache import BytesCache
from catzilla_cache._backend import backend
from catzilla_cache.command import place
from catzilla_cache.command.failure import OK, WRONG
from catzilla_cache.command.report import duration, print_facts, print_json, print_table, size

DESCRIPTION = """show the library, its options, or the figures of a disk folder or a Redis

With --disk or --redis the cache is opened and some of its entries are read, so that there is something to count: latencies,
and whether the values are whole. That counts as a use of them.
"""

#: Enough for the tail of the latencies, and done in a second.
_SAMPLE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place.add_arguments(parser, required=False)
    parser.add_argument("--options", action="store_true", help="the table of options")
    parser.add_argument(
        "--sample", metavar="N", type=int, default=_SAMPLE, help=f"read so many entries at most ({_SAMPLE})"
    )


def run(asked: argparse.Namespace) -> int:
    document: dict[str, object] = {"library": _library()}
    if asked.options:
        document["options"] = [asdict(option) for option in catzilla_cache.available_options()]
    up = True
    if place.is_given(asked):
        with place.opened(asked) as where:
            document["place"], document["kind"], document["entries"] = where.name, where.kind, where.count()
            living = (entry.key for entry in where.entries() if entry.dead is None)
            keys = list(itertools.islice(living, max(asked.sample, 0)))
        # Only now, as the file may not be open twice.
        document["health"], document["tier"], up = _read(where, keys)
    if asked.json:
        print_json(document)
    else:
        _print(document)
    return OK if up else WRONG


def _library() -> dict[str, object]:
    return {
        "version": catzilla_cache.library_version(),
        "abi": backend.abi_version(),
        "backend": backend.NAME,
        "file": backend.library_file(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _read(where: place.Place, keys: list[bytes]) -> tuple[dict[str, object], dict[str, object], bool]:
    tier: Literal["redis", "disk"] = "disk" if where.kind == "disk" else "redis"
    # In memory they would answer for the tier.
    with BytesCache({**where.options(), "memory.capacity": 1}) as cache:
        for key in keys:
            cache.get(key)
        health, counted = cache.health(tier), cache.tier_statistics(tier)
    assert health is not None and counted is not None
    return asdict(health), asdict(counted), health.is_up and not counted.unreadable


def _print(document: dict[str, object]) -> None:
    told = document["library"]
    assert isinstance(told, dict)
    print_facts("library", told)
    options = document.get("options")
    if isinstance(options, list):
        print()
        rows = [(row["name"], row["type"], row["default"], "yes" if row["live"] else "", row["range"]) for row in options]
        print_table(("option", "type", "default", "live", "allowed"), rows, left=5)
    tier, health = document.get("tier"), document.get("health")
    if isinstance(tier, dict) and isinstance(health, dict):
        up = "up" if health["is_up"] else f"down: {health['last_error']}"
        shown = {name: _shown(name, value) for name, value in tier.items() if value or name in ("hits", "misses", "errors")}
        print_facts(
            f"\n{document['kind']}: {document['place']}", {"health": up, "entries there": document["entries"], **shown}
        )


def _shown(name: str, value: object) -> Optional[object]:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("_ns"):
        return duration(value / 1e9)
    if isinstance(value, int) and name.endswith("bytes"):
        return size(value)
    return value
