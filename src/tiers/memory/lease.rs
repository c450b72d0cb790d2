//! How long a classic result lives: each thread holds what its last [`CLASSIC_RESULT_LIFETIME`] look-ups returned.
//!
//! A thread has a record with a ring of slots, each the address of an entry or nothing. A look-up writes the next slot,
//! hit or miss; the entry that stood there is given up by that. One slot more is for the moment in which the thread works
//! with an entry outside the lock, to decompress it. Nothing is counted and no other thread's memory is
//! written: it is the writers who look (see `reclaim`). Records are never freed, since somebody may be looking, but
//! taken over by new threads; there are as many as there ever were threads at one time.
//!
//! # Protocol
//!
//! 1. A slot is written under the lock of the shard that holds the entry, before the entry's address is handed out.
//! 2. An entry is retired under the same lock, after it was taken out of the shard. So whoever looks at the slots after
//!    that sees every lease that can ever be made of it.
//! 3. A slot is overwritten or cleared with release order and read with acquire order: who no longer finds an entry in
//!    any slot may free it, since all reads through the former lease came before.
#![allow(unsafe_code)]

use super::entry::{EntryRef, Header};
use std::alloc::{alloc_zeroed, Layout};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// How many further classic look-ups of the same thread a classic result survives.
pub const CLASSIC_RESULT_LIFETIME: usize = 64;

/// One more than the lifetime: the key of the last of these look-ups may itself stand in the oldest result.
const SLOTS: usize = CLASSIC_RESULT_LIFETIME + 1;

#[repr(C, align(128))]
struct Record {
    slots: [AtomicPtr<Header>; SLOTS],
    /// What the thread works with right now.
    in_hand: AtomicPtr<Header>,
    /// The slot that is written next; the owner's business.
    next_slot: AtomicUsize,
    in_use: AtomicBool,
    next: AtomicPtr<Record>,
}

/// All records, newest first.
static RECORDS: AtomicPtr<Record> = AtomicPtr::new(null_mut());

thread_local! {
    /// This thread's record. No destructor, so that it can be used while a thread ends.
    static MINE: Cell<Option<&'static Record>> = const { Cell::new(None) };
}

/// The calling thread's next slot, taken by a look-up.
pub(super) struct Slot(&'static AtomicPtr<Header>);

impl Slot {
    /// Takes the next slot and gives up what it held. `None` when there is no memory for a thread's record.
    pub(super) fn take() -> Option<Self> {
        let record = mine()?;
        let slot = record.next_slot.load(Ordering::Relaxed);
        record.next_slot.store((slot + 1) % SLOTS, Ordering::Relaxed);
        record.slots[slot].store(null_mut(), Ordering::Release);
        Some(Self(&record.slots[slot]))
    }

    /// Holds `entry` until this thread comes round to the slot again. Called under the lock of the entry's shard, or
    /// with an entry that nobody else knows yet.
    pub(super) fn hold(self, entry: EntryRef) {
        self.0.store(entry.as_ptr(), Ordering::Release);
    }
}

/// An entry that stays where it is while the calling thread works with it.
pub(super) struct InHand {
    entry: EntryRef,
    record: &'static Record,
}

impl InHand {
    /// Called under the lock of the entry's shard. A thread has one entry in hand at a time. `None` when there is no memory
    /// for a thread's record.
    pub(super) fn take(entry: EntryRef) -> Option<Self> {
        let record = mine()?;
        debug_assert!(record.in_hand.load(Ordering::Relaxed).is_null(), "one at a time");
        record.in_hand.store(entry.as_ptr(), Ordering::Release);
        Some(Self { entry, record })
    }

    pub(super) fn entry(&self) -> EntryRef {
        self.entry
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.record.in_hand.store(null_mut(), Ordering::Release);
    }
}

/// The calling thread's record. `None` when there is no memory for one.
fn mine() -> Option<&'static Record> {
    match MINE.get() {
        Some(record) => Some(record),
        None => adopt(),
    }
}

/// Gives up everything the calling thread holds.
pub(crate) fn release_all() {
    if let Some(record) = MINE.get() {
        record.clear();
    }
}

/// What all threads hold: addresses in order, for binary search, and how many slots were looked at. `None` when there is
/// no memory for the list.
pub(super) fn snapshot() -> Option<(Vec<*mut Header>, usize)> {
    let mut held = Vec::new();
    let mut looked = 0;
    for record in records() {
        for slot in record.slots.iter().chain([&record.in_hand]) {
            let entry = slot.load(Ordering::Acquire);
            if !entry.is_null() {
                held.try_reserve(1).ok()?;
                held.push(entry);
            }
        }
        looked += SLOTS + 1;
    }
    held.sort_unstable();
    Some((held, looked))
}

/// In a forked child: threads that did not come along hold nothing any more, and their records are free.
pub(crate) fn forget_other_threads() {
    let mine = MINE.get().map_or(null_mut(), |record| std::ptr::from_ref(record).cast_mut());
    for record in records().filter(|record| !std::ptr::eq(*record, mine)) {
        record.clear();
        record.in_hand.store(null_mut(), Ordering::Release);
        record.in_use.store(false, Ordering::Release);
    }
}

fn records() -> impl Iterator<Item = &'static Record> {
    // SAFETY: a record is never freed, and is initialised before it is published.
    let at = |record: *mut Record| unsafe { record.as_ref() };
    std::iter::successors(at(RECORDS.load(Ordering::Acquire)), move |record| at(record.next.load(Ordering::Acquire)))
}

impl Record {
    fn clear(&self) {
        for slot in &self.slots {
            slot.store(null_mut(), Ordering::Release);
        }
    }
}

/// Finds or makes a record for this thread, and sees to it that the thread gives it up when it ends.
#[cold]
fn adopt() -> Option<&'static Record> {
    let free =
        |record: &&Record| record.in_use.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
    let record = match records().find(free) {
        Some(record) => record,
        None => add()?,
    };
    if !call_at_thread_end(record) {
        record.in_use.store(false, Ordering::Release);
        return None;
    }
    MINE.set(Some(record));
    Some(record)
}

fn add() -> Option<&'static Record> {
    // SAFETY: the layout has a size.
    let record = unsafe { alloc_zeroed(Layout::new::<Record>()) }.cast::<Record>();
    // SAFETY: all zeros is a valid record that holds nothing; nobody else knows it yet.
    let record: &'static Record = unsafe { record.as_ref()? };
    record.in_use.store(true, Ordering::Relaxed);
    let mut first = RECORDS.load(Ordering::Relaxed);
    loop {
        record.next.store(first, Ordering::Relaxed);
        let new = std::ptr::from_ref(record).cast_mut();
        match RECORDS.compare_exchange_weak(first, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return Some(record),
            Err(changed) => first = changed,
        }
    }
}

/// A pthread key rather than a thread-local destructor: the key's destructor runs again when a destructor of the host
/// that comes later makes a look-up and so adopts a record once more.
fn call_at_thread_end(record: &'static Record) -> bool {
    // SAFETY: the key was created and is never deleted.
    prepare().is_some_and(|key| unsafe { libc::pthread_setspecific(key, std::ptr::from_ref(record).cast()) } == 0)
}

/// Sees to it that ends of threads can be noticed. Called when a cache is made, which a fork waits for.
pub(super) fn prepare() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` may be written; the destructor stays loaded, since the library is linked with -z nodelete.
        let failed = unsafe { libc::pthread_key_create(&mut key, Some(end_of_thread)) };
        (failed == 0).then_some(key)
    })
}

extern "C" fn end_of_thread(record: *mut libc::c_void) {
    // SAFETY: the key's value is only ever set to a record, and records are never freed.
    if let Some(record) = unsafe { record.cast::<Record>().as_ref() } {
        record.clear();
        MINE.set(None);
        record.in_use.store(false, Ordering::Release);
    }
}
