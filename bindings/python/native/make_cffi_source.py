"""Writes the C source of the cffi module `catzilla_cache._catzilla_cffi`, from the library's own header.

Run by CMake: python make_cffi_source.py HEADER OUTPUT. Needs cffi, and no compiler. The builtins of `_native` are compiled into
the same file; its init function is declared here so that a linker keeps it.
"""

import re
import sys
from pathlib import Path

import cffi


def declarations(header: str) -> str:
    """What cffi reads: the header without comments, without directives but numbers by name, and without C++."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r'#ifdef __cplusplus\n(extern "C" \{|\})\n#endif\n', "", text)
    kept = []
    for line in text.splitlines():
        if line.startswith("#"):
            if not re.fullmatch(r"#define \w+ -?\d+", line):
                continue
        kept.append(line)
    return "\n".join(kept)


CALLBACKS = """
extern "Python" void catzilla_python_told(void *, const catzilla_departed_t *);
"""


def main() -> None:
    header, output = map(Path, sys.argv[1:])
    builder = cffi.FFI()
    builder.cdef(declarations(header.read_text(encoding="utf-8")) + CALLBACKS)
    builder.set_source("catzilla_cache._catzilla_cffi", '#include "catzilla_cache.h"\n', py_limited_api=False)
    # Not compile(), which asks setuptools for a compiler: CMake has one.
    builder.emit_c_code(str(output))


if __name__ == "__main__":
    main()
