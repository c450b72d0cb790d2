//! A pair of barriers for readers that announce and writers that look for announcements.
//!
//! A reader stores its announcement, passes [`light`], and checks that what it announced is still there. A writer takes
//! something away, passes [`heavy`], and looks at the announcements. Then at least one of them sees what the other did.
//!
//! Where the kernel offers membarrier(2), `heavy` makes every other running thread of the process pass a full barrier,
//! and `light` need only keep the compiler from reordering: that takes the cost from a get (some 20 cycles) to one in many
//! puts (0.2 us where no other thread runs, some 10 us where one does and the machine is a virtual one). Where it is refused
//! when the first cache is made (an old kernel, a sandbox), both are fences. Where it is refused later (a program that gives up
//! rights once it has been set up), both are fences from then on, and for two seconds nothing is freed.
#![allow(unsafe_code)]

use crate::sync::atomic::{compiler_fence, fence, AtomicU64, AtomicU8, Ordering};

/// Not decided yet. Nobody reads before it is.
const UNDECIDED: u8 = 0;
/// Both sides use fences.
const FENCES: u8 = 1;
/// Writers use membarrier. Only left when the kernel begins to refuse it.
const MEMBARRIER: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(UNDECIDED);

/// The second until which [`heavy`] fails, after membarrier was refused to a process that had it.
static WAIT_UNTIL: AtomicU64 = AtomicU64::new(0);

/// How long it takes, at most and in seconds, until a store that a reader has made is seen by all others though no barrier
/// follows it. A processor needs microseconds for that, also when its thread is stopped; the rest is for clocks that step.
const GRACE: u64 = 2;

/// Finds out what the kernel offers. Called before a cache is made, and in a forked child.
///
/// It is decided once: a writer that has been using fences so far cannot know which readers have just stopped doing so. Some
/// threads of a process may be allowed what others are not.
pub(super) fn prepare() {
    // Fences only tell Miri and the model checker what they need to know.
    if cfg!(any(miri, shuttle)) || MODE.load(Ordering::Relaxed) == FENCES {
        return;
    }
    let mode = if membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) { MEMBARRIER } else { FENCES };
    let _ = MODE.compare_exchange(UNDECIDED, mode, Ordering::SeqCst, Ordering::Relaxed);
}

/// The reader's half. Also for whoever writes and then looks whether something has begun that has to know of it.
#[inline(always)]
pub(crate) fn light() {
    // The announcement comes first, so that a thread which is stopped after it has found membarrier in use has made it.
    compiler_fence(Ordering::SeqCst);
    if MODE.load(Ordering::Relaxed) == MEMBARRIER {
        compiler_fence(Ordering::SeqCst);
    } else {
        unlikely();
        fence(Ordering::SeqCst);
    }
}

/// Where this is called the compiler keeps out of the way of what is not.
#[cold]
fn unlikely() {}

/// Who has passed a full barrier with the heavy half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All threads of the process.
    AllThreads,
    /// The calling one. The others pass theirs with each light half.
    ThisThread,
}

/// Whether the heavy half interrupts nobody.
pub(super) fn is_cheap() -> bool {
    MODE.load(Ordering::Relaxed) != MEMBARRIER
}

/// The writer's half. `None`: announcements cannot be relied on now, so nothing may be freed. Also for whoever says that something
/// begins and then reads what others write.
pub(crate) fn heavy() -> Option<Reach> {
    if MODE.load(Ordering::Relaxed) == MEMBARRIER {
        if membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
            return Some(Reach::AllThreads);
        }
        refused();
        return None;
    }
    fence(Ordering::SeqCst);
    let wait_until = WAIT_UNTIL.load(Ordering::Relaxed);
    (wait_until == 0 || seconds() >= wait_until).then_some(Reach::ThisThread)
}

/// The process has given up a right that it had. From now on readers use fences, but those that have just announced something
/// did not: until all of that can be seen nothing is freed.
#[cold]
fn refused() {
    WAIT_UNTIL.store(seconds() + GRACE, Ordering::Relaxed);
    MODE.store(FENCES, Ordering::SeqCst);
}

fn seconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` may be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    now.tv_sec as u64
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes a command, flags and a processor, of which the last two are not used, and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
