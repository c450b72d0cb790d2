//! What the cache says it uses, against what the allocator and the kernel say. One test a process would be best; the ones
//! that look at the whole process are in one function so that they do not see each other.
#![cfg(not(miri))]

use catzilla_cache::{Cache, Clock, Options, Purge, Status, Ttl};
use std::sync::Arc;
use std::time::Duration;

fn open(options: &[(&str, &str)]) -> Arc<Cache> {
    let mut table = Options::new();
    for (name, value) in options {
        table.set(name, value).unwrap();
    }
    Cache::open(&table).unwrap()
}

fn key(i: u64) -> [u8; 32] {
    let mut key = [b'k'; 32];
    key[..8].copy_from_slice(&i.to_le_bytes());
    key
}

/// Resident memory of this process, in bytes.
#[cfg(all(target_os = "linux", feature = "jemalloc"))]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[cfg(all(target_os = "linux", feature = "jemalloc"))]
#[test]
fn usage_is_what_allocator_and_kernel_see_and_falls_when_entries_go() {
    const ENTRIES: u64 = 1_000_000;
    let before = resident();
    let cache = open(&[("memory.capacity", "unlimited"), ("memory.compression", "off")]);
    for i in 0..ENTRIES {
        cache.put(&key(i), &[i as u8; 100], Ttl::Forever).unwrap();
    }
    let memory = cache.statistics().memory;
    let gained = resident() - before;
    let of = |part: u64, whole: u64| part as f64 / whole as f64;
    let active = of(memory.bytes, memory.active_bytes);
    assert!((0.95..=1.05).contains(&active), "{active} of the arena's active bytes");
    let resident = of(memory.bytes, gained);
    assert!((0.85..=1.15).contains(&resident), "{resident} of what the process gained");
    assert_eq!(memory.entries, ENTRIES);

    // Half of them removed: the entries' bytes halve, the index stays.
    let index = memory.index_bytes;
    for i in 0..ENTRIES / 2 {
        assert!(cache.remove(&key(i)));
    }
    let half = cache.statistics().memory;
    assert_eq!(half.index_bytes, index);
    assert_eq!(2 * (half.bytes - index), memory.bytes - index);

    cache.purge(Purge::All);
    let cleared = cache.statistics().memory;
    assert!(cleared.bytes <= 16 * ENTRIES, "{} bytes after clear", cleared.bytes);
    assert_eq!(cleared.lent_bytes, 0);
    assert!(cleared.active_bytes < memory.active_bytes / 50, "{} active bytes after clear", cleared.active_bytes);
}

#[test]
fn overwriting_evicting_and_expiring_are_counted_to_the_byte() {
    for jemalloc in ["on", "off"] {
        // A policy that remembers nothing of what has gone.
        let cache = open(&[
            ("memory.capacity", "2"),
            ("memory.policy", "lru"),
            ("memory.compression", "off"),
            ("memory.jemalloc", jemalloc),
        ]);
        assert_eq!(cache.memory_usage(), 0);
        cache.put(b"a", &[0; 1_000], Ttl::Forever).unwrap();
        let large = cache.memory_usage();
        cache.put(b"a", &[0; 10], Ttl::Forever).unwrap();
        let small = cache.memory_usage();
        assert!(small + 900 < large, "{small} {large}");
        cache.put(b"b", &[0; 10], Ttl::Forever).unwrap();
        let two = cache.memory_usage();
        cache.put(b"c", &[0; 10], Ttl::Forever).unwrap();
        assert_eq!(cache.memory_usage(), two);
        assert_eq!(cache.statistics().memory.evictions, 1);
        cache.purge(Purge::All);
        assert_eq!(cache.memory_usage(), 0);
    }
}

#[test]
fn lifetimes_that_are_overwritten_leave_little_behind() {
    let (clock, time) = Clock::manual();
    let mut options = Options::new();
    options.set("memory.capacity", "100").unwrap();
    let cache = Cache::with_clock(&options, clock).unwrap();
    let mut most = 0;
    for i in 0..200_000_u64 {
        time.advance(Duration::from_millis(10));
        cache.put(&key(i % 100), b"value", Ttl::For(Duration::from_secs(100_000))).unwrap();
        most = most.max(cache.memory_usage());
    }
    // 100 entries of 96 bytes, 20 buckets, three hints an entry and a few more.
    assert!(most < 100 * 96 + 20 * 64 + 400 * 8, "{most}");
    for i in 0..100 {
        assert!(cache.remove(&key(i)));
    }
    let memory = cache.statistics().memory;
    assert_eq!(memory.bytes, memory.index_bytes);
}

#[test]
fn what_is_held_by_a_reader_is_lent_and_not_used() {
    let cache = open(&[("memory.compression", "off")]);
    cache.put(b"key", &[7; 5_000], Ttl::Forever).unwrap();
    let value = cache.acquire(b"key").unwrap().unwrap();
    assert_eq!(cache.statistics().memory.lent_bytes, 0);
    cache.remove(b"key");
    cache.purge(Purge::All);
    let memory = cache.statistics().memory;
    assert_eq!(memory.bytes, 0);
    assert!(memory.lent_bytes >= 5_000);
    assert_eq!(*value, [7; 5_000]);
    drop(value);
    assert_eq!(cache.statistics().memory.lent_bytes, 0);
}

#[test]
fn a_bound_on_bytes_holds_after_every_put() {
    const BOUND: u64 = 1 << 20;
    let cache = open(&[("memory.max_bytes", "1MiB"), ("memory.shards", "4"), ("memory.compression", "off")]);
    let mut size = 1_u64;
    for i in 0..20_000 {
        size = (size * 7_919 + i) % 6_000;
        cache.put(&key(i), &vec![1; size as usize], Ttl::Forever).unwrap();
        assert!(cache.memory_usage() <= BOUND);
    }
    let memory = cache.statistics().memory;
    assert!(memory.evictions > 0 && memory.bytes > BOUND * 9 / 10, "{memory:?}");
    // Alone it would not fit: it is refused, and nobody has to leave for it.
    let entries = memory.entries;
    assert!(cache.put(b"too large", &vec![1; BOUND as usize], Ttl::Forever).is_err());
    assert_eq!(cache.statistics().memory.entries, entries);
}

/// What a put stores is there afterwards: an entry that would have to leave at once, because the index needs room too, is
/// refused instead.
#[test]
fn an_entry_that_fits_only_without_the_index_is_refused() {
    let cache = open(&[("memory.max_bytes", "64KiB"), ("memory.compression", "off")]);
    for size in (60_000..=66_000).step_by(100) {
        match cache.put(b"key", &vec![1; size], Ttl::Forever) {
            Ok(()) => assert!(cache.contains(b"key"), "{size} bytes were accepted and are not there"),
            Err(error) => assert_eq!(error.status(), Status::ValueTooLarge),
        }
        assert!(cache.memory_usage() <= 64 << 10);
    }
    assert!(cache.put(b"key", &[1; 60_000], Ttl::Forever).is_ok());
    assert!(cache.put(b"key", &[1; 66_000], Ttl::Forever).is_err());
}

#[test]
fn compression_is_told_and_takes_less() {
    let cache = open(&[("memory.compression_threshold", "100")]);
    let value = b"a text that repeats itself, ".repeat(1_000);
    cache.put(b"key", &value, Ttl::Forever).unwrap();
    let memory = cache.statistics().memory;
    if cfg!(feature = "lz4") {
        assert_eq!((memory.compressed_puts, memory.compression_input_bytes), (1, value.len() as u64));
        assert!(memory.compression_ratio() > 10.0 && memory.bytes < value.len() as u64 / 10);
    } else {
        assert_eq!(memory.compressed_puts, 0);
    }
    assert_eq!(*cache.acquire(b"key").unwrap().unwrap(), *value);
}
