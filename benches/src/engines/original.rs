//! Loads the original engine out of the published framework's wheel (`catzilla==0.2.3` on PyPI).
//!
//! The engine is compiled into the framework's Python extension module, which exports its C functions, and which needs
//! symbols of a Python interpreter. Functions could stay unresolved (lazy binding), but the module also refers to some
//! fifteen Python *objects* (`PyExc_ValueError`, `_Py_NoneStruct` ...), and the dynamic linker wants those at load time.
//! No engine function touches any of them. So a copy of the file is made in memory in which the undefined Python symbols are
//! weak: the linker then resolves them to NULL, and no interpreter is needed, whichever Python the wheel was built for.
//! Not a byte of code or data is changed.

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};

pub const ENV: &str = "CATZILLA_ORIGINAL";

/// The extension module named by `CATZILLA_ORIGINAL`, or the one installed under `build/original` of the repository.
pub fn find() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(ENV) {
        return Ok(path.into());
    }
    let folder = super::repository().join("build/original/catzilla");
    let found = std::fs::read_dir(&folder).ok().and_then(|files| {
        files.filter_map(|file| Some(file.ok()?.path())).find(|path| {
            let name = path.file_name().map_or("".into(), |name| name.to_string_lossy());
            name.starts_with("_catzilla") && name.ends_with(".so")
        })
    });
    found.ok_or_else(|| {
        format!("not installed: `pip install --no-deps --target build/original catzilla==0.2.3`, or name its _catzilla*.so in {ENV}")
    })
}

/// Loads the module for good.
pub fn load(path: &Path) -> Result<Library, String> {
    let mut image = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    weaken_python_symbols(&mut image).ok_or_else(|| format!("{}: not a 64-bit ELF library", path.display()))?;
    let mut file = memory_file().map_err(|error| format!("memfd_create: {error}"))?;
    file.write_all(&image).map_err(|error| format!("memory file: {error}"))?;
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the module's constructors set up its allocator and need no interpreter; its own file holds no other code that
    // runs at load time.
    unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_LOCAL) }.map_err(super::reason)
}

fn memory_file() -> std::io::Result<File> {
    // SAFETY: a constant name, and the descriptor is nobody else's.
    unsafe {
        let fd = libc::memfd_create(c"original".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(fd))
    }
}

// Of the ELF specification: the fields used here, as offsets into their records.
const SHT_DYNSYM: u32 = 11;
const SECTION_SIZE: usize = 64;
const SYMBOL_SIZE: usize = 24;
const STB_GLOBAL: u8 = 1;
const STB_WEAK: u8 = 2;

fn weaken_python_symbols(image: &mut [u8]) -> Option<usize> {
    if image.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let sections = u64_at(image, 0x28)? as usize;
    let count = u16_at(image, 0x3c)? as usize;
    let section = |index: usize| sections + index * SECTION_SIZE;
    let dynsym = (0..count).map(section).find(|&at| u32_at(image, at + 4) == Some(SHT_DYNSYM))?;
    let symbols = u64_at(image, dynsym + 0x18)? as usize;
    let size = u64_at(image, dynsym + 0x20)? as usize;
    let names = u64_at(image, section(u32_at(image, dynsym + 0x28)? as usize) + 0x18)? as usize;
    let mut changed = 0;
    for symbol in (symbols..symbols + size).step_by(SYMBOL_SIZE) {
        let name = image.get(names + u32_at(image, symbol)? as usize..)?;
        let python = name.starts_with(b"Py") || name.starts_with(b"_Py");
        let undefined = u16_at(image, symbol + 6)? == 0;
        let info = image[symbol + 4];
        if python && undefined && info >> 4 == STB_GLOBAL {
            image[symbol + 4] = STB_WEAK << 4 | info & 0xf;
            changed += 1;
        }
    }
    Some(changed)
}

fn u16_at(image: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(image: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_refused() {
        assert_eq!(weaken_python_symbols(&mut b"#!/bin/sh".to_vec()), None);
        assert_eq!(weaken_python_symbols(&mut b"\x7fELF\x02\x01".to_vec()), None);
    }

    #[test]
    fn this_program_has_no_python_symbols_to_weaken() {
        let path = std::env::current_exe().unwrap();
        let mut image = std::fs::read(path).unwrap();
        let before = image.clone();
        assert_eq!(weaken_python_symbols(&mut image), Some(0));
        assert!(image == before);
    }
}
