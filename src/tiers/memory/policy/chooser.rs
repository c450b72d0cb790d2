//! Which rule a cache's `adaptive` books follow: the one whose shadow has hit most often lately.
//!
//! There is one chooser a cache, and a shadow for each rule. All shadows see the requests for a sample of the keys: misses
//! when they are stored, hits through a ring that look-ups write without a lock and the next insertions empty. What is made of
//! them stands in `contest`.

use super::super::index::Hash;
use super::contest::{Contest, Room};
use super::rule::{Rule, RULES};
use super::sample;
use crate::fork::Hold;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sync::Mutex;
use std::mem;
use std::sync::{OnceLock, PoisonError};

/// With nothing known a cache keeps what it has: what is popular tends to come first.
const FIRST: Rule = Rule::Keep;

/// Hits of the sample that wait. Fewer would lose those of a burst, and with them the case for recency.
const WAITING: usize = 512;
/// How many of them an insertion looks at.
const LOOKED_AT_PER_INSERT: usize = 16;

/// An entry of a cache that is bound by its bytes is thought to have no fewer, so that the shadows are no larger than they may
/// be before it is known how many there are.
const BYTES_OF_ENTRY: u64 = 200;

pub(in super::super) struct Chooser {
    /// The rule in force, as its place in [`RULES`].
    rule: AtomicUsize,
    /// A key belongs to the sample if its value is below this.
    sample: AtomicU32,
    /// With how many entries the cache is full, as far as that is known; else 0.
    fitted: AtomicU64,
    /// How many shards the entries are spread over.
    shards: AtomicU64,
    /// Hashes of hits; 0: nothing. Made with the first shadows.
    waiting: OnceLock<Box<[AtomicU64]>>,
    /// How many hits were written into `waiting`, and how many taken out.
    written: AtomicU32,
    taken: AtomicU32,
    contest: Mutex<Contest>,
}

impl Chooser {
    /// Without shadows until it is known how many entries the cache holds.
    pub(in super::super) fn new() -> Self {
        Self {
            rule: AtomicUsize::new(place_of(FIRST)),
            sample: AtomicU32::new(0),
            fitted: AtomicU64::new(0),
            shards: AtomicU64::new(1),
            waiting: OnceLock::new(),
            written: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            contest: Mutex::new(Contest::default()),
        }
    }

    #[inline(always)]
    pub(super) fn rule(&self) -> Rule {
        RULES[self.rule.load(Relaxed) % RULES.len()]
    }

    pub(in super::super) fn set_shards(&self, shards: usize) {
        self.shards.store(shards as u64, Relaxed);
    }

    /// Whether a key belongs to the sample.
    #[inline(always)]
    fn samples(&self, hash: Hash) -> bool {
        sample::value(hash) < self.sample.load(Relaxed)
    }

    /// A look-up has found the key. Without a lock; when the ring is full the hit is not seen.
    #[inline(always)]
    pub(in super::super) fn hit(&self, hash: Hash) {
        if self.samples(hash) {
            self.wait(hash);
        }
    }

    #[inline(never)]
    fn wait(&self, hash: Hash) {
        let Some(waiting) = self.waiting.get() else { return };
        // Two threads may take the same place, and one hit is lost.
        let written = self.written.load(Relaxed);
        if written.wrapping_sub(self.taken.load(Relaxed)) < WAITING as u32 {
            waiting[written as usize % WAITING].store(hash.0.max(1), Relaxed);
            self.written.store(written.wrapping_add(1), Relaxed);
        }
    }

    /// A key has been stored that was not there. Looks at it, if it belongs to the sample, and at some of the hits that wait;
    /// leaves that to others when another thread is at it. Called under a shard's lock.
    #[inline]
    pub(super) fn missed(&self, hash: Hash) {
        let is_sampled = self.samples(hash);
        let waiting = self.written.load(Relaxed).wrapping_sub(self.taken.load(Relaxed));
        if is_sampled || waiting as usize >= LOOKED_AT_PER_INSERT {
            self.look(is_sampled.then_some(hash));
        }
    }

    #[inline(never)]
    fn look(&self, missed: Option<Hash>) {
        let Ok(mut contest) = self.contest.try_lock() else { return };
        let Some(waiting) = self.waiting.get() else { return };
        let (written, mut taken) = (self.written.load(Relaxed), self.taken.load(Relaxed));
        for _ in 0..LOOKED_AT_PER_INSERT.min(written.wrapping_sub(taken) as usize) {
            let slot = &waiting[taken as usize % WAITING];
            let hash = slot.load(Relaxed);
            slot.store(0, Relaxed);
            taken = taken.wrapping_add(1);
            if hash != 0 {
                self.see(&mut contest, Hash(hash));
            }
        }
        self.taken.store(taken, Relaxed);
        if let Some(hash) = missed {
            self.see(&mut contest, hash);
            if contest.stored() {
                self.set_sample(&contest);
            }
        }
    }

    fn see(&self, contest: &mut Contest, hash: Hash) {
        // The sample may have become thinner in the meantime.
        if self.samples(hash) && contest.see(hash) {
            let rule = contest.decide(self.rule.load(Relaxed));
            self.rule.store(rule, Relaxed);
        }
    }

    /// A shard with so many entries evicts. Fits the shadows when the cache is half as large again as was known, or half.
    #[inline]
    pub(super) fn fit(&self, entries_of_shard: u64) {
        let entries = entries_of_shard.saturating_mul(self.shards.load(Relaxed));
        let fitted = self.fitted.load(Relaxed);
        if entries / 3 > fitted / 2 || entries < fitted / 2 {
            self.make(Room::Full(entries));
        }
    }

    /// The cache will hold so many entries, or bytes.
    pub(super) fn expect(&self, entries: Option<u64>, bytes: Option<u64>) {
        let by_bytes = bytes.map(|bytes| bytes / BYTES_OF_ENTRY);
        let room = match (entries, by_bytes) {
            (Some(entries), _) if self.fitted.load(Relaxed) > 0 => Room::Full(entries),
            (Some(entries), Some(by_bytes)) if by_bytes < entries => Room::ForAtMost(by_bytes),
            (Some(entries), _) => Room::For(entries),
            (None, Some(by_bytes)) => Room::ForAtMost(by_bytes),
            // Nothing will have to leave.
            (None, None) => return,
        };
        self.make(room);
    }

    /// Makes the shadows for a cache, out of those that there are if it is full.
    #[cold]
    fn make(&self, room: Room) {
        let Ok(mut contest) = self.contest.try_lock() else { return };
        self.waiting.get_or_init(|| (0..WAITING).map(|_| AtomicU64::new(0)).collect());
        let (made, fitted) = match room {
            Room::Full(entries) => (mem::take(&mut *contest).fitted(entries), entries.max(1)),
            Room::For(entries) => (Contest::new(room), entries.max(1)),
            Room::ForAtMost(_) => (Contest::new(room), 0),
        };
        // Without memory there is no sample: the rule stays as it is.
        *contest = made.unwrap_or_default();
        self.set_sample(&contest);
        self.fitted.store(fitted, Relaxed);
    }

    fn set_sample(&self, contest: &Contest) {
        self.sample.store(u32::try_from(contest.bound()).unwrap_or(u32::MAX), Relaxed);
    }

    /// Keeps everybody else away from the shadows, while a process forks.
    pub(in super::super) fn hold(&self) -> impl Hold + '_ {
        self.contest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place_of(rule: Rule) -> usize {
    RULES.iter().position(|other| *other == rule).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> Hash {
        Hash((number + 1).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(31).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    // Arithmetic, and far too much of it for Miri.
    #[cfg(not(miri))]
    #[test]
    fn it_follows_what_the_traffic_rewards_and_stays_there() {
        let entries = 2_000_u64;
        let chooser = Chooser::new();
        chooser.make(Room::Full(entries));
        // A loop half as large again as the cache: whoever keeps gets two thirds.
        for number in 0..40 * entries {
            chooser.missed(hash(number % (entries * 3 / 2)));
        }
        assert_eq!(chooser.rule(), Rule::Keep);
        // A working set that moves on: what came lately comes again, what is gone is gone.
        let (mut random, mut changes) = (0x5EED_u64, 0);
        for number in 0..80 * entries {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (before, newest) = (chooser.rule(), number / 4);
            chooser.missed(hash(1 << 32 | (newest - (random >> 20) % (entries * 9 / 10).min(newest + 1))));
            changes += u32::from(chooser.rule() != before);
        }
        assert!(matches!(chooser.rule(), Rule::Clock | Rule::Wide), "{:?}", chooser.rule());
        // By way of another one, perhaps; and then it stays.
        assert!(changes <= 3, "{changes} changes");
    }

    #[test]
    fn hits_are_seen_by_the_next_insertions() {
        let chooser = Chooser::new();
        chooser.make(Room::Full(100));
        (0..100).for_each(|number| chooser.hit(hash(number)));
        assert_eq!(chooser.written.load(Relaxed), 100);
        (100..107).for_each(|number| chooser.missed(hash(number)));
        assert_eq!(chooser.taken.load(Relaxed), 100);
        assert_eq!(chooser.contest.try_lock().map(|contest| contest.seen()).unwrap_or_default(), 107 % 16);
        // What finds the ring full is not seen, and does no harm.
        (0..10_000).for_each(|number| chooser.hit(hash(number)));
        assert_eq!(chooser.written.load(Relaxed), 100 + WAITING as u32);
    }

    #[test]
    fn shadows_fit_the_cache() {
        for entries in [1, 50, 1_000, 1_000_000] {
            let chooser = Chooser::new();
            chooser.set_shards(4);
            chooser.hit(hash(1));
            assert_eq!(chooser.written.load(Relaxed), 0, "nothing is sampled without shadows");
            chooser.expect(Some(entries), None);
            chooser.fit(entries / 4);
            assert_eq!(chooser.fitted.load(Relaxed), entries, "what was expected has come");
            chooser.fit(entries);
            assert_eq!(chooser.fitted.load(Relaxed), 4 * entries);
        }
    }

    /// Stores a working set that moves on, until so many keys were stored: what came lately comes again, at every scale. Only
    /// what a cache of any size would miss is counted as stored.
    fn store_what_moves_on(chooser: &Chooser, keys: u64) {
        let mut random = 0x5EED_u64;
        for number in 0..keys {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // From 8 to 8 thousand keys ago, and as likely between 8 and 16 as between 4,000 and 8,000.
            let least = 8 << ((random >> 20) % 10);
            let ago = least + (random >> 40) % least;
            if let Some(again) = number.checked_sub(ago) {
                chooser.hit(hash(again));
            }
            chooser.missed(hash(number));
        }
    }

    // Far too much of it for Miri, as below.
    #[cfg(not(miri))]
    #[test]
    fn the_first_choice_is_made_before_anything_has_to_leave() {
        let entries = 30_000;
        for (expected, bytes) in
            [(Some(entries), None), (None, Some(1_000 * entries)), (Some(1 << 40), Some(1_000 * entries))]
        {
            let chooser = Chooser::new();
            chooser.expect(expected, bytes);
            assert_eq!(chooser.rule(), FIRST);
            store_what_moves_on(&chooser, entries / 2);
            let chosen = chooser.rule();
            assert_ne!(chosen, FIRST, "{expected:?} entries, {bytes:?} bytes");
            // What was found out stays, now that it is known how many entries there are.
            chooser.fit(entries);
            assert_eq!((chooser.rule(), chooser.fitted.load(Relaxed)), (chosen, entries));
        }
    }

    #[test]
    fn a_cache_without_bounds_has_no_shadows() {
        let chooser = Chooser::new();
        chooser.expect(None, None);
        chooser.hit(hash(1));
        chooser.missed(hash(2));
        assert_eq!((chooser.sample.load(Relaxed), chooser.written.load(Relaxed)), (0, 0));
    }
}
