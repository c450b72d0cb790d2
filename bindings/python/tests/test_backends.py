"""The two backends are one list of functions: same names, same parameters. What the functions do is shown by all other tests, which run on both."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

import pytest

from catzilla_cache import _ctypes_backend
from conftest import missing


@pytest.fixture
def compiled() -> ModuleType:
    try:
        return importlib.import_module("catzilla_cache._cffi_backend")
    except ModuleNotFoundError as error:
        missing(f"{error.name}: `make python`")


def _functions(backend: ModuleType) -> "dict[str, str]":
    """With their signatures."""
    named = {name: getattr(backend, name) for name in backend.__all__}
    return {name: str(inspect.signature(function)) for name, function in named.items() if inspect.isfunction(function)}


def test_both_backends_have_the_same_functions_with_the_same_parameters(compiled: ModuleType) -> None:
    functions = _functions(compiled)
    assert len(functions) > 20
    assert functions == _functions(_ctypes_backend)


def test_what_a_backend_does_not_name_is_its_own(compiled: ModuleType) -> None:
    for backend in (compiled, _ctypes_backend):
        own = {name for name, thing in vars(backend).items() if inspect.isfunction(thing) and thing.__module__ == backend.__name__}
        assert {name for name in own if not name.startswith("_")} <= set(backend.__all__)


def test_both_backends_have_the_classes_that_the_package_uses(compiled: ModuleType) -> None:
    for backend in (compiled, _ctypes_backend):
        for name in ("Handle", "Iterator", "Lease", "BytesBase", "ValuesBase"):
            assert inspect.isclass(getattr(backend, name)), f"{backend.NAME} has no {name}"
