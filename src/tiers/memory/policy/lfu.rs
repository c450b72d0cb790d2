//! LFU with ageing: the entry that was asked for least often leaves; among equals, the one that came there first. Choose it
//! when the same keys stay popular for long. What was popular once ages: an entry is worth its count of uses and, from its
//! last filing on, what the last victim was worth. It adapts more slowly than the others when the working set moves.
//!
//! After LFU with dynamic ageing: Arlitt, Cherkasova, Dilley, Friedrich and Jin, "Evaluating content management techniques
//! for Web proxy caches" (ACM SIGMETRICS Performance Evaluation Review 27, 2000). A hit only counts; the age is added when
//! the entry is met as a victim and found to have been hit, which is a little later than there.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::heap::Heap;
use super::{Clock, Policy, COUNT};

/// How far hits are counted. Arbitrary: beyond, a popular entry is a popular entry, and its line need not be written.
pub(super) const MOST: u32 = 255;

/// How many entries are filed again for one victim before the second best will do.
const MOST_REFILED: usize = 1 << 8;

/// A mark holds the count of uses, and above it the count under which the entry was filed.
const FILED_SHIFT: u32 = 16;

/// A number holds what the entry is worth, and below it how many were filed before, for the order among equals.
const WORTH_SHIFT: u32 = 24;

pub(in super::super) struct Lfu {
    heap: Heap,
    /// What the last victim was worth.
    age: u64,
    filed: u64,
}

/// Both parts come round; all numbers that are there at one time lie close together.
fn is_worth_less(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

impl Lfu {
    pub(super) const fn new() -> Self {
        Self { heap: Heap::new(is_worth_less), age: 0, filed: 0 }
    }

    /// Under which number an entry is filed now; its mark says so from now on.
    fn number(&mut self, entry: EntryRef, count: u32) -> u64 {
        entry.set_mark(count << FILED_SHIFT | count);
        self.filed += 1;
        (self.age + u64::from(count)) << WORTH_SHIFT | self.filed & ((1 << WORTH_SHIFT) - 1)
    }

    fn count(entry: EntryRef) -> u32 {
        // What was stamped under another policy may be more.
        MOST.min(entry.mark() & COUNT)
    }
}

impl Policy for Lfu {
    fn reserve(&mut self) -> bool {
        self.heap.reserve()
    }

    fn insert(&mut self, entry: EntryRef, _: Hash, _: &Clock) {
        let number = self.number(entry, 1);
        self.heap.push(entry, number);
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        let number = self.number(new, MOST.min(Self::count(old) + 1));
        self.heap.replace(old, new, number);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.heap.remove(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        for _ in 0..MOST_REFILED {
            let (_, top) = self.heap.top()?;
            let count = Self::count(top);
            if count == top.mark() >> FILED_SHIFT {
                break;
            }
            let number = self.number(top, count);
            self.heap.refile_top(number);
        }
        self.heap.top().map(|(_, entry)| entry)
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.age = self.heap.remove(entry) >> WORTH_SHIFT;
    }

    fn bytes(&self) -> u64 {
        self.heap.bytes()
    }
}
