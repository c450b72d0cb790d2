//! Entries that values outside of the cache keep alive, and how many values each has.
//!
//! Kept beside the entries and not in them: few entries are ever pinned, and a count in each would make all of them larger.
//! Under a lock of its own, one of several, that nobody holds while taking another.

use super::entry::{EntryRef, Header};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use ahash::RandomState;
use std::collections::HashMap;
use std::sync::PoisonError;

type Stripe = HashMap<usize, Pin, RandomState>;

/// Arbitrary: so that threads that pin different entries seldom meet. In models, where they should, one.
const STRIPES: usize = if cfg!(shuttle) { 1 } else { 8 };

struct Pin {
    values: usize,
    /// The cache has given the entry up: the last value frees it.
    orphaned: bool,
}

pub(super) struct Pins {
    stripes: [Mutex<Stripe>; STRIPES],
    /// How many entries are pinned: nobody has to look for a pin while there is none.
    count: AtomicUsize,
}

impl Pins {
    pub(super) fn new() -> Self {
        let stripe = || Mutex::new(HashMap::with_hasher(RandomState::new()));
        Self { stripes: std::array::from_fn(|_| stripe()), count: AtomicUsize::new(0) }
    }

    /// One more value of an entry. The caller announces or owns it. False when there is no memory.
    #[must_use]
    pub(super) fn add(&self, entry: EntryRef) -> bool {
        self.pin(entry, false)
    }

    /// The first value of a block that was never the cache's: the last one frees it. False when there is no memory.
    #[must_use]
    pub(super) fn add_orphan(&self, block: EntryRef) -> bool {
        self.pin(block, true)
    }

    fn pin(&self, entry: EntryRef, orphaned: bool) -> bool {
        let mut stripe = self.stripe(entry);
        if stripe.try_reserve(1).is_err() {
            return false;
        }
        let pin = stripe.entry(entry.as_ptr().addr()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Pin { values: 0, orphaned }
        });
        pin.values += 1;
        true
    }

    /// One value less. True: it was the last one, and the cache has given the entry up, so the caller frees it.
    #[must_use]
    pub(super) fn remove(&self, entry: EntryRef) -> bool {
        let mut stripe = self.stripe(entry);
        let address = entry.as_ptr().addr();
        let Some(pin) = stripe.get_mut(&address) else { return false };
        pin.values -= 1;
        if pin.values > 0 {
            return false;
        }
        let orphaned = pin.orphaned;
        stripe.remove(&address);
        // Whoever finds no pin at all may free the entry, so what was read under this one comes before that.
        self.count.fetch_sub(1, Ordering::Release);
        orphaned
    }

    /// The cache gives an entry up that nobody announces. True: a value keeps it, and the last one will free it. That may be
    /// before this returns, so what is to be done first is `before`.
    ///
    /// No value can be added any more, and one that was added by a reader was added before that reader withdrew its
    /// announcement, which the caller has seen.
    #[must_use]
    #[inline(always)]
    pub(super) fn orphan(&self, entry: EntryRef, before: impl FnOnce()) -> bool {
        self.count.load(Ordering::Acquire) != 0 && self.orphan_one(entry, before)
    }

    #[cold]
    fn orphan_one(&self, entry: EntryRef, before: impl FnOnce()) -> bool {
        match self.stripe(entry).get_mut(&entry.as_ptr().addr()) {
            Some(pin) => {
                before();
                pin.orphaned = true;
                true
            }
            None => false,
        }
    }

    /// Every lock, for the time of a fork.
    pub(super) fn hold(&self) -> [MutexGuard<'_, impl Sized>; STRIPES] {
        std::array::from_fn(|stripe| self.lock(stripe))
    }

    fn stripe(&self, entry: EntryRef) -> MutexGuard<'_, Stripe> {
        // Blocks of entries are 16 bytes or more apart; neighbours differ in the bits above those.
        self.lock((entry.as_ptr().addr() / (4 * size_of::<Header>())) % STRIPES)
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, Stripe> {
        // What is done under these locks cannot panic half way, except for want of memory before anything was changed.
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
