//! Lifetimes as a user sees them: jitter, sliding, sweeping, and what all of it leaves behind.

use catzilla_cache::{Cache, Clock, ManualTime, Options, Ttl};
use std::sync::Arc;
use std::time::Duration;

fn open(options: &[(&str, &str)]) -> (Arc<Cache>, ManualTime) {
    let (clock, time) = Clock::manual();
    let mut all = Options::new();
    // Nothing but the calls of the test may free what has expired.
    for (name, text) in [&[("memory.sweep_interval", "off")], options].concat() {
        all.set(name, text).unwrap();
    }
    (Cache::with_clock(&all, clock).unwrap(), time)
}

fn key(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

const ENTRIES: u32 = if cfg!(miri) { 200 } else { 20_000 };

/// Entries with the same deadline that stand in the same bucket are put off to different ones; when the index grows they part.
#[test]
fn every_entry_that_a_hit_has_put_off_is_swept_in_the_end() {
    let (cache, time) = open(&[("memory.sliding", "on"), ("memory.capacity", "unlimited"), ("memory.shards", "1")]);
    for i in 0..ENTRIES {
        cache.put(&key(i), b"", Ttl::For(Duration::from_secs(10))).unwrap();
    }
    time.advance(Duration::from_secs(6));
    for i in 0..ENTRIES {
        time.advance(Duration::from_secs(2) / ENTRIES);
        assert!(cache.acquire(&key(i)).unwrap().is_some());
    }
    time.advance(Duration::from_secs(4));
    assert_eq!(cache.sweep(), 0, "a hit has given them all ten seconds more");
    for i in ENTRIES..4 * ENTRIES {
        cache.put(&key(i), b"", Ttl::Forever).unwrap();
    }
    time.advance(Duration::from_secs(7));
    assert_eq!(cache.sweep(), u64::from(ENTRIES));
    assert_eq!(cache.statistics().memory.entries, 3 * u64::from(ENTRIES));
}

#[test]
fn a_sliding_entry_lives_as_long_as_it_is_asked_for() {
    let (cache, time) = open(&[("memory.sliding", "on")]);
    cache.put(b"asked for", b"", Ttl::For(Duration::from_secs(10))).unwrap();
    cache.put(b"not asked for", b"", Ttl::For(Duration::from_secs(10))).unwrap();
    for _ in 0..100 {
        time.advance(Duration::from_secs(9));
        assert!(cache.acquire(b"asked for").unwrap().is_some());
        cache.sweep();
        let left = cache.acquire(b"asked for").unwrap().unwrap().remaining().unwrap();
        // Lifetimes that hits give anew are whole ticks.
        assert!(left < Duration::from_millis(10_009) && left > Duration::from_millis(9_990), "{left:?}");
    }
    assert_eq!(cache.statistics().memory.entries, 1);
    // Whether it is there is no use of it.
    time.advance(Duration::from_secs(6));
    assert!(cache.contains(b"asked for"));
    time.advance(Duration::from_secs(6));
    assert!(!cache.contains(b"asked for"));
    assert_eq!(cache.sweep(), 1);
    let memory = cache.statistics().memory;
    assert_eq!((memory.entries, memory.expirations, memory.bytes), (0, 2, memory.index_bytes));
}

#[test]
fn jitter_lengthens_lifetimes_by_different_parts_and_never_shortens_one() {
    let (cache, time) = open(&[("memory.ttl_jitter", "50"), ("memory.capacity", "unlimited")]);
    for i in 0..ENTRIES {
        cache.put(&key(i), b"", Ttl::For(Duration::from_secs(100))).unwrap();
    }
    time.advance(Duration::from_secs(100) - Duration::from_millis(10));
    assert_eq!(cache.sweep(), 0);
    // Fifty seconds in which a fifth part each goes in every ten.
    time.advance(Duration::from_millis(30));
    let mut left = u64::from(ENTRIES) - cache.sweep();
    for _ in 0..5 {
        time.advance(Duration::from_secs(10));
        let swept = cache.sweep();
        assert!(
            swept.abs_diff(u64::from(ENTRIES) / 5) < u64::from(ENTRIES) / 10,
            "{swept} of {ENTRIES} in ten seconds"
        );
        left -= swept;
    }
    assert_eq!(left, 0);
    assert_eq!(cache.statistics().memory.expirations, u64::from(ENTRIES));
}

/// Deadlines of all sizes, also some that the wheel cannot hold, in steps of all sizes: nothing goes early, and a sweep leaves
/// nothing behind.
#[test]
fn a_sweep_frees_exactly_what_has_expired() {
    let mut random = 0x5EED_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random >> 8
    };
    for sliding in ["off", "on"] {
        let (cache, time) = open(&[("memory.sliding", sliding), ("memory.capacity", "unlimited")]);
        let (mut now, mut alive) = (0_u64, Vec::new());
        for round in 0..if cfg!(miri) { 30 } else { 3_000_u32 } {
            for i in 0..next() % 10 {
                // From milliseconds to a hundred years.
                let lifetime = 1 + next() % (1 << (next() % 42));
                cache.put(&key(10 * round + i as u32), b"", Ttl::For(Duration::from_millis(lifetime))).unwrap();
                alive.push((now + lifetime, 10 * round + i as u32));
            }
            // A tick and a half later it is over for certain.
            let step = next() % (1 << (next() % 36));
            time.advance(Duration::from_millis(step));
            now += step;
            cache.sweep();
            for (deadline, number) in &alive {
                let (over, there) = (*deadline + 20 <= now, cache.contains(&key(*number)));
                assert!(!over || !there, "{number} should have gone at {deadline}, and it is {now}");
                assert!(now >= *deadline || there, "{number} has gone before {deadline}, and it is {now}");
            }
            alive.retain(|(deadline, _)| *deadline + 20 > now);
            // The sweep has freed it, not the look.
            let entries = cache.statistics().memory.entries;
            assert!(entries <= alive.len() as u64, "{entries} entries are left of {}", alive.len());
        }
    }
}

/// A cache that has become small gives the memory of its hints back too.
#[test]
fn shards_that_are_left_behind_keep_no_hints() {
    let (cache, _time) = open(&[("memory.capacity", "100000")]);
    for i in 0..ENTRIES {
        cache.put(&key(i), b"", Ttl::For(Duration::from_secs(1_000))).unwrap();
    }
    cache.set_option("memory.capacity", "10").unwrap();
    for i in 0..1_000 {
        cache.put(&key(i), b"", Ttl::For(Duration::from_secs(1_000))).unwrap();
    }
    let memory = cache.statistics().memory;
    assert_eq!(memory.entries, 10);
    assert!(memory.bytes - memory.index_bytes < 10 * 200, "{memory:?}");
}
