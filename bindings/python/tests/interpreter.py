"""Runs a piece of Python in a fresh interpreter, for tests of what only a process of its own can show."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Mapping, Optional

PACKAGE_FOLDER = str(Path(__file__).resolve().parents[1])
#: This package, and whatever else the tests can import.
PYTHON_PATH = os.pathsep.join([PACKAGE_FOLDER, os.environ.get("PYTHONPATH", "")])

# Far beyond what any of these take on a slow machine; it only keeps a deadlock from lasting forever.
TIMEOUT_SECONDS = 300


def run(
    code: str,
    *arguments: str,
    environment: Optional[Mapping[str, Optional[str]]] = None,
    python_path: str = PACKAGE_FOLDER,
) -> "subprocess.CompletedProcess[str]":
    """Runs the code; a variable that is None is taken out of the environment."""
    variables = {**os.environ, "PYTHONPATH": python_path, "PYTHONFAULTHANDLER": "1"}
    for name, value in (environment or {}).items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def output_of(
    code: str, *arguments: str, environment: Optional[Mapping[str, Optional[str]]] = None, python_path: str = PACKAGE_FOLDER
) -> str:
    """What the code printed; it has to end well."""
    done = run(code, *arguments, environment=environment, python_path=python_path)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
