//! Who waits for somebody else's look-up or load.

use super::{stack, wait_for};
use crate::cache::Leased;
use crate::clock::Ttl;
use crate::tiers::memory::PutOptions;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn many_who_miss_a_key_ask_below_once() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    stack.redis.after_read(|_| std::thread::sleep(Duration::from_millis(100)));
    let begin = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                begin.wait();
                assert_eq!(stack.value(b"key").unwrap(), b"value");
            });
        }
    });
    assert_eq!(stack.redis.calls().0, 1);
    let statistics = stack.cache.statistics();
    assert_eq!((statistics.hits, statistics.misses), (8, 0));
}

#[test]
fn who_waits_for_somebody_elses_look_up_does_so_for_a_while_only() {
    let stack = stack();
    let go_on = Arc::new(AtomicBool::new(false));
    let held = go_on.clone();
    stack.redis.after_read(move |_| {
        while !held.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| stack.value(b"key"));
        wait_for("the first look-up", || stack.redis.calls().0 == 1);
        assert!(stack.value(b"key").is_none());
        go_on.store(true, SeqCst);
    });
}

#[test]
fn a_plain_look_up_does_not_wait_for_a_loader() {
    let stack = stack();
    let Leased::Lease(lease) = stack.cache.lease(b"key", Duration::ZERO).unwrap() else { panic!("nobody loads it") };
    assert!(stack.value(b"key").is_none());
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(stack.value(b"key").is_none()));
    });
    assert_eq!(stack.cache.statistics().load_waits, 0);
    let loaded = lease.fulfil(b"loaded", &PutOptions::default()).unwrap();
    assert_eq!(&*loaded, b"loaded");
    stack.forget_in_memory(b"key");
    assert_eq!(stack.value(b"key").unwrap(), b"loaded", "it is in the tiers below");
}

#[test]
fn a_loader_is_not_asked_for_what_a_tier_has() {
    let stack = stack();
    stack.cache.put(b"key", b"value", Ttl::Default).unwrap();
    stack.forget_in_memory(b"key");
    let load = || -> crate::error::Result<Option<&[u8]>> { panic!("it is there") };
    let value = stack.cache.get_or_load(b"key", Ttl::Default, Duration::MAX, load).unwrap();
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
    assert_eq!(stack.cache.statistics().hits, 1);
}
