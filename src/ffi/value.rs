//! Values held in place: acquired, read, released.

use super::boundary::{boundary, handle, input, key as key_of, output};
use super::cache::{catzilla_cache_t, CATZILLA_TTL_FOREVER};
use super::status::catzilla_status_t;
use crate::error::Status;
use crate::{TierName, Value};
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

/// Which version of its key the value is: a number above 0 that this cache gives to no other value, the same whenever it is
/// asked for. 0 when the value is not the one in the cache any more: it was overwritten, removed or evicted, its time is
/// over, or the cache is gone; also, with a last error, when there is no memory for the answer.
///
/// With `expected_version`, `catzilla_cache_put_with` stores only if nobody has stored meanwhile. Threads: other than the
/// rest of a value this asks the cache, so `catzilla_cache_destroy` may come before or after it, not in the middle. Cost: a
/// lock; for as long as the value is in the cache, some 24 bytes, which count as the cache's.
#[no_mangle]
pub unsafe extern "C" fn catzilla_value_version(value: *const catzilla_value_t) -> u64 {
    boundary(|| input(value, "value")?.value.version())
}

/// The tiers a cache can have; the same numbers as in `cache_tier_t`.
pub type catzilla_tier_t = i32;
/// None: what failed has this result.
pub const CATZILLA_TIER_NONE: i32 = -1;
/// This process's memory.
pub const CATZILLA_TIER_MEMORY: i32 = 0;
/// A Redis server.
pub const CATZILLA_TIER_REDIS: i32 = 1;
/// A file on disk.
pub const CATZILLA_TIER_DISK: i32 = 2;

/// Which tier the value came from.
#[no_mangle]
pub unsafe extern "C" fn catzilla_value_tier(value: *const catzilla_value_t) -> catzilla_tier_t {
    boundary(|| {
        Ok(match input(value, "value")?.value.tier() {
            TierName::Memory => CATZILLA_TIER_MEMORY,
            TierName::Redis => CATZILLA_TIER_REDIS,
            TierName::Disk => CATZILLA_TIER_DISK,
        })
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
