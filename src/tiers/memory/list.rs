//! A doubly linked list through entries: nothing is allocated for it, and an entry is taken out without being searched for.
//!
//! The links are 48 bits wide; the lowest four bits of each, which an address has no use for, hold something else: in the
//! one, which list the entry is in; in the other, how far behind the beginning of the next entry its own links stand. So
//! both lines of the entry that comes next can be fetched before either is looked at.
//! Belongs to a policy and is touched under its shard's lock only.
#![allow(unsafe_code)]

use super::entry::{self, EntryRef, Links};

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
    (entry.links().older() & LOW) as u8
}

/// What stands in an older entry's link to one: its address, and where its links stand. In four bits; the links of long entries
/// stand further behind and are not fetched ahead.
#[inline(always)]
fn newer_link(entry: EntryRef, links: Links) -> u64 {
    entry.address() | links.line().min(LOW)
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
    let (newer, older) = (links.newer(), links.older());
    entry::prefetch_at(newer & !LOW, newer & LOW);
    entry::prefetch_at(older & !LOW, links.line());
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
    #[inline]
    pub(super) fn newer(&self, entry: EntryRef) -> Option<EntryRef> {
        if self.newest == Some(entry) {
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
        let newer = if self.newest == Some(entry) { None } else { unsafe { named(links.newer()) } };
        // SAFETY: as above, of the other end.
        let older = if self.oldest == Some(entry) { None } else { unsafe { named(links.older()) } };
        (newer, older)
    }

    #[inline(always)]
    fn older_link(&self, older: Option<EntryRef>) -> u64 {
        older.map_or(0, EntryRef::address) | u64::from(self.tag)
    }

    /// Takes in an entry that is in no list.
    #[inline]
    pub(super) fn push(&mut self, entry: EntryRef) {
        let links = entry.links();
        links.set_older(self.older_link(self.newest));
        let link = newer_link(entry, links);
        match self.newest {
            Some(newest) => newest.links().set_newer(link),
            None => self.oldest = Some(entry),
        }
        self.newest = Some(entry);
        self.line_of_newest = (link & LOW) as u8;
        self.len += 1;
    }

    /// Takes the oldest out. Touches no other entry, and asks the processor for what the next call will touch.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<EntryRef> {
        let oldest = self.oldest?;
        self.len -= 1;
        if self.newest == Some(oldest) {
            (self.newest, self.oldest) = (None, None);
            return Some(oldest);
        }
        let link = oldest.links().newer();
        // SAFETY: the entry is in the list, and not the newest.
        self.oldest = unsafe { named(link) };
        self.line_of_oldest = (link & LOW) as u8;
        if let Some(next) = self.oldest {
            next.prefetch();
            next.prefetch_links(self.line_of_oldest);
        }
        Some(oldest)
    }

    /// Takes out an entry that is in this list.
    #[inline]
    pub(super) fn remove(&mut self, entry: EntryRef) {
        if self.oldest == Some(entry) {
            self.pop();
            return;
        }
        let (newer, older) = self.neighbours(entry, entry.links());
        match newer {
            Some(newer) => newer.links().set_older(self.older_link(older)),
            None => self.newest = older,
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
        links.set_older(self.older_link(older));
        match newer {
            Some(newer) => {
                let theirs = newer.links();
                links.set_newer(newer_link(newer, theirs));
                theirs.set_older(self.older_link(Some(new)));
            }
            None => self.newest = Some(new),
        }
        match older {
            Some(older) => older.links().set_newer(newer_link(new, links)),
            None => self.oldest = Some(new),
        }
    }
}
