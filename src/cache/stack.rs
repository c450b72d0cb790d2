//! One get, one put: what a cache does with its tiers. A call that memory can answer ends here; what it cannot goes on in `descent`,
//! and what has to be written to more than memory in `everywhere`.

use super::flight::Flights;
use super::level::Level;
use super::lower::Lower;
use super::sweeper::Sweeper;
use crate::clock::{Clock, Ttl};
use crate::error::{Error, Result, Status};
use crate::fork::{Forks, Hold};
use crate::options::Options;
use crate::pattern::{KeySet, Pattern};
use crate::stats::{hit_ratio, Health, MemoryStatistics, Statistics, TierStatistics};
use crate::tiers::memory::{
    Ending, Get, Keys, Lent, Listener, Memory, Put, PutOptions, PutOutcome, Read, Remove, Value,
};
use crate::tiers::TierName;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

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
    /// Every entry that carries this tag: see [`PutOptions::tags`]. One that is too long, no entry carries.
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

    /// Stores a value under a key, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// The key or the value is too large, or there is no memory; an earlier value of the key stays.
    pub fn put(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        if let Some(lower) = &self.lower {
            let options = PutOptions { ttl, ..PutOptions::default() };
            return self.put_everywhere(lower, key, value, &options).map(|_| ());
        }
        self.flights.outdate(key);
        let stored = self.memory.put(key, value, ttl);
        if stored.is_ok() {
            self.sweeper.stored(ttl);
        }
        self.memory.tell();
        stored
    }

    /// Stores a value if what is there allows it, and tells its version if that is wanted. Looking and storing are one step:
    /// of several threads that expect one version, one stores.
    ///
    /// # Errors
    ///
    /// As [`Cache::put`], and there are too many tags, or one is too long.
    pub fn put_with(&self, key: &[u8], value: &[u8], options: &PutOptions<'_>) -> Result<PutOutcome> {
        if let Some(lower) = &self.lower {
            return self.put_everywhere(lower, key, value, options);
        }
        self.flights.outdate(key);
        let outcome = self.memory.put_with(key, value, options);
        if let Ok(PutOutcome::Stored(_)) = outcome {
            self.sweeper.stored(options.ttl);
        }
        self.memory.tell();
        outcome
    }

    /// Adds `delta` to the number that a key has as its value, in decimal digits, and says what that makes. A key that is not
    /// there is stored as `initial`, for `ttl`; one that is keeps its end. Of several threads none loses what it adds.
    ///
    /// # Errors
    ///
    /// The value is not a number, or the sum does not fit into 64 bits; and as [`Cache::put`]. The value stays.
    pub fn increment(&self, key: &[u8], delta: i64, initial: i64, ttl: Ttl) -> Result<i64> {
        if let Some(lower) = &self.lower {
            return self.increment_everywhere(lower, key, delta, initial, ttl);
        }
        self.flights.outdate(key);
        let sum = self.memory.increment(key, delta, initial, ttl);
        if sum.is_ok() {
            self.sweeper.stored(ttl);
        }
        self.memory.tell();
        sum
    }

    /// Gives a key a new lifetime, from now on, sooner or later than it had. False when it was not there. Neither a request
    /// nor a use.
    pub fn touch(&self, key: &[u8], ttl: Ttl) -> bool {
        if let Some(lower) = &self.lower {
            return self.touch_everywhere(lower, key, ttl).unwrap_or(false);
        }
        let touched = self.memory.touch(key, ttl);
        if touched {
            self.sweeper.stored(ttl);
        }
        self.memory.tell();
        touched
    }

    /// Copies a value into `buffer`. `None` is a miss.
    ///
    /// # Errors
    ///
    /// A thread's first look-up finds no memory for what the library keeps of a thread, or the value was damaged in memory.
    #[inline]
    pub fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<Read>> {
        let mut len = 0;
        let ending = self.read_into(key, buffer, &mut len);
        ending.read(len)
    }

    /// The same for the C interface, which has a place for the length.
    #[inline(always)]
    pub(crate) fn read_into(&self, key: &[u8], buffer: &mut [u8], len: &mut usize) -> Ending {
        let ending = self.memory.read(key, buffer, len);
        if ending.is_miss() {
            if let Some(lower) = &self.lower {
                return self.read_below(lower, key, buffer, len);
            }
        }
        ending
    }

    #[cold]
    #[inline(never)]
    fn read_below(&self, lower: &Lower, key: &[u8], buffer: &mut [u8], len: &mut usize) -> Ending {
        Ending::of(self.descend(lower, key).and_then(|got| self.copy_out(lower, got, buffer)), len)
    }

    /// Shows `show` the value that memory has of a key, where it lies; no other tier is asked, nothing is waited for. False: it
    /// has none, which counts as a miss only if it is the `last` look-up, after which the caller asks nobody else.
    ///
    /// `show` must be short, for the memory of what is removed meanwhile waits for it, and may call nothing of any cache.
    ///
    /// # Errors
    ///
    /// As [`Cache::read`], and there is no memory to decompress the value into.
    #[inline]
    pub fn visit_memory(&self, key: &[u8], last: bool, show: impl FnOnce(&[u8])) -> Result<bool> {
        self.memory.visit(key, last, show)
    }

    /// A value that stays readable until it is dropped. `None` is a miss.
    ///
    /// # Errors
    ///
    /// There is no memory to hold it, or to decompress it into.
    pub fn acquire(&self, key: &[u8]) -> Result<Option<Value>> {
        match (self.memory.acquire(key)?, &self.lower) {
            (None, Some(lower)) => {
                let value = self.descend_for_value(lower, key)?;
                lower.answered.fetch_add(u64::from(value.is_some()), Relaxed);
                Ok(value)
            }
            (value, _) => Ok(value),
        }
    }

    /// The classic look-up, see [`Memory::lend`].
    #[inline(always)]
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>> {
        // Field by field, so that a hit stays in registers: what is put together in memory and read back at once is waited for.
        match self.memory.lend(key) {
            Ok(Some(Lent { data, len })) => Ok(Some(Lent { data, len })),
            Ok(None) => match &self.lower {
                Some(lower) => self.lend_below(lower, key),
                None => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    #[cold]
    #[inline(never)]
    fn lend_below(&self, lower: &Lower, key: &[u8]) -> Result<Option<Lent>> {
        let Some(value) = self.descend_for_value(lower, key)? else { return Ok(None) };
        lower.answered.fetch_add(1, Relaxed);
        self.memory.lend_detached(key, &value).map(Some)
    }

    /// Removes a key. False when it was not there.
    pub fn remove(&self, key: &[u8]) -> bool {
        if let Some(lower) = &self.lower {
            return self.remove_everywhere(lower, key);
        }
        self.flights.outdate(key);
        let removed = self.memory.remove(key);
        self.memory.tell();
        removed
    }

    /// Whether a key is there. Neither a request nor a use of the entry.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.memory.contains(key) || self.lower.as_ref().is_some_and(|lower| lower.contains(key))
    }

    /// Whether a call may have to ask more than memory.
    pub(crate) fn has_tiers_below(&self) -> bool {
        self.lower.is_some()
    }

    /// Looks many keys up, each as [`Cache::read`] does; every item says how it went.
    pub fn get_many(&self, gets: &mut [Get<'_>]) {
        self.memory.read_many(gets);
        self.memory.tell();
        if let Some(lower) = &self.lower {
            if gets.iter().any(|get| matches!(get.outcome, Ok(None))) {
                self.descend_many(lower, gets);
            }
        }
    }

    /// Stores many values, each as [`Cache::put`] does and in their order; every item says how it went.
    pub fn put_many(&self, puts: &mut [Put<'_>]) {
        if let Some(lower) = &self.lower {
            self.put_many_everywhere(lower, puts);
        } else {
            self.flights.outdate_many(puts.iter().map(|put| put.key));
            self.memory.put_many(puts);
        }
        self.sweeper.stored_many(puts.iter().filter(|put| put.outcome.is_ok()).map(|put| put.ttl));
    }

    /// Removes many keys, each as [`Cache::remove`] does; every item says whether it was there.
    pub fn remove_many(&self, removes: &mut [Remove<'_>]) {
        if let Some(lower) = &self.lower {
            return self.remove_many_everywhere(lower, removes);
        }
        self.flights.outdate_many(removes.iter().map(|remove| remove.key));
        self.memory.remove_many(removes);
    }

    /// Removes many entries at once. Says how many.
    ///
    /// With tiers below memory, of what the tiers have removed the largest number; what carried a tag is not counted there. A tier
    /// that cannot be reached is cleared before it is asked again.
    pub fn purge(&self, what: Purge<'_>) -> u64 {
        let purged = match &self.lower {
            None => self.purge_memory(what),
            Some(lower) => lower.purging(|| {
                let below = self.purge_below(lower, what);
                self.purge_memory(what).max(below)
            }),
        };
        self.memory.tell();
        purged
    }

    fn purge_memory(&self, what: Purge<'_>) -> u64 {
        self.flights.outdate_where(|key| what.may_mean(key));
        match what {
            Purge::All => self.memory.clear(),
            Purge::Prefix(prefix) => self.memory.purge_keys(KeySet::Beginning(prefix)),
            Purge::Pattern(pattern) => self.memory.purge_keys(KeySet::Fitting(pattern)),
            Purge::Tag(tag) => self.memory.purge_tag(tag).unwrap_or(0),
        }
    }

    /// Waits until everything that was put before is written to the tiers below memory, for at most `timeout` each.
    ///
    /// # Errors
    ///
    /// A tier has not taken everything, or cannot be reached; what waits for it still does.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        let Some(lower) = &self.lower else { return Ok(()) };
        let late: Vec<String> =
            lower.levels().iter().filter(|level| !level.flush(timeout)).map(|level| level.name().to_string()).collect();
        if late.is_empty() {
            return Ok(());
        }
        let message = format!("not everything could be written to {} within {timeout:?}", late.join(" and "));
        Err(Error::new(Status::TierUnavailable, message))
    }

    /// The figures of a tier below memory; `None`: this cache has none of that name.
    pub fn tier_statistics(&self, tier: TierName) -> Option<TierStatistics> {
        self.lower.as_ref()?.level(tier).map(Level::statistics)
    }

    /// Whether one tier has a key, whatever the others have; `None`: this cache has no tier of that name. Neither a request nor a use.
    pub fn tier_contains(&self, tier: TierName, key: &[u8]) -> Option<bool> {
        match tier {
            TierName::Memory => Some(self.memory.contains(key)),
            below => Some(self.lower.as_ref()?.level(below)?.contains(key)),
        }
    }

    /// Removes a key from one tier; the others keep what they have, and a look-up that finds it there brings it back. `None`: this
    /// cache has no tier of that name.
    pub fn tier_remove(&self, tier: TierName, key: &[u8]) -> Option<bool> {
        let removed = match tier {
            TierName::Memory => self.memory.remove(key),
            below => self.lower.as_ref()?.level(below)?.remove_many(&[key]).contains(&true),
        };
        self.memory.tell();
        Some(removed)
    }

    /// How a tier is doing; `None`: this cache has none of that name.
    pub fn health(&self, tier: TierName) -> Option<Health> {
        match tier {
            TierName::Memory => Some(Health { is_up: true, last_error: None, last_error_at: 0 }),
            below => self.lower.as_ref()?.level(below).map(Level::health),
        }
    }

    /// The keys that begin with `prefix`, one after the other and in no order. A key that is there all the while is told,
    /// whatever is stored, removed or resized meanwhile, and no lock is held between two of them. None is told twice, unless
    /// it went and came back, or the entries were moved between shards, as when `memory.capacity` changes across 4,096.
    ///
    /// # Errors
    ///
    /// There is no memory for a copy of the prefix.
    pub fn keys(&self, prefix: &[u8]) -> Result<Keys> {
        self.memory.keys(prefix)
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
        let (mut change, mut shrinks, mut has_work) = (Some(change), false, false);
        let mut is_done = false;
        while !is_done {
            {
                let mut options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(change) = change.take() {
                    change(&mut options)?;
                }
                is_done = self.memory.configure(&options.memory, &mut shrinks);
                if let Some(lower) = &self.lower {
                    lower.configure(&options);
                }
                has_work |= self.sweeper.configure(&options.memory);
            }
            // Without the lock, so the listener may change options, too; then those are what the next round goes by.
            self.memory.tell();
        }
        if has_work {
            self.sweeper.start();
        }
        Ok(())
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

    /// Has `listener` told of every entry that leaves the cache from now on, for whatever [`crate::Cause`]; with `None`, nobody.
    ///
    /// Every entry is told once: by the thread whose call made it leave, before that call returns, outside all locks, or
    /// by the cache's own thread. A call that takes many entries out tells them on the way, some hundred at a time. Of two
    /// entries that one thread makes leave, the one that left first is told first; across threads there is no order, and
    /// a key's next value may be stored, and leave, before this one is told. While an entry waits to be told its memory
    /// counts as lent ([`crate::MemoryStatistics::lent_bytes`]); one that there is no memory to tell of is counted
    /// ([`crate::MemoryStatistics::untold_departures`]). Entries that are there when the cache is dropped are not told.
    ///
    /// The listener may call anything on the cache; what these calls make leave is told after it has returned. Panics are
    /// caught, and the logger is told. It should not own the cache, which would then never be dropped.
    ///
    /// When this returns, no call of the former listener is under way, and none will begin; unless it was called by
    /// the listener itself: then calls on other threads may go on for a while, and a second call from outside waits for
    /// them. So who calls this holds nothing that the listener waits for.
    pub fn set_listener(&self, listener: Option<Listener>) {
        self.memory.set_listener(self.with_demotion(listener));
    }

    /// Memory of the live entries, as the allocator rounds it, and of what finds, orders and expires them; in bytes.
    pub fn memory_usage(&self) -> u64 {
        self.memory.bytes()
    }

    /// What the cache has done so far and holds now. Looks into every shard and asks the allocator.
    pub fn statistics(&self) -> Statistics {
        let below = |name| self.tier_statistics(name).unwrap_or_default();
        Statistics {
            redis: below(TierName::Redis),
            disk: below(TierName::Disk),
            ..self.of_requests(self.memory.statistics())
        }
    }

    /// The same without what only a look into every shard, the allocator and the tiers below can tell; takes no lock.
    pub(crate) fn figures(&self) -> Statistics {
        self.of_requests(self.memory.figures())
    }

    /// Memory's figures, and what they say of requests to the whole cache.
    fn of_requests(&self, memory: MemoryStatistics) -> Statistics {
        let (loads, load_failures, load_waits) = self.flights.figures();
        let (answered, deferred) =
            self.lower().map_or((0, 0), |lower| (lower.answered.load(Relaxed), lower.deferred.load(Relaxed)));
        // Memory has counted each as a miss.
        let (hits, misses) = (memory.hits + answered, memory.misses.saturating_sub(answered + deferred));
        Statistics {
            hits,
            misses,
            hit_ratio: hit_ratio(hits, misses),
            puts: memory.puts,
            removals: memory.removals,
            pressure_shrinks: self.sweeper.pressure_shrinks(),
            memory,
            loads,
            load_failures,
            load_waits,
            ..Statistics::default()
        }
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
