"""The parser of the command line, and the one place where a failure becomes a message and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Callable, Optional, Sequence

import catzilla_cache
from catzilla_cache.command import bench, check, inspect, purge, replay, stats
from catzilla_cache.command.failure import INTERRUPTED, OK, USAGE, WRONG, Failure
from catzilla_cache.errors import CacheError, CacheValueError

_COMMANDS = (replay, bench, inspect, purge, check, stats)

_EPILOG = "Exit status: 0 all is well, 1 something is wrong with what was looked at, 2 the request makes no sense."


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="catzilla-cache", description="Looks into caches of catzilla-cache, and measures them.", epilog=_EPILOG
    )
    top.add_argument("--version", action="version", version=f"catzilla-cache {catzilla_cache.library_version()}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2]
        help_line, _, rest = command.DESCRIPTION.partition("\n")
        first = help_line[0].upper() + help_line[1:]
        own = commands.add_parser(name, help=help_line, description=f"{first}. {rest}", epilog=_EPILOG)
        command.add_arguments(own)
        own.add_argument("--json", action="store_true", help="print JSON, for programs")
        own.set_defaults(run=command.run)
    return top


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command. Returns its exit status; argparse ends by itself for what it refuses."""
    asked = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        status = run(asked)
        # Now, so that a reader who is gone is noticed here and not at exit.
        sys.stdout.flush()
        return status
    except Failure as failure:
        return _complain(str(failure), failure.status)
    except CacheValueError as error:
        # An option's name or value, which only the library can judge.
        return _complain(str(error), USAGE)
    except CacheError as error:
        return _complain(str(error), WRONG)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read this (`| head`) has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _complain(message: str, status: int) -> int:
    print(f"catzilla-cache: {message}", file=sys.stderr)
    return status
