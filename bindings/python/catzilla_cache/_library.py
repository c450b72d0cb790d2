"""Where the shared library is found, for backends that load it at run time.

``CATZILLA_CACHE_LIBRARY`` names the file, and then nothing else is looked at. Otherwise, the first of these that exists:
the file inside this package (an installed wheel), the file cargo made (this package inside a checkout), and last
whatever the system's loader finds under the soname. A file that exists and cannot be loaded ends the search: to go on
to some other build of the library in silence would be worse than to stop.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Mapping, Optional

VARIABLE = "CATZILLA_CACHE_LIBRARY"
FILE_NAME = "libcatzilla_cache.so"
SONAME = "libcatzilla_cache.so.1"

_HINT = (
    "Build it with `cargo build --release --locked` in a checkout of catzilla-cache, or install it where the loader looks, "
    f"or set {VARIABLE} to the library's file."
)


def load(environment: Optional[Mapping[str, str]] = None, package: Optional[Path] = None) -> ctypes.CDLL:
    """Loads the library, or raises an ImportError that says what was tried and what can be done about it."""
    environment = os.environ if environment is None else environment
    package = Path(__file__).resolve().parent if package is None else package

    named = environment.get(VARIABLE)
    if named:
        return _load_file(Path(named), f"{VARIABLE} names {named}")

    tried = []
    for place, path in _places(package):
        if path.is_file():
            return _load_file(path, f"the library {place} is {path}")
        tried.append(f"{path} ({place}): no such file")
    try:
        return ctypes.CDLL(SONAME)
    except OSError as error:
        tried.append(f"{SONAME} (the loader's search): {error}")
    listed = "\n".join(f"  - {line}" for line in tried)
    raise ImportError(f"catzilla_cache: the shared library was not found. Tried:\n{listed}\n{_HINT}")


def _places(package: Path) -> list[tuple[str, Path]]:
    places = [("inside the package", package / SONAME)]
    # <repository>/bindings/python/catzilla_cache is this package in a checkout; anywhere else the folders above mean nothing.
    if package.parts[-3:-1] == ("bindings", "python"):
        places.append(("in the build tree", package.parents[2] / "target" / "release" / FILE_NAME))
    return places


def _load_file(path: Path, origin: str) -> ctypes.CDLL:
    try:
        # An absolute name, because the loader takes a bare one as something to search for.
        return ctypes.CDLL(str(path.absolute()))
    except OSError as error:
        raise ImportError(f"catzilla_cache: {origin}, which cannot be loaded: {error}\n{_HINT}") from error
