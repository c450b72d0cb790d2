"""What the documents show is so: their Python runs and gives what it says, links lead somewhere, messages are those of the sources."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Iterator

import pytest

import redis_server
from conftest import REPOSITORY, missing
from document_blocks import NEEDS, Section, run, sections
from interpreter import PACKAGE_FOLDER, TIMEOUT_SECONDS, output_of

DOCUMENTS = ("docs/python.md", "docs/http-cache.md", "docs/migration.md", "docs/troubleshooting.md", "bindings/python/README.md", "README.md")

# What the documents say where a reader has a server and folders of his own.
REDIS = "redis://localhost:6379"
FOLDER = "/var/cache/my-app"

LINKING = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "bindings/python/*.md", "benches/*.md", "data/traces/*.md")
    for path in REPOSITORY.glob(pattern)
)


def _sections() -> Iterator[tuple[str, Section]]:
    for name in DOCUMENTS:
        for section in sections((REPOSITORY / name).read_text(encoding="utf-8")):
            yield name, section


SECTIONS = list(_sections())


# Where the published framework is unpacked, behind everything else.
ORIGINAL = Path(os.environ.get("CATZILLA_ORIGINAL_DIR", REPOSITORY / "build" / "original"))


def _is_there(need: str) -> bool:
    if need == "redis":
        return redis_server.is_installed()
    if need == "catzilla":
        return (ORIGINAL / need).is_dir()
    try:
        return importlib.util.find_spec(need) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("name, section", SECTIONS, ids=[f"{name}, {section.title}" for name, section in SECTIONS])
def test_the_python_of_a_document_runs_and_gives_what_it_says(name: str, section: Section, tmp_path: Path) -> None:
    without = sorted(need for need in section.needs if not _is_there(need))
    replacements = {FOLDER: str(tmp_path / "my-app")}
    if "redis" in section.needs and "redis" not in without:
        with redis_server.running(tmp_path) as server:
            _run(name, section, {**replacements, REDIS: server.url}, without, tmp_path)
    else:
        _run(name, section, replacements, without, tmp_path)
    if without:
        missing(", ".join(without))


def _run(name: str, section: Section, replacements: dict[str, str], without: list[str], folder: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CATZILLA_CACHE_SECRET")}
    search = os.pathsep.join(filter(None, [PACKAGE_FOLDER, os.environ.get("PYTHONPATH"), str(ORIGINAL)]))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("document_blocks.py")), str(REPOSITORY / name), section.title]
        + [json.dumps(replacements), json.dumps(without)],
        env={**variables, "PYTHONPATH": search, "PYTHONFAULTHANDLER": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"{name}, {section.title}:\n{done.stdout}"


_CONTROL = """
## A section

```python
number = 1 + 1  # -> {number}
print("so", number)  # -> {printed}
int("x")  # raises {error}
```
"""


def _control(number: str = "2", printed: str = "so 2", error: str = "ValueError: invalid literal...") -> int:
    text = _CONTROL.format(number=number, printed=printed, error=error)
    return run(Path("a document"), sections(text)[0], {}, set())


def test_a_document_that_says_what_is_so_passes() -> None:
    assert _control() == 3
    assert _control(error="Exception") == 3


@pytest.mark.parametrize(
    "wrong", [{"number": "3"}, {"printed": "so 3"}, {"error": "TypeError"}, {"error": "ValueError: something else"}]
)
def test_a_document_that_says_what_is_not_so_is_noticed(wrong: "dict[str, str]") -> None:
    with pytest.raises(AssertionError, match="line [567] says"):
        _control(**wrong)


def test_a_claim_that_nothing_checks_is_noticed() -> None:
    with pytest.raises(AssertionError, match="nothing that can be compared"):
        run(Path("a document"), sections("```python\n# -> 2\n```")[0], {}, set())
    with pytest.raises(AssertionError, match="did not run"):
        run(Path("a document"), sections("```python\nif False:\n    1 + 1  # -> 2\n```")[0], {}, set())


def test_the_quickstart_prints_what_stands_on_top_of_it() -> None:
    source = (REPOSITORY / "examples" / "python" / "quickstart.py").read_text(encoding="utf-8")
    told = textwrap.dedent((ast.get_docstring(ast.parse(source)) or "").partition("It prints:\n\n")[2])
    assert told.count("\n") > 3
    assert output_of(source).rstrip("\n") == told


# ---- Links ----

_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?ms)^ *```.*?^ *```\s*$", "", text))


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    anchors: set[str] = set()
    for heading in re.findall(r"(?m)^#+ +(.*)$", re.sub(r"(?ms)^ *```.*?^ *```\s*$", "", text)):
        base = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        anchor, count = base, 0
        while anchor in anchors:
            count += 1
            anchor = f"{base}-{count}"
        anchors.add(anchor)
    return anchors


@pytest.mark.parametrize("document", LINKING, ids=[str(path.relative_to(REPOSITORY)) for path in LINKING])
def test_the_links_between_documents_lead_somewhere(document: Path) -> None:
    broken = []
    for target in _LINK.findall(_without_code(document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        if not place.exists():
            broken.append(target)
        elif anchor and place.suffix == ".md" and anchor not in _anchors(place.read_text(encoding="utf-8")):
            broken.append(f"{target} (no such heading)")
    assert broken == []


# ---- Messages ----

TROUBLESHOOTING = REPOSITORY / "docs" / "troubleshooting.md"

# A fragment shorter than this could stand anywhere. Arbitrary: two words.
_LEAST_FRAGMENT = 8


def _told() -> str:
    return re.sub(r"\s+", " ", TROUBLESHOOTING.read_text(encoding="utf-8"))


def _texts(node: ast.AST) -> Iterator[list[str]]:
    """Of each text in an expression, the parts that are always the same."""
    if isinstance(node, ast.JoinedStr):
        yield [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield [node.value]
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


# What is counted and never raised to a caller; and the key itself, which is all that a KeyError says.
_UNSEEN = {"Refused", "refuse", "KeyError", "TooLate", "Abandoned", "Damaged"}
# The same, under another name; and the command line, which says what it has to say by itself.
_UNSEEN_FILES = {"_annotation.py", "command"}


def _raised() -> Iterator[tuple[str, str]]:
    """Where the package raises something with words of its own, and the longest part of them that is always the same."""
    package = Path(PACKAGE_FOLDER) / "catzilla_cache"
    for path in sorted(package.rglob("*.py")):
        if _UNSEEN_FILES.intersection(path.relative_to(package).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            kind = node.exc.func
            if (kind.id if isinstance(kind, ast.Name) else getattr(kind, "attr", "")) in _UNSEEN:
                continue
            for argument in node.exc.args[:1]:
                parts = [part for text in _texts(argument) for part in text]
                longest = max(parts, key=len, default="").strip()
                if len(longest) >= _LEAST_FRAGMENT:
                    yield f"{path.relative_to(package)}:{node.lineno}", re.sub(r"\s+", " ", longest)


def test_troubleshooting_has_every_message_that_the_package_raises() -> None:
    told = _told()
    raised = list(_raised())
    # The search itself finds what is known to be there.
    assert any("a key is str or bytes" in text for _, text in raised)
    untold = [f"{place}: {text}" for place, text in raised if text not in told]
    assert untold == [], "docs/troubleshooting.md has a table of all messages: add a row for each of these"


def _sources() -> str:
    texts = []
    for path in sorted((Path(PACKAGE_FOLDER) / "catzilla_cache").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts += [part for text in _texts(tree) for part in text]
    for folder, pattern in (("src", "*.rs"), ("bindings/python/native", "*.c"), ("cmake", "*.cmake")):
        for path in sorted((REPOSITORY / folder).rglob(pattern)):
            text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
            texts.append(re.sub(r'"\s*\n\s*"', "", text).replace('\\"', '"'))
    return "\n".join(re.sub(r"\s+", " ", text) for text in texts)


def _quoted() -> Iterator[str]:
    """The first cells of the tables of messages; not of those behind ``<!-- needs: ... -->`` whose module is not there."""
    is_there = True
    for line in TROUBLESHOOTING.read_text(encoding="utf-8").partition("\n## Every message")[2].splitlines():
        if line.startswith("#"):
            is_there = True
        elif needs := NEEDS.fullmatch(line):
            is_there = all(map(_is_there, needs[1].split()))
        cell = re.match(r"\| (?:`` ?(.+?) ?`` |`([^`]+)` )\|", line)
        if cell and is_there:
            yield cell[1] or cell[2]


def test_troubleshooting_quotes_no_message_that_is_not_in_the_sources() -> None:
    sources = _sources()
    quoted = list(_quoted())
    assert len(quoted) > 50
    strange = [
        message
        for message in quoted
        if not all(part in sources for part in re.split(r"\s*…\s*", message) if len(part) >= _LEAST_FRAGMENT)
    ]
    assert strange == []
