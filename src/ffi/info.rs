//! What the library says of itself: version, errors, messages.

use super::boundary::{boundary, last_error_code, last_error_message};
use super::status::catzilla_status_t;
use crate::error::{Error, Status};
use crate::log::{set_logger, Level};
use std::ffi::{c_char, c_void, CString};
use std::sync::Arc;

/// How much a message matters; a logger gets its own level and everything more important.
pub type catzilla_log_level_t = i32;
/// Nothing.
pub const CATZILLA_LOG_OFF: i32 = 0;
/// Something is lost or wrong.
pub const CATZILLA_LOG_ERROR: i32 = 1;
/// Something was asked for and could not be done as asked.
pub const CATZILLA_LOG_WARN: i32 = 2;
/// Something that happens a few times in a program's life.
pub const CATZILLA_LOG_INFO: i32 = 3;
/// For whoever looks for a fault.
pub const CATZILLA_LOG_DEBUG: i32 = 4;

/// Takes the library's messages. `message` is a text that ends in NUL and is good until the function returns.
pub type catzilla_logger_t =
    Option<unsafe extern "C" fn(user: *mut c_void, level: catzilla_log_level_t, message: *const c_char)>;

/// The version of the library that is running, which may be newer than the header: `"0.1.0"`.
#[no_mangle]
pub extern "C" fn catzilla_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The same as a number: major * 1000000 + minor * 1000 + patch.
#[no_mangle]
pub extern "C" fn catzilla_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        match u32::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => panic!("Cargo's version numbers are numbers"),
        }
    }
    const MAJOR: u32 = number(env!("CARGO_PKG_VERSION_MAJOR"));
    const MINOR: u32 = number(env!("CARGO_PKG_VERSION_MINOR"));
    const PATCH: u32 = number(env!("CARGO_PKG_VERSION_PATCH"));
    MAJOR * 1_000_000 + MINOR * 1_000 + PATCH
}

/// The number of the binary interface, which is also that of the shared library's name.
#[no_mangle]
pub extern "C" fn catzilla_abi_version() -> u32 {
    super::ABI
}

/// The name of a status, as it stands in this header; `"CATZILLA_UNKNOWN_STATUS"` for other numbers. Good for ever.
#[no_mangle]
pub extern "C" fn catzilla_status_name(status: catzilla_status_t) -> *const c_char {
    let known = Status::ALL.into_iter().find(|known| known.code() == status);
    known.map_or(c"CATZILLA_UNKNOWN_STATUS", Status::name).as_ptr()
}

/// What went wrong in this thread's last failing call, in words; `""` before the first. Never NULL.
///
/// Ownership: good until this thread's next failing call. Successes and misses leave it alone.
#[no_mangle]
pub extern "C" fn catzilla_last_error_message() -> *const c_char {
    last_error_message()
}

/// The status of this thread's last failing call; `CATZILLA_OK` before the first.
#[no_mangle]
pub extern "C" fn catzilla_last_error_code() -> catzilla_status_t {
    last_error_code()
}

/// Sends the library's messages up to `level` to `logger`; NULL sends them nowhere, as at the beginning.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_INVALID_ARGUMENT` for an unknown level. Threads: `logger` is called from any thread,
/// outside all locks, perhaps by several at once, and perhaps once more by a call that had begun before it was replaced.
/// It may call anything but `catzilla_cache_destroy`.
#[no_mangle]
pub unsafe extern "C" fn catzilla_set_logger(
    logger: catzilla_logger_t,
    user: *mut c_void,
    level: catzilla_log_level_t,
) -> catzilla_status_t {
    boundary(|| {
        if !(CATZILLA_LOG_OFF..=CATZILLA_LOG_DEBUG).contains(&level) {
            let message =
                format!("there is no log level {level}; there are CATZILLA_LOG_OFF (0) to CATZILLA_LOG_DEBUG (4)");
            return Err(Error::invalid_argument(message));
        }
        let sink = logger.zip(rust_level(level)).map(|(logger, level)| {
            let user = User(user);
            let sink = move |level: Level, message: &str| {
                // A NUL inside a message would cut it short; there are none but in texts that a program passed.
                let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
                // SAFETY: the caller vouches for the function and for `user`.
                unsafe { logger(user.pointer(), level as catzilla_log_level_t, message.as_ptr()) }
            };
            (level, Arc::new(sink) as crate::Sink)
        });
        set_logger(sink);
        Ok(Status::Ok)
    })
}

fn rust_level(level: catzilla_log_level_t) -> Option<Level> {
    [Level::Error, Level::Warn, Level::Info, Level::Debug]
        .into_iter()
        .find(|known| *known as catzilla_log_level_t == level)
}

/// The host's own pointer, which the library only carries.
struct User(*mut c_void);

// SAFETY: never followed here; that any thread may call the logger with it is what the interface says.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    fn pointer(&self) -> *mut c_void {
        self.0
    }
}
