//! Another policy for a cache that runs: no entry is lost, the order stays, and readers and writers go on.

use crate::{open, Random};
use catzilla_cache::{Ttl, OPTIONS};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// The names in the table's row, so that a policy that is added is tested without a word here.
fn policies() -> Vec<String> {
    let row = OPTIONS.iter().find(|row| row.name == "memory.policy").expect("there is a policy to choose");
    row.range().split(", ").map(str::to_owned).collect()
}

#[test]
fn another_policy_loses_no_entry_and_keeps_the_order() {
    const CAPACITY: u64 = if cfg!(miri) { 20 } else { 1_000 };
    let policies = policies();
    for former in &policies {
        for next in &policies {
            let cache = open(former, CAPACITY, "2");
            for key in 0..CAPACITY {
                cache.put(&key.to_le_bytes(), b"value", Ttl::Default).unwrap();
                // Some notes of hits, of whatever kind. One of two shards may be full a little earlier, and evict.
                let _ = cache.acquire(&(key / 2).to_le_bytes()).unwrap();
            }
            let there: Vec<u64> = (0..CAPACITY).filter(|key| cache.contains(&key.to_le_bytes())).collect();
            let before = cache.statistics().memory;
            cache.set_option("memory.policy", next).unwrap();
            assert!(there.iter().all(|key| cache.contains(&key.to_le_bytes())), "{former} to {next}");
            let after = cache.statistics().memory;
            assert_eq!((after.entries, after.evictions), (before.entries, before.evictions), "{former} to {next}");
            for key in CAPACITY..4 * CAPACITY {
                cache.put(&key.to_le_bytes(), b"value", Ttl::Default).unwrap();
                assert!(cache.statistics().memory.entries <= CAPACITY);
            }
            assert!(cache.set_option("memory.policy", "mru").is_err());
        }
    }
    // The one that was used longest ago is the first of the new order.
    let cache = open("lru", 10, "1");
    (0..10_u64).for_each(|key| cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap());
    (0..5_u64).for_each(|key| assert!(cache.acquire(&key.to_le_bytes()).unwrap().is_some()));
    cache.set_option("memory.policy", "fifo").unwrap();
    for (number, key) in (5..10_u64).chain(0..5).enumerate() {
        cache.put(&(100 + number as u64).to_le_bytes(), b"", Ttl::Forever).unwrap();
        assert!(!cache.contains(&key.to_le_bytes()), "{key} should have left");
    }
}

#[test]
fn readers_and_writers_go_on_while_the_policy_changes() {
    const KEYS: u64 = if cfg!(miri) { 20 } else { 2_000 };
    let cache = open("lru", 2 * KEYS, "2");
    (0..KEYS).for_each(|key| cache.put(&key.to_le_bytes(), &key.to_le_bytes(), Ttl::Default).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..3 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                let mut random = Random(seed);
                while !done.load(Relaxed) {
                    let key = random.below(KEYS).to_le_bytes();
                    let value = cache.acquire(&key).unwrap().expect("nobody has removed it");
                    assert_eq!(*value, key);
                    if random.below(8) == 0 {
                        cache.put(&key, &key, Ttl::Default).unwrap();
                    }
                }
            });
        }
        for _ in 0..if cfg!(miri) { 1 } else { 5 } {
            policies().iter().for_each(|policy| cache.set_option("memory.policy", policy).unwrap());
        }
        done.store(true, Relaxed);
    });
    assert_eq!(cache.statistics().memory.entries, KEYS);
}
