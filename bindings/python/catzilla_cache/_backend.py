"""Chooses how the package speaks C, once for the process: `backend` is a module of flat functions.

The compiled module where it was built, else ctypes. ``CATZILLA_CACHE_BACKEND`` forces one: ``cffi`` or ``ctypes``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

__all__ = ["VARIABLE", "backend"]

VARIABLE = "CATZILLA_CACHE_BACKEND"

__all__ = ["backend"]

if TYPE_CHECKING:
    # Both have the same functions; a test compares them.
    from catzilla_cache import _ctypes_backend as backend
else:

    def _choose():
        forced = os.environ.get(VARIABLE)
        if forced not in (None, "", "ctypes", "cffi"):
            raise ImportError(f"catzilla_cache: {VARIABLE} is cffi or ctypes, not {forced!r}")
        if forced != "ctypes":
            try:
                return importlib.import_module("catzilla_cache._cffi_backend")
            except ModuleNotFoundError as error:
                # Not built, or cffi is not installed. Anything else that goes wrong is told.
                if error.name not in ("catzilla_cache._catzilla_cffi", "_cffi_backend"):
                    raise
                if forced == "cffi":
                    raise ImportError(
                        f"catzilla_cache: {VARIABLE}=cffi, but {error.name} is not there: install the package where a C compiler "
                        "is, or build the module in a checkout with `make python`"
                    ) from error
        return importlib.import_module("catzilla_cache._ctypes_backend")

    backend = _choose()
