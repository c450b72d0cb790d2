//! Look-ups that ask memory alone, for callers that must not wait.

use super::boundary::{boundary, handle, key as key_of, output};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use crate::error::{Error, Status};
use std::ffi::c_void;

/// Is shown a value where it lies: `len` bytes at `data`, never NULL, good until it returns.
pub type catzilla_visitor_t = Option<unsafe extern "C" fn(user: *mut c_void, data: *const c_void, len: usize)>;

/// Calls `visitor` with the value that memory has of `key`, before this returns. Redis and disk are not asked, and nothing is
/// waited for: made for event loops, and for interpreters that hold a lock while they call.
///
/// `is_last`: whether the caller asks nobody else then. A miss counts as one only if it is; a caller who goes on with another
/// look-up is counted there. Returns: `CATZILLA_OK`, and `visitor` has been called once; `CATZILLA_NOT_FOUND` when memory does
/// not have the key; `CATZILLA_OUT_OF_MEMORY` when there is
/// none to decompress the value into.
///
/// Threads: `visitor` has to be short, since the memory of what is removed meanwhile waits for it. It may call no function of this
/// library, and must not throw. Cost: no lock, no copy unless the value is compressed.
#[no_mangle]
pub unsafe extern "C" fn catzilla_memory_visit(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    is_last: bool,
    visitor: catzilla_visitor_t,
    user: *mut c_void,
) -> catzilla_status_t {
    boundary(|| {
        let visitor = visitor.ok_or_else(|| Error::invalid_argument("visitor is NULL"))?;
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        // SAFETY: the caller's own function, with the arguments it has agreed to.
        let found =
            cache.visit_memory(key, is_last, |value| unsafe { visitor(user, value.as_ptr().cast(), value.len()) })?;
        Ok(if found { Status::Ok } else { Status::NotFound })
    })
}

/// Copies the value that memory has of `key` into `buffer`, and its length into `*value_len`. Otherwise as
/// `catzilla_memory_visit`.
///
/// Returns: as `catzilla_cache_read`. A value that does not fit has counted as a hit.
#[no_mangle]
pub unsafe extern "C" fn catzilla_memory_read(
    cache: *mut catzilla_cache_t,
    key: *const c_void,
    key_len: usize,
    is_last: bool,
    buffer: *mut c_void,
    capacity: usize,
    value_len: *mut usize,
) -> catzilla_status_t {
    boundary(|| {
        let value_len = output(value_len, "value_len")?;
        *value_len = 0;
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let buffer = super::boundary::buffer(buffer, capacity)?;
        let mut status = Status::NotFound;
        cache.visit_memory(key, is_last, |value| {
            *value_len = value.len();
            status = match buffer.get_mut(..value.len()) {
                Some(buffer) => {
                    buffer.copy_from_slice(value);
                    Status::Ok
                }
                None => Status::Truncated,
            };
        })?;
        Ok(status)
    })
}
