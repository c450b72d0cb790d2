"""Every example that the documentation points to runs as it stands, and prints what it says at its top."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, missing
from interpreter import PYTHON_PATH, TIMEOUT_SECONDS, output_of
from redis_server import RedisServer

FOLDER = REPOSITORY / "examples" / "python"
NEEDS = {"fastapi_app": ("fastapi", "httpx"), "django_app": ("django",), "async_tasks": (), "three_tiers": ()}


def run_example(name: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    environment["PYTHONPATH"] = PYTHON_PATH
    return subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / f"{name}.py")],
        env={**environment, **variables},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def promised(name: str) -> str:
    """What the example's first comment says that it prints: the last block of it that is set in."""
    document = (FOLDER / f"{name}.py").read_text().split('"""')[1]
    blocks = re.findall(r"(?:^    .*\n)+", document, re.MULTILINE)
    return re.sub(r"^    ", "", blocks[-1], flags=re.MULTILINE)


def test_the_quickstart_runs_and_shows_what_it_says(repository: Path) -> None:
    printed = output_of((repository / "examples" / "python" / "quickstart.py").read_text())
    assert "hello, ada" in printed
    assert "is gone after its second" in printed
    assert "2 hits, 2 misses" in printed


def test_every_example_is_run_here() -> None:
    # The proxy is a server, and has tests of its own.
    assert {path.stem for path in FOLDER.glob("*.py")} == {"quickstart", "caching_proxy", *NEEDS}


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_prints_what_it_says_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    for module in NEEDS[name]:
        if importlib.util.find_spec(module) is None:
            missing(f"{module} (PyPI)")
    done = run_example(name, tmp_path, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", promised(name))
    assert list(tmp_path.iterdir()) == []


def test_three_tiers_use_a_redis_that_is_given_and_clean_it_up(tmp_path: Path, server: RedisServer) -> None:
    server.ask("SET neighbour stays")
    done = run_example("three_tiers", tmp_path, REDIS_URL=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == promised("three_tiers").replace("redis not there", "redis up").replace("from disk", "from redis")
    # The neighbour, and the number that says which entries are of before the last clearing.
    assert server.ask("DBSIZE") == ":2" and server.ask("EXISTS neighbour") == ":1"
