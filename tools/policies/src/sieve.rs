//! SIEVE (Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is simpler than LRU: an efficient turn-key eviction algorithm for
//! web caches", NSDI 2024): a FIFO queue and a hand that goes from the oldest to the newest and stays where it is between
//! evictions. It takes the bit from what was hit and drives out what was not; nothing ever moves.

use crate::queue::Queue;
use crate::Policy;

pub struct Sieve {
    capacity: usize,
    queue: Queue,
    visited: Vec<bool>,
    hand: Option<u32>,
}

impl Sieve {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, queue: Queue::new(), visited: Vec::new(), hand: None }
    }

    fn evict(&mut self) {
        while let Some(key) = self.hand.or(self.queue.oldest()) {
            self.hand = self.queue.newer(key);
            if !self.visited[key as usize] {
                self.queue.remove(key);
                return;
            }
            self.visited[key as usize] = false;
        }
    }
}

impl Policy for Sieve {
    fn request(&mut self, key: u32) -> bool {
        if self.queue.contains(key) {
            self.visited[key as usize] = true;
            return true;
        }
        if self.queue.len() == self.capacity {
            self.evict();
        }
        self.queue.push(key);
        if self.visited.len() <= key as usize {
            self.visited.resize(key as usize + 1, false);
        }
        self.visited[key as usize] = false;
        false
    }

    fn contains(&self, key: u32) -> bool {
        self.queue.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn the_hand_stays_where_it_is_and_what_it_has_passed_stays_too() {
        let mut sieve = Sieve::new(3);
        // The hand takes the bit of a and drives out b; a is behind it until it comes round.
        assert_eq!(played(&mut sieve, "abcad"), "...!.");
        assert_eq!(held(&sieve), "acd");
        assert_eq!(played(&mut sieve, "ef"), "..");
        assert_eq!(held(&sieve), "aef");
    }

    #[test]
    fn past_the_newest_the_hand_begins_with_the_oldest() {
        let mut sieve = Sieve::new(3);
        // All were hit, so the hand goes round once and drives out a; then b, whose bit is gone.
        assert_eq!(played(&mut sieve, "abcabcd"), "...!!!.");
        assert_eq!(held(&sieve), "bcd");
        assert_eq!(played(&mut sieve, "e"), ".");
        assert_eq!(held(&sieve), "cde");
    }
}
