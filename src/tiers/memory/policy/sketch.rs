//! About how often each key was asked for of late, also of keys that are not in the cache: a count-min sketch of four-bit
//! counters, which forgets by halving them.
//!
//! ```text
//!  one cache line:  | row 0: 28 counters | row 1: 28 | row 2: 28 | row 3: 28 | epoch |   4 bits each, and 64
//! ```
//!
//! A key has one counter in each row of one line, shared with other keys; the least of the four is the nearest to the truth.
//! All four are raised, not only the least ones, which would make the estimate better and the policy worse: in a loop all keys
//! are alike, and a newcomer that is told from them by the one request that brought it would drive out every one (with
//! only the least raised, lirs_loop hit 0% where it hits 8).
//!
//! To halve all counters at once would make one put wait for all of them. So an epoch ends instead, and a line is brought up
//! to the epoch when it is next written; who only reads it halves what it has read.

use super::super::entry::prefetch_to_write;
use super::super::index::Hash;

const ROWS: u32 = 4;
const PER_ROW: u32 = 28;
const PER_WORD: u32 = 16;
const WORDS: usize = (ROWS * PER_ROW / PER_WORD) as usize;
const BITS: u32 = 4;
/// What a counter holds at most.
pub(super) const MOST: u32 = (1 << BITS) - 1;

/// So many entries have a line together before the sketch grows, and half as many after it: 4.6 to 9.1 bytes each, two to four
/// counters in each row. Twice as many lines gained 0.1 points of the hit ratio on the mean of the recorded traces.
const ENTRIES_PER_LINE: usize = 14;
/// After so many counted requests for each entry all counters are halved, and half of the requests are forgotten with them, as
/// in the paper.
const SAMPLE_PER_ENTRY: usize = 10;

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    counters: [u64; WORDS],
    /// Up to which epoch the counters have been halved.
    epoch: u64,
}

pub(super) struct Sketch {
    lines: Vec<Line>,
    epoch: u64,
    counted: usize,
    sample: usize,
}

/// The places of a key's counters in its line: one in each row, by bits that do not say which line.
#[inline(always)]
fn places(hash: Hash) -> [(usize, u32); ROWS as usize] {
    let mixed = (hash.0.wrapping_mul(0x9FB2_1C65_1E98_DF25) >> 32) as u32;
    let mut row = 0;
    [(); ROWS as usize].map(|()| {
        let place = row * PER_ROW + (((mixed >> (8 * row) & 0xFF) * PER_ROW) >> 8);
        row += 1;
        ((place / PER_WORD) as usize, place % PER_WORD * BITS)
    })
}

impl Line {
    /// The least of a key's counters.
    #[inline(always)]
    fn least(&self, places: [(usize, u32); ROWS as usize]) -> u32 {
        let counter = |(word, shift): (usize, u32)| (self.counters[word] >> shift) as u32 & MOST;
        places.into_iter().map(counter).min().unwrap_or(0)
    }

    /// Brings the counters up to the epoch.
    #[inline(always)]
    fn halve(&mut self, epoch: u64) {
        if self.epoch != epoch {
            let times = (epoch - self.epoch).min(u64::from(BITS)) as u32;
            let kept = u64::from(MOST >> times) * (u64::MAX / u64::from(MOST));
            self.counters.iter_mut().for_each(|word| *word = *word >> times & kept);
            self.epoch = epoch;
        }
    }

    /// Raises each of a key's counters, up to the most that it holds.
    #[inline(always)]
    fn raise(&mut self, places: [(usize, u32); ROWS as usize], times: u32) {
        for (word, shift) in places {
            let counter = (self.counters[word] >> shift) as u32 & MOST;
            self.counters[word] += u64::from(times.min(MOST - counter)) << shift;
        }
    }
}

impl Sketch {
    pub(super) const fn new() -> Self {
        Self { lines: Vec::new(), epoch: 0, counted: 0, sample: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.lines.capacity() * size_of::<Line>()) as u64
    }

    /// Asks the processor for what the counters of this key are in.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: Hash) {
        if let Some(line) = self.lines.get(self.line(hash)) {
            prefetch_to_write(line);
        }
    }

    /// How often a key was asked for, about; up to [`MOST`].
    #[inline]
    pub(super) fn estimate(&self, hash: Hash) -> u32 {
        match self.lines.get(self.line(hash)) {
            Some(line) => line.least(places(hash)) >> (self.epoch - line.epoch).min(u64::from(BITS)),
            None => 0,
        }
    }

    /// A key was asked for so many times.
    #[inline]
    pub(super) fn count(&mut self, hash: Hash, times: u32) {
        let (number, epoch) = (self.line(hash), self.epoch);
        let Some(line) = self.lines.get_mut(number) else { return };
        line.halve(epoch);
        line.raise(places(hash), times);
        self.counted += times as usize;
        if self.counted >= self.sample {
            self.epoch += 1;
            self.counted /= 2;
        }
    }

    /// There are so many entries. A sketch that has become too small doubles and keeps what it knows; one that is far too
    /// large begins anew.
    #[inline]
    pub(super) fn fit(&mut self, entries: usize) {
        self.sample = entries.max(1) * SAMPLE_PER_ENTRY;
        let room = self.lines.len() * ENTRIES_PER_LINE;
        if entries > room || entries < room / 8 {
            self.change_size(entries);
        }
    }

    #[cold]
    fn change_size(&mut self, entries: usize) {
        let mut lines = 1;
        while lines * ENTRIES_PER_LINE < entries {
            lines *= 2;
        }
        let mut made = Vec::new();
        // Without memory it stays as it is: a worse choice of victims, not a wrong answer.
        if made.try_reserve_exact(lines).is_err() {
            return;
        }
        // A line's keys share the beginnings of their places, so those of one line go to as many next to each other.
        let parts = lines.checked_div(self.lines.len()).unwrap_or(0);
        if parts > 0 {
            self.lines.iter().for_each(|line| made.extend(std::iter::repeat_n(*line, parts)));
        } else {
            made.resize(lines, Line { counters: [0; WORDS], epoch: self.epoch });
            self.counted = 0;
        }
        self.lines = made;
    }

    #[inline(always)]
    fn line(&self, hash: Hash) -> usize {
        ((u64::from(hash.place()) * self.lines.len() as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> Hash {
        Hash((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    fn sketch(entries: usize) -> Sketch {
        let mut sketch = Sketch::new();
        sketch.fit(entries);
        sketch
    }

    #[test]
    fn it_counts_to_fifteen_and_forgets_by_halves() {
        let mut sketch = sketch(100);
        sketch.count(hash(7), 4);
        (0..5).for_each(|_| sketch.count(hash(7), 1));
        assert_eq!((sketch.estimate(hash(7)), sketch.estimate(hash(8))), (9, 0));
        sketch.count(hash(7), 20);
        assert_eq!(sketch.estimate(hash(7)), 15);
        // The last but one of the sample of 1,000.
        (29..999).for_each(|_| sketch.count(hash(9), 1));
        assert_eq!(sketch.estimate(hash(7)), 15);
        sketch.count(hash(9), 1);
        assert_eq!((sketch.estimate(hash(7)), sketch.estimate(hash(9))), (7, 7));
        // Half of the sample is left; and what was halved twice is a quarter, however it is looked at.
        (500..1_000).for_each(|_| sketch.count(hash(9), 1));
        assert_eq!((sketch.estimate(hash(7)), sketch.estimate(hash(9))), (3, 7));
        sketch.count(hash(7), 1);
        assert_eq!(sketch.estimate(hash(7)), 4);
        (0..10_000).for_each(|_| sketch.count(hash(9), 1));
        assert_eq!(sketch.estimate(hash(7)), 0, "long ago");
    }

    // Arithmetic, and far too much of it for Miri.
    #[cfg(not(miri))]
    #[test]
    fn rare_keys_seldom_pass_for_frequent_ones() {
        const FIRST_RARE: u64 = 1 << 40;
        for entries in [1_000, 10_000, 14_336] {
            let mut sketch = sketch(entries);
            // All but the end of a sample, of which a tenth of the keys takes half.
            for round in 0..9 {
                for number in 0..entries as u64 / 2 {
                    sketch.count(hash(number % (entries as u64 / 10)), 1);
                    sketch.count(hash(FIRST_RARE + round * entries as u64 + number), 1);
                }
            }
            let share = |range: std::ops::Range<u64>, least: u32| {
                let count = range.end - range.start;
                range.filter(|number| sketch.estimate(hash(*number)) >= least).count() as f64 / count as f64
            };
            assert_eq!(share(0..entries as u64 / 10, 15), 1.0, "no key passes for a rarer one");
            let rare = FIRST_RARE..FIRST_RARE + entries as u64 / 2;
            let passing = [3, 6, 12].map(|least| share(rare.clone(), least));
            assert!(passing[1] < 0.3 && passing[2] < 0.03, "{passing:?}");
        }
    }

    #[test]
    fn what_is_known_stays_known_when_the_sketch_grows() {
        let mut sketch = sketch(14);
        for number in 0..20 {
            sketch.count(hash(number), 5);
        }
        // Less than a sample, so nothing was halved.
        assert!((0..20).all(|number| sketch.estimate(hash(number)) >= 5));
        let before: Vec<u32> = (0..20).map(|number| sketch.estimate(hash(number))).collect();
        for entries in [100, 1_000, 1_001, 30_000] {
            sketch.fit(entries);
            assert!((0..20).all(|number| sketch.estimate(hash(number)) == before[number as usize]));
        }
        let bytes = sketch.bytes();
        assert!((30_000 * 64 / 14..2 * 30_000 * 64 / 14).contains(&bytes), "{bytes}");
        sketch.fit(10);
        assert_eq!((sketch.bytes(), sketch.estimate(hash(1))), (64, 0));
    }
}
