//! Whose turn it is to write a key: with several tiers a write has several steps, and those of one key are not to be mixed. Used by
//! every write of a cache that has tiers below memory, and by whoever fills a tier from one below.

use crate::error::{Error, Result, Status};
use crate::fork::Hold;
use crate::sync::{now, seed, Condvar, Mutex, MutexGuard};
use ahash::RandomState;
use crossbeam_utils::CachePadded;
use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

/// Arbitrary: so that writers of different keys seldom meet. In models, where they should, one.
const STRIPES: usize = if cfg!(shuttle) { 1 } else { 64 };

/// How long a writer waits for another one of the same key, who may be waiting for a tier: twice what that may take.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Turns {
    stripes: Box<[CachePadded<Stripe>]>,
    hasher: RandomState,
}

#[derive(Default)]
struct Stripe {
    keys: Mutex<Keys>,
    ended: Condvar,
}

#[derive(Default)]
struct Keys {
    /// That are being written.
    taken: HashSet<Box<[u8]>, RandomState>,
    waiting: usize,
}

/// Until it is dropped nobody else writes the key.
pub(super) struct Turn<'a> {
    stripe: &'a Stripe,
    key: &'a [u8],
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| CachePadded::default()).collect(), hasher: seed() }
    }

    /// Waits until nobody else writes the key. The thread has no other turn, but by [`Turns::take_many`].
    ///
    /// # Errors
    ///
    /// That takes too long, or there is no memory.
    pub(super) fn take<'a>(&'a self, key: &'a [u8]) -> Result<Turn<'a>> {
        let stripe = &self.stripes[self.stripe_of(key)];
        let mut keys = stripe.lock();
        let mut deadline = None;
        while keys.taken.contains(key) {
            let now = now();
            let deadline = *deadline.get_or_insert(now + PATIENCE);
            if now >= deadline {
                return Err(too_late());
            }
            keys.waiting += 1;
            keys = stripe.ended.wait_timeout(keys, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
            keys.waiting -= 1;
        }
        stripe.begin(&mut keys, key)
    }

    /// The turn, if nobody else writes the key just now.
    pub(super) fn try_take<'a>(&'a self, key: &'a [u8]) -> Option<Turn<'a>> {
        let stripe = &self.stripes[self.stripe_of(key)];
        let mut keys = stripe.lock();
        if keys.taken.contains(key) {
            return None;
        }
        stripe.begin(&mut keys, key).ok()
    }

    /// The turns of many keys: in an order that is everybody's, so that no two wait for each other.
    pub(super) fn take_many<'a>(&'a self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Turn<'a>>> {
        let mut keys: Vec<&[u8]> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|key| self.take(key)).collect()
    }

    /// Every lock, for the time of a fork.
    pub(super) fn hold(&self) -> impl Hold + '_ {
        self.stripes.iter().map(|stripe| stripe.lock()).collect::<Vec<_>>()
    }

    /// In a forked child: none of the parent's other threads writes here, and the one that has forked was not writing.
    pub(super) fn after_fork_in_child(&self) {
        for stripe in &self.stripes {
            let mut keys = stripe.lock();
            keys.taken.clear();
            keys.waiting = 0;
        }
    }

    fn stripe_of(&self, key: &[u8]) -> usize {
        (self.hasher.hash_one(key) >> 32) as usize % STRIPES
    }
}

impl Stripe {
    fn begin<'a>(&'a self, keys: &mut Keys, key: &'a [u8]) -> Result<Turn<'a>> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(key.len()).map_err(|_| Error::out_of_memory())?;
        keys.taken.try_reserve(1).map_err(|_| Error::out_of_memory())?;
        copy.extend_from_slice(key);
        keys.taken.insert(copy.into_boxed_slice());
        Ok(Turn { stripe: self, key })
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        // Nothing that is done under the lock can leave it half changed.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut keys = self.stripe.lock();
        keys.taken.remove(self.key);
        if keys.waiting > 0 {
            self.stripe.ended.notify_all();
        }
    }
}

#[cold]
fn too_late() -> Error {
    let message = format!("others have been writing the same key for {PATIENCE:?}; nothing was written");
    Error::new(Status::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn writers_of_one_key_come_one_after_the_other() {
        let turns = Turns::new();
        let (inside, count) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..if cfg!(miri) { 5 } else { 500 } {
                        let _turns = turns.take_many([&b"b"[..], b"a", b"b"].into_iter()).unwrap();
                        assert_eq!(inside.fetch_add(1, Relaxed), 0);
                        std::thread::yield_now();
                        count.fetch_add(1, Relaxed);
                        inside.fetch_sub(1, Relaxed);
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), if cfg!(miri) { 20 } else { 2_000 });
    }

    #[test]
    fn a_turn_that_is_taken_is_not_had_and_one_that_has_ended_is() {
        let turns = Turns::new();
        let first = turns.take(b"key").unwrap();
        assert!(turns.try_take(b"key").is_none());
        assert!(turns.try_take(b"other").is_some());
        std::thread::scope(|scope| {
            let late = scope.spawn(|| turns.take(b"key").map(|_| ()));
            assert_eq!(late.join().unwrap().unwrap_err().status(), Status::TimedOut);
        });
        drop(first);
        assert!(turns.try_take(b"key").is_some());
    }
}
