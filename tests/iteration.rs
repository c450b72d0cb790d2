//! Going through the keys, while the cache is left alone and while it is not.

use catzilla_cache::{Cache, Clock, Keys, Options, Pattern, Purge, Ttl};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

const ENTRIES: u32 = if cfg!(miri) { 120 } else { 20_000 };

fn open(options: &[(&str, &str)]) -> Arc<Cache> {
    let mut all = Options::new();
    for (name, text) in options {
        all.set(name, text).unwrap();
    }
    Cache::open(&all).unwrap()
}

fn key(number: u32) -> Vec<u8> {
    format!("{}:{number}", if number.is_multiple_of(3) { "user" } else { "page" }).into_bytes()
}

fn fill(cache: &Cache, numbers: std::ops::Range<u32>) {
    numbers.for_each(|number| cache.put(&key(number), b"value", Ttl::Forever).unwrap());
}

/// How often each key was told.
fn rest(mut keys: Keys) -> BTreeMap<Vec<u8>, u32> {
    let mut told = BTreeMap::new();
    while let Some(key) = keys.next_key().unwrap() {
        *told.entry(key.to_vec()).or_default() += 1;
    }
    assert_eq!(keys.next_key(), Ok(None));
    told
}

fn all(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<Vec<u8>, u32> {
    numbers.into_iter().map(|number| (key(number), 1)).collect()
}

#[test]
fn every_key_is_told_once_however_many_there_are() {
    for shards in ["0", "1", "3"] {
        for entries in [0, 1, 2, 7, 30, 60, 120, ENTRIES] {
            let cache = open(&[("memory.capacity", "unlimited"), ("memory.shards", shards)]);
            fill(&cache, 0..entries);
            let before = cache.statistics();
            assert_eq!(rest(cache.keys(b"").unwrap()), all(0..entries));
            assert_eq!(rest(cache.keys(b"user:").unwrap()), all((0..entries).filter(|number| number % 3 == 0)));
            assert_eq!(rest(cache.keys(b"nobody").unwrap()), all([]));
            assert_eq!(cache.statistics(), before, "it is neither a request nor a use");
        }
    }
}

#[test]
fn what_has_expired_is_left_out() {
    let (clock, time) = Clock::manual();
    let cache = Cache::with_clock(&Options::new(), clock).unwrap();
    for number in 0..100 {
        let ttl = [Ttl::Forever, Ttl::For(Duration::from_secs(1))][number as usize % 2];
        cache.put(&key(number), b"", ttl).unwrap();
    }
    let keys = cache.keys(b"").unwrap();
    time.advance(Duration::from_secs(2));
    assert_eq!(rest(keys), all((0..100).step_by(2)));
}

/// In the middle of a walk the index grows several times over, stops half way, and shrinks; what was there is told once.
#[test]
fn a_walk_meets_each_key_once_while_the_index_grows_and_shrinks() {
    for stop in [0, 1, ENTRIES / 50, ENTRIES / 20] {
        let cache = open(&[("memory.capacity", "unlimited"), ("memory.shards", "1"), ("memory.policy", "lru")]);
        fill(&cache, 0..ENTRIES / 10);
        let (mut keys, mut told) = (cache.keys(b"").unwrap(), BTreeMap::new());
        let mut take = |keys: &mut Keys, most: u32| {
            for _ in 0..most {
                if let Some(key) = keys.next_key().unwrap() {
                    *told.entry(key.to_vec()).or_insert(0) += 1;
                }
            }
        };
        take(&mut keys, stop);
        let mut grown = ENTRIES / 10;
        while grown < ENTRIES {
            fill(&cache, grown..(grown + ENTRIES / 37));
            take(&mut keys, ENTRIES / 400);
            grown += ENTRIES / 37;
        }
        // All that has come goes again, and the index shrinks; what was there first is used, so it stays.
        for number in 0..ENTRIES / 10 {
            assert!(cache.acquire(&key(number)).unwrap().is_some());
        }
        cache.set_option("memory.capacity", &(ENTRIES / 10).to_string()).unwrap();
        take(&mut keys, 2 * ENTRIES);
        let missing = (0..ENTRIES / 10).filter(|number| told.get(&key(*number)) != Some(&1)).count();
        assert_eq!(missing, 0, "not told exactly once, of {}; stopped at {stop}", ENTRIES / 10);
        assert!(told.values().all(|times| *times == 1));
    }
}

/// Entries are moved between one shard and many at any moment of the walk, and back. Then a key may come twice.
#[test]
fn a_walk_meets_each_key_while_it_moves_from_shard_to_shard() {
    let entries = ENTRIES.min(3_000);
    for stop in (0..entries).step_by(entries as usize / 12) {
        let cache = open(&[("memory.capacity", "100000")]);
        fill(&cache, 0..entries);
        let (mut keys, mut told) = (cache.keys(b"").unwrap(), BTreeMap::new());
        let mut count = 0;
        while let Some(key) = keys.next_key().unwrap() {
            *told.entry(key.to_vec()).or_insert(0) += 1;
            count += 1;
            if count == stop || count == stop + entries / 3 {
                let capacity = if count == stop { "4000" } else { "100000" };
                cache.set_option("memory.capacity", capacity).unwrap();
            }
        }
        assert_eq!(told.len(), entries as usize);
        assert!(told.values().all(|times| *times <= 3));
    }
}

#[test]
fn a_walk_ends_when_its_cache_does() {
    let cache = open(&[("memory.capacity", "unlimited")]);
    fill(&cache, 0..ENTRIES);
    let mut keys = cache.keys(b"").unwrap();
    assert!(keys.next_key().unwrap().is_some());
    drop(cache);
    assert!(rest(keys).len() < 2_000);
}

/// A purge walks too: what is there all the while goes, in whichever table it is.
#[test]
fn a_purge_finds_all_in_a_cache_of_any_shape() {
    for shards in ["1", "5"] {
        for entries in [1, 10, 50, 300, ENTRIES / 3, ENTRIES] {
            let cache = open(&[("memory.capacity", "unlimited"), ("memory.shards", shards)]);
            fill(&cache, 0..entries);
            assert_eq!(cache.purge(Purge::Prefix(b"user:")), u64::from(entries.div_ceil(3)));
            assert_eq!(rest(cache.keys(b"").unwrap()), all((0..entries).filter(|number| number % 3 != 0)));
            let sevens = (0..entries).filter(|number| number % 3 != 0 && number % 10 == 7).count() as u64;
            assert_eq!(cache.purge(Purge::Pattern(&Pattern::new(b"*:*7").unwrap())), sevens);
            assert_eq!(cache.purge(Purge::Prefix(b"")), u64::from(entries - entries.div_ceil(3)) - sevens);
            assert_eq!(cache.statistics().memory.entries, 0);
        }
    }
}

/// Writers store, remove and resize while several threads walk; what nobody touches is told every time.
#[test]
fn walks_beside_writers_meet_what_stays() {
    let cache = open(&[("memory.capacity", "100000")]);
    let stay = ENTRIES.min(2_000);
    fill(&cache, 0..stay);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 1..3 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                for round in 0.. {
                    let begin = 1_000_000 * writer + round % 7 * 500;
                    fill(cache, begin..begin + 500);
                    for number in begin..begin + 500 {
                        cache.remove(&key(number));
                    }
                    if writer == 1 && round % 5 == 0 {
                        // Room for all of it, on one shard.
                        cache.set_option("memory.capacity", "4000").unwrap();
                        cache.set_option("memory.capacity", "100000").unwrap();
                    }
                    if writer == 2 {
                        cache.purge(Purge::Prefix(b"user:2"));
                        fill(cache, 0..stay);
                    }
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..if cfg!(miri) { 1 } else { 40 } {
            let told = rest(cache.keys(b"page:").unwrap());
            let missing = (0..stay).filter(|number| number % 3 != 0 && !told.contains_key(&key(*number))).count();
            if missing > 0 {
                done.store(true, Ordering::Relaxed);
            }
            assert_eq!(missing, 0);
        }
        done.store(true, Ordering::Relaxed);
    });
}
