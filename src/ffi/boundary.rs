//! One wrapper round every exported function: no panic gets out, every failure becomes the function's failure value and
//! this thread's last error. And the conversions from C's pointers, with the checks that can be made.
//!
//! The conversions are safe functions that rely on what `ffi` says its callers promise; they are reachable from nowhere
//! else.

use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use super::types::{cache_result_t, cache_statistics_t, multi_cache_t};
use crate::error::{Error, Result, Status};
use crate::options::LARGEST_VALUE;
use crate::{log, Cache, MAX_KEY_LEN, MAX_TAG_LEN};
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a function gives back: as success, and when it failed. The failure value follows from the type.
pub(super) trait Returns {
    type C;
    fn success(self) -> Self::C;
    fn failure(error: &Error) -> Self::C;
}

/// Functions of the modern group.
impl Returns for Status {
    type C = catzilla_status_t;
    fn success(self) -> Self::C {
        self.code()
    }
    fn failure(error: &Error) -> Self::C {
        error.status().code()
    }
}

/// Classic functions that return 0 or -1.
pub(super) struct Zero;

impl Returns for Zero {
    type C = c_int;
    fn success(self) -> Self::C {
        0
    }
    fn failure(_: &Error) -> Self::C {
        -1
    }
}

/// Classic functions that return a length or -1.
pub(super) struct Length(pub(super) c_int);

impl Returns for Length {
    type C = c_int;
    fn success(self) -> Self::C {
        self.0
    }
    fn failure(_: &Error) -> Self::C {
        -1
    }
}

/// Functions that hand out something: what they hand out, or the zero of its type.
macro_rules! returns_or {
    ($($type:ty => $failure:expr),+ $(,)?) => {$(
        impl Returns for $type {
            type C = $type;
            fn success(self) -> Self::C {
                self
            }
            fn failure(_: &Error) -> Self::C {
                $failure
            }
        }
    )+};
}

returns_or! {
    () => (),
    bool => false,
    // A tier or a cause.
    i32 => super::value::CATZILLA_TIER_NONE,
    u32 => 0,
    u64 => 0,
    usize => 0,
    cache_result_t => cache_result_t::NOT_FOUND,
    cache_statistics_t => cache_statistics_t::default(),
}

impl<T> Returns for *mut T {
    type C = *mut T;
    fn success(self) -> Self::C {
        self
    }
    fn failure(_: &Error) -> Self::C {
        std::ptr::null_mut()
    }
}

impl<T> Returns for *const T {
    type C = *const T;
    fn success(self) -> Self::C {
        self
    }
    fn failure(_: &Error) -> Self::C {
        std::ptr::null()
    }
}

/// Runs the body of an exported function.
#[inline]
pub(super) fn boundary<R: Returns>(body: impl FnOnce() -> Result<R>) -> R::C {
    // A body that panics leaves nothing half done that anybody sees again: the engine drops a shard whose lock was held.
    // What C gets is made within, so that a call that goes well hands a number on and not a `Result` in memory.
    let returned = catch_unwind(AssertUnwindSafe(|| match body() {
        Ok(value) => value.success(),
        Err(error) => fail::<R>(&error),
    }));
    returned.unwrap_or_else(|panic| fail::<R>(&caught(panic.as_ref())))
}

#[cold]
#[inline(never)]
fn fail<R: Returns>(error: &Error) -> R::C {
    set_last_error(error);
    R::failure(error)
}

#[cold]
fn caught(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    log::error(|| format!("a bug inside the library was caught: {text}"));
    Error::new(Status::Internal, format!("a bug inside the library was caught: {text}; please report it"))
}

/// Keeps panics of this library away from standard error, where Rust prints them before they are caught: they are told
/// to the logger. Other people's panics, where library and host share one Rust runtime, go where they went before.
pub(super) fn quiet_panics() {
    // Not a `Once`: a fork in the middle of one would leave the child waiting for a thread that it does not have.
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return;
    }
    let Some(sources) = file!().strip_suffix("ffi/boundary.rs") else { return };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.location() {
        Some(at) if at.file().starts_with(sources) && !cfg!(test) => log::error(|| format!("panic at {at}")),
        _ => before(panic),
    }));
}

/// Long enough for every message of this library with the names a program chooses; longer ones are cut.
const LAST_ERROR_SIZE: usize = 512;

thread_local! {
    // No destructors, so that both can be used while a thread ends.
    static LAST_CODE: Cell<i32> = const { Cell::new(Status::Ok.code()) };
    static LAST_MESSAGE: RefCell<[u8; LAST_ERROR_SIZE]> = const { RefCell::new([0; LAST_ERROR_SIZE]) };
}

fn set_last_error(error: &Error) {
    LAST_CODE.set(error.status().code());
    LAST_MESSAGE.with_borrow_mut(|buffer| {
        let message = error.message();
        let mut len = message.len().min(LAST_ERROR_SIZE - 1);
        while !message.is_char_boundary(len) {
            len -= 1;
        }
        buffer[..len].copy_from_slice(&message.as_bytes()[..len]);
        buffer[len] = 0;
        // A NUL inside would only end the text early for its C reader.
    });
}

pub(super) fn last_error_code() -> i32 {
    LAST_CODE.get()
}

/// Good until this thread's next failing call.
pub(super) fn last_error_message() -> *const c_char {
    LAST_MESSAGE.with(|buffer| buffer.as_ptr().cast())
}

/// The error for an argument that is NULL where it may not be. Not a part of the function that checks it, as none of these
/// errors is: what puts a message together would take registers from what nearly every call does.
#[cold]
#[inline(never)]
pub(super) fn null(argument: &'static str) -> Error {
    Error::invalid_argument(format!("`{argument}` is NULL"))
}

/// The cache behind a handle.
#[inline]
pub(super) fn handle<'a>(cache: *mut catzilla_cache_t) -> Result<&'a Cache> {
    // SAFETY: not NULL, so by the caller's promise from `catzilla_cache_open` or `_create` and not destroyed; both hand
    // out a pointer to a `Cache`.
    unsafe { cache.cast::<Cache>().as_ref() }.ok_or_else(|| null("cache"))
}

/// The cache behind a classic multi-level handle.
#[inline]
pub(super) fn multi_handle<'a>(cache: *mut multi_cache_t) -> Result<&'a Cache> {
    handle(cache.cast())
}

/// What an in-pointer points to.
#[inline]
pub(super) fn input<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T> {
    // SAFETY: NULL or, by the caller's promise, a valid object that nobody changes during the call.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Where an out-pointer points.
#[inline]
pub(super) fn output<'a, T>(pointer: *mut T, name: &'static str) -> Result<&'a mut T> {
    // SAFETY: NULL or, by the caller's promise, an object that may be written and that nobody else uses meanwhile.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// How many bytes of a struct that begins with its size can be filled: what its caller knows, if that is less. `None`: the size was
/// forgotten, and the logger is told.
pub(super) fn fillable<T>(out: *const T, name: &'static str) -> Result<Option<usize>> {
    if out.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL; the caller's struct may be shorter than ours, but has at least its first member.
    let known = unsafe { out.cast::<usize>().read() };
    if known < size_of::<usize>() {
        log::warn(|| {
            format!("`{name}` has a struct_size of {known}: set it to the size of the struct; nothing was filled")
        });
        return Ok(None);
    }
    Ok(Some(known.min(size_of::<T>())))
}

/// Fills the first bytes of a caller's struct.
pub(super) fn fill<T>(out: *mut T, made: &T, filled: usize) {
    // SAFETY: the caller's struct has so many bytes, by what `fillable` has found, and ours no fewer.
    unsafe { out.cast::<u8>().copy_from_nonoverlapping(std::ptr::from_ref(made).cast(), filled) };
}

/// A key of the modern group: any bytes.
#[inline]
pub(super) fn key<'a>(key: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len > MAX_KEY_LEN {
        return Err(key_too_long(len));
    }
    bytes(key, len, "key")
}

#[cold]
#[inline(never)]
fn key_too_long(len: usize) -> Error {
    Error::new(Status::KeyTooLarge, format!("the key has {len} bytes; at most {MAX_KEY_LEN} are allowed"))
}

/// A tag: any bytes, and few.
pub(super) fn tag<'a>(tag: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len > MAX_TAG_LEN {
        return Err(Error::invalid_argument(format!("a tag has {len} bytes; at most {MAX_TAG_LEN} are allowed")));
    }
    bytes(tag, len, "tag")
}

/// A value of the modern group: any bytes.
#[inline]
pub(super) fn value<'a>(value: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len as u64 > LARGEST_VALUE {
        return Err(value_too_long(len));
    }
    bytes(value, len, "value")
}

#[cold]
#[inline(never)]
fn value_too_long(len: usize) -> Error {
    Error::new(Status::ValueTooLarge, format!("the value has {len} bytes; no cache takes more than {LARGEST_VALUE}"))
}

/// Bytes that may be NULL when there are none.
#[inline]
pub(super) fn bytes<'a>(pointer: *const c_void, len: usize, name: &'static str) -> Result<&'a [u8]> {
    if pointer.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(null(name)) };
    }
    if len > isize::MAX as usize {
        return Err(impossible(len, name));
    }
    // SAFETY: not NULL, so by the caller's promise that many bytes, which nobody changes during the call.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), len) })
}

#[cold]
#[inline(never)]
fn impossible(len: usize, name: &'static str) -> Error {
    Error::invalid_argument(format!("`{name}` cannot have {len} bytes"))
}

/// The items of a batch, which may be NULL when there are none.
#[inline]
pub(super) fn items<'a, T>(pointer: *mut T, count: usize) -> Result<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    if pointer.is_null() {
        return Err(null("items"));
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(Error::invalid_argument(format!("there cannot be {count} `items`")));
    }
    // SAFETY: not NULL, so by the caller's promise that many items, which nobody else uses during the call.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, count) })
}

/// A buffer that may be NULL when it has no capacity.
#[inline]
pub(super) fn buffer<'a>(pointer: *mut c_void, capacity: usize) -> Result<&'a mut [u8]> {
    if pointer.is_null() {
        return if capacity == 0 { Ok(&mut []) } else { Err(null("buffer")) };
    }
    // No value is longer, so more capacity than that changes nothing.
    let capacity = capacity.min(LARGEST_VALUE as usize);
    // SAFETY: not NULL, so by the caller's promise that many bytes that may be written and that nobody else uses.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast(), capacity) })
}

/// A text that ends in NUL, without it.
#[inline]
pub(super) fn text<'a>(text: *const c_char, name: &'static str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL, so by the caller's promise a text that ends in NUL and that nobody changes during the call.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A text that ends in NUL and has to be UTF-8.
pub(super) fn utf8<'a>(pointer: *const c_char, name: &'static str) -> Result<&'a str> {
    std::str::from_utf8(text(pointer, name)?).map_err(|_| Error::invalid_argument(format!("`{name}` is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_last_error() {
        assert_eq!(boundary::<Status>(|| panic!("seven {}", 7)), Status::Internal.code());
        // SAFETY: a text that ends in NUL, of this thread.
        let message = unsafe { CStr::from_ptr(last_error_message()) }.to_str().unwrap();
        assert!(message.contains("seven 7"), "{message}");
        assert_eq!(boundary::<Zero>(|| panic!("again")), -1);
    }

    #[test]
    fn success_leaves_the_last_error_alone_and_long_messages_are_cut_between_characters() {
        let long = "ä".repeat(LAST_ERROR_SIZE);
        assert!(!boundary::<bool>(|| Err(Error::invalid_argument(long))));
        assert!(boundary(|| Ok(true)));
        assert_eq!(last_error_code(), Status::InvalidArgument.code());
        // SAFETY: as above.
        let message = unsafe { CStr::from_ptr(last_error_message()) }.to_str().unwrap();
        assert_eq!(message.chars().count(), (LAST_ERROR_SIZE - 1) / 2);
    }
}
