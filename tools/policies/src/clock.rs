//! CLOCK (Corbató, "A paging experiment with the Multics system", 1968): FIFO with a second chance. A hit sets a bit; an
//! object whose turn it is to leave stays for another round when it has the bit, and loses that.

use crate::queue::Queue;
use crate::Policy;

pub struct Clock {
    capacity: usize,
    /// The hand is at the oldest.
    queue: Queue,
    used: Vec<bool>,
}

impl Clock {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, queue: Queue::new(), used: Vec::new() }
    }

    fn evict(&mut self) {
        while let Some(oldest) = self.queue.pop() {
            if !self.used[oldest as usize] {
                return;
            }
            self.used[oldest as usize] = false;
            self.queue.push(oldest);
        }
    }
}

impl Policy for Clock {
    fn request(&mut self, key: u32) -> bool {
        if self.queue.contains(key) {
            self.used[key as usize] = true;
            return true;
        }
        if self.queue.len() == self.capacity {
            self.evict();
        }
        self.queue.push(key);
        if self.used.len() <= key as usize {
            self.used.resize(key as usize + 1, false);
        }
        self.used[key as usize] = false;
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
    fn a_hit_is_worth_one_more_round() {
        let mut clock = Clock::new(3);
        // d takes the place of b, since a has a second chance; e that of c; f that of a, whose chance is gone.
        assert_eq!(played(&mut clock, "abcad"), "...!.");
        assert_eq!(held(&clock), "acd");
        assert_eq!(played(&mut clock, "ef"), "..");
        assert_eq!(held(&clock), "def");
    }

    #[test]
    fn where_all_were_used_the_oldest_leaves() {
        let mut clock = Clock::new(3);
        assert_eq!(played(&mut clock, "abcabcd"), "...!!!.");
        assert_eq!(held(&clock), "bcd");
    }
}
