//! A doubly linked list through the entries themselves: nothing is allocated to file an entry, and it leaves from the
//! middle in constant time. Recency and the expiry wheel use it; every list belongs to one shard and is only touched
//! under its lock.
#![allow(unsafe_code)]

use super::entry::{EntryRef, Header};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// An entry's two neighbours in a list. Atomic only so that the header stays readable by threads without the lock; all
/// accesses are relaxed and cost what plain ones cost.
#[derive(Default)]
pub(super) struct Links {
    previous: AtomicPtr<Header>,
    next: AtomicPtr<Header>,
}

/// Which of its links an entry is chained by.
pub(super) trait Chain {
    fn links(header: &Header) -> &Links;
}

pub(super) struct ByRecency;
pub(super) struct ByExpiry;

impl Chain for ByRecency {
    fn links(header: &Header) -> &Links {
        &header.recency
    }
}

impl Chain for ByExpiry {
    fn links(header: &Header) -> &Links {
        &header.expiry
    }
}

/// Entries in an order, the first one put there last.
pub(super) struct List<C> {
    first: Option<EntryRef>,
    last: Option<EntryRef>,
    chain: PhantomData<C>,
}

impl<C: Chain> List<C> {
    pub(super) const fn new() -> Self {
        Self { first: None, last: None, chain: PhantomData }
    }

    pub(super) fn last(&self) -> Option<EntryRef> {
        self.last
    }

    pub(super) fn first(&self) -> Option<EntryRef> {
        self.first
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The neighbour towards the last.
    pub(super) fn next(&self, entry: EntryRef) -> Option<EntryRef> {
        // SAFETY: links are only ever set to entries of this list, which the shard keeps alive while they are in it.
        unsafe { EntryRef::from_ptr(C::links(entry.header()).next.load(Relaxed)) }
    }

    fn previous(&self, entry: EntryRef) -> Option<EntryRef> {
        // SAFETY: as in `next`.
        unsafe { EntryRef::from_ptr(C::links(entry.header()).previous.load(Relaxed)) }
    }

    /// Puts an entry that is in no list of this kind at the front.
    pub(super) fn push_first(&mut self, entry: EntryRef) {
        set(&C::links(entry.header()).previous, None);
        set(&C::links(entry.header()).next, self.first);
        match self.first {
            Some(first) => set(&C::links(first.header()).previous, Some(entry)),
            None => self.last = Some(entry),
        }
        self.first = Some(entry);
    }

    /// Takes an entry out. It must be in this very list.
    pub(super) fn remove(&mut self, entry: EntryRef) {
        let (previous, next) = (self.previous(entry), self.next(entry));
        match previous {
            Some(previous) => set(&C::links(previous.header()).next, next),
            None => self.first = next,
        }
        match next {
            Some(next) => set(&C::links(next.header()).previous, previous),
            None => self.last = previous,
        }
    }
}

fn set(link: &AtomicPtr<Header>, to: Option<EntryRef>) {
    link.store(to.map_or(std::ptr::null_mut(), EntryRef::as_ptr), Relaxed);
}
