//! LRU: the entry that was used longest ago leaves. Choose it when recent use is what predicts the next one, or when a
//! program was written against exact LRU; it is what the classic interface promises. It gets nothing from a loop larger than
//! the cache, and a long scan drives everything out.
//!
//! A hit stamps the entry with the shard's clock and moves nothing. Two ways of stamping:
//!
//! - Exact, for a cache of one shard: a hit takes a new stamp, unless the entry holds the newest one already.
//! - Nearly exact, for others: the clock counts insertions only, and a hit copies it into the entry when the entry's stamp
//!   has become too old. Hits then write nothing that threads share but the entry, and that seldom.
//!
//! The books are a list of the entries in the order in which they were stored, and a heap, by stamp, of those that were found
//! to have been hit since. A victim is looked for at the end of the list and at the top of the heap; what has moved since
//! it was filed is filed again by its stamp, and the older of the two that have not is the victim.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::heap::Heap;
use super::{Clock, Noted, Policy};
use crate::sync::atomic::Ordering::Relaxed;

/// A mark is a stamp of 31 bits above one bit that says whether a hit has put it there.
const HIT: u32 = 1;
const STAMPS: u32 = u32::MAX >> 1;
/// Stamps come round. From time to time those that lie back further than this are brought up to it, so that no two are ever
/// so far apart that one could not say which is older.
const OLDEST: u32 = 1 << 29;
const RENEW_EVERY: u32 = 1 << 28;

/// How many entries are filed again for one victim before the second best will do. With one shard the order is promised to
/// be exact, and up to 4,096 entries it is, whatever happened; else it is a bound on how long a put can take.
const MOST_EXACT: usize = 1 << 13;
const MOST: usize = 1 << 8;

/// A hit.
#[inline(always)]
pub(super) fn note(entry: EntryRef, clock: &Clock) -> Noted {
    let (now, slack) = (clock.now.load(Relaxed) & STAMPS, clock.slack.load(Relaxed));
    let age = now.wrapping_sub(entry.mark() >> 1) & STAMPS;
    if slack > 0 {
        if age >= slack {
            entry.set_mark(now << 1 | HIT);
        }
        return Noted::Done;
    }
    if age == 0 {
        return Noted::Done;
    }
    let stamp = clock.tick();
    entry.set_mark(stamp << 1 | HIT);
    if stamp.is_multiple_of(RENEW_EVERY) {
        Noted::Overdue
    } else {
        Noted::Done
    }
}

impl Clock {
    /// A new stamp.
    fn tick(&self) -> u32 {
        self.now.fetch_add(1, Relaxed).wrapping_add(1) & STAMPS
    }
}

fn stamp(entry: EntryRef) -> u32 {
    entry.mark() >> 1
}

/// Whether stamp `a` is older than stamp `b`.
fn is_older(a: u32, b: u32) -> bool {
    a != b && b.wrapping_sub(a) & STAMPS < STAMPS / 2
}

/// The same as the heap has them.
fn leaves_before(a: u64, b: u64) -> bool {
    is_older(a as u32, b as u32)
}

const LIST: u8 = 0;

pub(in super::super) struct Lru {
    stored: List,
    moved: Heap,
}

impl Lru {
    pub(super) const fn new() -> Self {
        Self { stored: List::new(LIST), moved: Heap::new(leaves_before) }
    }
}

impl Lru {
    /// Files the top of the heap again if it was hit since it was filed. Says whether it was.
    fn refile_top(&mut self) -> bool {
        let Some((filed, entry)) = self.moved.top() else { return false };
        let now = u64::from(stamp(entry));
        if now != filed {
            self.moved.refile_top(now);
        }
        now != filed
    }
}

impl Policy for Lru {
    #[inline(always)]
    fn expect(&self, _: Hash) {
        self.stored.expect();
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    fn insert(&mut self, entry: EntryRef, _: Hash, clock: &Clock) {
        let stamp = clock.tick();
        entry.set_mark(stamp << 1);
        self.stored.push(entry);
        if stamp.is_multiple_of(RENEW_EVERY) {
            self.renew(clock);
        }
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, clock: &Clock) {
        self.remove(old);
        self.insert(new, Hash(0), clock);
    }

    fn remove(&mut self, entry: EntryRef) {
        if list::tag(entry) == LIST {
            self.stored.remove(entry);
        } else {
            self.moved.remove(entry);
        }
    }

    fn victim(&mut self, clock: &Clock) -> Option<EntryRef> {
        let most = if clock.is_exact() { MOST_EXACT } else { MOST };
        for _ in 0..most {
            let moved = self.stored.oldest().filter(|entry| entry.mark() & HIT != 0);
            // Without memory for the heap the second best has to do.
            if let Some(oldest) = moved.filter(|_| self.moved.reserve()) {
                self.stored.pop();
                self.moved.push(oldest, stamp(oldest).into());
            } else if !self.refile_top() {
                break;
            }
        }
        match (self.stored.oldest(), self.moved.top()) {
            (Some(stored), Some((_, moved))) if is_older(stamp(moved), stamp(stored)) => Some(moved),
            (Some(stored), _) => Some(stored),
            (None, moved) => moved.map(|(_, entry)| entry),
        }
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.remove(entry);
    }

    fn renew(&mut self, clock: &Clock) {
        let now = clock.now.load(Relaxed) & STAMPS;
        let oldest = now.wrapping_sub(OLDEST) & STAMPS;
        let renewed = |stamp: u32| if now.wrapping_sub(stamp) & STAMPS > OLDEST { oldest } else { stamp };
        let renew = |entry: EntryRef| {
            let mark = entry.mark();
            if renewed(mark >> 1) != mark >> 1 {
                entry.set_mark(renewed(mark >> 1) << 1 | mark & HIT);
            }
        };
        let mut next = self.stored.oldest();
        while let Some(entry) = next {
            renew(entry);
            next = self.stored.newer(entry);
        }
        // All of them in the same way, so the heap's order stays.
        self.moved.renumber(|filed, entry| {
            renew(entry);
            renewed(filed as u32).into()
        });
    }

    fn bytes(&self) -> u64 {
        self.moved.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::arena::{Heap, Magazine};
    use super::super::super::entry::{Owned, Payload};
    use super::*;
    use crate::sync::atomic::AtomicU32;

    fn clock(now: u32) -> Clock {
        Clock { now: AtomicU32::new(now), slack: AtomicU32::new(0) }
    }

    /// Entries that are given back at the end of the test.
    struct Entries(Heap, Vec<EntryRef>);

    impl Entries {
        fn make(&mut self) -> EntryRef {
            let owned = Owned::new(&self.0, &mut Magazine::none(), b"key", Payload::Plain(b""), false).unwrap();
            self.1.push(owned.into_shared());
            self.1[self.1.len() - 1]
        }
    }

    impl Drop for Entries {
        fn drop(&mut self) {
            for entry in self.1.drain(..) {
                super::super::super::reclaim::give_up(entry, &self.0);
            }
        }
    }

    fn hit(lru: &mut Lru, entry: EntryRef, clock: &Clock) {
        if note(entry, clock) == Noted::Overdue {
            lru.renew(clock);
        }
    }

    /// Stores, hits, overwrites and removals at random, beside a plain list; the clock begins shortly before something happens
    /// to it.
    #[test]
    fn victims_are_exact_also_when_stamps_come_round() {
        let calls = if cfg!(miri) { 300 } else { 20_000 };
        for begin in [0, u32::MAX - 1_000, STAMPS - 1_000, RENEW_EVERY - 1_000, 3 * RENEW_EVERY - 1_000] {
            let begin = if cfg!(miri) { begin.wrapping_add(900) } else { begin };
            let (mut lru, clock, mut entries) = (Lru::new(), clock(begin), Entries(Heap::new(false), Vec::new()));
            // Least recently used first.
            let mut model: Vec<EntryRef> = Vec::new();
            let mut random = 0x5EED_u64;
            for _ in 0..calls {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let which = (random >> 32) as usize % model.len().max(1);
                match random % 16 {
                    0..=6 if !model.is_empty() => {
                        let entry = model.remove(which);
                        hit(&mut lru, entry, &clock);
                        model.push(entry);
                    }
                    7 if !model.is_empty() => {
                        let (old, new) = (model.remove(which), entries.make());
                        lru.replace(old, new, &clock);
                        model.push(new);
                    }
                    8 if !model.is_empty() => lru.remove(model.remove(which)),
                    _ => {
                        if model.len() == 100 {
                            let victim = lru.victim(&clock).unwrap();
                            assert!(victim == model.remove(0));
                            lru.evict(victim, Hash(0));
                        }
                        let entry = entries.make();
                        lru.insert(entry, Hash(0), &clock);
                        model.push(entry);
                    }
                }
            }
            for entry in model {
                let victim = lru.victim(&clock).unwrap();
                assert!(victim == entry);
                lru.evict(victim, Hash(0));
            }
            assert!(lru.victim(&clock).is_none() && lru.bytes() == 0);
        }
    }

    /// More stamps pass than there are, and nobody asks for some of the entries.
    #[test]
    fn what_nobody_asks_for_stays_the_oldest_however_many_stamps_pass() {
        let (mut lru, clock, mut entries) = (Lru::new(), clock(0), Entries(Heap::new(false), Vec::new()));
        let old: Vec<_> = (0..10).map(|_| entries.make()).collect();
        old.iter().for_each(|entry| lru.insert(*entry, Hash(0), &clock));
        // Some of them in the heap.
        old[..5].iter().for_each(|entry| hit(&mut lru, *entry, &clock));
        assert!(lru.victim(&clock) == Some(old[5]));
        let asked_for = entries.make();
        lru.insert(asked_for, Hash(0), &clock);
        for _ in 0..20 {
            // As many hits as there are before stamps are renewed.
            clock
                .now
                .store((clock.now.load(Relaxed) / RENEW_EVERY + 1).wrapping_mul(RENEW_EVERY).wrapping_sub(2), Relaxed);
            for _ in 0..2 {
                let newest = entries.make();
                lru.insert(newest, Hash(0), &clock);
                hit(&mut lru, asked_for, &clock);
                let victim = lru.victim(&clock).unwrap();
                assert!(old.contains(&victim));
                lru.remove(newest);
            }
        }
        for _ in 0..old.len() {
            let victim = lru.victim(&clock).unwrap();
            assert!(old.contains(&victim));
            lru.evict(victim, Hash(0));
        }
        assert!(lru.victim(&clock) == Some(asked_for));
    }
}
