//! One slot in which a thread says what it is reading, and a word in which it says how far it has come: the steps of the protocol
//! in `reclaim`, with the orders that they need. `tests/loom.rs` runs this file and `barrier` under every order that the memory
//! model allows.

use super::barrier;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::num::NonZeroUsize;
use std::ptr::null_mut;

/// Writes `address` into a slot of the calling thread, and then lets `look` find out whether it can be relied on.
#[inline(always)]
pub(super) fn announce<T, R>(slot: &AtomicPtr<T>, address: *mut T, look: impl FnOnce() -> R) -> R {
    slot.store(address, Ordering::Release);
    barrier::light();
    look()
}

/// The calling thread has done with what it announced.
#[inline(always)]
pub(super) fn withdraw<T>(slot: &AtomicPtr<T>) {
    slot.store(null_mut(), Ordering::Release);
}

/// What stands in a slot of some thread, for a writer that has passed [`barrier::heavy`]; 0: nothing.
#[inline(always)]
pub(super) fn announced<T>(slot: &AtomicPtr<T>) -> usize {
    slot.load(Ordering::Acquire).addr()
}

/// A new moment. What the calling thread has taken away before is known to whoever acknowledges it.
pub(super) fn next_moment(newest: &AtomicUsize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(newest.fetch_add(1, Ordering::AcqRel))
}

/// The calling thread says up to which moment it knows what was taken away: the place where a thing was is empty to all its looks from
/// here on, and what it announced before can be seen by whoever reads this.
#[inline(always)]
pub(super) fn acknowledge(seen: &AtomicUsize, newest: &AtomicUsize) {
    let moment = newest.load(Ordering::Acquire);
    // A line that others look at is not written for nothing.
    if seen.load(Ordering::Relaxed) != moment {
        seen.store(moment, Ordering::Release);
    }
}

/// Whether a thread has acknowledged a moment.
pub(super) fn has_seen(seen: &AtomicUsize, moment: NonZeroUsize) -> bool {
    seen.load(Ordering::Acquire) >= moment.get()
}
