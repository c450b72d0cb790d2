//! Who is due: a hierarchical timing wheel (Varghese and Lauck, SOSP 1987), one a shard.
//!
//! Filing, taking out and finding what is due cost the same however many entries there are. Level 0 has 64 slots of one
//! tick each, every level above 64 slots of all of the level below; when time reaches the beginning of a slot above, its
//! entries are filed again further down. Five levels reach 208 days; what is due later waits in the farthest slot and is
//! filed again from there.
//!
//! The wheel only finds entries early enough to free their memory. That an expired entry is never returned does not
//! depend on it: every look-up compares the entry's own deadline.

use super::entry::EntryRef;
use super::list::{ByExpiry, List};
use crate::clock::Instant;
use std::sync::atomic::Ordering::Relaxed;

/// A tick is 2^24 ns, 16.8 ms: finer than the 20 ms within which a lifetime must end.
const TICK_BITS: u32 = 24;
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 5;
/// The list after the slots: what was found to be due and has not been taken yet.
const DUE: usize = LEVELS * SLOTS;

pub(super) struct Wheel {
    /// Level by level, `SLOTS` lists each, and the list of what is due; made when the first entry is filed.
    lists: Vec<List<ByExpiry>>,
    /// A bit for each slot of a level that may not be empty.
    occupied: [u64; LEVELS],
    /// All ticks before this one have been dealt with.
    tick: u64,
    /// Nothing in this tick's slot is due earlier: until then there is no need to look at it again.
    quiet_until: Instant,
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        Self { lists: Vec::new(), occupied: [0; LEVELS], tick: now >> TICK_BITS, quiet_until: 0 }
    }

    /// Files an entry that expires and is not in the wheel.
    pub(super) fn insert(&mut self, entry: EntryRef) {
        if self.lists.is_empty() {
            self.lists.resize_with(DUE + 1, List::new);
        }
        let (level, slot) = self.place(entry.deadline());
        self.file(entry, level * SLOTS + slot);
        self.occupied[level] |= 1 << slot;
        self.quiet_until = self.quiet_until.min(entry.deadline());
    }

    fn file(&mut self, entry: EntryRef, list: usize) {
        entry.header().wheel_slot.store(list as u16, Relaxed);
        self.lists[list].push_first(entry);
    }

    /// Takes an entry out that is in the wheel.
    pub(super) fn remove(&mut self, entry: EntryRef) {
        let list = usize::from(entry.header().wheel_slot.load(Relaxed));
        self.lists[list].remove(entry);
        if list != DUE && self.lists[list].is_empty() {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    /// An entry whose deadline has passed, still in the wheel, or `None` when there is none left at `now`. Each call
    /// takes up where the last one stopped.
    pub(super) fn due(&mut self, now: Instant) -> Option<EntryRef> {
        let target = now >> TICK_BITS;
        if self.lists.is_empty() {
            self.tick = self.tick.max(target);
            return None;
        }
        loop {
            self.collect_due(now);
            if let Some(entry) = self.lists[DUE].last() {
                return Some(entry);
            }
            if self.tick >= target {
                return None;
            }
            self.tick = self.next_stop().min(target);
            self.quiet_until = 0;
            self.cascade();
        }
    }

    /// Moves what is due of this tick's slot to the list of what is due.
    ///
    /// A tick is longer than a step of the clock, so the slot may be looked at a few times; each time brings something,
    /// or `quiet_until` puts the next time off.
    fn collect_due(&mut self, now: Instant) {
        let slot = self.tick as usize % SLOTS;
        if self.occupied[0] & (1 << slot) == 0 || now < self.quiet_until {
            return;
        }
        self.quiet_until = Instant::MAX;
        let mut next = self.lists[slot].first();
        while let Some(entry) = next {
            next = self.lists[slot].next(entry);
            if entry.is_expired(now) {
                self.remove(entry);
                self.file(entry, DUE);
            } else {
                self.quiet_until = self.quiet_until.min(entry.deadline());
            }
        }
    }

    /// The next tick at which there can be something to do: the next one if level 0 holds anything, else the next slot
    /// boundary of the lowest level that does.
    fn next_stop(&self) -> u64 {
        let lowest = self.occupied.iter().position(|slots| *slots != 0);
        let bits = LEVEL_BITS * lowest.unwrap_or(LEVELS - 1) as u32;
        ((self.tick >> bits) + 1) << bits
    }

    /// Files the entries of the upper slots that begin at this tick again, the highest first.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let bits = LEVEL_BITS * level as u32;
            if self.tick & ((1 << bits) - 1) != 0 {
                continue;
            }
            let slot = (self.tick >> bits) as usize % SLOTS;
            if self.occupied[level] & (1 << slot) == 0 {
                continue;
            }
            let list = level * SLOTS + slot;
            let mut entries = std::mem::replace(&mut self.lists[list], List::new());
            self.occupied[level] &= !(1 << slot);
            while let Some(entry) = entries.last() {
                entries.remove(entry);
                self.insert(entry);
            }
        }
    }

    /// Level and slot for a deadline, seen from the current tick.
    fn place(&self, deadline: Instant) -> (usize, usize) {
        let farthest = self.tick + (1 << (LEVEL_BITS * LEVELS as u32)) - 1;
        let tick = (deadline >> TICK_BITS).clamp(self.tick, farthest);
        let ahead = tick - self.tick;
        let level = (1..LEVELS).rev().find(|level| ahead >> (LEVEL_BITS * *level as u32) != 0).unwrap_or(0);
        (level, (tick >> (LEVEL_BITS * level as u32)) as usize % SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::Heap;
    use super::super::entry::{Label, Owned, Payload};
    use super::*;
    use std::sync::Arc;

    const TICK: u64 = 1 << TICK_BITS;

    /// Drives a wheel over `deadlines` in steps of `step` and checks that each entry comes out in the first step at or
    /// after its deadline.
    fn runs_true(deadlines: &[u64], start: u64, step: u64) {
        let heap = Arc::new(Heap::new(false));
        let mut wheel = Wheel::new(start);
        let mut waiting: Vec<_> = deadlines
            .iter()
            .map(|deadline| {
                let label = Label { hash: 0, deadline: start + deadline };
                let entry = Owned::new(&heap, label, b"", Payload::Plain(b"")).unwrap().into_shared();
                wheel.insert(entry);
                entry.lend(&heap);
                entry
            })
            .collect();
        let mut now = start;
        while !waiting.is_empty() {
            while let Some(entry) = wheel.due(now) {
                assert!(entry.deadline() <= now && (entry.deadline() + step > now || now == start));
                wheel.remove(entry);
                waiting.retain(|other| *other != entry);
                drop(entry.pin(&heap));
                release(entry, &heap);
            }
            assert!(waiting.iter().all(|entry| entry.deadline() > now));
            now += step;
        }
    }

    #[allow(unsafe_code)]
    fn release(entry: EntryRef, heap: &Heap) {
        // SAFETY: the test owns the entry, has lent it, and does not use it again.
        unsafe { entry.release(heap) }
    }

    #[test]
    fn every_entry_comes_out_when_it_is_due_and_not_before() {
        // Under Miri every step costs a thousand times as much.
        let count = if cfg!(miri) { 20 } else { 200 };
        let near: Vec<u64> = (0..count).map(|i| i * TICK / 3).collect();
        runs_true(&near, 987_654_321, TICK / 2);
        if cfg!(miri) {
            return;
        }
        let levels: Vec<u64> = (0..60).map(|i| 3_u64.pow(i % 18) * TICK + u64::from(i)).collect();
        runs_true(&levels, 63 * TICK + 5, 1_000 * TICK);
    }

    /// A wheel that has just found nothing to do in this tick must still notice what is filed there afterwards.
    #[test]
    fn what_is_filed_into_a_quiet_tick_comes_out_in_time() {
        let heap = Arc::new(Heap::new(false));
        let file = |wheel: &mut Wheel, deadline| {
            let entry = Owned::new(&heap, Label { hash: 0, deadline }, b"", Payload::Plain(b"")).unwrap().into_shared();
            wheel.insert(entry);
            entry.lend(&heap);
            entry
        };
        let mut wheel = Wheel::new(0);
        let late = file(&mut wheel, 10_000_000);
        assert!(wheel.due(1_000_000).is_none());
        let early = file(&mut wheel, 2_000_000);
        assert!(wheel.due(2_000_000) == Some(early));
        wheel.remove(early);
        assert!(wheel.due(9_999_999).is_none());
        assert!(wheel.due(10_000_000) == Some(late));
        wheel.remove(late);
        release(early, &heap);
        release(late, &heap);
    }

    #[test]
    fn long_gaps_and_deadlines_beyond_the_last_level_are_no_special_case() {
        let year = 365 * 24 * 3600 * 1_000_000_000;
        runs_true(&[1, TICK, year / 12, year, 3 * year], 17 * TICK, year / 24);
    }
}
