//! SIEVE: a hand goes over the entries in the order in which they were stored, from the oldest on and round; what was hit
//! since it passed last stays where it is, what was not leaves. Choose it for web traffic with few scans: simpler than
//! `s3fifo` and often as good. One long scan passes all that is popular once and then drives it out, and a working set
//! that moves on is followed slowly.
//!
//! After Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is simpler than LRU" (NSDI 2024). A hit writes one bit, once.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::{Clock, Policy};

/// How far hits are counted: one is all that the hand wants to know.
pub(super) const MOST: u32 = 1;

/// How many entries the hand passes for one victim before it takes the next one, hit or not, where the order need not be
/// exact. Each has cost a hit before, so this is hardly ever reached; it bounds how long one put can take.
const MOST_PASSED: usize = 1 << 8;

const LIST: u8 = 0;

pub(in super::super) struct Sieve {
    stored: List,
    /// Where it looks next; `None`: at the oldest.
    hand: Option<EntryRef>,
}

impl Sieve {
    pub(super) const fn new() -> Self {
        Self { stored: List::new(LIST), hand: None }
    }

    fn take_out(&mut self, entry: EntryRef) {
        if self.hand == Some(entry) {
            self.hand = self.stored.newer(entry);
        }
        self.stored.remove(entry);
    }
}

impl Policy for Sieve {
    #[inline(always)]
    fn expect(&self, _: Hash) {
        self.stored.expect();
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    fn insert(&mut self, entry: EntryRef, _: Hash, _: &Clock) {
        entry.set_mark(0);
        self.stored.push(entry);
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        new.set_mark(MOST);
        if self.hand == Some(old) {
            self.hand = Some(new);
        }
        self.stored.replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        self.take_out(entry);
    }

    fn victim(&mut self, clock: &Clock) -> Option<EntryRef> {
        // Each entry once, and the first one again: then nothing has a mark, unless hits are as quick.
        let all = self.stored.len() + 1;
        let most = if clock.is_exact() { all } else { all.min(MOST_PASSED) };
        let mut at = self.hand.or(self.stored.oldest())?;
        for _ in 0..most {
            if at.mark() == 0 {
                break;
            }
            at.set_mark(0);
            let Some(next) = self.stored.newer(at).or(self.stored.oldest()) else { break };
            at = next;
        }
        self.hand = Some(at);
        Some(at)
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.take_out(entry);
    }

    fn bytes(&self) -> u64 {
        0
    }
}
