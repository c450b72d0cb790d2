//! Who leaves when the cache is full, held against a model that knows all about time: the whole cache through its calls, where
//! the policies' own tests look at one room.

use catzilla_cache::{Cache, Options, Ttl};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

fn open(policy: &str, capacity: u64, shards: &str) -> Arc<Cache> {
    let mut options = Options::new();
    options.set("memory.policy", policy).unwrap().set("memory.capacity", &capacity.to_string()).unwrap();
    options.set("memory.shards", shards).unwrap();
    Cache::open(&options).unwrap()
}

/// xorshift64; the tests have to be the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }
}

/// Keys by the time of their last use.
#[derive(Default)]
struct Lru {
    by_age: BTreeMap<u64, u64>,
    last_use: HashMap<u64, u64>,
    now: u64,
}

impl Lru {
    fn remove(&mut self, key: u64) -> bool {
        self.last_use.remove(&key).map(|at| self.by_age.remove(&at)).is_some()
    }

    fn touch(&mut self, key: u64) {
        self.remove(key);
        self.now += 1;
        self.by_age.insert(self.now, key);
        self.last_use.insert(key, self.now);
    }
}

/// Runs calls at random. Every victim has to be the model's: the cache holds as many entries as the model, and what the model
/// has let go is not among them, so they hold the same.
fn evicts_in_exact_order(cache: &Cache, capacity: u64, calls: u64, most_hits: u64) {
    let mut model = Lru::default();
    let mut random = Random(0x5EED + capacity);
    for call in 0..calls {
        // Some keys are far more popular than others.
        let spread = (2 * capacity) >> random.below(6);
        let key = random.below(spread.max(2));
        let bytes = key.to_le_bytes();
        match random.below(16) {
            0 => assert_eq!(cache.remove(&bytes), model.remove(key)),
            number if number <= most_hits => {
                let is_hit = model.last_use.contains_key(&key);
                assert_eq!(cache.acquire(&bytes).unwrap().is_some(), is_hit, "call {call}");
                if is_hit {
                    model.touch(key);
                }
            }
            _ => {
                cache.put(&bytes, b"", Ttl::Forever).unwrap();
                model.touch(key);
                if model.last_use.len() as u64 > capacity {
                    let (_, victim) = model.by_age.pop_first().unwrap();
                    model.last_use.remove(&victim);
                    assert!(!cache.contains(&victim.to_le_bytes()), "call {call}: {victim} should have left");
                }
            }
        }
    }
    assert_eq!(cache.statistics().memory.entries, model.last_use.len() as u64);
    assert!(model.last_use.keys().all(|key| cache.contains(&key.to_le_bytes())));
}

#[test]
fn lru_evicts_in_exact_order_in_a_cache_of_one_shard() {
    let calls = if cfg!(miri) { 300 } else { 200_000 };
    for capacity in [1, 2, 10, 1_000, 4_096] {
        for most_hits in [4, 12] {
            evicts_in_exact_order(&open("lru", capacity, "0"), capacity, calls, most_hits);
        }
    }
    // One that was asked for.
    evicts_in_exact_order(&open("lru", 20_000, "1"), 20_000, 2 * calls, 8);
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
        model.touch(key);
    }
    // Shards are not equally full, which costs a little more than the order within them.
    let newest = model.by_age.values().rev().take(CAPACITY as usize * 13 / 16);
    let lost = newest.filter(|key| !cache.contains(&key.to_le_bytes())).count();
    assert_eq!(lost, 0, "of {CAPACITY}");
}

/// A scan of keys that come once does not drive out what is asked for again and again, which it does under LRU.
#[test]
fn s3fifo_keeps_what_is_asked_for_through_a_scan() {
    const CAPACITY: u64 = if cfg!(miri) { 50 } else { 1_000 };
    let kept = |policy| {
        let cache = open(policy, CAPACITY, "1");
        for _ in 0..3 {
            for key in 0..CAPACITY / 2 {
                if cache.acquire(&key.to_le_bytes()).unwrap().is_none() {
                    cache.put(&key.to_le_bytes(), b"", Ttl::Forever).unwrap();
                }
            }
        }
        for key in 0..10 * CAPACITY {
            cache.put(&(1 << 32 | key).to_le_bytes(), b"", Ttl::Forever).unwrap();
        }
        (0..CAPACITY / 2).filter(|key| cache.contains(&key.to_le_bytes())).count() as u64
    };
    assert_eq!(kept("lru"), 0);
    // One put looks at a bounded number of entries only, and then settles for the second best.
    assert!(kept("s3fifo") >= CAPACITY / 2 - 2);
}
