//! What this process remembers of the rows: which were read since they were stored, and where a key was found last. Both
//! are guesses that cost memory only: written by readers and the writer without a lock, never right or wrong for anybody.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One mark for so many bytes of the file. Rows of fewer bytes share marks, and one that was not read may stay a while longer.
const BYTES_A_MARK: u64 = 256;
const MARKS: std::ops::RangeInclusive<u64> = 1 << 13..=1 << 26;

/// One hint for so many bytes of the file: 8 MiB of hints for a file of 1 GiB.
const BYTES_A_HINT: u64 = 1 << 10;
/// At least 32 KiB of them, at most 8 MiB.
const HINTS: std::ops::RangeInclusive<u64> = 1 << 12..=1 << 20;

/// A bit for each row that was read. Ids rise without many holes, so a ring of bits is all it takes.
pub(super) struct Marks {
    words: Box<[AtomicU64]>,
}

impl Marks {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { words: zeros(ring(max_bytes / BYTES_A_MARK, MARKS) / 64) }
    }

    fn at(&self, id: i64) -> (&AtomicU64, u64) {
        let id = id as u64;
        (&self.words[(id / 64) as usize & (self.words.len() - 1)], 1 << (id % 64))
    }

    /// A row was read. Writes nothing when that is known.
    #[inline]
    pub(super) fn mark(&self, id: i64) {
        let (word, bit) = self.at(id);
        if word.load(Relaxed) & bit == 0 {
            word.fetch_or(bit, Relaxed);
        }
    }

    pub(super) fn is_marked(&self, id: i64) -> bool {
        let (word, bit) = self.at(id);
        word.load(Relaxed) & bit != 0
    }

    /// A row is new, or gone.
    pub(super) fn unmark(&self, id: i64) {
        let (word, bit) = self.at(id);
        if word.load(Relaxed) & bit != 0 {
            word.fetch_and(!bit, Relaxed);
        }
    }
}

/// The id of a row for a hash: 40 bits of the one and 24 of the other in a word.
pub(super) struct Hints {
    words: Box<[AtomicU64]>,
}

const ID_BITS: u32 = 40;
const ID_MASK: u64 = (1 << ID_BITS) - 1;

impl Hints {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { words: zeros(ring(max_bytes / BYTES_A_HINT, HINTS)) }
    }

    fn at(&self, hash: u64) -> &AtomicU64 {
        &self.words[hash as usize & (self.words.len() - 1)]
    }

    /// The place of this hash will be looked at in a moment. In a ring of some MiB it is seldom where the processor is quick to find it.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        prefetch(self.at(hash));
    }

    /// Where to look first.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<i64> {
        let word = self.at(hash).load(Relaxed);
        let fits = word != 0 && (word ^ hash) & !ID_MASK == 0;
        fits.then_some((word & ID_MASK) as i64)
    }

    /// A row with this hash was found here, or put here. Ids beyond what fits (after 35 years of 1,000 rows a second) go without.
    #[inline]
    pub(super) fn note(&self, hash: u64, id: i64) {
        let id = id as u64;
        if id <= ID_MASK {
            let (slot, word) = (self.at(hash), hash & !ID_MASK | id);
            if slot.load(Relaxed) != word {
                slot.store(word, Relaxed);
            }
        }
    }

    /// As [`Hints::note`], where there is no other: what was found by a walk through the file is asked for less than what was found
    /// because it was.
    pub(super) fn note_if_free(&self, hash: u64, id: i64) {
        if self.at(hash).load(Relaxed) == 0 {
            self.note(hash, id);
        }
    }

    /// How many it has room for.
    pub(super) fn room(&self) -> u64 {
        self.words.len() as u64
    }
}

/// Asks the processor to fetch a line that will be read soon.
#[inline]
fn prefetch<T>(place: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch(std::ptr::from_ref(place).cast::<i8>(), _MM_HINT_T0);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

/// How many there are to be, a power of two.
fn ring(wanted: u64, allowed: std::ops::RangeInclusive<u64>) -> usize {
    wanted.clamp(*allowed.start(), *allowed.end()).next_power_of_two() as usize
}

fn zeros(length: usize) -> Box<[AtomicU64]> {
    (0..length).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_taken_away_and_is_nobody_elses() {
        let marks = Marks::new(1 << 20);
        for id in [0, 1, 63, 64, 8191, 1_000_000_007] {
            assert!(!marks.is_marked(id));
            marks.mark(id);
            assert!(marks.is_marked(id) && !marks.is_marked(id + 1));
            marks.unmark(id);
            assert!(!marks.is_marked(id));
        }
    }

    #[test]
    fn a_hint_is_for_its_hash_only_and_the_last_one_counts() {
        let hints = Hints::new(1 << 20);
        let (one, other) = (0xABCD_EF00_0000_0123_u64, 0xABCD_EE00_0000_0123_u64);
        assert_eq!(hints.guess(one), None);
        hints.note(one, 7);
        assert_eq!((hints.guess(one), hints.guess(other)), (Some(7), None));
        hints.note(other, 8);
        assert_eq!((hints.guess(one), hints.guess(other)), (None, Some(8)));
        hints.note(one, 1 << 40);
        assert_eq!(hints.guess(one), None, "an id that does not fit is no hint");
    }

    #[test]
    fn memory_is_bounded_whatever_the_bound_of_the_file() {
        assert_eq!(Hints::new(u64::MAX).words.len(), 1 << 20);
        assert_eq!(Marks::new(u64::MAX).words.len(), 1 << 20);
        assert_eq!(Hints::new(1).words.len(), 1 << 12);
        assert_eq!(Marks::new(1).words.len(), 1 << 7);
    }
}
