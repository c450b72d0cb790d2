"""The tests that other projects publish, run on our adapters in a process of their own.

They are in the projects' source distributions, which tools/install-test-tools fetches.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Mapping, Sequence

from conftest import REPOSITORY, missing
from interpreter import PACKAGE_FOLDER, TIMEOUT_SECONDS

SOURCES = REPOSITORY / "build" / "python-sources"
#: Of pytest, that only these tests need: in the others they would warn and change how coroutines are run.
PLUGINS = SOURCES / "plugins"


def source_of(project: str) -> Path:
    """The unpacked source distribution, of the version that is installed for the tests."""
    found = sorted(path for path in SOURCES.glob(f"{project}-*") if path.is_dir())
    if not found:
        missing(f"the source distribution of {project} (PyPI; tools/install-test-tools)")
    return found[-1]


def run(arguments: Sequence[str], folder: Path, *python_path: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python with these arguments; its output and complaints together."""
    path = [PACKAGE_FOLDER, *map(str, python_path), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def counts(done: "subprocess.CompletedProcess[str]") -> Mapping[str, int]:
    """How many tests pytest says have passed, failed, were skipped or left out."""
    last = done.stdout.strip().splitlines()[-1]
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|skipped|deselected|errors?)", last)}
