//! What is done to a memory tier as a whole: sweeping, purging, changing its bounds, telling its figures, forking.

use super::{home, lease, shards_for, Count, Memory};
use crate::fork::Hold;
use crate::options::MemoryOptions;
use crate::stats::MemoryStatistics;
use std::sync::atomic::Ordering::Relaxed;

/// Entries that are taken out before a shard's lock is given to others again.
const BATCH: usize = 256;

impl Memory {
    /// Frees what has expired. Says how many entries that were.
    pub(crate) fn sweep(&self) -> u64 {
        let now = self.clock.now();
        let mut swept = 0;
        for shard in &self.shards {
            loop {
                let mut state = self.lock(shard);
                let before = swept;
                while swept < before + BATCH as u64 {
                    let Some(due) = state.due(now) else { break };
                    self.expire(&mut state, due);
                    swept += 1;
                }
                self.unlock(state);
                if swept < before + BATCH as u64 {
                    break;
                }
            }
        }
        swept
    }

    /// Removes everything, gives the index back, and pages that hold nothing any more. Says how many entries there were.
    pub(crate) fn clear(&self) -> u64 {
        let mut cleared = 0;
        for shard in &self.shards {
            let mut state = self.lock(shard);
            let count = state.clear(self.policy, self.clock.now(), &self.heap);
            self.budget.release(count);
            cleared += count;
            let garbage = state.collect(&self.heap);
            drop(state);
            drop(garbage);
        }
        self.count(Count::Removals, cleared);
        self.heap.trim();
        cleared
    }

    /// Removes every entry whose key begins with `prefix`. Says how many those were.
    pub(crate) fn purge_prefix(&self, prefix: &[u8]) -> u64 {
        let now = self.clock.now();
        let mut purged = 0;
        for shard in &self.shards {
            let mut state = self.lock(shard);
            for entry in state.matching(|entry| entry.key().starts_with(prefix)) {
                if entry.is_expired(now) {
                    self.expire(&mut state, entry);
                } else {
                    self.take_out(&mut state, entry, Count::Removals);
                    purged += 1;
                }
            }
            self.unlock(state);
        }
        purged
    }

    /// Evicts from all shards in turn, at most `share` entries from one before the next has its turn, while `too_full`.
    pub(super) fn shed(&self, share: usize, too_full: impl Fn() -> bool) {
        let mut shed_any = true;
        while shed_any && too_full() {
            shed_any = false;
            for shard in &self.shards {
                let mut state = self.lock(shard);
                let mut left = share;
                while left > 0 && too_full() && self.evict(&mut state) {
                    self.budget.release(1);
                    shed_any = true;
                    left -= 1;
                }
                self.unlock(state);
            }
        }
    }

    /// Changes the bound on entries; what is too many is evicted before this returns.
    pub(crate) fn resize(&self, capacity: u64) {
        let shrinks = capacity < self.budget.entries();
        self.budget.set_capacity(capacity);
        self.shed(BATCH, || self.budget.is_over_capacity());
        self.spread(capacity);
        if shrinks {
            self.heap.trim();
        }
    }

    /// Moves the entries to as many shards as `capacity` asks for, of those that the cache was made with: a cache that has
    /// become small evicts in the exact order that a small cache promises, one that has become large again spreads out.
    ///
    /// Below the bound of one shard there are few entries on one side of the move, so nobody waits long for all the locks.
    fn spread(&self, capacity: u64) {
        let wanted = (shards_for(capacity) as usize).min(self.shards.len());
        if self.fixed_shards || self.in_use.load(Relaxed) == wanted || (wanted > 1 && self.in_use.load(Relaxed) > 1) {
            return;
        }
        let mut states: Vec<_> = self.shards.iter().map(|shard| self.lock(shard)).collect();
        let mut entries = Vec::new();
        let mut found = true;
        while found {
            found = false;
            // The oldest of each in turn, which is nearly the order of the whole.
            for state in &mut states {
                let Some(oldest) = state.victim() else { continue };
                state.detach(oldest);
                entries.push(oldest);
                found = true;
            }
        }
        self.in_use.store(wanted, Relaxed);
        for entry in entries {
            let state = &mut states[home(entry.hash(), wanted)];
            if state.reserve(&self.heap) {
                state.insert(entry);
            } else {
                state.retire(entry, &self.heap);
                self.budget.release(1);
                self.count(Count::Evictions, 1);
            }
        }
    }

    /// Changes everything that can change while the cache runs.
    pub(crate) fn configure(&self, options: &MemoryOptions) {
        self.set_live(options);
        self.budget.set_max_bytes(options.max_bytes);
        self.resize(options.entries());
        self.shed(BATCH, || self.budget.is_over_bytes(self.heap.held()));
    }

    pub(super) fn set_live(&self, options: &MemoryOptions) {
        self.live.ttl_nanos.store(options.ttl.as_nanos() as u64, Relaxed);
        self.live.max_value_size.store(options.max_value_size, Relaxed);
        self.live.compression.store(options.compression, Relaxed);
        self.live.compression_threshold.store(options.compression_threshold, Relaxed);
    }

    /// Memory of the live entries and of the index.
    pub(crate) fn bytes(&self) -> u64 {
        self.heap.held()
    }

    /// Whether the tier's memory is an arena of its own.
    pub(crate) fn has_arena(&self) -> bool {
        self.heap.is_arena()
    }

    /// What can be told without a lock: everything but `active_bytes`; `lent_bytes` may count what only waits to be freed.
    pub(crate) fn figures(&self) -> MemoryStatistics {
        let sum = |what: Count| self.counters.sum(what as usize);
        MemoryStatistics {
            hits: sum(Count::Hits),
            misses: sum(Count::Misses),
            puts: sum(Count::Puts),
            removals: sum(Count::Removals),
            entries: self.budget.entries(),
            capacity: self.budget.capacity(),
            bytes: self.heap.held(),
            max_bytes: self.budget.max_bytes(),
            index_bytes: self.heap.index(),
            lent_bytes: self.heap.lent(),
            active_bytes: 0,
            evictions: sum(Count::Evictions),
            expirations: sum(Count::Expirations),
            compressed_puts: sum(Count::CompressedPuts),
            compression_input_bytes: sum(Count::CompressionInput),
            compression_output_bytes: sum(Count::CompressionOutput),
        }
    }

    pub(crate) fn statistics(&self) -> MemoryStatistics {
        for shard in &self.shards {
            let garbage = self.lock(shard).collect(&self.heap);
            drop(garbage);
        }
        MemoryStatistics { active_bytes: self.heap.active(), ..self.figures() }
    }

    /// Every lock of the tier, for the time of a fork; always in the same order.
    pub(crate) fn hold(&self) -> Box<dyn Hold + '_> {
        Box::new(self.shards.iter().map(|shard| self.lock(shard)).collect::<Vec<_>>())
    }

    /// In a forked child, which has none of its parent's other threads.
    pub(crate) fn after_fork_in_child(&self) {
        lease::forget_other_threads();
    }
}
