"""Reads what the tests need out of an ELF shared object: dynamic flags, soname, exported names, relocation types.

Of its own, so that the checks on the built library run wherever Python does, and never pass because a tool was missing.
64-bit little-endian files only, which is what the library is built as.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Iterator

DF_STATIC_TLS = 0x10
DF_1_NODELETE = 0x8

# Relocations that need a place in the static TLS block, by machine: R_X86_64_TPOFF64 and _TPOFF32; R_AARCH64_TLS_TPREL64.
_STATIC_TLS_RELOCATIONS = {62: {18, 23}, 183: {1030}}

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 2, 5, 6, 7, 8
_DT_SONAME, _DT_JMPREL, _DT_FLAGS, _DT_FLAGS_1 = 14, 23, 30, 0x6FFFFFFB
_SHT_DYNSYM = 11


class SharedObject:
    """One file, read whole."""

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        if self._bytes[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        (self.machine,) = struct.unpack_from("<H", self._bytes, 18)
        self._program_headers = list(self._read_program_headers())
        self._dynamic = dict(self._read_dynamic())

    @property
    def soname(self) -> str:
        return self._string(self._dynamic[_DT_SONAME])

    @property
    def has_static_tls_flag(self) -> bool:
        return bool(self._dynamic.get(_DT_FLAGS, 0) & DF_STATIC_TLS)

    @property
    def has_nodelete_flag(self) -> bool:
        return bool(self._dynamic.get(_DT_FLAGS_1, 0) & DF_1_NODELETE)

    @property
    def relocation_types(self) -> list[int]:
        tables = (
            (self._dynamic.get(_DT_RELA), self._dynamic.get(_DT_RELASZ, 0)),
            (self._dynamic.get(_DT_JMPREL), self._dynamic.get(_DT_PLTRELSZ, 0)),
        )
        types = []
        for address, size in tables:
            if address is None:
                continue
            start = self._offset(address)
            for position in range(start, start + size, 24):
                _, info, _ = struct.unpack_from("<QQq", self._bytes, position)
                types.append(info & 0xFFFFFFFF)
        return types

    @property
    def static_tls_relocations(self) -> list[int]:
        wanted = _STATIC_TLS_RELOCATIONS[self.machine]
        return [kind for kind in self.relocation_types if kind in wanted]

    @property
    def exported_names(self) -> set[str]:
        """Names in the dynamic symbol table that are defined here and visible to others."""
        names = set()
        for position in range(*self._symbol_table()):
            name, info, _, section = struct.unpack_from("<IBBH", self._bytes, position)
            if section != 0 and info >> 4 in (1, 2):
                names.add(self._string(name))
        return names

    def _read_program_headers(self) -> Iterator[tuple[int, int, int, int]]:
        (start,) = struct.unpack_from("<Q", self._bytes, 32)
        size, count = struct.unpack_from("<HH", self._bytes, 54)
        for index in range(count):
            kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", self._bytes, start + index * size)
            yield kind, offset, address, in_file

    def _read_dynamic(self) -> Iterator[tuple[int, int]]:
        for kind, offset, _, size in self._program_headers:
            if kind == _PT_DYNAMIC:
                for position in range(offset, offset + size, 16):
                    tag, value = struct.unpack_from("<qQ", self._bytes, position)
                    yield tag, value

    def _symbol_table(self) -> tuple[int, int, int]:
        # The dynamic section does not say how long the table is; its section header does.
        (start,) = struct.unpack_from("<Q", self._bytes, 40)
        size, count = struct.unpack_from("<HH", self._bytes, 58)
        for index in range(count):
            _, kind, _, _, offset, length = struct.unpack_from("<IIQQQQ", self._bytes, start + index * size)
            if kind == _SHT_DYNSYM:
                return offset, offset + length, 24
        raise ValueError("the file has no dynamic symbol table")

    def _offset(self, address: int) -> int:
        for kind, offset, start, size in self._program_headers:
            if kind == _PT_LOAD and start <= address < start + size:
                return offset + address - start
        raise ValueError(f"address {address:#x} is in no segment of the file")

    def _string(self, index: int) -> str:
        start = self._offset(self._dynamic[_DT_STRTAB]) + index
        return self._bytes[start : self._bytes.index(b"\0", start)].decode()
