"""Where the library is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from catzilla_cache import _library
from interpreter import PACKAGE_FOLDER, output_of, run

SHOW = "from catzilla_cache import _ctypes_backend; print(_ctypes_backend.library_file())"
NOWHERE: dict[str, Optional[str]] = {"CATZILLA_CACHE_BACKEND": "ctypes", _library.VARIABLE: None, "LD_LIBRARY_PATH": None, "LD_PRELOAD": None}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package, in the folders of a checkout that has not been built."""
    root = tmp_path / "checkout"
    package = root / "bindings" / "python" / "catzilla_cache"
    shutil.copytree(
        Path(PACKAGE_FOLDER) / "catzilla_cache", package, ignore=shutil.ignore_patterns("__pycache__", "*.so*")
    )
    return root


def found_from(root: Path, **variables: Optional[str]) -> Path:
    printed = output_of(SHOW, environment={**NOWHERE, **variables}, python_path=str(root / "bindings" / "python"))
    return Path(printed.strip())


def refused_from(root: Path, **variables: Optional[str]) -> str:
    done = run(SHOW, environment={**NOWHERE, **variables}, python_path=str(root / "bindings" / "python"))
    assert done.returncode != 0
    assert "ImportError" in done.stderr
    return done.stderr


def test_the_build_tree_serves_a_checkout(checkout: Path, library_file: Path) -> None:
    built = checkout / "target" / "release" / _library.FILE_NAME
    built.parent.mkdir(parents=True)
    shutil.copy(library_file, built)
    assert found_from(checkout) == built


def test_a_library_inside_the_package_comes_before_the_build_tree(checkout: Path, library_file: Path) -> None:
    inside = checkout / "bindings" / "python" / "catzilla_cache" / _library.SONAME
    built = checkout / "target" / "release" / _library.FILE_NAME
    built.parent.mkdir(parents=True)
    for path in (inside, built):
        shutil.copy(library_file, path)
    assert found_from(checkout) == inside


def test_the_variable_comes_before_everything(checkout: Path, library_file: Path, tmp_path: Path) -> None:
    inside = checkout / "bindings" / "python" / "catzilla_cache" / _library.SONAME
    named = tmp_path / "named.so"
    for path in (inside, named):
        shutil.copy(library_file, path)
    assert found_from(checkout, **{_library.VARIABLE: str(named)}) == named


def test_the_loaders_search_comes_last(checkout: Path, library_file: Path, tmp_path: Path) -> None:
    shutil.copy(library_file, tmp_path / _library.SONAME)
    assert found_from(checkout, LD_LIBRARY_PATH=str(tmp_path)) == Path(_library.SONAME)


def test_a_variable_that_names_no_library_is_an_error_and_not_a_reason_to_search(
    checkout: Path, library_file: Path, tmp_path: Path
) -> None:
    shutil.copy(library_file, checkout / "bindings" / "python" / "catzilla_cache" / _library.SONAME)
    absent = tmp_path / "absent.so"
    message = refused_from(checkout, **{_library.VARIABLE: str(absent)})
    assert f"{_library.VARIABLE} names {absent}, which cannot be loaded" in message


def test_a_file_that_is_no_library_ends_the_search(checkout: Path) -> None:
    inside = checkout / "bindings" / "python" / "catzilla_cache" / _library.SONAME
    inside.write_bytes(b"not a library")
    assert f"the library inside the package is {inside}, which cannot be loaded" in refused_from(checkout)


def test_when_it_is_nowhere_the_error_lists_what_was_tried_and_what_to_do(checkout: Path) -> None:
    message = refused_from(checkout)
    for words in (
        str(checkout / "bindings" / "python" / "catzilla_cache" / _library.SONAME),
        str(checkout / "target" / "release" / _library.FILE_NAME),
        f"{_library.SONAME} (the loader's search)",
        "cargo build --release --locked",
        _library.VARIABLE,
    ):
        assert words in message


def test_an_installed_package_does_not_look_into_folders_above_it(tmp_path: Path) -> None:
    places = _library._places(tmp_path / "lib" / "python3" / "site-packages" / "catzilla_cache")
    assert [place for place, _ in places] == ["inside the package"]


def test_a_library_that_is_another_is_refused_with_its_name(checkout: Path, tmp_path: Path, c_compiler: str) -> None:
    for body, words in (
        ("unsigned catzilla_abi_version(void) { return 4000000; }", "has ABI 4000000, this package is for ABI 1"),
        ("int something_else(void) { return 0; }", "has no function catzilla_abi_version"),
    ):
        source, library = tmp_path / "other.c", tmp_path / "other.so"
        source.write_text(body + "\n")
        subprocess.run([c_compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
        message = refused_from(checkout, **{_library.VARIABLE: str(library)})
        assert str(library) in message and words in message


def test_importing_and_opening_start_no_thread_and_closing_ends_the_one_that_a_lifetime_started() -> None:
    printed = output_of(
        """
        import math, os, time

        def threads():
            return len(os.listdir("/proc/self/task"))

        before = threads()
        import catzilla_cache
        cache = catzilla_cache.BytesCache()
        cache.set("key", b"value", ttl=math.inf)
        opened = threads()
        cache["key"] = b"value"
        stored = threads()
        cache.close()
        # The kernel may list a thread for a moment after it was waited for.
        deadline = time.monotonic() + 60
        while threads() > before and time.monotonic() < deadline:
            time.sleep(0.005)
        print(before, opened, stored, threads())
        """
    )
    assert printed.split() == ["1", "1", "2", "1"]
