//! The model: what the cache should hold, and who has left it and why.

use super::KEYS;
use catzilla_cache::ffi::listener::{
    CATZILLA_CAUSE_EVICTED, CATZILLA_CAUSE_EXPIRED, CATZILLA_CAUSE_REMOVED, CATZILLA_CAUSE_REPLACED,
};

/// What the cache should hold: least recently used first. Times in milliseconds.
#[derive(Default)]
pub(super) struct Model {
    pub(super) entries: Vec<Expected>,
    pub(super) capacity: usize,
    pub(super) now: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) expirations: u64,
    pub(super) stored: u64,
    pub(super) loads: u64,
    pub(super) load_failures: u64,
    /// Who has left since it was looked at last, and why.
    pub(super) left: Vec<Left>,
}

/// An entry that has left: its key, its value, and the cause as the interface has it.
pub(super) type Left = (Vec<u8>, Vec<u8>, i32);

#[derive(Clone)]
pub(super) struct Expected {
    pub(super) key: usize,
    pub(super) value: Vec<u8>,
    /// In ticks, rounded up; `u64::MAX` never comes.
    pub(super) deadline: u64,
    /// Different for each value that was ever stored.
    pub(super) number: u64,
    /// What the cache has said that it is, if it was asked.
    pub(super) version: Option<u64>,
    /// A bit for each of the tags that it carries.
    pub(super) tags: u8,
}

/// The cache counts time in ticks of 2^23 nanoseconds, and its manual clock starts with this many nanoseconds.
const TICK: u64 = 1 << 23;
const START: u64 = 1_234_567_891;

/// The tick that has begun at a time in milliseconds.
pub(super) fn tick(millis: u64) -> u64 {
    (START + millis * 1_000_000) / TICK
}

/// The first tick at which what was stored for `ttl` milliseconds is expired.
pub(super) fn deadline(now: u64, ttl: u64) -> u64 {
    match ttl {
        u64::MAX => u64::MAX,
        _ => (START + (now + ttl) * 1_000_000).div_ceil(TICK),
    }
}

impl Model {
    pub(super) fn position(&self, key: usize) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    /// The entry if it is there and alive. A dead one that was met is gone.
    pub(super) fn meet(&mut self, key: usize) -> Option<usize> {
        let at = self.position(key)?;
        if self.entries[at].deadline <= tick(self.now) {
            self.leave(at, CATZILLA_CAUSE_EXPIRED);
            self.expirations += 1;
            return None;
        }
        Some(at)
    }

    pub(super) fn leave(&mut self, at: usize, cause: i32) {
        let entry = self.entries.remove(at);
        self.left.push((KEYS[entry.key].to_bytes().to_vec(), entry.value, cause));
    }

    /// All of these leave; says how many they were.
    pub(super) fn leave_all(&mut self, cause: i32, chosen: impl Fn(&Expected) -> bool) -> u64 {
        let mut count = 0;
        while let Some(at) = self.entries.iter().position(&chosen) {
            self.leave(at, cause);
            count += 1;
        }
        count
    }

    pub(super) fn request(&mut self, key: usize) -> Option<Vec<u8>> {
        self.request_entry(key).map(|entry| entry.value)
    }

    pub(super) fn request_entry(&mut self, key: usize) -> Option<Expected> {
        match self.meet(key) {
            Some(at) => {
                self.hits += 1;
                let entry = self.entries.remove(at);
                self.entries.push(entry.clone());
                Some(entry)
            }
            None => {
                self.misses += 1;
                None
            }
        }
    }

    pub(super) fn store(&mut self, key: usize, value: Vec<u8>, ttl: u64) {
        self.expire();
        if let Some(at) = self.position(key) {
            self.leave(at, CATZILLA_CAUSE_REPLACED);
        } else if self.entries.len() == self.capacity {
            self.leave(0, CATZILLA_CAUSE_EVICTED);
            self.evictions += 1;
        }
        self.stored += 1;
        let (deadline, number) = (deadline(self.now, ttl), self.stored);
        self.entries.push(Expected { key, value, deadline, number, version: None, tags: 0 });
    }

    pub(super) fn remove(&mut self, key: usize) -> bool {
        self.meet(key).map(|at| self.leave(at, CATZILLA_CAUSE_REMOVED)).is_some()
    }

    pub(super) fn shrink(&mut self, capacity: usize) {
        self.capacity = capacity;
        let surplus = self.entries.len().saturating_sub(capacity);
        (0..surplus).for_each(|_| self.leave(0, CATZILLA_CAUSE_EVICTED));
        self.evictions += surplus as u64;
    }

    /// Drops all that are dead. A put sweeps up to four of them, which is all there can be: the capacity is at most four.
    pub(super) fn expire(&mut self) {
        let now = tick(self.now);
        self.expirations += self.leave_all(CATZILLA_CAUSE_EXPIRED, |entry| entry.deadline <= now);
    }
}
