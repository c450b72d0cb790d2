//! Which rule a cache's `adaptive` books follow: the one whose shadow has hit most often lately.
//!
//! There is one chooser a cache, and a shadow for each rule. All shadows see the requests for a sample of the keys: misses
//! when they are stored, hits through a ring that look-ups write without a lock and the next insertions empty. Each
//! request is a comparison of every two rules: one had the key, the other had not. A rule takes over when it leads the one in
//! force by more than chance and the change would cost, and what is long ago counts less.
//!
//! Constants were chosen on generated workloads (Zipf, scans, loops, drifting and alternating phases) and looked at on
//! recorded ones; halving or doubling one moves the mean hit ratio by some hundredths of a point, where nothing else is said.

use super::super::index::Hash;
use super::rule::{Rule, RULES};
use super::shadow::{Shadow, MOST_ENTRIES};
use crate::fork::Hold;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sync::Mutex;
use std::sync::{OnceLock, PoisonError};

/// A shadow has a part of the cache's entries, within bounds: all shadows together take less than 1% of the memory of entries
/// of 200 bytes, and enough is left to tell the rules apart. (With 256 entries for 12,000 one seed in five is misled.)
const PART: u64 = 32;
const FEWEST: u64 = 512;
const MOST: u64 = 2048;
const _: () = assert!(MOST as usize <= MOST_ENTRIES);
/// A small cache's shadow is smaller: an eighth of its entries, so that one request in eight is the most that is looked at; but
/// for a hundred entries.
const SMALL_PART: u64 = 8;
const FEWEST_OF_SMALL: u64 = 100;

/// Leads fade over so many requests of the sample, in entries of a shadow.
const HORIZON: u32 = 64;
/// A decision each so many, in parts of the entries of a shadow.
const DECISION: u32 = 8;
/// By how many hits a rule has to lead, in parts of the entries of a shadow: a change costs about that.
const LEAD: f32 = 1.0 / 8.0;
/// The same in a cache that has never changed its rule: it has little to lose.
const FIRST_LEAD: f32 = 1.0 / 64.0;
/// And by how many standard deviations of the difference.
const SURE: f32 = 1.5;
const FIRST_SURE: f32 = 1.0;

/// No lead grows beyond this, in parts of the entries of a shadow: traffic that has changed is not to be held up by what was
/// won before. After the work functions of Borodin, Linial and Saks, "An optimal on-line algorithm for metrical task systems"
/// (Journal of the ACM 39, 1992), by which what can be owed to the past is bounded by the cost of a change.
const GREATEST_LEAD: f32 = 0.5;

/// With nothing known a cache keeps what it has.
const FIRST: Rule = Rule::Keep;

/// Hits of the sample that wait. Fewer would lose those of a burst, and with them the case for recency.
const WAITING: usize = 512;
/// How many of them an insertion looks at.
const LOOKED_AT_PER_INSERT: usize = 16;

pub(in super::super) struct Chooser {
    /// The rule in force, as its place in [`RULES`].
    rule: AtomicUsize,
    /// A key belongs to the sample if 32 bits of its hash are below this.
    sample: AtomicU32,
    /// For how many entries the shadows were made; 0: there are none.
    fitted: AtomicU64,
    /// How many shards the entries are spread over.
    shards: AtomicU64,
    /// Hashes of hits; 0: nothing. Made with the first shadows.
    waiting: OnceLock<Box<[AtomicU64]>>,
    /// How many hits were written into `waiting`, and how many taken out.
    written: AtomicU32,
    taken: AtomicU32,
    shadows: Mutex<Shadows>,
}

#[derive(Default)]
struct Shadows {
    /// One for each of [`RULES`], or none at all.
    shadows: Vec<Shadow>,
    entries: u32,
    /// `wins[a][b]`: requests that `a` had and `b` had not.
    wins: [[f32; RULES.len()]; RULES.len()],
    /// Requests since the last decision.
    seen: u32,
    has_changed: bool,
}

impl Chooser {
    /// Without shadows until [`Chooser::fit_to`] is called.
    pub(in super::super) fn new() -> Self {
        Self {
            rule: AtomicUsize::new(place_of(FIRST)),
            sample: AtomicU32::new(0),
            fitted: AtomicU64::new(0),
            shards: AtomicU64::new(1),
            waiting: OnceLock::new(),
            written: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            shadows: Mutex::new(Shadows::default()),
        }
    }

    #[inline(always)]
    pub(super) fn rule(&self) -> Rule {
        RULES[self.rule.load(Relaxed) % RULES.len()]
    }

    pub(in super::super) fn set_shards(&self, shards: usize) {
        self.shards.store(shards as u64, Relaxed);
    }

    /// Whether a key belongs to the sample: by bits that decide neither about the shard nor about the place in the index.
    #[inline(always)]
    fn samples(&self, hash: Hash) -> bool {
        ((hash.0.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32) as u32) < self.sample.load(Relaxed)
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
        let Ok(mut shadows) = self.shadows.try_lock() else { return };
        let Some(waiting) = self.waiting.get() else { return };
        let (written, mut taken) = (self.written.load(Relaxed), self.taken.load(Relaxed));
        for _ in 0..LOOKED_AT_PER_INSERT.min(written.wrapping_sub(taken) as usize) {
            let slot = &waiting[taken as usize % WAITING];
            let hash = slot.load(Relaxed);
            slot.store(0, Relaxed);
            taken = taken.wrapping_add(1);
            if hash != 0 {
                self.see(&mut shadows, Hash(hash));
            }
        }
        self.taken.store(taken, Relaxed);
        if let Some(hash) = missed {
            self.see(&mut shadows, hash);
        }
    }

    fn see(&self, shadows: &mut Shadows, hash: Hash) {
        if shadows.see(hash) {
            let rule = shadows.decide(self.rule.load(Relaxed));
            self.rule.store(rule, Relaxed);
        }
    }

    /// A shard with so many entries evicts. Makes the shadows anew when the cache has become half as large again as they were
    /// made for, or half.
    #[inline]
    pub(super) fn fit(&self, entries_of_shard: u64) {
        let entries = entries_of_shard.saturating_mul(self.shards.load(Relaxed));
        let fitted = self.fitted.load(Relaxed);
        if entries / 3 > fitted / 2 || entries < fitted / 2 {
            self.fit_to(entries);
        }
    }

    /// The cache holds so many entries when it is full.
    #[cold]
    pub(super) fn fit_to(&self, entries: u64) {
        let Ok(mut shadows) = self.shadows.try_lock() else { return };
        self.waiting.get_or_init(|| (0..WAITING).map(|_| AtomicU64::new(0)).collect());
        let entries = entries.max(1);
        let small = (entries / SMALL_PART).max(FEWEST_OF_SMALL);
        let part = (entries / PART).clamp(FEWEST, MOST).min(small).min(entries);
        let made: Option<Vec<Shadow>> = RULES.iter().map(|rule| Shadow::new(part as usize, *rule)).collect();
        // Without memory there is no sample: the rule stays as it is.
        let sample = if made.is_some() { u64::from(u32::MAX) * part / entries } else { 0 };
        let has_changed = shadows.has_changed;
        let shadows_of = made.unwrap_or_default();
        *shadows = Shadows { shadows: shadows_of, entries: part as u32, has_changed, ..Shadows::default() };
        self.sample.store(sample as u32, Relaxed);
        self.fitted.store(entries, Relaxed);
    }

    /// Keeps everybody else away from the shadows, while a process forks.
    pub(in super::super) fn hold(&self) -> impl Hold + '_ {
        self.shadows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shadows {
    /// A request for a key of the sample. Says whether it is time to decide.
    fn see(&mut self, hash: Hash) -> bool {
        let mut hit = [false; RULES.len()];
        for (hit, shadow) in hit.iter_mut().zip(&mut self.shadows) {
            *hit = shadow.request(hash);
        }
        for (winner, wins) in self.wins.iter_mut().enumerate() {
            for (loser, wins) in wins.iter_mut().enumerate() {
                *wins += f32::from(u8::from(hit[winner] & !hit[loser]));
            }
        }
        self.seen += 1;
        self.seen >= (self.entries / DECISION).max(16)
    }

    /// The rule that should be in force, after `current`.
    fn decide(&mut self, current: usize) -> usize {
        let (lead, sure) = if self.has_changed { (LEAD, SURE) } else { (FIRST_LEAD, FIRST_SURE) };
        let least = self.entries as f32 * lead;
        let (mut best, mut greatest) = (current, 0.0);
        for other in 0..RULES.len() {
            let (won, lost) = (self.wins[other][current], self.wins[current][other]);
            // Of requests that only one of two has, chance gives each half: the difference deviates by the root of their
            // number.
            if won - lost > least && won - lost > sure * (won + lost).sqrt() && won - lost > greatest {
                (best, greatest) = (other, won - lost);
            }
        }
        self.has_changed |= best != current;
        let kept = 1.0 - self.seen as f32 / (HORIZON * self.entries) as f32;
        self.wins.iter_mut().flatten().for_each(|wins| *wins *= kept);
        let greatest = self.entries as f32 * GREATEST_LEAD;
        for (a, b) in (0..RULES.len()).flat_map(|a| (0..RULES.len()).map(move |b| (a, b))) {
            self.wins[a][b] = self.wins[a][b].min(self.wins[b][a] + greatest);
        }
        self.seen = 0;
        best
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
        chooser.fit_to(entries);
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
        chooser.fit_to(100);
        (0..100).for_each(|number| chooser.hit(hash(number)));
        assert_eq!(chooser.written.load(Relaxed), 100);
        (100..107).for_each(|number| chooser.missed(hash(number)));
        assert_eq!(chooser.taken.load(Relaxed), 100);
        assert_eq!(chooser.shadows.try_lock().map(|shadows| shadows.seen).unwrap_or_default(), 107 % 16);
        // What finds the ring full is not seen, and does no harm.
        (0..10_000).for_each(|number| chooser.hit(hash(number)));
        assert_eq!(chooser.written.load(Relaxed), 100 + WAITING as u32);
    }

    #[test]
    fn shadows_fit_the_cache() {
        for (entries, part) in [(1, 1), (50, 50), (1_000, 125), (10_000, 512), (40_000, 1_250), (1_000_000, 2_048)] {
            let chooser = Chooser::new();
            chooser.set_shards(4);
            chooser.hit(hash(1));
            assert_eq!(chooser.written.load(Relaxed), 0, "nothing is sampled without shadows");
            chooser.fit_to(entries);
            assert_eq!(chooser.shadows.try_lock().map(|shadows| shadows.entries).ok(), Some(part));
            chooser.fit(entries / 4);
            assert_eq!(chooser.fitted.load(Relaxed), entries);
        }
    }
}
