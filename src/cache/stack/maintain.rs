//! What is done to the cache as a whole, and to its tiers one by one: purges, options, the listener, figures.

use super::super::level::Level;
use super::{Cache, Purge};
use crate::error::{Error, Result, Status};
use crate::options::Options;
use crate::pattern::KeySet;
use crate::stats::{hit_ratio, Health, MemoryStatistics, Statistics, TierStatistics};
use crate::tiers::memory::{Keys, Listener};
use crate::tiers::TierName;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::PoisonError;
use std::time::Duration;

impl Cache {
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
