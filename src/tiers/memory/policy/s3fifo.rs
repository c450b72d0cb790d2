//! S3-FIFO: new entries pass through a small queue, and only those that are asked for there reach the main one; a key that
//! comes back soon after it was dropped goes to the main queue at once. Choose it when much of what is stored is never
//! asked for again, which is the common case of caches before a database or a web server, and when threads are many: a hit
//! writes at most a small counter, and that only three times. It loses to a loop a little larger than the cache.
//!
//! After Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023): the small queue a
//! tenth, the ghost of fingerprints nine tenths of the entries. As in later versions of theirs one hit is enough to reach
//! the main queue, and begins to count anew there. The rule itself is `S3` in `rule`.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list;
use super::rule::Rule;
use super::ruled::Ruled;
use super::{Clock, Policy};

pub(in super::super) struct S3Fifo(Ruled);

impl S3Fifo {
    pub(super) const fn new() -> Self {
        Self(Ruled::new(Rule::S3))
    }
}

impl Policy for S3Fifo {
    #[inline(always)]
    fn expect(&self, hash: Hash) {
        self.0.expect(hash);
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    #[inline(always)]
    fn insert(&mut self, entry: EntryRef, hash: Hash, _: &Clock) {
        self.0.insert(entry, hash);
    }

    #[inline(always)]
    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        self.0.replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.0.remove(entry);
    }

    #[inline(always)]
    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        self.0.victim()
    }

    #[inline(always)]
    fn evict(&mut self, entry: EntryRef, hash: Hash) {
        self.0.evict(entry, hash);
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}
