//! Statistics tell how long look-ups and puts take, by a sample of them.

use catzilla_cache::{Cache, Clock, Latency, MemoryStatistics, Options, Read, Ttl};
use std::time::{Duration, Instant};

fn memory(cache: &Cache) -> MemoryStatistics {
    cache.statistics().memory
}

#[track_caller]
fn assert_ordered(latency: &Latency) {
    let Latency { p50, p99, p999, max, .. } = *latency;
    assert!(p50 <= p99 && p99 <= p999 && p999 <= max, "{latency:?}");
}

/// As many as there should be, within what chance makes of it: seven deviations.
#[track_caller]
fn assert_about(samples: u64, calls: u64, one_in: u64) {
    let expected = (calls / one_in) as f64;
    assert!((samples as f64 - expected).abs() < 7.0 * expected.sqrt() + 2.0, "{samples} of {calls}");
}

const CALLS: u64 = if cfg!(miri) { 8_000 } else { 400_000 };

#[test]
fn about_one_look_up_in_1024_is_timed_hit_or_miss_and_none_is_before_one_was_made() {
    let cache = Cache::open(&Options::new()).unwrap();
    assert_eq!((memory(&cache).reads, memory(&cache).writes), (Latency::default(), Latency::default()));
    cache.put(b"key", b"value", Ttl::Forever).unwrap();
    let mut buffer = [0; 8];
    let begun = Instant::now();
    for key in [b"key".as_slice(), b"absent"] {
        let before = memory(&cache).reads.samples;
        for _ in 0..CALLS {
            let read = cache.read(key, &mut buffer).unwrap();
            assert_eq!(read.is_some(), key == b"key");
        }
        assert_about(memory(&cache).reads.samples - before, CALLS, 1024);
    }
    let before = memory(&cache).reads.samples;
    for _ in 0..CALLS {
        // Not a request, and timed no more often for that.
        assert_eq!(cache.read(b"key", &mut []).unwrap(), Some(Read::Truncated(5)));
    }
    assert_about(memory(&cache).reads.samples - before, CALLS, 1024);
    let reads = memory(&cache).reads;
    assert_ordered(&reads);
    assert!(Duration::ZERO < reads.max && reads.max <= begun.elapsed(), "{reads:?}");
    // Acquired ones, too.
    let before = reads.samples;
    for _ in 0..CALLS {
        assert!(cache.acquire(b"key").unwrap().is_some());
    }
    assert_about(memory(&cache).reads.samples - before, CALLS, 1024);
}

/// Each thread counts for itself, and a cache gets its share of what a thread does with several.
#[test]
fn caches_that_take_turns_are_sampled_alike() {
    let caches = [(); 2].map(|()| Cache::open(&Options::new()).unwrap());
    for _ in 0..CALLS {
        for cache in &caches {
            assert_eq!(cache.read(b"absent", &mut []).unwrap(), None);
        }
    }
    for cache in &caches {
        assert_about(memory(cache).reads.samples, CALLS, 1024);
    }
}

#[test]
fn about_one_put_in_64_is_timed_whether_of_one_key_or_of_many() {
    let calls = CALLS / 4;
    for keys in [1, 64, calls] {
        let mut options = Options::new();
        options.set("memory.capacity", "10000").unwrap();
        let cache = Cache::open(&options).unwrap();
        for i in 0..calls {
            cache.put(&(i % keys).to_le_bytes(), b"value", Ttl::Forever).unwrap();
        }
        let writes = memory(&cache).writes;
        assert_about(writes.samples, calls, 64);
        assert_ordered(&writes);
        assert!(writes.max > Duration::ZERO);
        for _ in 0..calls {
            cache.increment(b"count", 1, 1, Ttl::Forever).unwrap();
        }
        assert_about(memory(&cache).writes.samples - writes.samples, calls, 64);
    }
}

/// By the cache's own clock, as all times.
#[test]
fn a_clock_that_stands_still_measures_nothing() {
    let (clock, _time) = Clock::manual();
    let cache = Cache::with_clock(&Options::new(), clock).unwrap();
    for i in 0..CALLS {
        cache.put(b"key", &i.to_le_bytes(), Ttl::Forever).unwrap();
    }
    let writes = memory(&cache).writes;
    assert!(writes.samples > 0);
    assert_eq!((writes.p50, writes.max), (Duration::ZERO, Duration::ZERO));
}
