//! The readers' side: a search without a lock.

use super::super::entry::{prefetch, EntryRef, Header, Label, LINE};
use super::super::hazard;
use super::super::record::Record;
use super::bucket::{address_for, matches, slots_of, Bucket, InBucket, Slot, OVERFLOW_SHIFT};
use super::table::Table;
use super::Hash;
use crate::sync::atomic::{AtomicPtr, Ordering};
use std::ptr::null_mut;

/// What readers know of a shard's index. Written under the shard's lock.
pub(in super::super) struct Published {
    pub(super) current: AtomicPtr<Bucket>,
    /// The table that `current` is replacing, while entries are still being moved over.
    pub(super) previous: AtomicPtr<Bucket>,
}

/// Where a search begins, see [`Published::seek`].
#[derive(Clone, Copy)]
pub(in super::super) struct Beginning {
    table: Table,
    home: usize,
}

/// How a search without a lock ended.
pub(in super::super) enum Search {
    /// The entry, which the reader announces, and what it said of itself then.
    Found(EntryRef, Label),
    /// There was a moment at which the key was not there.
    Absent,
    /// Writers were too busy. Search again under the lock.
    Disturbed,
}

/// So often a search begins again when a table was replaced under it, or a slot when its entry was. In models seldom, so
/// that searches under the lock come sooner.
const RETRIES: usize = if cfg!(shuttle) { 2 } else { 16 };

/// So many buckets a search passes before it is one for [`Published::search_thoroughly`]. In models few, so that both are met.
const MOST_PASSED: usize = if cfg!(shuttle) { 2 } else { 16 };

impl Published {
    pub(in super::super) const fn new() -> Self {
        Self { current: AtomicPtr::new(null_mut()), previous: AtomicPtr::new(null_mut()) }
    }

    #[inline(always)]
    fn current(&self) -> Table {
        Table(self.current.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn previous(&self) -> Table {
        Table(self.previous.load(Ordering::Acquire))
    }

    /// Whether the index is growing, so that every search has two tables to look into.
    #[inline(always)]
    pub(in super::super) fn is_growing(&self) -> bool {
        !self.previous.load(Ordering::Relaxed).is_null()
    }

    /// Where a search for a key with that hash will begin, if it begins soon. The processor is asked for that bucket.
    #[inline(always)]
    pub(in super::super) fn seek(&self, hash: Hash) -> Beginning {
        let table = self.current();
        let home = table.home(hash);
        prefetch(table.base().wrapping_add(home));
        Beginning { table, home }
    }

    /// Asks the processor for the bucket that a search will begin with.
    #[inline(always)]
    pub(in super::super) fn prefetch_bucket(&self, hash: Hash) {
        self.seek(hash);
    }

    /// Asks the processor for the first lines of the entry that a search will probably find.
    #[inline]
    pub(in super::super) fn prefetch_entry(&self, record: &Record, hash: Hash, lines: usize) {
        let table = self.current();
        if table.is_none() || !record.announce_table(0, table.base().cast(), || self.current() == table) {
            return;
        }
        // SAFETY: the table is announced and was in use after that, and `home` is one of its buckets.
        let bucket = unsafe { table.bucket(table.home(hash)) };
        for slot in slots_of(matches(bucket.meta.load(Ordering::Acquire), hash.tag())) {
            if let Some(entry) = address_for(bucket.slots[slot].load(Ordering::Relaxed), hash) {
                for line in 0..lines {
                    prefetch(entry.cast::<u8>().wrapping_add(LINE * line));
                }
                return;
            }
        }
    }

    /// Finds the entry with that key, and announces it in `hazard`, which is one of the reader's slots.
    ///
    /// Only where nothing is in the way, which is nearly always: the index has one table, and nobody changes what is being looked at.
    /// Else [`Search::Disturbed`], and [`Published::search_thoroughly`] finds it. `READS`: the value will be read soon.
    #[inline(always)]
    pub(in super::super) fn search<const READS: bool>(
        &self,
        Beginning { table, home }: Beginning,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Search {
        // With acquire order: what was moved out of a table that has just gone has to be seen in this one.
        let is_plain = || self.current() == table && self.previous().is_none();
        if table.is_none() || !record.announce_table(0, table.base().cast(), is_plain) {
            return Search::Disturbed;
        }
        // SAFETY: the table is announced and was in use after that; `home` is one of its buckets.
        match unsafe { table.bucket(home) }.search::<READS>(hazard, hash, key) {
            InBucket::Found(entry, label) => Search::Found(entry, label),
            InBucket::Absent => self.absent(table),
            // SAFETY: as above.
            InBucket::Behind => unsafe { self.search_behind::<READS>(table, home, hazard, hash, key) },
            InBucket::Changed => Search::Disturbed,
        }
    }

    /// The same behind a full bucket. Where entries have come and gone for a while, a third of the buckets of a small index have
    /// sent one on, and most of a large one, whose entries are in three of ten cases not in their first: see [`FILL`].
    ///
    /// # Safety
    ///
    /// The table is announced, and was in use after that.
    #[inline(never)]
    unsafe fn search_behind<const READS: bool>(
        &self,
        table: Table,
        home: usize,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Search {
        let buckets = table.size().buckets();
        let mut number = home;
        for _ in 0..MOST_PASSED {
            number = if number + 1 == buckets { 0 } else { number + 1 };
            // SAFETY: the caller's promise; `number` is one of its buckets.
            match unsafe { table.bucket(number) }.search::<READS>(hazard, hash, key) {
                InBucket::Found(entry, label) => return Search::Found(entry, label),
                InBucket::Absent => return self.absent(table),
                InBucket::Behind => {}
                InBucket::Changed => break,
            }
        }
        Search::Disturbed
    }

    /// A key is in no bucket of a table where it could be.
    #[inline(always)]
    fn absent(&self, table: Table) -> Search {
        // Entries may have been moved to a newer table before they were met in this one.
        if self.current() == table {
            Search::Absent
        } else {
            Search::Disturbed
        }
    }

    /// As [`Published::search`], whatever is in the way.
    pub(in super::super) fn search_thoroughly(
        &self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Search {
        let end = self.search_both(record, hazard, hash, key);
        // The entry is announced for itself. The first table's announcement is withdrawn with the entry's.
        hazard::withdraw(&record.tables[1]);
        end
    }

    fn search_both(&self, record: &Record, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Search {
        for _ in 0..RETRIES {
            let current = self.current();
            if !record.announce_table(0, current.base().cast(), || self.current() == current) {
                continue;
            }
            // Read after `current`, and published before it: a table that `current` is replacing is not missed.
            let previous = self.previous();
            if !previous.is_none() {
                match self.search_previous(record, hazard, current, previous, hash, key) {
                    Some(Search::Absent) => {}
                    Some(end) => return end,
                    None => continue,
                }
            }
            let end = if current.is_none() {
                Search::Absent
            } else {
                // SAFETY: the table is announced and was in use after that.
                unsafe { search_table(current, hazard, hash, key) }
            };
            // Entries may have been moved to a newer table before they were met in this one.
            if matches!(end, Search::Absent) && self.current() != current {
                continue;
            }
            return end;
        }
        Search::Disturbed
    }

    /// The same in the table that is being replaced. `None`: it was replaced meanwhile; begin again.
    #[cold]
    fn search_previous(
        &self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        current: Table,
        previous: Table,
        hash: Hash,
        key: &[u8],
    ) -> Option<Search> {
        let in_use = || self.previous() == previous && self.current() == current;
        if !record.announce_table(1, previous.base().cast(), in_use) {
            return None;
        }
        // SAFETY: the table is announced and was in use after that.
        Some(unsafe { search_table(previous, hazard, hash, key) })
    }
}

/// # Safety
///
/// The caller has announced the table, and it was in use after that.
unsafe fn search_table(table: Table, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Search {
    let buckets = table.size().buckets();
    let mut number = table.home(hash);
    for _ in 0..buckets {
        // SAFETY: the caller's promise; `number` stays below the number of buckets.
        let bucket = unsafe { table.bucket(number) };
        let meta = bucket.meta.load(Ordering::Acquire);
        for slot in slots_of(matches(meta, hash.tag())) {
            let mut tried = bucket.try_slot::<false>(slot, hazard, hash, key);
            for _ in 0..RETRIES {
                if !matches!(tried, Slot::Changed) {
                    break;
                }
                tried = bucket.try_slot::<false>(slot, hazard, hash, key);
            }
            match tried {
                Slot::Found(entry, label) => return Search::Found(entry, label),
                Slot::Other => {}
                Slot::Changed => return Search::Disturbed,
            }
        }
        if meta >> OVERFLOW_SHIFT == 0 {
            break;
        }
        number = table.after(number);
    }
    Search::Absent
}
