//! catzilla-cache: an embeddable cache with a C interface.
//!
//! The header `include/catzilla_cache.h` is the manual for C and C++; this page is for Rust, and for who changes the
//! library. See ARCHITECTURE.md for the picture.
//!
//! ```
//! use catzilla_cache::{Cache, Options, Ttl};
//!
//! let mut options = Options::new();
//! options.set("memory.capacity", "1000")?;
//! let cache = Cache::open(&options)?;
//! cache.put(b"greeting", b"hello", Ttl::Default)?;
//! let value = cache.acquire(b"greeting")?.expect("it was just stored");
//! assert_eq!(&*value, b"hello");
//! # Ok::<(), catzilla_cache::Error>(())
//! ```
//!
//! Imports run one way: `ffi -> cache -> tiers -> codec`. The single files beside these folders (`clock`, `error`,
//! `fork`, `key`, `latency`, `log`, `options`, `pattern`, `stats`, `thread`) know nothing of them and may be used by all.
//!
//! It is not a store (what it holds may go at any time), not a server, and not a database: nothing here is the only copy.

#[cfg(panic = "abort")]
compile_error!("catzilla-cache turns its own panics into a status for the host; build it with panic = \"unwind\"");

mod cache;
mod clock;
mod codec;
mod error;
pub mod ffi;
mod fork;
mod key;
mod latency;
mod log;
mod options;
mod pattern;
mod stats;
mod sync;
mod thread;
mod tiers;

pub use cache::{Cache, Lease, Leased, Purge};
pub use clock::{unix_micros, Clock, ManualTime, Ttl};
pub use error::{Error, Result, Status};
pub use key::fnv1a;
pub use latency::Latency;
pub use log::{set_logger, Level, Sink};
pub use options::{OptionInfo, Options, TABLE as OPTIONS};
pub use pattern::{Pattern, MAX_PATTERN_LEN};
pub use stats::{Health, MemoryStatistics, Statistics, TierStatistics};
pub use tiers::memory::{
    Cause, Condition, Departed, Get, Keys, Listener, Put, PutOptions, PutOutcome, Read, Remove, Value,
    CLASSIC_RESULT_LIFETIME, MAX_KEY_LEN, MAX_TAGS, MAX_TAG_LEN,
};
pub use tiers::TierName;

#[cfg(shuttle)]
pub use sync::atomic::choose_at_locks_only;

/// The library's own allocations. Not for Miri, which brings an allocator that sees mistakes.
#[cfg(all(feature = "jemalloc", not(miri)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
