//! LRU: what was used longest ago leaves.

use crate::queue::Queue;
use crate::Policy;

pub struct Lru {
    capacity: usize,
    queue: Queue,
}

impl Lru {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, queue: Queue::new() }
    }
}

impl Policy for Lru {
    fn request(&mut self, key: u32) -> bool {
        if self.queue.contains(key) {
            self.queue.renew(key);
            return true;
        }
        if self.queue.len() == self.capacity {
            self.queue.pop();
        }
        self.queue.push(key);
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
    fn what_was_used_longest_ago_leaves() {
        let mut lru = Lru::new(3);
        assert_eq!(played(&mut lru, "abcad"), "...!.");
        assert_eq!(held(&lru), "acd");
        assert_eq!(played(&mut lru, "cb"), "!.");
        assert_eq!(held(&lru), "bcd");
    }
}
