"""The library loads with dlopen into any running program: what its file says, and that it does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from elf import SharedObject
from interpreter import output_of


@pytest.fixture(scope="module")
def built(library_file: Path) -> SharedObject:
    return SharedObject(library_file)


def test_the_library_has_no_static_tls_flag(built: SharedObject) -> None:
    assert not built.has_static_tls_flag


def test_the_library_has_no_relocation_against_static_tls(built: SharedObject) -> None:
    assert built.relocation_types, "a shared library without any relocation was not read right"
    assert built.static_tls_relocations == []


def test_the_static_tls_checks_see_a_library_that_needs_it(c_compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "tls.c"
    source.write_text("__thread int counter = 7;\nint next(void) { return ++counter; }\n")
    library = tmp_path / "libtls.so"
    subprocess.run(
        [c_compiler, "-shared", "-fPIC", "-ftls-model=initial-exec", str(source), "-o", str(library)], check=True
    )
    needy = SharedObject(library)
    assert needy.has_static_tls_flag
    assert needy.static_tls_relocations


def test_the_soname_carries_the_abi_number(built: SharedObject) -> None:
    assert built.soname == "libcatzilla_cache.so.1"


def test_the_library_is_never_unloaded(built: SharedObject) -> None:
    assert built.has_nodelete_flag


def test_the_library_exports_the_committed_names_and_no_others(built: SharedObject, repository: Path) -> None:
    committed = (repository / "include" / "exported-symbols.txt").read_text().split()
    assert sorted(built.exported_names) == committed
    assert [name for name in committed if not re.match(r"(catzilla|multi_cache)_", name)] == []


def test_names_that_belong_to_the_host_program_are_not_exported(built: SharedObject) -> None:
    assert built.exported_names.isdisjoint({"catzilla_cache_alloc", "catzilla_cache_free", "catzilla_cache_realloc"})


def test_a_fresh_interpreter_loads_and_uses_it_through_plain_ctypes(library_file: Path) -> None:
    printed = output_of(
        """
        import ctypes, sys
        library = ctypes.CDLL(sys.argv[1])
        create = library.catzilla_cache_create
        create.restype, create.argtypes = ctypes.c_void_p, [ctypes.c_size_t, ctypes.c_size_t]
        cache = ctypes.c_void_p(create(10, 16))
        assert cache.value
        assert library.catzilla_cache_set(cache, b"key", b"value", ctypes.c_size_t(5), ctypes.c_uint32(0)) == 0
        exists = library.catzilla_cache_exists
        exists.restype = ctypes.c_bool
        assert exists(cache, b"key") and not exists(cache, b"other")
        library.catzilla_cache_destroy(cache)
        print("done")
        """,
        str(library_file),
    )
    assert printed == "done\n"


def test_it_can_be_closed_and_loaded_again_with_threads_that_used_it_still_running(library_file: Path) -> None:
    # What NODELETE is for: thread-exit handlers of the library run after dlclose.
    printed = output_of(
        """
        import _ctypes, ctypes, sys, threading
        used, end = threading.Event(), threading.Event()

        def use():
            library.catzilla_last_error_message()
            cache = ctypes.c_void_p(create(10, 16))
            library.catzilla_cache_set(cache, b"key", b"value", ctypes.c_size_t(5), ctypes.c_uint32(0))
            get(cache, b"key")
            library.catzilla_cache_destroy(cache)
            used.set()
            end.wait()

        class Result(ctypes.Structure):
            _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("found", ctypes.c_bool)]

        library = ctypes.CDLL(sys.argv[1])
        create = library.catzilla_cache_create
        create.restype, create.argtypes = ctypes.c_void_p, [ctypes.c_size_t, ctypes.c_size_t]
        get = library.catzilla_cache_get
        get.restype = Result
        thread = threading.Thread(target=use)
        thread.start()
        used.wait()
        _ctypes.dlclose(library._handle)
        end.set()
        thread.join()
        ctypes.CDLL(sys.argv[1]).catzilla_cache_destroy(None)
        print("done")
        """,
        str(library_file),
    )
    assert printed == "done\n"
