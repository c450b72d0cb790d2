//! One get, one put: what a cache does with its tiers. Memory is the only tier so far, so it is the whole stack.

use crate::clock::{Clock, Ttl};
use crate::error::Result;
use crate::fork::{Forks, Hold};
use crate::options::Options;
use crate::stats::{hit_ratio, MemoryStatistics, Statistics};
use crate::tiers::memory::{Lent, Memory, Read, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// A cache. Shared by reference among any number of threads; see the crate's documentation for an example.
pub struct Cache {
    memory: Memory,
    /// What the cache was opened with and has been told since: live changes start from here.
    options: Mutex<Options>,
}

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge<'a> {
    /// Every entry.
    All,
    /// Every entry whose key begins with these bytes.
    Prefix(&'a [u8]),
}

impl Cache {
    /// Makes a cache.
    ///
    /// # Errors
    ///
    /// Nothing can fail yet that [`Options::set`] has not refused before; tiers that need a server or a folder can.
    pub fn open(options: &Options) -> Result<Arc<Self>> {
        Self::with_clock(options, Clock::default())
    }

    /// Makes a cache that takes its time from `clock`.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`].
    pub fn with_clock(options: &Options, clock: Clock) -> Result<Arc<Self>> {
        let cache = crate::fork::open(|| {
            let memory = Memory::open(&options.memory, clock);
            Arc::new(Self { memory, options: Mutex::new(options.clone()) })
        });
        if options.memory.jemalloc && !cache.memory.has_arena() {
            crate::log::warn(|| "no jemalloc arena could be had; the cache uses the system's allocator".into());
        }
        if options.memory.compression && !cfg!(feature = "lz4") {
            crate::log::warn(|| "this build has no LZ4; nothing will be compressed".into());
        }
        crate::log::debug(|| format!("a cache was opened with {options:?}"));
        Ok(cache)
    }

    /// Stores a value under a key, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// The key or the value is too large, or there is no memory; an earlier value of the key stays.
    pub fn put(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        self.memory.put(key, value, ttl)
    }

    /// Copies a value into `buffer`. `None` is a miss.
    ///
    /// # Errors
    ///
    /// Only a value that was damaged in memory.
    pub fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<Read>> {
        self.memory.read(key, buffer)
    }

    /// A value that stays readable until it is dropped. `None` is a miss.
    ///
    /// # Errors
    ///
    /// There is no memory to decompress it into.
    pub fn acquire(&self, key: &[u8]) -> Result<Option<Value>> {
        self.memory.acquire(key)
    }

    /// The classic look-up, see [`Memory::lend`].
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>> {
        self.memory.lend(key)
    }

    /// Removes a key. False when it was not there.
    pub fn remove(&self, key: &[u8]) -> bool {
        self.memory.remove(key)
    }

    /// Whether a key is there. Neither a request nor a use of the entry.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.memory.contains(key)
    }

    /// Removes many entries at once. Says how many.
    pub fn purge(&self, what: Purge<'_>) -> u64 {
        match what {
            Purge::All => self.memory.clear(),
            Purge::Prefix(prefix) => self.memory.purge_prefix(prefix),
        }
    }

    /// Frees what has expired. Says how many entries that were.
    pub fn sweep(&self) -> u64 {
        self.memory.sweep()
    }

    /// Changes an option of the running cache. Entries that are too many then are evicted before this returns.
    ///
    /// # Errors
    ///
    /// As [`Options::set`], and an option that cannot change while a cache runs. Nothing has changed then.
    pub fn set_option(&self, name: &str, text: &str) -> Result<()> {
        self.reconfigure(|options| options.set_live(name, text))
    }

    /// Changes live options: `change` gets the present ones.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Options) -> Result<()>) -> Result<()> {
        let mut options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut options)?;
        self.memory.configure(&options.memory);
        Ok(())
    }

    /// Memory of the live entries and of the index, in bytes as the allocator rounds them.
    pub fn memory_usage(&self) -> u64 {
        self.memory.bytes()
    }

    /// What the cache has done so far and holds now. Looks into every shard and asks the allocator.
    pub fn statistics(&self) -> Statistics {
        of_stack(self.memory.statistics())
    }

    /// The same without what only a look into every shard and the allocator can tell; takes no lock.
    pub(crate) fn figures(&self) -> Statistics {
        of_stack(self.memory.figures())
    }
}

/// The figures of a cache whose only tier is memory.
fn of_stack(memory: MemoryStatistics) -> Statistics {
    Statistics {
        hits: memory.hits,
        misses: memory.misses,
        hit_ratio: hit_ratio(memory.hits, memory.misses),
        puts: memory.puts,
        removals: memory.removals,
        memory,
    }
}

impl Forks for Cache {
    fn hold(&self) -> Box<dyn Hold + '_> {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new((self.memory.hold(), options))
    }

    fn after_fork_in_child(&self) {
        self.memory.after_fork_in_child();
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
