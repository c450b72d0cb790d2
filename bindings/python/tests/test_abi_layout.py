"""The layout of every struct that crosses the C boundary: the promise, ctypes and the C compiler agree."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import pytest

from catzilla_cache import _ctypes_structs as structs
from catzilla_cache import _status
from catzilla_cache.stats import Statistics, TierStatistics
from frozen_structs import LAYOUTS

#: C name -> class, for the structs whose layout the header alone decides.
MODERN = {
    "struct catzilla_statistics": structs.CStatistics,
    "struct catzilla_tier_statistics": structs.CTierStatistics,
    "struct catzilla_health": structs.CHealth,
    "struct catzilla_option_info": structs.COptionInfo,
    "struct catzilla_get": structs.CGet,
    "struct catzilla_put": structs.CPut,
    "struct catzilla_remove": structs.CRemove,
}


def layout(structure: Any) -> tuple[int, dict[str, int]]:
    return ctypes.sizeof(structure), {name: getattr(structure, name).offset for name, _ in structure._fields_}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_frozen_structs_have_the_promised_size_order_and_offsets(name: str) -> None:
    structure, size, offsets = LAYOUTS[name]
    assert layout(structure) == (size, offsets)
    assert list(layout(structure)[1]) == list(offsets)


def test_the_items_of_batches_have_the_promised_size_and_offsets() -> None:
    # They stand side by side in the caller's array, so they can never grow.
    assert layout(structs.CGet) == (48, dict(key=0, key_len=8, buffer=16, capacity=24, value_len=32, status=40))
    assert layout(structs.CPut) == (48, dict(key=0, key_len=8, value=16, value_len=24, ttl_ms=32, status=40))
    assert layout(structs.CRemove) == (24, dict(key=0, key_len=8, status=16))


def evaluate_in_c(repository: Path, compiler: str, folder: Path, expressions: list[str]) -> list[int]:
    """The values of integer expressions, as a C program that includes the header sees them."""
    lines = "\n".join(f'    printf("%lld\\n", (long long)({expression}));' for expression in expressions)
    source = folder / "values.c"
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "catzilla_cache.h"\nint main(void) {{\n{lines}\n    return 0;\n}}\n'
    )
    program = folder / "values"
    subprocess.run([compiler, "-std=c99", "-I", str(repository / "include"), str(source), "-o", str(program)], check=True)
    printed = subprocess.run([str(program)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [int(line) for line in printed.split()]


@pytest.mark.parametrize("name", [*LAYOUTS, *MODERN])
def test_ctypes_and_the_c_compiler_agree_on_a_struct(name: str, repository: Path, c_compiler: str, tmp_path: Path) -> None:
    structure = MODERN[name] if name in MODERN else LAYOUTS[name][0]
    size, offsets = layout(structure)
    expressions = [f"sizeof({name})", *(f"offsetof({name}, {member})" for member in offsets)]
    assert evaluate_in_c(repository, c_compiler, tmp_path, expressions) == [size, *offsets.values()]


def test_typedefs_and_tags_name_the_same_structs(repository: Path, c_compiler: str, tmp_path: Path) -> None:
    pairs = [(name, name.replace("struct ", "") + "_t") for name in (*LAYOUTS, *MODERN)]
    expressions = [f"sizeof({tag}) == sizeof({alias}) && (({tag} *)0 == ({alias} *)0)" for tag, alias in pairs]
    assert evaluate_in_c(repository, c_compiler, tmp_path, expressions) == [1] * len(pairs)


def test_the_tiers_of_the_classic_group_are_four_bytes_and_keep_their_numbers(
    repository: Path, c_compiler: str, tmp_path: Path
) -> None:
    expressions = ["sizeof(cache_tier_t)", "CACHE_TIER_MEMORY", "CACHE_TIER_REDIS", "CACHE_TIER_DISK"]
    assert evaluate_in_c(repository, c_compiler, tmp_path, expressions) == [4, 0, 1, 2]


def test_the_numbers_of_the_package_are_those_of_the_header(repository: Path, c_compiler: str, tmp_path: Path) -> None:
    names = {
        name: value
        for name, value in vars(_status).items()
        if name.isupper() and name not in ("UNLIMITED", "TTL_FOREVER", "WAIT_FOREVER", "ABI_VERSION")
    }
    assert len(names) >= 14, "the names are taken from the module, and there are at least these"
    expressions = [f"CATZILLA_{name}" for name in names]
    expressions += ["CATZILLA_CACHE_ABI", "CATZILLA_TTL_FOREVER == UINT64_MAX", "CATZILLA_WAIT_FOREVER == UINT64_MAX"]
    expected = [*names.values(), _status.ABI_VERSION, 1, 1]
    assert evaluate_in_c(repository, c_compiler, tmp_path, expressions) == expected


def test_the_snapshots_have_exactly_the_counters_of_the_c_structs() -> None:
    counters = [field[0] for field in structs.CStatistics._fields_]
    assert counters == ["struct_size", *Statistics.__dataclass_fields__]
    counters = [field[0] for field in structs.CTierStatistics._fields_]
    assert counters == ["struct_size", *TierStatistics.__dataclass_fields__]
