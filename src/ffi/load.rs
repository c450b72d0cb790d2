//! Look-ups that load what is missing.

use super::boundary::{boundary, handle, key as key_of, null, output, value as value_of};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use super::update::{catzilla_put_options_t, condition, known, lowest, tags_of, uncompressed, CATZILLA_MAX_TAGS};
use super::value::catzilla_value_t;
use crate::error::{Error, Result, Status};
use crate::{Condition, Lease, Leased, PutOptions, Ttl, Value};
use std::ffi::c_void;
use std::time::Duration;

/// For `timeout_ms`: to wait for as long as it takes.
pub const CATZILLA_WAIT_FOREVER: u64 = u64::MAX;

/// What a loader has loaded: see `catzilla_loaded_set`.
pub struct catzilla_loaded {
    value: Option<(Vec<u8>, Ttl)>,
}

/// See `struct catzilla_loaded`.
pub type catzilla_loaded_t = catzilla_loaded;

/// A loader: gets the value of `key` from where it comes from and gives it to `catzilla_loaded_set`. `user` is what
/// `catzilla_cache_get_or_load` was given.
///
/// Returns: `CATZILLA_OK` after `catzilla_loaded_set`; `CATZILLA_NOT_FOUND`: there is none; a failure of this header, such as
/// `CATZILLA_LOAD_FAILED`, and everybody who waits gets it. Anything else, and `CATZILLA_OK` without a value, counts as
/// `CATZILLA_LOAD_FAILED`. Threads: runs on the thread of its caller, outside all locks, and may call anything but
/// `catzilla_cache_destroy`; it must not ask for its own key. No C++ exception may leave it, nor longjmp. `key` and `loaded` are
/// good until it returns.
pub type catzilla_loader_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        key: *const c_void,
        key_len: usize,
        loaded: *mut catzilla_loaded_t,
    ) -> catzilla_status_t,
>;

/// The right, and the duty, to load a key: see `catzilla_cache_lease`.
pub struct catzilla_lease {
    lease: Lease,
}

/// See `struct catzilla_lease`.
pub type catzilla_lease_t = catzilla_lease;

/// Holds the value of `key` and stores a handle to it in `*value`; where it is not in the cache, `loader` loads it. Of many
/// callers who miss a key at the same time one runs its loader, the others wait for that and get what it gets.
///
/// `timeout_ms` bounds how long this caller waits for another one's loader: 0 is not at all, `CATZILLA_WAIT_FOREVER` as long as
/// it takes. Its own loader runs as long as it runs. If a value was loaded, all get it, also when the cache has no room for it. A
/// key that is put, counted, removed or purged while it is being loaded stays as that has left it: what was loaded goes to
/// those who asked before, and who asks later loads anew. Neither a failure nor "there is none" is kept.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND`: the loader, whoever's it was, says that there is none; `CATZILLA_TIMED_OUT`;
/// `CATZILLA_LOAD_REENTERED` when this thread is loading the key already; what a loader has failed with; `CATZILLA_OUT_OF_MEMORY`;
/// and `*value` is NULL. Ownership: as with `catzilla_cache_acquire`. Threads: loaders that ask for each other's keys wait for
/// each other until `timeout_ms` ends it. Cost: of a value that is there, that of `catzilla_cache_acquire`; a load costs up to
/// some 10 us beside its loader.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_get_or_load(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    loader: catzilla_loader_fn,
    user: *mut c_void,
    timeout_ms: u64,
    value: *mut *mut catzilla_value_t,
) -> catzilla_status_t {
    boundary(|| {
        let out = cleared(value, "value")?;
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let loader = loader.ok_or_else(|| null("loader"))?;
        let lease = match cache.lease(key, timeout(timeout_ms))? {
            Leased::Found(value) => return Ok(give(value, out)),
            Leased::NotFound => return Ok(Status::NotFound),
            Leased::Lease(lease) => lease,
        };
        let mut loaded = catzilla_loaded_t { value: None };
        // SAFETY: the caller vouches for the function and for `user`; the rest is good until it returns.
        let status = unsafe { loader(user, key.as_ptr().cast(), key.len(), &mut loaded) };
        match (status, loaded.value) {
            (CATZILLA_OK, Some((bytes, ttl))) => {
                let options = PutOptions { ttl, ..PutOptions::default() };
                Ok(give(lease.fulfil(&bytes, &options)?, out))
            }
            (CATZILLA_NOT_FOUND, _) => {
                lease.not_found();
                Ok(Status::NotFound)
            }
            (status, _) => {
                let error = failure(status);
                lease.fail(error.clone());
                Err(error)
            }
        }
    })
}

const CATZILLA_OK: i32 = Status::Ok.code();
const CATZILLA_NOT_FOUND: i32 = Status::NotFound.code();

/// Gives a loader's value to the call that runs it; `ttl_ms` is its lifetime, as for `catzilla_cache_put`. The bytes are
/// copied. If it is called again, the last value counts.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_VALUE_TOO_LARGE` for more bytes than any cache takes, `CATZILLA_OUT_OF_MEMORY`, and there
/// is no value.
#[no_mangle]
pub unsafe extern "C" fn catzilla_loaded_set(
    loaded: *mut catzilla_loaded_t,
    value: *const c_void,
    value_len: usize,
    ttl_ms: u64,
) -> catzilla_status_t {
    boundary(|| {
        let loaded = output(loaded, "loaded")?;
        loaded.value = None;
        let value = value_of(value, value_len)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(value.len()).map_err(|_| Error::out_of_memory())?;
        bytes.extend_from_slice(value);
        loaded.value = Some((bytes, Ttl::from_millis(ttl_ms)));
        Ok(Status::Ok)
    })
}

/// As `catzilla_cache_get_or_load`, for callers who load by themselves: where that would run the loader, this stores a lease in
/// `*lease`. Whoever has one loads the value and ends the lease by `catzilla_lease_fulfil`, `_fail` or `_cancel`; others who ask
/// for the key wait until then, each for its own `timeout_ms`.
///
/// Returns: `CATZILLA_OK`, and `*value` holds the value; `CATZILLA_NOT_FOUND`, and `*lease` is the caller's to end; or
/// `*lease` is NULL: another caller, for whom this one has waited, has found out that there is none; otherwise as
/// `catzilla_cache_get_or_load`, and both are NULL. Ownership: each of the three calls ends a lease and frees it, on any thread,
/// also when the cache was destroyed before. Threads: the thread that was given a lease may not ask for the same
/// key until it has ended, wherever it is: that is `CATZILLA_LOAD_REENTERED`.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_lease(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    timeout_ms: u64,
    value: *mut *mut catzilla_value_t,
    lease: *mut *mut catzilla_lease_t,
) -> catzilla_status_t {
    boundary(|| {
        let (value, lease) = (cleared(value, "value"), cleared(lease, "lease"));
        let (value, lease) = (value?, lease?);
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        match cache.lease(key, timeout(timeout_ms))? {
            Leased::Found(found) => return Ok(give(found, value)),
            Leased::NotFound => {}
            Leased::Lease(leased) => *lease = Box::into_raw(Box::new(catzilla_lease_t { lease: leased })),
        }
        Ok(Status::NotFound)
    })
}

/// Ends a lease with the value: it is stored, as by `catzilla_cache_put`, unless the key was put, counted, removed or purged
/// meanwhile, and everybody who waits gets it, stored or not.
///
/// Returns: `CATZILLA_OK`, also when the cache does not keep the value; `CATZILLA_VALUE_TOO_LARGE` for more bytes than any cache
/// takes, `CATZILLA_INVALID_ARGUMENT`, also when the cache was destroyed, or `CATZILLA_OUT_OF_MEMORY`. The lease is freed
/// whatever is returned, and after a failure it has passed to the next who waits.
#[no_mangle]
pub unsafe extern "C" fn catzilla_lease_fulfil(
    lease: *mut catzilla_lease_t,
    value: *const c_void,
    value_len: usize,
    ttl_ms: u64,
) -> catzilla_status_t {
    boundary(|| {
        let lease = take(lease)?;
        let value = value_of(value, value_len)?;
        let options = PutOptions { ttl: Ttl::from_millis(ttl_ms), ..PutOptions::default() };
        lease.fulfil(value, &options)?;
        Ok(Status::Ok)
    })
}

/// As `catzilla_lease_fulfil`, with tags: of `options` the lifetime, the tags and where the value goes are taken, NULL is fine.
///
/// Returns: as `catzilla_lease_fulfil`; `CATZILLA_INVALID_ARGUMENT` also for a condition, which a load cannot have.
#[no_mangle]
pub unsafe extern "C" fn catzilla_lease_fulfil_with(
    lease: *mut catzilla_lease_t,
    value: *const c_void,
    value_len: usize,
    options: *const catzilla_put_options_t,
) -> catzilla_status_t {
    boundary(|| {
        let lease = take(lease)?;
        let value = value_of(value, value_len)?;
        let given = known(options);
        if condition(&given)? != Condition::Always {
            return Err(Error::invalid_argument("a lease is fulfilled without a condition"));
        }
        let mut tags: [&[u8]; CATZILLA_MAX_TAGS] = [&[]; CATZILLA_MAX_TAGS];
        let options = PutOptions {
            tags: tags_of(&given, &mut tags)?,
            ttl: Ttl::from_millis(given.ttl_ms),
            lowest: lowest(&given)?,
            uncompressed: uncompressed(&given),
            ..PutOptions::default()
        };
        lease.fulfil(value, &options)?;
        Ok(Status::Ok)
    })
}

/// Ends a lease without a value: with `CATZILLA_NOT_FOUND` there is none, any failure of this header is what everybody who waits
/// gets, anything else counts as `CATZILLA_LOAD_FAILED`. Not kept: who asks later loads again.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_INVALID_ARGUMENT` for NULL. The lease is freed.
#[no_mangle]
pub unsafe extern "C" fn catzilla_lease_fail(
    lease: *mut catzilla_lease_t,
    status: catzilla_status_t,
) -> catzilla_status_t {
    boundary(|| {
        let lease = take(lease)?;
        match status {
            CATZILLA_NOT_FOUND => lease.not_found(),
            status => lease.fail(failure(status)),
        }
        Ok(Status::Ok)
    })
}

/// Gives a lease up: the next who waits gets one. Frees it; NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn catzilla_lease_cancel(lease: *mut catzilla_lease_t) {
    boundary(|| {
        if !lease.is_null() {
            drop(take(lease)?);
        }
        Ok(())
    })
}

/// The lease behind a handle, which ends here.
fn take(lease: *mut catzilla_lease_t) -> Result<Lease> {
    if lease.is_null() {
        return Err(null("lease"));
    }
    // SAFETY: not NULL, so from `catzilla_cache_lease` and not ended before.
    Ok(unsafe { Box::from_raw(lease) }.lease)
}

/// Where a handle will be stored: NULL until there is one.
fn cleared<'a, T>(out: *mut *mut T, name: &'static str) -> Result<&'a mut *mut T> {
    let out = output(out, name)?;
    *out = std::ptr::null_mut();
    Ok(out)
}

fn give(value: Value, out: &mut *mut catzilla_value_t) -> Status {
    *out = Box::into_raw(Box::new(catzilla_value_t { value }));
    Status::Ok
}

fn timeout(millis: u64) -> Duration {
    match millis {
        CATZILLA_WAIT_FOREVER => Duration::MAX,
        millis => Duration::from_millis(millis),
    }
}

/// What a loader that returned this number has failed with.
fn failure(returned: catzilla_status_t) -> Error {
    let known = Status::ALL.into_iter().find(|status| status.code() == returned && returned < 0);
    match known {
        Some(status) => {
            let name = status.name().to_string_lossy();
            Error::new(status, format!("the loader failed with {name}"))
        }
        None if returned == CATZILLA_OK => {
            Error::load_failed("the loader failed: it returned CATZILLA_OK and set no value")
        }
        None => Error::load_failed(format!("the loader failed with {returned}, which is no failure of this library")),
    }
}
