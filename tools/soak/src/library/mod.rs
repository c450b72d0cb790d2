//! The C interface of catzilla-cache: loaded at run time, as a stranger would. Every file outside this folder is safe
//! code above it but for the processes' own calls in `system`.
//!
//! `header` repeats the declarations, `loaded` finds the functions in a file, `cache` makes the calls.

mod cache;
mod header;
mod loaded;
mod text;

pub use cache::{Cache, Condition, Held};
pub use header::{Lent, EXISTS, FOREVER, NOT_FOUND, OK, RESULT_LIFETIME, TRUNCATED, VALUE_TOO_LARGE, VERSION_MISMATCH};
pub use loaded::Library;
