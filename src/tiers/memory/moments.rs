//! Which of what was taken away every thread knows of, so that no barrier is needed to find out who is still reading it.
//!
//! Moments are counted. A writer that has taken something away begins one. A thread that looks something up reads the count
//! between its first announcement and its look at the place, and where it has changed, writes it down for all to see and passes a
//! fence. So of a thread that
//!
//! - *has seen* a moment, everything that it announced before can be seen, by the order of its stores; and what it looks for later
//!   it finds changed, by the order of its loads. Both are known without the fence;
//! - *rests* (it announces no table, and has not seen the last barrier's moment) nothing is on its way: a look-up that had begun before
//!   the barrier would announce a table since then, or have ended; one that has begun later has found the count changed, and has passed its fence
//!   after it said so. Either it said so before the writer's fence, and does not rest; or its look comes after that, and finds the place changed.
//!
//! `tests/loom.rs` runs this file under the orders that the memory model allows.

use crate::sync::atomic::{fence, AtomicUsize, Ordering};

pub(super) struct Moments {
    /// The newest one.
    pub(super) newest: AtomicUsize,
    /// After this one began all threads have passed a barrier.
    pub(super) passed: AtomicUsize,
}

impl Moments {
    /// A new moment, after what the calling thread has taken away.
    pub(super) fn begin(&self) -> usize {
        self.newest.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The calling thread has come as far as this. Each look-up calls it after it has announced a table, and before it looks whether that
    /// is in use; anybody may at any time.
    #[inline(always)]
    pub(super) fn see(&self, seen: &AtomicUsize) {
        let newest = self.newest.load(Ordering::Acquire);
        if seen.load(Ordering::Relaxed) != newest {
            say(seen, newest);
        }
    }

    /// All threads have passed a barrier since that moment began.
    pub(super) fn pass(&self, moment: usize) {
        self.passed.fetch_max(moment, Ordering::AcqRel);
    }

    /// Whether a barrier has begun after that moment, and all threads have passed it.
    pub(super) fn has_passed(&self, moment: usize) -> bool {
        self.passed.load(Ordering::Acquire) > moment
    }

    /// Whether a thread has seen that moment, or rests. The caller has passed a fence since the moment began.
    pub(super) fn is_known(&self, moment: usize, seen: &AtomicUsize, announces: impl FnOnce() -> bool) -> bool {
        let passed = self.passed.load(Ordering::Acquire);
        let seen = seen.load(Ordering::Acquire);
        seen >= moment || (seen < passed && !announces())
    }
}

#[cold]
fn say(seen: &AtomicUsize, newest: usize) {
    seen.store(newest, Ordering::Release);
    fence(Ordering::SeqCst);
}
