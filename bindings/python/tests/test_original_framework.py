"""The published Catzilla framework, unmodified, running on this library.

Its extension module carries the original engine and calls it through the dynamic linker, so that a preloaded library
takes those calls over. Only that module is loaded, by its file; the rest of the framework is not needed. What is asserted
is what the original engine does not do; the same program without the preload is the control.

The framework is expected, unpacked, in the folder that CATZILLA_ORIGINAL_DIR names, else in build/original:

    pip install --no-deps --only-binary=:all: --target build/original catzilla==0.2.3
"""

from __future__ import annotations

import importlib.machinery
import json
import os
from pathlib import Path
from typing import Any

import pytest

from conftest import missing
from elf import SharedObject
from interpreter import output_of

DISTRIBUTION = "catzilla==0.2.3"

PROGRAM = """
import ctypes, importlib.util, json, sys, time

spec = importlib.util.spec_from_file_location("_catzilla", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
Cache = module.Cache
seen = {}

cache = Cache(100, 25)
text, blob = "grüße", bytes(range(256)) * 40
cache.set("text", text, 3600)
cache.set("blob", blob, 3600)
seen["text"] = cache.get("text").data == text and cache.get("text").hit
seen["blob"] = cache.get("blob").data == blob
seen["miss"] = (cache.get("absent").hit, cache.get("absent").data)
seen["exists"] = (cache.exists("blob"), cache.exists("absent"))

full = cache.get_stats()["memory_usage"]
seen["deleted"] = (cache.delete("blob"), cache.delete("blob"), cache.exists("blob"))
seen["freed by the delete"] = full - cache.get_stats()["memory_usage"]

begun = time.monotonic()
cache.set("short", b"value", 1)
while cache.exists("short") and time.monotonic() - begun < 60:
    time.sleep(0.01)
seen["lived for"] = time.monotonic() - begun
seen["expired"] = not cache.get("short").hit

seen["statistics"] = cache.get_stats()

for number in range(250):
    cache.set(f"key {number}", b"value", 3600)
seen["evictions"] = cache.get_stats()["evictions"]
seen["oldest, newest"] = (cache.exists("key 0"), cache.exists("key 249"))
cache.clear()
seen["cleared"] = not cache.exists("key 249")

# Only when ours has shown itself: with capacity 0 the original loops forever in its first set.
if seen["freed by the delete"] > 0:
    try:
        Cache(0, 25)
        seen["capacity 0"] = "accepted"
    except Exception as error:
        seen["capacity 0"] = type(error).__name__
    message = ctypes.CDLL(None).catzilla_last_error_message
    message.restype = ctypes.c_char_p
    seen["last error"] = message().decode()
    zero = Cache(10, 0)
    zero.set("key", b"value", 0)
    seen["bucket count 0, ttl 0"] = zero.get("key").data == b"value"

print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def extension(repository: Path) -> Path:
    """The file of the framework's extension module that fits this interpreter."""
    folder = Path(os.environ.get("CATZILLA_ORIGINAL_DIR") or repository / "build" / "original")
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / "catzilla" / f"_catzilla{suffix}"
        if path.is_file():
            return path
    missing(f"{DISTRIBUTION} for this interpreter, in {folder} (or name its folder in CATZILLA_ORIGINAL_DIR)")


def run_program(extension: Path, preload: str) -> Any:
    return json.loads(output_of(PROGRAM, str(extension), environment={"LD_PRELOAD": preload or None}))


@pytest.fixture(scope="module")
def on_ours(extension: Path, library_file: Path) -> Any:
    return run_program(extension, preload=str(library_file))


@pytest.fixture(scope="module")
def on_the_original(extension: Path) -> Any:
    return run_program(extension, preload="")


def test_every_engine_function_that_the_extension_exports_is_exported_here_too(
    extension: Path, library_file: Path
) -> None:
    # Except the three that belong to the framework's own allocator.
    theirs = {name for name in SharedObject(extension).exported_names if name.startswith("catzilla_cache_")}
    theirs -= {"catzilla_cache_alloc", "catzilla_cache_free", "catzilla_cache_realloc"}
    assert len(theirs) >= 16
    assert theirs <= SharedObject(library_file).exported_names


@pytest.mark.parametrize("engine", ["on_ours", "on_the_original"])
def test_it_stores_reads_deletes_expires_and_evicts(engine: str, request: pytest.FixtureRequest) -> None:
    seen = request.getfixturevalue(engine)
    assert seen["text"] and seen["blob"]
    assert seen["miss"] == [False, None]
    assert seen["exists"] == [True, False]
    assert seen["deleted"] == [True, False, False]
    assert seen["expired"]
    assert seen["oldest, newest"] == [False, True]
    assert seen["cleared"]


def test_on_this_library_an_entry_lives_its_whole_ttl(on_ours: Any) -> None:
    assert 1 <= on_ours["lived for"] < 60


def test_on_this_library_statistics_are_ours(on_ours: Any) -> None:
    counted = on_ours["statistics"]
    # Hits: text twice, blob once. Misses: absent twice, and the expired look-up, which the original leaves out of the total.
    assert (counted["hits"], counted["misses"], counted["total_requests"]) == (3, 3, 6)
    # One entry, "text", was there when 250 more came into room for 100.
    assert on_ours["evictions"] == 151


def test_on_this_library_memory_usage_falls_after_a_delete(on_ours: Any) -> None:
    assert on_ours["freed by the delete"] >= 256 * 40


def test_on_this_library_capacity_0_is_refused_with_a_last_error(on_ours: Any) -> None:
    assert on_ours["capacity 0"] not in (None, "accepted")
    assert "capacity" in on_ours["last error"]


def test_on_this_library_bucket_count_0_and_ttl_0_work(on_ours: Any) -> None:
    assert on_ours["bucket count 0, ttl 0"]


def test_control_without_the_preload_memory_usage_does_not_fall(on_the_original: Any) -> None:
    assert on_the_original["freed by the delete"] == 0
    assert "capacity 0" not in on_the_original
    counted = on_the_original["statistics"]
    assert counted["total_requests"] < counted["hits"] + counted["misses"]
