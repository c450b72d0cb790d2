//! LFU: what was used least often leaves; among such, what was used longest ago. Uses are counted from the moment an object
//! comes in, and forgotten when it leaves.
//!
//! With ageing it is LFU with Dynamic Aging (Arlitt, Cherkasova, Dilley, Friedrich and Jin, "Evaluating content management
//! techniques for Web proxy caches", 1999): to the uses is added the value at which the last victim left, so that what was
//! popular long ago is overtaken at last.

use std::collections::BTreeSet;

use crate::Policy;

/// What an object is worth: the order of the fields is the order of leaving.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    value: u64,
    last_use: u64,
    key: u32,
}

/// An object that is held.
#[derive(Clone, Copy)]
struct Held {
    uses: u64,
    worth: Worth,
}

pub struct Lfu {
    capacity: usize,
    by_worth: BTreeSet<Worth>,
    held: Vec<Option<Held>>,
    now: u64,
    ageing: bool,
    /// What the last victim was worth; stays 0 without ageing.
    age: u64,
}

impl Lfu {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, by_worth: BTreeSet::new(), held: Vec::new(), now: 0, ageing: false, age: 0 }
    }

    pub fn with_ageing(capacity: usize) -> Self {
        Self { ageing: true, ..Self::new(capacity) }
    }

    fn evict(&mut self) {
        if let Some(least) = self.by_worth.pop_first() {
            self.held[least.key as usize] = None;
            if self.ageing {
                self.age = least.value;
            }
        }
    }
}

impl Policy for Lfu {
    fn request(&mut self, key: u32) -> bool {
        self.now += 1;
        if self.held.len() <= key as usize {
            self.held.resize(key as usize + 1, None);
        }
        let before = self.held[key as usize];
        match before {
            Some(held) => _ = self.by_worth.remove(&held.worth),
            None if self.by_worth.len() == self.capacity => self.evict(),
            None => {}
        }
        let uses = before.map_or(0, |held| held.uses) + 1;
        let worth = Worth { value: self.age + uses, last_use: self.now, key };
        self.by_worth.insert(worth);
        self.held[key as usize] = Some(Held { uses, worth });
        before.is_some()
    }

    fn contains(&self, key: u32) -> bool {
        self.held.get(key as usize).is_some_and(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn what_was_used_least_leaves_and_of_such_the_oldest() {
        let mut lfu = Lfu::new(3);
        assert_eq!(played(&mut lfu, "aabcd"), ".!...");
        assert_eq!(held(&lfu), "acd");
        // Uses are forgotten when an object leaves: b begins with one again, and now d is the oldest of those.
        assert_eq!(played(&mut lfu, "ccbe"), "!!..");
        assert_eq!(held(&lfu), "ace");
    }

    #[test]
    fn without_ageing_what_was_popular_once_never_leaves() {
        let mut lfu = Lfu::new(2);
        assert_eq!(played(&mut lfu, "aaaabcbcb"), ".!!!.....");
        assert_eq!(held(&lfu), "ab");
    }

    #[test]
    fn with_ageing_it_is_overtaken() {
        let mut lfu = Lfu::with_ageing(2);
        // b, c, b come in at 1, 2 and 3; the second c at 4 is worth what a is, and younger, so that b comes for a.
        assert_eq!(played(&mut lfu, "aaaabcbcb"), ".!!!.....");
        assert_eq!(held(&lfu), "bc");
    }
}
