"""The C interface as flat Python functions, over the compiled module. The same functions as ``_ctypes_backend``, only faster."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader
from types import ModuleType

from catzilla_cache import _catzilla_cffi


def _load_native() -> ModuleType:
    # The builtins are in the file of the cffi module, under an init function of their own.
    name = "catzilla_cache._native"
    loader = ExtensionFileLoader(name, _catzilla_cffi.__file__)
    spec = importlib.util.spec_from_file_location(name, _catzilla_cffi.__file__, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


native = _load_native()
