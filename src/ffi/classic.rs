//! The classic group: the functions of the original engine's header, with its signatures and what its words promise.

use super::boundary::{boundary, buffer, handle, input, null, text, Length, Zero};
use super::cache::{catzilla_cache_t, close, open};
use super::types::{cache_config_t, cache_result_t, cache_statistics_t};
use crate::error::{Error, Result};
use crate::key::{hex8, request_key};
use crate::options::{PolicyName, LARGEST_VALUE};
use crate::{Cache, Options, Purge, Ttl};
use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

/// What `default_ttl` 0 means.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// What `max_value_size` 0 means.
const DEFAULT_MAX_VALUE_SIZE: u64 = 100 << 20;

/// Makes a cache of at most `capacity` entries, with a lifetime of 3600 seconds unless another is given, values up to
/// 100 MiB, no compression and a jemalloc arena of its own. `bucket_count` is a hint; 0 is fine.
///
/// Returns: the cache; NULL for `capacity` 0. Ownership: ended by `catzilla_cache_destroy`.
#[no_mangle]
pub extern "C" fn catzilla_cache_create(capacity: usize, bucket_count: usize) -> *mut catzilla_cache_t {
    boundary(|| {
        let config = cache_config_t {
            capacity,
            bucket_count,
            default_ttl: 0,
            max_value_size: 0,
            compression_enabled: false,
            jemalloc_enabled: true,
        };
        open(&options_of(&config)?)
    })
}

/// Makes a cache as `config` says. `default_ttl` 0 is 3600 seconds, `max_value_size` 0 is 100 MiB.
///
/// Returns: the cache; NULL when `config` is NULL or its `capacity` is 0. Ownership: ended by `catzilla_cache_destroy`.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_create_with_config(config: *const cache_config_t) -> *mut catzilla_cache_t {
    boundary(|| open(&options_of(input(config, "config")?)?))
}

/// Stores a copy of `value` under `key`, in place of an earlier value. May evict other entries.
///
/// `ttl`: lifetime in seconds; 0 is the cache's default. Returns: 0; -1 for a NULL argument or a value that is too long,
/// and an earlier value of the key stays.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_set(
    cache: *mut catzilla_cache_t,
    key: *const c_char,
    value: *const c_void,
    value_size: usize,
    ttl: u32,
) -> c_int {
    boundary(|| {
        let cache = handle(cache)?;
        set(cache, key, value, value_size, ttl)
    })
}

/// Looks `key` up.
///
/// Returns: `found` is false for a miss. Ownership: `data` is good until the same thread has made
/// `CATZILLA_CLASSIC_RESULT_LIFETIME` more such calls, on whichever cache, hit or miss; or that thread ends; or the cache is
/// destroyed; whatever other threads do in between. `catzilla_release_results` ends it early. Do not write to it or free it.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_get(cache: *mut catzilla_cache_t, key: *const c_char) -> cache_result_t {
    boundary(|| {
        let cache = handle(cache)?;
        get(cache, key)
    })
}

/// Removes `key`.
///
/// Returns: 0; -1 when it was not there, or for a NULL argument.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_delete(cache: *mut catzilla_cache_t, key: *const c_char) -> c_int {
    boundary(|| {
        let cache = handle(cache)?;
        delete(cache, key)
    })
}

/// Whether `key` is there. Counts neither as a request nor as a use of the entry.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_exists(cache: *mut catzilla_cache_t, key: *const c_char) -> bool {
    boundary(|| {
        let cache = handle(cache)?;
        Ok(cache.contains(text(key, "key")?))
    })
}

/// The cache's figures; all 0 for a NULL handle. Cost: takes no lock.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_get_stats(cache: *mut catzilla_cache_t) -> cache_statistics_t {
    boundary(|| {
        let statistics = handle(cache)?.figures();
        Ok(cache_statistics_t {
            hits: statistics.hits,
            misses: statistics.misses,
            evictions: statistics.memory.evictions,
            memory_usage: statistics.memory.bytes,
            total_requests: statistics.hits + statistics.misses,
            hit_ratio: statistics.hit_ratio,
            size: statistics.memory.entries,
            capacity: statistics.memory.capacity,
        })
    })
}

/// Removes every entry. The counters stay.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_clear(cache: *mut catzilla_cache_t) {
    boundary(|| {
        handle(cache)?.purge(Purge::All);
        Ok(())
    })
}

/// Ends a cache, whichever function made it; NULL is fine.
///
/// Threads: every other call on the handle has returned. Classic results of the cache end with it; values held by
/// `catzilla_cache_acquire` do not.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_destroy(cache: *mut catzilla_cache_t) {
    boundary(|| {
        close(cache);
        Ok(())
    })
}

/// Changes what `config` says of a running cache; entries that are too many now are evicted before this returns. Zeros
/// mean what they mean to `catzilla_cache_create_with_config`. `jemalloc_enabled` stays as the cache was made.
///
/// Returns: 0; -1 for a NULL argument or `capacity` 0, and nothing has changed.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_configure(
    cache: *mut catzilla_cache_t,
    config: *const cache_config_t,
) -> c_int {
    boundary(|| {
        let cache = handle(cache)?;
        let wanted = options_of(input(config, "config")?)?.memory;
        let mut made_with = wanted.jemalloc;
        cache.reconfigure(|options| {
            let memory = &mut options.memory;
            made_with = memory.jemalloc;
            memory.capacity = wanted.capacity;
            memory.ttl = wanted.ttl;
            memory.max_value_size = wanted.max_value_size;
            memory.compression = wanted.compression;
            Ok(())
        })?;
        if made_with != wanted.jemalloc {
            crate::log::warn(|| "jemalloc_enabled cannot change while a cache runs; it stays as it was".into());
        }
        Ok(Zero)
    })
}

/// Frees the entries whose lifetime is over.
///
/// Returns: how many there were; those that a look-up met before are gone already.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_expire_entries(cache: *mut catzilla_cache_t) -> usize {
    boundary(|| Ok(handle(cache)?.sweep() as usize))
}

/// Memory of the live entries (keys, values, headers), as the allocator rounds it, and of what finds, orders and expires
/// them; in bytes. Falls when entries go. Cost: takes no lock.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_memory_usage(cache: *mut catzilla_cache_t) -> usize {
    boundary(|| Ok(handle(cache)?.memory_usage() as usize))
}

/// Changes how many entries a running cache may hold; what is too many is evicted before this returns.
///
/// Returns: 0; -1 for a NULL handle or a capacity of 0, and nothing has changed.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_resize(cache: *mut catzilla_cache_t, new_capacity: usize) -> c_int {
    boundary(|| {
        let cache = handle(cache)?;
        let capacity = checked_capacity(new_capacity)?;
        cache.reconfigure(|options| {
            options.memory.capacity = Some(capacity);
            Ok(())
        })?;
        Ok(Zero)
    })
}

/// Ends all classic results of the calling thread now, so that the memory of removed entries can go.
#[no_mangle]
pub extern "C" fn catzilla_release_results() {
    boundary(|| {
        crate::tiers::memory::release_results();
        Ok(())
    })
}

/// Writes the key of a request, `METHOD:path?query:hhhhhhhh`, and a NUL into `key_buffer`. `?query` is left out when
/// `query_string` is NULL or empty; `hhhhhhhh` is `headers_hash` in hexadecimal.
///
/// Returns: the key's length without the NUL; -1 when it does not fit or another argument is NULL.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_generate_key(
    method: *const c_char,
    path: *const c_char,
    query_string: *const c_char,
    headers_hash: u32,
    key_buffer: *mut c_char,
    buffer_size: usize,
) -> c_int {
    boundary(|| {
        let (method, path) = (text(method, "method")?, text(path, "path")?);
        let query: &[u8] = if query_string.is_null() { &[] } else { text(query_string, "query_string")? };
        if key_buffer.is_null() {
            return Err(null("key_buffer"));
        }
        let key_buffer = buffer(key_buffer.cast(), buffer_size)?;
        let hash = hex8(headers_hash);
        let parts = request_key(method, path, query, &hash);
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let too_long =
            || Error::invalid_argument(format!("the key needs {} bytes, `buffer_size` is {buffer_size}", len + 1));
        let length = c_int::try_from(len).map_err(|_| too_long())?;
        let mut rest = key_buffer.get_mut(..=len).ok_or_else(too_long)?;
        for part in parts.into_iter().chain([&b"\0"[..]]) {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        Ok(Length(length))
    })
}

/// 32-bit FNV-1a of the `len` bytes of `key`; 0 for a NULL key.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_hash_key(key: *const c_char, len: usize) -> u32 {
    boundary(|| {
        if key.is_null() {
            return Err(null("key"));
        }
        Ok(crate::fnv1a(super::boundary::bytes(key.cast(), len, "key")?))
    })
}

/// Microseconds since the Unix epoch, by the wall clock.
#[no_mangle]
pub extern "C" fn catzilla_cache_get_timestamp() -> u64 {
    boundary(|| Ok(crate::unix_micros()))
}

/// What a classic configuration means in the table of options.
pub(super) fn options_of(config: &cache_config_t) -> Result<Options> {
    let mut options = Options::new();
    let memory = &mut options.memory;
    // What the original promised.
    memory.policy = PolicyName::Lru;
    memory.capacity = Some(checked_capacity(config.capacity)?);
    memory.ttl = match config.default_ttl {
        0 => DEFAULT_TTL,
        seconds => Duration::from_secs(seconds.into()),
    };
    memory.max_value_size = match config.max_value_size as u64 {
        0 => DEFAULT_MAX_VALUE_SIZE,
        bytes => bytes.min(LARGEST_VALUE),
    };
    memory.compression = flag(&raw const config.compression_enabled);
    memory.jemalloc = flag(&raw const config.jemalloc_enabled);
    Ok(options)
}

/// C's idea of true: a program may have filled the struct with bytes that are no `bool` of Rust's.
fn flag(flag: *const bool) -> bool {
    // SAFETY: points to a byte of the caller's struct.
    unsafe { flag.cast::<u8>().read() != 0 }
}

fn checked_capacity(capacity: usize) -> Result<u64> {
    match capacity {
        0 => Err(Error::invalid_argument("a capacity of 0 entries cannot hold anything; give 1 or more")),
        capacity => Ok(capacity as u64),
    }
}

pub(super) fn set(
    cache: &Cache,
    key: *const c_char,
    value: *const c_void,
    value_size: usize,
    ttl: u32,
) -> Result<Zero> {
    let key = text(key, "key")?;
    if value.is_null() {
        return Err(null("value"));
    }
    let value = super::boundary::value(value, value_size)?;
    cache.put(key, value, Ttl::from_secs(ttl))?;
    Ok(Zero)
}

/// Part of whoever calls it: a result that is handed on through memory is read back in another width than it was written in, and
/// waited for.
#[inline(always)]
pub(super) fn get(cache: &Cache, key: *const c_char) -> Result<cache_result_t> {
    let lent = cache.lend(text(key, "key")?)?;
    Ok(lent.map_or(cache_result_t::NOT_FOUND, |lent| cache_result_t {
        data: lent.data.cast_mut().cast(),
        size: lent.len,
        found: true,
    }))
}

pub(super) fn delete(cache: &Cache, key: *const c_char) -> Result<Found> {
    Ok(Found(cache.remove(text(key, "key")?)))
}

/// A classic function that returns 0, or -1 also for what is no error: that a key was not there.
pub(super) struct Found(bool);

impl super::boundary::Returns for Found {
    type C = c_int;
    fn success(self) -> c_int {
        if self.0 {
            0
        } else {
            -1
        }
    }
    fn failure(_: &Error) -> c_int {
        -1
    }
}
