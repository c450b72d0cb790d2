//! How a call went, as a number.

/// How a call went: 0 is success, above 0 is an expected outcome, below 0 is a failure. See `CATZILLA_OK` and the
/// numbers that follow it.
pub type catzilla_status_t = i32;

/// The call did what it says.
pub const CATZILLA_OK: i32 = 0;
/// The key is not in the cache.
pub const CATZILLA_NOT_FOUND: i32 = 1;
/// The buffer is too small; nothing was copied, and the needed size was reported.
pub const CATZILLA_TRUNCATED: i32 = 2;
/// The key is there already, and was to be stored only if it is not; nothing was stored.
pub const CATZILLA_EXISTS: i32 = 3;
/// The key is there in another version than the expected one; nothing was stored.
pub const CATZILLA_VERSION_MISMATCH: i32 = 4;
/// An argument can never be right: NULL where that is not allowed, an impossible length.
pub const CATZILLA_INVALID_ARGUMENT: i32 = -100;
/// No option has that name.
pub const CATZILLA_UNKNOWN_OPTION: i32 = -110;
/// The text is not a value of the option's type.
pub const CATZILLA_INVALID_OPTION: i32 = -111;
/// The value is outside the option's range.
pub const CATZILLA_OPTION_OUT_OF_RANGE: i32 = -112;
/// The option cannot change while a cache runs.
pub const CATZILLA_OPTION_NOT_LIVE: i32 = -113;
/// The key is longer than `CATZILLA_MAX_KEY_LEN`.
pub const CATZILLA_KEY_TOO_LARGE: i32 = -200;
/// The value is longer than `memory.max_value_size`, or would not fit into `memory.max_bytes` even alone.
pub const CATZILLA_VALUE_TOO_LARGE: i32 = -201;
/// The value to be counted up or down is not a whole number of 64 bits in decimal digits.
pub const CATZILLA_NOT_A_NUMBER: i32 = -210;
/// The sum does not fit into 64 bits.
pub const CATZILLA_NUMBER_OVERFLOW: i32 = -211;
/// The allocator returned nothing. The cache is as it was.
pub const CATZILLA_OUT_OF_MEMORY: i32 = -300;
/// This build of the library does not have what was asked for.
pub const CATZILLA_UNSUPPORTED: i32 = -400;
/// Somebody else is loading the key, and was not done in time.
pub const CATZILLA_TIMED_OUT: i32 = -500;
/// The loader of the key has failed.
pub const CATZILLA_LOAD_FAILED: i32 = -501;
/// The thread is loading the key already, and would wait for itself.
pub const CATZILLA_LOAD_REENTERED: i32 = -502;
/// A tier that is required, or was to be waited for, cannot be used.
pub const CATZILLA_TIER_UNAVAILABLE: i32 = -600;
/// A bug inside the library, caught at its boundary. The cache can be used on.
pub const CATZILLA_INTERNAL: i32 = -900;

#[cfg(test)]
mod tests {
    use crate::error::Status;

    #[test]
    fn the_numbers_of_the_header_are_the_numbers_of_the_errors() {
        let source = include_str!("status.rs");
        for status in Status::ALL {
            let name = status.name().to_str().unwrap();
            let line = format!("pub const {name}: i32 = {};", status.code());
            assert!(source.contains(&line), "{line}");
        }
        let declared = source.lines().filter(|line| line.contains(": i32 = ") && line.starts_with("pub"));
        assert_eq!(declared.count(), Status::ALL.len());
    }
}
