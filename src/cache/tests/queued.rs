//! Writes that wait: what readers see of them, when they are committed, what is lost of them.

use super::{queued, stack_with, wait_for, HOUR};
use crate::cache::Purge;
use crate::clock::Ttl;
use crate::codec::envelope::Envelope;
use crate::error::Status;
use crate::pattern::{KeySet, Pattern};
use crate::tiers::memory::Put;
use crate::tiers::{FaultKind, Tier, TierName};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn what_waits_to_be_written_is_what_readers_find_and_one_write_a_key_is_made() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    for number in 0..10_u8 {
        stack.cache.put(b"key", &[number], Ttl::Default).unwrap();
    }
    assert_eq!(stack.disk.calls().1, 0);
    stack.forget_in_memory(b"key");
    stack.redis.forget(b"key");
    assert_eq!(stack.value(b"key").unwrap(), [9]);
    assert_eq!(stack.cache.statistics().disk.queued, 1);
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    assert_eq!((stack.disk.calls().1, stack.cache.statistics().disk.queued), (1, 0));
    stack.cache.remove(b"key");
    assert!(stack.disk.get(b"key").is_some());
    assert!(stack.value(b"key").is_none(), "it waits to be removed");
    stack.cache.put(b"other", b"1", Ttl::Default).unwrap();
    let disk = stack.disk.clone();
    drop(stack);
    assert!(disk.get(b"other").is_some() && disk.get(b"key").is_none(), "what waits is written at the end");
}

#[test]
fn a_write_is_committed_within_its_interval_by_itself() {
    let stack = stack_with(&[], None, Some(queued(Duration::from_millis(5), false)));
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    wait_for("the commit", || stack.disk.get(b"key").is_some());
}

#[test]
fn a_put_that_waits_for_its_commit_returns_when_it_has_it_and_says_when_it_has_not() {
    let stack = stack_with(&[], None, Some(queued(HOUR, true)));
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    assert!(stack.disk.get(b"key").is_some());
    stack.disk.fail(Some(FaultKind::Full));
    let error = stack.cache.put(b"key", b"newer", Ttl::Default).unwrap_err();
    assert_eq!(error.status(), Status::TimedOut);
    assert_eq!(stack.value(b"key").unwrap(), b"newer");
    stack.disk.fail(None);
    stack.cache.flush(Duration::from_secs(60)).ok();
    wait_for("the commit", || {
        stack.disk.get(b"key").is_some_and(|bytes| Envelope::decode(b"key", &bytes).unwrap().body.len() == 5)
    });
}

#[test]
fn a_batch_that_waits_for_its_commit_is_one_write() {
    let stack = stack_with(&[], None, Some(queued(HOUR, true)));
    let keys: Vec<[u8; 2]> = (0..100_u16).map(u16::to_le_bytes).collect();
    let mut puts: Vec<Put<'_>> = keys.iter().map(|key| Put::new(key, key, Ttl::Default)).collect();
    stack.cache.put_many(&mut puts);
    assert!(puts.iter().all(|put| put.outcome.is_ok()));
    assert_eq!((stack.disk.len(), stack.disk.calls().1), (100, 1));
}

/// It waits for what is on its way, and for nothing that comes later.
#[test]
fn a_purge_ends_though_others_write_all_the_while() {
    let stack = stack_with(&[], None, Some(queued(Duration::ZERO, false)));
    stack.disk.before_write(|_| std::thread::sleep(Duration::from_millis(2)));
    const PATIENCE: Duration = Duration::from_secs(30);
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u32.. {
                // A purge that waits for what comes later would end with this, and only then.
                if stop.load(SeqCst) || begun.elapsed() > PATIENCE {
                    break;
                }
                stack.cache.put(&(number % 50).to_le_bytes(), b"value", Ttl::Default).unwrap();
            }
        });
        wait_for("writes", || stack.disk.calls().1 > 3);
        stack.cache.purge(Purge::Prefix(b"none begins so"));
        stop.store(true, SeqCst);
        assert!(begun.elapsed() < PATIENCE, "it has waited for all that others wrote");
    });
}

#[test]
fn where_no_thread_can_be_started_callers_write_and_try_the_tier_again() {
    let stack = stack_with(&[], None, Some(queued(Duration::ZERO, false)));
    stack.cache.lower().unwrap().level(TierName::Disk).unwrap().tended.lock().threadless = true;
    stack.cache.put(b"a", b"value", Ttl::Default).unwrap();
    assert!(stack.disk.get(b"a").is_some());
    stack.disk.fail(Some(FaultKind::Full));
    stack.cache.put(b"a", b"newer", Ttl::Default).unwrap();
    assert!(!stack.cache.health(TierName::Disk).unwrap().is_up);
    stack.disk.fail(None);
    wait_for("the tier", || {
        stack.cache.contains(b"none");
        stack.cache.health(TierName::Disk).unwrap().is_up
    });
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    let bytes = stack.disk.get(b"a").unwrap();
    assert_eq!(Envelope::decode(b"a", &bytes).unwrap().body.len(), 5);
    assert!(stack.cache.lower().unwrap().level(TierName::Disk).unwrap().tended.lock().thread.is_none());
}

#[test]
fn what_is_queued_outlives_a_fault_and_too_much_of_it_loses_values_but_never_lies() {
    let stack = stack_with(&[("memory.capacity", "4")], Some(queued(Duration::ZERO, false)), None);
    stack.cache.put(b"kept", b"old", Ttl::Default).unwrap();
    stack.cache.put(b"lost", b"old", Ttl::Default).unwrap();
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    stack.redis.fail(Some(FaultKind::Unreachable));
    stack.cache.put(b"kept", b"new", Ttl::Default).unwrap();
    wait_for("the fault", || !stack.cache.health(TierName::Redis).unwrap().is_up);
    assert!(stack.cache.flush(Duration::from_millis(10)).is_err());
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(100_000).collect();
    for number in 0..20_u8 {
        stack.cache.put(&[number], &noise, Ttl::Default).unwrap();
    }
    stack.cache.put(b"lost", &noise, Ttl::Default).unwrap();
    assert!(stack.cache.statistics().redis.dropped_writes > 0);
    assert!(stack.cache.statistics().redis.queued_bytes < 2 << 20);
    // Only Redis is asked here: what it says is either new or nothing.
    [&b"kept"[..], b"lost"].iter().for_each(|key| {
        stack.forget_in_memory(key);
        stack.disk.forget(key);
    });
    assert_eq!(stack.value(b"kept").unwrap(), b"new", "it waits");
    assert!(stack.value(b"lost").is_none());
    stack.redis.fail(None);
    wait_for("the tier", || stack.cache.flush(Duration::from_secs(1)).is_ok());
    assert!(stack.redis.get(b"lost").is_none());
    stack.forget_in_memory(b"kept");
    assert_eq!(stack.value(b"kept").unwrap(), b"new");
}

#[test]
fn new_keys_that_find_too_much_waiting_cost_the_disk_nothing_that_it_has() {
    let stack = stack_with(&[("memory.capacity", "4")], None, Some(queued(Duration::ZERO, false)));
    stack.cache.put(b"kept", b"value", Ttl::Default).unwrap();
    stack.cache.put(b"overwritten", b"old", Ttl::Default).unwrap();
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    let goes_on = Arc::new(AtomicBool::new(false));
    let until = goes_on.clone();
    stack.disk.before_write(move |_| {
        while !until.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    // More than can wait to be removed.
    for number in 0..110_000_u32 {
        stack.cache.put(&number.to_le_bytes(), b"value", Ttl::Default).unwrap();
    }
    stack.cache.put(b"overwritten", b"new", Ttl::Default).unwrap();
    assert!(stack.cache.statistics().disk.dropped_writes > 100_000);
    goes_on.store(true, SeqCst);
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    assert!(stack.disk.get(b"kept").is_some());
    assert!(stack.disk.get(b"overwritten").is_none(), "what was not written is no longer believed");
}

#[test]
fn clearing_gives_up_what_waits() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.cache.purge(Purge::All);
    assert!(stack.value(b"key").is_none());
    stack.cache.put(b"later", b"value", Ttl::Default).unwrap();
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    assert!(stack.disk.get(b"key").is_none() && stack.disk.get(b"later").is_some());
}

/// What was removed or overwritten before a purge, and is still in the tier while that is at work.
#[test]
fn a_purge_neither_brings_back_nor_counts_what_is_only_in_the_tier_any_more() {
    let stack = stack_with(&[], None, Some(queued(HOUR, false)));
    for key in [b"a", b"b", b"c"] {
        stack.cache.put(key, b"old", Ttl::Default).unwrap();
    }
    stack.cache.flush(Duration::from_secs(60)).unwrap();
    stack.cache.remove(b"a");
    stack.cache.put(b"b", b"new", Ttl::Default).unwrap();
    stack.redis.purge_keys(KeySet::Beginning(b"")).unwrap();
    let (cache, seen) = (stack.cache.clone(), Arc::new(Mutex::new(None)));
    let in_hook = seen.clone();
    stack.disk.before_purge(move |_| {
        cache.memory().clear();
        let has = |key: &[u8]| cache.acquire(key).unwrap().is_some();
        *in_hook.lock().unwrap() = Some((has(b"a"), has(b"b"), has(b"c")));
    });
    let pattern = Pattern::new(b"?").unwrap();
    assert_eq!(stack.cache.purge(Purge::Pattern(&pattern)), 2, "one was removed before");
    assert_eq!(*seen.lock().unwrap(), Some((false, false, true)), "while it was at work");
    stack.disk.no_hooks();
    assert_eq!((stack.disk.len(), stack.cache.statistics().disk.queued), (0, 0));
}
