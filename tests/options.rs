//! Options of a running cache, and what a value says of its remaining life.

use catzilla_cache::{Cache, Clock, Options, Status, Ttl, OPTIONS};
use std::time::Duration;

#[test]
fn every_live_option_changes_and_no_other_does() {
    for option in OPTIONS {
        let cache = Cache::open(&Options::new()).unwrap();
        let changed = cache.set_option(option.name, option.default);
        match option.live {
            true => assert_eq!(changed, Ok(()), "{}", option.name),
            false => assert_eq!(changed.unwrap_err().status(), Status::OptionNotLive, "{}", option.name),
        }
    }
}

#[test]
fn a_change_has_its_effect_at_once() {
    let (clock, time) = Clock::manual();
    let cache = Cache::with_clock(Options::new().set("memory.policy", "lru").unwrap(), clock).unwrap();
    for i in 0..100_u8 {
        cache.put(&[i], &[0; 5_000], Ttl::Default).unwrap();
    }
    cache.set_option("memory.capacity", "10").unwrap();
    assert_eq!(cache.statistics().memory.entries, 10);
    cache.set_option("memory.ttl", "2s").unwrap();
    cache.put(b"short", b"", Ttl::Default).unwrap();
    time.advance(Duration::from_millis(2_020));
    assert!(!cache.contains(b"short"));
    cache.set_option("memory.max_value_size", "10").unwrap();
    assert_eq!(cache.put(b"long", &[0; 11], Ttl::Default).unwrap_err().status(), Status::ValueTooLarge);
    cache.set_option("memory.max_value_size", "1MiB").unwrap();
    cache.set_option("memory.compression", "off").unwrap();
    for i in 0..10_u8 {
        cache.put(&[i], &[0; 50_000], Ttl::Default).unwrap();
    }
    assert!(cache.memory_usage() > 400_000, "{:?}", cache.statistics().memory);
    cache.set_option("memory.max_bytes", "128KiB").unwrap();
    assert!(cache.memory_usage() <= 128 << 10);
    assert_eq!(cache.statistics().memory.max_bytes, 128 << 10);
}

#[test]
fn the_threshold_of_compression_changes_while_the_cache_runs() {
    let cache = Cache::open(&Options::new()).unwrap();
    let mut compressed = |threshold| {
        cache.set_option("memory.compression_threshold", threshold).unwrap();
        let before = cache.statistics().memory.compressed_puts;
        cache.put(b"key", &[7; 2_000], Ttl::Default).unwrap();
        assert_eq!(cache.acquire(b"key").unwrap().unwrap()[..], [7; 2_000]);
        cache.statistics().memory.compressed_puts - before
    };
    assert_eq!(["2001", "2000", "1MiB", "64"].map(&mut compressed), [0, 1, 0, 1]);
}

#[test]
fn the_jitter_changes_while_the_cache_runs() {
    let (clock, _time) = Clock::manual();
    let cache = Cache::with_clock(&Options::new(), clock).unwrap();
    let longest = |jitter| {
        cache.set_option("memory.ttl_jitter", jitter).unwrap();
        let lives = (0..100_u8).map(|key| {
            cache.put(&[key], b"", Ttl::For(Duration::from_secs(1_000))).unwrap();
            cache.acquire(&[key]).unwrap().unwrap().remaining().unwrap().as_secs()
        });
        lives.max().unwrap()
    };
    // Up to a tick is added to each, and of a hundred lives one is long with a probability that leaves no doubt.
    assert!(longest("0") <= 1_000);
    assert!(longest("50") > 1_250);
    assert!(longest("0") <= 1_000);
}

#[test]
fn a_refused_change_changes_nothing() {
    let cache = Cache::open(&Options::new()).unwrap();
    let before = cache.statistics().memory;
    for (name, text, status) in [
        ("memory.capacity", "0", Status::OptionOutOfRange),
        ("memory.capacity", "many", Status::InvalidOption),
        ("memory.capacities", "1", Status::UnknownOption),
        ("memory.shards", "2", Status::OptionNotLive),
    ] {
        assert_eq!(cache.set_option(name, text).unwrap_err().status(), status);
    }
    assert_eq!(cache.statistics().memory, before);
}

#[test]
fn a_value_never_tells_more_life_than_it_was_given() {
    let cache = Cache::open(&Options::new()).unwrap();
    cache.put(b"key", b"value", Ttl::For(Duration::from_secs(1_000))).unwrap();
    let remaining = cache.acquire(b"key").unwrap().unwrap().remaining().unwrap();
    assert!(remaining <= Duration::from_secs(1_000) && remaining > Duration::from_secs(900), "{remaining:?}");
    cache.put(b"key", b"value", Ttl::Forever).unwrap();
    assert_eq!(cache.acquire(b"key").unwrap().unwrap().remaining(), None);
}

/// Up to 4,096 entries eviction is in exact order, also in a cache that was made larger.
#[test]
fn a_large_cache_that_was_made_small_evicts_in_exact_order() {
    let mut options = Options::new();
    options.set("memory.capacity", "100000").unwrap().set("memory.policy", "lru").unwrap();
    let cache = Cache::open(&options).unwrap();
    for i in 0..20_000_u32 {
        cache.put(&i.to_le_bytes(), b"old", Ttl::Default).unwrap();
    }
    cache.set_option("memory.capacity", "3").unwrap();
    assert_eq!(cache.statistics().memory.entries, 3);
    for i in 0..10_u8 {
        cache.put(&[i], b"new", Ttl::Default).unwrap();
    }
    let there: Vec<u8> = (0..10).filter(|i| cache.contains(&[*i])).collect();
    assert_eq!(there, [7, 8, 9]);
    assert!(cache.acquire(&[7]).unwrap().is_some());
    cache.put(&[10], b"new", Ttl::Default).unwrap();
    let there: Vec<u8> = (0..11).filter(|i| cache.contains(&[*i])).collect();
    assert_eq!(there, [7, 9, 10]);

    // Large again, it keeps what it has and takes more.
    cache.set_option("memory.capacity", "100000").unwrap();
    for i in 0..20_000_u32 {
        cache.put(&i.to_le_bytes(), b"old", Ttl::Default).unwrap();
    }
    assert_eq!(cache.statistics().memory.entries, 20_003);
    assert!([7_u8, 9, 10].iter().all(|i| cache.contains(&[*i])));
}
