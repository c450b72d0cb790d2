//! LRU, FIFO and SIEVE in the plainest form there is.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// A policy in the plainest form there is.
pub(crate) trait Model {
    fn len(&self) -> u64;
    fn has(&self, key: u64) -> bool;
    fn hit(&mut self, key: u64);
    /// Stores a key that may be there.
    fn put(&mut self, key: u64);
    fn remove(&mut self, key: u64) -> bool;
    fn evict(&mut self) -> u64;
    fn keys(&self) -> Vec<u64>;
}

/// Keys by the time of their last use.
#[derive(Default)]
pub(crate) struct Lru {
    pub(crate) by_age: BTreeMap<u64, u64>,
    last_use: HashMap<u64, u64>,
    now: u64,
}

impl Model for Lru {
    fn len(&self) -> u64 {
        self.last_use.len() as u64
    }

    fn has(&self, key: u64) -> bool {
        self.last_use.contains_key(&key)
    }

    fn hit(&mut self, key: u64) {
        self.remove(key);
        self.now += 1;
        self.by_age.insert(self.now, key);
        self.last_use.insert(key, self.now);
    }

    fn put(&mut self, key: u64) {
        self.hit(key);
    }

    fn remove(&mut self, key: u64) -> bool {
        self.last_use.remove(&key).map(|at| self.by_age.remove(&at)).is_some()
    }

    fn evict(&mut self) -> u64 {
        let (_, key) = self.by_age.pop_first().unwrap();
        self.last_use.remove(&key);
        key
    }

    fn keys(&self) -> Vec<u64> {
        self.last_use.keys().copied().collect()
    }
}

/// Keys in the order in which they were stored, whether each was hit since the hand passed it, and the hand; without hits and
/// hand it is a FIFO.
pub(crate) struct Sieve {
    stored: VecDeque<(u64, bool)>,
    hand: usize,
    counts_hits: bool,
}

impl Sieve {
    pub(crate) fn new(counts_hits: bool) -> Self {
        Self { stored: VecDeque::new(), hand: 0, counts_hits }
    }

    fn place(&self, key: u64) -> Option<usize> {
        self.stored.iter().position(|(stored, _)| *stored == key)
    }

    fn take(&mut self, place: usize) -> u64 {
        if place < self.hand {
            self.hand -= 1;
        }
        let (key, _) = self.stored.remove(place).unwrap();
        // Behind the newest it is the oldest's turn, whatever is stored meanwhile.
        if self.hand == self.stored.len() {
            self.hand = 0;
        }
        key
    }
}

impl Model for Sieve {
    fn len(&self) -> u64 {
        self.stored.len() as u64
    }

    fn has(&self, key: u64) -> bool {
        self.place(key).is_some()
    }

    fn hit(&mut self, key: u64) {
        let place = self.place(key).unwrap();
        self.stored[place].1 = self.counts_hits;
    }

    fn put(&mut self, key: u64) {
        match self.place(key) {
            Some(_) => self.hit(key),
            None => self.stored.push_back((key, false)),
        }
    }

    fn remove(&mut self, key: u64) -> bool {
        self.place(key).map(|place| self.take(place)).is_some()
    }

    fn evict(&mut self) -> u64 {
        loop {
            if !self.stored[self.hand].1 {
                return self.take(self.hand);
            }
            self.stored[self.hand].1 = false;
            self.hand = (self.hand + 1) % self.stored.len();
        }
    }

    fn keys(&self) -> Vec<u64> {
        self.stored.iter().map(|(key, _)| *key).collect()
    }
}
