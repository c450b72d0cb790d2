//! A temporary folder that goes with the test that made it, also when that fails. Used by tests through `#[path]`.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of its own, removed with all that is in it.
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    /// A copy of this in a forked child removes nothing.
    owner: u32,
}

impl TemporaryFolder {
    pub(crate) fn new(name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let owner = std::process::id();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("catzilla-cache-{name}-{owner}-{number}"));
        // What a process of the same number has left.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, owner }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it, as text.
    pub(crate) fn join(&self, name: &str) -> String {
        self.path.join(name).to_str().expect("a temporary path is text").to_owned()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if std::process::id() == self.owner {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
