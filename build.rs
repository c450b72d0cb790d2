//! Gives the shared library its name, and makes the C header from src/ffi.
//!
//! The header is made into the build folder; the one that programs use is committed in include/, and a test compares
//! the two (`make header` takes the new one over).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The number of the binary interface; see CHANGELOG.md, "ABI", before changing it.
const ABI: u32 = 1;

/// The sections of the header: a file of src/ffi each, and its title.
const SECTIONS: [(&str, &str); 16] = [
    ("status", "Status"),
    ("info", "Version, errors, messages"),
    ("options", "Options"),
    ("cache", "Cache"),
    ("update", "Writes that depend on what is there"),
    ("batch", "Batches"),
    ("value", "Values held in place"),
    ("memory", "Memory alone, for callers that must not wait"),
    ("load", "Look-ups that load what is missing"),
    ("iterator", "Going through the keys"),
    ("listener", "Being told of entries that leave"),
    ("statistics", "Statistics"),
    ("tiers", "Tiers below memory"),
    ("types", "Classic group: types of the original engine, frozen"),
    ("classic", "Classic group: the original engine's functions"),
    ("multi", "Classic multi-level group"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rustc-env=CATZILLA_CACHE_ABI={ABI}");
    link_arguments();

    let header = PathBuf::from(env::var("OUT_DIR")?).join("catzilla_cache.h");
    fs::write(&header, make_header()?)?;
    println!("cargo:rustc-env=CATZILLA_CACHE_HEADER={}", header.display());
    Ok(())
}

fn link_arguments() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcatzilla_cache.so.{ABI}");
        // Thread ends and forks call back into the library, so it must never be unloaded.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

fn make_header() -> Result<String, Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut header = String::new();
    header.push_str(&fs::read_to_string(root.join("src/ffi/introduction.h"))?);
    header.push_str("\n#ifndef CATZILLA_CACHE_H\n#define CATZILLA_CACHE_H\n\n");
    header.push_str("/* Made by build.rs from src/ffi; `make header` makes it anew. */\n\n");
    header.push_str("#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n");
    header.push_str(&version_macros()?);
    header.push_str("\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    for (file, title) in SECTIONS {
        header.push_str(&banner(title));
        header.push_str(&fragment(&root.join(format!("src/ffi/{file}.rs")), &config)?);
    }
    header.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    Ok(header)
}

fn version_macros() -> Result<String, env::VarError> {
    let mut macros = format!("#define CATZILLA_CACHE_VERSION \"{}\"\n", env::var("CARGO_PKG_VERSION")?);
    for part in ["MAJOR", "MINOR", "PATCH"] {
        let number = env::var(format!("CARGO_PKG_VERSION_{part}"))?;
        macros.push_str(&format!("#define CATZILLA_CACHE_VERSION_{part} {number}\n"));
    }
    macros.push_str("/* The number of the binary interface, and of the shared library's name. */\n");
    macros.push_str(&format!("#define CATZILLA_CACHE_ABI {ABI}\n"));
    Ok(macros)
}

fn banner(title: &str) -> String {
    let rule = "-".repeat(114);
    format!("\n/* {rule}\n * {title}\n * {rule} */\n\n")
}

/// The declarations of one file.
fn fragment(file: &Path, config: &cbindgen::Config) -> Result<String, Box<dyn Error>> {
    let bindings = cbindgen::Builder::new().with_src(file).with_config(config.clone()).generate()?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    Ok(compact(&String::from_utf8(text)?))
}

/// Comments of one line on one line, and no runs of empty lines.
fn compact(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    let mut compacted = String::new();
    let mut at = 0;
    while at < lines.len() {
        let comment = lines[at..].get(..3).and_then(|three| match three {
            [open, text, close] if open.trim() == "/**" && close.trim() == "*/" => Some((open, text.trim())),
            _ => None,
        });
        if let Some((open, text)) = comment {
            compacted.push_str(&format!("{open}{} */\n", text.trim_start_matches('*')));
            at += 3;
        } else {
            compacted.push_str(lines[at]);
            compacted.push('\n');
            at += 1;
        }
    }
    compacted
}
