//! `adaptive`: finds out by itself what the traffic rewards. Choose it when you do not know, or when it changes: it follows
//! recency as `lru` does, keeps through scans and one-time traffic as `s3fifo` does, and gets from a loop larger than the
//! cache what can be had, which neither does. It takes some turns of the cache until it has found out.
//!
//! The books are those of `s3fifo`, under whichever of the rules in `rule` has done best lately on a sample of the keys: see
//! `chooser`. A hit writes a small counter, up to three times, and for a key of the sample says that it happened.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list;
use super::chooser::Chooser;
use super::ruled::Ruled;
use super::{Clock, Policy};
use std::sync::Arc;

pub(in super::super) struct Adaptive {
    books: Ruled,
    chooser: Arc<Chooser>,
}

impl Adaptive {
    pub(super) fn new(chooser: Arc<Chooser>) -> Self {
        Self { books: Ruled::new(chooser.rule()), chooser }
    }
}

impl Policy for Adaptive {
    #[inline(always)]
    fn expect(&self, hash: Hash) {
        self.books.expect(hash);
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    fn insert(&mut self, entry: EntryRef, hash: Hash, _: &Clock) {
        self.books.set_rule(self.chooser.rule());
        self.books.insert(entry, hash);
        self.chooser.missed(hash);
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        self.books.replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.books.remove(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        self.books.victim()
    }

    fn evict(&mut self, entry: EntryRef, hash: Hash) {
        self.chooser.fit(self.books.len() as u64);
        self.books.evict(entry, hash);
    }

    fn bytes(&self) -> u64 {
        self.books.bytes()
    }
}
