//! The classic multi-level group: the same cache under its other name.

use super::boundary::{boundary, input, multi_handle};
use super::cache::{close, open};
use super::classic::{self, options_of};
use super::types::{cache_config_t, cache_result_t, multi_cache_t};
use crate::error::{Error, Status};
use std::ffi::{c_char, c_int, c_void};

/// Makes a cache of up to three tiers. This version has the memory tier: `redis_url` and `disk_path` have to be NULL.
///
/// Returns: the cache; NULL with a last error when `memory_config` is NULL or its capacity is 0, or when a tier is asked for
/// that this version has not got. Ownership: ended by `multi_cache_destroy`.
#[no_mangle]
pub unsafe extern "C" fn multi_cache_create(
    memory_config: *const cache_config_t,
    redis_url: *const c_char,
    disk_path: *const c_char,
) -> *mut multi_cache_t {
    boundary(|| {
        let options = options_of(input(memory_config, "memory_config")?)?;
        for (argument, name, tier) in [(redis_url, "redis_url", "Redis"), (disk_path, "disk_path", "disk")] {
            if !argument.is_null() {
                let message = format!("`{name}` was given, but this version has no {tier} tier; pass NULL");
                return Err(Error::new(Status::Unsupported, message));
            }
        }
        Ok(open(&options)?.cast())
    })
}

/// Looks `key` up; see `catzilla_cache_get`, also for how long the result lives.
#[no_mangle]
pub unsafe extern "C" fn multi_cache_get(cache: *mut multi_cache_t, key: *const c_char) -> cache_result_t {
    boundary(|| {
        let cache = multi_handle(cache)?;
        classic::get(cache, key)
    })
}

/// Stores a copy of `value` under `key`; see `catzilla_cache_set`.
#[no_mangle]
pub unsafe extern "C" fn multi_cache_set(
    cache: *mut multi_cache_t,
    key: *const c_char,
    value: *const c_void,
    value_size: usize,
    ttl: u32,
) -> c_int {
    boundary(|| {
        let cache = multi_handle(cache)?;
        classic::set(cache, key, value, value_size, ttl)
    })
}

/// Removes `key` from every tier; see `catzilla_cache_delete`.
#[no_mangle]
pub unsafe extern "C" fn multi_cache_delete(cache: *mut multi_cache_t, key: *const c_char) -> c_int {
    boundary(|| {
        let cache = multi_handle(cache)?;
        classic::delete(cache, key)
    })
}

/// Ends a cache that `multi_cache_create` made; NULL is fine. See `catzilla_cache_destroy`.
#[no_mangle]
pub unsafe extern "C" fn multi_cache_destroy(cache: *mut multi_cache_t) {
    boundary(|| {
        close(cache.cast());
        Ok(())
    })
}
