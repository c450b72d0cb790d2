//! How much the cache may hold: a bound on entries, a bound on bytes, and which part of each has been granted to a shard.
//!
//! A shard never holds more entries than it was granted, and what was granted never exceeds the bounds, so the cache
//! never does. (Bytes of the shard's books that a put could not foresee are granted, or paid by evictions, before it
//! ends.) A shard gets and gives back several at a time, so that threads in different shards seldom write the same line.

use crate::options::UNBOUNDED;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// The bounds, which may change at any time, and what of them is granted.
///
/// When a bound is lowered, whoever lowers it takes grants back, and a shard that asks for more meanwhile gets none: one
/// writes the bound and then reads what is granted, the other writes what is granted and then reads the bound (again), in
/// one order of all (`SeqCst`), so at least one of them sees that there is too much.
pub(super) struct Budget {
    entries: Bound,
    bytes: Bound,
}

struct Bound {
    most: AtomicU64,
    granted: AtomicU64,
}

/// What a shard was granted. Under the shard's lock.
#[derive(Default)]
pub(super) struct Grant {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Bound {
    fn new(most: u64) -> Self {
        Self { most: most.into(), granted: AtomicU64::new(0) }
    }

    fn most(&self) -> u64 {
        self.most.load(SeqCst)
    }

    fn granted(&self) -> u64 {
        self.granted.load(SeqCst)
    }

    /// Grants `needed`, and up to `liked` where there is room; 0 when there is not even room for `needed`.
    fn grant(&self, needed: u64, liked: u64) -> u64 {
        let mut grant = 0;
        let granted = self.granted.fetch_update(SeqCst, SeqCst, |granted| {
            grant = self.most().saturating_sub(granted).min(liked.max(needed));
            (grant >= needed).then(|| granted + grant)
        });
        let Ok(before) = granted else { return 0 };
        if before + grant > self.most() {
            // The bound was lowered since it was read, by somebody who may have seen less granted than this.
            self.take_back(grant);
            return 0;
        }
        grant
    }

    fn take_back(&self, grant: u64) {
        self.granted.fetch_sub(grant, SeqCst);
    }
}

impl Budget {
    pub(super) fn new(capacity: u64, max_bytes: u64) -> Self {
        Self { entries: Bound::new(capacity), bytes: Bound::new(max_bytes) }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.entries.most()
    }

    pub(super) fn set_capacity(&self, capacity: u64) {
        self.entries.most.store(capacity, SeqCst);
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.bytes.most.load(Relaxed)
    }

    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        self.bytes.most.store(max_bytes, SeqCst);
    }

    pub(super) fn bounds_bytes(&self) -> bool {
        self.max_bytes() != UNBOUNDED
    }

    /// Whether more entries are granted than there may be, as after the capacity was lowered.
    pub(super) fn is_over_capacity(&self) -> bool {
        self.entries.granted() > self.entries.most()
    }

    /// Whether more bytes are granted than there may be.
    pub(super) fn is_over_bytes(&self) -> bool {
        self.bytes.granted() > self.bytes.most()
    }

    /// How many entries are granted: at least as many as there are.
    pub(super) fn granted_entries(&self) -> u64 {
        self.entries.granted()
    }

    /// Whether no further entry can be granted.
    pub(super) fn is_full(&self) -> bool {
        self.entries.granted() >= self.entries.most()
    }

    /// Whether so many bytes cannot be granted.
    pub(super) fn lacks_bytes(&self, bytes: u64) -> bool {
        self.bytes.most().saturating_sub(self.bytes.granted()) < bytes
    }

    /// Sees to it that a shard, one of so many, may hold `entries`. False when the bound does not allow it.
    #[inline]
    pub(super) fn cover_entries(&self, grant: &mut Grant, entries: u64, shards: usize) -> bool {
        grant.entries >= entries || self.grant_entries(grant, entries, shards)
    }

    fn grant_entries(&self, grant: &mut Grant, entries: u64, shards: usize) -> bool {
        let more = self.entries.grant(entries - grant.entries, self.entries_at_once(shards));
        grant.entries += more;
        more > 0
    }

    /// The same for bytes.
    #[inline]
    pub(super) fn cover_bytes(&self, grant: &mut Grant, bytes: u64, shards: usize) -> bool {
        if !self.bounds_bytes() || grant.bytes >= bytes {
            return true;
        }
        let more = self.bytes.grant(bytes - grant.bytes, self.bytes_at_once(shards));
        grant.bytes += more;
        more > 0
    }

    /// Takes back what a shard that holds so much does not need, unless it is too little to be worth while.
    #[inline]
    pub(super) fn balance(&self, grant: &mut Grant, entries: u64, bytes: u64, shards: usize) {
        let worth = |granted: u64, held: u64, at_once: u64| granted > held.saturating_add(2 * at_once);
        if grant.entries > entries && worth(grant.entries, entries, self.entries_at_once(shards)) {
            self.entries.take_back(grant.entries - entries);
            grant.entries = entries;
        }
        if grant.bytes > bytes && worth(grant.bytes, bytes, self.bytes_at_once(shards)) {
            self.bytes.take_back(grant.bytes - bytes);
            grant.bytes = bytes;
        }
    }

    /// Takes back all that a shard which holds so much does not need.
    pub(super) fn take_back_unused(&self, grant: &mut Grant, entries: u64, bytes: u64) {
        let (unused_entries, unused_bytes) = (grant.entries.saturating_sub(entries), grant.bytes.saturating_sub(bytes));
        self.entries.take_back(unused_entries);
        self.bytes.take_back(unused_bytes);
        grant.entries -= unused_entries;
        grant.bytes -= unused_bytes;
    }

    /// Grants bytes that are held already, whatever the bound.
    pub(super) fn grant_anyway(&self, grant: &mut Grant, bytes: u64) {
        let more = bytes.saturating_sub(grant.bytes);
        self.bytes.granted.fetch_add(more, SeqCst);
        grant.bytes += more;
    }

    /// Moves so much of a grant to another one.
    pub(super) fn give(&self, from: &mut Grant, to: &mut Grant, entries: u64, bytes: u64) {
        from.entries -= entries;
        to.entries += entries;
        from.bytes -= bytes;
        to.bytes += bytes;
    }

    /// Moves a grant from one shard to another, as entries move.
    pub(super) fn move_all(from: &mut Grant, to: &mut Grant) {
        to.entries += std::mem::take(&mut from.entries);
        to.bytes += std::mem::take(&mut from.bytes);
    }

    /// How many entries a shard gets at once: one where there is one shard, so that it is full at its capacity, else so many
    /// that all shards together leave at most 3% of the capacity unused.
    fn entries_at_once(&self, shards: usize) -> u64 {
        if shards == 1 {
            return 1;
        }
        (self.entries.most.load(Relaxed) / (70 * shards as u64)).clamp(1, 1024)
    }

    fn bytes_at_once(&self, shards: usize) -> u64 {
        (self.max_bytes() / (70 * shards as u64)).clamp(1 << 10, 1 << 20)
    }
}
