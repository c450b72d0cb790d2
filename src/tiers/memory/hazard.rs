//! One slot in which a thread says what it is reading: the steps of the protocol in `reclaim`, with the orders that they
//! need. `tests/loom.rs` runs this file and `barrier` under every order that the memory model allows.

use super::barrier;
use crate::sync::atomic::{AtomicPtr, Ordering};
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
