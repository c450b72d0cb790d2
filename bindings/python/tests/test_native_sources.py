"""The compiled module's sources, against every CPython that stands on this machine beside the one that runs: what one of them has not got is found
when it is compiled, and not when somebody imports it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

# What the package promises is 3.9; the interpreters beside this one may be older.
OLDEST = 9

SOURCES = sorted((Path(__file__).resolve().parents[1] / "native").glob("*.c"))

#: Warned of only, and then found missing at import.
REFUSED = ["-Werror=implicit-function-declaration", "-Werror=int-conversion", "-Werror=incompatible-pointer-types"]


def headers() -> "dict[str, Path]":
    """The folder of Python.h, by version. Of installations in folders by version, the others are beside this one's."""
    found = {"the one that runs": Path(sysconfig.get_path("include"))}
    for folder in Path(sys.base_prefix).parent.glob("3.*/include/python3.*"):
        version = re.fullmatch(r"python3\.([0-9]+)t?", folder.name)
        if version and int(version[1]) >= OLDEST and (folder / "Python.h").is_file():
            found[folder.name] = folder
    return found


@pytest.mark.parametrize("folder", headers().values(), ids=headers().keys())
def test_the_sources_compile_with_the_headers_of(folder: Path, repository: Path, c_compiler: str) -> None:
    complaints = []
    for source in SOURCES:
        command = [c_compiler, "-std=c11", "-fsyntax-only", *REFUSED, "-I", repository / "include", "-I", folder, source]
        complaints.append(subprocess.run(command, stderr=subprocess.PIPE, text=True).stderr)
    assert len(complaints) > 20 and "".join(complaints) == ""


def test_a_function_that_no_python_has_is_refused(tmp_path: Path, c_compiler: str) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("#include <Python.h>\nint f(PyObject *o) { return PyObject_NoSuchFunction(o); }\n")
    command = [c_compiler, "-std=c11", "-fsyntax-only", *REFUSED, "-I", sysconfig.get_path("include"), str(source)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0 and "PyObject_NoSuchFunction" in done.stderr
