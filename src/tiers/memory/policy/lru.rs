//! LRU: the entry that was used longest ago leaves. Choose it when recent use is what predicts the next one, or when a
//! program was written against exact LRU; it is what the classic interface promises. It loses everything to a loop
//! larger than the cache and to long scans. A hit moves the entry to the front of a list.

use super::super::entry::EntryRef;
use super::super::list::{ByRecency, List};
use super::Policy;

pub(super) struct Lru {
    /// The most recently used first.
    recency: List<ByRecency>,
}

impl Lru {
    pub(super) fn new() -> Self {
        Self { recency: List::new() }
    }
}

impl Policy for Lru {
    fn insert(&mut self, entry: EntryRef) {
        self.recency.push_first(entry);
    }

    fn touch(&mut self, entry: EntryRef) {
        if self.recency.first() != Some(entry) {
            self.recency.remove(entry);
            self.recency.push_first(entry);
        }
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef) {
        self.recency.remove(old);
        self.recency.push_first(new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.recency.remove(entry);
    }

    fn victim(&mut self) -> Option<EntryRef> {
        self.recency.last()
    }
}
