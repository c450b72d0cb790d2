//! What one thread tells all others: what it is reading right now, and what it keeps for later.
//!
//! ```text
//!          +----------------+-------+--------+------+-----------------------------+
//!  record  | 2 tables       | entry | stripe | seen | 65 leases                   | --> next record
//!          +----------------+-------+--------+------+-----------------------------+
//!            announcements: the thread        ^       classic results: the thread
//!            reads these now                  |       may read these later
//!                                             of what was taken away it knows so much: see `moments`
//! ```
//!
//! Written by its thread alone, read by writers that look for what they may free (see `reclaim` for the protocol). Records
//! are never freed, since somebody may be looking, but taken over by new threads; there are as many as there ever were
//! threads at one time.
#![allow(unsafe_code)]

use super::barrier::{self, Reach};
use super::entry::Header;
use super::moments::Moments;
use super::{hazard, lease};
use crate::stats::Stripe;
use crate::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::alloc::{alloc_zeroed, Layout};
use std::ptr::null_mut;
// Nothing that a model is about is decided by it.
use std::sync::atomic::AtomicU32 as OwnU32;

/// One in so many look-ups is timed: to read the clock twice costs as much as a hit.
const SAMPLE_ONE_IN: u32 = 1024;

#[repr(C, align(128))]
pub(super) struct Record {
    /// The index that the thread is looking into, and the one that this is replacing.
    pub(super) tables: [AtomicPtr<u8>; 2],
    /// The entry that the thread works with.
    pub(super) entry: AtomicPtr<Header>,
    /// Where the thread counts. Never changes.
    stripe: Stripe,
    in_use: AtomicBool,
    /// Up to which moment the thread knows what was taken away.
    seen: AtomicUsize,
    /// The lease that is written next; the owner's business.
    pub(super) next_lease: AtomicUsize,
    next: AtomicPtr<Record>,
    /// Look-ups of the thread until one is timed, and what the next number of them is drawn from; the owner's business.
    until_sample: OwnU32,
    drawn: OwnU32,
    pub(super) leases: [AtomicPtr<Header>; lease::SLOTS],
}

struct Records {
    /// The newest of them.
    first: AtomicPtr<Record>,
    /// How many were made.
    count: AtomicUsize,
    /// On a line of its own: each look-up reads it, and writers write it now and then.
    moments: CachePadded<Moments>,
}

impl Records {
    const fn none() -> Self {
        Self {
            first: AtomicPtr::new(null_mut()),
            count: AtomicUsize::new(0),
            moments: CachePadded::new(Moments { newest: AtomicUsize::new(0), passed: AtomicUsize::new(0) }),
        }
    }
}

/// All records.
#[cfg(not(shuttle))]
static RECORDS: Records = Records::none();

// Each run of a model begins without records.
#[cfg(shuttle)]
shuttle::lazy_static! {
    static ref RECORDS: Records = Records::none();
}

#[cfg(shuttle)]
impl Drop for Records {
    fn drop(&mut self) {
        let mut record = *self.first.get_mut();
        // SAFETY: no thread of the run is left; `add` has made each record with this layout.
        while let Some(next) = unsafe { record.as_mut() }.map(|record| *record.next.get_mut()) {
            // SAFETY: as above.
            unsafe { std::alloc::dealloc(record.cast(), Layout::new::<Record>()) };
            record = next;
        }
    }
}

impl Record {
    /// The calling thread's record. `None` when there is no memory for one.
    #[inline(always)]
    pub(super) fn mine() -> Option<&'static Self> {
        match mine::get() {
            Some(record) => Some(record),
            None => adopt(),
        }
    }

    /// The calling thread's record if it has one.
    pub(super) fn existing() -> Option<&'static Self> {
        mine::get()
    }

    #[inline(always)]
    pub(super) fn stripe(&self) -> Stripe {
        self.stripe
    }

    /// Whether this look-up of the thread is to be timed. Counted for itself, on a line that each look-up writes anyway; and at
    /// random, so that it does not run in step with what the program does.
    #[inline(always)]
    pub(super) fn is_sampled(&self) -> bool {
        let left = self.until_sample.load(Ordering::Relaxed).wrapping_sub(1);
        self.until_sample.store(left, Ordering::Relaxed);
        if left == 0 {
            self.draw();
        }
        left == 0
    }

    #[cold]
    fn draw(&self) {
        // xorshift32: Marsaglia, as in `shard`.
        let mut x = self.drawn.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.drawn.store(x, Ordering::Relaxed);
        // From 1 to twice as many less one: as many on average.
        self.until_sample.store(1 + x % (2 * SAMPLE_ONE_IN - 1), Ordering::Relaxed);
    }

    /// Announces a table in one of two places; false when it is no longer in use.
    #[inline(always)]
    pub(super) fn announce_table(&self, which: usize, table: *mut u8, is_in_use: impl FnOnce() -> bool) -> bool {
        hazard::announce(&self.tables[which], table, || {
            RECORDS.moments.see(&self.seen);
            is_in_use()
        })
    }

    fn announces_a_table(&self) -> bool {
        self.tables.iter().any(|table| hazard::announced(table) != 0)
    }

    pub(super) fn clear_leases(&self) {
        for lease in &self.leases {
            hazard::withdraw(lease);
        }
    }

    fn clear_announcements(&self) {
        for table in &self.tables {
            hazard::withdraw(table);
        }
        hazard::withdraw(&self.entry);
    }
}

/// Collects into `held`, in order, the address of everything that any thread announces or leases; says how many slots were
/// looked at. `None` when there is no memory for the list.
pub(super) fn snapshot(held: &mut Vec<usize>) -> Option<usize> {
    held.clear();
    let mut looked = 0;
    for record in records() {
        let entries = record.leases.iter().chain([&record.entry]).map(hazard::announced);
        let tables = record.tables.iter().map(hazard::announced);
        for address in entries.chain(tables).filter(|address| *address != 0) {
            held.try_reserve(1).ok()?;
            held.push(address);
        }
        looked += lease::SLOTS + 3;
    }
    held.sort_unstable();
    Some(looked)
}

/// Whether no other thread has a record, so that nobody else can be reading.
///
/// Called after something was taken away. A thread that adopts a record later than this looks passes a fence after that,
/// so it sees what was taken away.
pub(super) fn am_alone() -> bool {
    all_others(|_| false)
}

/// The moment after what the calling thread has taken away.
pub(super) fn begin_moment() -> usize {
    RECORDS.moments.begin()
}

/// Whether what was taken away before that moment stands in a slot where it is still being read, for all to see: since a barrier was passed,
/// by whomever and whyever, or without one, since all threads know of it.
pub(super) fn has_passed(moment: usize) -> bool {
    let moments = &RECORDS.moments;
    if moments.has_passed(moment) || (barrier::is_cheap() && barrier::heavy().is_some()) {
        return true;
    }
    if let Some(mine) = mine::get() {
        // For the others, when they wait for this one, which may look nothing up.
        moments.see(&mine.seen);
    }
    all_others(|record| moments.is_known(moment, &record.seen, || record.announces_a_table()))
}

/// Passes the writer's half of the barrier pair, for all that has been taken away until now. False: that was not possible.
pub(super) fn pass_barrier() -> bool {
    let moment = RECORDS.moments.begin();
    let reach = barrier::heavy();
    if reach == Some(Reach::AllThreads) {
        RECORDS.moments.pass(moment);
    }
    reach.is_some()
}

/// Whether all records that other threads use are like this.
fn all_others(is_such: impl Fn(&Record) -> bool) -> bool {
    fence(Ordering::SeqCst);
    let mine = mine::get().map_or(null_mut(), |record| std::ptr::from_ref(record).cast_mut());
    records().all(|record| std::ptr::eq(record, mine) || !record.in_use.load(Ordering::SeqCst) || is_such(record))
}

/// In a forked child: threads that did not come along read nothing any more, and their records are free.
pub(super) fn forget_other_threads() {
    let mine = mine::get().map_or(null_mut(), |record| std::ptr::from_ref(record).cast_mut());
    for record in records().filter(|record| !std::ptr::eq(*record, mine)) {
        record.clear_leases();
        record.clear_announcements();
        record.in_use.store(false, Ordering::Release);
    }
}

fn records() -> impl Iterator<Item = &'static Record> {
    // SAFETY: a record is never freed, and is initialised before it is published.
    let at = |record: *mut Record| unsafe { record.as_ref() };
    std::iter::successors(at(RECORDS.first.load(Ordering::Acquire)), move |record| {
        at(record.next.load(Ordering::Acquire))
    })
}

/// Finds or makes a record for this thread, and sees to it that the thread gives it up when it ends.
#[cold]
fn adopt() -> Option<&'static Record> {
    let free =
        |record: &&Record| record.in_use.compare_exchange(false, true, Ordering::SeqCst, Ordering::Relaxed).is_ok();
    let record = match records().find(free) {
        Some(record) => record,
        None => add()?,
    };
    // See `am_alone`.
    fence(Ordering::SeqCst);
    if !mine::set(record) {
        record.in_use.store(false, Ordering::Release);
        return None;
    }
    Some(record)
}

fn add() -> Option<&'static Record> {
    // SAFETY: the layout has a size.
    let record = unsafe { alloc_zeroed(Layout::new::<Record>()) }.cast::<Record>();
    // SAFETY: all zeros is a valid record that holds nothing; nobody else knows it yet.
    let record: &'static mut Record = unsafe { record.as_mut()? };
    let number = RECORDS.count.fetch_add(1, Ordering::Relaxed);
    record.stripe = Stripe::of_thread(number);
    let record: &'static Record = record;
    record.in_use.store(true, Ordering::Relaxed);
    // Never 0, and different for each thread.
    record.drawn.store((number as u32 + 1).wrapping_mul(0x9E37_79B9) | 1, Ordering::Relaxed);
    record.draw();
    let mut first = RECORDS.first.load(Ordering::Relaxed);
    loop {
        record.next.store(first, Ordering::Relaxed);
        let new = std::ptr::from_ref(record).cast_mut();
        match RECORDS.first.compare_exchange_weak(first, new, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return Some(record),
            Err(changed) => first = changed,
        }
    }
}

/// A thread that had this record has ended.
fn give_up(record: &Record) {
    record.clear_leases();
    record.in_use.store(false, Ordering::Release);
}

/// Sees to it that ends of threads can be noticed. Called when a cache is made, which a fork waits for.
pub(super) fn prepare() {
    mine::prepare();
}

#[cfg(not(shuttle))]
mod mine {
    //! The calling thread's record, and the end of the thread.
    //!
    //! A pthread key rather than a thread-local destructor: the key's destructor runs again when a destructor of the host
    //! that comes later makes a look-up and so adopts a record once more.

    use super::Record;
    use std::cell::Cell;
    use std::sync::OnceLock;

    thread_local! {
        /// No destructor, so that it can be used while a thread ends.
        static MINE: Cell<Option<&'static Record>> = const { Cell::new(None) };
    }

    #[inline(always)]
    pub(super) fn get() -> Option<&'static Record> {
        MINE.get()
    }

    /// False when the end of the thread could not be noticed.
    pub(super) fn set(record: &'static Record) -> bool {
        // SAFETY: the key was created and is never deleted.
        let set = |key| unsafe { libc::pthread_setspecific(key, std::ptr::from_ref(record).cast()) } == 0;
        let is_set = prepare().is_some_and(set);
        if is_set {
            MINE.set(Some(record));
        }
        is_set
    }

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
            MINE.set(None);
            super::give_up(record);
        }
    }
}

#[cfg(shuttle)]
mod mine {
    //! The same for the threads of a model, which share one thread of the system.

    use super::Record;
    use std::cell::Cell;

    struct Mine(Cell<Option<&'static Record>>);

    shuttle::thread_local! {
        static MINE: Mine = Mine(Cell::new(None));
    }

    impl Drop for Mine {
        fn drop(&mut self) {
            if let Some(record) = self.0.take() {
                super::give_up(record);
            }
        }
    }

    pub(super) fn get() -> Option<&'static Record> {
        MINE.with(|mine| mine.0.get())
    }

    pub(super) fn set(record: &'static Record) -> bool {
        MINE.with(|mine| mine.0.set(Some(record)));
        true
    }

    pub(super) fn prepare() {}
}
