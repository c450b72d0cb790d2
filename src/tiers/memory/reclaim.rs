//! When memory that was taken out of a shard may be given back: when no thread can be reading it any more.
//!
//! # Protocol
//!
//! Readers take no lock. What they read is kept by hazard pointers (Michael, "Hazard Pointers: Safe Memory Reclamation for
//! Lock-Free Objects", IEEE TPDS 2004), of which each thread's record has three and the slots of its leases:
//!
//! 1. A reader writes the address of what it is going to read into a slot of its record ([`hazard::announce`]), passes the light
//!    half of the barrier pair, and looks whether the place where it found the address still holds it. If it does, the
//!    thing may be read until the slot is overwritten or cleared; else the reader begins again.
//! 2. A writer, under the shard's lock, first takes a thing out of every place where readers can find it, and then
//!    retires it ([`Retired`]).
//! 3. To give memory back it passes the heavy half of the barrier pair, and then looks into all slots. A reader that
//!    announced before that is seen; one that announced later finds the place changed, since that came before. What stands
//!    in no slot is freed.
//! 4. Slots are written with release order and read with acquire order: whoever no longer finds an address in any slot may
//!    free it, since all reads under the former announcement came before.
//!
//! So a reader that is stopped in the middle holds back what it announced (an entry, and the one or two tables it is
//! looking into), not what was retired after it. What waits is bounded: by a count that follows the number of slots there
//! are, and by bytes.
#![allow(unsafe_code)]

use super::arena::{Heap, Magazine};
use super::barrier;
use super::entry::{EntryRef, Header};
use super::hazard;
use super::index::OldTable;
use super::record::{self, Record};
use crate::stats::Stripe;
use crate::sync::atomic::AtomicPtr;

/// A thread that is looking something up. What it has announced is withdrawn when this is dropped; there is one at a time
/// in a thread.
pub(super) struct Reader {
    record: &'static Record,
}

impl Reader {
    /// `None` when there is no memory for the thread's record.
    #[inline(always)]
    pub(super) fn enter() -> Option<Self> {
        Record::mine().map(|record| Self { record })
    }

    #[inline(always)]
    pub(super) fn record(&self) -> &'static Record {
        self.record
    }

    /// Where this look-up announces its entry, unless a lease does.
    #[inline(always)]
    pub(super) fn hazard(&self) -> &'static AtomicPtr<Header> {
        &self.record.entry
    }

    /// Which stripe of a counter belongs to the thread.
    #[inline(always)]
    pub(super) fn stripe(&self) -> Stripe {
        Stripe::of_thread(self.record.number())
    }

    /// Announces a table in one of two places; false when it is no longer in use.
    #[inline(always)]
    pub(super) fn announce_table(&self, which: usize, table: *mut u8, is_in_use: impl FnOnce() -> bool) -> bool {
        hazard::announce(&self.record.tables[which], table, is_in_use)
    }
}

impl Drop for Reader {
    #[inline(always)]
    fn drop(&mut self) {
        hazard::withdraw(&self.record.entry);
        hazard::withdraw(&self.record.tables[0]);
        // Only written while an index grows, and its line is at hand.
        hazard::withdraw(&self.record.tables[1]);
    }
}

/// Entries that wait before it is looked whether they can go. Below, looking would cost more than it brings. Arbitrary within
/// a factor of four.
const COUNT: usize = 64;
/// A shard waits for somebody else's barrier until this part of its entries, but at least [`COUNT`] and at most [`MOST`] of
/// them, is waiting; then it sees to one itself.
const PART: usize = 8;
const MOST: usize = 512;
/// The same in bytes: memory should not stay away for longer than anybody wants.
const BYTES: u64 = 1 << 20;

/// The pages of a table of this size are given back to the system at once.
const LARGE_TABLE: u64 = 256 << 10;

/// What has left a shard and waits for its readers. Under the shard's lock.
pub(super) struct Retired {
    entries: Vec<EntryRef>,
    tables: Vec<OldTable>,
    /// So many of the entries, and of the tables, came before `ticket` was taken.
    sealed: (usize, usize),
    ticket: u64,
    bytes: u64,
    /// It is looked whether something can go when either is reached.
    due_count: usize,
    due_bytes: u64,
    /// So often a table that waits is passed over.
    patience: usize,
    /// Kept for its memory.
    announced: Vec<usize>,
}

/// Large blocks that nobody can be reading. Dropping it frees them; do that outside the shard's lock.
pub(super) struct Garbage<'a> {
    entries: Vec<EntryRef>,
    tables: Vec<OldTable>,
    /// The barrier that everything waits for should be passed now.
    wants_barrier: bool,
    heap: &'a Heap,
}

impl Retired {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            tables: Vec::new(),
            sealed: (0, 0),
            ticket: 0,
            bytes: 0,
            due_count: COUNT,
            due_bytes: BYTES,
            patience: 0,
            announced: Vec::new(),
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over an entry that has just left the shard. `size`: what the allocator takes for it.
    #[inline]
    pub(super) fn push(&mut self, entry: EntryRef, size: u64) {
        if self.entries.len() < self.entries.capacity() || self.entries.try_reserve(1).is_ok() {
            self.bytes += size;
            self.entries.push(entry);
        }
        // Without memory for the list the entry is given up for lost: a leak is better than a pointer that dangles.
    }

    /// Takes over a table that readers can no longer find.
    pub(super) fn push_table(&mut self, table: OldTable, heap: &Heap) {
        if table.address() != 0 && self.tables.try_reserve(1).is_ok() {
            self.bytes += table.size(heap);
            self.tables.push(table);
            self.patience = 0;
        }
    }

    #[inline]
    pub(super) fn is_due(&mut self) -> bool {
        // In models as soon as there is anything, so that races come sooner.
        self.entries.len() >= self.due_count || self.bytes >= self.due_bytes || self.table_is_due() || cfg!(shuttle)
    }

    /// A table is as large as many entries, and seldom; one that a reader holds back is not looked at each time.
    #[inline]
    fn table_is_due(&mut self) -> bool {
        self.patience = self.patience.saturating_sub(1);
        !self.tables.is_empty() && self.patience == 0
    }

    /// Frees what has waited for long enough, in a shard of so many entries; large blocks are left to the caller.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(super) fn collect_some<'a>(&mut self, heap: &'a Heap, magazine: &mut Magazine, shard: usize) -> Garbage<'a> {
        let mut garbage = Garbage::none(heap);
        if record::am_alone() {
            self.seal();
            self.free_sealed(heap, magazine, &mut garbage);
            return garbage;
        }
        if self.sealed != (0, 0) && barrier::has_passed(self.ticket) {
            self.free_sealed(heap, magazine, &mut garbage);
        }
        if self.sealed == (0, 0) {
            self.seal();
        }
        let most = (shard / PART).clamp(COUNT, MOST).max(self.due_count);
        let table_is_due = !self.tables.is_empty() && self.patience == 0;
        if self.entries.len() >= most || self.bytes >= self.due_bytes || table_is_due {
            garbage.wants_barrier = true;
        } else {
            self.due_count = self.entries.len() + COUNT / 2;
        }
        garbage
    }

    /// Frees whatever nobody can be reading, now.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(super) fn collect_all<'a>(&mut self, heap: &'a Heap, magazine: &mut Magazine) -> Garbage<'a> {
        let mut garbage = Garbage::none(heap);
        self.seal();
        if self.sealed != (0, 0) && (record::am_alone() || barrier::heavy()) {
            self.free_sealed(heap, magazine, &mut garbage);
        }
        garbage
    }

    fn seal(&mut self) {
        self.sealed = (self.entries.len(), self.tables.len());
        self.ticket = barrier::ticket();
    }

    /// Steps 3 and 4 of the protocol, after the barrier.
    fn free_sealed(&mut self, heap: &Heap, magazine: &mut Magazine, garbage: &mut Garbage<'_>) {
        let mut announced = std::mem::take(&mut self.announced);
        if let Some(looked) = record::snapshot(&mut announced) {
            let is_held = |address: usize| !announced.is_empty() && announced.binary_search(&address).is_ok();
            let (mut number, sealed, mut waiting) = (0, self.sealed.0, 0);
            let mut freed = 0;
            self.entries.retain(|entry| {
                number += 1;
                if number > sealed {
                    return true;
                }
                if is_held(entry.as_ptr().addr()) {
                    waiting += 1;
                    return true;
                }
                let size = entry.size(heap);
                freed += size;
                if heap.pins.orphan(*entry, || heap.detach(size)) {
                    // The last value frees it, perhaps has already.
                } else if entry.is_large() && garbage.entries.try_reserve(1).is_ok() {
                    garbage.entries.push(*entry);
                } else {
                    // SAFETY: it left the shard before the barrier, and is neither announced, leased nor pinned.
                    unsafe { entry.free(heap, magazine) };
                }
                false
            });
            for (number, table) in std::mem::take(&mut self.tables).into_iter().enumerate() {
                if number >= self.sealed.1 || is_held(table.address()) {
                    self.tables.push(table);
                } else {
                    freed += table.size(heap);
                    if garbage.tables.try_reserve(1).is_ok() {
                        garbage.tables.push(table);
                    } else {
                        // SAFETY: readers could no longer find it before the barrier, and nobody announces it.
                        unsafe { table.free(heap) };
                    }
                }
            }
            self.bytes -= freed;
            // A quarter of the slots that had to be looked at: four slots an entry. Twice what is held, so that a thread
            // that keeps many results does not make every removal look again.
            self.due_count = COUNT + looked / 4 + 2 * waiting;
            self.due_bytes = BYTES + 2 * self.bytes;
        }
        self.announced = announced;
        self.sealed = (0, 0);
        self.patience = COUNT;
    }

    /// Gives up everything, announced, leased or not: the cache is being destroyed, and classic results end with it. What a
    /// value pins stays until that is dropped.
    pub(super) fn give_up(&mut self, heap: &Heap) {
        for entry in self.entries.drain(..) {
            give_up(entry, heap);
        }
        for table in self.tables.drain(..) {
            // SAFETY: nobody is in a call on this cache any more.
            unsafe { table.free(heap) };
        }
    }
}

/// The end of an entry of a cache that is being destroyed: freed, unless a value pins it.
pub(super) fn give_up(entry: EntryRef, heap: &Heap) {
    if !heap.pins.orphan(entry, || heap.detach(entry.size(heap))) {
        // SAFETY: nobody is in a call on this cache any more, its classic results have ended, and no value pins the entry.
        unsafe { entry.free(heap, &mut Magazine::none()) };
    }
}

impl<'a> Garbage<'a> {
    pub(super) fn none(heap: &'a Heap) -> Self {
        Self { entries: Vec::new(), tables: Vec::new(), wants_barrier: false, heap }
    }
}

impl Drop for Garbage<'_> {
    fn drop(&mut self) {
        if self.wants_barrier {
            // Who comes next to a shard that waits for it will find that it has been passed.
            barrier::heavy();
        }
        for entry in self.entries.drain(..) {
            // SAFETY: `free_sealed` found nobody who could be reading it, and has taken it off the list.
            unsafe { entry.free(self.heap, &mut Magazine::none()) };
        }
        for table in self.tables.drain(..) {
            let is_large = table.size(self.heap) >= LARGE_TABLE;
            // SAFETY: as above, and readers cannot find it any more.
            unsafe { table.free(self.heap) };
            if is_large && self.heap.is_arena() {
                // Else it would stay resident until the arena is used again. malloc gives blocks of that size back by itself.
                self.heap.trim();
            }
        }
    }
}
