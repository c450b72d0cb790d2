//! How long a classic result lives: each thread holds what its last [`CLASSIC_RESULT_LIFETIME`] look-ups returned.
//!
//! A thread's record has a ring of slots for that. A look-up takes the next slot, hit or miss, and the entry that stood there
//! is given up; the slot then serves as the announcement under which the new one is found (see `reclaim`), and stays.
//! So a classic look-up counts no owner, and writes to no memory that other threads write to.

use super::entry::Header;
use super::hazard;
use super::record::Record;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// How many further classic look-ups of the same thread a classic result survives.
pub const CLASSIC_RESULT_LIFETIME: usize = if cfg!(shuttle) { 2 } else { 64 };

/// One more than the lifetime: the key of the last of these look-ups may itself stand in the oldest result.
pub(super) const SLOTS: usize = CLASSIC_RESULT_LIFETIME + 1;

/// Takes the thread's next slot and gives up what it held.
#[inline]
pub(super) fn take(record: &'static Record) -> &'static AtomicPtr<Header> {
    let slot = record.next_lease.load(Ordering::Relaxed);
    record.next_lease.store(if slot + 1 == SLOTS { 0 } else { slot + 1 }, Ordering::Relaxed);
    hazard::withdraw(&record.leases[slot]);
    &record.leases[slot]
}

/// The slot that the thread's last look-up took and gave up, as it had missed: for a result that was found elsewhere. If somebody has
/// used it since, the next one.
pub(super) fn take_again(record: &'static Record) -> &'static AtomicPtr<Header> {
    let next = record.next_lease.load(Ordering::Relaxed);
    let last = &record.leases[if next == 0 { SLOTS - 1 } else { next - 1 }];
    if last.load(Ordering::Relaxed).is_null() {
        last
    } else {
        take(record)
    }
}

/// Gives up everything the calling thread holds.
pub(crate) fn release_all() {
    if let Some(record) = Record::existing() {
        record.clear_leases();
    }
}
