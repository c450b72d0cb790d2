//! W-TinyLFU: new entries pass through a small window, and get a place behind it only if their key was asked for more often
//! of late than that of the entry which would have to leave for them. Choose it when some keys are much more popular than
//! others, also when they were evicted in between, and for long scans and loops: what comes once never drives out what is
//! asked for. It follows a working set that moves on more slowly than `lru` and `s3fifo`, and gains nothing from what is asked
//! for again only soon after it came.
//!
//! After Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache admission policy" (ACM Transactions on Storage
//! 2017): a window of a hundredth, behind it a segmented LRU of which four fifths are protected, and a sketch of what was
//! asked for (see `sketch`) that counts to 15 and forgets by halves. From Caffeine, which they made of it: now and then a
//! candidate that is asked for often gets its place though the other is too, else somebody who makes the sketch take what is
//! kept for popular could keep everybody out.
//!
//! A hit counts in the entry's mark, up to 15, and moves nothing. What was counted goes into the sketch when the entry is
//! looked at as a candidate or a victim, or leaves for another reason; one that was hit since the last look has another turn.
//! So both that are compared have all their hits in the sketch, whenever those came; what is not there yet are hits of
//! entries that nobody thinks of removing.

use super::super::entry::EntryRef;
use super::super::index::Hash;
use super::super::list::{self, List};
use super::super::shard;
use super::sketch::{self, Sketch};
use super::{Clock, Policy, COUNT};
use ahash::RandomState;

/// How far hits are counted: as far as the sketch can tell.
pub(super) const MOST: u32 = sketch::MOST;

/// How many entries that were hit are filed again for one victim before the second best will do.
const MOST_LOOKED_AT: usize = 1 << 8;

/// The window's part of the entries.
const WINDOW_PART: usize = 100;
/// So many entries go from a window that is too long to what is behind it with one insertion, and from too many protected ones
/// with one that has become so: more than one, so that what a thousand removals have left catches up; few, so that no put waits.
const MOVED: usize = 2;

/// From this estimate on, a candidate that lost is let in now and then: one in so many. As in Caffeine: counts of 15 are 7
/// after they were halved, so it is what a popular key has.
const WARM: u32 = 6;
const WARM_ADMITTED: u64 = 128;

const WINDOW: u8 = 0;
const PROBATION: u8 = 1;
const PROTECTED: u8 = 2;

pub(in super::super) struct WTinyLfu {
    window: List,
    probation: List,
    protected: List,
    sketch: Sketch,
    /// That of the shard: entries do not know their hashes.
    hasher: RandomState,
    random: u64,
}

/// Hits since the last look.
fn hits(entry: EntryRef) -> u32 {
    // What was stamped under another policy may be more.
    MOST.min(entry.mark() & COUNT)
}

impl WTinyLfu {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            window: List::new(WINDOW),
            probation: List::new(PROBATION),
            protected: List::new(PROTECTED),
            sketch: Sketch::new(),
            // Whoever could foresee it would know when to come.
            random: hasher.hash_one(WARM_ADMITTED) | 1,
            hasher,
        }
    }

    fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn most_in_window(&self) -> usize {
        (self.len() / WINDOW_PART).max(1)
    }

    fn list_of(&mut self, entry: EntryRef) -> &mut List {
        match list::tag(entry) {
            WINDOW => &mut self.window,
            PROBATION => &mut self.probation,
            _ => &mut self.protected,
        }
    }

    fn hash(&self, entry: EntryRef) -> Hash {
        shard::hash(&self.hasher, entry.key())
    }

    /// Takes the hits of an entry over into the sketch. Says whether there were any.
    #[inline]
    fn take_over(&mut self, entry: EntryRef) -> bool {
        let hits = hits(entry);
        if hits > 0 {
            let hash = self.hash(entry);
            self.sketch.count(hash, hits);
        }
        if entry.mark() != 0 {
            entry.set_mark(0);
        }
        hits > 0
    }

    /// The oldest of the window, after those that were hit since they were looked at last have gone to its end.
    fn candidate(&mut self, looks: &mut usize) -> Option<EntryRef> {
        loop {
            let oldest = self.window.oldest()?;
            if *looks == 0 || !self.take_over(oldest) {
                return Some(oldest);
            }
            *looks -= 1;
            self.window.pop();
            self.window.push(oldest);
        }
    }

    /// Who leaves if somebody has to that is not in the window: the oldest on probation, after those that were hit have become
    /// protected ones.
    fn oldest_on_probation(&mut self, looks: &mut usize) -> Option<EntryRef> {
        loop {
            let Some(oldest) = self.probation.oldest() else { return self.protected.oldest() };
            if *looks == 0 || !self.take_over(oldest) {
                return Some(oldest);
            }
            *looks -= 1;
            self.probation.pop();
            self.protected.push(oldest);
            self.shorten_protected(looks);
        }
    }

    /// The oldest of too many protected ones are on probation again, but for those that were hit.
    fn shorten_protected(&mut self, looks: &mut usize) {
        let mut moved = 0;
        while moved < MOVED && self.protected.len() > (self.probation.len() + self.protected.len()) * 8 / 10 {
            let Some(oldest) = self.protected.pop() else { return };
            if *looks > 0 && self.take_over(oldest) {
                *looks -= 1;
                self.protected.push(oldest);
            } else {
                self.probation.push(oldest);
                moved += 1;
            }
        }
    }

    /// Whether a candidate gets the place of another entry.
    #[inline]
    fn admits(&mut self, candidate: EntryRef, other: EntryRef) -> bool {
        // With the hits of this moment, and of entries that there was no time to look at.
        let estimate = |entry| self.sketch.estimate(self.hash(entry)) + hits(entry);
        let (estimated, other) = (estimate(candidate), estimate(other));
        estimated > other || (estimated >= WARM && self.draw().is_multiple_of(WARM_ADMITTED))
    }

    fn draw(&mut self) -> u64 {
        // xorshift64, see `Locked::random`.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 32
    }

    fn take_out(&mut self, entry: EntryRef) {
        self.list_of(entry).remove(entry);
        // As with `s3fifo`, an empty shard remembers nothing.
        if self.len() == 0 {
            self.sketch = Sketch::new();
        }
    }
}

impl Policy for WTinyLfu {
    #[inline(always)]
    fn expect(&self, hash: Hash) {
        self.sketch.prefetch(hash);
        self.window.expect();
        self.probation.expect();
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        list::expect_neighbours(old);
    }

    fn insert(&mut self, entry: EntryRef, hash: Hash, _: &Clock) {
        self.window.push(entry);
        self.sketch.fit(self.len());
        self.sketch.count(hash, 1);
        for _ in 0..MOVED {
            if self.window.len() <= self.most_in_window() {
                break;
            }
            if let Some(oldest) = self.window.pop() {
                self.probation.push(oldest);
            }
        }
    }

    fn replace(&mut self, old: EntryRef, new: EntryRef, _: &Clock) {
        new.set_mark(MOST.min(hits(old) + 1));
        self.list_of(old).replace(old, new);
    }

    fn remove(&mut self, entry: EntryRef) {
        // Its key may come back.
        self.take_over(entry);
        self.take_out(entry);
    }

    fn victim(&mut self, _: &Clock) -> Option<EntryRef> {
        let mut looks = MOST_LOOKED_AT;
        let is_full = self.window.len() >= self.most_in_window();
        let candidate = if is_full { self.candidate(&mut looks) } else { None };
        match (candidate, self.oldest_on_probation(&mut looks)) {
            (Some(candidate), Some(other)) if self.admits(candidate, other) => {
                self.window.pop();
                self.probation.push(candidate);
                Some(other)
            }
            (Some(candidate), _) => Some(candidate),
            (None, other) => other.or(self.window.oldest()),
        }
    }

    fn evict(&mut self, entry: EntryRef, _: Hash) {
        self.remove(entry);
    }

    fn bytes(&self) -> u64 {
        self.sketch.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::arena::{Heap, Magazine};
    use super::super::super::entry::{Owned, Payload};
    use super::*;

    const CONTESTS: usize = if cfg!(miri) { 128 } else { 12_800 };

    /// Books for a hundred entries, and two that are in none; given back at the end of the test.
    struct Two(WTinyLfu, Heap, [EntryRef; 2]);

    impl Two {
        fn new() -> Self {
            let heap = Heap::new(false);
            let mut books = WTinyLfu::new(RandomState::with_seeds(1, 2, 3, 4));
            books.sketch.fit(100);
            let entries = [&b"one"[..], b"two"].map(|key| {
                let owned = Owned::new(&heap, &mut Magazine::none(), key, Payload::Plain(b""), false).unwrap();
                owned.into_shared()
            });
            Self(books, heap, entries)
        }

        /// How often of [`CONTESTS`] one gets the place of two; so often each was asked for.
        fn admitted(times: [(u32, u32); 2]) -> usize {
            let mut it = Self::new();
            for (entry, (counted, hits)) in it.2.into_iter().zip(times) {
                let hash = it.0.hash(entry);
                it.0.sketch.count(hash, counted);
                entry.set_mark(hits);
            }
            let [one, two] = it.2;
            (0..CONTESTS).filter(|_| it.0.admits(one, two)).count()
        }
    }

    impl Drop for Two {
        fn drop(&mut self) {
            for entry in self.2 {
                super::super::super::reclaim::give_up(entry, &self.1);
            }
        }
    }

    #[test]
    fn hits_that_nobody_has_taken_over_yet_count() {
        for (one, two) in [((5, 0), (4, 0)), ((1, 4), (4, 0)), ((1, 4), (2, 2)), ((0, 1), (0, 0)), ((8, 8), (15, 0))] {
            assert_eq!(Two::admitted([one, two]), CONTESTS, "{one:?} beside {two:?}");
            // Both ways round, where no luck is needed.
            assert!(two.0 >= WARM || Two::admitted([two, one]) == 0, "{two:?} beside {one:?}");
        }
        assert_eq!(Two::admitted([(4, 0), (2, 2)]), 0, "alike");
    }

    // Of as few contests as Miri can hold it says nothing.
    #[cfg(not(miri))]
    #[test]
    fn what_is_asked_for_often_is_let_in_now_and_then_whatever_is_there() {
        for warm in [(6, 0), (0, 6), (15, 0)] {
            let admitted = Two::admitted([warm, (15, 0)]);
            // A hundred of 12,800 on the mean, five deviations to both sides.
            assert!((50..150).contains(&admitted), "{admitted}");
        }
        assert_eq!(Two::admitted([(5, 0), (15, 15)]), 0);
    }

    #[test]
    fn what_was_counted_goes_into_the_sketch_when_an_entry_leaves() {
        let mut it = Two::new();
        let [one, two] = it.2;
        let (hash, clock) = (it.0.hash(one), Clock::default());
        for entry in [one, two] {
            let hash = it.0.hash(entry);
            it.0.insert(entry, hash, &clock);
        }
        one.set_mark(7);
        assert_eq!(it.0.sketch.estimate(hash), 1);
        it.0.remove(one);
        assert_eq!((it.0.sketch.estimate(hash), one.mark()), (8, 0));
        it.0.evict(two, Hash(0));
        assert_eq!((it.0.len(), it.0.bytes()), (0, 0), "an empty shard remembers nothing");
    }
}
