//! What was read or loaded before a write, and comes after it.

use super::{queued, stack, stack_with};
use crate::cache::{Leased, Purge};
use crate::clock::Ttl;
use crate::pattern::Pattern;
use crate::tiers::memory::PutOptions;
use crate::tiers::FaultKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// The moment in which it goes wrong if it can: the older value was read below, and is not in memory yet.
#[test]
fn a_read_that_began_before_a_write_never_puts_the_older_value_back() {
    for (tier_with_it, write) in [
        (1, "put"),
        (1, "remove"),
        (1, "clear"),
        (2, "put"),
        (2, "remove"),
        (2, "clear"),
        (2, "prefix"),
        (2, "pattern"),
    ] {
        let stack = stack();
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.forget_in_memory(b"key");
        let tier = if tier_with_it == 1 {
            stack.redis.clone()
        } else {
            stack.redis.forget(b"key");
            stack.disk.clone()
        };
        let (cache, fired) = (stack.cache.clone(), Arc::new(AtomicBool::new(false)));
        let in_hook = fired.clone();
        tier.after_read(move |key| {
            if !in_hook.swap(true, SeqCst) {
                let cache = cache.clone();
                let key = key.to_vec();
                // Another thread, as this one is in the middle of its look-up.
                std::thread::spawn(move || match write {
                    "put" => cache.put(&key, b"new", Ttl::Default).unwrap(),
                    "remove" => assert!(cache.remove(&key)),
                    "prefix" => _ = cache.purge(Purge::Prefix(b"k")),
                    "pattern" => _ = cache.purge(Purge::Pattern(&Pattern::new(b"?e*").unwrap())),
                    _ => _ = cache.purge(Purge::All),
                })
                .join()
                .unwrap();
            }
        });
        let first = stack.value(b"key");
        assert!(fired.load(SeqCst));
        // Its call began before; what has come into memory meanwhile it may have as well.
        let first = first.unwrap();
        assert!(first == b"old" || write == "put" && first == b"new", "{first:?}");
        stack.disk.no_hooks();
        stack.redis.no_hooks();
        let expected = (write == "put").then_some(&b"new"[..]);
        let what = format!("{write} while tier {tier_with_it} is read");
        assert_eq!(stack.in_memory(b"key").as_deref(), expected, "{what}: memory");
        assert_eq!(stack.value(b"key").as_deref(), expected, "{what}");
        stack.forget_in_memory(b"key");
        assert_eq!(stack.value(b"key").as_deref(), expected, "{what}: below");
    }
}

/// The other moment: a tier is being filled from below while the key is written.
#[test]
fn a_tier_that_is_being_filled_ends_with_what_is_written_meanwhile() {
    for write in ["put", "remove", "clear"] {
        let stack = stack();
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.forget_in_memory(b"key");
        stack.redis.forget(b"key");
        let (cache, fired) = (stack.cache.clone(), Arc::new(AtomicBool::new(false)));
        let (in_hook, writer) = (fired.clone(), Arc::new(std::sync::Mutex::new(None)));
        let spawned = writer.clone();
        stack.redis.before_write(move |key| {
            if !in_hook.swap(true, SeqCst) {
                let (cache, key) = (cache.clone(), key.to_vec());
                let begun = Arc::new(Barrier::new(2));
                let begins = begun.clone();
                *spawned.lock().unwrap() = Some(std::thread::spawn(move || {
                    begins.wait();
                    match write {
                        "put" => cache.put(&key, b"new", Ttl::Default).unwrap(),
                        "remove" => _ = cache.remove(&key),
                        _ => _ = cache.purge(Purge::All),
                    }
                }));
                begun.wait();
                // It cannot end before the fill has; that it has come as far as it can is not to be known.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // What has come into memory meanwhile it may have as well.
        let first = stack.value(b"key").unwrap();
        assert!(first == b"old" || write == "put" && first == b"new", "{first:?}");
        let writer = writer.lock().unwrap().take().unwrap();
        writer.join().unwrap();
        stack.redis.no_hooks();
        let expected = (write == "put").then_some(&b"new"[..]);
        for round in ["memory", "redis", "disk"] {
            assert_eq!(stack.value(b"key").as_deref(), expected, "{write}, {round}");
            stack.forget_in_memory(b"key");
            if round == "redis" {
                stack.redis.forget(b"key");
            }
        }
    }
}

#[test]
fn what_was_loaded_before_a_write_reaches_no_tier_after_it() {
    let stack = stack();
    let Leased::Lease(lease) = stack.cache.lease(b"key", Duration::ZERO).unwrap() else { panic!("nobody loads it") };
    stack.cache.put(b"key", b"new", Ttl::Default).unwrap();
    let loaded = lease.fulfil(b"old", &PutOptions::default()).unwrap();
    assert_eq!(&*loaded, b"old");
    for _ in 0..2 {
        assert_eq!(stack.value(b"key").unwrap(), b"new");
        stack.forget_in_memory(b"key");
    }
    stack.redis.forget(b"key");
    assert_eq!(stack.value(b"key").unwrap(), b"new");
}

/// A purge takes no turns: it comes while what was loaded is being written below.
#[test]
fn what_was_loaded_before_a_purge_is_in_no_tier_after_it() {
    for what in [Purge::All, Purge::Prefix(b"k"), Purge::Tag(b"tag")] {
        let stack = stack();
        let Leased::Lease(lease) = stack.cache.lease(b"key", Duration::ZERO).unwrap() else {
            panic!("nobody loads it")
        };
        let (cache, purge) = (stack.cache.clone(), Arc::new(std::sync::Mutex::new(None)));
        let spawned = purge.clone();
        stack.redis.before_write(move |_| {
            let mut spawned = spawned.lock().unwrap();
            if spawned.is_none() {
                let (cache, begun) = (cache.clone(), Arc::new(Barrier::new(2)));
                let begins = begun.clone();
                *spawned = Some(std::thread::spawn(move || {
                    begins.wait();
                    cache.purge(what);
                }));
                begun.wait();
                // It cannot end before this write has; that it has come as far as it can is not to be known.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let loaded = lease.fulfil(b"old", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
        assert_eq!(&*loaded, b"old", "its caller gets it all the same");
        let purge = purge.lock().unwrap().take().unwrap();
        purge.join().unwrap();
        stack.redis.no_hooks();
        for round in ["memory", "redis", "disk"] {
            assert_eq!(stack.value(b"key"), None, "{what:?}, {round}");
            stack.forget_in_memory(b"key");
            if round == "redis" {
                stack.redis.forget(b"key");
            }
        }
    }
}

/// A memory of one entry loses what was written before its writer has returned, so look-ups meet in flights all the time. What the leader of
/// one finds in memory is not to be handed to who has come after the write that was just about to replace it.
#[test]
fn who_waits_for_somebody_elses_look_up_is_not_given_what_was_overwritten_before_it_came() {
    const KEYS: u8 = 2;
    let stack = stack_with(&[("memory.capacity", "1")], None, None);
    let newest: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let until = Instant::now() + Duration::from_millis(1_000);
    std::thread::scope(|scope| {
        for key in 0..KEYS {
            let (stack, newest) = (&stack, &newest);
            scope.spawn(move || {
                let mut count = 0_u64;
                while Instant::now() < until {
                    count += 1;
                    stack.cache.put(&[key], &count.to_le_bytes(), Ttl::Default).unwrap();
                    newest[key as usize].store(count, SeqCst);
                }
            });
        }
        for reader in 0..4_u8 {
            let (stack, newest) = (&stack, &newest);
            scope.spawn(move || {
                let key = reader % KEYS;
                while Instant::now() < until {
                    let floor = newest[key as usize].load(SeqCst);
                    if let Some(value) = stack.cache.acquire(&[key]).unwrap() {
                        let number = u64::from_le_bytes(value[..].try_into().unwrap());
                        assert!(number >= floor, "{number} was read after {floor} had been written");
                    }
                }
            });
        }
    });
}

/// Values carry the key and a number that only rises; each thread writes keys of its own, and all read all.
#[test]
fn with_tiers_that_come_and_go_nobody_ever_reads_an_older_value_than_was_written() {
    const KEYS: usize = 8;
    let stack = stack_with(&[("memory.capacity", "3")], None, Some(queued(Duration::from_millis(1), false)));
    let newest: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let until = Instant::now() + Duration::from_millis(1_500);
    let check = |key: usize, value: &[u8], floor: u64| {
        let text = std::str::from_utf8(value).unwrap();
        let (named, number) = text.split_once(':').unwrap();
        assert_eq!(named.parse::<usize>().unwrap(), key);
        let number: u64 = number.parse().unwrap();
        assert!(number >= floor, "key {key}: {number} was read after {floor} had been written");
    };
    std::thread::scope(|scope| {
        for thread in 0..3_usize {
            let (stack, newest, check) = (&stack, &newest, &check);
            scope.spawn(move || {
                let mut state = thread as u64 + 1;
                let mut random = move || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state as usize
                };
                let mut count = 0;
                while Instant::now() < until {
                    let key = random() % KEYS;
                    let name = [key as u8];
                    if key % 3 == thread && random() % 2 == 0 {
                        count += 1;
                        // What it removes is a number, too: nothing is at least that.
                        if random() % 8 == 0 {
                            stack.cache.remove(&name);
                        } else {
                            stack.cache.put(&name, format!("{key}:{count}").as_bytes(), Ttl::Default).unwrap();
                        }
                        newest[key].store(count, SeqCst);
                    } else {
                        let floor = newest[key].load(SeqCst);
                        if let Some(value) = stack.cache.acquire(&name).unwrap() {
                            check(key, &value, floor);
                        }
                    }
                }
            });
        }
        let mut number = 0_usize;
        while Instant::now() < until {
            number += 1;
            std::thread::sleep(Duration::from_millis(7));
            stack.redis.fail(number.is_multiple_of(3).then_some(FaultKind::Unreachable));
            stack.disk.fail(number.is_multiple_of(7).then_some(FaultKind::Full));
        }
        stack.redis.fail(None);
        stack.disk.fail(None);
    });
    let statistics = stack.cache.statistics();
    assert!(statistics.redis.openings > 0 && statistics.redis.hits > 0, "{statistics:?}");
}
