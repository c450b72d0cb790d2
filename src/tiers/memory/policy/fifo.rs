//! FIFO: the entry that was stored first leaves, whether anybody asked for it or not. Choose it when entries are asked for
//! soon after they were stored or never again, or when nothing is to be written at a hit. A key that is stored again keeps
//! its place. It keeps nothing for being popular, so nearly every other policy hits more often.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::{Clock, Policy};

const LIST: u8 = 0;

pub(in super::super) struct Fifo {
    stored: List,
}

impl Fifo {
    pub(super) const fn new() -> Self {
        Self { stored: List::new(LIST) }
    }
}

impl Policy for Fifo {
    #[inline(always)]
    fn expect(&self, _: Hash) {
        self.stored.expect();
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    fn insert(&mut self, entry: EntryRef, _: Hash, _: &Clock) {
        self.stored.push(entry);
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        self.stored.replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.stored.remove(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        self.stored.oldest()
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.stored.remove(entry);
    }

    fn bytes(&self) -> u64 {
        0
    }
}
