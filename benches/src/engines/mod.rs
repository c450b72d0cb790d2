//! The engines by name, and which of ours each is measured against.

mod catzilla;
mod classic;
mod foyer;
mod moka;
pub mod original;
mod quick_cache;
mod scc;
mod tinyufo;

use crate::engine::{Engine, Shape};
use std::path::Path;

pub use catzilla::{find as library_path, load as load_library, policy, text, FOREVER};

/// One seed for every hasher, so that two runs do the same work.
pub(crate) const HASH_SEED: u64 = 0x00ca_721a;

pub const OURS: &str = "catzilla";
/// As `catzilla`, with a lifetime for every entry: what lifetimes cost.
pub const OURS_TTL: &str = "catzilla-ttl";
pub const OURS_CLASSIC: &str = "catzilla-classic";
pub const ORIGINAL: &str = "original";
/// Ours first: a row is compared with one above it.
pub const NAMES: [&str; 11] = [
    OURS,
    OURS_TTL,
    "quick_cache",
    "scc",
    "scc-fifo",
    "tinyufo",
    "foyer-s3fifo",
    "foyer-lru",
    "moka",
    OURS_CLASSIC,
    ORIGINAL,
];
/// Measured when they are named only.
const ON_REQUEST: [&str; 1] = ["foyer-lru"];

/// Options for the `catzilla` row, and further rows of it with other options.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub options: Vec<(String, String)>,
    /// (row name, options)
    pub variants: Vec<(String, Vec<(String, String)>)>,
}

impl Settings {
    /// Every row, each variant directly below `catzilla`.
    pub fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
        rows.splice(1..1, self.variants.iter().map(|(name, _)| name.clone()));
        rows
    }

    /// The rows of a run that names none.
    pub fn usual_rows(&self) -> Vec<String> {
        let mut rows = self.rows();
        rows.retain(|row| !ON_REQUEST.contains(&row.as_str()));
        rows
    }
}

/// The row that `name` is compared with: the same interface of ours.
pub fn compared_with(name: &str) -> &'static str {
    if name == ORIGINAL {
        OURS_CLASSIC
    } else {
        OURS
    }
}

/// A cache of somebody else's that is still being made.
pub fn is_peer(name: &str) -> bool {
    !is_ours(name) && name != ORIGINAL
}

/// Rows whose failure is our failure.
pub fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

pub fn open(name: &str, shape: Shape, settings: &Settings) -> Result<Engine, String> {
    match name {
        OURS => catzilla::open(keep(catzilla::load()?), shape, catzilla::FOREVER, &settings.options),
        OURS_TTL => catzilla::open(keep(catzilla::load()?), shape, catzilla::HOUR_MS, &settings.options),
        OURS_CLASSIC => classic::open(keep(catzilla::load()?), shape),
        ORIGINAL => classic::open(keep(original::load(&original::find()?)?), shape),
        "quick_cache" => Ok(quick_cache::QuickCache::new(shape).into()),
        "scc" => Ok(scc::Scc::new(shape).into()),
        "scc-fifo" => Ok(scc::SccFifo::new(shape).into()),
        "tinyufo" => Ok(tinyufo::TinyUfo::new(shape).into()),
        "moka" => Ok(moka::Moka::new(shape).into()),
        "foyer-s3fifo" => Ok(foyer::Foyer::s3fifo(shape).into()),
        "foyer-lru" => Ok(foyer::Foyer::lru(shape).into()),
        _ => match settings.variants.iter().find(|(row, _)| row == name) {
            Some((_, options)) => catzilla::open(keep(catzilla::load()?), shape, catzilla::FOREVER, options),
            None => Err(format!("no engine is called {name}")),
        },
    }
}

/// libloading keeps the linker's own words apart from its own.
fn reason(error: libloading::Error) -> String {
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A library that caches point into is never unloaded.
fn keep<T>(library: T) -> &'static T {
    Box::leak(Box::new(library))
}

/// Where the built library and the installed original are looked for.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches/ is inside the repository")
}
