"""What `pip install` makes of this repository: a wheel with the library inside that works on both backends, and an sdist that has all it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from conftest import missing

# A build downloads its tools at first.
PATIENCE_SECONDS = 1200

USE = """
import catzilla_cache, sys
from catzilla_cache._backend import backend
from catzilla_cache import SmartCache
assert backend.NAME == sys.argv[1], backend.NAME
package = catzilla_cache.__path__[0]
assert backend.library_file().startswith(package), backend.library_file()
with SmartCache() as cache:
    cache.set("key", {"value": [1, 2.5, None]})
    assert cache.get("key") == ({"value": [1, 2.5, None]}, True)
print(catzilla_cache.library_version())
"""


def command(*arguments: object, **environment: str) -> str:
    # Neither the checkout's package nor its library may be what is found, nor the backend be the one that is being tested.
    ours = ("PYTHONPATH", "CATZILLA_CACHE_LIBRARY", "CATZILLA_CACHE_BACKEND")
    variables = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        env={**variables, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, library_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as pip builds it; the library is the one under test, as cargo has made it already."""
    if shutil.which("cargo") is None:
        missing("cargo (a Rust toolchain)")
    folder = tmp_path_factory.mktemp("wheel")
    libraries = tmp_path_factory.mktemp("library")
    for name in ("libcatzilla_cache.so", "libcatzilla_cache.a"):
        os.symlink(library_file.resolve().with_name(name), libraries / name)
    command(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", folder,
        f"--config-settings=cmake.define.CATZILLA_CACHE_LIBRARY_DIR={libraries}", repository,
    )  # fmt: skip
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_serves_every_later_python_where_there_is_a_stable_abi(wheel: Path) -> None:
    if sys.version_info >= (3, 10) and getattr(sys, "_is_gil_enabled", bool)() is not False:
        assert "-cp310-abi3-linux_" in wheel.name


def test_the_wheel_has_the_library_the_header_the_module_and_the_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name.split("/", 1)[1] for name in names if name.startswith("catzilla_cache/")}
    assert {"libcatzilla_cache.so.1", "include/catzilla_cache.h", "py.typed", "smart_cache.py", "__init__.py"} <= inside
    assert any(name.startswith("_catzilla_cffi.") and name.endswith(".so") for name in inside)
    # Nothing of the repository but the package.
    assert {name.split("/", 1)[0] for name in names} == {"catzilla_cache", next(n for n in names if "dist-info" in n).split("/")[0]}
    assert len([name for name in inside if name.endswith(".so") or ".so." in name]) == 2


def test_the_installed_wheel_works_on_both_backends(wheel: Path, tmp_path: Path) -> None:
    command(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    command(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    # No folder of the checkout is near.
    for backend in ("cffi", "ctypes"):
        version = command(python, "-I", "-c", USE, backend, CATZILLA_CACHE_BACKEND=backend)
        assert wheel.name.split("-")[1] == version.strip()
    assert "usage" in command(tmp_path / "venv" / "bin" / "catzilla-cache", "--help")
    # cffi is a dependency that somebody may have taken out: ctypes serves then, and asking for cffi says what is missing.
    command(python, "-m", "pip", "uninstall", "--quiet", "--yes", "cffi")
    command(python, "-I", "-c", USE, "ctypes")
    with pytest.raises(AssertionError, match="CATZILLA_CACHE_BACKEND=cffi, but _cffi_backend is not there"):
        command(python, "-I", "-c", USE, "cffi", CATZILLA_CACHE_BACKEND="cffi")


def test_without_cargo_the_build_says_that_it_is_missing(repository: Path, tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        missing("cmake (Debian: cmake)")
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("cc", "c++", "make", "ld", "as", "ar", "ranlib", "uname", "sh", "rustc"):
        found = shutil.which(tool)
        if found and tool != "rustc":
            (bare / tool).symlink_to(found)
    done = subprocess.run(
        [cmake, "-S", str(repository), "-B", str(tmp_path / "build"), "-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF"],
        env={"PATH": str(bare), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode != 0
    assert "cargo is not on the PATH; install a Rust toolchain" in done.stdout


def test_the_sdist_has_what_a_build_needs_and_no_recorded_data(repository: Path, tmp_path: Path) -> None:
    builder = (
        "import os, sys; os.chdir(sys.argv[1]);"
        "from scikit_build_core.build import build_sdist; print(build_sdist(sys.argv[2]))"
    )
    command(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    command(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "scikit-build-core>=0.11,<2", "cffi")
    command(python, "-c", builder, repository, tmp_path)
    [built] = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
        assert sum(member.size for member in archive.getmembers()) < 5_000_000
    needed = {
        "Cargo.toml", "Cargo.lock", "build.rs", "cbindgen.toml", "CMakeLists.txt", "cmake/python.cmake", "pyproject.toml",
        "src/lib.rs", "src/ffi/introduction.h", "include/catzilla_cache.h", "bindings/python/README.md", "LICENSE-MIT",
        "bindings/python/native/make_cffi_source.py", "bindings/python/catzilla_cache/__init__.py",
    }  # fmt: skip
    assert needed <= names, needed - names
    assert not [name for name in names if name.startswith(("data/", "benches/", "tests/", "target/", "build/")) or name.endswith(".so")]
