//! A part of the cache that writers lock as one: index, policy, wheel and retired entries, always changed together so that
//! an entry is in all of them or in none. Decides nothing: what is evicted, expired or refused is decided by the tier.

mod locked;
mod upkeep;
mod written;

use super::arena::Heap;
use super::budget::Budget;
use super::departure::{Cause, Departures};
use super::entry::{prefetch_to_write, EntryRef, LINE};
use super::index::{Hash, Published};
use super::policy::{Chosen, Clock};
use super::reclaim::{self, Garbage};
use crate::clock::Tick;
use crate::sync::{Mutex, MutexGuard, TryLockError};
use ahash::RandomState;
use crossbeam_utils::CachePadded;
pub(super) use locked::{Leaving, Locked};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
pub(super) use written::Count;
use written::{Figures, Rare, State, Written, HOT};

pub(super) struct Shard {
    /// What readers look through.
    pub(super) published: CachePadded<Published>,
    /// What hits and the policy share.
    pub(super) clock: CachePadded<Clock>,
    written: CachePadded<Written>,
}

/// What all shards of a cache use.
pub(super) struct Shared {
    pub(super) heap: Arc<Heap>,
    /// Seeded for each cache, so that nobody can choose keys that fall together.
    pub(super) hasher: RandomState,
    pub(super) budget: CachePadded<Budget>,
    pub(super) departures: CachePadded<Departures>,
}

impl Shared {
    #[inline(always)]
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        hash(&self.hasher, key)
    }

    /// Keeps an entry that is leaving for whoever listens. Under the lock of its shard, which still owns it.
    #[inline(always)]
    fn depart(&self, entry: EntryRef, cause: Cause) {
        if self.departures.are_wanted() {
            self.departures.push(entry.pin(&self.heap), cause);
        }
    }
}

/// The hash of a key. Its length is part of it, so nothing is put before the bytes.
#[inline(always)]
pub(super) fn hash(hasher: &RandomState, key: &[u8]) -> Hash {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    Hash(hasher.finish())
}

impl Shard {
    pub(super) fn new(policy: &Chosen, now: Tick, heap: &Heap) -> Self {
        Self {
            published: CachePadded::new(Published::new()),
            clock: CachePadded::new(Clock::default()),
            written: CachePadded::new(Written {
                figures: Figures::default(),
                state: Mutex::new(State::new(policy, now, heap)),
                rare: Rare::default(),
            }),
        }
    }

    /// Asks the processor for the lines that a put of a key with that hash will touch, all at once: each may have been written by
    /// another core.
    #[inline(always)]
    pub(super) fn expect_put(&self, hash: Hash) {
        self.published.prefetch_bucket(hash);
        let written = (&raw const *self.written).cast::<u8>();
        for line in HOT {
            prefetch_to_write(written.wrapping_add(line * LINE));
        }
    }

    /// Whether a put of a key with that hash, now, is to be timed: one in 64, by how many there have been, multiplied so that it
    /// does not run in step with what the program does. After [`Shard::expect_put`], which asks for that line to write.
    #[inline(always)]
    pub(super) fn is_sampled(&self, hash: Hash) -> bool {
        let spread = self.counted(Count::Puts).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (spread ^ hash.0.rotate_left(32)) >> (u64::BITS - 6) == 0
    }

    /// The lock itself, for [`Shard::locked`].
    #[inline(always)]
    pub(super) fn state(&self, shared: &Shared, now: impl FnOnce() -> Tick) -> MutexGuard<'_, State> {
        match self.written.state.lock() {
            Ok(state) => state,
            Err(poisoned) => self.set_aside(poisoned.into_inner(), shared, now()),
        }
    }

    /// The shard as a writer sees it, who has taken its lock.
    #[inline(always)]
    pub(super) fn locked<'a>(&'a self, state: MutexGuard<'a, State>, shared: &'a Shared) -> Locked<'a> {
        Locked { shard: self, shared, state, garbage: Garbage::none(&shared.heap), is_untouched: false }
    }

    /// The lock if nobody has it.
    pub(super) fn try_lock<'a>(&'a self, shared: &'a Shared) -> Option<Locked<'a>> {
        match self.written.state.try_lock() {
            Ok(state) => Some(self.locked(state, shared)),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }

    /// A thread that panicked under the lock may have left the state half changed. A cache may forget, but it may not
    /// lie: the state is set aside unread (its memory stays allocated) and an empty one takes its place. The panic itself
    /// was told to the logger where it was caught.
    #[cold]
    fn set_aside<'a>(&self, mut state: MutexGuard<'a, State>, shared: &Shared, now: Tick) -> MutexGuard<'a, State> {
        let _ = state.index.clear(&self.published);
        let chosen = state.chosen.clone();
        shared.budget.take_back_unused(&mut state.grant, 0, 0);
        std::mem::forget(std::mem::replace(&mut *state, State::new(&chosen, now, &shared.heap)));
        self.written.state.clear_poison();
        state
    }

    /// How often something has happened since the cache was made.
    pub(super) fn counted(&self, what: Count) -> u64 {
        self.written.count(what).load(Relaxed)
    }

    /// Entries in the shard.
    pub(super) fn entries(&self) -> u64 {
        self.written.figures.entries.load(Relaxed)
    }

    /// What entries, index, policy, wheel, versions and tags take.
    pub(super) fn bytes(&self) -> u64 {
        self.written.figures.bytes.load(Relaxed)
    }

    /// The index's part of it.
    pub(super) fn index_bytes(&self) -> u64 {
        self.written.rare.index.load(Relaxed)
    }

    /// What has left the shard and waits for readers.
    pub(super) fn lent(&self) -> u64 {
        self.written.figures.lent.load(Relaxed)
    }

    /// Gives up everything, announced, leased or not, except what a value pins. Nobody else uses the shard any more.
    pub(super) fn give_up(&mut self, heap: &Heap) {
        let state = self.written.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        for entry in state.index.iter() {
            reclaim::give_up(entry, heap);
        }
        for table in state.index.clear(&self.published) {
            state.retired.push_table(table, heap);
        }
        state.retired.give_up(heap);
    }
}
