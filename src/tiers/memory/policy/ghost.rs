//! What was evicted lately: fingerprints of keys, each for as long as a given number of others are remembered after it.
//!
//! ```text
//!  one cache line, a set of up to 32 keys:  | newest | ... | oldest | 0 ... |   16 bits of hash each
//! ```
//!
//! Two bytes a key, for as many as there are. A key belongs to one set, and each set is a first-in-first-out list of its own; what is remembered anew
//! pushes out the oldest of its set, what is taken makes room for one more. Sets get nearly equal shares of the keys, so the
//! whole behaves as one long list would but for two kinds of error that a policy can live with: a key is forgotten a little
//! early or late (by a sixth, typically), and one key in two thousand is taken for another one.
//!
//! Among few keys a sixth can decide about a loop. There the queue is one list, exact, of twelve bytes a key, unless the
//! ghost is a shadow's, of which there are four: see `recall`.

use super::super::entry::prefetch;
use super::super::index::Hash;
use super::recall::Recall;

/// Up to so many entries of a shard the queue is exact. One that is larger gets by with the sets: the list makes a put that
/// evicts a tenth slower, and has six times as many bytes.
const FEW: usize = 900;

const LANES: usize = 32;

/// From the newest fingerprint to the oldest; 0: nothing.
#[repr(align(64))]
#[derive(Clone)]
struct Set([u16; LANES]);

pub(super) struct Ghost {
    /// Instead of the sets.
    exact: Option<Box<Recall>>,
    may_be_exact: bool,
    sets: Vec<Set>,
    /// So many keys fit into each set.
    ways: u32,
    /// So many keys are remembered.
    keys: usize,
}

impl Ghost {
    pub(super) const fn new() -> Self {
        Self { exact: None, may_be_exact: true, sets: Vec::new(), ways: 0, keys: 0 }
    }

    /// One that takes two bytes a key also where there are few.
    pub(super) const fn small() -> Self {
        Self { exact: None, may_be_exact: false, sets: Vec::new(), ways: 0, keys: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.sets.capacity() * size_of::<Set>()) as u64 + self.exact.as_ref().map_or(0, |exact| exact.bytes())
    }

    /// Asks the processor for what [`Ghost::take`] of this key will touch: to read, since seldom it is there, and a set that is asked
    /// for to be written is taken away from the core that will.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: Hash) {
        if let Some(set) = self.sets.get(self.set(hash)) {
            prefetch(set);
        }
    }

    /// Remembers a key, which was one of `entries`; as many keys as nine tenths of these are remembered.
    #[inline(always)]
    pub(super) fn remember(&mut self, hash: Hash, entries: usize) {
        // A cache whose number of entries changes begins anew when it has become half as large again, or half.
        let has_begun = !self.sets.is_empty() || self.exact.is_some();
        if entries > self.keys + self.keys / 2 || entries < self.keys / 2 || !has_begun {
            self.begin(entries);
        }
        if let Some(exact) = &mut self.exact {
            return exact.remember(hash);
        }
        if self.sets.is_empty() {
            return;
        }
        let (number, ways) = (self.set(hash), self.ways as usize);
        self.sets[number].push(fingerprint(hash), ways);
    }

    /// Whether a key is remembered; it is forgotten by that.
    #[inline(always)]
    pub(super) fn take(&mut self, hash: Hash) -> bool {
        if self.sets.is_empty() {
            return self.take_exact(hash);
        }
        let number = self.set(hash);
        let set = &mut self.sets[number];
        let fingerprint = fingerprint(hash);
        let is_there = set.has(fingerprint);
        if is_there {
            set.remove(fingerprint);
        }
        is_there
    }

    #[inline(never)]
    fn take_exact(&mut self, hash: Hash) -> bool {
        self.exact.as_mut().is_some_and(|exact| exact.take(hash))
    }

    #[cold]
    fn begin(&mut self, entries: usize) {
        let keys = (entries * 9 / 10).max(1);
        self.keys = entries;
        self.sets = Vec::new();
        self.exact = if self.may_be_exact && entries <= FEW { Recall::new(keys) } else { None };
        if self.exact.is_some() {
            return;
        }
        let sets = keys.div_ceil(LANES);
        let mut made = Vec::new();
        // Without memory there is no ghost: a worse choice of victims, not a wrong answer.
        if made.try_reserve_exact(sets).is_ok() {
            made.resize(sets, Set([0; LANES]));
        }
        self.sets = made;
        self.ways = ((keys + sets / 2) / sets) as u32;
    }

    #[inline(always)]
    fn set(&self, hash: Hash) -> usize {
        ((u64::from(hash.place()) * self.sets.len() as u64) >> 32) as usize
    }
}

impl Set {
    /// Whether a fingerprint is there. All lanes are looked at, which takes a processor no longer than a few.
    #[inline(always)]
    fn has(&self, fingerprint: u16) -> bool {
        self.0.iter().fold(0, |found, lane| found | if *lane == fingerprint { u16::MAX } else { 0 }) != 0
    }

    /// Puts a fingerprint in front of the others, of which the last goes if there are `ways` already.
    #[inline(always)]
    fn push(&mut self, fingerprint: u16, ways: usize) {
        let before = self.0;
        self.0[1..].copy_from_slice(&before[..LANES - 1]);
        self.0[0] = fingerprint;
        // There were no more than `ways`.
        if let Some(beyond) = self.0.get_mut(ways) {
            *beyond = 0;
        }
    }

    /// Takes the newest one of a fingerprint out; those behind it move up.
    #[cold]
    fn remove(&mut self, fingerprint: u16) {
        if let Some(lane) = self.0.iter().position(|lane| *lane == fingerprint) {
            self.0.copy_within(lane + 1.., lane);
            self.0[LANES - 1] = 0;
        }
    }
}

/// 16 bits, never 0, that say nothing of the set.
fn fingerprint(hash: Hash) -> u16 {
    ((hash.0 >> 32) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn hash(i: u64) -> Hash {
        Hash((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    // Arithmetic, and far too much of it for Miri.
    #[cfg(not(miri))]
    #[test]
    fn keys_are_remembered_for_as_long_as_there_are_entries_and_no_longer() {
        for entries in [10_000_u64, 100_000] {
            let keys = entries * 9 / 10;
            let mut ghost = Ghost::new();
            for i in 0..5 * entries {
                ghost.remember(hash(i), entries as usize);
            }
            let remembered = |ghost: &mut Ghost, range: std::ops::Range<u64>| {
                let count = range.end - range.start;
                range.filter(|i| ghost.take(hash(*i))).count() as f64 / count as f64
            };
            let end = 5 * entries;
            // Two deviations early or late are a third.
            assert!(remembered(&mut ghost, end - 2 * keys..end - 3 * keys / 2) < 0.02);
            assert!(remembered(&mut ghost, end - keys / 2..end) > 0.98);
            assert!(remembered(&mut ghost, end..2 * end) < 0.01, "never seen");
        }
    }

    /// Beside a plain list, for every number of keys that a set can have.
    #[test]
    fn a_set_is_a_list_that_drops_its_oldest() {
        for ways in 1..=LANES {
            let (mut set, mut model) = (Set([0; LANES]), VecDeque::new());
            let mut random = 0x5EED_u64 + ways as u64;
            for _ in 0..if cfg!(miri) { 50 } else { 2_000 } {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Few different ones, some of which differ in one bit.
                let fingerprint = (random >> 32 & 0x3F | (random >> 40 & 1) << 15 | 1) as u16;
                match random % 3 {
                    0 => {
                        let known = model.iter().position(|known| *known == fingerprint);
                        assert_eq!(set.has(fingerprint), known.is_some());
                        if let Some(lane) = known {
                            set.remove(fingerprint);
                            model.remove(lane);
                        }
                    }
                    _ => {
                        set.push(fingerprint, ways);
                        model.push_front(fingerprint);
                        model.truncate(ways);
                    }
                }
            }
        }
    }

    #[test]
    fn a_handful_of_entries_has_a_ghost_too() {
        for mut ghost in [Ghost::new(), Ghost::small()] {
            ghost.remember(hash(1), 1);
            assert!(ghost.take(hash(1)));
            assert!(!ghost.take(hash(1)));
        }
    }
}
