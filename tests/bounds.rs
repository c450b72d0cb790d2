//! The bound on bytes as a user sees it: no put leaves more behind than the cache may hold, whatever the policy, the number
//! of shards and the sizes are, and every put comes to an end.

use catzilla_cache::{Cache, Options, Status, Ttl};
use std::sync::Arc;
use std::time::Duration;

const BOUND: u64 = 64 << 10;

fn open(policy: &str, shards: &str, jemalloc: &str) -> Arc<Cache> {
    let mut options = Options::new();
    for (name, text) in [
        ("memory.max_bytes", "64KiB"),
        ("memory.policy", policy),
        ("memory.shards", shards),
        ("memory.jemalloc", jemalloc),
        ("memory.compression", "off"),
        ("memory.sweep_interval", "off"),
    ] {
        options.set(name, text).unwrap();
    }
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

    /// Mostly small, sometimes nearly all there is, sometimes more.
    fn size(&mut self) -> usize {
        let most = [30, 200, 3_000, 20_000, 66_000][self.below(5) as usize];
        self.below(most) as usize
    }
}

#[test]
fn no_put_leaves_more_behind_than_the_bound() {
    for policy in ["lru", "s3fifo"] {
        for (shards, jemalloc) in [("1", "on"), ("3", "on"), ("64", "on"), ("1", "off"), ("7", "off")] {
            let cache = open(policy, shards, jemalloc);
            let mut random = Random(0x5EED);
            for i in 0..if cfg!(miri) { 50 } else { 4_000 } {
                let (key, size) = (random.below(3_000).to_le_bytes(), random.size());
                let ttl = [Ttl::Forever, Ttl::For(Duration::from_secs(1 + random.below(1_000)))][i % 2];
                match cache.put(&key, &vec![1; size], ttl) {
                    Ok(()) => {}
                    Err(error) => assert!(error.status() == Status::ValueTooLarge && size > 10_000, "{size}: {error}"),
                }
                let usage = cache.memory_usage();
                assert!(usage <= BOUND, "{usage} bytes after put {i} of {size}; {policy}, {shards} shards, {jemalloc}");
                if random.below(3) == 0 {
                    let _ = cache.acquire(&random.below(3_000).to_le_bytes());
                }
            }
        }
    }
}

/// What the policy remembers of entries that have gone must not keep the last one out for ever.
#[test]
fn an_entry_as_large_as_the_cache_comes_in_or_is_refused() {
    for policy in ["lru", "s3fifo"] {
        for size in (30_000..=66_000).step_by(300) {
            let cache = open(policy, "1", "on");
            for i in 0..1_500_u32 {
                cache.put(&i.to_le_bytes(), b"", Ttl::Forever).unwrap();
                cache.acquire(&i.to_le_bytes()).unwrap();
            }
            // The first time it may be turned away.
            let first = cache.put(b"key", &vec![1; size], Ttl::Forever);
            let second = cache.put(b"key", &vec![1; size], Ttl::Forever);
            assert_eq!(first.is_ok(), second.is_ok());
            assert_eq!(cache.contains(b"key"), second.is_ok());
            assert!(cache.memory_usage() <= BOUND);
        }
    }
}

/// One that would drive out much of what is there has to be asked for twice.
#[test]
fn a_heavy_entry_comes_in_where_there_is_room_or_at_its_second_put() {
    for policy in ["lru", "s3fifo"] {
        let cache = open(policy, "1", "on");
        let heavy = vec![1; 20_000];
        cache.put(b"first", &heavy, Ttl::Forever).unwrap();
        cache.put(b"second", &heavy, Ttl::Forever).unwrap();
        assert!(cache.contains(b"first") && cache.contains(b"second"));
        for i in 0..20_u8 {
            cache.put(&[i], &[1; 1_000], Ttl::Forever).unwrap();
        }
        let before = cache.statistics().memory;
        cache.put(b"third", &heavy, Ttl::Forever).unwrap();
        let turned_away = cache.statistics().memory;
        assert!(!cache.contains(b"third"));
        assert_eq!((turned_away.entries, turned_away.bytes), (before.entries, before.bytes));
        assert_eq!(turned_away.evictions, before.evictions + 1, "the one that was turned away");
        cache.put(b"third", &heavy, Ttl::Forever).unwrap();
        assert!(cache.contains(b"third"));
        let stored = cache.statistics().memory;
        assert_eq!(stored.evictions - turned_away.evictions, turned_away.entries + 1 - stored.entries);

        // An old value is not left in the place of one that was turned away.
        cache.put(b"third", b"light", Ttl::Forever).unwrap();
        for i in 0..60_u8 {
            cache.put(&[i], &[1; 1_000], Ttl::Forever).unwrap();
            cache.acquire(b"third").unwrap();
        }
        assert!(cache.contains(b"third"));
        cache.put(b"third", &heavy, Ttl::Forever).unwrap();
        assert!(!cache.contains(b"third"));
    }
}

/// Puts that each need more than half of the cache and puts of small entries, from several threads: nobody waits for ever for
/// somebody else to give room.
#[test]
fn threads_that_take_room_from_each_other_all_come_to_an_end() {
    for (policy, shards) in [("lru", "8"), ("s3fifo", "8"), ("s3fifo", "256"), ("lru", "1")] {
        let cache = open(policy, shards, "on");
        std::thread::scope(|scope| {
            for seed in 1..5 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for i in 0..if cfg!(miri) { 20 } else { 3_000 } {
                        let size = if i % 3 == 0 { 40_000 } else { random.below(200) as usize };
                        let key = random.below(if i % 3 == 0 { 4 } else { 1_000 }).to_le_bytes();
                        let _ = cache.put(&key, &vec![seed as u8; size], Ttl::Default);
                    }
                });
            }
        });
        assert!(cache.memory_usage() <= BOUND);
    }
}

/// Many times as many shards as there is room for entries.
#[test]
fn a_capacity_near_the_largest_number_and_one_of_one_entry_both_work() {
    for capacity in ["1", "2", "18446744073709551614", "1099511627775", "unlimited"] {
        for shards in ["0", "1", "256"] {
            let mut options = Options::new();
            options.set("memory.capacity", capacity).unwrap().set("memory.shards", shards).unwrap();
            options.set("memory.max_bytes", "18446744073709551614").unwrap();
            let cache = Cache::open(&options).unwrap();
            for i in 0..300_u32 {
                cache.put(&i.to_le_bytes(), b"value", Ttl::Default).unwrap();
                assert!(cache.contains(&i.to_le_bytes()));
            }
            let memory = cache.statistics().memory;
            let expected = capacity.parse::<u64>().map_or(300, |capacity| capacity.min(300));
            assert_eq!((memory.entries, memory.evictions), (expected, 300 - expected));
            cache.set_option("memory.capacity", "3").unwrap();
            cache.set_option("memory.capacity", "18446744073709551614").unwrap();
            cache.put(b"key", b"value", Ttl::Default).unwrap();
            assert_eq!(cache.statistics().memory.entries, expected.min(3) + 1);
        }
    }
}
