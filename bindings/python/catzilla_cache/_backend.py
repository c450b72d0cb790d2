"""Chooses how the package speaks C, once for the process: `backend` is a module of flat functions.

The compiled module where it was built, else ctypes. ``CATZILLA_CACHE_BACKEND`` forces one: ``cffi`` or ``ctypes``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

__all__ = ["VARIABLE", "backend"]

VARIABLE = "CATZILLA_CACHE_BACKEND"

if TYPE_CHECKING:
    # Both have the same functions; a test compares them.
    from catzilla_cache import _ctypes_backend as backend
else:

    def _refuse_subinterpreters():
        # The library calls back from threads of its own, and the backends keep what belongs to one interpreter. Before either
        # is loaded: in an interpreter with a lock of its own neither ctypes nor cffi can be, in words that help nobody.
        # The name since 3.13, and the one before.
        for name in ("_interpreters", "_xxsubinterpreters"):
            try:
                interpreters = importlib.import_module(name)
            except ImportError:
                continue
            if interpreters.get_current() != interpreters.get_main():
                raise ImportError(
                    "catzilla_cache cannot be used in a subinterpreter: use it in the main interpreter, or in a process of its own"
                )
            return

    def _choose():
        _refuse_subinterpreters()
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
