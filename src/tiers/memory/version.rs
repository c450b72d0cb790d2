//! Which version of its key an entry is, for entries that somebody has asked.
//!
//! Kept beside the entries and not in them, as pins are: few are ever asked, and a number in each would make all of them
//! larger. A shard has one table, under its lock: an entry is given its version while it is in the shard, and the shard
//! forgets it in the step in which the entry leaves. So an address stands for one entry. Decides nothing; numbers come from
//! the tier, which never gives one twice.

use super::entry::EntryRef;
use ahash::RandomState;
use std::collections::HashMap;

/// `None` while no entry of the shard has a version, which is all that an eviction then looks at.
pub(super) struct Versions(Option<Box<Table>>);

/// Versions by the address of their entry.
struct Table(HashMap<u64, u64, RandomState>);

/// What one version takes: two numbers and a byte, in a table that is between half and seven eighths full.
const VERSION: u64 = 24;

impl Versions {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// What the table takes.
    #[inline(always)]
    pub(super) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |table| table.0.len() as u64 * VERSION)
    }

    /// The version of an entry, if it was ever asked for.
    pub(super) fn get(&self, entry: EntryRef) -> Option<u64> {
        self.0.as_ref()?.0.get(&entry.address()).copied()
    }

    /// Makes sure that the next [`Versions::set`] finds room. False when there is no memory.
    #[must_use]
    pub(super) fn reserve(&mut self) -> bool {
        let table = self.0.get_or_insert_with(|| Box::new(Table(HashMap::with_hasher(RandomState::new()))));
        table.0.try_reserve(1).is_ok()
    }

    /// Gives an entry of the shard a version. [`Versions::reserve`] has been called since the last one.
    pub(super) fn set(&mut self, entry: EntryRef, version: u64) {
        if let Some(table) = &mut self.0 {
            table.0.insert(entry.address(), version);
        }
    }

    /// The entry leaves the shard. Says which version it was.
    #[inline(always)]
    pub(super) fn forget(&mut self, entry: EntryRef) -> Option<u64> {
        self.0.as_ref()?;
        self.forget_one(entry)
    }

    #[cold]
    fn forget_one(&mut self, entry: EntryRef) -> Option<u64> {
        let table = self.0.as_mut()?;
        let version = table.0.remove(&entry.address());
        if table.0.is_empty() {
            self.0 = None;
        }
        version
    }

    /// All entries leave at once.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::{Heap, Magazine};
    use super::super::entry::{Owned, Payload};
    use super::super::reclaim;
    use super::*;

    #[test]
    fn an_entry_keeps_its_version_until_it_leaves_and_the_table_goes_with_the_last() {
        let heap = Heap::new(false);
        let make = || {
            let owned = Owned::new(&heap, &mut Magazine::none(), b"key", Payload::Plain(b""), false);
            owned.unwrap().into_shared()
        };
        let (one, other) = (make(), make());
        let mut versions = Versions::new();
        assert_eq!((versions.get(one), versions.forget(one), versions.bytes()), (None, None, 0));
        for (entry, version) in [(one, 7), (other, 8)] {
            assert!(versions.reserve());
            versions.set(entry, version);
        }
        assert_eq!((versions.get(one), versions.get(other), versions.bytes()), (Some(7), Some(8), 2 * VERSION));
        assert_eq!((versions.forget(one), versions.get(one)), (Some(7), None));
        assert_eq!(versions.forget(other), Some(8));
        assert!(versions.0.is_none());
        for entry in [one, other] {
            reclaim::give_up(entry, &heap);
        }
    }
}
