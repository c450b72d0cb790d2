//! The classic multi-level group: the same cache under its other name.

use super::boundary::{boundary, input, multi_handle, utf8};
use super::cache::{close, open};
use super::classic::{self, options_of};
use super::types::{cache_config_t, cache_result_t, multi_cache_t};
use std::ffi::{c_char, c_int, c_void};

/// Makes a cache of up to three tiers: memory as `memory_config` says, Redis at `redis_url` (the option `redis.url`), and the folder
/// `disk_path` on disk (`disk.path`). NULL or an empty text: no such tier.
///
/// Returns: the cache; NULL with a last error when `memory_config` is NULL or its capacity is 0, or for what can never work: a
/// URL that is none, a folder that cannot be made, is not the user's own or is a link. A Redis that does not answer is no reason: it joins when it
/// comes up. Ownership: ended by `multi_cache_destroy`. What is stored without a lifetime lives a day in Redis and a week on disk.
#[no_mangle]
pub unsafe extern "C" fn multi_cache_create(
    memory_config: *const cache_config_t,
    redis_url: *const c_char,
    disk_path: *const c_char,
) -> *mut multi_cache_t {
    boundary(|| {
        let mut options = options_of(input(memory_config, "memory_config")?)?;
        for (argument, name, option) in [(redis_url, "redis_url", "redis.url"), (disk_path, "disk_path", "disk.path")] {
            if !argument.is_null() {
                options.set(option, utf8(argument, name)?)?;
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
