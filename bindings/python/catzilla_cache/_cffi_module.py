"""The compiled half of the package: one file with the module that cffi has made of the C header, and ``native``,
builtins written by hand.

Every call of ``lib`` gives the interpreter's lock up while it runs. The calls that have to be faster than that are
builtins of ``native``, which keep it: they ask memory alone (see ``native/engine.c``). Loaded by the other files of
this backend.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any

from catzilla_cache import _status

_catzilla_cffi: Any = importlib.import_module("catzilla_cache._catzilla_cffi")

ffi: Any = _catzilla_cffi.ffi
lib: Any = _catzilla_cffi.lib

if lib.catzilla_abi_version() != _status.ABI_VERSION:
    raise ImportError(
        f"catzilla_cache: the library has ABI {lib.catzilla_abi_version()}, this package is for ABI {_status.ABI_VERSION}: "
        "use the library and the package of one release"
    )


def _load_native() -> ModuleType:
    # Under an init function of its own, which an ordinary import of that file would not call.
    name = "catzilla_cache._native"
    loader = ExtensionFileLoader(name, _catzilla_cffi.__file__)
    spec = importlib.util.spec_from_file_location(name, _catzilla_cffi.__file__, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


native: Any = _load_native()
