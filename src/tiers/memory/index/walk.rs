//! From one bucket to the next: all entries of an index, or those of some places, under the shard's lock.

use super::super::entry::EntryRef;
use super::bucket::{OVERFLOW_SHIFT, SLOTS};
use super::writer::Index;
use super::Hash;

/// As many places as there are, see [`Hash::place`].
pub(in super::super) const PLACES: u64 = 1 << 32;

/// A range of places, and how far [`Index::next_of`] has come with it.
pub(in super::super) struct Places {
    from: u64,
    until: u64,
    table: usize,
    /// Buckets of that table.
    looked: usize,
    /// Entries have gone on behind the bucket that was looked at last.
    goes_on: bool,
}

impl Places {
    pub(in super::super) fn contains(&self, hash: Hash) -> bool {
        (self.from..self.until).contains(&hash.place().into())
    }

    /// Where the next range begins; [`PLACES`] at the end.
    pub(in super::super) fn until(&self) -> u64 {
        self.until
    }
}

impl Index {
    /// The places from this one on that so many buckets of the larger table are the homes of.
    pub(in super::super) fn places(&self, from: u64, buckets: usize) -> Places {
        let tables = [self.current, self.previous];
        let largest = tables.iter().filter(|table| !table.is_none()).map(|table| table.size().buckets()).max();
        let until = largest.map_or(PLACES, |largest| {
            let largest = largest as u128;
            let end = ((u128::from(from) * largest) >> 32) + buckets as u128;
            if end >= largest {
                PLACES
            } else {
                // The first one whose home is `end`.
                (end << 32).div_ceil(largest) as u64
            }
        });
        Places { from, until, table: 0, looked: 0, goes_on: false }
    }

    /// The entries of the next bucket that may hold some of these places, and others beside them; `None` after the last.
    /// Meanwhile entries may be taken out of the index, and nothing else.
    pub(in super::super) fn next_of(&self, places: &mut Places) -> Option<[Option<EntryRef>; SLOTS]> {
        loop {
            let table = *[self.current, self.previous].get(places.table)?;
            if !table.is_none() {
                let (first, last) = (table.home_of(places.from), table.home_of(places.until - 1));
                // Behind the last home, to where no entry has gone on from there.
                let is_inside = first + places.looked <= last || places.goes_on;
                if is_inside && places.looked < table.size().buckets() {
                    let number = (first + places.looked) % table.size().buckets();
                    // SAFETY: the caller holds the shard's lock, under which its tables are alive.
                    let bucket = unsafe { table.bucket(number) };
                    places.looked += 1;
                    places.goes_on = bucket.meta() >> OVERFLOW_SHIFT != 0;
                    return Some(std::array::from_fn(|slot| bucket.entry(slot)));
                }
            }
            (places.table, places.looked, places.goes_on) = (places.table + 1, 0, false);
        }
    }

    /// All entries, in no order.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = EntryRef> + '_ {
        [self.current, self.previous].into_iter().flat_map(|table| {
            let buckets = if table.is_none() { 0 } else { table.size().buckets() };
            (0..buckets).flat_map(move |number| {
                // SAFETY: as everywhere here.
                let bucket = unsafe { table.bucket(number) };
                (0..SLOTS).filter_map(|slot| bucket.entry(slot))
            })
        })
    }
}
