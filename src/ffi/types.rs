//! The types of the classic group, whose layout is frozen: programs that were compiled long ago know it.

use crate::Cache;
use std::ffi::c_void;

/// How many further classic look-ups of the same thread a classic result survives.
pub const CATZILLA_CLASSIC_RESULT_LIFETIME: usize = 64;

/// A cache made by `multi_cache_create`.
pub struct multi_cache {
    _cache: Cache,
}

/// See `struct multi_cache`.
pub type multi_cache_t = multi_cache;

/// An entry of a cache. Never complete: what an entry looks like is the library's own business.
pub struct cache_entry {
    _private: [u8; 0],
}

/// See `struct cache_entry`.
pub type cache_entry_t = cache_entry;

/// A counter of the original engine's structs; a plain integer.
pub type catzilla_atomic_uint64_t = u64;
/// A size of the original engine's structs; a plain integer.
pub type catzilla_atomic_size_t = usize;

/// The configuration of the classic group. Frozen: 40 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cache_config {
    /// Entries the cache may hold; 0 is refused.
    pub capacity: usize,
    /// A hint; 0 is fine, and any other number too.
    pub bucket_count: usize,
    /// Lifetime in seconds of what is stored with `ttl` 0; 0 is 3600.
    pub default_ttl: u32,
    /// Longer values are refused, in bytes; 0 is 100 MiB.
    pub max_value_size: usize,
    /// LZ4 for values above a threshold.
    pub compression_enabled: bool,
    /// A jemalloc arena of the cache's own.
    pub jemalloc_enabled: bool,
}

/// See `struct cache_config`.
pub type cache_config_t = cache_config;

/// The figures of the classic group. Frozen: 64 bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct cache_statistics {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing, or something expired.
    pub misses: u64,
    /// Entries removed because the cache was full.
    pub evictions: u64,
    /// Memory of the live entries, as the allocator rounds it, and of what finds, orders and expires them; in bytes.
    pub memory_usage: u64,
    /// `hits + misses`.
    pub total_requests: u64,
    /// `hits / total_requests`; 0 before the first.
    pub hit_ratio: f64,
    /// Entries held now.
    pub size: u64,
    /// Entries the cache may hold.
    pub capacity: u64,
}

/// See `struct cache_statistics`.
pub type cache_statistics_t = cache_statistics;

/// What a classic look-up returns. Frozen: 24 bytes.
#[repr(C)]
pub struct cache_result {
    /// The value, aligned to 16 bytes; never NULL when `found`, not even for a value without bytes.
    pub data: *mut c_void,
    /// How many bytes the value has.
    pub size: usize,
    /// Whether the key was there.
    pub found: bool,
}

/// See `struct cache_result`.
pub type cache_result_t = cache_result;

impl cache_result {
    pub(super) const NOT_FOUND: Self = Self { data: std::ptr::null_mut(), size: 0, found: false };
}

/// The tiers a cache can have.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum cache_tier {
    /// This process's memory.
    CACHE_TIER_MEMORY = 0,
    /// A Redis server.
    CACHE_TIER_REDIS = 1,
    /// A file on disk.
    CACHE_TIER_DISK = 2,
}

/// See `enum cache_tier`.
pub type cache_tier_t = cache_tier;

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<cache_config>() == 40);
    assert!(offset_of!(cache_config, capacity) == 0);
    assert!(offset_of!(cache_config, bucket_count) == 8);
    assert!(offset_of!(cache_config, default_ttl) == 16);
    assert!(offset_of!(cache_config, max_value_size) == 24);
    assert!(offset_of!(cache_config, compression_enabled) == 32);
    assert!(offset_of!(cache_config, jemalloc_enabled) == 33);
    assert!(size_of::<cache_statistics>() == 64);
    assert!(offset_of!(cache_statistics, hits) == 0);
    assert!(offset_of!(cache_statistics, misses) == 8);
    assert!(offset_of!(cache_statistics, evictions) == 16);
    assert!(offset_of!(cache_statistics, memory_usage) == 24);
    assert!(offset_of!(cache_statistics, total_requests) == 32);
    assert!(offset_of!(cache_statistics, hit_ratio) == 40);
    assert!(offset_of!(cache_statistics, size) == 48);
    assert!(offset_of!(cache_statistics, capacity) == 56);
    assert!(size_of::<cache_result>() == 24);
    assert!(offset_of!(cache_result, data) == 0);
    assert!(offset_of!(cache_result, size) == 8);
    assert!(offset_of!(cache_result, found) == 16);
    assert!(size_of::<cache_tier>() == 4);
    // Models have a shorter one, so that leases end sooner.
    assert!(CATZILLA_CLASSIC_RESULT_LIFETIME == crate::CLASSIC_RESULT_LIFETIME || cfg!(shuttle));
};
