"""What ``--disk`` and ``--redis`` name: where a command looks. Shared by all commands that look somewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Union

from catzilla_cache.command.disk_file import DiskFile
from catzilla_cache.command.failure import Refusal
from catzilla_cache.command.redis_keys import DEFAULT_PREFIX, RedisKeys

Place = Union[DiskFile, RedisKeys]


def add_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    where = parser.add_argument_group("where")
    one = where.add_mutually_exclusive_group(required=required)
    one.add_argument("--disk", metavar="FOLDER", type=Path, help="the folder that a cache has as its disk.path")
    one.add_argument("--redis", metavar="URL", help="the server that a cache has as its redis.url")
    where.add_argument(
        "--key-prefix",
        metavar="TEXT",
        help=f"with --redis: what all keys begin with there, the option redis.key_prefix ({DEFAULT_PREFIX})",
    )


def is_given(asked: argparse.Namespace) -> bool:
    return asked.disk is not None or asked.redis is not None


def opened(asked: argparse.Namespace) -> Place:
    """The place that was asked for. It is there, and was not made."""
    if asked.disk is not None:
        if asked.key_prefix is not None:
            raise Refusal(
                "--key-prefix goes with --redis; a disk folder belongs to one cache (--prefix chooses among its keys)"
            )
        return DiskFile(asked.disk)
    if asked.key_prefix == "":
        raise Refusal("--key-prefix is empty; every key on the server would count as the cache's")
    return RedisKeys(asked.redis, asked.key_prefix or DEFAULT_PREFIX)
