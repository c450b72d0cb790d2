//! Locks and atomics of what many threads share. Built with `--cfg shuttle` they let a model's scheduler choose, before
//! each step, which thread goes on: see "Models" in docs/testing.md. And what else is the same in each run of a model: the seeds of
//! hashes, and the time of deadlines.

use ahash::RandomState;
use std::time::{Duration, Instant};

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, TryLockError};

#[cfg(not(shuttle))]
pub(crate) mod atomic {
    //! As in the standard library.
    pub(crate) use std::sync::atomic::{
        compiler_fence, fence, AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering,
    };
}

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, TryLockError};

/// Seeds, so that nobody can choose keys that fall together. In a model every run with the same choices has to be the same run.
pub(crate) fn seed() -> RandomState {
    if cfg!(shuttle) {
        RandomState::with_seeds(1, 2, 3, 4)
    } else {
        RandomState::new()
    }
}

/// The time, for deadlines. In a model it stands still: nobody is late there, and who waits for what never comes waits forever, which
/// the scheduler notices.
pub(crate) fn now() -> Instant {
    #[cfg(shuttle)]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }
    #[cfg(not(shuttle))]
    Instant::now()
}

/// Lets others go on for a while. In a model, all those who can.
pub(crate) fn pause(pause: Duration) {
    #[cfg(shuttle)]
    {
        let _ = pause;
        shuttle::thread::yield_now();
    }
    #[cfg(not(shuttle))]
    std::thread::sleep(pause);
}

/// A number that no other thread has, or will have; never 0.
pub(crate) fn this_thread() -> u64 {
    use std::cell::Cell;
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    // No destructor, so that it can be asked for while a thread ends.
    #[cfg(not(shuttle))]
    thread_local! {
        static MINE: Cell<u64> = const { Cell::new(0) };
    }
    // The threads of a model share one of the system's.
    #[cfg(shuttle)]
    shuttle::thread_local! {
        static MINE: Cell<u64> = Cell::new(0);
    }
    MINE.with(|mine| {
        if mine.get() == 0 {
            mine.set(LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
        }
        mine.get()
    })
}

/// What the models' heap fills freed blocks with. An atomic that reads as nothing else lies in one.
#[cfg(shuttle)]
pub(crate) const FREED: u8 = 0xDB;

#[cfg(shuttle)]
pub(crate) mod atomic {
    //! The standard library's, layout and all, with a choice of the scheduler before each call. Orders are those of one
    //! interleaving: weaker ones are for `tests/loom.rs`.

    use super::FREED;
    use std::cell::Cell;
    use std::sync::atomic as real;
    pub(crate) use std::sync::atomic::Ordering;
    use std::time::Duration;

    thread_local! {
        /// Where a value was read last, if nothing was written since: by whichever thread, they share one of the system's.
        static READ_LAST: Cell<usize> = const { Cell::new(0) };
        static LOCKS_ONLY: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether the models of this thread of the system's choose at locks only: then each of them has a twentieth of the steps, and
    /// schedules whose changes are far apart are met more often.
    pub fn choose_at_locks_only(only: bool) {
        LOCKS_ONLY.set(only);
    }

    fn switch() {
        READ_LAST.set(0);
        if LOCKS_ONLY.get() {
            return;
        }
        // A destructor that runs for a failed check has nothing to show any more.
        if !std::thread::panicking() {
            shuttle::thread::sleep(Duration::ZERO);
        }
    }

    /// No choice when the same word is read again and again: it would only make the others rarer.
    fn switch_before_load<T>(atomic: &T) {
        let address = std::ptr::from_ref(atomic).addr();
        if READ_LAST.get() != address {
            switch();
            READ_LAST.set(address);
        }
    }

    pub(crate) fn fence(_: Ordering) {
        switch();
    }

    pub(crate) fn compiler_fence(_: Ordering) {
        switch();
    }

    /// `value` as it was read, or found in place of another.
    #[track_caller]
    fn alive<T: Copy + PartialEq>(value: T, freed: T) -> T {
        assert!(value != freed || std::thread::panicking(), "memory was used after it had been freed");
        value
    }

    macro_rules! atomics {
        ($($name:ident$(<$of:ident>)?: $value:ty, freed as $freed:expr;)+) => {$(
            #[repr(transparent)]
            pub(crate) struct $name$(<$of>)?(real::$name$(<$of>)?);

            #[allow(dead_code)]
            impl$(<$of>)? $name$(<$of>)? {
                pub(crate) const fn new(value: $value) -> Self {
                    Self(real::$name::new(value))
                }

                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    switch_before_load(self);
                    alive(self.0.load(order), $freed)
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, _: Ordering) {
                    switch();
                    alive(self.0.swap(value, Ordering::SeqCst), $freed);
                }

                #[track_caller]
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    switch();
                    alive(self.0.swap(value, order), $freed)
                }

                #[track_caller]
                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    switch();
                    let found = self.0.compare_exchange(current, new, success, failure);
                    let _ = found.map_err(|found| alive(found, $freed))?;
                    found
                }

                #[track_caller]
                pub(crate) fn compare_exchange_weak(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.compare_exchange(current, new, success, failure)
                }

                #[track_caller]
                pub(crate) fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    mut change: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    let mut found = self.load(fetch);
                    while let Some(new) = change(found) {
                        match self.compare_exchange(found, new, set, fetch) {
                            Ok(before) => return Ok(before),
                            Err(other) => found = other,
                        }
                    }
                    Err(found)
                }

                pub(crate) fn get_mut(&mut self) -> &mut $value {
                    self.0.get_mut()
                }
            }

            impl$(<$of>)? From<$value> for $name$(<$of>)? {
                fn from(value: $value) -> Self {
                    Self::new(value)
                }
            }
        )+};
    }

    macro_rules! integers {
        ($($name:ident: $value:ty),+) => {
            atomics! { $($name: $value, freed as <$value>::from_ne_bytes([FREED; size_of::<$value>()]);)+ }
            $(
                impl Default for $name {
                    fn default() -> Self {
                        Self::new(0)
                    }
                }

                #[allow(dead_code)]
                impl $name {
                    #[track_caller]
                    pub(crate) fn fetch_add(&self, by: $value, order: Ordering) -> $value {
                        switch();
                        alive(self.0.fetch_add(by, order), <$value>::from_ne_bytes([FREED; size_of::<$value>()]))
                    }

                    #[track_caller]
                    pub(crate) fn fetch_max(&self, other: $value, order: Ordering) -> $value {
                        switch();
                        alive(self.0.fetch_max(other, order), <$value>::from_ne_bytes([FREED; size_of::<$value>()]))
                    }

                    #[track_caller]
                    pub(crate) fn fetch_sub(&self, by: $value, order: Ordering) -> $value {
                        switch();
                        alive(self.0.fetch_sub(by, order), <$value>::from_ne_bytes([FREED; size_of::<$value>()]))
                    }

                    #[track_caller]
                    pub(crate) fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                        switch();
                        alive(self.0.fetch_or(bits, order), <$value>::from_ne_bytes([FREED; size_of::<$value>()]))
                    }
                }
            )+
        };
    }

    integers! { AtomicU8: u8, AtomicU32: u32, AtomicU64: u64, AtomicUsize: usize }

    atomics! {
        AtomicPtr<T>: *mut T, freed as std::ptr::without_provenance_mut(usize::from_ne_bytes([FREED; size_of::<usize>()]));
    }

    #[repr(transparent)]
    pub(crate) struct AtomicBool(AtomicU8);

    impl AtomicBool {
        pub(crate) const fn new(value: bool) -> Self {
            Self(AtomicU8::new(value as u8))
        }

        pub(crate) fn load(&self, order: Ordering) -> bool {
            self.0.load(order) != 0
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.0.store(value.into(), order);
        }

        pub(crate) fn compare_exchange(
            &self,
            current: bool,
            new: bool,
            success: Ordering,
            failure: Ordering,
        ) -> Result<bool, bool> {
            let changed = self.0.compare_exchange(current.into(), new.into(), success, failure);
            changed.map(|before| before != 0).map_err(|found| found != 0)
        }
    }
}
