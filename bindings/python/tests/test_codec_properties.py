"""The plain encoding over values and bytes that nobody has thought of: both implementations against each other."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from catzilla_cache.codec import Refused
from conftest import REPOSITORY, missing
from plain_values import IMPLEMENTATIONS, same

if not TYPE_CHECKING and importlib.util.find_spec("hypothesis") is None:
    try:
        missing("hypothesis (PyPI)")
    except pytest.skip.Exception as error:
        pytest.skip(str(error), allow_module_level=True)

from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.configuration import set_hypothesis_home_dir


# Where it keeps what it finds out about characters and sources: with everything else that is built.
set_hypothesis_home_dir(REPOSITORY / "build" / "hypothesis")

# The same examples in every run, no folder of past failures, no deadline that a slow machine could miss.
repeatable = settings(derandomize=True, database=None, deadline=None, max_examples=400)

texts = some.text(some.characters(), max_size=80)
with_surrogates = some.text(some.characters(whitelist_categories=["Cs", "Lu", "So"]), max_size=10)
numbers = (
    some.integers()
    | some.integers(-(2**70), 2**70)
    | some.sampled_from([2**n + d for n in (7, 8, 56, 63, 64) for d in (-1, 0, 1)])
)
scalars = (
    some.none()
    | some.booleans()
    | numbers
    | numbers.map(lambda number: -number)
    | some.floats()
    | some.binary(max_size=80)
    | texts
    | with_surrogates
)
hashable: "some.SearchStrategy[Any]" = some.recursive(
    scalars, lambda inner: some.tuples(inner, inner) | some.frozensets(inner, max_size=4), max_leaves=6
)
values: "some.SearchStrategy[Any]" = some.recursive(
    scalars | some.binary(max_size=20).map(bytearray) | some.sets(hashable, max_size=5),
    lambda inner: (
        some.lists(inner, max_size=6)
        | some.lists(inner, max_size=4).map(tuple)
        | some.dictionaries(hashable, inner, max_size=5)
    ),
    max_leaves=25,
)


@repeatable
@given(values)
def test_any_plain_value_comes_back_and_both_make_the_same_bytes(value: Any) -> None:
    made = [implementation.encode(value) for implementation in IMPLEMENTATIONS]
    assert made[0] is not None and made.count(made[0]) == len(made)
    for writer in IMPLEMENTATIONS:
        for reader in IMPLEMENTATIONS:
            encoded = writer.encode(value)
            assert encoded is not None
            assert same(reader.decode(encoded), value)


def outcome(decode: Any, data: bytes) -> "tuple[bool, object]":
    try:
        return True, decode(data)
    except Refused:
        return False, None


def agree(data: bytes) -> None:
    first = outcome(IMPLEMENTATIONS[0].decode, data)
    for implementation in IMPLEMENTATIONS[1:]:
        other = outcome(implementation.decode, data)
        assert first[0] == other[0] and same(first[1], other[1])
    if first[0]:
        # One form for each value, but for the order of sets, which is another after reading.
        again = IMPLEMENTATIONS[0].encode(first[1])
        assert again is not None and len(again) == len(data)
        assert b"\x0d" in data or b"\x0e" in data or again == data


@repeatable
@given(some.binary(max_size=60))
def test_any_bytes_are_refused_or_read_alike(data: bytes) -> None:
    agree(data)


# Bytes that mean something are met more often than by chance.
_tags = some.sampled_from(
    [bytes([tag]) for tag in [*range(0x20), 0x2D, *range(0x30, 0x3A), 0x40, 0x41, 0x44, 0x80, 0x90, 0x91, 0xFF]]
)


@repeatable
@given(some.lists(_tags | some.binary(min_size=1, max_size=4), max_size=25).map(b"".join))
def test_bytes_that_look_like_values_are_refused_or_read_alike(data: bytes) -> None:
    agree(data)


@repeatable
@given(
    values,
    some.lists(
        some.tuples(some.integers(0, 2**16), some.integers(0, 255), some.integers(0, 2)), min_size=1, max_size=3
    ),
)
def test_damaged_values_are_refused_or_read_alike(value: Any, damages: "list[tuple[int, int, int]]") -> None:
    encoded = IMPLEMENTATIONS[0].encode(value)
    assert encoded is not None
    data = bytearray(encoded)
    for where, byte, how in damages:
        where %= len(data) or 1
        data[where : where + (how != 0)] = bytes([byte] if how < 2 else [])
    agree(bytes(data))
