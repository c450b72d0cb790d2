//! FIFO: what came first leaves first, used or not.

use crate::queue::Queue;
use crate::Policy;

pub struct Fifo {
    capacity: usize,
    queue: Queue,
}

impl Fifo {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, queue: Queue::new() }
    }
}

impl Policy for Fifo {
    fn request(&mut self, key: u32) -> bool {
        if self.queue.contains(key) {
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
    fn a_hit_keeps_nothing() {
        let mut fifo = Fifo::new(3);
        assert_eq!(played(&mut fifo, "abcaaad"), "...!!!.");
        assert_eq!(held(&fifo), "bcd");
        assert_eq!(played(&mut fifo, "ab"), "..");
        assert_eq!(held(&fifo), "abd");
    }
}
