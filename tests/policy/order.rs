//! LRU, FIFO and SIEVE evict in exact order where there is one shard; several keep what was used lately.

use crate::model::{Lru, Model, Sieve};
use crate::{open, Random};
use catzilla_cache::{Cache, Ttl};

/// Runs calls at random. Every victim has to be the model's: the cache holds as many entries as the model, and what the model
/// has let go is not among them, so they hold the same.
fn evicts_in_exact_order(mut model: impl Model, cache: &Cache, capacity: u64, calls: u64, most_hits: u64) {
    let mut random = Random(0x5EED + capacity);
    for call in 0..calls {
        // Some keys are far more popular than others.
        let spread = (2 * capacity) >> random.below(6);
        let key = random.below(spread.max(2));
        let bytes = key.to_le_bytes();
        match random.below(16) {
            0 => assert_eq!(cache.remove(&bytes), model.remove(key)),
            number if number <= most_hits => {
                let is_hit = model.has(key);
                assert_eq!(cache.acquire(&bytes).unwrap().is_some(), is_hit, "call {call}");
                if is_hit {
                    model.hit(key);
                }
            }
            _ => {
                let victim = (!model.has(key) && model.len() == capacity).then(|| model.evict());
                cache.put(&bytes, b"", Ttl::Forever).unwrap();
                model.put(key);
                if let Some(victim) = victim {
                    assert!(!cache.contains(&victim.to_le_bytes()), "call {call}: {victim} should have left");
                }
            }
        }
    }
    assert_eq!(cache.statistics().memory.entries, model.len());
    assert!(model.keys().iter().all(|key| cache.contains(&key.to_le_bytes())));
}

#[test]
fn lru_evicts_in_exact_order_in_a_cache_of_one_shard() {
    let calls = if cfg!(miri) { 300 } else { 200_000 };
    for capacity in [1, 2, 10, 1_000, 4_096] {
        for most_hits in [4, 12] {
            evicts_in_exact_order(Lru::default(), &open("lru", capacity, "0"), capacity, calls, most_hits);
        }
    }
    // One that was asked for.
    evicts_in_exact_order(Lru::default(), &open("lru", 20_000, "1"), 20_000, 2 * calls, 8);
}

#[test]
fn fifo_and_sieve_evict_in_exact_order_in_a_cache_of_one_shard() {
    let calls = if cfg!(miri) { 300 } else { 20_000 };
    for (policy, counts_hits) in [("fifo", false), ("sieve", true)] {
        for capacity in [1, 2, 10, 500] {
            for most_hits in [4, 12] {
                let cache = open(policy, capacity, "0");
                evicts_in_exact_order(Sieve::new(counts_hits), &cache, capacity, calls, most_hits);
            }
        }
    }
}

/// The hand passes whatever was hit, however much that is.
#[test]
fn sieve_is_exact_after_everything_was_asked_for() {
    let capacity = if cfg!(miri) { 100 } else { 4_096 };
    let cache = open("sieve", capacity, "1");
    (0..capacity).for_each(|key| cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap());
    for key in 0..capacity {
        assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some());
    }
    for key in 0..capacity {
        cache.put(&(capacity + key).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "number {key} should have left");
    }
}

/// All that are there are asked for, so that every one of them has moved when the next one comes in.
#[test]
fn lru_is_exact_after_everything_was_asked_for_in_another_order() {
    let capacity = if cfg!(miri) { 100 } else { 4_096 };
    let cache = open("lru", capacity, "1");
    for i in 0..capacity {
        cache.put(&i.to_le_bytes(), b"", Ttl::Forever).unwrap();
    }
    let mut order: Vec<u64> = (0..capacity).collect();
    let mut random = Random(1);
    (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i as u64 + 1) as usize));
    for key in &order {
        assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some());
    }
    for (number, key) in order.iter().enumerate() {
        assert!(cache.contains(&key.to_le_bytes()));
        cache.put(&(capacity + number as u64).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "number {number} should have left");
    }
}

/// The interface allows a cache of several shards a sixteenth of its capacity.
#[test]
fn lru_of_several_shards_keeps_what_was_used_lately() {
    if cfg!(miri) {
        return;
    }
    const CAPACITY: u64 = 32_768;
    let cache = open("lru", CAPACITY, "8");
    let mut model = Lru::default();
    let mut random = Random(7);
    for _ in 0..600_000 {
        let spread = (2 * CAPACITY) >> random.below(4);
        let key = random.below(spread);
        if cache.acquire(&key.to_le_bytes()).unwrap().is_none() {
            cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
        }
        model.hit(key);
    }
    // Shards are not equally full, which costs a little more than the order within them.
    let newest = model.by_age.values().rev().take(CAPACITY as usize * 13 / 16);
    let lost = newest.filter(|key| !cache.contains(&key.to_le_bytes())).count();
    assert_eq!(lost, 0, "of {CAPACITY}");
}
