//! What was evicted lately: fingerprints of keys, each for as long as a given number of others are remembered after it.
//!
//! A table of sets of eight, four bytes a key: 18 bits of fingerprint and 14 bits of time. A set that is full forgets its
//! oldest. So it is a first-in-first-out list that can be searched, but for two kinds of error that a policy can live with: a
//! set that has more than its share forgets a little early, and one key in some thirty thousand is taken for another one.

use super::super::index::Hash;

const WAYS: usize = 8;
const TIME_BITS: u32 = 14;
const TIMES: u32 = 1 << TIME_BITS;
/// The lifetime of a fingerprint in steps of time: a quarter of the range, so that what is left over from the time before
/// is not mistaken for new.
const LIFETIME: u32 = TIMES / 4;
/// Sets are made so large that they are three quarters full.
const SETS_PER_KEY: (usize, usize) = (4, 3 * WAYS);

/// Nothing, or what was remembered in the first moment under the fingerprint 0.
const EMPTY: u32 = 0;

pub(super) struct Ghost {
    sets: Vec<[u32; WAYS]>,
    /// So many keys are remembered.
    keys: usize,
    /// The present step of time; there are `LIFETIME` of them to a lifetime.
    now: u32,
    /// What is missing to the next one: `keys` is a whole step.
    progress: usize,
}

impl Ghost {
    pub(super) const fn new() -> Self {
        Self { sets: Vec::new(), keys: 0, now: 0, progress: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.sets.capacity() * size_of::<[u32; WAYS]>()) as u64
    }

    /// Remembers a key, which was one of `entries`; as many keys as nine tenths of these are remembered.
    pub(super) fn remember(&mut self, hash: Hash, entries: usize) {
        let keys = entries * 9 / 10;
        // A cache whose number of entries changes begins anew when it has become half as large again, or half.
        if self.sets.is_empty() || keys > self.keys + self.keys / 2 || keys < self.keys / 2 {
            self.begin(keys.max(1));
        }
        if self.sets.is_empty() {
            return;
        }
        self.progress += LIFETIME as usize;
        if self.progress >= self.keys {
            // A few keys are many steps each.
            self.now = (self.now + (self.progress / self.keys) as u32) % TIMES;
            self.progress %= self.keys;
        }
        let now = self.now;
        let set = self.set(hash);
        // Without branches, so that the compiler takes all ways at once.
        let age = |slot: u32| if slot == EMPTY { TIMES } else { now.wrapping_sub(slot) % TIMES };
        let (mut oldest, mut greatest) = (0, 0);
        for (way, slot) in set.iter().enumerate() {
            let age = age(*slot) + 1;
            oldest = if age > greatest { way } else { oldest };
            greatest = greatest.max(age);
        }
        set[oldest] = fingerprint(hash) << TIME_BITS | now;
    }

    /// Whether a key is remembered; it is forgotten by that.
    pub(super) fn take(&mut self, hash: Hash) -> bool {
        if self.sets.is_empty() {
            return false;
        }
        let now = self.now;
        let wanted = fingerprint(hash);
        let set = self.set(hash);
        let mut found = WAYS;
        for (way, slot) in set.iter().enumerate() {
            let is_it = (*slot >> TIME_BITS == wanted) & (now.wrapping_sub(*slot) % TIMES <= LIFETIME);
            found = if is_it { way } else { found };
        }
        match set.get_mut(found) {
            Some(slot) => {
                *slot = EMPTY;
                true
            }
            None => false,
        }
    }

    fn begin(&mut self, keys: usize) {
        let sets = (keys * SETS_PER_KEY.0).div_ceil(SETS_PER_KEY.1);
        let mut made = Vec::new();
        // Without memory there is no ghost: a worse choice of victims, not a wrong answer.
        if made.try_reserve_exact(sets).is_ok() {
            made.resize(sets, [EMPTY; WAYS]);
        }
        self.sets = made;
        self.keys = keys;
        (self.now, self.progress) = (0, 0);
    }

    fn set(&mut self, hash: Hash) -> &mut [u32; WAYS] {
        let set = (u64::from(hash.place()) * self.sets.len() as u64) >> 32;
        &mut self.sets[set as usize]
    }
}

/// 18 bits, never 0, that say nothing of the set.
fn fingerprint(hash: Hash) -> u32 {
    ((hash.0 >> 32) as u32 & ((1 << (32 - TIME_BITS)) - 1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(remembered(&mut ghost, end - keys / 2..end) > 0.99);
            assert!(remembered(&mut ghost, end - keys..end) < 0.55, "the newer half was taken already");
            assert!(remembered(&mut ghost, end - 3 * keys..end - keys - keys / 100) < 0.01);
            assert!(remembered(&mut ghost, end..2 * end) < 0.01, "never seen");
        }
    }

    #[test]
    fn a_handful_of_entries_has_a_ghost_too() {
        let mut ghost = Ghost::new();
        ghost.remember(hash(1), 1);
        assert!(ghost.take(hash(1)));
        assert!(!ghost.take(hash(1)));
    }
}
