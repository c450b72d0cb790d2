//! How long calls take: histograms of a sample of them. Filled by the tiers, told with the statistics.
//!
//! Buckets are linear within each doubling (Tene, "HdrHistogram"): a time is known to a sixteenth of itself, from a
//! nanosecond to a minute, in 4 KiB. Whoever has taken a time adds one to a bucket that all threads share; that is rare,
//! since few calls are timed. Quantiles are computed when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long calls of one kind have taken, by a sample of them, since the cache was made. Quantiles are within a thirtieth of
/// what the sample has. All zeros before the first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Calls that were timed.
    pub samples: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// 999 of 1,000 took no longer.
    pub p999: Duration,
    /// The longest of them, exactly.
    pub max: Duration,
}

/// Buckets of a doubling, as a power of two.
const PARTS: u32 = 4;
/// Times from this power of two on, 69 seconds, count as that.
const LONGEST: u32 = 36;
const BUCKETS: usize = ((LONGEST - PARTS + 1) << PARTS) as usize;

/// Many threads may add at once.
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
    max: AtomicU64,
}

/// Which bucket a time belongs to: its highest bits, one and [`PARTS`] more, and how many stand behind them.
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << LONGEST) - 1);
    let behind = nanos.max(1).ilog2().saturating_sub(PARTS);
    ((behind << PARTS) as u64 + (nanos >> behind)) as usize
}

/// The middle of the times that belong to a bucket.
fn middle_of(bucket: usize) -> u64 {
    let behind = ((bucket >> PARTS) as u32).saturating_sub(1);
    let first = (bucket as u64 - u64::from(behind << PARTS)) << behind;
    first + (1 << behind) / 2
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: Box::new(std::array::from_fn(|_| AtomicU64::new(0))), max: AtomicU64::new(0) }
    }

    /// A call has taken so long.
    pub(crate) fn add(&self, nanos: u64) {
        self.buckets[bucket_of(nanos)].fetch_add(1, Relaxed);
        self.max.fetch_max(nanos, Relaxed);
    }

    /// What has been added so far. While others add, what they do may be in some of the figures already.
    pub(crate) fn latency(&self) -> Latency {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Relaxed)).collect();
        let samples: u64 = counts.iter().sum();
        let max = self.max.load(Relaxed);
        let quantile = |per_mille: u64| {
            // The least time that so many of the samples do not exceed.
            let wanted = (u128::from(samples) * u128::from(per_mille)).div_ceil(1_000).max(1) as u64;
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            Duration::from_nanos(bucket.map_or(0, |bucket| middle_of(bucket).min(max)))
        };
        Latency { samples, p50: quantile(500), p99: quantile(990), p999: quantile(999), max: Duration::from_nanos(max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps_and_their_middle_is_their_own() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(middle_of(bucket)), bucket);
            assert!(bucket == 0 || middle_of(bucket) > middle_of(bucket - 1));
        }
        for nanos in 1..if cfg!(miri) { 1_000 } else { 100_000 } {
            assert!((0..=1).contains(&(bucket_of(nanos) - bucket_of(nanos - 1))), "{nanos}");
        }
        for nanos in (0..10_000).chain((0..64).flat_map(|bit| [1 << bit, u64::MAX >> bit])) {
            let bucket = bucket_of(nanos);
            assert!(bucket < BUCKETS);
            if nanos < 1 << LONGEST {
                assert!(middle_of(bucket).abs_diff(nanos) <= nanos / 32, "{nanos} is told as {}", middle_of(bucket));
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sample_within_a_thirtieth() {
        // Of any magnitude, and several shapes.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for shape in 0..6 {
            for count in [1, 2, 3, 99, 100, 101, 1_000, if cfg!(miri) { 2_000 } else { 50_000 }] {
                let histogram = Histogram::new();
                let mut exact: Vec<u64> = (0..count)
                    .map(|number| match shape {
                        0 => 70,
                        1 => number,
                        2 => random() % 1_000,
                        3 => random() >> (random() % 35 + 28),
                        4 => 50 + if number % 500 == 0 { 1_000_000 } else { random() % 10 },
                        _ => 0,
                    })
                    .collect();
                exact.iter().for_each(|nanos| histogram.add(*nanos));
                exact.sort_unstable();
                let latency = histogram.latency();
                assert_eq!(latency.samples, count);
                for (told, per_mille) in [(latency.p50, 500), (latency.p99, 990), (latency.p999, 999)] {
                    let right = exact[(count * per_mille).div_ceil(1_000) as usize - 1];
                    let told = told.as_nanos() as u64;
                    assert!(told.abs_diff(right) <= right / 30, "{told} for {right}, shape {shape} of {count}");
                }
                assert_eq!(latency.max, Duration::from_nanos(*exact.last().unwrap()));
            }
        }
    }

    #[test]
    fn before_the_first_sample_all_is_zero_and_the_longest_is_told_as_it_was() {
        let histogram = Histogram::new();
        assert_eq!(histogram.latency(), Latency::default());
        histogram.add(u64::MAX);
        let latency = histogram.latency();
        assert_eq!(latency.max, Duration::from_nanos(u64::MAX));
        assert!(latency.p50 > Duration::from_secs(60) && latency.p50 < Duration::from_secs(70));
    }
}
