//! Many keys in one call: each item goes as the single call would, and none keeps the others from being done.

use catzilla_cache::{Cache, Clock, Get, Options, Put, Read, Remove, Status, Ttl, MAX_KEY_LEN};
use std::time::Duration;

fn open() -> std::sync::Arc<Cache> {
    Cache::open(Options::new().set("memory.max_value_size", "10000").unwrap()).unwrap()
}

#[test]
fn what_a_batch_stores_a_batch_finds_and_removes() {
    let cache = open();
    let keys: Vec<[u8; 4]> = (0..300_u32).map(u32::to_le_bytes).collect();
    let values: Vec<Vec<u8>> = (0..300_usize).map(|i| vec![i as u8; i * 9]).collect();
    let mut puts: Vec<Put<'_>> =
        keys.iter().zip(&values).map(|(key, value)| Put::new(key, value, Ttl::Default)).collect();
    cache.put_many(&mut puts);
    assert!(puts.iter().all(|put| put.outcome.is_ok()));

    let mut buffers = vec![[0_u8; 4_000]; 300];
    let mut gets: Vec<Get<'_>> =
        keys.iter().zip(&mut buffers).map(|(key, buffer)| Get::new(key, &mut buffer[..])).collect();
    cache.get_many(&mut gets);
    for (get, value) in gets.iter().zip(&values) {
        assert_eq!(get.outcome, Ok(Some(Read::Copied(value.len()))));
        assert_eq!(get.buffer[..value.len()], value[..]);
    }

    let mut removes: Vec<Remove<'_>> = keys.iter().step_by(2).map(|key| Remove::new(key)).collect();
    cache.remove_many(&mut removes);
    cache.remove_many(&mut removes[..1]);
    assert!(!removes[0].removed && removes[1..].iter().all(|remove| remove.removed));
    let figures = cache.statistics();
    assert_eq!((figures.puts, figures.hits, figures.misses, figures.removals), (300, 300, 0, 150));
    assert_eq!(figures.memory.entries, 150);
}

#[test]
fn misses_and_buffers_that_are_too_small_are_outcomes_of_their_items() {
    let cache = open();
    cache.put(b"short", b"abc", Ttl::Default).unwrap();
    cache.put(b"long", b"abcdefgh", Ttl::Default).unwrap();
    let (mut first, mut second, mut third) = ([9; 4], [9; 4], [9; 4]);
    let mut gets = [Get::new(b"long", &mut first), Get::new(b"nobody", &mut second), Get::new(b"short", &mut third)];
    cache.get_many(&mut gets);
    assert_eq!(gets[0].outcome, Ok(Some(Read::Truncated(8))));
    assert_eq!(gets[1].outcome, Ok(None));
    assert_eq!(gets[2].outcome, Ok(Some(Read::Copied(3))));
    assert_eq!((first, second, third), ([9; 4], [9; 4], *b"abc\x09"));
    let figures = cache.statistics();
    assert_eq!((figures.hits, figures.misses), (1, 1), "what was truncated will be asked for again");
}

#[test]
fn an_item_that_is_refused_keeps_no_other_from_being_stored() {
    let cache = open();
    cache.put(b"b", b"old", Ttl::Default).unwrap();
    let (long_key, long_value) = (vec![0; MAX_KEY_LEN + 1], vec![0; 10_001]);
    let mut puts = [
        Put::new(b"a", b"1", Ttl::Default),
        Put::new(&long_key, b"2", Ttl::Default),
        Put::new(b"b", &long_value, Ttl::Default),
        Put::new(b"c", b"4", Ttl::Default),
    ];
    cache.put_many(&mut puts);
    let statuses = puts.map(|put| put.outcome.err().map(|error| error.status()));
    assert_eq!(statuses, [None, Some(Status::KeyTooLarge), Some(Status::ValueTooLarge), None]);
    assert_eq!(cache.acquire(b"b").unwrap().as_deref(), Some(&b"old"[..]));
    assert!(cache.contains(b"a") && cache.contains(b"c"));
}

#[test]
fn the_last_of_two_items_with_one_key_wins_and_a_key_is_removed_once() {
    let cache = open();
    cache.put_many(&mut [Put::new(b"key", b"first", Ttl::Forever), Put::new(b"key", b"second", Ttl::Forever)]);
    assert_eq!(cache.acquire(b"key").unwrap().as_deref(), Some(&b"second"[..]));
    let mut removes = [Remove::new(b"key"), Remove::new(b"key")];
    cache.remove_many(&mut removes);
    assert_eq!(removes.map(|remove| remove.removed), [true, false]);
}

#[test]
fn every_item_has_a_lifetime_of_its_own() {
    let (clock, time) = Clock::manual();
    let cache = Cache::with_clock(Options::new().set("memory.ttl", "5s").unwrap(), clock).unwrap();
    let second = Ttl::For(Duration::from_secs(1));
    cache.put_many(&mut [
        Put::new(b"short", b"", second),
        Put::new(b"default", b"", Ttl::Default),
        Put::new(b"forever", b"", Ttl::Forever),
    ]);
    let there = || ["short", "default", "forever"].map(|key| cache.contains(key.as_bytes()));
    assert_eq!(there(), [true, true, true]);
    time.advance(Duration::from_millis(1_010));
    assert_eq!(there(), [false, true, true]);
    time.advance(Duration::from_secs(4));
    assert_eq!(there(), [false, false, true]);
}

#[test]
fn an_empty_batch_does_nothing() {
    let cache = open();
    cache.get_many(&mut []);
    cache.put_many(&mut []);
    cache.remove_many(&mut []);
    assert_eq!(cache.statistics(), open().statistics());
}
