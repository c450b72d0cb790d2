//! A cache of a small sample of the keys, without values, under one rule: how often would that rule hit?
//!
//! After Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature simulations" (USENIX ATC
//! 2017): a cache of a part of the size that sees the same part of the keys hits as often as the whole would.
//!
//! An entry only ever leaves its queue at the oldest end, so a queue is an array that is written round and round: four
//! bytes an entry, and an index of two bytes at three quarters. With the ghost 12 to 14 bytes an entry.

use super::super::index::Hash;
use super::ghost::Ghost;
use super::rule::{Queue, Queues, Rule, Ruling, MOST};
use super::sample;

/// ```text
///  31            24 23                        2 1       0
///  | level (8)     | of the key's hash (22)    | hits    |
/// ```
/// One look-up in 2,000 takes a key for another one, with the most entries; all shadows alike.
type Entry = u32;
const HITS: u32 = 3;
const _: () = assert!(MOST <= HITS);
const KEY_BITS: u32 = 22;
const LEVEL_AT: u32 = KEY_BITS + HITS.count_ones();
const _: () = assert!(LEVEL_AT + sample::LEVEL_BITS == Entry::BITS);

/// A place in the index: 0 for none, else one more than the position, whose highest bit says in which queue.
type Place = u16;
const IN_MAIN: u16 = 1 << 14;
/// The most entries that a place can tell apart.
pub(super) const MOST_ENTRIES: usize = IN_MAIN as usize - 2;

pub(super) struct Shadow {
    rings: Rings,
    ghost: Ghost,
    ruling: Ruling,
}

struct Rings {
    window: Ring,
    main: Ring,
    /// Open addressing with linear probing; a power of two.
    index: Vec<Place>,
}

struct Ring {
    slots: Vec<Entry>,
    oldest: usize,
    len: usize,
}

impl Ring {
    fn new(entries: usize) -> Option<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(entries).ok()?;
        slots.resize(entries, 0);
        Some(Self { slots, oldest: 0, len: 0 })
    }

    /// Says where it stands.
    fn push(&mut self, entry: Entry) -> usize {
        let at = (self.oldest + self.len) % self.slots.len();
        self.slots[at] = entry;
        self.len += 1;
        at
    }

    /// The oldest, and where it stood.
    fn pop(&mut self) -> Option<(Entry, usize)> {
        let at = self.oldest;
        self.len = self.len.checked_sub(1)?;
        self.oldest = (at + 1) % self.slots.len();
        Some((self.slots[at], at))
    }

    /// Leaves those out that are not wanted.
    fn retain(&mut self, is_wanted: impl Fn(Entry) -> bool) {
        let (size, before) = (self.slots.len(), self.len);
        self.len = 0;
        for step in 0..before {
            let entry = self.slots[(self.oldest + step) % size];
            if is_wanted(entry) {
                self.push(entry);
            }
        }
    }
}

fn place(queue: Queue, at: usize) -> Place {
    let queue = if queue == Queue::Main { IN_MAIN } else { 0 };
    (queue | at as u16) + 1
}

impl Rings {
    fn ring(&mut self, queue: Queue) -> &mut Ring {
        match queue {
            Queue::Window => &mut self.window,
            Queue::Main => &mut self.main,
        }
    }

    fn entry(&mut self, place: Place) -> &mut Entry {
        let position = place - 1;
        let queue = if position & IN_MAIN == 0 { Queue::Window } else { Queue::Main };
        &mut self.ring(queue).slots[usize::from(position & !IN_MAIN)]
    }

    fn mask(&self) -> usize {
        self.index.len() - 1
    }

    fn home(&self, key: u32) -> usize {
        (key.wrapping_mul(0x9E37_79B9) >> 7) as usize & self.mask()
    }

    /// Where the index has a place, or where there is none that `is_it`.
    fn probe(&mut self, key: u32, is_it: impl Fn(&mut Self, Place) -> bool) -> Result<usize, usize> {
        let mut at = self.home(key);
        loop {
            let place = self.index[at];
            if place == 0 {
                return Err(at);
            }
            if is_it(self, place) {
                return Ok(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    fn find(&mut self, key: u32) -> Result<usize, usize> {
        self.probe(key, |rings, place| *rings.entry(place) >> 2 == key)
    }

    fn push(&mut self, queue: Queue, key: u32, hits: u32) {
        let at = self.ring(queue).push(key << 2 | hits);
        self.enter(key, place(queue, at));
    }

    /// Writes into the index where a key stands.
    fn enter(&mut self, key: u32, place: Place) {
        if let Err(free) = self.probe(key, |_, _| false) {
            self.index[free] = place;
        }
    }

    /// Leaves out what is not below a level.
    fn thin(&mut self, level: u32) {
        self.index.fill(0);
        for queue in [Queue::Window, Queue::Main] {
            self.ring(queue).retain(|entry| entry >> LEVEL_AT < level);
            for step in 0..self.len(queue) {
                let ring = self.ring(queue);
                let at = (ring.oldest + step) % ring.slots.len();
                let key = ring.slots[at] >> 2;
                self.enter(key, place(queue, at));
            }
        }
    }

    /// Takes the oldest out; says which key it was.
    fn pop(&mut self, queue: Queue) -> Option<u32> {
        let (entry, at) = self.ring(queue).pop()?;
        let (key, gone) = (entry >> 2, place(queue, at));
        let mut gap = self.probe(key, |_, place| place == gone).ok()?;
        // Those behind it that would not be found any more move up.
        let mut next = (gap + 1) & self.mask();
        while self.index[next] != 0 {
            let place = self.index[next];
            let key = *self.entry(place) >> 2;
            let home = self.home(key);
            if next.wrapping_sub(home) & self.mask() >= next.wrapping_sub(gap) & self.mask() {
                self.index[gap] = place;
                gap = next;
            }
            next = (next + 1) & self.mask();
        }
        self.index[gap] = 0;
        Some(key)
    }
}

impl Queues for Rings {
    fn len(&self, queue: Queue) -> usize {
        match queue {
            Queue::Window => self.window.len,
            Queue::Main => self.main.len,
        }
    }

    fn oldest(&self, queue: Queue) -> Option<u32> {
        let ring = match queue {
            Queue::Window => &self.window,
            Queue::Main => &self.main,
        };
        (ring.len > 0).then(|| ring.slots[ring.oldest] & HITS)
    }

    fn requeue(&mut self, from: Queue, to: Queue, hits: u32) {
        let Some((entry, was)) = self.ring(from).pop() else { return };
        let is = self.ring(to).push(entry & !HITS | hits.min(HITS));
        let (was, is) = (place(from, was), place(to, is));
        if let Ok(at) = self.probe(entry >> 2, |_, place| place == was) {
            self.index[at] = is;
        }
    }
}

impl Shadow {
    /// For so many entries, at least one and at most [`MOST_ENTRIES`]. `None` when there is no memory.
    pub(super) fn new(entries: usize, rule: Rule) -> Option<Self> {
        // Second chance alone has no use for main.
        let main = if rule == Rule::Clock { 1 } else { entries };
        let mut index = Vec::new();
        let places = (entries * 4 / 3 + 1).next_power_of_two();
        index.try_reserve_exact(places).ok()?;
        index.resize(places, 0);
        let rings = Rings { window: Ring::new(entries)?, main: Ring::new(main)?, index };
        Some(Self { rings, ghost: Ghost::small(), ruling: Ruling::new(rule) })
    }

    /// A request for a key of the sample; a key that is not there is stored. Says whether it was there.
    pub(super) fn request(&mut self, hash: Hash) -> bool {
        let key = key_of(hash);
        if let Ok(at) = self.rings.find(key) {
            let place = self.rings.index[at];
            let entry = self.rings.entry(place);
            if *entry & HITS < MOST {
                *entry += 1;
            }
            return true;
        }
        if self.rings.window.len + self.rings.main.len == self.rings.window.slots.len() {
            self.evict();
        }
        let queue = self.ruling.place(&mut self.rings, self.ghost.take(hash_of(key)));
        self.rings.push(queue, key, 0);
        self.ruling.inserted(&mut self.rings);
        false
    }

    /// Forgets the keys that are not below a level of the sample.
    pub(super) fn thin(&mut self, level: u32) {
        self.rings.thin(level);
    }

    /// The same in a shadow of another size, which leaves out what does not fit. `None` when there is no memory.
    pub(super) fn resized(mut self, entries: usize) -> Option<Self> {
        let mut resized = Self::new(entries, self.ruling.rule())?;
        while self.rings.window.len + self.rings.main.len > entries {
            self.evict();
        }
        for queue in [Queue::Window, Queue::Main] {
            while let (Some(hits), Some(key)) = (self.rings.oldest(queue), self.rings.pop(queue)) {
                resized.rings.push(queue, key, hits);
            }
        }
        resized.ghost = self.ghost;
        resized.ruling = self.ruling;
        Some(resized)
    }

    fn evict(&mut self) {
        let entries = self.rings.window.slots.len();
        let Some(queue) = self.ruling.victim(&mut self.rings) else { return };
        let Some(key) = self.rings.pop(queue) else { return };
        // Second chance alone asks no ghost.
        if self.ruling.evicted(queue) && self.ruling.rule() != Rule::Clock {
            self.ghost.remember(hash_of(key), entries);
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let slots = self.rings.window.slots.len() + self.rings.main.slots.len();
        slots * size_of::<Entry>() + self.rings.index.len() * size_of::<Place>() + self.ghost.bytes() as usize
    }
}

/// What stands in an entry for a key: its level, and bits of which no part decides about sample or shard alone.
fn key_of(hash: Hash) -> u32 {
    let level = sample::level(sample::value(hash));
    level << KEY_BITS | (hash.0.wrapping_mul(0xA24B_AED4_963E_E407) >> (u64::BITS - KEY_BITS)) as u32
}

/// What the ghost is told of a key.
fn hash_of(key: u32) -> Hash {
    Hash(u64::from(key + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

#[cfg(test)]
mod tests {
    use super::super::rule::RULES;
    use super::*;
    use std::collections::VecDeque;

    fn hash(number: u64) -> Hash {
        Hash((number + 1).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(31).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// Second chance, beside the plainest form of it.
    #[test]
    fn a_shadow_is_what_its_rule_says() {
        for entries in [1, 2, 7, 100] {
            let mut shadow = Shadow::new(entries, Rule::Clock).unwrap();
            let mut model: VecDeque<(u64, u32)> = VecDeque::new();
            let mut state = 0x5EED_u64;
            for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
                let number = random(&mut state) % (3 * entries as u64) * (random(&mut state) % 8) / 8;
                let known = model.iter_mut().find(|(known, _)| *known == number);
                assert_eq!(shadow.request(hash(number)), known.is_some());
                match known {
                    Some((_, hits)) => *hits = MOST.min(*hits + 1),
                    None => {
                        if model.len() == entries {
                            while model[0].1 > 0 {
                                let (number, _) = model.pop_front().unwrap();
                                model.push_back((number, 0));
                            }
                            model.pop_front();
                        }
                        model.push_back((number, 0));
                    }
                }
            }
        }
    }

    #[test]
    fn the_index_knows_every_entry_under_every_rule() {
        for rule in RULES {
            let (entries, mut state) = (60, 0x5EED_u64);
            let mut shadow = Shadow::new(entries, rule).unwrap();
            for _ in 0..if cfg!(miri) { 60 } else { 20_000 } {
                shadow.request(hash(random(&mut state) % 200 * (random(&mut state) % 8) / 8));
                let rings = &mut shadow.rings;
                assert!(rings.window.len + rings.main.len <= entries);
                assert_eq!(rings.index.iter().filter(|place| **place != 0).count(), rings.window.len + rings.main.len);
                for at in 0..rings.index.len() {
                    let place = rings.index[at];
                    if place != 0 {
                        let key = *rings.entry(place) >> 2;
                        assert_eq!(rings.find(key), Ok(at));
                    }
                }
            }
        }
    }

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state >> 20
    }

    #[test]
    fn a_thinner_sample_leaves_those_of_its_keys_that_were_there() {
        for rule in RULES {
            let mut shadow = Shadow::new(60, rule).unwrap();
            let mut state = 0x5EED_u64;
            (0..300).for_each(|_| _ = shadow.request(hash(random(&mut state) % 100)));
            let level = sample::ALL - sample::OCTAVE;
            let there = |shadow: &mut Shadow| {
                (0..100).filter(|number| shadow.rings.find(key_of(hash(*number))).is_ok()).collect::<Vec<u64>>()
            };
            let mut expected = there(&mut shadow);
            expected.retain(|number| sample::level(sample::value(hash(*number))) < level);
            assert!(!expected.is_empty() && expected.len() < 60);
            shadow.thin(level);
            assert_eq!(there(&mut shadow), expected);
            let indexed = shadow.rings.index.iter().filter(|place| **place != 0).count();
            assert_eq!([indexed, shadow.rings.window.len + shadow.rings.main.len], [expected.len(); 2]);
        }
    }

    #[test]
    fn a_shadow_goes_on_in_one_of_another_size() {
        for rule in RULES {
            let (mut shadow, mut other) = (Shadow::new(60, rule).unwrap(), Shadow::new(60, rule).unwrap());
            let mut state = 0x5EED_u64;
            let rounds = if cfg!(miri) { 300 } else { 4_000 };
            for number in 0..rounds {
                let key = hash(random(&mut state) % 100 * (random(&mut state) % 8) / 8);
                if number == rounds / 2 {
                    other = other.resized(60).unwrap();
                }
                assert_eq!(shadow.request(key), other.request(key), "{rule:?}, {number}");
            }
            let Rings { window, main, .. } = shadow.resized(7).unwrap().rings;
            assert_eq!(window.len + main.len, 7);
        }
    }

    #[test]
    fn an_entry_takes_a_dozen_bytes() {
        let mut shadow = Shadow::new(1_000, Rule::Keep).unwrap();
        (0..5_000).for_each(|number| assert!(!shadow.request(hash(number))));
        assert!(shadow.bytes() <= 15 * 1_000, "{}", shadow.bytes());
    }
}
