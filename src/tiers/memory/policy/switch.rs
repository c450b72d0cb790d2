//! Whether a cache with the policy `lru-lfu` evicts by recency or by frequency: by which part of the requests of late has hit.
//!
//! There is one switch a cache. Hits are not told of it: it reads the counters that each thread keeps of its look-ups anyway,
//! now and then, when the books of a shard have evicted. Nothing here is a lock. Two shards may look at one time, and then
//! one stretch of requests is looked at twice.

use super::super::{Looked, Looks};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Which part of how many requests, at least, is looked at: chance alone makes it wrong by less than a point, mostly. Large
/// caches look at as many as a shard has entries.
const REQUESTS: u64 = 1 << 12;

/// By how many points the part has to be above or below the threshold, so that one near it does not go to and fro. Larger
/// than what chance makes of [`REQUESTS`].
const MARGIN: u64 = 2;

pub(in super::super) struct Switch {
    looks: Looks,
    /// In percent.
    threshold: AtomicU64,
    by_frequency: AtomicBool,
    /// What had been counted when it was looked last.
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Switch {
    /// By recency, as long as nothing is known.
    pub(in super::super) fn new(looks: Looks) -> Self {
        Self {
            looks,
            threshold: AtomicU64::new(0),
            by_frequency: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(in super::super) fn set_threshold(&self, percent: u64) {
        self.threshold.store(percent, Relaxed);
    }

    /// A cache gets the policy: what was asked for before does not count.
    pub(super) fn begin(&self) {
        self.by_frequency.store(false, Relaxed);
        self.hits.store(self.looks.sum(Looked::Hits as usize), Relaxed);
        self.misses.store(self.looks.sum(Looked::Misses as usize), Relaxed);
    }

    #[inline(always)]
    pub(super) fn is_by_frequency(&self) -> bool {
        self.by_frequency.load(Relaxed)
    }

    /// Decides anew if there were enough requests since the last time. A shard has so many entries.
    pub(super) fn look(&self, entries: u64) {
        let (all_hits, all_misses) = (self.looks.sum(Looked::Hits as usize), self.looks.sum(Looked::Misses as usize));
        let since = |all: u64, before: &AtomicU64| all.saturating_sub(before.load(Relaxed));
        let (hits, misses) = (since(all_hits, &self.hits), since(all_misses, &self.misses));
        if hits + misses < REQUESTS.max(entries) {
            return;
        }
        self.hits.store(all_hits, Relaxed);
        self.misses.store(all_misses, Relaxed);
        let by_frequency = decide(self.is_by_frequency(), self.threshold.load(Relaxed), hits, misses);
        if by_frequency != self.is_by_frequency() {
            self.by_frequency.store(by_frequency, Relaxed);
        }
    }
}

/// Whether it should be by frequency from now on.
fn decide(by_frequency: bool, threshold: u64, hits: u64, misses: u64) -> bool {
    // Where there is less room than the margin, all of it: 0 means whenever anything hits, 100 never.
    let margin = MARGIN.min(threshold).min(100_u64.saturating_sub(threshold));
    let least = if by_frequency { threshold - margin } else { threshold + margin };
    u128::from(hits) * 100 > u128::from(hits + misses) * u128::from(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_threshold_it_is_frequency_and_below_recency_with_room_between() {
        for (threshold, was, hits, is) in [
            (70, false, 71, false),
            (70, false, 73, true),
            (70, true, 69, true),
            (70, true, 67, false),
            (70, true, 100, true),
            (70, false, 0, false),
            (0, false, 1, true),
            (0, true, 0, false),
            (100, false, 100, false),
            (100, true, 100, false),
            (1, false, 3, true),
            (99, false, 100, false),
        ] {
            assert_eq!(decide(was, threshold, hits, 100 - hits), is, "{threshold}: {hits} after {was}");
        }
    }

    #[test]
    fn what_counts_is_what_was_asked_for_since_the_last_look() {
        let looks = Looks::new();
        let stripe = crate::stats::Stripe::of_thread(0);
        let switch = Switch::new(looks.clone());
        switch.set_threshold(70);
        let ask = |hits: u64, misses: u64| {
            looks.add(stripe, Looked::Hits as usize, hits);
            looks.add(stripe, Looked::Misses as usize, misses);
            switch.look(10);
        };
        ask(REQUESTS - 1, 0);
        assert!(!switch.is_by_frequency(), "that was not enough to tell");
        ask(1, 0);
        assert!(switch.is_by_frequency());
        // On the whole nearly all hit, of late nothing.
        ask(1_000_000, 0);
        ask(0, REQUESTS);
        assert!(!switch.is_by_frequency());
        ask(REQUESTS, 0);
        switch.begin();
        ask(0, 0);
        assert!(!switch.is_by_frequency());
    }
}
