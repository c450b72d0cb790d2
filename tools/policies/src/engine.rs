//! The engine as one more policy: a cache of the built library, asked through its C interface.

use catzilla_replay::failure::Failure;
use catzilla_replay::library::{Cache, Library, Put, Read};
use catzilla_replay::payload::Keys;

const POLICY: &str = "memory.policy";
/// What a hash spreads well; longer ones would only take longer.
const KEY_LENGTH: usize = 16;

/// Among how many shards a cache is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    One,
    /// As many as the library thinks right.
    Default,
}

/// The policies that the library has.
pub fn policies(library: &Library) -> Vec<String> {
    let table = library.option_table();
    let row = table.iter().find(|row| row.name == POLICY);
    row.map_or_else(Vec::new, |row| row.range.split(", ").map(str::to_owned).collect())
}

/// The keys of a trace of so many objects.
pub fn keys(objects: usize) -> Keys {
    Keys::of_objects(&(0..objects as u32).collect::<Vec<u32>>(), KEY_LENGTH)
}

pub struct Engine<'a> {
    cache: Cache<'a>,
    keys: &'a Keys,
}

impl<'a> Engine<'a> {
    pub fn open(
        library: &'a Library,
        keys: &'a Keys,
        policy: &str,
        shards: Shards,
        entries: usize,
    ) -> Result<Self, Failure> {
        let mut options = library.options(&[])?;
        options.set(POLICY, policy)?;
        options.set("memory.capacity", &entries.to_string())?;
        if shards == Shards::One {
            options.set("memory.shards", "1")?;
        }
        Ok(Self { cache: Cache::open(&options)?, keys })
    }

    /// Asks for `key`, and puts it when it was missed: whether it was there.
    pub fn request(&mut self, key: u32) -> Result<bool, Failure> {
        let (name, mut found) = (self.keys.of(key), [0; 4]);
        let said = |failed: catzilla_replay::library::CallFailed| Failure::cache(failed.to_string());
        match self.cache.read(name, &mut found).map_err(said)? {
            Read::Hit { length: 4 } if found == key.to_le_bytes() => Ok(true),
            Read::Miss => match self.cache.put(name, &key.to_le_bytes()).map_err(said)? {
                Put::Stored => Ok(false),
                Put::TooLarge => Err(Failure::cache("a value of four bytes was refused as too large")),
            },
            Read::Hit { .. } | Read::Truncated { .. } => {
                Err(Failure::cache(format!("object {key}: a value that was never put")))
            }
        }
    }

    /// How many of the requests hit.
    pub fn hits(&mut self, requests: &[u32]) -> Result<usize, Failure> {
        let mut hits = 0;
        for key in requests {
            hits += usize::from(self.request(*key)?);
        }
        Ok(hits)
    }
}
