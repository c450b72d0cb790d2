//! `lru-lfu`: while many of the requests hit, the entry that was asked for least often leaves; while few do, the one that was
//! used longest ago. Choose it for programs that know it as the adaptive policy of PyFerris, or when the two are what you
//! would choose between: a cache that hits often keeps what is popular, one that does not makes room for what is new. Where
//! the line is, `memory.lru_lfu_threshold` says. `adaptive` measures what would have hit instead of guessing, and mostly does
//! better.
//!
//! Every entry has both, a number of uses and a time, in the same books, so that changing from one to the other moves nothing.
//! They are one list for each power of two of uses, in the order of filing. A hit only counts, up to 63; an entry that is
//! found to have been hit when it comes up is filed again, by all its uses up to 127. Who comes up is the one filed longest
//! ago, of all lists (second chance, which is nearly LRU) or of the lowest one (LFU). A list is left behind when it is empty,
//! and what is filed from then on stands that much higher, so that what was popular once ages: as in LFU with dynamic ageing
//! (see `lfu`), but by powers of two.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::switch::Switch;
use super::{Clock, Policy, COUNT};
use std::sync::Arc;

/// How far hits are counted between two looks. Arbitrary, as in `lfu`.
pub(super) const MOST: u32 = 63;
/// How far uses are counted. Sets the number of lists.
const MOST_USES: u32 = 127;

/// A mark holds the hits since the entry was filed, above them the uses under which it was, and when that was.
const USES_SHIFT: u32 = 8;
const FILED_SHIFT: u32 = 16;
const _: () = assert!(COUNT < 1 << USES_SHIFT && MOST_USES < 1 << (FILED_SHIFT - USES_SHIFT));

/// As many as there are heights at which an entry can be filed, and the lowest one, from which entries leave.
const LISTS: usize = 1 + bits(MOST_USES) as usize;

/// How many entries that were hit are filed again for one victim before the second best will do.
const MOST_REFILED: usize = 1 << 8;

/// A time is 16 bits and goes on with each of so many parts of the entries that is filed: it comes round after 64 times the
/// entries. In half of that every list has had its turn.
const TICKS: usize = 1 << 10;

/// So many evictions of a shard, and it is looked whether the other order is due. To add up the threads' counters takes a
/// microsecond or two.
const LOOK_EVERY: u32 = 1 << 8;

pub(in super::super) struct LruLfu {
    lists: [List; LISTS],
    /// The height of the lowest list that is in use; that of height `h` is number `h % LISTS`.
    lowest: usize,
    len: usize,
    now: u16,
    filed_in_tick: usize,
    evictions: u32,
    switch: Arc<Switch>,
}

/// How high above the lowest list so many uses are filed: by powers of two.
const fn bits(uses: u32) -> u32 {
    u32::BITS - uses.leading_zeros()
}

/// Hits since the entry was filed.
fn hits(entry: EntryRef) -> u32 {
    // What was stamped under another policy may be more.
    MOST.min(entry.mark() & COUNT)
}

fn uses(entry: EntryRef) -> u32 {
    MOST_USES.min(entry.mark() >> USES_SHIFT & 0xFF)
}

impl LruLfu {
    pub(super) fn new(switch: Arc<Switch>) -> Self {
        let mut tag = 0;
        let lists = [(); LISTS].map(|()| {
            tag += 1;
            List::new(tag - 1)
        });
        Self { lists, lowest: 0, len: 0, now: 0, filed_in_tick: 0, evictions: 0, switch }
    }

    /// Files an entry that is in no list.
    fn file(&mut self, entry: EntryRef, uses: u32) {
        entry.set_mark(u32::from(self.now) << FILED_SHIFT | uses << USES_SHIFT);
        self.lists[(self.lowest + bits(uses) as usize) % LISTS].push(entry);
        self.filed_in_tick += 1;
        if self.filed_in_tick * TICKS >= self.len {
            self.filed_in_tick = 0;
            self.now = self.now.wrapping_add(1);
        }
    }

    /// Leaves empty lists behind; says which one is the lowest now.
    fn lowest(&mut self) -> usize {
        while self.len > 0 && self.lists[self.lowest % LISTS].len() == 0 {
            self.lowest += 1;
        }
        self.lowest % LISTS
    }

    /// The list whose oldest entry was filed longest ago; the lowest of several that can not be told apart.
    fn oldest(&self) -> usize {
        let age = |number: &usize| {
            let filed = |entry: EntryRef| (entry.mark() >> FILED_SHIFT) as u16;
            self.lists[*number].oldest().map(|oldest| self.now.wrapping_sub(filed(oldest)))
        };
        // Of equal ones the last is taken.
        (0..LISTS).rev().map(|above| (self.lowest + above) % LISTS).max_by_key(age).unwrap_or(0)
    }

    fn take_out(&mut self, entry: EntryRef) {
        self.lists[usize::from(list::tag(entry)) % LISTS].remove(entry);
        self.len -= 1;
    }
}

impl Policy for LruLfu {
    #[inline(always)]
    fn expect(&self, _: Hash) {
        self.lists[self.lowest % LISTS].expect();
        self.lists[(self.lowest + 1) % LISTS].expect();
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    fn insert(&mut self, entry: EntryRef, _: Hash, _: &Clock) {
        self.len += 1;
        self.file(entry, 1);
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        new.set_mark(old.mark() & !COUNT | MOST.min(hits(old) + 1));
        self.lists[usize::from(list::tag(old)) % LISTS].replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.take_out(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        let by_frequency = self.switch.is_by_frequency();
        for _ in 0..MOST_REFILED {
            let lowest = self.lowest();
            let number = if by_frequency { lowest } else { self.oldest() };
            let oldest = self.lists[number].oldest()?;
            let hits = hits(oldest);
            if hits == 0 {
                return Some(oldest);
            }
            self.lists[number].pop();
            self.file(oldest, MOST_USES.min(uses(oldest) + hits));
        }
        let number = if by_frequency { self.lowest() } else { self.oldest() };
        self.lists[number].oldest()
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.take_out(entry);
        self.evictions += 1;
        if self.evictions >= LOOK_EVERY {
            self.evictions = 0;
            self.switch.look(self.len as u64);
        }
    }

    fn bytes(&self) -> u64 {
        0
    }
}
