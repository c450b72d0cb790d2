//! Values held in place: acquired, read, released.

use super::boundary::{boundary, handle, input, key as key_of, output};
use super::cache::{catzilla_cache_t, CATZILLA_TTL_FOREVER};
use super::status::catzilla_status_t;
use crate::error::Status;
use crate::Value;
use std::ffi::c_void;

/// A stored value held by `catzilla_cache_acquire`.
pub struct catzilla_value {
    pub(super) value: Value,
}

/// See `struct catzilla_value`.
pub type catzilla_value_t = catzilla_value;

/// Holds the value of `key` where it is and stores a handle to it in `*value`.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` or `CATZILLA_OUT_OF_MEMORY`, and `*value` is NULL. Ownership: ended by
/// `catzilla_value_release`, on any thread, also after the cache was destroyed. Cost: no copy, unless the value is
/// compressed; a short lock that is seldom another's.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_acquire(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    value: *mut *mut catzilla_value_t,
) -> catzilla_status_t {
    boundary(|| {
        let out = output(value, "value")?;
        *out = std::ptr::null_mut();
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let Some(value) = cache.acquire(key)? else { return Ok(Status::NotFound) };
        *out = Box::into_raw(Box::new(catzilla_value_t { value }));
        Ok(Status::Ok)
    })
}

/// The bytes of a value, aligned to 16; never NULL, not even for a value without bytes.
///
/// Ownership: good until `catzilla_value_release`. Threads: any number may read at the same time.
#[no_mangle]
pub unsafe extern "C" fn catzilla_value_data(value: *const catzilla_value_t) -> *const c_void {
    boundary(|| Ok(input(value, "value")?.value.as_ptr().cast::<c_void>()))
}

/// How many bytes a value has.
#[no_mangle]
pub unsafe extern "C" fn catzilla_value_size(value: *const catzilla_value_t) -> usize {
    boundary(|| Ok(input(value, "value")?.value.len()))
}

/// How many milliseconds the value had left to live, now; 0 when its time is over, `CATZILLA_TTL_FOREVER` when it has no end.
#[no_mangle]
pub unsafe extern "C" fn catzilla_value_ttl_ms(value: *const catzilla_value_t) -> u64 {
    boundary(|| {
        let remaining = input(value, "value")?.value.remaining();
        Ok(remaining.map_or(CATZILLA_TTL_FOREVER, |remaining| remaining.as_millis() as u64))
    })
}

/// Lets a value go; NULL is fine.
///
/// Threads: any, not only the one that acquired it.
#[no_mangle]
pub unsafe extern "C" fn catzilla_value_release(value: *mut catzilla_value_t) {
    boundary(|| {
        if !value.is_null() {
            // SAFETY: not NULL, so from `catzilla_cache_acquire` and not released before.
            drop(unsafe { Box::from_raw(value) });
        }
        Ok(())
    })
}
