"""The example that the documentation points to runs as it stands."""

from __future__ import annotations

from pathlib import Path

from interpreter import output_of


def test_the_quickstart_runs_and_shows_what_it_says(repository: Path) -> None:
    printed = output_of((repository / "examples" / "python" / "quickstart.py").read_text())
    assert "hello, ada" in printed
    assert "is gone after its second" in printed
    assert "2 hits, 2 misses" in printed
