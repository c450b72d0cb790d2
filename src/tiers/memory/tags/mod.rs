//! Which entries of a shard carry which tag: so a purge by tag meets its carriers, and nobody else.
//!
//! Kept beside the entries, in one table a shard, under its lock: an entry comes into the chains of its tags in the step in which it
//! comes in, and out of them in the one in which it leaves. So who has the lock sees what everybody before has put, and what has no
//! tags costs the look whether it has any. What there was no memory for makes every tag of the shard one that anybody may carry.
//! Decides nothing.

mod chain;

use super::entry::{EntryRef, TagRef};
use chain::Chain;
use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// `None` while no entry of the shard carries a tag.
pub(super) struct Tags(Option<Box<Table>>);

#[derive(Default)]
struct Table {
    /// The tags in several parts, each of which grows on its own: so none of the puts that make them grow waits long.
    parts: [Part; PARTS],
    /// How many tags there are.
    len: u64,
    /// There was no memory for one, so that nothing is known.
    is_incomplete: bool,
}

type Part = HashMap<u64, Chain, BuildHasherDefault<AsItIs>>;

/// Arbitrary: a shard of 100,000 tags copies 6,000 at a time.
const PARTS: usize = 16;

/// Which bits of a tag say the part: a table goes by the lowest and the highest.
const PART_SHIFT: u32 = 32;

/// What one tag takes: three words and a byte, in a table that is between half and seven eighths full.
const TAG: u64 = 40;

/// What there is beside them.
const TABLE: u64 = size_of::<Table>() as u64;

/// Tags are hashes already, by a seed of the cache's.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a tag is one number");
    }

    fn write_u64(&mut self, tag: u64) {
        self.0 = tag;
    }
}

/// Who of a shard carries a tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carriers {
    Nobody,
    /// This one, for longer than all others.
    Since(EntryRef),
    /// Perhaps anybody.
    Anybody,
}

impl Tags {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// What the table takes.
    #[inline(always)]
    pub(super) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |table| TABLE + table.len * TAG)
    }

    pub(super) fn carriers(&self, tag: u64) -> Carriers {
        let Some(table) = &self.0 else { return Carriers::Nobody };
        match table.parts[part(tag)].get(&tag) {
            _ if table.is_incomplete => Carriers::Anybody,
            None => Carriers::Nobody,
            Some(chain) => Carriers::Since(chain.oldest.entry()),
        }
    }

    /// Asks the processor for what an entry with these tags will touch beside itself when it comes in.
    #[inline(always)]
    pub(super) fn expect_enter(&self, tags: &[u64]) {
        if let (Some(table), false) = (&self.0, tags.is_empty()) {
            table.expect_add(tags);
        }
    }

    /// The same for one that will leave, or whose place another one will take.
    #[inline(always)]
    pub(super) fn expect_leave(&self, entry: EntryRef) {
        if entry.is_tagged() {
            self.expect_take(entry);
        }
    }

    /// An entry comes into the shard.
    #[inline(always)]
    pub(super) fn enter(&mut self, entry: EntryRef) {
        if entry.is_tagged() {
            self.add(entry);
        }
    }

    /// An entry leaves the shard.
    #[inline(always)]
    pub(super) fn leave(&mut self, entry: EntryRef) {
        if entry.is_tagged() {
            self.take(entry);
        }
    }

    /// One entry of a key takes the place of another.
    #[inline(always)]
    pub(super) fn replace(&mut self, old: EntryRef, new: EntryRef) {
        if old.is_tagged() || new.is_tagged() {
            self.change(old, new);
        }
    }

    /// All entries leave at once.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// The shard is empty, so what nothing was known of has left, too.
    pub(super) fn all_have_left(&mut self) {
        if self.0.as_ref().is_some_and(|table| table.is_incomplete) {
            self.0 = None;
        }
    }

    /// The table, if it is there and knows everything.
    fn known(&mut self) -> Option<&mut Table> {
        self.0.as_deref_mut().filter(|table| !table.is_incomplete)
    }

    #[cold]
    fn expect_take(&self, entry: EntryRef) {
        if self.0.as_ref().is_some_and(|table| !table.is_incomplete) {
            entry.tags().for_each(chain::expect_remove);
        }
    }

    #[cold]
    fn change(&mut self, old: EntryRef, new: EntryRef) {
        // A value that is stored anew mostly has the tags that it had.
        if !old.tags().map(TagRef::tag).eq(new.tags().map(TagRef::tag)) {
            self.leave(old);
            self.enter(new);
        } else if let Some(table) = self.known() {
            table.replace(old, new);
        }
    }

    #[cold]
    fn add(&mut self, entry: EntryRef) {
        let table = self.0.get_or_insert_with(Box::default);
        if !table.is_incomplete && !table.add(entry) {
            **table = Table { is_incomplete: true, ..Table::default() };
        }
    }

    #[cold]
    fn take(&mut self, entry: EntryRef) {
        let Some(table) = self.known() else { return };
        table.take(entry);
        if table.len == 0 {
            self.0 = None;
        }
    }
}

impl Table {
    #[cold]
    fn expect_add(&self, tags: &[u64]) {
        for tag in tags {
            self.parts[part(*tag)].get(tag).inspect(|chain| chain.newest.prefetch());
        }
    }

    /// False when there is no memory, and nothing is to be relied on any more.
    #[must_use]
    fn add(&mut self, entry: EntryRef) -> bool {
        for carried in entry.tags() {
            let part = &mut self.parts[part(carried.tag())];
            if part.try_reserve(1).is_err() {
                return false;
            }
            match part.entry(carried.tag()) {
                Entry::Occupied(mut chain) => chain.get_mut().push(carried),
                Entry::Vacant(place) => {
                    place.insert(Chain::new(carried));
                    self.len += 1;
                }
            }
        }
        true
    }

    fn take(&mut self, entry: EntryRef) {
        for carried in entry.tags() {
            // In the middle of a chain only its neighbours have to know.
            match chain::remove(carried) {
                (Some(_), Some(_)) => {}
                (None, None) => self.forget(carried.tag()),
                (None, Some(newer)) => self.change(carried.tag(), |chain| chain.oldest = newer),
                (Some(older), None) => self.change(carried.tag(), |chain| chain.newest = older),
            }
        }
    }

    /// The tags are the same.
    fn replace(&mut self, old: EntryRef, new: EntryRef) {
        for (old, new) in old.tags().zip(new.tags()) {
            let (older, newer) = chain::replace(old, new);
            if older.is_none() {
                self.change(new.tag(), |chain| chain.oldest = new);
            }
            if newer.is_none() {
                self.change(new.tag(), |chain| chain.newest = new);
            }
        }
    }

    fn change(&mut self, tag: u64, change: impl FnOnce(&mut Chain)) {
        match self.parts[part(tag)].get_mut(&tag) {
            Some(chain) => change(chain),
            None => debug_assert!(false, "an entry carries a tag that is not known"),
        }
    }

    /// Nobody carries it any more.
    fn forget(&mut self, tag: u64) {
        let part = &mut self.parts[part(tag)];
        let known = part.remove(&tag);
        debug_assert!(known.is_some(), "an entry carried a tag that was not known");
        self.len -= 1;
        if part.len() < part.capacity() / 4 {
            shrink(part);
        }
    }
}

/// Where a tag is.
fn part(tag: u64) -> usize {
    (tag >> PART_SHIFT) as usize % PARTS
}

/// Moves into a table of about half the size; not if there is no memory for it.
#[cold]
fn shrink(part: &mut Part) {
    let mut smaller = Part::default();
    if smaller.try_reserve(2 * part.len()).is_ok() && smaller.capacity() < part.capacity() {
        smaller.extend(part.drain());
        *part = smaller;
    }
}

#[cfg(test)]
impl Tags {
    /// Whether the chains are those of these entries, which are all of the shard.
    pub(super) fn are_of(&self, entries: impl Iterator<Item = EntryRef>) -> bool {
        let sorted = |mut carriers: Vec<(u64, u64)>| {
            carriers.sort_unstable();
            carriers
        };
        let parts = || self.0.iter().flat_map(|table| &table.parts).flatten();
        let named = |carried: TagRef| (carried.tag(), carried.entry().address());
        let known = parts().flat_map(|(_, chain)| chain.carriers().into_iter().map(named));
        let carried = entries.flat_map(|entry| entry.tags().map(named).collect::<Vec<_>>());
        let (known, carried) = (sorted(known.collect()), sorted(carried.collect()));
        known == carried
            && self.0.as_ref().map_or(0, |table| table.len) == parts().count() as u64
            && self.0.is_some() != known.is_empty()
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

    /// Who carries a tag, the longest first.
    fn carriers(tags: &Tags, tag: u64) -> Vec<EntryRef> {
        let chain = tags.0.as_ref().and_then(|table| table.parts[part(tag)].get(&tag));
        let entries: Vec<EntryRef> = chain.iter().flat_map(|chain| chain.carriers()).map(TagRef::entry).collect();
        assert!(tags.carriers(tag) == entries.first().map_or(Carriers::Nobody, |oldest| Carriers::Since(*oldest)));
        entries
    }

    #[test]
    fn a_tag_is_carried_by_who_came_in_with_it_and_has_not_left() {
        let heap = Heap::new(false);
        let made = [&[7, 8][..], &[8], &[9, 8, 7], &[]].map(|tags| Made::new(&heap, tags));
        let [a, b, c, plain] = [0, 1, 2, 3].map(|number| made[number].0);
        let mut tags = Tags::new();
        let is = |tags: &Tags, sevens: &[EntryRef], eights: &[EntryRef], nines: &[EntryRef]| {
            let known = [sevens, eights, nines].iter().filter(|carriers| !carriers.is_empty()).count() as u64;
            tags.0.is_some() == (known > 0)
                && tags.bytes() == if known > 0 { TABLE + known * TAG } else { 0 }
                && [(7, sevens), (8, eights), (9, nines)].iter().all(|(tag, of)| carriers(tags, *tag) == *of)
        };
        tags.enter(plain);
        assert!(is(&tags, &[], &[], &[]), "what has no tags makes no table");
        tags.enter(a);
        assert!(is(&tags, &[a], &[a], &[]));
        tags.enter(b);
        tags.enter(c);
        assert!(is(&tags, &[a, c], &[a, b, c], &[c]));
        // From the middle of one chain.
        tags.leave(b);
        assert!(is(&tags, &[a, c], &[a, c], &[c]));
        // From the beginning, and again to the end.
        tags.leave(a);
        tags.enter(b);
        tags.enter(a);
        assert!(is(&tags, &[c, a], &[c, b, a], &[c]));
        tags.leave(a);
        tags.leave(plain);
        tags.leave(c);
        assert!(is(&tags, &[], &[b], &[]));
        tags.leave(b);
        assert!(is(&tags, &[], &[], &[]), "the table goes with the last");
    }

    #[test]
    fn what_takes_a_place_with_the_same_tags_stands_where_the_other_stood() {
        let heap = Heap::new(false);
        let made: Vec<Made<'_>> = (0..4).map(|_| Made::new(&heap, &[7, 8])).collect();
        let [a, b, c, new] = [0, 1, 2, 3].map(|number| made[number].0);
        for (old, then) in [(a, [new, b, c]), (b, [a, new, c]), (c, [a, b, new])] {
            let mut tags = Tags::new();
            [a, b, c].into_iter().for_each(|entry| tags.enter(entry));
            tags.replace(old, new);
            assert!(carriers(&tags, 7) == then && carriers(&tags, 8) == then);
            then.into_iter().for_each(|entry| tags.leave(entry));
            assert!(tags.0.is_none());
        }
        let mut tags = Tags::new();
        tags.enter(a);
        tags.replace(a, new);
        assert!(carriers(&tags, 7) == [new], "the only one");
    }

    #[test]
    fn what_takes_a_place_with_other_tags_comes_in_with_them() {
        let heap = Heap::new(false);
        let made = [&[7, 8][..], &[8, 7], &[8, 9], &[]].map(|tags| Made::new(&heap, tags));
        let [first, turned, other, plain] = [0, 1, 2, 3].map(|number| made[number].0);
        let mut tags = Tags::new();
        tags.enter(first);
        tags.replace(first, turned);
        assert!(carriers(&tags, 7) == [turned] && carriers(&tags, 8) == [turned]);
        tags.replace(turned, other);
        assert!(carriers(&tags, 7).is_empty() && carriers(&tags, 8) == [other] && carriers(&tags, 9) == [other]);
        tags.replace(other, plain);
        assert!(tags.0.is_none());
        tags.replace(plain, first);
        assert!(carriers(&tags, 7) == [first]);
    }

    #[test]
    fn where_there_was_no_memory_anybody_may_carry_anything_until_all_have_left() {
        let heap = Heap::new(false);
        let (one, other) = (Made::new(&heap, &[7]), Made::new(&heap, &[7]));
        let mut tags = Tags(Some(Box::new(Table { is_incomplete: true, ..Table::default() })));
        tags.enter(one.0);
        tags.replace(one.0, other.0);
        tags.leave(other.0);
        assert!(
            tags.carriers(7) == Carriers::Anybody && tags.carriers(8) == Carriers::Anybody && tags.bytes() == TABLE
        );
        tags.all_have_left();
        assert!(tags.carriers(7) == Carriers::Nobody);
    }

    #[test]
    fn a_table_that_most_have_left_gets_smaller_and_knows_the_rest() {
        let heap = Heap::new(false);
        // Multiples of a large odd number, as hashes have bits all over.
        let tag = |number: u64| number.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let capacity = |tags: &Tags| tags.0.iter().flat_map(|table| &table.parts).map(HashMap::capacity).sum::<usize>();
        let entries: Vec<Made<'_>> = (0..2_000).map(|number| Made::new(&heap, &[tag(number)])).collect();
        let mut tags = Tags::new();
        entries.iter().for_each(|entry| tags.enter(entry.0));
        let largest = capacity(&tags);
        entries[20..].iter().for_each(|entry| tags.leave(entry.0));
        assert!(capacity(&tags) < largest / 10);
        assert_eq!(tags.bytes(), TABLE + 20 * TAG);
        for (number, entry) in entries.iter().enumerate() {
            let expected: &[EntryRef] = if number < 20 { &[entry.0] } else { &[] };
            assert!(carriers(&tags, tag(number as u64)) == expected);
        }
    }

    /// Whatever is done, the chains are those of the entries that are there.
    #[test]
    fn the_chains_are_right_after_every_call_of_whatever_kind() {
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
                    assert!(memory.lock(shard).has_right_chains_of_tags(), "{policy}, round {round}");
                }
            }
        }
    }
}
