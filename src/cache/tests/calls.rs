//! What one call does to the tiers: what is found where, for how long, and how it is counted.

use super::{queued, stack, stack_with, wait_for, Stack, HOUR};
use crate::cache::{Cache, Purge};
use crate::clock::Ttl;
use crate::error::Status;
use crate::options::Options;
use crate::pattern::Pattern;
use crate::tiers::memory::{Get, Put, PutOptions, Read, Remove};
use crate::tiers::{FaultKind, TierName};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_value_is_in_all_tiers_and_is_found_in_each() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    for tier in [TierName::Memory, TierName::Redis, TierName::Disk] {
        let value = stack.cache.acquire(b"key").unwrap().unwrap();
        assert_eq!((&*value, value.tier()), (&b"value"[..], tier));
        // It was taken up into all above.
        assert_eq!(stack.cache.acquire(b"key").unwrap().unwrap().tier(), TierName::Memory);
        assert!(stack.redis.get(b"key").is_some());
        stack.forget_in_memory(b"key");
        if tier == TierName::Redis {
            stack.redis.forget(b"key");
        }
    }
}

#[test]
fn each_tier_has_a_default_lifetime_and_a_callers_holds_in_all() {
    let stack = stack_with(&[("redis.ttl", "2h"), ("disk.ttl", "3h")], None, None);
    stack.cache.put(b"default", b"", Ttl::Default).unwrap();
    stack.cache.put(b"given", b"", Ttl::For(5 * HOUR)).unwrap();
    stack.cache.put(b"forever", b"", Ttl::Forever).unwrap();
    let left = |key: &[u8]| (stack.left_in(&stack.redis, key), stack.left_in(&stack.disk, key));
    assert_eq!(left(b"default"), (Some(2 * HOUR), Some(3 * HOUR)));
    assert_eq!(left(b"given"), (Some(5 * HOUR), Some(5 * HOUR)));
    assert_eq!(left(b"forever"), (None, None));
}

#[test]
fn lifetimes_and_the_time_a_write_may_wait_change_while_the_cache_runs() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    for (option, text) in [("redis.ttl", "2h"), ("disk.ttl", "3h"), ("disk.commit_interval", "1ms")] {
        stack.cache.set_option(option, text).unwrap();
    }
    stack.cache.put(b"key", b"", Ttl::Default).unwrap();
    wait_for("the commit", || stack.disk.get(b"key").is_some());
    assert_eq!(stack.left_in(&stack.redis, b"key"), Some(2 * HOUR));
    assert_eq!(stack.left_in(&stack.disk, b"key"), Some(3 * HOUR));
    let refused = stack.cache.set_option("disk.path", "/elsewhere").unwrap_err();
    assert_eq!(refused.status(), Status::OptionNotLive);
}

#[test]
fn what_is_taken_up_keeps_what_is_left_of_its_lifetime() {
    // The jitter is for what is stored, not for what is found.
    let stack = stack_with(&[("memory.ttl_jitter", "50")], None, None);
    stack.cache.put(b"key", b"value", Ttl::For(HOUR)).unwrap();
    stack.time.advance(HOUR / 2);
    stack.forget_in_memory(b"key");
    stack.redis.forget(b"key");
    let value = stack.cache.acquire(b"key").unwrap().unwrap();
    assert!(value.remaining().unwrap() <= HOUR / 2, "{:?}", value.remaining());
    assert!(stack.left_in(&stack.redis, b"key").unwrap() <= HOUR / 2);
    assert!(stack.left_in(&stack.redis, b"key").unwrap() > HOUR / 3);
    // What memory adds at most.
    stack.time.advance(HOUR / 2 + Duration::from_millis(20));
    assert!(stack.value(b"key").is_none());
    stack.forget_in_memory(b"key");
    assert!(stack.value(b"key").is_none(), "neither of the tiers below hands out what is over");
}

#[test]
fn a_default_lifetime_below_is_not_one_of_memory() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    stack.redis.forget(b"key");
    let value = stack.cache.acquire(b"key").unwrap().unwrap();
    assert!(value.remaining().unwrap() <= HOUR);
    assert!(stack.left_in(&stack.redis, b"key").unwrap() <= 24 * HOUR);
}

#[test]
fn removing_and_clearing_reach_every_tier_and_asking_whether_a_key_is_there_asks_all() {
    let stack = stack();
    for key in [b"a", b"b", b"c"] {
        stack.cache.put(key, b"value", Ttl::Default).unwrap();
    }
    stack.forget_in_memory(b"a");
    assert!(stack.cache.contains(b"a"));
    stack.redis.forget(b"a");
    assert!(stack.cache.contains(b"a"), "the disk has it");
    assert!(stack.in_memory(b"a").is_none(), "to ask is no use");
    assert!(stack.cache.remove(b"a"));
    assert!(!stack.cache.remove(b"a") && !stack.cache.contains(b"a"));
    assert_eq!(stack.cache.purge(Purge::Prefix(b"b")), 1);
    assert_eq!((stack.redis.len(), stack.disk.len()), (1, 1));
    stack.cache.put(b"page:1:en", b"value", Ttl::Default).unwrap();
    stack.cache.put(b"page:2:en", b"value", Ttl::Default).unwrap();
    // One is not in memory, one is nowhere else.
    stack.forget_in_memory(b"page:1:en");
    stack.redis.forget(b"page:2:en");
    stack.disk.forget(b"page:2:en");
    assert_eq!(stack.cache.purge(Purge::Pattern(&Pattern::new(b"*:?:en").unwrap())), 1);
    assert_eq!((stack.redis.len(), stack.disk.len()), (1, 1));
    assert!(stack.value(b"page:1:en").is_none() && stack.value(b"page:2:en").is_none());
    assert_eq!(stack.cache.purge(Purge::All), 1);
    assert_eq!((stack.redis.len(), stack.disk.len()), (0, 0));
    assert!(stack.value(b"c").is_none());
}

#[test]
fn a_value_that_memory_does_not_take_is_kept_below() {
    let stack = stack_with(&[("memory.max_value_size", "100B")], None, None);
    stack.cache.put(b"key", b"small", Ttl::Default).unwrap();
    let large = vec![7; 5_000];
    stack.cache.put(b"key", &large, Ttl::Default).unwrap();
    assert!(stack.in_memory(b"key").is_none(), "the older one is gone");
    assert_eq!(stack.value(b"key").unwrap(), large);
    let mut buffer = vec![0; 5_000];
    assert_eq!(stack.cache.read(b"key", &mut buffer[..10]).unwrap(), Some(Read::Truncated(5_000)));
    assert_eq!(stack.cache.read(b"key", &mut buffer).unwrap(), Some(Read::Copied(5_000)));
    assert_eq!(buffer, large);
    // What no tier takes is refused.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let huge: Vec<u8> = noise.take(3 << 20).collect();
    assert_eq!(stack.cache.put(b"huge", &huge, Ttl::Default).unwrap_err().status(), Status::ValueTooLarge);
    assert!(stack.value(b"huge").is_none());
}

#[test]
fn a_memory_that_keeps_nothing_leaves_everything_to_the_tiers_below() {
    let stack = stack_with(&[("memory.max_value_size", "0")], None, None);
    for value in [&b""[..], b"v", &[7; 5_000]] {
        stack.cache.put(b"key", value, Ttl::Default).unwrap();
        assert_eq!(stack.value(b"key").unwrap(), value);
        assert_eq!(stack.value(b"key").unwrap(), value);
        assert!(stack.in_memory(b"key").is_none());
    }
    assert_eq!(stack.cache.increment(b"count", 1, 1, Ttl::Default).unwrap(), 1);
    assert_eq!(stack.cache.increment(b"count", 1, 1, Ttl::Default).unwrap(), 2);
    assert!(stack.cache.remove(b"key") && stack.value(b"key").is_none());
    let mut options = Options::new();
    options.set("memory.max_value_size", "0").unwrap();
    let alone = Cache::open(&options).unwrap();
    assert_eq!(alone.put(b"key", b"", Ttl::Default).unwrap_err().status(), Status::ValueTooLarge);
}

#[test]
fn requests_are_counted_once_whichever_tier_answers() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    let mut buffer = [0; 10];
    let figures = || {
        let statistics = stack.cache.statistics();
        (statistics.hits, statistics.misses)
    };
    stack.cache.read(b"key", &mut buffer).unwrap();
    assert_eq!(figures(), (1, 0));
    stack.forget_in_memory(b"key");
    stack.cache.read(b"key", &mut buffer).unwrap();
    assert_eq!(figures(), (2, 0));
    stack.cache.read(b"none", &mut buffer).unwrap();
    assert_eq!(figures(), (2, 1));
    stack.forget_in_memory(b"key");
    assert_eq!(stack.cache.read(b"key", &mut []).unwrap(), Some(Read::Truncated(5)));
    assert_eq!(figures(), (2, 1), "it will be asked again");
    stack.cache.read(b"key", &mut buffer).unwrap();
    stack.forget_in_memory(b"key");
    stack.cache.lend(b"key").unwrap().unwrap();
    stack.forget_in_memory(b"key");
    stack.cache.acquire(b"key").unwrap().unwrap();
    assert_eq!(figures(), (5, 1));
    let redis = stack.cache.statistics().redis;
    assert_eq!((redis.hits, redis.misses, redis.puts), (4, 1, 1));
}

#[test]
fn a_classic_result_from_below_lives_as_long_as_one_from_memory() {
    let stack = stack_with(&[("memory.max_value_size", "10B")], None, None);
    for number in 0..70_u32 {
        stack.cache.put(&number.to_le_bytes(), &[number as u8; 100], Ttl::Default).unwrap();
    }
    let mut results = Vec::new();
    for number in 0..65_u32 {
        results.push(stack.cache.lend(&number.to_le_bytes()).unwrap().unwrap());
    }
    for (number, lent) in results.iter().enumerate() {
        // SAFETY: the first of them has seen 64 more calls, which is what it lives for.
        #[allow(unsafe_code)]
        let bytes = unsafe { std::slice::from_raw_parts(lent.data, lent.len) };
        assert_eq!(bytes, [number as u8; 100]);
    }
}

#[test]
fn a_batch_makes_one_call_on_each_tier() {
    let stack = stack();
    let keys: Vec<[u8; 2]> = (0..100_u16).map(u16::to_le_bytes).collect();
    let mut puts: Vec<Put<'_>> = keys.iter().map(|key| Put::new(key, key, Ttl::Default)).collect();
    stack.cache.put_many(&mut puts);
    assert!(puts.iter().all(|put| put.outcome.is_ok()));
    assert_eq!((stack.redis.calls().1, stack.disk.calls().1), (1, 1));
    for (number, key) in keys.iter().enumerate() {
        stack.forget_in_memory(key);
        match number % 3 {
            0 => stack.redis.forget(key),
            1 => stack.disk.forget(key),
            _ => {}
        }
    }
    let mut buffers = vec![[0; 2]; 102];
    let mut wanted: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    wanted.extend([&b"none"[..], &keys[0]]);
    let mut gets: Vec<Get<'_>> = wanted.iter().zip(&mut buffers).map(|(key, buffer)| Get::new(key, buffer)).collect();
    let (reads, writes) = (stack.redis.calls().0, stack.redis.calls().1);
    stack.cache.get_many(&mut gets);
    for get in &gets {
        match get.key {
            b"none" => assert_eq!(get.outcome, Ok(None)),
            key => assert_eq!((&get.outcome, &*get.buffer), (&Ok(Some(Read::Copied(2))), key)),
        }
    }
    assert_eq!(stack.redis.calls().0 - reads, 1);
    assert_eq!(stack.disk.calls().0, 1);
    assert_eq!(stack.redis.calls().1 - writes, 1, "what the disk had went up in one call");
    assert!(stack.redis.get(&keys[0]).is_some());
    let statistics = stack.cache.statistics();
    assert_eq!((statistics.hits, statistics.misses), (101, 1));
    let mut removes: Vec<Remove<'_>> = wanted.iter().map(|key| Remove::new(key)).collect();
    let writes = stack.redis.calls().1;
    stack.cache.remove_many(&mut removes);
    assert_eq!(stack.redis.calls().1 - writes, 1);
    assert!(removes[..100].iter().all(|remove| remove.removed) && !removes[100].removed);
    assert_eq!((stack.redis.len(), stack.disk.len()), (0, 0));
}

/// The outcomes of a batch, as values.
fn values_of(stack: &Stack, keys: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let mut buffers = vec![[0; 8]; keys.len()];
    let mut gets: Vec<Get<'_>> = keys.iter().zip(&mut buffers).map(|(key, buffer)| Get::new(key, buffer)).collect();
    stack.cache.get_many(&mut gets);
    let value = |get: &Get<'_>| match get.outcome {
        Ok(Some(Read::Copied(len))) => Some(get.buffer[..len].to_vec()),
        Ok(None) => None,
        ref other => panic!("{other:?}"),
    };
    gets.iter().map(value).collect()
}

#[test]
fn a_key_that_comes_more_than_once_in_a_batch_is_asked_for_once_and_each_gets_what_it_has_room_for() {
    // Memory has room for one entry, so that nothing but the batch itself can answer the others.
    let stack = stack_with(&[("memory.capacity", "1")], None, None);
    for key in [&b"one"[..], b"two", b"last"] {
        stack.cache.put(key, &key[..2], Ttl::Default).unwrap();
    }
    stack.forget_in_memory(b"last");
    let asked = Arc::new(Mutex::new(Vec::new()));
    stack.redis.after_read({
        let asked = asked.clone();
        move |key| asked.lock().unwrap().push(key.to_vec())
    });
    // Where the first has no room for the value another one has.
    let wanted: [(&[u8], usize); 10] = [
        (b"one", 2),
        (b"none", 2),
        (b"two", 1),
        (b"one", 3),
        (b"one", 1),
        (b"two", 0),
        (b"none", 2),
        (b"two", 2),
        (b"last", 2),
        (b"one", 2),
    ];
    let mut buffers: Vec<Vec<u8>> = wanted.iter().map(|(_, room)| vec![0; *room]).collect();
    let mut gets: Vec<Get<'_>> =
        wanted.iter().zip(&mut buffers).map(|((key, _), buffer)| Get::new(key, buffer)).collect();
    stack.cache.get_many(&mut gets);
    for get in &gets {
        match (get.key, get.buffer.len()) {
            (b"none", _) => assert_eq!(get.outcome, Ok(None)),
            (_, 0 | 1) => assert_eq!(get.outcome, Ok(Some(Read::Truncated(2)))),
            (key, _) => assert_eq!((&get.outcome, &get.buffer[..2]), (&Ok(Some(Read::Copied(2))), &key[..2])),
        }
    }
    // The one of `two` that has room came behind one that had none.
    assert_eq!(*asked.lock().unwrap(), [&b"one"[..], b"none", b"two", b"last", b"two"]);
    let statistics = stack.cache.statistics();
    assert_eq!((statistics.hits, statistics.misses), (5, 2), "those that will be made again are not counted yet");
}

#[test]
fn a_batch_finds_what_has_tags_unless_they_were_purged_and_what_waits_to_be_written() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    let keys: [&[u8]; 5] = [b"tagged", b"purged", b"plain", b"waits", b"none"];
    let put = |key: &[u8], tags: &[&[u8]]| {
        stack.cache.put_with(key, &key[..2], &PutOptions { tags, ..PutOptions::default() }).unwrap();
    };
    put(b"tagged", &[b"news"]);
    put(b"purged", &[b"news", b"old"]);
    put(b"plain", &[]);
    put(b"waits", &[b"news"]);
    stack.time.advance(Duration::from_millis(1));
    stack.cache.purge(Purge::Tag(b"old"));
    // Of this one the disk's queue alone knows.
    stack.redis.forget(b"waits");
    keys.iter().for_each(|key| stack.forget_in_memory(key));
    let wanted = [Some(b"ta".to_vec()), None, Some(b"pl".to_vec()), Some(b"wa".to_vec()), None];
    assert_eq!(values_of(&stack, &keys), wanted);
    for (key, value) in keys.iter().zip(wanted) {
        assert_eq!(stack.in_memory(key), value, "what was found was taken up");
    }
    assert!(stack.redis.get(b"waits").is_some(), "and went up into the tier between");
}

#[test]
fn a_batch_goes_past_a_tier_that_fails() {
    let stack = stack();
    let keys: Vec<[u8; 2]> = (0..100_u16).map(u16::to_le_bytes).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    for key in &keys {
        stack.cache.put(key, key, Ttl::Default).unwrap();
        stack.forget_in_memory(key);
    }
    stack.redis.fail(Some(FaultKind::TimedOut));
    let wanted: Vec<_> = keys.iter().map(|key| Some(key.to_vec())).collect();
    assert_eq!(values_of(&stack, &keys), wanted);
    assert_eq!(stack.cache.statistics().redis.timeouts, 1);
    assert_eq!(stack.disk.calls().0, 1);
}
