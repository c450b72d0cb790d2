//! Policies that decide by the traffic which order they keep: `lru-lfu` and `adaptive`.
#![cfg(not(miri))]

use crate::{open, Random};
use catzilla_cache::{Cache, Options, Ttl};

/// Ten keys that are asked for often are still there after a scan, or not.
#[test]
fn lru_lfu_evicts_by_frequency_while_many_requests_hit_and_by_recency_while_few_do() {
    const CAPACITY: u64 = 100;
    const POPULAR: u64 = 10;
    let cache = open("lru-lfu", CAPACITY, "1");
    let mut new = 1 << 32;
    let mut scan = |length: u64| {
        for _ in 0..length {
            new += 1;
            cache.put(&u64::to_le_bytes(new), b"", Ttl::Forever).unwrap();
        }
    };
    // So many requests of a hundred that hit, and as many evictions as it takes until somebody looks.
    let requests = |hits: u64, scan: &mut dyn FnMut(u64)| {
        cache.put(b"hit", b"", Ttl::Forever).unwrap();
        for number in 0..10_000_u64 {
            let key: &[u8] = if number % 100 < hits { b"hit" } else { b"miss" };
            assert_eq!(cache.acquire(key).unwrap().is_some(), number % 100 < hits);
        }
        scan(600);
    };
    let keeps = |scan: &mut dyn FnMut(u64)| {
        for key in 0..POPULAR {
            cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
            (0..20).for_each(|_| assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some()));
        }
        scan(3 * CAPACITY);
        match (0..POPULAR).filter(|key| cache.contains(&key.to_le_bytes())).count() as u64 {
            0 => false,
            POPULAR => true,
            some => panic!("{some} of {POPULAR}"),
        }
    };
    // As PyFerris has it: frequency above the threshold, else recency, with which it begins.
    assert!(!keeps(&mut scan));
    for (hits, by_frequency) in [(90, true), (71, true), (40, false), (71, false), (73, true)] {
        requests(hits, &mut scan);
        assert_eq!(keeps(&mut scan), by_frequency, "when {hits} of a hundred hit");
    }
    for (threshold, hits, by_frequency) in [("100", 100, false), ("30%", 40, true), ("60", 40, false), ("0", 1, true)] {
        cache.set_option("memory.lru_lfu_threshold", threshold).unwrap();
        requests(hits, &mut scan);
        assert_eq!(keeps(&mut scan), by_frequency, "{hits} of a hundred, threshold {threshold}");
    }
    // Another policy, and back: it begins anew.
    cache.set_option("memory.policy", "fifo").unwrap();
    cache.set_option("memory.policy", "lru-lfu").unwrap();
    assert!(!keeps(&mut scan));
}

/// Both of its orders are coarser than those of the policies that have only one, and worth as much.
#[test]
fn lru_lfu_hits_about_as_often_as_lru_or_as_lfu() {
    const CAPACITY: u64 = 1_000;
    let hits = |policy: &str, threshold: &str, key_at: fn(u64, &mut Random) -> u64| {
        let (cache, mut random) = (open(policy, CAPACITY, "1"), Random(11));
        cache.set_option("memory.lru_lfu_threshold", threshold).unwrap();
        for number in 0..100_000 {
            let key = key_at(number, &mut random).to_le_bytes();
            if cache.acquire(&key).unwrap().is_none() {
                cache.put(&key, b"", Ttl::Forever).unwrap();
            }
        }
        cache.statistics().memory.hits / 1_000
    };
    // A working set that moves on.
    let moving = |number: u64, random: &mut Random| number / 4 - random.below((CAPACITY * 9 / 10).min(number / 4 + 1));
    assert!(hits("lru-lfu", "100", moving) + 4 >= hits("lru", "70", moving));
    // Keys of very different popularity, always the same ones.
    let skewed = |_: u64, random: &mut Random| {
        let most = 2 << random.below(16);
        random.below(most)
    };
    assert!(hits("lfu", "70", skewed) >= hits("lru", "70", skewed) + 2);
    assert!(hits("lru-lfu", "0", skewed) + 1 >= hits("lfu", "70", skewed));
}

/// What the reference simulations of the rules get is had by one cache, whatever the traffic is.
#[test]
fn adaptive_gets_what_lru_gets_and_what_it_does_not() {
    const CAPACITY: u64 = 1_000;
    const LENGTH: u64 = CAPACITY * 3 / 2;
    let hits = |policy: &str, key_at: fn(u64, &mut Random) -> u64| {
        let (cache, mut random) = (open(policy, CAPACITY, "1"), Random(11));
        for number in 0..100 * LENGTH {
            let key = key_at(number, &mut random).to_le_bytes();
            if cache.acquire(&key).unwrap().is_none() {
                cache.put(&key, b"", Ttl::Forever).unwrap();
            }
        }
        cache.statistics().memory.hits * 100 / (100 * LENGTH)
    };
    // A loop: LRU gets nothing, and two thirds are possible.
    let a_loop = |number: u64, _: &mut Random| number % LENGTH;
    assert_eq!(hits("lru", a_loop), 0);
    assert!(hits("adaptive", a_loop) >= 60);
    // A working set that moves on and never comes back.
    let moving = |number: u64, random: &mut Random| {
        let newest = number / 4;
        newest - random.below((CAPACITY * 9 / 10).min(newest + 1))
    };
    let possible = hits("lru", moving);
    assert!(possible >= 60);
    assert!(hits("adaptive", moving) >= possible - 5, "{} of {possible}", hits("adaptive", moving));
}

/// The bound is on bytes, so that nobody knows how many entries there will be.
#[test]
fn adaptive_finds_out_how_many_entries_there_are() {
    let mut options = Options::new();
    options.set("memory.policy", "adaptive").unwrap().set("memory.max_bytes", "1MiB").unwrap();
    let cache = Cache::open(&options).unwrap();
    let value = [7; 100];
    let mut late_hits = 0;
    // Room for some four thousand, in a loop over six thousand.
    for number in 0..600_000_u64 {
        let key = (number % 6_000).to_le_bytes();
        match cache.acquire(&key).unwrap() {
            Some(_) => late_hits += u64::from(number >= 300_000),
            None => cache.put(&key, &value, Ttl::Forever).unwrap(),
        }
    }
    assert!(late_hits >= 150_000, "{late_hits}");
}
