//! What is done to a memory tier as a whole: sweeping, purging, changing its bounds, telling its figures, forking.

use super::arena::Heap;
use super::budget::Budget;
use super::policy::Chosen;
use super::put::PLAIN_VALUE;
use super::{barrier, record, shards_for, Count, Layout, Looked, Memory, Shard};
use crate::fork::Hold;
use crate::latency::Latency;
use crate::options::MemoryOptions;
use crate::stats::MemoryStatistics;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::Arc;

/// Entries that are taken out before a shard's lock is given to others again. In models few, as there are few.
const BATCH: usize = if cfg!(shuttle) { 2 } else { 256 };

impl Memory {
    /// Frees what has expired. Says how many entries that were.
    pub(crate) fn sweep(&self) -> u64 {
        let now = self.clock.now();
        let mut swept = 0;
        for shard in &self.shards {
            loop {
                let mut shard = self.lock(shard);
                let mut hints = BATCH;
                while let Some(expired) = shard.next_expired(now, &mut hints) {
                    self.expire(&mut shard, expired);
                    swept += 1;
                }
                drop(shard);
                self.tell();
                if hints > 0 {
                    break;
                }
            }
        }
        swept
    }

    /// Removes everything, gives the index back, and pages that hold nothing any more. Says how many entries there were.
    ///
    /// Readers find nothing from the first moment on; the entries are retired a few at a time, so that writers need not wait.
    pub(crate) fn clear(&self) -> u64 {
        let mut cleared = 0;
        for shard in &self.shards {
            let mut locked = self.lock(shard);
            cleared += locked.len() as u64;
            locked.count(Count::Removals, locked.len() as u64);
            let tables = locked.clear(self.clock.now());
            locked.give_back_unused();
            drop(locked);
            for table in tables {
                let mut from = 0;
                while self.lock(shard).retire_some(&table, &mut from, BATCH) {
                    self.tell();
                }
                self.lock(shard).retire_table(table);
            }
        }
        self.trim();
        cleared
    }

    /// Evicts from all shards in turn, at most `share` entries from one before the next has its turn, while `too_full`. What
    /// a shard was granted and does not use goes first. False: it still is too full, and there is nothing left.
    pub(super) fn shed(&self, share: usize, too_full: impl Fn() -> bool) -> bool {
        for shard in &self.shards {
            if !too_full() {
                return true;
            }
            self.lock(shard).give_back_unused();
        }
        let mut shed_any = true;
        while shed_any && too_full() {
            shed_any = false;
            for shard in &self.shards {
                let mut shard = self.lock(shard);
                shard.give_back_unused();
                let mut left = share;
                while left > 0 && too_full() && self.evict(&mut shard) {
                    if self.shared.budget.bounds_bytes() {
                        // What the policy remembers of the victim may take more than was granted.
                        let bytes = shard.bytes();
                        self.shared.budget.grant_anyway(shard.grant(), bytes);
                    }
                    shard.give_back_unused();
                    shed_any = true;
                    left -= 1;
                }
            }
        }
        !too_full()
    }

    /// As [`Memory::shed`], but only until many of those that have gone wait to be told. False: that is so, and there are more.
    fn shed_some(&self, too_full: impl Fn() -> bool) -> bool {
        self.shed(BATCH, || too_full() && !self.shared.departures.are_many());
        !(too_full() && self.shared.departures.are_many())
    }

    /// Changes the bound on entries; what is too many is evicted. False: as [`Memory::configure`].
    fn resize(&self, capacity: u64, shrinks: &mut bool) -> bool {
        *shrinks |= capacity < self.entries();
        self.shared.budget.set_capacity(capacity);
        if !self.shed_some(|| self.shared.budget.is_over_capacity()) {
            return false;
        }
        self.spread(capacity);
        self.set_exactness();
        if std::mem::take(shrinks) {
            for shard in &self.shards {
                self.lock(shard).shrink_index();
                while self.lock(shard).advance_growth(BATCH) {}
            }
            self.trim();
        }
        true
    }

    /// Moves the entries to as many shards as `capacity` asks for, of those that the cache was made with: a cache that has
    /// become small evicts in the exact order that a small cache promises, one that has become large again spreads out.
    ///
    /// Below the bound of one shard there are few entries on one side of the move, so nobody waits long for all the locks.
    /// Readers that miss meanwhile look again under a lock.
    fn spread(&self, capacity: u64) {
        let layout = Layout(self.layout.load(Relaxed));
        let wanted = (shards_for(capacity) as usize).min(self.shards.len());
        if self.fixed_shards || layout.shards() == wanted || (wanted > 1 && layout.shards() > 1) {
            return;
        }
        let mut shards: Vec<_> = self.shards.iter().map(|shard| self.lock(shard)).collect();
        let layout = Layout(self.layout.load(Acquire));
        self.layout.store(layout.next(layout.shards()).0, Release);
        let mut entries = Vec::new();
        let mut found = true;
        while found {
            found = false;
            // The oldest of each in turn, which is nearly the order of the whole.
            for shard in &mut shards {
                let Some(oldest) = shard.detach_victim() else { continue };
                entries.push(oldest);
                found = true;
            }
        }
        let layout = layout.next(layout.shards()).next(wanted);
        for (entry, version) in entries {
            let hash = self.hash(entry.key());
            let shard = &mut shards[layout.home(hash)];
            if !shard.attach(entry, version, hash) {
                shard.count(Count::Evictions, 1);
            }
        }
        // All grants go where they are needed; what is left over goes back.
        let mut all = Default::default();
        for shard in &mut shards {
            Budget::move_all(shard.grant(), &mut all);
        }
        for shard in &mut shards {
            let (entries, bytes) = (shard.len() as u64, shard.bytes().min(all.bytes));
            self.shared.budget.give(&mut all, shard.grant(), entries, bytes);
        }
        self.shared.budget.take_back_unused(&mut all, 0, 0);
        self.layout.store(layout.0, Release);
    }

    /// Changes everything that can change while the cache runs.
    ///
    /// False: so many entries have gone that they should be told, for which the caller releases its locks; then it calls this
    /// again. `shrinks` is for this alone, false at the first call.
    #[must_use]
    pub(crate) fn configure(&self, options: &MemoryOptions, shrinks: &mut bool) -> bool {
        self.set_live(options);
        let had_bound = self.shared.budget.bounds_bytes();
        self.shared.budget.set_max_bytes(options.max_bytes);
        if self.shared.budget.bounds_bytes() && !had_bound {
            // Without a bound nothing is granted.
            for shard in &self.shards {
                let mut shard = self.lock(shard);
                let bytes = shard.bytes();
                self.shared.budget.grant_anyway(shard.grant(), bytes);
            }
        }
        self.change_policy(options);
        self.resize(options.entries(), shrinks) && self.shed_some(|| self.shared.budget.is_over_bytes())
    }

    /// Hands the entries of each shard to the books of another policy, the one that should leave next first: under the
    /// shard's lock, which look-ups do not take; some 0.2 us an entry.
    fn change_policy(&self, options: &MemoryOptions) {
        if self.lock(&self.shards[0]).policy_name() == options.policy {
            return;
        }
        let policy = Chosen::new(options, &self.deciders, &self.shared.hasher);
        self.on_hit.change(&policy);
        for shard in &self.shards {
            let mut shard = self.lock(shard);
            let lost = shard.change_policy(&policy);
            shard.count(Count::Evictions, lost);
        }
    }

    pub(super) fn set_live(&self, options: &MemoryOptions) {
        self.live.ttl_nanos.store(options.ttl.as_nanos() as u64, Relaxed);
        self.live.ttl_jitter.store(options.ttl_jitter, Relaxed);
        self.live.max_value_size.store(options.max_value_size, Relaxed);
        self.live.compression.store(options.compression, Relaxed);
        self.live.compression_threshold.store(options.compression_threshold, Relaxed);
        let shortest_compressed = if options.compression { options.compression_threshold } else { u64::MAX };
        let plain_below = match options.max_value_size {
            0 => 0,
            _ if self.sliding => 0,
            max => PLAIN_VALUE.min(shortest_compressed).min(max.saturating_add(1)),
        };
        self.live.plain_below.store(plain_below, Relaxed);
        self.deciders.switch.set_threshold(options.lru_lfu_threshold);
    }

    /// Gives back to the system what holds nothing any more.
    fn trim(&self) {
        for shard in &self.shards {
            let mut shard = self.lock(shard);
            let garbage = shard.collect();
            shard.flush_magazine();
            drop(shard);
            drop(garbage);
        }
        self.shared.heap.trim();
    }

    /// Memory of the live entries and of what finds, orders and expires them.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// The shards are asked one after the other, and an entry that leaves one while another comes into the next is counted
    /// twice; but there are never more than are granted.
    fn entries(&self) -> u64 {
        let sum: u64 = self.shards.iter().map(Shard::entries).sum();
        sum.min(self.shared.budget.granted_entries())
    }

    /// Whether the tier's memory is an arena of its own.
    pub(crate) fn has_arena(&self) -> bool {
        self.shared.heap.is_arena()
    }

    /// What can be told without a lock: everything but `active_bytes` and latencies; `lent_bytes` may count what only waits to be freed.
    pub(crate) fn figures(&self) -> MemoryStatistics {
        let sum = |what: Count| self.shards.iter().map(|shard| shard.counted(what)).sum();
        MemoryStatistics {
            hits: self.looked.sum(Looked::Hits as usize),
            misses: self.looked.sum(Looked::Misses as usize),
            puts: sum(Count::Puts),
            removals: sum(Count::Removals),
            entries: self.entries(),
            capacity: self.shared.budget.capacity(),
            bytes: self.bytes(),
            max_bytes: self.shared.budget.max_bytes(),
            index_bytes: self.shards.iter().map(Shard::index_bytes).sum(),
            lent_bytes: self.shards.iter().map(Shard::lent).sum::<u64>() + self.shared.heap.detached(),
            active_bytes: 0,
            evictions: sum(Count::Evictions),
            expirations: sum(Count::Expirations),
            compressed_puts: sum(Count::CompressedPuts),
            compression_input_bytes: sum(Count::CompressionInput),
            compression_output_bytes: sum(Count::CompressionOutput),
            untold_departures: self.shared.departures.untold(),
            reads: Latency::default(),
            writes: Latency::default(),
        }
    }

    pub(crate) fn statistics(&self) -> MemoryStatistics {
        for shard in &self.shards {
            let mut shard = self.lock(shard);
            let garbage = shard.collect();
            drop(shard);
            drop(garbage);
        }
        MemoryStatistics {
            active_bytes: self.shared.heap.active(),
            reads: self.read_times.latency(),
            writes: self.write_times.latency(),
            ..self.figures()
        }
    }

    /// Every lock of the tier but those of its heap, for the time of a fork; always in the same order.
    pub(crate) fn hold(&self) -> Box<dyn Hold + '_> {
        let shards: Vec<_> = self.shards.iter().map(|shard| self.lock(shard).only_hold()).collect();
        // The chooser's is only ever tried for under a shard's lock, so nobody waits for it with one.
        Box::new((shards, self.shared.departures.hold(), self.deciders.chooser.hold()))
    }

    /// Where the entries are. Values keep it when the cache has gone, so a fork has to be told of it too.
    pub(crate) fn heap(&self) -> &Arc<Heap> {
        &self.shared.heap
    }

    /// In a forked child, which has none of its parent's other threads.
    pub(crate) fn after_fork_in_child(&self) {
        barrier::prepare();
        record::forget_other_threads();
        self.shared.departures.after_fork_in_child();
    }

    /// Evicts until the tier holds at most `held` bytes, or only its index, and gives pages that hold nothing any more back
    /// to the system. Says how many bytes less it holds. Each shard gives its part.
    pub(crate) fn shrink(&self, held: u64) -> u64 {
        let before = self.bytes();
        for shard in &self.shards {
            let part = (u128::from(shard.bytes()) * u128::from(held) / u128::from(before.max(1))) as u64;
            loop {
                let mut shard = self.lock(shard);
                let mut left = BATCH;
                while left > 0 && shard.bytes() > part && self.evict(&mut shard) {
                    left -= 1;
                }
                shard.give_back_unused();
                drop(shard);
                self.tell();
                if left > 0 {
                    break;
                }
            }
        }
        self.trim();
        before.saturating_sub(self.bytes())
    }
}
