//! How many entries of a shard carry which tag, and where the one is of a tag that only one carries: so a purge by tag looks at
//! no entry where nobody carries it, and at a few where one does.
//!
//! Kept beside the entries, in one table a shard, under its lock: an entry is counted in the step in which it comes in, and no
//! more in the one in which it leaves. So who has the lock sees what everybody before has put, and what has no tags costs the
//! look whether it has any. The counts may be too high, for a tag that shares its number with another's, and never too low: what
//! there was no memory to count makes every tag of the shard one that somebody may carry. Decides nothing.

use super::entry::EntryRef;
use super::index::Hash;
use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// `None` while no entry of the shard carries a tag.
pub(super) struct TagCounts(Option<Box<Table>>);

#[derive(Default)]
struct Table {
    /// By half of the tag's hash: what two tags share then is looked at for both.
    counts: HashMap<u32, Count, BuildHasherDefault<Spread>>,
    /// There was no memory for a count, so that nothing is known.
    is_incomplete: bool,
}

/// What one tag takes: three numbers and a byte, in a table that is between half and seven eighths full.
const TAG: u64 = 24;

#[derive(Clone, Copy, Default)]
struct Count {
    /// One that has grown to the end of its bits stays there.
    entries: u32,
    /// Their places, all combined by exclusive or: where there is one entry, its place.
    places: u32,
}

impl Count {
    fn add(&mut self, place: u32) {
        self.entries = self.entries.saturating_add(1);
        self.places ^= place;
    }

    /// True: nobody is left.
    fn take(&mut self, place: u32) -> bool {
        if self.entries != u32::MAX {
            self.entries = self.entries.saturating_sub(1);
            self.places ^= place;
        }
        self.entries == 0
    }
}

/// Tags are hashes already. The table goes by the lowest and the highest bits of what it gets.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, tag: u32) {
        // 2^64 by the golden ratio, as in Knuth's multiplicative hashing.
        self.0 = (self.0 ^ u64::from(tag)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Who of a shard carries a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriers {
    Nobody,
    /// At most the entries at this place.
    At(u32),
    /// Perhaps anybody.
    Anybody,
}

impl TagCounts {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// What the table takes.
    #[inline(always)]
    pub(super) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |table| table.counts.len() as u64 * TAG)
    }

    pub(super) fn carriers(&self, tag: u64) -> Carriers {
        let Some(table) = &self.0 else { return Carriers::Nobody };
        match table.counts.get(&(tag as u32)) {
            _ if table.is_incomplete => Carriers::Anybody,
            None => Carriers::Nobody,
            Some(Count { entries: 1, places }) => Carriers::At(*places),
            Some(_) => Carriers::Anybody,
        }
    }

    /// An entry comes into the shard.
    #[inline(always)]
    pub(super) fn enter(&mut self, entry: EntryRef, hash: Hash) {
        if entry.is_tagged() {
            self.add(entry, hash.place());
        }
    }

    /// An entry leaves the shard.
    #[inline(always)]
    pub(super) fn leave(&mut self, entry: EntryRef, hash: Hash) {
        if entry.is_tagged() {
            self.take(entry, hash.place());
        }
    }

    /// One entry of a key takes the place of another.
    #[inline(always)]
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef, hash: Hash) {
        if old.is_tagged() || new.is_tagged() {
            self.change(old, new, hash);
        }
    }

    /// All entries leave at once.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// The shard is empty, so what was not counted has left, too.
    pub(super) fn all_have_left(&mut self) {
        if self.0.as_ref().is_some_and(|table| table.is_incomplete) {
            self.0 = None;
        }
    }

    #[cold]
    fn change(&mut self, old: EntryRef, new: EntryRef, hash: Hash) {
        // A value that is stored anew mostly has the tags that it had.
        if !old.tags().eq(new.tags()) {
            self.enter(new, hash);
            self.leave(old, hash);
        }
    }

    #[cold]
    fn add(&mut self, entry: EntryRef, place: u32) {
        let table = self.0.get_or_insert_with(Box::default);
        for tag in entry.tags() {
            if table.is_incomplete || table.counts.try_reserve(1).is_err() {
                **table = Table { is_incomplete: true, ..Table::default() };
                return;
            }
            table.counts.entry(tag as u32).or_default().add(place);
        }
    }

    #[cold]
    fn take(&mut self, entry: EntryRef, place: u32) {
        let Some(table) = self.0.as_mut().filter(|table| !table.is_incomplete) else { return };
        for tag in entry.tags() {
            match table.counts.entry(tag as u32) {
                Entry::Occupied(mut count) => {
                    if count.get_mut().take(place) {
                        count.remove();
                    }
                }
                Entry::Vacant(_) => debug_assert!(false, "a tagged entry leaves that was not counted"),
            }
        }
        if table.counts.is_empty() {
            self.0 = None;
        } else if table.counts.len() < table.counts.capacity() / 4 {
            table.shrink();
        }
    }
}

impl Table {
    /// Moves into a table of about half the size; not if there is no memory for it.
    #[cold]
    fn shrink(&mut self) {
        let mut smaller = HashMap::default();
        if smaller.try_reserve(2 * self.counts.len()).is_ok() && smaller.capacity() < self.counts.capacity() {
            smaller.extend(self.counts.drain());
            self.counts = smaller;
        }
    }
}

#[cfg(test)]
impl TagCounts {
    /// Counts entries anew: whether that makes the same.
    pub(super) fn are_of(&self, entries: impl Iterator<Item = (EntryRef, Hash)>) -> bool {
        let mut anew = Self::new();
        entries.for_each(|(entry, hash)| anew.enter(entry, hash));
        let sorted = |counts: &Self| {
            let counts = counts.0.iter().flat_map(|table| table.counts.iter());
            let mut counts: Vec<_> = counts.map(|(tag, count)| (*tag, count.entries, count.places)).collect();
            counts.sort_unstable();
            counts
        };
        sorted(self) == sorted(&anew) && self.0.is_some() == anew.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::{Heap, Magazine};
    use super::super::entry::{Draft, Payload};
    use super::super::update::{Condition, PutOptions};
    use super::super::{reclaim, Memory};
    use super::*;
    use crate::clock::{Clock, Ttl};
    use crate::options::{Options, UNBOUNDED};
    use std::time::Duration;

    /// An entry with these tags that ends with the test.
    struct Made<'a>(EntryRef, &'a Heap);

    impl<'a> Made<'a> {
        fn new(heap: &'a Heap, tags: &[u64]) -> Self {
            let owned = Draft::new(b"key", Payload::Plain(b""), false, tags)
                .and_then(|draft| draft.make(heap, &mut Magazine::none()));
            Self(owned.unwrap().into_shared(), heap)
        }
    }

    impl Drop for Made<'_> {
        fn drop(&mut self) {
            reclaim::give_up(self.0, self.1);
        }
    }

    const HERE: Hash = Hash(0x1234_5678_9ABC_DEF0);
    const THERE: Hash = Hash(0x0FED_CBA9_8765_4321);

    #[test]
    fn a_tag_is_carried_by_nobody_one_at_its_place_or_anybody() {
        let heap = Heap::new(false);
        let (one, other, plain) = (Made::new(&heap, &[7, 8]), Made::new(&heap, &[8]), Made::new(&heap, &[]));
        let mut counts = TagCounts::new();
        let say =
            |counts: &TagCounts| (counts.carriers(7), counts.carriers(8), counts.carriers(9), counts.bytes() / TAG);
        let (nobody, anybody) = (Carriers::Nobody, Carriers::Anybody);
        let (here, there) = (Carriers::At(HERE.place()), Carriers::At(THERE.place()));
        counts.enter(plain.0, HERE);
        assert!(counts.0.is_none(), "what has no tags makes no table");
        assert_eq!(say(&counts), (nobody, nobody, nobody, 0));
        counts.enter(one.0, HERE);
        assert_eq!(say(&counts), (here, here, nobody, 2));
        counts.enter(other.0, THERE);
        assert_eq!(say(&counts), (here, anybody, nobody, 2));
        counts.leave(plain.0, HERE);
        counts.leave(one.0, HERE);
        assert_eq!(say(&counts), (nobody, there, nobody, 1));
        counts.replace(other.0, one.0, THERE);
        assert_eq!(say(&counts), (there, there, nobody, 2));
        counts.replace(one.0, one.0, THERE);
        assert_eq!(say(&counts), (there, there, nobody, 2));
        counts.replace(one.0, plain.0, THERE);
        assert!(counts.0.is_none(), "the table goes with the last");
    }

    #[test]
    fn tags_that_look_alike_are_carried_by_somebody_until_the_last_of_both_has_left() {
        let heap = Heap::new(false);
        let (low, alike) = (7, 1 << 32 | 7);
        let (one, other) = (Made::new(&heap, &[low]), Made::new(&heap, &[alike]));
        let mut counts = TagCounts::new();
        counts.enter(one.0, HERE);
        assert_eq!(counts.carriers(alike), Carriers::At(HERE.place()));
        counts.enter(other.0, THERE);
        assert_eq!((counts.carriers(low), counts.carriers(alike)), (Carriers::Anybody, Carriers::Anybody));
        counts.leave(one.0, HERE);
        assert_eq!(counts.carriers(low), Carriers::At(THERE.place()));
        counts.leave(other.0, THERE);
        assert_eq!(counts.carriers(low), Carriers::Nobody);
        // Of one entry.
        let both = Made::new(&heap, &[low, alike]);
        counts.enter(both.0, HERE);
        assert_eq!(counts.carriers(low), Carriers::Anybody);
        counts.leave(both.0, HERE);
        assert!(counts.0.is_none());
    }

    #[test]
    fn a_count_that_is_full_never_says_nobody_again() {
        let heap = Heap::new(false);
        let entry = Made::new(&heap, &[7]);
        let mut counts = TagCounts::new();
        counts.enter(entry.0, HERE);
        let table = counts.0.as_mut().unwrap();
        table.counts.get_mut(&7).unwrap().entries = u32::MAX - 1;
        counts.enter(entry.0, HERE);
        counts.enter(entry.0, HERE);
        (0..5).for_each(|_| counts.leave(entry.0, HERE));
        assert_eq!(counts.carriers(7), Carriers::Anybody);
    }

    #[test]
    fn what_could_not_be_counted_may_be_anybodys_until_all_have_left() {
        let heap = Heap::new(false);
        let entry = Made::new(&heap, &[7]);
        let mut counts = TagCounts(Some(Box::new(Table { is_incomplete: true, ..Table::default() })));
        counts.enter(entry.0, HERE);
        counts.leave(entry.0, HERE);
        assert_eq!((counts.carriers(7), counts.carriers(8), counts.bytes()), (Carriers::Anybody, Carriers::Anybody, 0));
        counts.all_have_left();
        assert_eq!(counts.carriers(7), Carriers::Nobody);
    }

    #[test]
    fn a_table_that_most_have_left_gets_smaller_and_knows_the_rest() {
        let heap = Heap::new(false);
        // Multiples of a large odd number, as hashes have bits all over.
        let tag = |number: u64| number.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let entries: Vec<Made<'_>> = (0..1_000).map(|number| Made::new(&heap, &[tag(number)])).collect();
        let mut counts = TagCounts::new();
        entries.iter().for_each(|entry| counts.enter(entry.0, HERE));
        let largest = counts.0.as_ref().unwrap().counts.capacity();
        entries[10..].iter().for_each(|entry| counts.leave(entry.0, HERE));
        assert!(counts.0.as_ref().unwrap().counts.capacity() < largest / 20);
        assert_eq!(counts.bytes(), 10 * TAG);
        assert!((0..10).all(|number| counts.carriers(tag(number)) == Carriers::At(HERE.place())));
        assert!((10..1_000).all(|number| counts.carriers(tag(number)) == Carriers::Nobody));
    }

    /// Whatever is done, the counts are those of the entries that are there.
    #[test]
    fn the_counts_are_right_after_every_call_of_whatever_kind() {
        for policy in ["lru", "lfu", "fifo", "ttl", "s3fifo", "adaptive", "w-tinylfu", "lru-lfu"] {
            let (clock, time) = Clock::manual();
            let mut options = Options::new();
            options.set("memory.policy", policy).unwrap().set("memory.capacity", "4100").unwrap();
            let memory = Memory::open(&options.memory, clock);
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let mut random = |bound: u64| {
                // Marsaglia's xorshift64.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % bound
            };
            let names: Vec<[u8; 1]> = (0..40).map(|number| [number]).collect();
            for round in 0..if cfg!(miri) { 100 } else { 3_000 } {
                let key = [random(200) as u8];
                let tags: Vec<&[u8]> = (0..random(4)).map(|_| &names[random(40) as usize][..]).collect();
                let ttl = if random(2) == 0 { Ttl::Forever } else { Ttl::For(Duration::from_secs(random(100))) };
                let put = PutOptions { ttl, tags: &tags, ..PutOptions::default() };
                match random(40) {
                    0..=16 => _ = memory.put_with(&key, b"1", &put).unwrap(),
                    17 => {
                        _ = memory.put_with(&key, b"", &PutOptions { condition: Condition::IfAbsent, ..put }).unwrap()
                    }
                    18..=20 => memory.put(&key, b"", ttl).unwrap(),
                    21..=23 => _ = memory.increment(&key, 1, 1, ttl),
                    24..=26 => _ = memory.remove(&key),
                    27..=28 => _ = memory.acquire(&key).unwrap(),
                    29 => _ = memory.touch(&key, ttl),
                    30..=31 => time.advance(Duration::from_secs(random(20))),
                    32 => _ = memory.sweep(),
                    33..=35 => _ = memory.purge_tag(&names[random(40) as usize]).unwrap(),
                    36 if round % 7 == 0 => _ = memory.clear(),
                    37 => _ = memory.shrink(memory.bytes() / 2),
                    38 => {
                        // There and back between one shard and many.
                        let capacity = ["50", "4000", "4100"][random(3) as usize];
                        options.set("memory.capacity", capacity).unwrap();
                        options.memory.max_bytes = [UNBOUNDED, 8 << 10, 12 << 10][random(3) as usize];
                        while !memory.configure(&options.memory, &mut false) {}
                    }
                    39 if round % 5 == 0 => {
                        options.set("memory.policy", if random(2) == 0 { "sieve" } else { policy }).unwrap();
                        while !memory.configure(&options.memory, &mut false) {}
                    }
                    _ => {}
                }
                for shard in &memory.shards {
                    assert!(memory.lock(shard).has_right_counts_of_tags(), "{policy}, round {round}");
                }
            }
        }
    }
}
