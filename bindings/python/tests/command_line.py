"""Runs the command line in this process, as its script would: exit status, what it printed, what it complained of."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from catzilla_cache.command.main import main


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What ``--json`` printed."""
        return json.loads(self.out)


def call(*arguments: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            # argparse, for what it refuses or explains.
            status = int(ended.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def good(*arguments: object) -> Done:
    done = call(*arguments)
    assert (done.status, done.err) == (0, ""), done
    return done


def refused(*arguments: object, status: int = 2) -> str:
    """The complaint of a call that has to end so: one line, and nothing else."""
    done = call(*arguments)
    assert (done.status, done.out) == (status, ""), done
    assert "Traceback" not in done.err
    return done.err
