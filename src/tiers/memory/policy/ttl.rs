//! TTL: the entry that will expire soonest leaves. Choose it when lifetimes say what an entry is worth, as where the caller
//! gives long ones to what is expensive to make. Entries that never expire leave last, the one that was stored first before
//! the others. With one lifetime for all it is `fifo`, at more cost.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::heap::Heap;
use super::{Clock, Policy};

/// How many entries whose deadline was moved are filed again for one victim before the second best will do.
const MOST_REFILED: usize = 1 << 8;

/// A number holds the deadline, and below it how many were filed before, for the order among equals.
const DEADLINE_SHIFT: u32 = 25;

pub(in super::super) struct Ttl {
    heap: Heap,
    filed: u64,
}

fn is_sooner(a: u64, b: u64) -> bool {
    a < b
}

impl Ttl {
    pub(super) const fn new() -> Self {
        Self { heap: Heap::new(is_sooner), filed: 0 }
    }

    fn number(&mut self, entry: EntryRef) -> u64 {
        self.filed += 1;
        entry.deadline() << DEADLINE_SHIFT | self.filed & ((1 << DEADLINE_SHIFT) - 1)
    }
}

impl Policy for Ttl {
    fn reserve(&mut self) -> bool {
        self.heap.reserve()
    }

    fn insert(&mut self, entry: EntryRef, _: Hash, _: &Clock) {
        let number = self.number(entry);
        self.heap.push(entry, number);
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        let number = self.number(new);
        self.heap.replace(old, new, number);
    }

    fn end_moved(&mut self, entry: EntryRef) {
        // What hits have put off is found when it comes up; what ends sooner than it was filed would come up too late.
        let number = self.number(entry);
        self.heap.replace(entry, entry, number);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.heap.remove(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        for _ in 0..MOST_REFILED {
            let (filed, top) = self.heap.top()?;
            if filed >> DEADLINE_SHIFT == top.deadline() {
                break;
            }
            // A hit has put it off.
            let number = self.number(top);
            self.heap.refile_top(number);
        }
        self.heap.top().map(|(_, entry)| entry)
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.heap.remove(entry);
    }

    fn bytes(&self) -> u64 {
        self.heap.bytes()
    }
}
