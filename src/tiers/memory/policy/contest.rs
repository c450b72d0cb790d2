//! Which rule is best for the traffic of late: a shadow for each, and a comparison of each two.
//!
//! Each request of the sample is a comparison of every two rules: one had the key, the other had not. A rule takes over when it
//! leads the one in force by more than chance and the change would cost, and what is long ago counts less.
//!
//! Rules differ only once something has to leave. When that begins in the cache, the shadow of a cache of its size has seen
//! nothing yet. So while the cache fills, shadows stand for a smaller one that has long been full: they see more of the keys,
//! and fewer the more have been stored. The first choice is made before it matters, and no shadow is ever idle.
//!
//! Constants were chosen on generated workloads (Zipf, scans, loops, drifting and alternating phases) and looked at on
//! recorded ones; halving or doubling one moves the mean hit ratio by some hundredths of a point, where nothing else is said.

use super::super::index::Hash;
use super::rule::RULES;
use super::sample::{self, ALL, OCTAVE};
use super::shadow::{Shadow, MOST_ENTRIES};

/// A shadow has a part of the cache's entries, within bounds: all shadows together take less than 1% of the memory of entries
/// of 200 bytes, and enough is left to tell the rules apart. (With 256 entries for 12,000 one seed in five is misled.)
const PART: u64 = 32;
const FEWEST: u64 = 512;
const MOST: u64 = 2048;
const _: () = assert!(MOST as usize <= MOST_ENTRIES);
/// A small cache's shadow is smaller: an eighth of its entries, so that one request in eight is the most that is looked at once
/// it is full; but for a hundred entries.
const SMALL_PART: u64 = 8;
const FEWEST_OF_SMALL: u64 = 100;

/// While the cache fills, shadows stand for a cache of as many entries as were stored divided by this. Half and twice of it do
/// as well; nearer to one, the smaller cache has not been full for long enough to tell anything.
const BEHIND: f64 = 2.0;
/// By so many levels of the sample the first cache that shadows stand for is smaller than theirs: a sixteenth of it. From less
/// on nothing is gained, and more hits of a cache that stays nearly empty are looked at.
const SMALLER: u32 = 4 * OCTAVE;

/// Leads fade over so many requests of the sample, in entries of a shadow.
const HORIZON: u32 = 64;
/// A decision each so many, in parts of the entries of a shadow.
const DECISION: u32 = 8;
/// By how many hits a rule has to lead, in parts of the entries of a shadow: a change costs about that.
const LEAD: f32 = 1.0 / 8.0;
/// The same in a cache that has never changed its rule since it was full: it has little to lose.
const FIRST_LEAD: f32 = 1.0 / 64.0;
/// And by how many standard deviations of the difference.
const SURE: f32 = 1.5;
const FIRST_SURE: f32 = 1.0;

/// No lead grows beyond this, in parts of the entries of a shadow: traffic that has changed is not to be held up by what was
/// won before. After the work functions of Borodin, Linial and Saks, "An optimal on-line algorithm for metrical task systems"
/// (Journal of the ACM 39, 1992), by which what can be owed to the past is bounded by the cost of a change.
const GREATEST_LEAD: f32 = 0.5;

/// How many entries the cache holds when it is full.
#[derive(Clone, Copy)]
pub(super) enum Room {
    /// So many, and it is empty as yet.
    For(u64),
    /// At most so many, going by its bytes, and it is empty as yet.
    ForAtMost(u64),
    /// It is full with so many, or was.
    Full(u64),
}

#[derive(Default)]
pub(super) struct Contest {
    /// One for each of [`RULES`], or none at all.
    shadows: Vec<Shadow>,
    /// How many entries each of them has.
    entries: u32,
    /// `wins[a][b]`: requests that `a` had and `b` had not.
    wins: [[f32; RULES.len()]; RULES.len()],
    /// Requests since the last decision.
    seen: u32,
    has_changed: bool,
    /// The keys below this level are the sample.
    level: u32,
    /// And will be, when the shadows stand for a cache of this one's size.
    last_level: u32,
    /// About how many keys have been stored.
    stored: f64,
    /// As far as is known, the cache is full.
    is_full: bool,
}

/// For how many keys one of the sample stands.
fn keys_for_one(level: u32) -> f64 {
    2_f64.powi(32) / sample::bound(level) as f64
}

/// The last level of the sample for a cache of so many entries, and the entries of its shadows: as many of a full cache's keys
/// as belong to the sample.
fn fit(of: u64) -> (u32, u32) {
    let small = (of / SMALL_PART).max(FEWEST_OF_SMALL);
    let part = (of / PART).clamp(FEWEST, MOST).min(small).min(of);
    let level = sample::level_of(part, of);
    let entries = (u128::from(of) * u128::from(sample::bound(level))) >> u32::BITS;
    (level, (entries as u32).max(1))
}

impl Contest {
    /// `None` when there is no memory.
    pub(super) fn new(room: Room) -> Option<Self> {
        let (of, smaller) = match room {
            Room::For(of) => (of, SMALLER),
            Room::ForAtMost(of) => (of, ALL),
            Room::Full(of) => (of, 0),
        };
        let (last_level, entries) = fit(of.max(1));
        let shadows = RULES.iter().map(|rule| Shadow::new(entries as usize, *rule)).collect::<Option<_>>()?;
        let (level, is_full) = ((last_level + smaller).min(ALL), matches!(room, Room::Full(_)));
        Some(Self { shadows, entries, level, last_level, is_full, ..Self::default() })
    }

    /// The same for a cache that is full with so many entries. `None` when there is no memory.
    pub(super) fn fitted(mut self, of: u64) -> Option<Self> {
        if self.shadows.is_empty() {
            return Self::new(Room::Full(of));
        }
        let (last_level, entries) = fit(of.max(1));
        let stands_for = f64::from(self.entries) * keys_for_one(self.level);
        let is_behind = self.level > self.last_level;
        // Who is behind goes on from there; but whoever had reached the cache's size before stays level with it.
        let level = if is_behind { sample::level_of(u64::from(entries), stands_for as u64) } else { last_level };
        self.thin(level.clamp(last_level, self.level.max(last_level)));
        (self.last_level, self.entries, self.is_full) = (last_level, entries, true);
        self.shadows =
            self.shadows.into_iter().map(|shadow| shadow.resized(entries as usize)).collect::<Option<_>>()?;
        Some(self)
    }

    /// The value below which keys belong to the sample.
    pub(super) fn bound(&self) -> u64 {
        if self.shadows.is_empty() {
            return 0;
        }
        sample::bound(self.level)
    }

    #[cfg(test)]
    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    /// A request for a key of the sample. Says whether it is time to decide.
    pub(super) fn see(&mut self, hash: Hash) -> bool {
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

    /// A key of the sample was stored. Says whether the sample has become thinner by that.
    pub(super) fn stored(&mut self) -> bool {
        if self.is_full && self.level <= self.last_level {
            return false;
        }
        self.stored += keys_for_one(self.level);
        self.is_full |= self.stored >= f64::from(self.entries) * keys_for_one(self.last_level);
        if self.level <= self.last_level {
            return false;
        }
        let next = self.level - 1;
        let grows = self.stored >= BEHIND * f64::from(self.entries) * keys_for_one(next);
        if grows {
            self.thin(next);
        }
        grows
    }

    fn thin(&mut self, level: u32) {
        if level < self.level {
            self.shadows.iter_mut().for_each(|shadow| shadow.thin(level));
        }
        // Those before count for as many keys as they stood for.
        let kept = (keys_for_one(self.level) / keys_for_one(level)).min(1.0) as f32;
        self.wins.iter_mut().flatten().for_each(|wins| *wins *= kept);
        self.level = level;
    }

    /// The rule that should be in force, after `current`, as its place in [`RULES`].
    pub(super) fn decide(&mut self, current: usize) -> usize {
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
        // Before anything has to leave, a change costs nothing.
        self.has_changed |= best != current && self.is_full;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadows_have_a_part_of_the_entries_within_bounds() {
        for (of, entries) in [(1, 1), (50, 50), (1_000, 125), (10_000, 507), (40_000, 1_250), (1_000_000, 1_953)] {
            let contest = Contest::new(Room::Full(of)).unwrap();
            assert_eq!(contest.entries, entries, "of {of}");
            // The sample has as many of the cache's keys.
            let sampled = contest.bound() as f64 / 2_f64.powi(32) * of as f64;
            assert!((sampled - f64::from(entries)).abs() <= 1.0, "{sampled} of {of}");
        }
    }

    fn hash(number: u64) -> Hash {
        Hash((number + 1).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(31).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// Stores so many keys in order; after each, says how many there were and the contest.
    fn store(contest: &mut Contest, keys: u64, mut each: impl FnMut(u64, &Contest)) {
        for number in 0..keys {
            if u64::from(sample::value(hash(number))) < contest.bound() {
                contest.see(hash(number));
                contest.stored();
            }
            each(number + 1, contest);
        }
    }

    fn stands_for(contest: &Contest) -> f64 {
        f64::from(contest.entries) * keys_for_one(contest.level)
    }

    // Arithmetic, and too much of it for Miri, as what follows.
    #[cfg(not(miri))]
    #[test]
    fn while_a_cache_fills_shadows_stand_for_one_of_half_the_entries() {
        let entries = 20_000;
        for room in [Room::For(entries), Room::ForAtMost(entries)] {
            let mut contest = Contest::new(room).unwrap();
            let first = stands_for(&contest);
            store(&mut contest, 3 * entries, |keys, contest| {
                let (stands_for, half) = (stands_for(contest), keys as f64 / 2.0);
                assert!(stands_for <= (entries as f64 + 1.0).max(first), "{stands_for}");
                // As precise as a sample is, and by steps of an eighth.
                if half > 2.0 * first {
                    assert!(stands_for < half * 1.2, "{stands_for} after {keys} keys");
                    assert!(stands_for > half.min(entries as f64) * 0.7, "{stands_for} after {keys} keys");
                }
                assert!(keys as f64 > entries as f64 * 0.8 || !contest.is_full);
            });
            assert!(contest.is_full && contest.level == contest.last_level);
        }
    }

    #[cfg(not(miri))]
    #[test]
    fn what_was_won_in_a_cache_that_fills_counts_less_the_fuller_it_is() {
        let mut contest = Contest::new(Room::For(5_000)).unwrap();
        contest.wins[1][2] = 100.0;
        let before = stands_for(&contest);
        store(&mut contest, 4_000, |_, _| {});
        let grown = stands_for(&contest) / before;
        assert!(
            grown > 2.0 && f64::from(contest.wins[1][2]) <= 100.0 / grown + 1.0,
            "{} of {grown}",
            contest.wins[1][2]
        );
    }

    #[cfg(not(miri))]
    #[test]
    fn a_cache_that_is_full_earlier_than_expected_loses_nothing_that_its_shadows_know() {
        let mut contest = Contest::new(Room::ForAtMost(40_000)).unwrap();
        let keys = 4_000;
        store(&mut contest, keys, |_, _| {});
        let (before, won) = (stands_for(&contest), 60.0);
        contest.wins[0][3] = won;
        let mut contest = contest.fitted(keys).unwrap();
        assert!(contest.is_full && contest.entries <= 500, "{} entries", contest.entries);
        // Still behind, and with all of its leads that the larger sample is worth in the smaller.
        let now = stands_for(&contest);
        assert!(now <= before && now >= 0.85 * before, "{now} instead of {before}");
        assert!(contest.wins[0][3] > won / 4.0);
        // The newest keys of the sample are there, as many as second chance holds.
        let sampled = |key: &u64| u64::from(sample::value(hash(*key))) < contest.bound();
        let newest: Vec<u64> = (0..keys).rev().filter(sampled).take(contest.entries as usize / 2).collect();
        assert!(newest.iter().all(|key| contest.shadows[2].request(hash(*key))));
        // From here it grows as any other.
        store(&mut contest, 3 * keys, |_, _| {});
        assert_eq!(contest.level, contest.last_level);
    }

    #[test]
    fn a_cache_that_becomes_larger_or_smaller_stays_level_with_its_shadows() {
        let mut contest = Contest::new(Room::Full(10_000)).unwrap();
        for of in [20_000, 4_000, 100, 70_000] {
            contest = contest.fitted(of).unwrap();
            let (level, entries) = fit(of);
            assert_eq!((contest.level, contest.last_level, contest.entries), (level, level, entries), "{of}");
            store(&mut contest, 300, |_, _| {});
            assert_eq!(contest.level, level);
        }
    }
}
