//! TTL evicts what expires soonest, and knows what was put off or brought nearer.

use crate::{open, Random};
use catzilla_cache::{Cache, Clock, Options, Ttl};
use std::time::Duration;

#[test]
fn ttl_evicts_what_expires_soonest() {
    const CAPACITY: u64 = if cfg!(miri) { 30 } else { 1_000 };
    let cache = open("ttl", CAPACITY, "1");
    let put = |key: u64, ttl| cache.put(&key.to_le_bytes(), b"", ttl).unwrap();
    let seconds = |number: u64| Ttl::For(Duration::from_secs(1_000 + number));
    // In another order than that of their ends; and two that never expire.
    let mut ends: Vec<u64> = (0..CAPACITY - 2).collect();
    let mut random = Random(3);
    (1..ends.len()).rev().for_each(|i| ends.swap(i, random.below(i as u64 + 1) as usize));
    put(CAPACITY, Ttl::Forever);
    put(CAPACITY + 1, Ttl::Forever);
    ends.iter().for_each(|end| put(*end, seconds(*end)));
    // Hits change nothing; what is stored again gets its new lifetime.
    assert!(cache.acquire(&0_u64.to_le_bytes()).unwrap().is_some());
    put(5, seconds(2 * CAPACITY));
    for number in (0..CAPACITY - 2).filter(|number| *number != 5) {
        put(10 * CAPACITY + number, seconds(3 * CAPACITY));
        assert!(!cache.contains(&number.to_le_bytes()), "{number} should have left");
    }
    let next = |number: u64| put(20 * CAPACITY + number, seconds(4 * CAPACITY));
    next(0);
    assert!(!cache.contains(&5_u64.to_le_bytes()));
    // Those with the same end in their order, and then those that never expire in theirs.
    (1..CAPACITY - 2).for_each(next);
    assert!(cache.contains(&CAPACITY.to_le_bytes()) && cache.contains(&(CAPACITY + 1).to_le_bytes()));
    (0..CAPACITY - 1).for_each(|number| put(30 * CAPACITY + number, Ttl::Forever));
    assert!(!cache.contains(&CAPACITY.to_le_bytes()) && cache.contains(&(CAPACITY + 1).to_le_bytes()));
}

#[test]
fn ttl_knows_what_hits_have_put_off() {
    let (clock, time) = Clock::manual();
    let mut options = Options::new();
    options.set("memory.policy", "ttl").unwrap().set("memory.capacity", "10").unwrap();
    options.set("memory.sliding", "on").unwrap().set("memory.sweep_interval", "off").unwrap();
    let cache = Cache::with_clock(&options, clock).unwrap();
    for key in 0..10_u64 {
        cache.put(&key.to_le_bytes(), b"", Ttl::For(Duration::from_secs(100 + key))).unwrap();
    }
    time.advance(Duration::from_secs(50));
    for key in 0..5_u64 {
        assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some());
    }
    for key in 5..10_u64 {
        cache.put(&(100 + key).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "{key} was not put off");
    }
}

#[test]
fn ttl_knows_what_a_touch_has_brought_nearer_or_put_off() {
    let cache = open("ttl", 10, "1");
    let seconds = |number: u64| Ttl::For(Duration::from_secs(number));
    let put = |key: u64, ttl| cache.put(&key.to_le_bytes(), b"", ttl).unwrap();
    (0..10).for_each(|key| put(key, seconds(1_000 + 10 * key)));
    for (key, ttl) in
        [(9_u64, seconds(500)), (5, seconds(600)), (0, seconds(5_000)), (1, Ttl::Forever), (8, seconds(1_015))]
    {
        assert!(cache.touch(&key.to_le_bytes(), ttl));
    }
    for (number, key) in [9, 5, 8, 2, 3, 4, 6, 7, 0, 1_u64].into_iter().enumerate() {
        assert!(cache.contains(&key.to_le_bytes()));
        put(100 + number as u64, Ttl::Forever);
        assert!(!cache.contains(&key.to_le_bytes()), "{key} should have left");
    }
}
