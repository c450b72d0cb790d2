//! When a removed entry's memory may be given back: when no thread's lease names it any more.
//!
//! An entry that leaves a shard is retired here, under the shard's lock. From time to time the list is held against the
//! leases of all threads (see `lease`, "Protocol"), and the cache gives up its share of every entry that nobody holds.
//! That is done by whoever retired the last one, after the lock was released, so that no one waits for an allocator.
//!
//! What is waiting is bounded: by a count that follows the number of leases there can be, and by bytes.
#![allow(unsafe_code)]

use super::arena::Heap;
use super::entry::EntryRef;
use super::lease;

/// Entries and bytes that may wait before the leases are looked at for the first time. Below, looking would cost more
/// than it brings; above, memory would stay away for longer than anybody wants. Arbitrary within a factor of four.
const COUNT: usize = 64;
const BYTES: u64 = 1 << 20;

/// The entries of one shard that wait for their readers.
pub(super) struct Retired {
    entries: Vec<EntryRef>,
    bytes: u64,
    /// The leases are looked at when either is reached.
    due_count: usize,
    due_bytes: u64,
}

/// Entries that nobody can be reading. Dropping it lets go of them; do that outside the shard's lock.
pub(super) struct Garbage<'a> {
    entries: Vec<EntryRef>,
    heap: &'a Heap,
}

impl Retired {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), bytes: 0, due_count: COUNT, due_bytes: BYTES }
    }

    /// Takes over the cache's share of an entry that has just left the shard. Called under the shard's lock.
    pub(super) fn push(&mut self, entry: EntryRef, heap: &Heap) {
        entry.lend(heap);
        if self.entries.try_reserve(1).is_ok() {
            self.bytes += entry.size(heap);
            self.entries.push(entry);
        }
        // Without memory for the list the entry is given up for lost: a leak is better than a pointer that dangles.
    }

    pub(super) fn is_due(&self) -> bool {
        self.entries.len() >= self.due_count || self.bytes >= self.due_bytes
    }

    /// Takes out what no lease holds. Called under the shard's lock.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(super) fn collect<'a>(&mut self, heap: &'a Heap) -> Garbage<'a> {
        let nothing = Garbage { entries: Vec::new(), heap };
        if self.entries.is_empty() {
            return nothing;
        }
        let Some((leases, looked)) = lease::snapshot() else { return nothing };
        let is_held = |entry: &EntryRef| leases.binary_search(&entry.as_ptr()).is_ok();
        let mut held = Vec::new();
        if held.try_reserve(leases.len().min(self.entries.len())).is_err() {
            return nothing;
        }
        held.extend(self.entries.iter().copied().filter(is_held));
        let mut entries = std::mem::take(&mut self.entries);
        if !held.is_empty() {
            entries.retain(|entry| !is_held(entry));
        }
        self.entries = held;
        self.bytes = self.entries.iter().map(|entry| entry.size(heap)).sum();
        // A quarter of the slots that had to be looked at: four slots an entry. Twice what is held, so that a thread
        // that keeps many results does not make every removal look again.
        self.due_count = COUNT + looked / 4 + 2 * self.entries.len();
        self.due_bytes = BYTES + 2 * self.bytes;
        Garbage { entries, heap }
    }

    /// Takes out everything, leased or not: the cache is being destroyed, and classic results end with it.
    pub(super) fn take_all<'a>(&mut self, heap: &'a Heap) -> Garbage<'a> {
        Garbage { entries: std::mem::take(&mut self.entries), heap }
    }
}

impl<'a> Garbage<'a> {
    pub(super) fn none(heap: &'a Heap) -> Self {
        Self { entries: Vec::new(), heap }
    }
}

impl Drop for Garbage<'_> {
    fn drop(&mut self) {
        for entry in self.entries.drain(..) {
            // SAFETY: the list of retired entries owned the cache's share and has lent the entry; no lease names it, so
            // nobody reads it without a share of its own.
            unsafe { entry.release(self.heap) };
        }
    }
}
