//! W-TinyLFU (Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy", ACM Transactions on
//! Storage 2017): new objects pass through an LRU window of a hundredth. What leaves the window gets a place in the main
//! part, an SLRU, only if it is asked for more often than the one who would have to leave there; how often a key is asked
//! for is estimated by a sketch of small counters, which forgets by halving them.

use crate::queue::Queue;
use crate::slru::Slru;
use crate::Policy;

pub struct WTinyLfu {
    capacity: usize,
    most_in_window: usize,
    window: Queue,
    main: Slru,
    sketch: Sketch,
}

impl WTinyLfu {
    pub fn new(capacity: usize) -> Self {
        let most_in_window = (capacity / 100).max(1);
        Self {
            capacity,
            most_in_window,
            window: Queue::new(),
            main: Slru::new(capacity - most_in_window),
            sketch: Sketch::new(capacity),
        }
    }

    /// The oldest of the window leaves it: for the main part or for good.
    fn leave_window(&mut self) {
        let Some(candidate) = self.window.pop() else { return };
        if self.main.len() < self.capacity - self.most_in_window {
            self.main.insert(candidate);
        } else if let Some(victim) = self.main.victim() {
            if self.sketch.estimate(candidate) > self.sketch.estimate(victim) {
                self.main.evict();
                self.main.insert(candidate);
            }
        }
    }
}

impl Policy for WTinyLfu {
    fn request(&mut self, key: u32) -> bool {
        self.sketch.count(key);
        if self.window.contains(key) {
            self.window.renew(key);
            return true;
        }
        if self.main.contains(key) {
            self.main.hit(key);
            return true;
        }
        if self.window.len() == self.most_in_window {
            self.leave_window();
        }
        self.window.push(key);
        false
    }

    fn contains(&self, key: u32) -> bool {
        self.window.contains(key) || self.main.contains(key)
    }
}

const ROWS: usize = 4;
/// What fits into four bits.
const MOST: u8 = 15;
/// Counters in each row for each object of the cache: the sample is ten times the cache, so fewer would be shared by many.
const COUNTERS_PER_OBJECT: usize = 4;
/// After so many counted requests for each object of the cache all counters are halved.
const SAMPLE_PER_OBJECT: usize = 10;

/// A count-min sketch: a key has a counter in each row, shared with others, and the least of them is nearest to the truth.
struct Sketch {
    rows: [Vec<u8>; ROWS],
    counted: usize,
    sample: usize,
}

impl Sketch {
    fn new(capacity: usize) -> Self {
        let width = (capacity * COUNTERS_PER_OBJECT).next_power_of_two();
        Self { rows: [(); ROWS].map(|()| vec![0; width]), counted: 0, sample: capacity * SAMPLE_PER_OBJECT }
    }

    /// The place of the key's counter in each row.
    fn places(&self, key: u32) -> [usize; ROWS] {
        let mut hash = u64::from(key);
        [(); ROWS].map(|()| {
            // SplitMix64.
            hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as usize % self.rows[0].len()
        })
    }

    fn estimate(&self, key: u32) -> u8 {
        let places = self.places(key);
        self.rows.iter().zip(places).map(|(row, place)| row[place]).min().unwrap_or(0)
    }

    fn count(&mut self, key: u32) {
        let places = self.places(key);
        for (row, place) in self.rows.iter_mut().zip(places) {
            row[place] = MOST.min(row[place] + 1);
        }
        self.counted += 1;
        if self.counted == self.sample {
            self.rows.iter_mut().flatten().for_each(|counter| *counter /= 2);
            // As the paper has it: half of the sample is what is left of it.
            self.counted /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn what_leaves_the_window_has_to_be_asked_for_more_often_than_the_victim() {
        let mut cache = WTinyLfu::new(4);
        // One place in the window, three behind it: these are a, b and c when e comes. d and then f were asked for once and
        // do not drive out a.
        assert_eq!(played(&mut cache, "aaabcde"), ".!!....");
        assert_eq!(held(&cache), "abce");
        assert_eq!(played(&mut cache, "f"), ".");
        assert_eq!(held(&cache), "abcf");
        // e was asked for a second, a third and a fourth time, a three times.
        assert_eq!(played(&mut cache, "eeeg"), ".!!.");
        assert_eq!(held(&cache), "bceg");
    }

    #[test]
    fn the_sketch_counts_to_fifteen_and_forgets_by_halves() {
        let mut sketch = Sketch::new(100);
        (0..9).for_each(|_| sketch.count(7));
        assert_eq!((sketch.estimate(7), sketch.estimate(8)), (9, 0));
        (0..20).for_each(|_| sketch.count(7));
        assert_eq!(sketch.estimate(7), 15);
        // The last but one of the sample of 1,000.
        (0..970).for_each(|other| sketch.count(100 + other));
        assert_eq!(sketch.estimate(7), 15);
        sketch.count(99);
        assert_eq!(sketch.estimate(7), 7);
    }
}
