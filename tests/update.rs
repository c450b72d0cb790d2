//! Writes that depend on what is there, as a user of the Rust interface sees them.

use catzilla_cache::{
    Cache, Clock, Condition, ManualTime, Options, Purge, PutOptions, PutOutcome, Status, Ttl, MAX_TAGS, MAX_TAG_LEN,
};
use std::sync::Arc;
use std::time::Duration;

fn open(options: &[(&str, &str)]) -> (Arc<Cache>, ManualTime) {
    let (clock, time) = Clock::manual();
    let mut all = Options::new();
    for (name, text) in [&[("memory.sweep_interval", "off")], options].concat() {
        all.set(name, text).unwrap();
    }
    (Cache::with_clock(&all, clock).unwrap(), time)
}

const TOLD: PutOptions<'static> = PutOptions {
    ttl: Ttl::Default,
    condition: Condition::Always,
    tags: &[],
    lowest: None,
    uncompressed: false,
    tell_version: true,
};

fn put(cache: &Cache, key: &[u8], value: &[u8], condition: Condition) -> PutOutcome {
    cache.put_with(key, value, &PutOptions { condition, ..TOLD }).unwrap()
}

#[test]
fn a_value_that_has_expired_is_absent() {
    let (cache, time) = open(&[]);
    let short = PutOptions { ttl: Ttl::For(Duration::from_secs(1)), ..TOLD };
    let PutOutcome::Stored(version) = cache.put_with(b"key", b"old", &short).unwrap() else { panic!() };
    let held = cache.acquire(b"key").unwrap().unwrap();
    time.advance(Duration::from_secs(2));
    assert_eq!(held.version(), Ok(0));
    assert_eq!(put(&cache, b"key", b"new", Condition::IfVersion(version)), PutOutcome::NotFound);
    assert_eq!(put(&cache, b"key", b"new", Condition::IfPresent), PutOutcome::NotFound);
    assert_eq!(cache.statistics().memory.expirations, 1);
    assert!(matches!(put(&cache, b"key", b"new", Condition::IfAbsent), PutOutcome::Stored(_)));
    assert_eq!(put(&cache, b"key", b"newer", Condition::IfAbsent), PutOutcome::Exists);
    assert_eq!(cache.acquire(b"key").unwrap().as_deref(), Some(&b"new"[..]));
}

/// What is refused changes nothing but time: not the order of eviction, not the figures, not the old value.
#[test]
fn to_be_refused_is_neither_a_request_nor_a_use() {
    let (cache, _) = open(&[("memory.capacity", "2")]);
    cache.put(b"first", b"", Ttl::Default).unwrap();
    cache.put(b"second", b"", Ttl::Default).unwrap();
    // Times are taken now and then, also of a put that is refused.
    let counted = || {
        let mut statistics = cache.statistics();
        (statistics.memory.reads, statistics.memory.writes) = Default::default();
        statistics
    };
    let before = counted();
    assert_eq!(put(&cache, b"first", b"", Condition::IfAbsent), PutOutcome::Exists);
    assert_eq!(put(&cache, b"first", b"", Condition::IfVersion(9)), PutOutcome::VersionMismatch);
    assert_eq!(put(&cache, b"third", b"", Condition::IfPresent), PutOutcome::NotFound);
    assert_eq!(counted(), before);
    cache.put(b"third", b"", Ttl::Default).unwrap();
    assert!(!cache.contains(b"first") && cache.contains(b"second"));
}

/// The memory of versions counts as the cache's, and goes with the last of them, however entries leave.
#[test]
fn versions_are_paid_for_and_leave_with_their_entries() {
    let options = [("memory.capacity", "100"), ("memory.max_bytes", "1MiB"), ("memory.policy", "lru")];
    let (cache, time) = open(&options);
    let usage = || cache.memory_usage();
    cache.put(b"key", b"value", Ttl::For(Duration::from_secs(1))).unwrap();
    let without = usage();
    let held = cache.acquire(b"key").unwrap().unwrap();
    let version = held.version().unwrap();
    assert!(version > 0 && held.version() == Ok(version) && usage() > without);
    cache.put(b"key", b"other", Ttl::For(Duration::from_secs(1))).unwrap();
    assert_eq!((held.version(), usage()), (Ok(0), without));
    for leave in [
        &(|| assert!(cache.remove(b"key"))) as &dyn Fn(),
        &|| time.advance(Duration::from_secs(9)),
        &|| assert_eq!(cache.purge(catzilla_cache::Purge::Prefix(b"k")), 1),
        &|| assert_eq!(cache.purge(catzilla_cache::Purge::All), 1),
        &|| (0..100_u8).for_each(|key| cache.put(&[key], b"", Ttl::Forever).unwrap()),
    ] {
        assert!(matches!(put(&cache, b"key", b"value", Condition::Always), PutOutcome::Stored(1..)));
        let held = cache.acquire(b"key").unwrap().unwrap();
        assert!(held.version().unwrap() > 0);
        time.advance(Duration::from_secs(1));
        cache.put(b"key", b"value", Ttl::For(Duration::from_secs(5))).unwrap();
        let (held, version) = (cache.acquire(b"key").unwrap().unwrap(), held.version());
        assert!(version == Ok(0) && held.version().unwrap() > 0);
        leave();
        assert_eq!(held.version(), Ok(0));
        cache.purge(catzilla_cache::Purge::All);
        assert_eq!(usage(), 0);
    }
}

/// The same entry tells the same version when it has gone from shard to shard.
#[test]
fn a_version_survives_the_spread_between_shards() {
    let (cache, _) = open(&[("memory.capacity", "100000")]);
    let keys: Vec<[u8; 4]> = (0..500_u32).map(u32::to_le_bytes).collect();
    let versions: Vec<PutOutcome> = keys.iter().map(|key| put(&cache, key, b"", Condition::Always)).collect();
    for capacity in ["1000", "100000"] {
        cache.set_option("memory.capacity", capacity).unwrap();
        for (key, version) in keys.iter().zip(&versions) {
            let held = cache.acquire(key).unwrap().unwrap();
            assert_eq!(PutOutcome::Stored(held.version().unwrap()), *version);
        }
    }
    let PutOutcome::Stored(version) = versions[7] else { panic!() };
    assert!(matches!(put(&cache, &keys[7], b"", Condition::IfVersion(version)), PutOutcome::Stored(_)));
    assert_eq!(put(&cache, &keys[7], b"", Condition::IfVersion(version)), PutOutcome::VersionMismatch);
}

/// Also of a compressed value, of which the holder has a copy.
#[test]
fn a_version_is_that_of_the_entry_and_not_of_its_address() {
    let (cache, _) = open(&[("memory.compression_threshold", "64")]);
    let mut told = std::collections::BTreeSet::new();
    for round in 0..200_u8 {
        cache.put(b"key", &[round; 500], Ttl::Default).unwrap();
        let held = cache.acquire(b"key").unwrap().unwrap();
        if round % 2 == 0 {
            cache.put(b"key", &[round; 501], Ttl::Default).unwrap();
            cache.put(b"key", &[round; 500], Ttl::Default).unwrap();
            assert_eq!(held.version(), Ok(0), "another entry has passed for it");
        } else {
            assert!(told.insert(held.version().unwrap()), "a version was told twice");
        }
    }
}

#[test]
fn what_is_turned_away_as_too_heavy_has_no_version() {
    let (cache, _) = open(&[("memory.max_bytes", "64KiB"), ("memory.compression", "off")]);
    for key in 0..100_u8 {
        cache.put(&[key], &[0; 500], Ttl::Default).unwrap();
    }
    assert_eq!(put(&cache, b"heavy", &[0; 30_000], Condition::IfAbsent), PutOutcome::Stored(0));
    assert!(!cache.contains(b"heavy"));
    assert!(matches!(put(&cache, b"heavy", &[0; 30_000], Condition::IfAbsent), PutOutcome::Stored(1..)));
    assert!(cache.memory_usage() <= 64 << 10);
}

const SECOND: Duration = Duration::from_secs(1);

/// The sweep follows: what was to end later ends when it is told to, what was to end sooner does not.
#[test]
fn touch_brings_the_end_nearer_and_puts_it_off() {
    for sliding in ["off", "on"] {
        let (cache, time) = open(&[("memory.sliding", sliding)]);
        let ttl = |seconds| Ttl::For(seconds * SECOND);
        for (key, before, after) in [
            (b"nearer", ttl(1_000), ttl(5)),
            (b"longer", ttl(5), ttl(1_000)),
            (b"to end", Ttl::Forever, ttl(5)),
            (b"no end", ttl(5), Ttl::Forever),
            (b"as was", ttl(5), ttl(5)),
        ] {
            cache.put(key, b"", before).unwrap();
            let version = cache.acquire(key).unwrap().unwrap().version().unwrap();
            assert!(cache.touch(key, after));
            assert_eq!(cache.acquire(key).unwrap().unwrap().version(), Ok(version));
        }
        time.advance(4 * SECOND);
        assert_eq!(cache.sweep(), 0);
        time.advance(2 * SECOND);
        assert_eq!(cache.sweep(), 3, "memory.sliding {sliding}");
        assert!(cache.contains(b"longer") && cache.contains(b"no end"));
        assert!(!cache.touch(b"nearer", Ttl::Forever) && !cache.touch(b"nobody", Ttl::Forever));
        time.advance(1_000 * SECOND);
        assert_eq!((cache.sweep(), cache.statistics().memory.entries), (1, 1));
    }
}

#[test]
fn a_hit_renews_the_lifetime_that_a_touch_has_given() {
    let (cache, time) = open(&[("memory.sliding", "on"), ("memory.ttl", "100s")]);
    cache.put(b"key", b"", Ttl::Default).unwrap();
    assert!(cache.touch(b"key", Ttl::For(3 * SECOND)));
    for _ in 0..10 {
        time.advance(2 * SECOND);
        let left = cache.acquire(b"key").unwrap().map(|_| cache.acquire(b"key").unwrap().unwrap().remaining().unwrap());
        assert!(left.is_some_and(|left| left < 4 * SECOND && left > 2 * SECOND), "{left:?}");
    }
    time.advance(4 * SECOND);
    assert_eq!(cache.sweep(), 1);
}

/// Hints of the ends that an entry has had do not fill the memory, and neither a request nor a use is counted.
#[test]
fn an_entry_may_be_touched_any_number_of_times() {
    let (cache, time) = open(&[("memory.capacity", "2")]);
    cache.put(b"first", b"", Ttl::Default).unwrap();
    cache.put(b"second", b"", Ttl::Default).unwrap();
    let before = cache.statistics();
    for i in 0..10_000_u32 {
        assert!(cache.touch(b"first", Ttl::For((1 + i % 5_000) * SECOND)));
    }
    let after = cache.statistics();
    assert!(after.memory.bytes < before.memory.bytes + 2_000, "{:?}", after.memory);
    assert_eq!((after.hits, after.misses, after.puts), (0, 0, 2));
    cache.put(b"third", b"", Ttl::Default).unwrap();
    assert!(!cache.contains(b"first"), "a touch is no use");
    time.advance(3_601 * SECOND);
    assert_eq!(cache.sweep(), 2);
}

#[test]
fn a_counter_is_a_text_and_counts_up_and_down() {
    let (cache, _) = open(&[]);
    let add = |delta| cache.increment(b"key", delta, 10, Ttl::Default);
    let text = || String::from_utf8(cache.acquire(b"key").unwrap().unwrap().to_vec()).unwrap();
    assert_eq!((add(5), text()), (Ok(10), "10".into()), "nothing is added to what a counter begins with");
    assert_eq!((add(5), text()), (Ok(15), "15".into()));
    assert_eq!((add(-115), text()), (Ok(-100), "-100".into()));
    assert_eq!((add(i64::MIN + 100), text()), (Ok(i64::MIN), i64::MIN.to_string()));
    assert_eq!(add(-1).unwrap_err().status(), Status::NumberOverflow);
    assert_eq!((add(i64::MAX), add(1), text()), (Ok(-1), Ok(0), "0".into()));
    let before = cache.statistics();
    for other in ["", "-", "+1", " 1", "1 ", "01", "-0", "1.0", "9223372036854775808", "one", "\u{661}"] {
        cache.put(b"key", other.as_bytes(), Ttl::Default).unwrap();
        assert_eq!(add(1).unwrap_err().status(), Status::NotANumber, "{other}");
        assert_eq!(text(), other);
    }
    cache.put(b"key", &[b'1'; 5_000], Ttl::Default).unwrap();
    assert_eq!(add(1).unwrap_err().status(), Status::NotANumber);
    assert_eq!(cache.statistics().puts, before.puts + 12);
    cache.set_option("memory.max_value_size", "2").unwrap();
    cache.put(b"key", b"99", Ttl::Default).unwrap();
    assert_eq!((add(1).unwrap_err().status(), text()), (Status::ValueTooLarge, "99".into()));
}

#[test]
fn a_counter_keeps_its_end_and_begins_anew_after_it() {
    for sliding in ["off", "on"] {
        let (cache, time) = open(&[("memory.sliding", sliding)]);
        let add = || cache.increment(b"key", 1, 1, Ttl::For(10 * SECOND)).unwrap();
        for count in 1..10 {
            assert_eq!(add(), count);
            time.advance(SECOND);
        }
        time.advance(2 * SECOND);
        assert_eq!(add(), 1, "memory.sliding {sliding}");
        assert!(cache.touch(b"key", Ttl::Forever));
        time.advance(1_000 * SECOND);
        assert_eq!(add(), 2);
        assert_eq!(cache.acquire(b"key").unwrap().unwrap().remaining(), None);
        assert!(cache.touch(b"key", Ttl::For(SECOND)));
        assert_eq!(add(), 3);
        time.advance(2 * SECOND);
        assert_eq!((cache.sweep(), cache.statistics().memory.entries), (1, 0));
    }
}

#[test]
fn a_tag_purges_what_carries_it_and_nothing_else() {
    for sliding in ["off", "on"] {
        let (cache, _) =
            open(&[("memory.sliding", sliding), ("memory.compression_threshold", "64"), ("memory.shards", "3")]);
        let tags: Vec<Vec<u8>> = (0..MAX_TAGS).map(|tag| format!("tag {tag}").into_bytes()).collect();
        let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
        let store = |key: usize, tags: &[&[u8]]| {
            let value = vec![b'0' + key as u8 % 10; [1, 2, 3, 700][key % 4]];
            cache.put_with(&key.to_le_bytes(), &value, &PutOptions { tags, ..TOLD }).unwrap();
        };
        // Entry n carries the first n tags, some twice.
        for key in 0..=MAX_TAGS {
            store(key, &tags[..key]);
            store(key, &[&tags[..key], &tags[..key / 2]].concat());
        }
        assert_eq!(cache.purge(Purge::Tag(b"nobody's")), 0);
        for key in 0..=MAX_TAGS {
            let found = cache.acquire(&key.to_le_bytes()).unwrap().unwrap();
            assert!(found.len() == [1, 2, 3, 700][key % 4] && found.iter().all(|byte| *byte == b'0' + key as u8 % 10));
        }
        for key in (1..=MAX_TAGS).rev() {
            assert_eq!(cache.purge(Purge::Tag(tags[key - 1])), 1, "{key}");
        }
        assert_eq!(cache.statistics().memory.entries, 1);
        // Storing without tags takes them away; counting keeps them, and a touch.
        store(1, &tags[..1]);
        store(1, &[]);
        assert_eq!(cache.purge(Purge::Tag(tags[0])), 0);
        store(4, &tags[1..3]);
        store(8, &tags[1..3]);
        store(40, &[]);
        cache.put_with(b"count", b"7", &PutOptions { tags: &tags[2..9], ..TOLD }).unwrap();
        assert_eq!(cache.increment(b"count", 1, 0, Ttl::Default), Ok(8));
        assert!(cache.touch(b"count", Ttl::For(SECOND)));
        assert_eq!((cache.purge(Purge::Tag(tags[2])), cache.purge(Purge::Tag(tags[3]))), (3, 0));
        cache.purge(Purge::All);
        assert_eq!((cache.memory_usage(), cache.statistics().memory.lent_bytes), (0, 0));
    }
}

#[test]
fn too_many_tags_and_too_long_ones_are_refused() {
    let (cache, _) = open(&[]);
    let names: Vec<[u8; 4]> = (0..=MAX_TAGS as u32).map(u32::to_le_bytes).collect();
    let many: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
    let long = vec![b't'; MAX_TAG_LEN + 1];
    for tags in [&many[..], &[&long]] {
        let refused = cache.put_with(b"key", b"", &PutOptions { tags, ..TOLD }).unwrap_err();
        assert_eq!(refused.status(), Status::InvalidArgument);
    }
    assert!(!cache.contains(b"key"));
    cache.put_with(b"key", b"", &PutOptions { tags: &[&long[1..], b""], ..TOLD }).unwrap();
    assert_eq!(cache.purge(Purge::Tag(&long)), 0);
    assert_eq!((cache.purge(Purge::Tag(b"")), cache.purge(Purge::Tag(&long[1..]))), (1, 0));
}
