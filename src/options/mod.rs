//! What a cache is opened with: a field for each option, and the words that some of them are. The options themselves, their
//! defaults and their ranges are in [`TABLE`]; what a text of one may be is in [`kind`].
//!
//! To add one, add a row, a field and (if it can change while a cache runs) its use where the cache is configured.

mod kind;
mod table;
mod units;

use crate::error::{Error, Result, Status};
use std::time::Duration;
use table::row;
pub use table::{OptionInfo, TABLE};
use units::{GIB, MIB};

/// Stands for "no bound" in counts and sizes.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// The longest value any configuration can allow: lengths inside an entry are 32 bits wide.
pub(crate) const LARGEST_VALUE: u64 = 4 * GIB - 64 * MIB;

/// How a cache is to be made; read by [`crate::Cache::open`]. Starts out with the defaults of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub(crate) memory: MemoryOptions,
    pub(crate) redis: RedisOptions,
    pub(crate) disk: DiskOptions,
    pub(crate) cache: CacheOptions,
}

/// The options that begin with `memory.`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemoryOptions {
    /// `None`: not given, see [`MemoryOptions::entries`].
    pub(crate) capacity: Option<u64>,
    pub(crate) max_bytes: u64,
    pub(crate) policy: PolicyName,
    /// In percent of the requests: `lru-lfu` goes by frequency when more of them hit, by recency when fewer do.
    pub(crate) lru_lfu_threshold: u64,
    pub(crate) ttl: Duration,
    pub(crate) max_value_size: u64,
    pub(crate) shards: u64,
    pub(crate) compression: bool,
    pub(crate) compression_threshold: u64,
    pub(crate) jemalloc: bool,
    /// How often what has expired is freed without being met; zero: never.
    pub(crate) sweep_interval: Duration,
    /// By up to how many percent of itself a lifetime is lengthened at random.
    pub(crate) ttl_jitter: u64,
    pub(crate) sliding: bool,
    pub(crate) shrink_on_pressure: bool,
}

/// The options that begin with `redis.`; the tier exists when there is a URL or a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RedisOptions {
    pub(crate) url: Option<Secret>,
    /// Of a cluster: URLs or `host:port`, with commas between them.
    pub(crate) nodes: Option<Secret>,
    pub(crate) ttl: Duration,
    pub(crate) max_connections: u64,
    pub(crate) key_prefix: String,
    pub(crate) required: bool,
    pub(crate) connect_timeout: Duration,
    /// For an answer once there is a connection, and for a connection of the pool to become free.
    pub(crate) timeout: Duration,
    pub(crate) read_from_replicas: bool,
    /// PEM files.
    pub(crate) ca_file: Option<String>,
    pub(crate) certificate_file: Option<String>,
    pub(crate) key_file: Option<String>,
}

/// The options that begin with `disk.`; the tier exists when there is a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskOptions {
    /// A folder.
    pub(crate) path: Option<String>,
    pub(crate) max_bytes: u64,
    pub(crate) ttl: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) sync: Sync,
}

/// The options that begin with `cache.`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CacheOptions {
    pub(crate) write: WriteMode,
    pub(crate) demote: bool,
    /// Bytes of keys and values that may wait to be written to one tier.
    pub(crate) queue_bytes: u64,
}

/// When a put returns, as far as the disk tier is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Once it is queued.
    Interval,
    /// When it has been committed.
    Commit,
}

/// When a put returns, as far as the Redis tier is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// When Redis has answered.
    Through,
    /// Once it is queued.
    Behind,
}

/// A text that may hold a password, which is not for logs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(given)")
    }
}

impl MemoryOptions {
    /// The bound on entries. A bound on bytes alone takes the default bound on entries away.
    pub(crate) fn entries(&self) -> u64 {
        match self.capacity {
            Some(capacity) => capacity,
            None if self.max_bytes != UNBOUNDED => UNBOUNDED,
            None => DEFAULT_CAPACITY,
        }
    }
}

const DEFAULT_CAPACITY: u64 = 10_000;

/// The eviction policies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyName {
    Lru,
    Lfu,
    Fifo,
    Ttl,
    Sieve,
    S3Fifo,
    Adaptive,
    WTinyLfu,
    LruLfu,
}

const POLICIES: &[(&str, PolicyName)] = &[
    ("lru", PolicyName::Lru),
    ("lfu", PolicyName::Lfu),
    ("fifo", PolicyName::Fifo),
    ("ttl", PolicyName::Ttl),
    ("sieve", PolicyName::Sieve),
    ("s3fifo", PolicyName::S3Fifo),
    ("adaptive", PolicyName::Adaptive),
    ("w-tinylfu", PolicyName::WTinyLfu),
    ("lru-lfu", PolicyName::LruLfu),
];

impl Default for Options {
    fn default() -> Self {
        let mut options = Options {
            memory: MemoryOptions {
                capacity: None,
                max_bytes: UNBOUNDED,
                policy: PolicyName::Adaptive,
                lru_lfu_threshold: 0,
                ttl: Duration::ZERO,
                max_value_size: 0,
                shards: 0,
                compression: false,
                compression_threshold: 0,
                jemalloc: false,
                sweep_interval: Duration::ZERO,
                ttl_jitter: 0,
                sliding: false,
                shrink_on_pressure: false,
            },
            redis: RedisOptions {
                url: None,
                nodes: None,
                ttl: Duration::ZERO,
                max_connections: 0,
                key_prefix: String::new(),
                required: false,
                connect_timeout: Duration::ZERO,
                timeout: Duration::ZERO,
                read_from_replicas: false,
                ca_file: None,
                certificate_file: None,
                key_file: None,
            },
            disk: DiskOptions {
                path: None,
                max_bytes: 0,
                ttl: Duration::ZERO,
                commit_interval: Duration::ZERO,
                sync: Sync::Interval,
            },
            cache: CacheOptions { write: WriteMode::Through, demote: false, queue_bytes: 0 },
        };
        for row in TABLE {
            // The table's own texts parse: a test goes through all of them.
            let parsed = row.apply(&mut options, row.default);
            debug_assert!(parsed.is_ok(), "the default of {}: {parsed:?}", row.name);
        }
        options.memory.capacity = None;
        options
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the option `name` to what `text` says.
    ///
    /// # Errors
    ///
    /// An unknown name, a text that is not of the option's type, a value out of its range. The options stay as they were.
    pub fn set(&mut self, name: &str, text: &str) -> Result<&mut Self> {
        row(name)?.apply(self, text)?;
        Ok(self)
    }

    /// As [`Options::set`], but only an option that can change while a cache runs.
    pub(crate) fn set_live(&mut self, name: &str, text: &str) -> Result<()> {
        let row = row(name)?;
        if !row.live {
            let live: Vec<&str> = TABLE.iter().filter(|row| row.live).map(|row| row.name).collect();
            let live = live.join(", ");
            let message = format!("`{name}` cannot change while a cache runs; these can: {live}");
            return Err(Error::new(Status::OptionNotLive, message));
        }
        row.apply(self, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_on_bytes_alone_lifts_the_bound_on_entries() {
        let mut options = Options::new();
        assert_eq!(options.memory.entries(), DEFAULT_CAPACITY);
        options.set("memory.max_bytes", "1MiB").unwrap();
        assert_eq!(options.memory.entries(), UNBOUNDED);
        options.set("memory.capacity", "5").unwrap();
        assert_eq!(options.memory.entries(), 5);
    }
}
