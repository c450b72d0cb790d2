//! A doubly linked list through entries: nothing is allocated for it, and an entry is taken out without being searched for.
//!
//! The links are 48 bits wide; the lowest four bits of each, which an address has no use for, hold something else: in the
//! one, which list the entry is in; in the other, how far behind the beginning of the next entry its own links stand. So
//! both lines of the entry that comes next can be fetched before either is looked at.
//! Belongs to a policy and is touched under its shard's lock only.
#![allow(unsafe_code)]

use super::entry::{self, EntryRef, Links};

const LOW: u64 = 0xF;

/// A list from the oldest entry to the newest. Half a line, so that the two of a shard that most policies have share one.
pub(super) struct List {
    /// The newest entry as the next one's link to an older one will name it, with the list's tag; the tag alone in an empty list.
    newest: u64,
    /// Its links, so that another entry is pushed without a look at its lengths: that would be one more line.
    links_of_newest: Option<Links>,
    /// The oldest entry as an older one's link would name it; 0 in an empty list. How many lines behind their beginnings links stand
    /// is what they did when the entry last came to that place.
    oldest: u64,
    len: usize,
}

/// Which list an entry is in.
#[inline]
pub(super) fn tag(entry: EntryRef) -> u8 {
    (entry.links().older() & LOW) as u8
}

/// What stands in an older entry's link to one: its address, and where its links stand. In four bits; the links of long entries
/// stand further behind and are not fetched ahead.
#[inline(always)]
fn newer_link(entry: EntryRef, links: Links) -> u64 {
    entry.address() | links.line(entry).min(LOW)
}

/// The entry that a link names; `None` if it names none.
///
/// # Safety
///
/// The link is one of an entry in a list, whose shard is locked, and names another entry of that list.
#[inline(always)]
unsafe fn named(link: u64) -> Option<EntryRef> {
    // SAFETY: the shard keeps the entries of its lists alive.
    unsafe { EntryRef::from_address(link & !LOW) }
}

/// Asks the processor for what [`List::replace`] or [`List::remove`] of `entry` will touch beside it: both neighbours, whose
/// links are taken to stand where the entry's own do if nothing else is known.
#[inline]
pub(super) fn expect_neighbours(entry: EntryRef) {
    let links = entry.links();
    prefetch_named(links.newer());
    prefetch_named(links.older() & !LOW | links.line(entry).min(LOW));
}

/// Asks the processor for the entry that a link to a newer one names, and for its links.
#[inline(always)]
fn prefetch_named(link: u64) {
    entry::prefetch_at(link & !LOW, link & LOW);
}

impl List {
    /// `tag`: below 16; what [`tag`] says of the entries in it.
    pub(super) const fn new(tag: u8) -> Self {
        assert!(tag as u64 <= LOW);
        Self { newest: tag as u64, links_of_newest: None, oldest: 0, len: 0 }
    }

    /// Asks the processor for what the next [`List::push`] and [`List::pop`] will touch.
    #[inline(always)]
    pub(super) fn expect(&self) {
        if let Some(links) = self.links_of_newest {
            links.prefetch();
        }
        // Of an empty list none: to ask for nothing is cheaper than to find out that there is nothing.
        prefetch_named(self.oldest);
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn oldest(&self) -> Option<EntryRef> {
        // SAFETY: the oldest entry of the list, or none.
        unsafe { named(self.oldest) }
    }

    /// Whether an entry that is in the list is its newest.
    #[inline(always)]
    fn is_newest(&self, entry: EntryRef) -> bool {
        self.newest & !LOW == entry.address()
    }

    #[inline(always)]
    fn is_oldest(&self, entry: EntryRef) -> bool {
        self.oldest & !LOW == entry.address()
    }

    /// The next newer one than `entry`, which is in the list.
    #[inline]
    pub(super) fn newer(&self, entry: EntryRef) -> Option<EntryRef> {
        if self.is_newest(entry) {
            return None;
        }
        // SAFETY: the entry is in the list, and not the newest.
        unsafe { named(entry.links().newer()) }
    }

    /// The neighbours of an entry that is in the list. The newest entry's link to a newer one is not to be relied on, nor is the
    /// oldest one's to an older: they may name one that has gone.
    #[inline(always)]
    fn neighbours(&self, entry: EntryRef, links: Links) -> (Option<EntryRef>, Option<EntryRef>) {
        // SAFETY: as in `newer`.
        let newer = if self.is_newest(entry) { None } else { unsafe { named(links.newer()) } };
        // SAFETY: as above, of the other end.
        let older = if self.is_oldest(entry) { None } else { unsafe { named(links.older()) } };
        (newer, older)
    }

    #[inline(always)]
    fn older_link(&self, older: Option<EntryRef>) -> u64 {
        older.map_or(0, EntryRef::address) | self.newest & LOW
    }

    #[inline(always)]
    fn set_newest(&mut self, newest: Option<EntryRef>) {
        self.newest = self.older_link(newest);
        self.links_of_newest = newest.map(EntryRef::links);
    }

    /// Takes in an entry that is in no list.
    #[inline(always)]
    pub(super) fn push(&mut self, entry: EntryRef) {
        let links = entry.links();
        links.set_older(self.newest);
        let link = newer_link(entry, links);
        match self.links_of_newest {
            Some(newest) => newest.set_newer(link),
            None => self.oldest = link,
        }
        self.newest = self.older_link(Some(entry));
        self.links_of_newest = Some(links);
        self.len += 1;
    }

    /// Takes the oldest out. Touches no other entry, and asks the processor for what the next call will touch.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<EntryRef> {
        let oldest = self.oldest()?;
        self.len -= 1;
        if self.is_newest(oldest) {
            self.set_newest(None);
            self.oldest = 0;
        } else {
            self.oldest = oldest.links().newer();
            prefetch_named(self.oldest);
        }
        Some(oldest)
    }

    /// Takes out an entry that is in this list.
    #[inline]
    pub(super) fn remove(&mut self, entry: EntryRef) {
        if self.is_oldest(entry) {
            self.pop();
            return;
        }
        let (newer, older) = self.neighbours(entry, entry.links());
        match newer {
            Some(newer) => newer.links().set_older(self.older_link(older)),
            None => self.set_newest(older),
        }
        if let (Some(older), Some(newer)) = (older, newer) {
            older.links().set_newer(newer_link(newer, newer.links()));
        }
        self.len -= 1;
    }

    /// Puts `new`, which is in no list, where `old` stands.
    #[inline]
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef) {
        let (newer, older) = self.neighbours(old, old.links());
        let links = new.links();
        let link = newer_link(new, links);
        links.set_older(self.older_link(older));
        match newer {
            Some(newer) => {
                let theirs = newer.links();
                links.set_newer(newer_link(newer, theirs));
                theirs.set_older(self.older_link(Some(new)));
            }
            None => self.set_newest(Some(new)),
        }
        match older {
            Some(older) => older.links().set_newer(link),
            None => self.oldest = link,
        }
    }
}
