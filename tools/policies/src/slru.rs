//! SLRU (Karedla, Love and Wherry, "Caching strategies to improve disk system performance", IEEE Computer 1994): an LRU
//! queue on probation and a protected one of at most four fifths. A hit on probation protects; what is pushed out of the
//! protected queue is on probation again.

use crate::queue::Queue;
use crate::Policy;

pub struct Slru {
    capacity: usize,
    most_protected: usize,
    probation: Queue,
    protected: Queue,
}

impl Slru {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, most_protected: capacity * 8 / 10, probation: Queue::new(), protected: Queue::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.probation.len() + self.protected.len()
    }

    /// Who would leave next.
    pub(crate) fn victim(&self) -> Option<u32> {
        self.probation.oldest().or(self.protected.oldest())
    }

    pub(crate) fn evict(&mut self) {
        if self.probation.pop().is_none() {
            self.protected.pop();
        }
    }

    /// Takes in `key`, for which there is room.
    pub(crate) fn insert(&mut self, key: u32) {
        self.probation.push(key);
    }

    /// A use of `key`, which is there.
    pub(crate) fn hit(&mut self, key: u32) {
        if self.probation.remove(key) {
            self.protected.push(key);
            if self.protected.len() > self.most_protected {
                if let Some(oldest) = self.protected.pop() {
                    self.probation.push(oldest);
                }
            }
        } else {
            self.protected.renew(key);
        }
    }
}

impl Policy for Slru {
    fn request(&mut self, key: u32) -> bool {
        if self.contains(key) {
            self.hit(key);
            return true;
        }
        if self.len() == self.capacity {
            self.evict();
        }
        self.insert(key);
        false
    }

    fn contains(&self, key: u32) -> bool {
        self.probation.contains(key) || self.protected.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn what_was_hit_outlives_what_was_not() {
        let mut slru = Slru::new(5);
        // a is protected; b to e pass through the four other places.
        assert_eq!(played(&mut slru, "aabcdefg"), ".!......");
        assert_eq!(held(&slru), "adefg");
    }

    #[test]
    fn who_is_pushed_out_of_the_protected_queue_is_on_probation_again() {
        let mut slru = Slru::new(5);
        // Four may be protected; with e the fifth, a goes back and is the oldest there once f has come.
        assert_eq!(played(&mut slru, "abcdeabcde"), ".....!!!!!");
        assert_eq!(played(&mut slru, "f"), ".");
        assert_eq!(held(&slru), "bcdef");
    }
}
