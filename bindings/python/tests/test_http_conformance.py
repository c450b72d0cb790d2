"""What the documents say is shown by a test is shown by one."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_test_that_the_documents_name_is_there(repository: Path) -> None:
    tests = {
        name
        for module in (repository / "bindings/python/tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", module.read_text(), re.MULTILINE)
    }
    named = {
        (document.name, name)
        for document in (repository / "docs").glob("*.md")
        for name in re.findall(r"`(test_\w+)`", document.read_text())
    }
    assert len(named) > 50, "the table of conformance is gone"
    assert not sorted((document, name) for document, name in named if name not in tests)
