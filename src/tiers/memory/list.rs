//! A doubly linked list through entries: nothing is allocated for it, and an entry is taken out without being searched for.
//!
//! The links are 48 bits wide; the lowest four bits of one, which an address has no use for, say which list it is.
//! Belongs to a policy and is touched under its shard's lock only.
#![allow(unsafe_code)]

use super::entry::{EntryRef, Link};

const TAG: u64 = 0xF;

/// A list from the oldest entry to the newest.
pub(super) struct List {
    newest: Option<EntryRef>,
    oldest: Option<EntryRef>,
    len: usize,
    /// Below 16; what [`tag`] says of the entries in it.
    tag: u64,
}

/// Which list an entry is in.
#[inline]
pub(super) fn tag(entry: EntryRef) -> u64 {
    entry.link(Link::Newer) & TAG
}

impl List {
    pub(super) const fn new(tag: u64) -> Self {
        assert!(tag <= TAG);
        Self { newest: None, oldest: None, len: 0, tag }
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
        unsafe { EntryRef::from_address(entry.link(Link::Newer) & !TAG) }
    }

    /// The next older one. The oldest entry's own link is not to be relied on: it may name one that has gone.
    fn older(&self, entry: EntryRef) -> Option<EntryRef> {
        if self.oldest == Some(entry) {
            return None;
        }
        // SAFETY: as above.
        unsafe { EntryRef::from_address(entry.link(Link::Older)) }
    }

    fn set_newer(&self, entry: EntryRef, newer: Option<EntryRef>) {
        entry.set_link(Link::Newer, newer.map_or(0, EntryRef::address) | self.tag);
    }

    fn set_older(entry: EntryRef, older: Option<EntryRef>) {
        entry.set_link(Link::Older, older.map_or(0, EntryRef::address));
    }

    /// Takes in an entry that is in no list.
    pub(super) fn push(&mut self, entry: EntryRef) {
        Self::set_older(entry, self.newest);
        self.set_newer(entry, None);
        match self.newest {
            Some(newest) => self.set_newer(newest, Some(entry)),
            None => self.oldest = Some(entry),
        }
        self.newest = Some(entry);
        self.len += 1;
    }

    /// Takes the oldest out. Touches no other entry.
    pub(super) fn pop(&mut self) -> Option<EntryRef> {
        let oldest = self.oldest?;
        self.oldest = self.newer(oldest);
        if self.oldest.is_none() {
            self.newest = None;
        }
        self.len -= 1;
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
            Some(newer) => Self::set_older(newer, older),
            None => self.newest = older,
        }
        if let Some(older) = older {
            self.set_newer(older, newer);
        }
        self.len -= 1;
    }

    /// Puts `new`, which is in no list, where `old` stands.
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef) {
        let (newer, older) = (self.newer(old), self.older(old));
        self.set_newer(new, newer);
        Self::set_older(new, older);
        match newer {
            Some(newer) => Self::set_older(newer, Some(new)),
            None => self.newest = Some(new),
        }
        match older {
            Some(older) => self.set_newer(older, Some(new)),
            None => self.oldest = Some(new),
        }
    }
}
