"""What ends a command with a message in place of a traceback, and the exit statuses that all of them have."""

from __future__ import annotations

OK = 0
#: Something is wrong with what was looked at: a damaged file, a server that does not answer, a wrong value.
WRONG = 1
#: The request makes no sense as it was given. The same as argparse's.
USAGE = 2
#: As shells report a program that SIGINT has ended.
INTERRUPTED = 130


class Failure(Exception):
    """Ends the command: its text goes to stderr, ``status`` to the shell."""

    status = WRONG


class Refusal(Failure):
    """The request cannot be what was meant."""

    status = USAGE
