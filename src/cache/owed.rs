//! What a tier still has to be told before it may be read again: keys that were written or removed while it could not be reached.
//! Kept by `tended`; a key is owed only while its breaker is open.
//!
//! Bounded: beyond [`MOST_KEYS`] nothing is remembered one by one any more, and everything in the tier has to go.

use super::breaker::Breaker;
use crate::fork::Hold;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Fixed by the interface; with keys of 40 bytes some 10 MB.
const MOST_KEYS: usize = 100_000;

#[derive(Default)]
pub(super) struct Owed {
    debt: Mutex<Debt>,
    /// Keys that were ever remembered.
    remembered: AtomicU64,
    /// How often there were too many.
    overflows: AtomicU64,
}

#[derive(Default)]
struct Debt {
    keys: HashSet<Box<[u8]>, ahash::RandomState>,
    everything: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// To be removed.
    Keys(Vec<Box<[u8]>>),
    /// The tier is to be cleared.
    Everything,
}

impl Owed {
    /// Remembers a key, whether the breaker is open or about to be.
    pub(super) fn add(&self, key: &[u8]) {
        self.add_to(&mut self.lock(), key);
    }

    /// Remembers a key if the breaker is open: false if it is not, and the tier is to be asked itself.
    #[must_use]
    pub(super) fn add_if_open(&self, breaker: &Breaker, key: &[u8]) -> bool {
        let mut debt = self.lock();
        // Under the lock in which `settled` closes it.
        let is_open = breaker.is_open();
        if is_open {
            self.add_to(&mut debt, key);
        }
        is_open
    }

    /// As [`Owed::add_if_open`], for everything there is.
    #[must_use]
    pub(super) fn add_everything_if_open(&self, breaker: &Breaker) -> bool {
        let mut debt = self.lock();
        let is_open = breaker.is_open();
        debt.everything |= is_open;
        is_open
    }

    /// Remembers that everything has to go.
    pub(super) fn add_everything(&self) {
        self.lock().everything = true;
    }

    fn add_to(&self, debt: &mut Debt, key: &[u8]) {
        if debt.everything || debt.keys.contains(key) {
            return;
        }
        self.remembered.fetch_add(1, Relaxed);
        let mut copy = Vec::new();
        let has_memory = copy.try_reserve_exact(key.len()).is_ok() && debt.keys.try_reserve(1).is_ok();
        if !has_memory || debt.keys.len() == MOST_KEYS {
            self.overflows.fetch_add(1, Relaxed);
            *debt = Debt { everything: true, ..Debt::default() };
            return;
        }
        copy.extend_from_slice(key);
        debt.keys.insert(copy.into_boxed_slice());
    }

    /// What is to be done next: at most `most` keys. They stay until [`Owed::paid`] is told of them.
    pub(super) fn due(&self, most: usize) -> Due {
        let debt = self.lock();
        if debt.everything {
            return Due::Everything;
        }
        let keys: Vec<_> = debt.keys.iter().take(most).cloned().collect();
        if keys.is_empty() {
            Due::Nothing
        } else {
            Due::Keys(keys)
        }
    }

    /// This was done. A key that was written meanwhile was written in vain, too.
    pub(super) fn paid(&self, due: &Due) {
        let mut debt = self.lock();
        match due {
            Due::Nothing => {}
            Due::Keys(keys) => keys.iter().for_each(|key| _ = debt.keys.remove(key)),
            Due::Everything => *debt = Debt::default(),
        }
    }

    /// Closes the breaker if nothing is owed any more.
    #[must_use]
    pub(super) fn settled(&self, breaker: &Breaker, now: Instant) -> bool {
        let debt = self.lock();
        let is_settled = debt.keys.is_empty() && !debt.everything;
        if is_settled {
            breaker.close(now);
        }
        is_settled
    }

    /// Keys that are owed now, that ever were, and how often there were too many.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        let now = self.lock().keys.len() as u64;
        (now, self.remembered.load(Relaxed), self.overflows.load(Relaxed))
    }

    /// The lock, for the time of a fork.
    pub(super) fn hold(&self) -> impl Hold + '_ {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Debt> {
        // Nothing that is done under the lock can leave it half changed.
        self.debt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> [u8; 8] {
        number.to_le_bytes()
    }

    #[test]
    fn keys_are_owed_once_until_they_are_paid() {
        let owed = Owed::default();
        owed.add(b"a");
        owed.add(b"a");
        owed.add(b"b");
        assert_eq!(owed.figures(), (2, 2, 0));
        let due = owed.due(1);
        owed.paid(&due);
        assert_eq!(owed.figures(), (1, 2, 0));
        let breaker = Breaker::new();
        let now = Instant::now();
        breaker.trip(false, now);
        assert!(!owed.settled(&breaker, now) && breaker.is_open());
        owed.paid(&owed.due(9));
        assert!(owed.settled(&breaker, now) && !breaker.is_open());
        assert!(!owed.add_if_open(&breaker, b"c"), "while it is closed the tier itself is told");
        assert_eq!(owed.due(9), Due::Nothing);
    }

    // Nothing here that Miri has not seen in the other.
    #[cfg(not(miri))]
    #[test]
    fn too_many_keys_are_everything() {
        let owed = Owed::default();
        for number in 0..MOST_KEYS {
            owed.add(&key(number));
        }
        assert_eq!(owed.figures(), (100_000, 100_000, 0));
        assert!(matches!(owed.due(10), Due::Keys(keys) if keys.len() == 10));
        owed.add(&key(MOST_KEYS));
        assert_eq!(owed.due(10), Due::Everything);
        owed.add(b"more");
        assert_eq!(owed.figures(), (0, 100_001, 1));
        // One that comes while the tier is cleared goes with it, as its key was written before the tier may be read.
        owed.paid(&Due::Everything);
        assert_eq!(owed.due(10), Due::Nothing);
    }
}
