//! Which traces there are: those of the repository, those that are generated, and those in the folder that the environment
//! variable `CATZILLA_TRACES` names. A name that comes up twice is the same trace, and is taken once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use catzilla_replay::capacity::Capacity;
use catzilla_replay::failure::Failure;
use catzilla_replay::trace;

use crate::generated;

pub const VARIABLE: &str = "CATZILLA_TRACES";
const ENDING: &str = ".key.u32.zst";

/// A smaller cache says more about rounding than about its policy.
const LEAST_ENTRIES: u64 = 100;

/// Where a trace comes from. Not read yet.
pub struct Source {
    pub name: String,
    origin: Origin,
}

enum Origin {
    File(PathBuf),
    Generated(fn() -> Vec<u32>),
}

/// A trace that was read. Its keys are 0, 1, 2, ... in order of first appearance.
pub struct Trace {
    pub name: String,
    pub requests: Vec<u32>,
    pub objects: usize,
}

/// A size of a cache for a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub percent: f64,
    pub entries: usize,
}

/// All traces that there are.
pub fn all() -> Result<Vec<Source>, Failure> {
    let mut sources = in_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/traces"))?;
    for (name, make) in [("lirs_loop", generated::looped as fn() -> Vec<u32>), ("lirs_zigzag", generated::zigzag)] {
        sources.push(Source { name: name.to_owned(), origin: Origin::Generated(make) });
    }
    if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        for source in in_folder(Path::new(&folder))? {
            if sources.iter().all(|other| other.name != source.name) {
                sources.push(source);
            }
        }
    }
    Ok(sources)
}

/// The traces in the files of a folder, by name.
pub fn in_folder(folder: &Path) -> Result<Vec<Source>, Failure> {
    let failed = |error| Failure::request(format!("{}: {error}", folder.display()));
    let mut sources = Vec::new();
    for file in fs::read_dir(folder).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(ENDING));
        if let Some(name) = name.map(str::to_owned) {
            sources.push(Source { name, origin: Origin::File(path) });
        }
    }
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(sources)
}

impl Source {
    pub fn is_generated(&self) -> bool {
        matches!(self.origin, Origin::Generated(_))
    }

    pub fn load(&self) -> Result<Trace, Failure> {
        let (requests, objects) = match &self.origin {
            // Sizes play no part.
            Origin::File(path) => {
                let file = trace::Trace::load(path, Some(0))?;
                (file.requests().to_vec(), file.ids().len())
            }
            Origin::Generated(make) => {
                let requests = make();
                let objects = requests.iter().max().map_or(0, |most| *most as usize + 1);
                (requests, objects)
            }
        };
        Ok(Trace { name: self.name.clone(), requests, objects })
    }
}

impl Trace {
    /// How many entries these shares of the objects are, at least 100 each; a number that comes up again is left out.
    pub fn sizes(&self, percents: &[f64]) -> Vec<Size> {
        let mut sizes: Vec<Size> = Vec::new();
        for &percent in percents {
            let entries = Capacity::Percent(percent).entries(self.objects).unwrap_or(0).max(LEAST_ENTRIES) as usize;
            if sizes.iter().all(|size| size.entries != entries) {
                sizes.push(Size { percent, entries });
            }
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_size_is_below_a_hundred_or_there_twice() {
        let trace = Trace { name: String::new(), requests: Vec::new(), objects: 1_011 };
        let sizes = trace.sizes(&[1.0, 2.0, 10.0, 25.0]);
        let entries: Vec<_> = sizes.iter().map(|size| (size.percent, size.entries)).collect();
        assert_eq!(entries, [(1.0, 100), (10.0, 101), (25.0, 253)]);
    }

    #[test]
    fn the_traces_of_the_repository_and_the_generated_ones_are_always_there() {
        let sources = all().expect("the folders can be read");
        for name in ["cache2k_web07", "cache2k_web12", "lirs_loop", "lirs_zigzag"] {
            assert_eq!(sources.iter().filter(|source| source.name == name).count(), 1, "{name}");
        }
    }
}
