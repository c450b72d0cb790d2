//! The tiers below memory: how they are doing, and when they have everything.

use super::boundary::{boundary, fill, fillable, handle, key as key_of};
use super::cache::catzilla_cache_t;
use super::load::CATZILLA_WAIT_FOREVER;
use super::status::catzilla_status_t;
use super::value::{catzilla_tier_t, CATZILLA_TIER_DISK, CATZILLA_TIER_MEMORY, CATZILLA_TIER_REDIS};
use crate::error::{Error, Result, Status};
use crate::{TierName, TierStatistics};
use std::ffi::{c_char, c_void};
use std::time::Duration;

/// How many bytes the text of `catzilla_health_t` has, its NUL included; a longer one is cut.
pub const CATZILLA_HEALTH_TEXT: usize = 256;

/// How a tier is doing. New members are only ever added at the end.
#[repr(C)]
pub struct catzilla_health {
    /// Set by the caller to `sizeof(catzilla_health_t)`; on return how many bytes of the struct were filled.
    pub struct_size: usize,
    /// 1: the tier is asked. 0: it is left alone because it has failed, and tried again by itself.
    pub is_up: i32,
    /// Not used; 0.
    pub reserved: i32,
    /// When the tier failed last, in microseconds since the Unix epoch; 0: never.
    pub last_error_at: u64,
    /// What went wrong then, in words; empty: nothing yet. Ends in NUL.
    pub last_error: [c_char; CATZILLA_HEALTH_TEXT],
}

/// See `struct catzilla_health`.
pub type catzilla_health_t = catzilla_health;

/// The figures of a tier below memory; counters run from the cache's creation, sizes are bytes. New members are only ever
/// added at the end.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct catzilla_tier_statistics {
    /// Set by the caller to `sizeof(catzilla_tier_statistics_t)`; on return how many bytes of the struct were filled.
    pub struct_size: usize,
    /// Look-ups that the tier has answered. One is made for all who miss a key at the same time.
    pub hits: u64,
    /// Look-ups that it has answered with "not there", or with something that is no longer to be believed.
    pub misses: u64,
    /// Values that it has taken.
    pub puts: u64,
    /// Keys that it has removed.
    pub removals: u64,
    /// Calls on it that failed, of whatever kind.
    pub errors: u64,
    /// Of these: no answer in time.
    pub timeouts: u64,
    /// Of these: no connection, or it broke.
    pub connection_errors: u64,
    /// Of these: it said no (a wrong password, a server that is loading, a lack of rights).
    pub refusals: u64,
    /// Of these: no room for a write.
    pub full_errors: u64,
    /// Of these: its file was found damaged.
    pub damage_errors: u64,
    /// Values that were too large for it.
    pub too_large: u64,
    /// Values that could not be read: of another program or version, or damaged. Each was a miss.
    pub unreadable: u64,
    /// Values that had been purged, by whichever process. Each was a miss.
    pub outdated: u64,
    /// 1 while the tier is left alone because it has failed (its breaker is open).
    pub is_open: u64,
    /// How often that has begun.
    pub openings: u64,
    /// Keys that it has; 0 where that is not known.
    pub entries: u64,
    /// Bytes that it takes; 0 where that is not known.
    pub bytes: u64,
    /// Bound on `bytes`; 0 without one.
    pub max_bytes: u64,
    /// Values removed because the tier was full.
    pub evictions: u64,
    /// Values removed because their time was over.
    pub expirations: u64,
    /// Writes that wait for it.
    pub queued: u64,
    /// Bytes of these.
    pub queued_bytes: u64,
    /// Values that were not written, because too much was waiting or the tier could not be reached. What it had of their keys
    /// is removed before it is asked again.
    pub dropped_writes: u64,
    /// Keys that have to be removed before it is asked again.
    pub owed: u64,
    /// Keys that ever were.
    pub owed_ever: u64,
    /// How often those were too many, so that the tier was cleared.
    pub owed_overflows: u64,
    /// Values that memory had evicted and that were written to it for that.
    pub demotions: u64,
    /// How often its file could not be used any more, was set aside and begun anew.
    pub set_aside: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were made.
    pub connects: u64,
    /// Look-ups whose time was taken: all of several keys; of those of one key the first 1,024, and then one in 16.
    pub read_samples: u64,
    /// Half of them took no longer, in nanoseconds.
    pub read_p50_ns: u64,
    /// 99 of 100 took no longer.
    pub read_p99_ns: u64,
    /// 999 of 1,000 took no longer.
    pub read_p999_ns: u64,
    /// The longest of them.
    pub read_max_ns: u64,
    /// Round trips or transactions that wrote, whose time was taken: all.
    pub write_samples: u64,
    /// As for look-ups.
    pub write_p50_ns: u64,
    /// As for look-ups.
    pub write_p99_ns: u64,
    /// As for look-ups.
    pub write_p999_ns: u64,
    /// As for look-ups.
    pub write_max_ns: u64,
}

/// See `struct catzilla_tier_statistics`.
pub type catzilla_tier_statistics_t = catzilla_tier_statistics;

/// Waits until everything that was stored or removed before is in the tiers below memory, for at most `timeout_ms` a tier
/// (`CATZILLA_WAIT_FOREVER`: as long as it takes).
///
/// Returns: `CATZILLA_OK`, at once when nothing waits; `CATZILLA_TIER_UNAVAILABLE` when a tier could not take everything in that
/// time, or cannot be reached. What waits still does then.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_flush(cache: *mut catzilla_cache_t, timeout_ms: u64) -> catzilla_status_t {
    boundary(|| {
        let timeout = match timeout_ms {
            CATZILLA_WAIT_FOREVER => Duration::MAX,
            millis => Duration::from_millis(millis),
        };
        handle(cache)?.flush(timeout)?;
        Ok(Status::Ok)
    })
}

/// Whether one tier has `key`, whatever the others have. Asks it; counts neither as a request nor as a use.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND`, also when the cache has no such tier or it cannot be reached;
/// `CATZILLA_INVALID_ARGUMENT` for a number that is no tier.
#[no_mangle]
pub unsafe extern "C" fn catzilla_tier_contains(
    cache: *mut catzilla_cache_t,
    tier: catzilla_tier_t,
    key: *const c_void,
    key_len: usize,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let found = cache.tier_contains(tier_of(tier)?, key).unwrap_or(false);
        Ok(if found { Status::Ok } else { Status::NotFound })
    })
}

/// Removes `key` from one tier. The others keep what they have, and a look-up that finds it there brings it back.
///
/// Returns: as `catzilla_tier_contains`: `CATZILLA_OK` when it was there.
#[no_mangle]
pub unsafe extern "C" fn catzilla_tier_remove(
    cache: *mut catzilla_cache_t,
    tier: catzilla_tier_t,
    key: *const c_void,
    key_len: usize,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let key = key_of(key, key_len)?;
        let removed = cache.tier_remove(tier_of(tier)?, key).unwrap_or(false);
        Ok(if removed { Status::Ok } else { Status::NotFound })
    })
}

/// Fills `*health` for a tier, as far as its `struct_size` says that the caller knows the struct. Asks nobody.
///
/// Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when the cache has no such tier, and nothing is filled;
/// `CATZILLA_INVALID_ARGUMENT` for a number that is no tier.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_health(
    cache: *mut catzilla_cache_t,
    tier: catzilla_tier_t,
    health: *mut catzilla_health_t,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let tier = tier_of(tier)?;
        let Some(filled) = fillable(health, "health")? else { return Ok(Status::Ok) };
        let Some(found) = cache.health(tier) else { return Ok(Status::NotFound) };
        let mut last_error = [0; CATZILLA_HEALTH_TEXT];
        let text = found.last_error.unwrap_or_default();
        // The last byte stays NUL; a character is not cut in two.
        let mut len = text.len().min(CATZILLA_HEALTH_TEXT - 1);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        for (to, from) in last_error.iter_mut().zip(&text.as_bytes()[..len]) {
            *to = *from as c_char;
        }
        let is_up = i32::from(found.is_up);
        let made = catzilla_health_t {
            struct_size: filled,
            is_up,
            reserved: 0,
            last_error_at: found.last_error_at,
            last_error,
        };
        fill(health, &made, filled);
        Ok(Status::Ok)
    })
}

/// Fills `*statistics` for a tier below memory, as far as its `struct_size` says that the caller knows the struct. Asks nobody.
///
/// Returns: as `catzilla_cache_health`; the figures of memory are `catzilla_cache_statistics`'.
#[no_mangle]
pub unsafe extern "C" fn catzilla_cache_tier_statistics(
    cache: *mut catzilla_cache_t,
    tier: catzilla_tier_t,
    statistics: *mut catzilla_tier_statistics_t,
) -> catzilla_status_t {
    boundary(|| {
        let cache = handle(cache)?;
        let tier = tier_of(tier)?;
        let Some(filled) = fillable(statistics, "statistics")? else { return Ok(Status::Ok) };
        let Some(found) = cache.tier_statistics(tier) else { return Ok(Status::NotFound) };
        fill(statistics, &figures(&found, filled), filled);
        Ok(Status::Ok)
    })
}

fn tier_of(number: catzilla_tier_t) -> Result<TierName> {
    match number {
        CATZILLA_TIER_MEMORY => Ok(TierName::Memory),
        CATZILLA_TIER_REDIS => Ok(TierName::Redis),
        CATZILLA_TIER_DISK => Ok(TierName::Disk),
        other => {
            Err(Error::invalid_argument(format!("there is no tier {other}; there are 0 (memory), 1 (Redis), 2 (disk)")))
        }
    }
}

pub(super) fn errors(tier: &TierStatistics) -> u64 {
    tier.timeouts + tier.connection_errors + tier.refusals + tier.full_errors + tier.damage_errors
}

fn figures(tier: &TierStatistics, struct_size: usize) -> catzilla_tier_statistics_t {
    let nanos = super::statistics::nanos;
    catzilla_tier_statistics_t {
        struct_size,
        hits: tier.hits,
        misses: tier.misses,
        puts: tier.puts,
        removals: tier.removals,
        errors: errors(tier),
        timeouts: tier.timeouts,
        connection_errors: tier.connection_errors,
        refusals: tier.refusals,
        full_errors: tier.full_errors,
        damage_errors: tier.damage_errors,
        too_large: tier.too_large,
        unreadable: tier.unreadable,
        outdated: tier.outdated,
        is_open: u64::from(tier.is_open),
        openings: tier.openings,
        entries: tier.entries,
        bytes: tier.bytes,
        max_bytes: tier.max_bytes,
        evictions: tier.evictions,
        expirations: tier.expirations,
        queued: tier.queued,
        queued_bytes: tier.queued_bytes,
        dropped_writes: tier.dropped_writes,
        owed: tier.owed,
        owed_ever: tier.owed_ever,
        owed_overflows: tier.owed_overflows,
        demotions: tier.demotions,
        set_aside: tier.set_aside,
        connections: tier.connections,
        connects: tier.connects,
        read_samples: tier.reads.samples,
        read_p50_ns: nanos(tier.reads.p50),
        read_p99_ns: nanos(tier.reads.p99),
        read_p999_ns: nanos(tier.reads.p999),
        read_max_ns: nanos(tier.reads.max),
        write_samples: tier.writes.samples,
        write_p50_ns: nanos(tier.writes.p50),
        write_p99_ns: nanos(tier.writes.p99),
        write_p999_ns: nanos(tier.writes.p999),
        write_max_ns: nanos(tier.writes.max),
    }
}
