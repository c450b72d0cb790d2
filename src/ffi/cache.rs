//! Opening a cache, and the calls on keys and values of any bytes.

use super::boundary::{
    boundary, buffer, bytes, handle, key as key_of, output, quiet_panics, tag as tag_of, utf8, value as value_of,
};
use super::options::catzilla_options_t;
use super::status::catzilla_status_t;
use crate::error::{Error, Result, Status};
use crate::{Cache, Options, Pattern, Purge, Ttl};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// A cache: one handle over its tiers. Made by `catzilla_cache_open` or `catzilla_cache_create`, ended by
/// `catzilla_cache_destroy`.
pub struct catzilla_cache {
    _cache: Cache,
}

/// See `struct catzilla_cache`.
pub type catzilla_cache_t = catzilla_cache;

/// A lifetime without end, for `ttl_ms`.
pub const CATZILLA_TTL_FOREVER: u64 = u64::MAX;
/// The longest key, in bytes.
pub const CATZILLA_MAX_KEY_LEN: usize = 4194303;

const _: () = assert!(CATZILLA_MAX_KEY_LEN == crate::MAX_KEY_LEN);

/// What `catzilla_cache_purge` removes.
pub type catzilla_purge_t = i32;
/// Every entry; takes no selector.
pub const CATZILLA_PURGE_ALL: i32 = 0;
/// Every entry whose key begins with the selector.
pub const CATZILLA_PURGE_PREFIX: i32 = 1;
/// Every entry that was stored with the selector as a tag, see `catzilla_put_options_t`.
pub const CATZILLA_PURGE_TAG: i32 = 2;
/// Every entry whose key fits the selector as a pattern: `*` stands for any bytes, also none, `?` for one byte, and `\` before a
/// byte takes that as it is; all else stands for itself.
pub const CATZILLA_PURGE_PATTERN: i32 = 3;

/// The longest pattern, in bytes.
pub const CATZILLA_MAX_PATTERN_LEN: usize = 4096;

const _: () = assert!(CATZILLA_MAX_PATTERN_LEN == crate::MAX_PATTERN_LEN);

/// Makes a cache and stores its handle in `*cache`.
///
/// Returns: `CATZILLA_OK`; a failure, and `*cache` is NULL. Ownership: ended by `catzilla_cache_destroy`. `options` may be
/// NULL for the defaults, and may be changed or destroyed as soon as this returns.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_open(
    options: *const catzilla_options_t,
    cache: *mut *mut catzilla_cache_t,
) -> catzilla_status_t {
    boundary(|| {
        let out = output(cache, "cache")?;
        *out = std::ptr::null_mut();
        // SAFETY: NULL or a live options object that nobody changes meanwhile.
        let options = unsafe { options.as_ref() };
        *out = match options {
            Some(options) => open(&options.options)?,
            None => open(&Options::new())?,
        };
        Ok(Status::Ok)
    })
}

/// A handle for a new cache.
pub(super) fn open(options: &Options) -> Result<*mut catzilla_cache_t> {
    quiet_panics();
    Ok(into_handle(Cache::open(options)?))
}

/// The C handle of a cache that a Rust program has opened and shares with C code. Ended by `catzilla_cache_destroy`.
pub fn into_handle(cache: Arc<Cache>) -> *mut catzilla_cache_t {
    Arc::into_raw(cache).cast_mut().cast()
}

/// Ends a handle that [`into_handle`] made; NULL is fine.
pub(super) fn close(cache: *mut catzilla_cache_t) {
    if !cache.is_null() {
        // SAFETY: not NULL, so from `into_handle` and not closed before.
        drop(unsafe { Arc::from_raw(cache.cast::<Cache>()) });
    }
}

/// Changes the option `name` of a running cache to what the text `value` says. What is too much then is evicted before this
/// returns.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_OPTION_NOT_LIVE` for an option that cannot change while a cache runs, otherwise as
/// `catzilla_options_set`. Nothing has changed then.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_set_option(
    cache: *mut catzilla_cache_t,
    name: *const c_char,
    value: *const c_char,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let (name, value) = (utf8(name, "name")?, utf8(value, "value")?);
        cache.set_option(name, value)?;
        Ok(Status::Ok)
    })
}

/// Stores a copy of `value` under `key`, in place of an earlier value. May evict other entries.
///
/// `ttl_ms`: lifetime in milliseconds; 0 is the cache's default, `CATZILLA_TTL_FOREVER` and more than 100 years never end.
/// Returns: `CATZILLA_OK`; `CATZILLA_KEY_TOO_LARGE`, `CATZILLA_VALUE_TOO_LARGE` or `CATZILLA_OUT_OF_MEMORY`, and an earlier
/// value of the key stays. Cost: one allocation; compresses outside every lock. With `memory.max_bytes`, an entry that takes
/// more than a quarter of it and would drive others out is not kept until it is stored a second time; the first counts as
/// an eviction, and an earlier value of the key goes.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_put(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl_ms: u64,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let value = value_of(value, value_len)?;
        cache.put(key, value, Ttl::from_millis(ttl_ms))?;
        Ok(Status::Ok)
    })
}

/// Copies the value of `key` into `buffer`, and its length into `*value_len`.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` (`*value_len` is 0); `CATZILLA_TRUNCATED` when `capacity` is too small
/// (nothing is copied, `*value_len` is what is needed; it counts as a use, but not yet as a request);
/// `CATZILLA_OUT_OF_MEMORY` when there is none for what the library keeps of a thread, at the thread's first look-up.
/// `buffer` may be NULL when `capacity` is 0. Cost: no lock, unless writers change the same place again and again.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_read(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    value_len: *mut usize,
) -> catzilla_status_t {
    boundary(|| {
        let value_len = output(value_len, "value_len")?;
        *value_len = 0;
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let buffer = self::buffer(buffer, capacity)?;
        cache.read_into(key, buffer, value_len).status()
    })
}

/// Removes `key`.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when it was not there.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_remove(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        Ok(if cache.remove(key) { Status::Ok } else { Status::NotFound })
    })
}

/// Whether `key` is there. Counts neither as a request nor as a use of the entry.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND`.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_contains(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        Ok(if cache.contains(key) { Status::Ok } else { Status::NotFound })
    })
}

/// Removes many entries: with `CATZILLA_PURGE_ALL` all of them (`selector` is not looked at), with
/// `CATZILLA_PURGE_PREFIX` those whose key begins with the selector, with `CATZILLA_PURGE_PATTERN` those whose key fits it, with
/// `CATZILLA_PURGE_TAG` those that carry it as a tag. `removed`, unless it is NULL, is told how many.
///
/// Returns: `CATZILLA_OK`, also when there were none; `CATZILLA_KEY_TOO_LARGE` for a selector no key can begin with,
/// `CATZILLA_INVALID_ARGUMENT` for one that no tag can be, or a pattern of more than `CATZILLA_MAX_PATTERN_LEN` bytes. Cost:
/// by prefix and by pattern it looks at every entry, some hundred of them under each lock; by tag at those that carry it, 64 under
/// each lock. What is stored meanwhile may stay.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_purge(
    cache: *mut catzilla_cache_t,
    what: catzilla_purge_t,
    selector: *const c_void,
    selector_len: usize,
    removed: *mut u64,
) -> catzilla_status_t {
    boundary(|| {
        // SAFETY: NULL or a number that may be written.
        let mut removed = unsafe { removed.as_mut() };
        if let Some(removed) = &mut removed {
            **removed = 0;
        }
        let cache = handle(cache)?;
        let pattern;
        let what = match what {
            CATZILLA_PURGE_ALL => Purge::All,
            CATZILLA_PURGE_PREFIX => Purge::Prefix(key_of(selector, selector_len)?),
            CATZILLA_PURGE_TAG => Purge::Tag(tag_of(selector, selector_len)?),
            CATZILLA_PURGE_PATTERN => {
                pattern = Pattern::new(bytes(selector, selector_len, "selector")?)?;
                Purge::Pattern(&pattern)
            }
            other => return Err(Error::invalid_argument(format!("there is nothing to purge by the number {other}"))),
        };
        let count = cache.purge(what);
        if let Some(removed) = removed {
            *removed = count;
        }
        Ok(Status::Ok)
    })
}

/// Frees every entry whose lifetime is over, now instead of when it is met or when the cache's own thread comes by (the
/// option `memory.sweep_interval`). `swept`, unless it is NULL, is told how many entries those were.
///
/// Returns: `CATZILLA_OK`, also when there were none. Cost: follows what has expired, not what is held; one shard at a time
/// is locked, for some hundred entries each time.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_sweep(cache: *mut catzilla_cache_t, swept: *mut usize) -> catzilla_status_t {
    boundary(|| {
        // SAFETY: NULL or a number that may be written.
        let mut swept = unsafe { swept.as_mut() };
        if let Some(swept) = &mut swept {
            **swept = 0;
        }
        let count = handle(cache)?.sweep();
        if let Some(swept) = swept {
            *swept = count as usize;
        }
        Ok(Status::Ok)
    })
}
