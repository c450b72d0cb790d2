//! One get, one put: what a cache does with its tiers. A call that memory can answer ends here; what it cannot goes on in `descent`,
//! and what has to be written to more than memory in `everywhere`.

mod calls;
mod maintain;

use super::flight::Flights;
use super::lower::Lower;
use super::sweeper::Sweeper;
use crate::clock::{Clock, Ttl};
use crate::error::Result;
use crate::fork::{Forks, Hold};
use crate::options::Options;
use crate::pattern::{KeySet, Pattern};
use crate::tiers::memory::Memory;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A cache. Shared by reference among any number of threads; see the crate's documentation for an example.
pub struct Cache {
    // Before the tier, so that the thread is gone when the tier goes.
    sweeper: Sweeper,
    /// Shared with the cache's own thread, which does not keep the cache open.
    memory: Arc<Memory>,
    /// The tiers below memory, if there are any.
    lower: Option<Box<Lower>>,
    /// What is being loaded. Whoever writes outdates it first.
    flights: Flights,
    /// For what outlives a call and does not keep the cache open.
    me: Weak<Self>,
    /// Whether what memory evicts is written to disk.
    pub(super) demotes: bool,
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
    /// Every entry whose key fits.
    Pattern(&'a Pattern),
    /// Every entry that carries this tag: see [`PutOptions::tags`](crate::PutOptions::tags). One that is too long, no entry carries.
    Tag(&'a [u8]),
}

impl Purge<'_> {
    /// Whether what is being read or loaded of a key may have to go. Which tags it carries is not known before it is there.
    pub(super) fn may_mean(self, key: &[u8]) -> bool {
        match self {
            Purge::All | Purge::Tag(_) => true,
            Purge::Prefix(prefix) => KeySet::Beginning(prefix).has(key),
            Purge::Pattern(pattern) => KeySet::Fitting(pattern).has(key),
        }
    }
}

impl Cache {
    /// Makes a cache.
    ///
    /// # Errors
    ///
    /// What can never work: a URL that is none, a folder that cannot be made or is not ours. A Redis server that does not answer only
    /// when it is required (`redis.required`); else it joins when it comes up.
    pub fn open(options: &Options) -> Result<Arc<Self>> {
        Self::with_clock(options, Clock::default())
    }

    /// Makes a cache that takes its time from `clock`.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`].
    pub fn with_clock(options: &Options, clock: Clock) -> Result<Arc<Self>> {
        let lower = Lower::open(options, &clock)?;
        Ok(Self::assemble(options, clock, lower))
    }

    /// A cache over these tiers below memory.
    pub(super) fn assemble(options: &Options, clock: Clock, lower: Option<Lower>) -> Arc<Self> {
        let lower = lower.map(Box::new);
        let cache = crate::fork::open(|| {
            let memory = Memory::open(&options.memory, clock);
            let sweeper = Sweeper::new(memory.clone(), &options.memory);
            let demotes = options.cache.demote;
            let options = Mutex::new(options.clone());
            Arc::new_cyclic(|me| Self {
                sweeper,
                memory,
                lower,
                demotes,
                flights: Flights::new(),
                me: me.clone(),
                options,
            })
        });
        crate::fork::add(cache.memory.heap());
        if options.memory.jemalloc && !cache.memory.has_arena() {
            crate::log::warn(|| "no jemalloc arena could be had; the cache uses the system's allocator".into());
        }
        if options.memory.compression && !cfg!(feature = "lz4") {
            crate::log::warn(|| "this build has no LZ4; nothing will be compressed".into());
        }
        cache.memory.set_listener(cache.with_demotion(None));
        crate::log::debug(|| format!("a cache was opened with {options:?}"));
        cache
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn lower(&self) -> Option<&Lower> {
        self.lower.as_deref()
    }

    pub(super) fn flights(&self) -> &Flights {
        &self.flights
    }

    pub(super) fn weak(&self) -> Weak<Self> {
        self.me.clone()
    }

    /// Something was stored with this lifetime.
    pub(super) fn stored(&self, ttl: Ttl) {
        self.sweeper.stored(ttl);
    }
}

impl Forks for Cache {
    fn hold(&self) -> Box<dyn Hold + '_> {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        let sweeper = self.sweeper.hold();
        let lower = self.lower.as_ref().map(|lower| lower.hold());
        // Before the memory tier's, as who stores what was loaded takes them.
        let flights = self.flights.hold();
        Box::new((self.memory.hold(), flights, lower, sweeper, options))
    }

    fn after_fork_in_child(&self) {
        self.memory.after_fork_in_child();
        self.flights.after_fork_in_child();
        if let Some(lower) = &self.lower {
            lower.after_fork_in_child();
        }
        self.sweeper.after_fork_in_child();
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
