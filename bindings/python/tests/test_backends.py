"""The two backends are one list of functions: same names, same parameters. What the functions do is shown by all other tests, which run on both."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

import pytest

from catzilla_cache import BytesCache, SmartCache, _ctypes_backend
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


def _parameters(base: type) -> "dict[str, str]":
    """Of each method, as they are called: names, defaults, which may be named. Not their types, which a builtin does not tell."""
    told = {}
    for name, method in inspect.getmembers(base, callable):
        if not name.startswith("_"):
            parameters = inspect.signature(method).parameters.values()
            told[name] = ", ".join(str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters)
    return told


@pytest.mark.parametrize("name", ["BytesBase", "ValuesBase"])
def test_both_backends_have_bases_whose_methods_are_called_in_the_same_way(compiled: ModuleType, name: str) -> None:
    methods = _parameters(getattr(compiled, name))
    assert len(methods) >= 4
    assert methods == _parameters(getattr(_ctypes_backend, name))


@pytest.mark.parametrize("kind", [BytesCache, SmartCache])
def test_arguments_of_the_calls_that_are_builtins_may_be_named(kind: Any) -> None:
    with kind() as cache:
        cache.set(key="a", value=b"1", ttl=60, tags=["tag"])
        cache.set("b", ttl=60, value=b"2")
        assert cache.get(key="a") == cache.get("a") and cache.get_many(keys=["a", "b", "c"]) == {"a": b"1", "b": b"2"}
        assert cache.delete(key="b") is True and cache.delete(key="b") is False
        if kind is SmartCache:
            assert cache.exists(key="a") is True and cache.exists(key="b") is False
        else:
            assert cache.get(key="b", default=b"none") == cache.get("b", default=b"none") == b"none"
        for call in (cache.get, cache.delete, cache.get_many):
            for arguments, named in (((), {}), (("a",), {"key": "a", "keys": "a"}), ((), {"name": "a"}), (("a", "b", "c"), {})):
                with pytest.raises(TypeError):
                    call(*arguments, **named)
        for arguments, named in ((("a",), {}), (("a", b"1", 60, ["tag"]), {}), (("a", b"1"), {"time": 5})):
            with pytest.raises(TypeError):
                cache.set(*arguments, **named)
