"""The example that the documentation points to runs as it stands."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from interpreter import output_of


def test_the_quickstart_runs_and_shows_what_it_says(repository: Path) -> None:
    printed = output_of((repository / "examples" / "python" / "quickstart.py").read_text())
    assert "hello, ada" in printed
    assert "is gone after its second" in printed
    assert "2 hits, 2 misses" in printed


def test_the_quickstart_prints_what_stands_on_top_of_it(repository: Path) -> None:
    source = (repository / "examples" / "python" / "quickstart.py").read_text()
    told = ast.get_docstring(ast.parse(source)) or ""
    shown = textwrap.dedent(told.partition("It prints:\n\n")[2])
    assert shown.count("\n") > 3
    assert output_of(source).rstrip("\n") == shown
