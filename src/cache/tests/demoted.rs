//! What memory evicts and the disk gets.

use super::{stack_with, HOUR};
use crate::cache::Purge;
use crate::clock::Ttl;
use crate::codec::envelope::Envelope;
use crate::tiers::memory::PutOptions;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn what_memory_evicts_is_written_to_disk_if_it_is_not_there_and_nothing_has_changed_since() {
    let stack = stack_with(&[("cache.demote", "on"), ("memory.capacity", "1"), ("memory.policy", "lru")], None, None);
    let tick = || stack.time.advance(Duration::from_millis(1));
    let put = |key: &[u8], ttl| {
        stack.cache.put(key, b"value", ttl).unwrap();
        stack.disk.forget(key);
        tick();
    };
    put(b"a", Ttl::For(HOUR));
    put(b"b", Ttl::For(HOUR));
    assert!(stack.left_in(&stack.disk, b"a").unwrap() <= HOUR);
    assert_eq!(stack.cache.statistics().disk.demotions, 1);
    // It was removed in the moment between leaving and being written.
    let cache = stack.cache.clone();
    let removed = Arc::new(AtomicBool::new(false));
    let has_removed = removed.clone();
    stack.redis.before_write(move |key| {
        if key == b"d" && !has_removed.swap(true, SeqCst) {
            // Makes `c` leave; it is told of, and written, on this thread when the put below ends.
            cache.memory().put(b"x", b"", Ttl::Default).unwrap();
        }
    });
    put(b"c", Ttl::For(HOUR));
    stack.cache.put(b"d", b"value", Ttl::For(HOUR)).unwrap();
    assert!(removed.load(SeqCst) && stack.disk.get(b"c").is_some(), "nobody has written it since");
    stack.redis.no_hooks();
    // Tagged entries and those whose time is over are not written.
    stack.cache.put_with(b"t", b"value", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
    stack.disk.forget(b"t");
    tick();
    put(b"e", Ttl::Default);
    assert!(stack.disk.get(b"t").is_none());
    // The caller's listener is told as well.
    let told = Arc::new(AtomicU64::new(0));
    let counts = told.clone();
    stack.cache.set_listener(Some(Arc::new(move |_| _ = counts.fetch_add(1, SeqCst))));
    put(b"f", Ttl::Default);
    assert_eq!(told.load(SeqCst), 1);
    assert!(stack.disk.get(b"e").is_some());
}

#[test]
fn what_was_evicted_and_then_removed_or_purged_is_not_written_to_disk() {
    for how in ["remove", "put", "clear"] {
        let stack = stack_with(&[("cache.demote", "on")], None, None);
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.disk.forget(b"key");
        stack.time.advance(Duration::from_millis(1));
        // It leaves here, and is told of when this thread says so.
        stack.cache.memory().shrink(0);
        let kept = stack.disk.get(b"key");
        assert!(kept.is_some(), "it left with nothing in between");
        // The same, with a write that ends between the two.
        stack.cache.put(b"key", b"old", Ttl::Default).unwrap();
        stack.disk.forget(b"key");
        stack.time.advance(Duration::from_millis(1));
        let cache = stack.cache.clone();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        stack.cache.put(b"other", b"", Ttl::Default).unwrap();
        stack.disk.forget(b"other");
        stack.time.advance(Duration::from_millis(1));
        // Told first of the two: writes the other key before that is told.
        let time = stack.time.clone();
        stack.cache.set_listener(Some(Arc::new(move |departed| {
            if is_done.swap(true, SeqCst) {
                return;
            }
            let other = if departed.key() == b"key" { &b"other"[..] } else { b"key" };
            time.advance(Duration::from_millis(1));
            match how {
                "remove" => _ = cache.remove(other),
                "put" => cache.put(other, b"new", Ttl::Default).unwrap(),
                _ => _ = cache.purge(Purge::All),
            }
        })));
        stack.cache.memory().shrink(0);
        assert!(done.load(SeqCst));
        stack.cache.set_listener(None);
        let on_disk = [&b"key"[..], b"other"].iter().filter(|key| stack.disk.get(key).is_some()).count();
        match how {
            // The first one was written before.
            "remove" => assert_eq!(on_disk, 1),
            "put" => {
                let new = [&b"key"[..], b"other"].iter().any(|key| {
                    let bytes = stack.disk.get(key);
                    bytes.is_some_and(|bytes| Envelope::decode(key, &bytes).unwrap().body.len() == 3)
                });
                assert!(new);
            }
            _ => assert_eq!(on_disk, 0),
        }
    }
}
