//! The entries of a shard that carry one tag, one behind the other: a doubly linked list through links that stand with the tags of
//! each of them. So nothing is allocated for a carrier, and one that leaves is not searched for.
//!
//! Belongs to the shard's table of tags and is touched under the shard's lock only. An entry is in the chain of each of its tags from
//! the step in which it comes into the shard until the one in which it leaves; so what a link names is alive.
#![allow(unsafe_code)]

use super::super::entry::TagRef;

/// The two ends of a chain, which is never empty.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    /// Who came first.
    pub(super) oldest: TagRef,
    /// Who came last.
    pub(super) newest: TagRef,
}

/// Who stands before somebody in a chain and who behind; nobody at its ends.
pub(super) type Neighbours = (Option<TagRef>, Option<TagRef>);

impl Chain {
    /// One of this carrier alone.
    pub(super) fn new(only: TagRef) -> Self {
        set((None, None), only);
        Self { oldest: only, newest: only }
    }

    /// Takes in a carrier that is in no chain.
    pub(super) fn push(&mut self, new: TagRef) {
        set((Some(self.newest), None), new);
        self.newest.set_newer(Some(new));
        self.newest = new;
    }
}

/// Of a carrier that is in a chain.
fn neighbours(of: TagRef) -> Neighbours {
    // SAFETY: its links name others of the chain or nobody, and all of the chain is alive.
    unsafe { (of.older(), of.newer()) }
}

fn set((older, newer): Neighbours, of: TagRef) {
    of.set_older(older);
    of.set_newer(newer);
}

/// Takes a carrier out of its chain, whose ends are the caller's to see to. Says who stood beside it.
pub(super) fn remove(leaving: TagRef) -> Neighbours {
    let (older, newer) = neighbours(leaving);
    older.inspect(|older| older.set_newer(newer));
    newer.inspect(|newer| newer.set_older(older));
    (older, newer)
}

/// Puts a carrier that is in no chain in the place of one that is. The chain's ends are the caller's to see to. Says who stands beside
/// it.
pub(super) fn replace(old: TagRef, new: TagRef) -> Neighbours {
    let (older, newer) = neighbours(old);
    set((older, newer), new);
    older.inspect(|older| older.set_newer(Some(new)));
    newer.inspect(|newer| newer.set_older(Some(new)));
    (older, newer)
}

/// Asks the processor for what [`remove`] will touch beside a carrier.
pub(super) fn expect_remove(leaving: TagRef) {
    let (older, newer) = neighbours(leaving);
    older.inspect(|older| older.prefetch());
    newer.inspect(|newer| newer.prefetch());
}

#[cfg(test)]
impl Chain {
    /// All of them, from the oldest to the newest; fails if somebody names others than who name it.
    pub(super) fn carriers(self) -> Vec<TagRef> {
        let (mut found, mut next) = (Vec::new(), Some(self.oldest));
        while let Some(carrier) = next {
            let (older, newer) = neighbours(carrier);
            assert!(older == found.last().copied(), "a carrier names another one than names it");
            found.push(carrier);
            next = newer;
        }
        assert!(found.last() == Some(&self.newest), "the newest is not the last");
        found
    }
}
