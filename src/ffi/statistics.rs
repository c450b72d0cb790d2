//! The figures of a cache.

use super::boundary::{boundary, fill, fillable, handle};
use super::cache::catzilla_cache_t;
use super::status::catzilla_status_t;
use crate::error::Status;
use std::time::Duration;

/// The figures of the modern group; counters run from the cache's creation, sizes are bytes. New members are only ever
/// added at the end.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct catzilla_statistics {
    /// Set by the caller to `sizeof(catzilla_statistics_t)`; on return how many bytes of the struct were filled.
    pub struct_size: usize,
    /// Requests answered, by any tier.
    pub hits: u64,
    /// Requests that no tier could answer; meeting an expired entry is one.
    pub misses: u64,
    /// `hits + misses`.
    pub requests: u64,
    /// `hits / requests`; 0 before the first.
    pub hit_ratio: f64,
    /// Values stored.
    pub puts: u64,
    /// Entries removed by their key or by a purge.
    pub removals: u64,
    /// Requests answered from memory.
    pub memory_hits: u64,
    /// Requests that memory could not answer.
    pub memory_misses: u64,
    /// Entries in memory; an expired one counts until it is met or swept.
    pub memory_entries: u64,
    /// How many entries memory may hold; `UINT64_MAX` without a bound.
    pub memory_capacity: u64,
    /// Memory of the live entries (keys, values, headers), as the allocator rounds it, and of what finds, orders and
    /// expires them.
    pub memory_bytes: u64,
    /// Bound on `memory_bytes`; `UINT64_MAX` without one.
    pub memory_max_bytes: u64,
    /// The index's part of `memory_bytes`.
    pub memory_index_bytes: u64,
    /// Removed entries and decompressed copies that somebody may still be reading; not part of `memory_bytes`.
    pub memory_lent_bytes: u64,
    /// Pages that the cache's jemalloc arena has in use; 0 for a cache without an arena.
    pub memory_active_bytes: u64,
    /// Entries removed because the cache was full.
    pub memory_evictions: u64,
    /// Entries removed because their lifetime was over.
    pub memory_expirations: u64,
    /// Values that were stored compressed.
    pub memory_compressed_puts: u64,
    /// Bytes of those values before compression.
    pub memory_compression_input_bytes: u64,
    /// Bytes of those values after compression.
    pub memory_compression_output_bytes: u64,
    /// How many times smaller compression made the values it was used on; 1 before the first.
    pub memory_compression_ratio: f64,
    /// How often `memory.shrink_on_pressure` has given memory back; the entries that went count as evictions.
    pub memory_pressure_shrinks: u64,
    /// Keys that were missed and that a caller then began to load, by `catzilla_cache_get_or_load` or a lease.
    pub loads: u64,
    /// Those that ended with a failure.
    pub load_failures: u64,
    /// Callers that waited for somebody else's load.
    pub load_waits: u64,
    /// Entries that left while there was a listener, and that there was no memory to tell it of.
    pub memory_untold_departures: u64,
    /// Look-ups of one key whose time was taken: about one in 1,024 of them, hit or miss, chosen at random.
    pub memory_read_samples: u64,
    /// Nanoseconds that half of these took at most, inside the library, exact to a thirtieth, and the 20 to 50 that reading
    /// the clock takes in them.
    pub memory_read_p50_ns: u64,
    /// The same for 99 of 100.
    pub memory_read_p99_ns: u64,
    /// The same for 999 of 1,000.
    pub memory_read_p999_ns: u64,
    /// The longest of them.
    pub memory_read_max_ns: u64,
    /// Calls that store one value whose time was taken: about one in 64 of them. The time that a listener takes is not in it.
    pub memory_write_samples: u64,
    /// As for look-ups.
    pub memory_write_p50_ns: u64,
    /// As for look-ups.
    pub memory_write_p99_ns: u64,
    /// As for look-ups.
    pub memory_write_p999_ns: u64,
    /// As for look-ups.
    pub memory_write_max_ns: u64,
    /// Look-ups that Redis has answered; 0 in a cache without it. More of it: `catzilla_cache_tier_statistics`.
    pub redis_hits: u64,
    /// Look-ups that Redis could not answer.
    pub redis_misses: u64,
    /// Calls on Redis that failed.
    pub redis_errors: u64,
    /// As for Redis, of the disk.
    pub disk_hits: u64,
    /// As for Redis, of the disk.
    pub disk_misses: u64,
    /// As for Redis, of the disk.
    pub disk_errors: u64,
}

/// See `struct catzilla_statistics`.
pub type catzilla_statistics_t = catzilla_statistics;

/// Fills `*statistics`, as far as its `struct_size` says that the caller knows the struct.
///
/// Returns: `CATZILLA_OK`, whatever the size; when it is smaller than itself, which means that it was forgotten, nothing is
/// filled, and the logger is told. Cost: looks into every shard; not for every request.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_statistics(
    cache: *mut catzilla_cache_t,
    statistics: *mut catzilla_statistics_t,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let Some(filled) = fillable(statistics, "statistics")? else { return Ok(Status::Ok) };
        fill(statistics, &figures(&cache.statistics(), filled), filled);
        Ok(Status::Ok)
    })
}

pub(super) fn nanos(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

fn figures(statistics: &crate::Statistics, struct_size: usize) -> catzilla_statistics_t {
    let memory = &statistics.memory;
    catzilla_statistics_t {
        struct_size,
        hits: statistics.hits,
        misses: statistics.misses,
        requests: statistics.hits + statistics.misses,
        hit_ratio: statistics.hit_ratio,
        puts: statistics.puts,
        removals: statistics.removals,
        memory_hits: memory.hits,
        memory_misses: memory.misses,
        memory_entries: memory.entries,
        memory_capacity: memory.capacity,
        memory_bytes: memory.bytes,
        memory_max_bytes: memory.max_bytes,
        memory_index_bytes: memory.index_bytes,
        memory_lent_bytes: memory.lent_bytes,
        memory_active_bytes: memory.active_bytes,
        memory_evictions: memory.evictions,
        memory_expirations: memory.expirations,
        memory_compressed_puts: memory.compressed_puts,
        memory_compression_input_bytes: memory.compression_input_bytes,
        memory_compression_output_bytes: memory.compression_output_bytes,
        memory_compression_ratio: memory.compression_ratio(),
        memory_pressure_shrinks: statistics.pressure_shrinks,
        loads: statistics.loads,
        load_failures: statistics.load_failures,
        load_waits: statistics.load_waits,
        memory_untold_departures: memory.untold_departures,
        memory_read_samples: memory.reads.samples,
        memory_read_p50_ns: nanos(memory.reads.p50),
        memory_read_p99_ns: nanos(memory.reads.p99),
        memory_read_p999_ns: nanos(memory.reads.p999),
        memory_read_max_ns: nanos(memory.reads.max),
        memory_write_samples: memory.writes.samples,
        memory_write_p50_ns: nanos(memory.writes.p50),
        memory_write_p99_ns: nanos(memory.writes.p99),
        memory_write_p999_ns: nanos(memory.writes.p999),
        memory_write_max_ns: nanos(memory.writes.max),
        redis_hits: statistics.redis.hits,
        redis_misses: statistics.redis.misses,
        redis_errors: super::tiers::errors(&statistics.redis),
        disk_hits: statistics.disk.hits,
        disk_misses: statistics.disk.misses,
        disk_errors: super::tiers::errors(&statistics.disk),
    }
}
