//! Threads of the library's own: how they start, how a forked child does without them, how they end. Used by whoever says what they
//! do: `cache/sweeper`, `cache/tend`, and for a moment `tiers/redis/resolve`.
//!
//! No signal handler of the host runs on them. A thread holds a share of what it serves and never the cache, so that the
//! cache ends with its last user.
#![allow(unsafe_code)]

use crate::log;
use std::cell::Cell;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// A thread that serves something of type `T`, of which it owns one share.
pub(crate) struct OwnThread<T> {
    handle: JoinHandle<()>,
    served: *const T,
}

// SAFETY: the pointer is only ever compared and counted, never followed, but by the thread's own share.
unsafe impl<T: Send + Sync> Send for OwnThread<T> {}

thread_local! {
    /// The address of what this thread serves; 0 on every other thread. Without a destructor, since a cache may be dropped
    /// while a thread ends.
    static SERVED: Cell<usize> = const { Cell::new(0) };
}

impl<T: Send + Sync + 'static> OwnThread<T> {
    /// Starts a thread that runs `serve` and ends with it. `name` is what debuggers and `/proc` call it; the kernel keeps 15
    /// characters.
    pub(crate) fn spawn(name: &str, stack_bytes: usize, served: &Arc<T>, serve: fn(&T)) -> io::Result<Self> {
        let share = Arc::clone(served);
        let builder = Builder::new().name(name.into()).stack_size(stack_bytes);
        let spawn = move || {
            builder.spawn(move || {
                SERVED.set(Arc::as_ptr(&share).addr());
                serve(&share);
            })
        };
        // The standard library may refuse to make threads on a thread that is ending.
        let handle = without_signals(|| catch_unwind(AssertUnwindSafe(spawn)))
            .unwrap_or_else(|_| Err(io::Error::other("the calling thread is ending")))?;
        Ok(Self { handle, served: Arc::as_ptr(served) })
    }

    /// In a forked child, which has not got the thread: gives up its share.
    pub(crate) fn forget_in_child(self) {
        // There is nothing to join or to detach: its stack may be another thread's soon.
        std::mem::forget(self.handle);
        // SAFETY: the share that `spawn` made for the thread, which will never give it back here. Whoever calls this has one
        // of its own, so this is not the last.
        unsafe { Arc::decrement_strong_count(self.served) };
    }

    /// Waits for the thread's end, unless this is the thread itself, which ends by itself: a logger may own the cache and be
    /// dropped by a message.
    pub(crate) fn join(self) {
        if SERVED.get() != self.served.addr() {
            let _ = self.handle.join();
        }
    }
}

/// Runs `make` with every signal blocked, which the threads that it makes inherit: from its first instruction on, no
/// handler of the host runs on such a thread.
pub(crate) fn without_signals<R>(make: impl FnOnce() -> R) -> R {
    #[cfg(miri)]
    return make();
    #[cfg(not(miri))]
    {
        // SAFETY: all zeros is a set of signals; both are filled before they are read.
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
        // SAFETY: the sets are this function's own; with these arguments neither call can fail.
        unsafe {
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        }
        let made = make();
        // SAFETY: `before` is what the call above has filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
        made
    }
}

/// A bug must not end the thread, nor the program.
pub(crate) fn guarded(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        log::error(|| "a bug inside the library was caught on its own thread; please report it".into());
    }
}
