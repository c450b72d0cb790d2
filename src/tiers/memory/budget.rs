//! How much the cache may hold. Entries are counted here, across the shards; bytes are counted where they are handed
//! out, by the heap.

use crate::options::UNBOUNDED;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// The bounds, which may change at any time, and the count of entries.
///
/// A place is reserved before an entry goes in, so the count never passes the capacity; a full cache hands the place of
/// its victim on, so that the count is written only while the cache fills or shrinks.
///
/// When the capacity is lowered, whoever lowers it evicts the surplus, and so does a put whose reservation was under way:
/// one writes the capacity and then reads the count, the other the count and then the capacity, in one order of all
/// (`SeqCst`), so at least one of them sees that there are too many.
pub(super) struct Budget {
    capacity: AtomicU64,
    max_bytes: AtomicU64,
    entries: AtomicU64,
}

impl Budget {
    pub(super) fn new(capacity: u64, max_bytes: u64) -> Self {
        Self { capacity: capacity.into(), max_bytes: max_bytes.into(), entries: AtomicU64::new(0) }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(SeqCst)
    }

    pub(super) fn set_capacity(&self, capacity: u64) {
        self.capacity.store(capacity, SeqCst);
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Relaxed)
    }

    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Relaxed);
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.load(SeqCst)
    }

    /// Takes a place if there is one.
    pub(super) fn reserve(&self) -> bool {
        let taken = |entries: u64| (entries < self.capacity()).then_some(entries + 1);
        self.entries.fetch_update(SeqCst, SeqCst, taken).is_ok()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries() >= self.capacity()
    }

    /// Gives places back.
    pub(super) fn release(&self, entries: u64) {
        self.entries.fetch_sub(entries, Relaxed);
    }

    /// Whether there are more entries than there may be, as after the capacity was lowered.
    pub(super) fn is_over_capacity(&self) -> bool {
        self.entries() > self.capacity()
    }

    /// Whether that many bytes are more than there may be.
    pub(super) fn is_over_bytes(&self, held: u64) -> bool {
        let max_bytes = self.max_bytes();
        max_bytes != UNBOUNDED && held > max_bytes
    }
}
