//! Being told of entries that leave a cache.

use super::boundary::{boundary, handle, input};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use crate::error::Status;
use crate::{Cause, Departed, Listener};
use std::ffi::c_void;
use std::sync::Arc;

/// Why an entry has left a cache.
pub type catzilla_cause_t = i32;
/// None: what failed has this result.
pub const CATZILLA_CAUSE_NONE: i32 = -1;
/// The cache was full, by entries or by bytes, or memory was short. Also a value that was stored but was too heavy to be kept.
pub const CATZILLA_CAUSE_EVICTED: i32 = 0;
/// Its time was over, and a call or the cache's own thread has met it.
pub const CATZILLA_CAUSE_EXPIRED: i32 = 1;
/// Another value was stored under its key, whether its time was over or not.
pub const CATZILLA_CAUSE_REPLACED: i32 = 2;
/// It was removed by its key.
pub const CATZILLA_CAUSE_REMOVED: i32 = 3;
/// It went with many others, by `catzilla_cache_purge` or `catzilla_cache_clear`.
pub const CATZILLA_CAUSE_PURGED: i32 = 4;

/// An entry that has left a cache. Good until the listener that was told of it returns, for its thread alone.
pub struct catzilla_departed {
    _departed: Departed,
}

/// See `struct catzilla_departed`.
pub type catzilla_departed_t = catzilla_departed;

/// Is told of entries that leave a cache: see `catzilla_cache_set_listener`.
pub type catzilla_listener_t = Option<unsafe extern "C" fn(user: *mut c_void, departed: *const catzilla_departed_t)>;

/// Has `listener` told of every entry that leaves the cache from now on; NULL: nobody, as at the beginning. May be called at
/// any time.
///
/// Every entry is told once, with what it was and why it left (`catzilla_departed_key` and so on), by the thread whose call
/// made it leave, when that call has done its work and before it returns; what the cache's own thread frees is told there (its
/// stack has 256 KiB). A call that takes out many entries tells them on the way, some hundred at a time. Entries that one
/// thread makes leave are told in their order; across threads there is none, and a key may be stored anew before its last
/// value is told. Until it is told an entry counts in `memory_lent_bytes`; one that there is no memory to tell of is
/// counted in `memory_untold_departures`. Not told: what `catzilla_cache_destroy` ends; what a look-up finds expired while a
/// writer is busy, until somebody takes it out; entries of a part of the cache that a bug has made unusable.
///
/// Threads: `listener` is called outside all locks, perhaps by several threads at once. It may call anything but
/// `catzilla_cache_destroy`, also this; what its own calls make leave is told after it has returned, so nothing recurses.
/// Its classic look-ups count among those of its thread, and its failures are the thread's last error. It must not throw.
/// When this function returns, no call of the former listener is under way and none will begin, so what `user` points to
/// may go; but when it was called by a listener of this cache it waits for nobody, and a later call from outside does. Do not
/// hold what a listener waits for. In a forked child other threads' entries are not told. Returns: `CATZILLA_OK`.
/// Cost: for each entry that leaves a few short locks; without a listener nothing.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_set_listener(
    cache: *mut catzilla_cache_t,
    listener: catzilla_listener_t,
    user: *mut c_void,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let user = User(user);
        cache.set_listener(listener.map(|listener| {
            let told = move |departed: &Departed| {
                // SAFETY: the caller vouches for the function and for `user`; the entry is alive until the call returns.
                unsafe { listener(user.pointer(), std::ptr::from_ref(departed).cast()) }
            };
            Arc::new(told) as Listener
        }));
        Ok(Status::Ok)
    })
}

/// The key of an entry that has left; never NULL, not even for the empty key.
#[no_mangle]
pub unsafe extern "C" fn catzilla_departed_key(departed: *const catzilla_departed_t) -> *const c_void {
    boundary(|| Ok(known(departed)?.key().as_ptr().cast::<c_void>()))
}

/// How many bytes the key has.
#[no_mangle]
pub unsafe extern "C" fn catzilla_departed_key_size(departed: *const catzilla_departed_t) -> usize {
    boundary(|| Ok(known(departed)?.key().len()))
}

/// The value of an entry that has left, aligned to 16; never NULL for one without bytes.
///
/// Returns: NULL, with a last error, when the value is kept compressed and there is no memory for its plain form. Cost:
/// decompresses such a value, once.
#[no_mangle]
pub unsafe extern "C" fn catzilla_departed_value(departed: *const catzilla_departed_t) -> *const c_void {
    boundary(|| Ok(known(departed)?.value()?.as_ptr().cast::<c_void>()))
}

/// How many bytes the value has. Cost: decompresses nothing.
#[no_mangle]
pub unsafe extern "C" fn catzilla_departed_value_size(departed: *const catzilla_departed_t) -> usize {
    boundary(|| Ok(known(departed)?.value_len()))
}

/// Why the entry has left.
#[no_mangle]
pub unsafe extern "C" fn catzilla_departed_cause(departed: *const catzilla_departed_t) -> catzilla_cause_t {
    boundary(|| {
        Ok(match known(departed)?.cause() {
            Cause::Evicted => CATZILLA_CAUSE_EVICTED,
            Cause::Expired => CATZILLA_CAUSE_EXPIRED,
            Cause::Replaced => CATZILLA_CAUSE_REPLACED,
            Cause::Removed => CATZILLA_CAUSE_REMOVED,
            Cause::Purged => CATZILLA_CAUSE_PURGED,
        })
    })
}

/// What a listener was given.
fn known<'a>(departed: *const catzilla_departed_t) -> crate::Result<&'a Departed> {
    input(departed.cast::<Departed>(), "departed")
}

/// The host's own pointer, which the library only carries.
#[derive(Clone, Copy)]
struct User(*mut c_void);

// SAFETY: never followed here; that any thread may call the listener with it is what the interface says.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    fn pointer(self) -> *mut c_void {
        self.0
    }
}
