//! The one error type, and the one place where an error becomes a status number.
//!
//! Numbers are part of the binary interface: a number that was ever released keeps its meaning and is never reused.
//! Above zero are expected outcomes (a miss), below zero are failures, in families of a hundred.

use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt;

/// Every status the library can return. The discriminants are the C numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// The call did what it says.
    Ok = 0,
    /// The key is not in the cache. Not an error.
    NotFound = 1,
    /// The buffer is too small for the value; nothing was copied. Not an error.
    Truncated = 2,
    /// The key is there already, and was to be stored only if it is not. Not an error.
    Exists = 3,
    /// The key is there in another version than the expected one. Not an error.
    VersionMismatch = 4,
    /// An argument can never be right: NULL where that is not allowed, an impossible length.
    InvalidArgument = -100,
    /// No option has that name.
    UnknownOption = -110,
    /// The text is not a value of the option's type.
    InvalidOption = -111,
    /// The value is outside the option's range.
    OptionOutOfRange = -112,
    /// The option cannot change while a cache runs.
    OptionNotLive = -113,
    /// The key is longer than [`crate::MAX_KEY_LEN`].
    KeyTooLarge = -200,
    /// The value is longer than `memory.max_value_size`, or could not fit into `memory.max_bytes` on its own.
    ValueTooLarge = -201,
    /// The value to be counted up or down is not a whole number.
    NotANumber = -210,
    /// The sum does not fit into 64 bits.
    NumberOverflow = -211,
    /// The allocator returned nothing.
    OutOfMemory = -300,
    /// This build of the library does not have what was asked for.
    Unsupported = -400,
    /// Somebody else is loading the key, and has not been done in time.
    TimedOut = -500,
    /// The loader of the key has failed.
    LoadFailed = -501,
    /// The thread is loading the key already, and would wait for itself.
    LoadReentered = -502,
    /// A tier that is required, or was to be waited for, cannot be used.
    TierUnavailable = -600,
    /// A bug inside the library, caught at its boundary.
    Internal = -900,
}

impl Status {
    /// Every status, for enumerations and tests.
    pub const ALL: [Status; 21] = [
        Status::Ok,
        Status::NotFound,
        Status::Truncated,
        Status::Exists,
        Status::VersionMismatch,
        Status::InvalidArgument,
        Status::UnknownOption,
        Status::InvalidOption,
        Status::OptionOutOfRange,
        Status::OptionNotLive,
        Status::KeyTooLarge,
        Status::ValueTooLarge,
        Status::NotANumber,
        Status::NumberOverflow,
        Status::OutOfMemory,
        Status::Unsupported,
        Status::TimedOut,
        Status::LoadFailed,
        Status::LoadReentered,
        Status::TierUnavailable,
        Status::Internal,
    ];

    /// The C number.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The name of the C constant.
    pub const fn name(self) -> &'static CStr {
        match self {
            Status::Ok => c"CATZILLA_OK",
            Status::NotFound => c"CATZILLA_NOT_FOUND",
            Status::Truncated => c"CATZILLA_TRUNCATED",
            Status::Exists => c"CATZILLA_EXISTS",
            Status::VersionMismatch => c"CATZILLA_VERSION_MISMATCH",
            Status::InvalidArgument => c"CATZILLA_INVALID_ARGUMENT",
            Status::UnknownOption => c"CATZILLA_UNKNOWN_OPTION",
            Status::InvalidOption => c"CATZILLA_INVALID_OPTION",
            Status::OptionOutOfRange => c"CATZILLA_OPTION_OUT_OF_RANGE",
            Status::OptionNotLive => c"CATZILLA_OPTION_NOT_LIVE",
            Status::KeyTooLarge => c"CATZILLA_KEY_TOO_LARGE",
            Status::ValueTooLarge => c"CATZILLA_VALUE_TOO_LARGE",
            Status::NotANumber => c"CATZILLA_NOT_A_NUMBER",
            Status::NumberOverflow => c"CATZILLA_NUMBER_OVERFLOW",
            Status::OutOfMemory => c"CATZILLA_OUT_OF_MEMORY",
            Status::Unsupported => c"CATZILLA_UNSUPPORTED",
            Status::TimedOut => c"CATZILLA_TIMED_OUT",
            Status::LoadFailed => c"CATZILLA_LOAD_FAILED",
            Status::LoadReentered => c"CATZILLA_LOAD_REENTERED",
            Status::TierUnavailable => c"CATZILLA_TIER_UNAVAILABLE",
            Status::Internal => c"CATZILLA_INTERNAL",
        }
    }
}

/// What went wrong, in words that name the argument and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: Cow<'static, str>,
}

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: Status, message: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!(status.code() < 0, "{status:?} is an outcome, not an error");
        Self { status, message: message.into() }
    }

    pub(crate) fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::InvalidArgument, message)
    }

    pub(crate) fn out_of_memory() -> Self {
        Self::new(Status::OutOfMemory, "the allocator returned no memory; the cache is unchanged")
    }

    /// What a loader says that could not load: see [`crate::Cache::get_or_load`].
    pub fn load_failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::LoadFailed, message)
    }

    /// The status that a C caller gets for this error.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The text that a C caller gets for this error.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
