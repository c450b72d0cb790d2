//! Where the shared library is: named by the user, by the environment, or beside this program.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Names the library when `--library` does not.
const VARIABLE: &str = "CATZILLA_CACHE_LIBRARY";

/// The absolute path of the library to load, `path` being what the user named.
pub fn library(path: Option<&Path>) -> Result<PathBuf, Failure> {
    match path {
        Some(path) => existing(path, "--library"),
        None => match env::var_os(VARIABLE) {
            Some(path) if !path.is_empty() => existing(Path::new(&path), VARIABLE),
            _ => beside_this_program(),
        },
    }
}

/// Absolute, since the loader searches a bare file name in the system's folders.
fn existing(path: &Path, origin: &str) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| Failure::request(format!("{origin}: {}: {error}", path.display())))
}

/// A build puts program and library into one folder; a debug build of this program finds the release build next to it.
fn beside_this_program() -> Result<PathBuf, Failure> {
    let file = format!("{}catzilla_cache{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let program = env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new("."));
    let candidates = [folder.join(&file), folder.join("../release").join(&file)];
    candidates.iter().find_map(|candidate| candidate.canonicalize().ok()).ok_or_else(|| {
        Failure::request(format!(
            "{file} is not in {}: build it with `cargo build --release`, or name it with --library or {VARIABLE}",
            folder.display()
        ))
    })
}
