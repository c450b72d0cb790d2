//! Going through the keys of a cache.

use super::boundary::{boundary, handle, key as key_of, output};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use crate::error::Status;
use crate::Keys;
use std::ffi::c_void;

/// A walk through the keys of a cache.
pub struct catzilla_iterator {
    keys: Keys,
}

/// See `struct catzilla_iterator`.
pub type catzilla_iterator_t = catzilla_iterator;

/// Begins to go through the keys that begin with `prefix`, and stores the walk in `*iterator`. All keys begin with a prefix of
/// length 0, which may be NULL.
///
/// A key that is there from this call until the end is told, whatever is stored, removed or resized meanwhile; one that comes
/// or goes may be told or not; none is told twice, unless it went and came back, or `memory.capacity` changed across 4,096
/// meanwhile. Keys come in no order. Returns: `CATZILLA_OK`; a failure, and `*iterator` is NULL. Ownership: ended by
/// `catzilla_iterator_close`, which may come after the cache was destroyed. Threads: one at a time; its calls count as calls
/// on the cache. It holds no lock between two calls, so it may be left lying for any time, and the cache be changed on
/// the way.
#[no_mangle]
pub unsafe extern "C" fn catzilla_iterator_open(
    cache: *mut catzilla_cache_t,
    prefix: *const c_void,
    prefix_len: usize,
    iterator: *mut *mut catzilla_iterator_t,
) -> catzilla_status_t {
    boundary(|| {
        let out = output(iterator, "iterator")?;
        *out = std::ptr::null_mut();
        let cache = handle(cache)?;
        let keys = cache.keys(key_of(prefix, prefix_len)?)?;
        *out = Box::into_raw(Box::new(catzilla_iterator_t { keys }));
        Ok(Status::Ok)
    })
}

/// Stores the next key in `*key`, and its length in `*key_len`. The bytes do not end in NUL.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when there are no more, also when the cache was destroyed, and `*key` is NULL;
/// `CATZILLA_OUT_OF_MEMORY`, and the next call tries again. Lifetime: until the next call with this iterator. What has
/// expired is left out. Neither a request nor a use of the entry. Cost: every few dozen keys a lock, for as long as it takes
/// to copy them; where few keys have the prefix, one call may take many locks, one after the other.
#[no_mangle]
pub unsafe extern "C" fn catzilla_iterator_next(
    iterator: *mut catzilla_iterator_t,
    key: *mut *const c_void,
    key_len: *mut usize,
) -> catzilla_status_t {
    boundary(|| {
        let key = output(key, "key")?;
        *key = std::ptr::null();
        let key_len = output(key_len, "key_len")?;
        *key_len = 0;
        let iterator = output(iterator, "iterator")?;
        let Some(next) = iterator.keys.next_key()? else { return Ok(Status::NotFound) };
        (*key, *key_len) = (next.as_ptr().cast(), next.len());
        Ok(Status::Ok)
    })
}

/// Ends a walk; NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn catzilla_iterator_close(iterator: *mut catzilla_iterator_t) {
    boundary(|| {
        if !iterator.is_null() {
            // SAFETY: not NULL, so from `catzilla_iterator_open` and not closed before.
            drop(unsafe { Box::from_raw(iterator) });
        }
        Ok(())
    })
}
