//! LIRS (Jiang and Zhang, "LIRS: an efficient low inter-reference recency set replacement policy to improve buffer cache
//! performance", SIGMETRICS 2002): an object is "LIR" when few others are asked for between two uses of it. All but a
//! hundredth of the cache is for such; what is not passes through the rest.
//!
//! The stack S holds, by last use, all LIR objects and everything that was used since the oldest of these was; a key that is
//! found in it again has been away for less long than that LIR object, and takes its place. The queue Q holds the others
//! that are in the cache. Of keys that are not, S remembers twice as many as the cache holds, the latest to leave; the
//! paper has no bound.

use crate::queue::Queue;
use crate::Policy;

pub struct Lirs {
    capacity: usize,
    most_lir: usize,
    most_gone: usize,
    /// By last use, the oldest at the bottom. Its oldest is LIR.
    stack: Queue,
    /// Not LIR and in the cache.
    queue: Queue,
    /// In the stack and not in the cache.
    gone: Queue,
    lir: Vec<bool>,
    lir_len: usize,
}

impl Lirs {
    /// A hundredth of the cache is for what is not LIR, but never less than two places.
    pub fn new(capacity: usize) -> Self {
        Self::with_most_lir(capacity, capacity - (capacity / 100).max(2).min(capacity - 1))
    }

    fn with_most_lir(capacity: usize, most_lir: usize) -> Self {
        Self {
            capacity,
            most_lir,
            most_gone: 2 * capacity,
            stack: Queue::new(),
            queue: Queue::new(),
            gone: Queue::new(),
            lir: Vec::new(),
            lir_len: 0,
        }
    }

    fn is_lir(&self, key: u32) -> bool {
        self.lir.get(key as usize).is_some_and(|lir| *lir)
    }

    fn make_lir(&mut self, key: u32) {
        if self.lir.len() <= key as usize {
            self.lir.resize(key as usize + 1, false);
        }
        self.lir[key as usize] = true;
        self.lir_len += 1;
    }

    /// What is below the oldest LIR object is of no use: it has been away for longer.
    fn prune(&mut self) {
        while let Some(oldest) = self.stack.oldest().filter(|oldest| !self.is_lir(*oldest)) {
            self.stack.remove(oldest);
            self.gone.remove(oldest);
        }
    }

    /// Drives out the oldest that is not LIR. Its key stays in the stack if it is there.
    fn evict(&mut self) {
        if self.queue.is_empty() {
            self.demote_oldest_lir();
        }
        if let Some(oldest) = self.queue.pop().filter(|oldest| self.stack.contains(*oldest)) {
            self.gone.push(oldest);
            if self.gone.len() > self.most_gone {
                if let Some(forgotten) = self.gone.pop() {
                    self.stack.remove(forgotten);
                }
            }
        }
    }

    /// The oldest LIR object becomes one that may leave.
    fn demote_oldest_lir(&mut self) {
        if let Some(oldest) = self.stack.pop() {
            self.lir[oldest as usize] = false;
            self.lir_len -= 1;
            self.queue.push(oldest);
        }
        self.prune();
    }

    fn top_of_stack(&mut self, key: u32) {
        self.stack.remove(key);
        self.stack.push(key);
    }
}

impl Policy for Lirs {
    fn request(&mut self, key: u32) -> bool {
        if self.is_lir(key) {
            self.top_of_stack(key);
            self.prune();
            return true;
        }
        let hit = self.queue.contains(key);
        if !hit && self.lir_len + self.queue.len() == self.capacity {
            self.evict();
        }
        // Until there are enough, whatever comes is LIR.
        let becomes_lir = self.stack.contains(key) || (!hit && self.lir_len < self.most_lir);
        self.gone.remove(key);
        self.top_of_stack(key);
        if becomes_lir {
            self.queue.remove(key);
            self.make_lir(key);
            if self.lir_len > self.most_lir {
                self.demote_oldest_lir();
            }
        } else {
            self.queue.remove(key);
            self.queue.push(key);
        }
        hit
    }

    fn contains(&self, key: u32) -> bool {
        self.is_lir(key) || self.queue.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{held, played};

    #[test]
    fn of_a_loop_larger_than_the_cache_all_but_two_places_hit() {
        let mut lirs = Lirs::new(5);
        assert_eq!(played(&mut lirs, "abcdef"), "......");
        assert_eq!(played(&mut lirs, "abcdef"), "!!!...");
        assert_eq!(played(&mut lirs, "abcdef"), "!!!...");
    }

    /// The state of the paper's figure 2 (a), three places of which two are LIR, and what four different requests make of it.
    #[test]
    fn the_example_of_the_paper() {
        let after = |request: &str| {
            let mut lirs = Lirs::with_most_lir(3, 2);
            assert_eq!(played(&mut lirs, "abdae"), "...!.");
            assert_eq!((lirs.is_lir(0), lirs.is_lir(1), held(&lirs)), (true, true, "abe".to_owned()));
            assert!(lirs.stack.contains(3), "d has left and is remembered");
            let answer = played(&mut lirs, request);
            let lir: String = ('a'..='e').filter(|letter| lirs.is_lir(u32::from(*letter) - u32::from('a'))).collect();
            (answer, lir, held(&lirs), lirs.stack.len())
        };
        let state = |answer: &str, lir: &str, held: &str, stack| (answer.into(), lir.into(), held.into(), stack);
        // b was at the bottom of the stack, and d above it is of no use any more.
        assert_eq!(after("b"), state("!", "ab", "abe", 3));
        // e and d take the place of b.
        assert_eq!(after("e"), state("!", "ae", "abe", 2));
        assert_eq!(after("d"), state(".", "ad", "abd", 3));
        // Nothing is known of c: it drives out e, which is remembered.
        assert_eq!(after("c"), state(".", "ab", "abc", 5));
    }
}
