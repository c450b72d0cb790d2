//! S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023): new objects pass
//! through a small FIFO queue of a tenth, and only what is hit there reaches the main one, where each hit, up to three, is
//! worth another round. A ghost remembers what left the small queue unused; a key that comes back from it goes to the main
//! queue at once.
//!
//! One hit is enough to reach the main queue, where hits are counted anew, as in the authors' later versions.

use crate::queue::Queue;
use crate::Policy;

const MOST_HITS: u8 = 3;

pub struct S3Fifo {
    capacity: usize,
    /// With as many, the small queue is the one to give something up.
    most_small: usize,
    most_remembered: usize,
    small: Queue,
    main: Queue,
    ghost: Queue,
    hits: Vec<u8>,
}

impl S3Fifo {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            most_small: (capacity / 10).max(1),
            most_remembered: capacity * 9 / 10,
            small: Queue::new(),
            main: Queue::new(),
            ghost: Queue::new(),
            hits: Vec::new(),
        }
    }

    fn evict(&mut self) {
        while self.small.len() + self.main.len() == self.capacity {
            if self.small.len() >= self.most_small || self.main.is_empty() {
                self.evict_from_small();
            } else {
                self.evict_from_main();
            }
        }
    }

    /// The oldest of the small queue goes to the main one or leaves.
    fn evict_from_small(&mut self) {
        let Some(oldest) = self.small.pop() else { return };
        if self.hits[oldest as usize] > 0 {
            self.hits[oldest as usize] = 0;
            self.main.push(oldest);
            return;
        }
        self.ghost.push(oldest);
        if self.ghost.len() > self.most_remembered {
            self.ghost.pop();
        }
    }

    /// The oldest of the main queue has another round or leaves.
    fn evict_from_main(&mut self) {
        let Some(oldest) = self.main.pop() else { return };
        if self.hits[oldest as usize] > 0 {
            self.hits[oldest as usize] -= 1;
            self.main.push(oldest);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, key: u32) -> bool {
        if self.contains(key) {
            let hits = &mut self.hits[key as usize];
            *hits = MOST_HITS.min(*hits + 1);
            return true;
        }
        self.evict();
        if self.ghost.remove(key) {
            self.main.push(key);
        } else {
            self.small.push(key);
        }
        if self.hits.len() <= key as usize {
            self.hits.resize(key as usize + 1, 0);
        }
        self.hits[key as usize] = 0;
        false
    }

    fn contains(&self, key: u32) -> bool {
        self.small.contains(key) || self.main.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn one_hit_leads_to_the_main_queue_and_a_scan_does_not() {
        let mut s3fifo = S3Fifo::new(10);
        assert_eq!(played(&mut s3fifo, "abcdefghija"), "..........!");
        // a goes to the main queue, b leaves.
        assert_eq!(played(&mut s3fifo, "k"), ".");
        assert_eq!(held(&s3fifo), "acdefghijk");
        assert_eq!(played(&mut s3fifo, "lmnopqrstu"), "..........");
        assert_eq!(held(&s3fifo), "amnopqrstu");
    }

    #[test]
    fn the_ghost_remembers_nine_tenths_and_leads_to_the_main_queue() {
        let mut s3fifo = S3Fifo::new(10);
        // a to j leave in turn; a is forgotten when j goes, before k comes back.
        played(&mut s3fifo, "abcdefghijklmnopqrst");
        assert!(!s3fifo.ghost.contains(0) && s3fifo.ghost.contains(1) && s3fifo.ghost.len() == 9);
        // For it k leaves, and the oldest that is remembered, b, goes.
        assert_eq!(played(&mut s3fifo, "c"), ".");
        assert!(s3fifo.main.contains(2) && !s3fifo.ghost.contains(2) && !s3fifo.ghost.contains(1));
    }

    #[test]
    fn each_hit_in_the_main_queue_is_worth_a_round_up_to_three() {
        let mut s3fifo = S3Fifo::new(2);
        played(&mut s3fifo, "aab");
        // c makes a leave the small queue for the main one, with its hits counted anew, and drives out b.
        assert_eq!(played(&mut s3fifo, "caaaaa"), ".!!!!!");
        assert_eq!((s3fifo.hits[0], s3fifo.main.len()), (3, 1));
        s3fifo.evict_from_main();
        assert_eq!((s3fifo.hits[0], s3fifo.main.len()), (2, 1));
        (0..3).for_each(|_| s3fifo.evict_from_main());
        assert!(s3fifo.main.is_empty());
    }
}
