//! ARC (Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003): an LRU queue T1 of what was
//! used once and one, T2, of what was used again; each has a queue of the keys that left it, B1 and B2. A key that comes
//! back from B1 says that T1 is too small, one from B2 that it is too large, and `target` moves accordingly.

use crate::queue::Queue;
use crate::Policy;

pub struct Arc {
    capacity: usize,
    /// How long T1 should be; the paper's p.
    target: f64,
    t1: Queue,
    t2: Queue,
    b1: Queue,
    b2: Queue,
}

impl Arc {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, target: 0.0, t1: Queue::new(), t2: Queue::new(), b1: Queue::new(), b2: Queue::new() }
    }

    /// The paper's REPLACE: T1 or T2 gives its oldest away, whose key is remembered.
    fn replace(&mut self, back_from_b2: bool) {
        let len = self.t1.len() as f64;
        let t1_is_too_long = len > self.target || (back_from_b2 && len == self.target);
        if !self.t1.is_empty() && (t1_is_too_long || self.t2.is_empty()) {
            if let Some(oldest) = self.t1.pop() {
                self.b1.push(oldest);
            }
        } else if let Some(oldest) = self.t2.pop() {
            self.b2.push(oldest);
        }
    }

    /// The paper's case IV: nothing is known of the key that comes.
    fn make_room_for_new(&mut self) {
        let used_once = self.t1.len() + self.b1.len();
        let all = used_once + self.t2.len() + self.b2.len();
        if used_once == self.capacity {
            if self.t1.len() < self.capacity {
                self.b1.pop();
                self.replace(false);
            } else {
                self.t1.pop();
            }
        } else if all >= self.capacity {
            if all == 2 * self.capacity {
                self.b2.pop();
            }
            self.replace(false);
        }
    }
}

impl Policy for Arc {
    fn request(&mut self, key: u32) -> bool {
        let (b1, b2) = (self.b1.len() as f64, self.b2.len() as f64);
        if self.t1.remove(key) {
            self.t2.push(key);
            return true;
        }
        if self.t2.contains(key) {
            self.t2.renew(key);
            return true;
        }
        if self.b1.contains(key) {
            self.target = (self.target + (b2 / b1).max(1.0)).min(self.capacity as f64);
            self.replace(false);
            self.b1.remove(key);
            self.t2.push(key);
        } else if self.b2.contains(key) {
            self.target = (self.target - (b1 / b2).max(1.0)).max(0.0);
            self.replace(true);
            self.b2.remove(key);
            self.t2.push(key);
        } else {
            self.make_room_for_new();
            self.t1.push(key);
        }
        false
    }

    fn contains(&self, key: u32) -> bool {
        self.t1.contains(key) || self.t2.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn what_was_used_twice_survives_a_scan() {
        let mut arc = Arc::new(3);
        // T1 is to be empty at first, so the scan passes through the one place that T2 leaves.
        assert_eq!(played(&mut arc, "abab"), "..!!");
        assert_eq!(played(&mut arc, "cdefg"), ".....");
        assert_eq!(held(&arc), "abg");
        assert_eq!(arc.target, 0.0);
    }

    #[test]
    fn a_key_back_from_b1_lengthens_t1_and_one_back_from_b2_shortens_it() {
        let mut arc = Arc::new(3);
        // c is in B1 when it comes back: T1 is to be 1, so T2 gives a away, and c goes to T2.
        assert_eq!(played(&mut arc, "ababcdc"), "..!!...");
        assert_eq!(arc.target, 1.0);
        assert_eq!(held(&arc), "bcd");
        assert!(arc.b2.contains(0) && arc.b1.is_empty());
        // a is in B2: T1 is to be empty again, and gives d away.
        assert_eq!(played(&mut arc, "a"), ".");
        assert_eq!(arc.target, 0.0);
        assert_eq!(held(&arc), "abc");
        assert!(arc.b1.contains(3));
    }
}
