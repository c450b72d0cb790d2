//! A doubly linked list through entries: nothing is allocated for it, and an entry is taken out without being searched for.
//!
//! The links are 48 bits wide; the lowest four bits of each, which an address has no use for, hold something else: in the
//! one, which list the entry is in; in the other, how far behind the beginning of the next entry its own links stand. So
//! both lines of the entry that comes next can be fetched before either is looked at.
//! Belongs to a policy and is touched under its shard's lock only.
#![allow(unsafe_code)]

use super::entry::{self, EntryRef, Link};

const LOW: u64 = 0xF;

/// A list from the oldest entry to the newest.
pub(super) struct List {
    newest: Option<EntryRef>,
    oldest: Option<EntryRef>,
    len: usize,
    /// Below 16; what [`tag`] says of the entries in it.
    tag: u8,
    /// How many lines behind their beginnings the links of these two stand, or did when they last came to that place.
    line_of_newest: u8,
    line_of_oldest: u8,
}

/// Which list an entry is in.
#[inline]
pub(super) fn tag(entry: EntryRef) -> u8 {
    (entry.link(Link::Older) & LOW) as u8
}

/// In four bits; the links of long entries stand further behind and are not fetched ahead.
fn line_of_links(entry: EntryRef) -> u8 {
    entry.line_of_links().min(LOW) as u8
}

/// Asks the processor for what [`List::replace`] or [`List::remove`] of `entry` will touch beside it: both neighbours, whose
/// links are taken to stand where the entry's own do if nothing else is known.
#[inline]
pub(super) fn expect_neighbours(entry: EntryRef) {
    let (newer, older) = (entry.link(Link::Newer), entry.link(Link::Older));
    entry::prefetch_at(newer & !LOW, newer & LOW);
    entry::prefetch_at(older & !LOW, entry.line_of_links());
}

impl List {
    pub(super) const fn new(tag: u8) -> Self {
        assert!(tag as u64 <= LOW);
        Self { newest: None, oldest: None, len: 0, tag, line_of_newest: 0, line_of_oldest: 0 }
    }

    /// Asks the processor for what the next [`List::push`] and [`List::pop`] will touch.
    #[inline(always)]
    pub(super) fn expect(&self) {
        if let Some(newest) = self.newest {
            newest.prefetch_links(self.line_of_newest);
        }
        if let Some(oldest) = self.oldest {
            oldest.prefetch();
            oldest.prefetch_links(self.line_of_oldest);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<EntryRef> {
        self.oldest
    }

    /// The next newer one than `entry`, which is in the list.
    pub(super) fn newer(&self, entry: EntryRef) -> Option<EntryRef> {
        if self.newest == Some(entry) {
            return None;
        }
        // SAFETY: a link of an entry in a list names another entry of that list, which its shard keeps alive.
        unsafe { EntryRef::from_address(entry.link(Link::Newer) & !LOW) }
    }

    /// The next older one. The oldest entry's own link is not to be relied on: it may name one that has gone.
    fn older(&self, entry: EntryRef) -> Option<EntryRef> {
        if self.oldest == Some(entry) {
            return None;
        }
        // SAFETY: as above.
        unsafe { EntryRef::from_address(entry.link(Link::Older) & !LOW) }
    }

    fn set_newer(entry: EntryRef, newer: EntryRef) {
        entry.set_link(Link::Newer, newer.address() | u64::from(line_of_links(newer)));
    }

    fn set_older(&self, entry: EntryRef, older: Option<EntryRef>) {
        entry.set_link(Link::Older, older.map_or(0, EntryRef::address) | u64::from(self.tag));
    }

    /// Takes in an entry that is in no list.
    pub(super) fn push(&mut self, entry: EntryRef) {
        self.set_older(entry, self.newest);
        match self.newest {
            Some(newest) => Self::set_newer(newest, entry),
            None => self.oldest = Some(entry),
        }
        self.newest = Some(entry);
        self.line_of_newest = line_of_links(entry);
        self.len += 1;
    }

    /// Takes the oldest out. Touches no other entry, and asks the processor for what the next call will touch.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<EntryRef> {
        let oldest = self.oldest?;
        self.len -= 1;
        self.oldest = self.newer(oldest);
        match self.oldest {
            Some(next) => {
                self.line_of_oldest = (oldest.link(Link::Newer) & LOW) as u8;
                next.prefetch();
                next.prefetch_links(self.line_of_oldest);
            }
            None => self.newest = None,
        }
        Some(oldest)
    }

    /// Takes out an entry that is in this list.
    pub(super) fn remove(&mut self, entry: EntryRef) {
        if self.oldest == Some(entry) {
            self.pop();
            return;
        }
        let (newer, older) = (self.newer(entry), self.older(entry));
        match newer {
            Some(newer) => self.set_older(newer, older),
            None => self.newest = older,
        }
        if let (Some(older), Some(newer)) = (older, newer) {
            Self::set_newer(older, newer);
        }
        self.len -= 1;
    }

    /// Puts `new`, which is in no list, where `old` stands.
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef) {
        let (newer, older) = (self.newer(old), self.older(old));
        self.set_older(new, older);
        match newer {
            Some(newer) => {
                Self::set_newer(new, newer);
                self.set_older(newer, Some(new));
            }
            None => self.newest = Some(new),
        }
        match older {
            Some(older) => Self::set_newer(older, new),
            None => self.oldest = Some(new),
        }
    }
}
