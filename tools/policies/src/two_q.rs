//! 2Q, the full version (Johnson and Shasha, "2Q: a low overhead high performance buffer management replacement algorithm",
//! VLDB 1994): new objects pass through a FIFO queue of a quarter, A1in; of what leaves it a queue as long as half of the
//! cache, A1out, remembers the keys; what is asked for while it is remembered there comes into the LRU queue Am.

use crate::queue::Queue;
use crate::Policy;

pub struct TwoQ {
    capacity: usize,
    most_in: usize,
    most_out: usize,
    a1_in: Queue,
    a1_out: Queue,
    am: Queue,
}

impl TwoQ {
    pub fn new(capacity: usize) -> Self {
        let (most_in, most_out) = ((capacity / 4).max(1), (capacity / 2).max(1));
        Self { capacity, most_in, most_out, a1_in: Queue::new(), a1_out: Queue::new(), am: Queue::new() }
    }

    /// The paper's "reclaimfor".
    fn make_room(&mut self) {
        if self.a1_in.len() + self.am.len() < self.capacity {
            return;
        }
        if self.a1_in.len() > self.most_in || self.am.is_empty() {
            if let Some(oldest) = self.a1_in.pop() {
                self.a1_out.push(oldest);
            }
            if self.a1_out.len() > self.most_out {
                self.a1_out.pop();
            }
        } else {
            // Not remembered in A1out: it has not been asked for in a while.
            self.am.pop();
        }
    }
}

impl Policy for TwoQ {
    fn request(&mut self, key: u32) -> bool {
        if self.am.contains(key) {
            self.am.renew(key);
            return true;
        }
        if self.a1_in.contains(key) {
            // Uses that follow at once are one use.
            return true;
        }
        // Asked before room is made, which may forget the key.
        let remembered = self.a1_out.remove(key);
        self.make_room();
        if remembered {
            self.am.push(key);
        } else {
            self.a1_in.push(key);
        }
        false
    }

    fn contains(&self, key: u32) -> bool {
        self.am.contains(key) || self.a1_in.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn only_what_comes_back_after_it_has_left_is_kept_for_long() {
        let mut two_q = TwoQ::new(4);
        // e drives a out, which is remembered; a comes back into Am for b, and no scan drives it out.
        assert_eq!(played(&mut two_q, "abbcdea"), "..!....");
        assert_eq!(held(&two_q), "acde");
        assert_eq!(played(&mut two_q, "fghijklma"), "........!");
    }

    #[test]
    fn half_of_the_capacity_is_remembered() {
        let mut two_q = TwoQ::new(4);
        // a, b and c have left; b and c are remembered.
        assert_eq!(played(&mut two_q, "abcdefg"), ".......");
        assert!(!two_q.a1_out.contains(0) && two_q.a1_out.contains(1) && two_q.a1_out.contains(2));
        assert_eq!(played(&mut two_q, "a"), ".");
        assert!(two_q.am.is_empty());
        assert_eq!(played(&mut two_q, "c"), ".");
        assert!(two_q.am.contains(2));
    }
}
