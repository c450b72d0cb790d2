//! Counters that many threads raise at once, and the only place where a ratio is computed.

use crate::latency::Latency;
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// `N` counters, each kept as several stripes so that threads do not fight over one cache line.
///
/// A sum is exact when nobody is counting; while somebody is, each counter lags by what is in flight. A clone has the same
/// counters.
#[derive(Clone)]
pub(crate) struct Striped<const N: usize> {
    stripes: Arc<[CachePadded<[AtomicU64; N]>; STRIPES]>,
}

/// Which stripe is a thread's. Threads are numbered from 0, and no two that live at one time have the same number.
#[derive(Clone, Copy)]
pub(crate) struct Stripe(u32);

/// The threads up to this number have a stripe of their own, which they write without a locked instruction.
const OWN: usize = 48;

/// All others share these. Arbitrary: as many as threads of a large machine run at once, divided by a few.
const SHARED: usize = 16;

const STRIPES: usize = OWN + SHARED;

impl Stripe {
    /// For a thread to keep: every count asks for it.
    pub(crate) fn of_thread(number: usize) -> Self {
        let stripe = if number < OWN { number } else { OWN + number % SHARED };
        Self(stripe as u32)
    }
}

impl<const N: usize> Striped<N> {
    pub(crate) fn new() -> Self {
        let stripe = || CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { stripes: Arc::new(std::array::from_fn(|_| stripe())) }
    }

    /// Adds to a counter of the calling thread's stripe.
    #[inline(always)]
    pub(crate) fn add(&self, stripe: Stripe, counter: usize, by: u64) {
        let number = stripe.0 as usize;
        if number < OWN {
            let value = &self.stripes[number][counter];
            value.store(value.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        } else {
            self.add_to_shared(number, counter, by);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_to_shared(&self, number: usize, counter: usize, by: u64) {
        self.stripes[number][counter].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self, counter: usize) -> u64 {
        self.stripes.iter().map(|stripe| stripe[counter].load(Ordering::Relaxed)).sum()
    }
}

/// Hits among hits and misses; 0 before the first request.
pub(crate) fn hit_ratio(hits: u64, misses: u64) -> f64 {
    match hits + misses {
        0 => 0.0,
        requests => hits as f64 / requests as f64,
    }
}

/// What a cache has done so far and holds now. Counters run from the cache's creation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Requests answered, by any tier.
    pub hits: u64,
    /// Requests that no tier could answer; a look-up that met an expired entry is one.
    pub misses: u64,
    /// `hits / (hits + misses)`, 0 before the first request.
    pub hit_ratio: f64,
    /// Values stored.
    pub puts: u64,
    /// Entries removed by their key or by a purge.
    pub removals: u64,
    /// How often `memory.shrink_on_pressure` has made the memory tier give memory back.
    pub pressure_shrinks: u64,
    /// The memory tier's own figures.
    pub memory: MemoryStatistics,
    /// Keys that were missed and that a caller then began to load: see [`crate::Cache::get_or_load`].
    pub loads: u64,
    /// Those that ended with a failure.
    pub load_failures: u64,
    /// Callers that waited for somebody else's load.
    pub load_waits: u64,
    /// The Redis tier's own figures; all zeros in a cache that has none.
    pub redis: TierStatistics,
    /// The disk tier's own figures; all zeros in a cache that has none.
    pub disk: TierStatistics,
}

/// What a tier below memory has done so far and holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TierStatistics {
    /// Look-ups that it has answered. One is made for all who miss a key at the same time.
    pub hits: u64,
    /// Look-ups that it has answered with "not there", or with something that was no longer to be believed.
    pub misses: u64,
    /// Values that it has taken.
    pub puts: u64,
    /// Keys that it has removed.
    pub removals: u64,
    /// Calls on it that had no answer in time.
    pub timeouts: u64,
    /// Calls on it for which there was no connection, or it broke.
    pub connection_errors: u64,
    /// Calls that it has refused: a wrong password, a server that is loading, a lack of rights.
    pub refusals: u64,
    /// Writes for which it had no room.
    pub full_errors: u64,
    /// Calls that found its file damaged.
    pub damage_errors: u64,
    /// Values that were too large for it.
    pub too_large: u64,
    /// Values that could not be read: of another program or version, or damaged. Each was a miss.
    pub unreadable: u64,
    /// Values that were purged or cleared, by whichever process, before they were read. Each was a miss.
    pub outdated: u64,
    /// Whether it is left alone at the moment, because it has failed.
    pub is_open: bool,
    /// How often that has begun.
    pub openings: u64,
    /// Keys that it has; 0 where that is not known.
    pub entries: u64,
    /// Bytes that it takes; 0 where that is not known.
    pub bytes: u64,
    /// Bound on `bytes`; 0 without one.
    pub max_bytes: u64,
    /// Values that it has removed because it was full.
    pub evictions: u64,
    /// Values that it has removed because their time was over.
    pub expirations: u64,
    /// Writes that wait for it.
    pub queued: u64,
    /// Bytes of these.
    pub queued_bytes: u64,
    /// Values that were not written, because too much was waiting already or it could not be reached. What it had of their
    /// keys is removed.
    pub dropped_writes: u64,
    /// Keys that have to be removed before it is asked again, because they were written or removed while it could not be reached.
    pub owed: u64,
    /// Keys that ever were.
    pub owed_ever: u64,
    /// How often those were too many, and it was cleared instead.
    pub owed_overflows: u64,
    /// Values that memory had evicted and that were written to it for that.
    pub demotions: u64,
    /// How often what it had could not be used any more, was set aside and begun anew.
    pub set_aside: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were made.
    pub connects: u64,
    /// How long look-ups take, of one key or of many. Each of many is timed; of those of one key the first 1,024, and then one in 16.
    pub reads: Latency,
    /// How long writes take, each round trip or transaction; each is timed.
    pub writes: Latency,
}

/// How a tier is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the tier is asked. False while it is left alone because it has failed; it is tried again by itself.
    pub is_up: bool,
    /// What went wrong last, in words; `None`: nothing yet.
    pub last_error: Option<String>,
    /// When that was, in microseconds since the Unix epoch; 0: never.
    pub last_error_at: u64,
}

/// What the memory tier has done so far and holds now. Sizes are bytes as the allocator rounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryStatistics {
    /// Look-ups answered from memory.
    pub hits: u64,
    /// Look-ups that memory could not answer.
    pub misses: u64,
    /// Values stored.
    pub puts: u64,
    /// Entries removed by their key or by a purge.
    pub removals: u64,
    /// Entries held now. An expired one counts until it is met or swept.
    pub entries: u64,
    /// How many entries it may hold; `u64::MAX` without a bound.
    pub capacity: u64,
    /// Memory of the live entries (keys, values, headers) and of what finds, orders and expires them.
    pub bytes: u64,
    /// Bound on `bytes`; `u64::MAX` without one.
    pub max_bytes: u64,
    /// The index's part of `bytes`.
    pub index_bytes: u64,
    /// Removed entries and decompressed copies that somebody may still be reading; not part of `bytes`.
    pub lent_bytes: u64,
    /// Pages that the cache's jemalloc arena has in use; 0 for a cache without an arena.
    pub active_bytes: u64,
    /// Entries removed because the cache was full.
    pub evictions: u64,
    /// Entries removed because their lifetime was over.
    pub expirations: u64,
    /// Values that were stored compressed.
    pub compressed_puts: u64,
    /// Bytes of those values before compression.
    pub compression_input_bytes: u64,
    /// Bytes of those values after compression.
    pub compression_output_bytes: u64,
    /// Entries that have left while there was a listener, and that there was no memory to tell it of.
    pub untold_departures: u64,
    /// How long look-ups of one key take inside the library, hit or miss; one in 1,024 is timed, at random. Not those of batches.
    pub reads: Latency,
    /// How long it takes to store one value, compressing and evicting included, the listener not; one in 64 is timed. Not
    /// those of batches.
    pub writes: Latency,
}

impl MemoryStatistics {
    /// How many times smaller compression made the values it was used on; 1 before the first.
    pub fn compression_ratio(&self) -> f64 {
        match self.compression_output_bytes {
            0 => 1.0,
            output => self.compression_input_bytes as f64 / output as f64,
        }
    }
}
