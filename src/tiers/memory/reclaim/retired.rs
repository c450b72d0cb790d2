//! What has left a shard and waits until nobody can be reading it: steps 2 to 4 of the protocol. Says what may be freed, and frees
//! what takes no time.

use super::super::arena::{Block, Heap, Magazine};
use super::super::entry::{prefetch_to_write, EntryRef, LARGE};
use super::super::index::OldTable;
use super::super::record;
use super::garbage::{Garbage, Left};
use super::give_up;
use std::alloc::Layout;

/// Entries that wait before it is looked whether they can go. Below, looking would cost more than it brings. Arbitrary within
/// a factor of four.
const COUNT: usize = 64;
/// A shard waits for all threads to know what has left, or for somebody's barrier, until this part of its entries, but at least
/// [`COUNT`] and at most [`MOST`] of them, is waiting, and half of [`COUNT`] since it last looked; then it sees to a barrier itself.
const PART: usize = 8;
const MOST: usize = 512;
/// The same in bytes: memory should not stay away for longer than anybody wants.
const BYTES: u64 = 1 << 20;

/// So many entries that nobody can be reading, and bytes of them, are kept as memory for the next ones of their size: as many as
/// become free at once, so that in a cache which is full of entries of one size no block goes to the magazine and back. (That
/// way, and back, was a twentieth of a put's instructions.)
const KEPT: usize = 2 * COUNT;
const KEPT_BYTES: u64 = 64 << 10;

/// How many of the others a put frees: more than it retires, and few, so that no put waits.
const FREED_PER_PUT: usize = 4;
/// The same while more bytes wait than should.
const FREED_IN_NEED: usize = 64;

/// An entry that has left its shard, and what the allocator takes for it.
struct Gone {
    entry: EntryRef,
    size: u64,
}

/// What has left a shard: on its way from `waiting` through `sealed` to `free`. Under the shard's lock.
#[repr(C)]
pub(in super::super) struct Retired {
    /// Since the last moment began.
    waiting: Vec<Gone>,
    /// Nobody can be reading them any more.
    free: Vec<Gone>,
    /// What those in `free` take.
    free_bytes: u64,
    /// What all others take, and the tables. Up to here every put writes, the rest it reads at most.
    held_bytes: u64,
    /// It is looked whether something can go when either is reached.
    due_count: usize,
    due_bytes: u64,
    /// So often the tables that wait are passed over.
    patience: usize,
    tables: Vec<OldTable>,
    /// Before the moment began.
    sealed: Vec<Gone>,
    /// So many of the tables, too.
    sealed_tables: usize,
    moment: Option<usize>,
    /// Kept for its memory.
    announced: Vec<usize>,
}

impl Retired {
    pub(in super::super) const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            free: Vec::new(),
            free_bytes: 0,
            held_bytes: 0,
            due_count: COUNT,
            due_bytes: BYTES,
            patience: 0,
            tables: Vec::new(),
            sealed: Vec::new(),
            sealed_tables: 0,
            moment: None,
            announced: Vec::new(),
        }
    }

    /// Bytes that wait.
    pub(in super::super) fn bytes(&self) -> u64 {
        self.free_bytes + self.held_bytes
    }

    /// Asks the processor for what the next calls will touch: the block that an entry of that layout will probably get, and where
    /// another one is noted.
    #[inline(always)]
    pub(in super::super) fn expect(&self, layout: Layout, magazine: &Magazine) {
        match self.free.last() {
            Some(next) => next.entry.prefetch_to_make(layout),
            None => magazine.expect(layout),
        }
        prefetch_to_write(self.waiting.as_ptr_range().end);
    }

    /// A block for an entry of that layout: that of an entry which nobody can be reading if it is as large as needed, else one of
    /// the heap's. `None` when there is no memory.
    #[inline(always)]
    pub(in super::super) fn block(&mut self, layout: Layout, heap: &Heap, magazine: &mut Magazine) -> Option<Block> {
        if let (Some(size), Some(last)) = (heap.size_of_all(layout), self.free.last()) {
            if last.size == size {
                if let Some(block) = self.reuse(heap) {
                    return Some(block);
                }
            }
        }
        heap.block(layout, magazine)
    }

    /// The block of the last entry in `free`, unless a value keeps it: then that frees it.
    #[inline(always)]
    fn reuse(&mut self, heap: &Heap) -> Option<Block> {
        let Gone { entry, size } = self.free.pop()?;
        self.free_bytes -= size;
        if heap.pins.orphan(entry, || heap.detach(size)) {
            return None;
        }
        // SAFETY: it left the shard before the barrier, and is neither announced, leased nor pinned; `size` is what the allocator
        // has said that it takes for it.
        Some(unsafe { entry.into_block(size) })
    }

    /// Takes over an entry that has just left the shard. `size`: what the allocator takes for it.
    #[inline(always)]
    pub(in super::super) fn push(&mut self, entry: EntryRef, size: u64) {
        if self.waiting.len() < self.waiting.capacity() || self.waiting.try_reserve(1).is_ok() {
            self.held_bytes += size;
            self.waiting.push(Gone { entry, size });
        }
        // Without memory for the list the entry is given up for lost: a leak is better than a pointer that dangles.
    }

    /// Takes over a table that readers can no longer find.
    pub(in super::super) fn push_table(&mut self, table: OldTable, heap: &Heap) {
        if table.address() != 0 && self.tables.try_reserve(1).is_ok() {
            self.held_bytes += table.size(heap);
            self.tables.push(table);
            self.patience = 0;
        }
    }

    /// Whether [`Retired::collect_some`] has something to do.
    #[inline(always)]
    pub(in super::super) fn is_due(&mut self) -> bool {
        self.keeps_too_much() || self.look_is_due()
    }

    #[inline(always)]
    fn keeps_too_much(&self) -> bool {
        // In a model each is freed at once, into the quarantine where whoever still reads it is found out.
        self.free.len() > KEPT || self.free_bytes > KEPT_BYTES || (cfg!(shuttle) && !self.free.is_empty())
    }

    #[inline(always)]
    fn look_is_due(&mut self) -> bool {
        let count = self.waiting.len() + self.sealed.len();
        // In models as soon as there is anything, so that races come sooner.
        count >= self.due_count || self.held_bytes >= self.due_bytes || self.table_is_due() || cfg!(shuttle)
    }

    /// A table is as large as many entries, and seldom; one that a reader holds back is not looked at each time.
    #[inline(always)]
    fn table_is_due(&mut self) -> bool {
        !self.tables.is_empty() && self.runs_out_of_patience()
    }

    #[cold]
    fn runs_out_of_patience(&mut self) -> bool {
        self.patience = self.patience.saturating_sub(1);
        self.patience == 0
    }

    /// Frees some of what has waited for long enough, in a shard of so many entries; large blocks are left to the caller.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(in super::super) fn collect_some<'a>(
        &mut self,
        heap: &'a Heap,
        magazine: &mut Magazine,
        shard: usize,
    ) -> Garbage<'a> {
        let mut garbage = Garbage::none(heap);
        if self.look_is_due() {
            self.look(&mut garbage, shard);
        }
        if self.keeps_too_much() {
            let most = if self.free_bytes < BYTES { FREED_PER_PUT } else { FREED_IN_NEED };
            self.free_some(most, magazine, &mut garbage);
        }
        garbage
    }

    /// Finds out what nobody can be reading, or says that a barrier is wanted for that.
    fn look(&mut self, garbage: &mut Garbage<'_>, shard: usize) {
        if record::am_alone() {
            self.seal();
            self.release_sealed(garbage);
            return;
        }
        if self.moment.is_some_and(record::has_passed) {
            self.release_sealed(garbage);
        }
        let count = self.waiting.len() + self.sealed.len();
        let most = (shard / PART).clamp(COUNT, MOST).max(self.due_count);
        let table_is_due = !self.tables.is_empty() && self.patience == 0;
        if self.moment.is_none() {
            self.seal();
            // Until then threads that are at work have seen it.
            (self.due_count, self.patience) = (count + COUNT / 2, COUNT / 2);
        } else if count >= most || self.held_bytes >= self.due_bytes || table_is_due {
            garbage.wants_barrier = true;
        } else {
            self.due_count = count + COUNT / 2;
        }
    }

    /// Frees whatever nobody can be reading, now.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(in super::super) fn collect_all<'a>(&mut self, heap: &'a Heap, magazine: &mut Magazine) -> Garbage<'a> {
        let mut garbage = Garbage::none(heap);
        self.seal();
        if self.moment.is_some() && (record::am_alone() || record::pass_barrier()) {
            self.release_sealed(&mut garbage);
        }
        self.free_some(usize::MAX, magazine, &mut garbage);
        garbage
    }

    /// Begins a moment for all that waits.
    fn seal(&mut self) {
        if self.sealed.is_empty() {
            std::mem::swap(&mut self.waiting, &mut self.sealed);
        } else if self.sealed.try_reserve(self.waiting.len()).is_ok() {
            self.sealed.append(&mut self.waiting);
        }
        self.sealed_tables = self.tables.len();
        let is_empty = self.sealed.is_empty() && self.tables.is_empty();
        self.moment = (!is_empty).then(record::begin_moment);
    }

    /// Steps 3 and 4 of the protocol, after the barrier. An entry that stands in no slot now will never again: from here on it
    /// does not matter when it is freed.
    fn release_sealed(&mut self, garbage: &mut Garbage<'_>) {
        let mut announced = std::mem::take(&mut self.announced);
        let looked = record::snapshot(&mut announced);
        if let Some(looked) = looked.filter(|_| self.free.try_reserve(self.sealed.len()).is_ok()) {
            let is_held = |address: usize| !announced.is_empty() && announced.binary_search(&address).is_ok();
            let (free, mut freed) = (&mut self.free, 0);
            self.sealed.retain(|Gone { entry, size }| {
                let is_held = is_held(entry.as_ptr().addr());
                if !is_held {
                    free.push(Gone { entry: *entry, size: *size });
                    freed += size;
                }
                is_held
            });
            self.free_bytes += freed;
            self.held_bytes -= freed;
            let sealed_tables = self.sealed_tables;
            for (number, table) in std::mem::take(&mut self.tables).into_iter().enumerate() {
                if number >= sealed_tables || is_held(table.address()) {
                    self.tables.push(table);
                    continue;
                }
                self.held_bytes -= table.size(garbage.heap);
                if garbage.left.try_reserve(1).is_ok() {
                    garbage.left.push(Left::Table(table));
                } else {
                    // SAFETY: readers could no longer find it before the barrier, and nobody announces it.
                    unsafe { table.free(garbage.heap) };
                }
            }
            // A quarter of the slots that had to be looked at: four slots an entry. Twice what is held, so that a thread
            // that keeps many results does not make every removal look again.
            self.due_count = COUNT + looked / 4 + 2 * self.sealed.len();
            self.due_bytes = BYTES + 2 * self.held_bytes;
        }
        self.announced = announced;
        self.moment = None;
        self.patience = COUNT;
    }

    /// Frees so many of those that nobody can be reading.
    #[inline]
    fn free_some(&mut self, most: usize, magazine: &mut Magazine, garbage: &mut Garbage<'_>) {
        let heap = garbage.heap;
        for _ in 0..most {
            let Some(Gone { entry, size }) = self.free.pop() else { break };
            if let Some(soon) = self.free.len().checked_sub(2 * FREED_PER_PUT) {
                prefetch_to_write(self.free[soon].entry.as_ptr());
            }
            self.free_bytes -= size;
            if heap.pins.orphan(entry, || heap.detach(size)) {
                // The last value frees it, perhaps has already.
            } else if size > LARGE && garbage.left.try_reserve(1).is_ok() {
                garbage.left.push(Left::Entry(entry));
            } else {
                // SAFETY: it left the shard before the barrier, and is neither announced, leased nor pinned.
                unsafe { entry.free_sized(size, heap, magazine) };
            }
        }
    }

    /// Gives up everything, announced, leased or not: the cache is being destroyed, and classic results end with it. What a
    /// value pins stays until that is dropped.
    pub(in super::super) fn give_up(&mut self, heap: &Heap) {
        for gone in self.waiting.drain(..).chain(self.sealed.drain(..)).chain(self.free.drain(..)) {
            give_up(gone.entry, heap);
        }
        for table in self.tables.drain(..) {
            // SAFETY: nobody is in a call on this cache any more.
            unsafe { table.free(heap) };
        }
    }
}

#[cfg(all(test, feature = "jemalloc", not(miri)))]
mod tests {
    use super::super::super::entry::Draft;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_block_of_an_entry_that_nobody_reads_is_the_next_ones_unless_a_value_keeps_it() {
        let heap = Arc::new(Heap::new(true));
        assert!(heap.is_arena());
        let (mut magazine, mut retired) = (heap.magazine(), Retired::new());
        let draft = Draft::plain(b"key", b"a value").unwrap();
        let owned = draft.make(&heap, &mut magazine).unwrap();
        let (size, entry) = (owned.size(), owned.into_shared());
        let free = |retired: &mut Retired| {
            retired.free.push(Gone { entry, size });
            retired.free_bytes += size;
        };
        free(&mut retired);
        // Another size is not for it.
        let long = Draft::plain(b"key", &[0; 500]).unwrap();
        let block = retired.block(long.layout(), &heap, &mut magazine).unwrap();
        let other = long.make_in(block, &heap).unwrap();
        assert_eq!(retired.bytes(), size);
        let block = retired.block(draft.layout(), &heap, &mut magazine).unwrap();
        let again = draft.make_in(block, &heap).unwrap();
        assert_eq!((again.size(), retired.bytes()), (size, 0));
        assert!(again.into_shared() == entry, "the block was not used again");
        // Now a value keeps it.
        let value = entry.pin(&heap).unwrap();
        free(&mut retired);
        let block = retired.block(draft.layout(), &heap, &mut magazine).unwrap();
        let third = draft.make_in(block, &heap).unwrap();
        assert_eq!((retired.bytes(), heap.detached(), value.plain()), (0, size, &b"a value"[..]));
        drop(value);
        assert_eq!(heap.detached(), 0);
        drop((other, third));
    }

    #[test]
    fn few_blocks_are_kept_for_the_next_entries() {
        let heap = Heap::new(true);
        let (mut magazine, mut retired) = (heap.magazine(), Retired::new());
        for value in [&[0; 100][..], &[0; 4_000]] {
            let draft = Draft::plain(b"key", value).unwrap();
            for _ in 0..3 * KEPT {
                let owned = draft.make(&heap, &mut magazine).unwrap();
                let (size, entry) = (owned.size(), owned.into_shared());
                retired.free.push(Gone { entry, size });
                retired.free_bytes += size;
            }
            for _ in 0..3 * KEPT {
                if retired.is_due() {
                    drop(retired.collect_some(&heap, &mut magazine, 0));
                }
            }
            assert!(retired.free.len() <= KEPT && retired.bytes() <= KEPT_BYTES);
        }
        drop(retired.collect_all(&heap, &mut magazine));
        assert_eq!(retired.bytes(), 0);
    }
}
