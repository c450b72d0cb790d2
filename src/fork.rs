//! What makes `fork` safe: every lock of the library is taken before it and released on both sides, so that the child
//! finds nothing half changed and no lock held by a thread that it does not have.
//!
//! The order is always the same: the list of caches, the caches as they were made, the logger.
#![allow(unsafe_code)]

use crate::log;
use std::cell::UnsafeCell;
use std::mem::transmute;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A cache, or what outlives one, as a fork sees it.
pub(crate) trait Forks: Send + Sync {
    /// Takes every lock, in a fixed order; dropping the result releases them.
    fn hold(&self) -> Box<dyn Hold + '_>;

    /// In the child, after the locks were released.
    fn after_fork_in_child(&self) {}
}

/// Locks that are held until this is dropped.
pub(crate) trait Hold {}

impl<T> Hold for T {}

type Caches = Vec<Weak<dyn Forks>>;

static CACHES: Mutex<Caches> = Mutex::new(Vec::new());

/// Makes a cache that every fork from now on waits for and leaves whole. A fork also waits for `make`, so that nothing
/// that is set up on first use is found half set up in the child; `make` must not call back into the host.
pub(crate) fn open<C: Forks + 'static>(make: impl FnOnce() -> Arc<C>) -> Arc<C> {
    install_handlers();
    let mut caches = caches();
    caches.retain(|cache| cache.strong_count() > 0);
    let cache = make();
    let weak: Weak<C> = Arc::downgrade(&cache);
    caches.push(weak);
    cache
}

/// Has every fork from now on wait for what outlives a cache that [`open`] has made. The locks of the cache are taken first.
pub(crate) fn add(part: &Arc<impl Forks + 'static>) {
    let weak = Arc::downgrade(part);
    caches().push(weak);
}

fn install_handlers() {
    // Not a `Once`: a fork in the middle of one would leave the child waiting for a thread that it does not have.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    // The allocator's own handlers must be registered first, which its first allocation has done: handlers before a fork
    // run in reverse order, and ours allocate.
    drop(std::hint::black_box(Box::new(0_u8)));
    // SAFETY: the handlers stay loaded, since the library is linked with -z nodelete.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}

fn caches() -> MutexGuard<'static, Caches> {
    CACHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is held during a fork. Fields are dropped in this order: locks before what they are in.
struct Held {
    _logger: MutexGuard<'static, Option<log::Sink>>,
    _locks: Vec<Box<dyn Hold>>,
    caches: Vec<Arc<dyn Forks>>,
    _registry: MutexGuard<'static, Caches>,
}

/// Where `Held` waits from one handler to the next.
struct Slot(UnsafeCell<Option<Held>>);

// SAFETY: only touched by the thread that forks, while it holds the lock of `CACHES`, which `Held` keeps.
unsafe impl Sync for Slot {}

static HELD: Slot = Slot(UnsafeCell::new(None));

extern "C" fn before() {
    let registry = caches();
    let caches: Vec<Arc<dyn Forks>> = registry.iter().filter_map(Weak::upgrade).collect();
    let hold = |cache: &Arc<dyn Forks>| {
        // SAFETY: only the lifetime is changed. The locks are in the cache, which `Held::caches` keeps alive, and are
        // dropped before it.
        unsafe { transmute::<Box<dyn Hold + '_>, Box<dyn Hold + 'static>>(cache.hold()) }
    };
    let locks = caches.iter().map(hold).collect();
    let held = Held { _logger: log::hold(), _locks: locks, caches, _registry: registry };
    // SAFETY: this thread holds the lock of `CACHES`.
    unsafe { *HELD.0.get() = Some(held) };
}

/// Ends the hold; the caches are handed out so that one whose last other owner is gone is dropped without a lock held.
fn release() -> Vec<Arc<dyn Forks>> {
    // SAFETY: this is the thread that forked, or its only copy in the child, and it still holds the lock of `CACHES`.
    let held = unsafe { (*HELD.0.get()).take() };
    let Some(mut held) = held else { return Vec::new() };
    let caches = std::mem::take(&mut held.caches);
    drop(held);
    caches
}

extern "C" fn in_parent() {
    drop(release());
}

extern "C" fn in_child() {
    for cache in release() {
        cache.after_fork_in_child();
    }
}
