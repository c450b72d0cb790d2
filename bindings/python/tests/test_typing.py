"""The package is fully typed: mypy in strict mode has nothing to say, and it would."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import catzilla_cache
from conftest import missing
from interpreter import PACKAGE_FOLDER


@pytest.fixture(scope="module", autouse=True)
def mypy_installed() -> None:
    if importlib.util.find_spec("mypy") is None:
        missing("mypy (PyPI)")


def mypy(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "mypy"), *arguments],
        env={**os.environ, "MYPYPATH": PACKAGE_FOLDER},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_package_passes_mypy_strict(tmp_path: Path) -> None:
    done = mypy(tmp_path, "--package", "catzilla_cache")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["quickstart", "async_tasks", "three_tiers"])
def test_the_examples_pass_mypy_strict(tmp_path: Path, repository: Path, name: str) -> None:
    done = mypy(tmp_path, str(repository / "examples" / "python" / f"{name}.py"))
    assert done.returncode == 0, done.stdout


def test_a_caller_gets_types_and_not_any(tmp_path: Path) -> None:
    caller = tmp_path / "caller.py"
    caller.write_text(
        "from catzilla_cache import BytesCache\n"
        "cache = BytesCache({'memory.capacity': 5})\n"
        "reveal_type(cache.get('key'))\n"
        "reveal_type(cache.get('key', 0))\n"
        "reveal_type(cache.statistics().memory_capacity)\n"
        "cache.set('key', 'text')\n"
    )
    done = mypy(tmp_path, str(caller))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert 'caller.py:6: error: Argument 2 to "set" of "BytesBase" has incompatible type "str"' in done.stdout
    for number in (3, 4, 5):
        assert any(f"caller.py:{number}: note: Revealed type" in line and '"Any"' not in line for line in lines), done.stdout
    assert done.stdout.count("error:") == 1


def test_a_caller_of_smart_caches_and_decorators_gets_types_and_not_any(tmp_path: Path) -> None:
    caller = tmp_path / "caller.py"
    caller.write_text(
        "from catzilla_cache import SmartCache, cached\n"
        "from catzilla_cache.cache import Cache, CacheLevel\n"
        "cache, plan = SmartCache(), Cache()\n"
        "@cached\n"
        "def bare(x: int) -> str: return str(x)\n"
        "@cached(60, cache=cache)\n"
        "async def called(x: int) -> str: return str(x)\n"
        "@plan.cached\n"
        "def planned(x: int) -> str: return str(x)\n"
        "@plan.cached(60, CacheLevel.C_MEMORY)\n"
        "def levelled(x: int) -> str: return str(x)\n"
        "reveal_type(cache.get('key'))\n"
        "reveal_type(bare)\n"
        "reveal_type(called)\n"
        "reveal_type(planned)\n"
        "reveal_type(levelled)\n"
        "bare('text')\n"
        "cache.set('key', 1, ttl='soon')\n"
        "cache.get(5)\n"
    )
    done = mypy(tmp_path, str(caller))
    revealed = [line.partition('Revealed type is "')[2].rstrip('"') for line in done.stdout.splitlines() if "Revealed type" in line]
    plain = "def (x: int) -> str"
    assert [each.replace("builtins.", "") for each in revealed] == [
        "tuple[Any, bool]", plain, "def (x: int) -> typing.Coroutine[Any, Any, str]", plain, plain
    ], done.stdout  # fmt: skip
    assert [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line] == [17, 18, 19], done.stdout


def test_the_marker_for_type_checkers_is_there() -> None:
    assert (Path(catzilla_cache.__file__).parent / "py.typed").is_file()
