//! A fork in the middle of other threads' calls on all three tiers: parent and child both go on, with sockets and files of their own.
//!
//! In a file of its own, so that the process that forks has no other test's threads.
#![allow(unsafe_code)]
#![cfg(all(feature = "redis", feature = "disk", not(miri)))]

#[path = "support/folder.rs"]
mod folder;
#[path = "support/redis.rs"]
mod redis;

use catzilla_cache::{Cache, Options, TierName, Ttl};
use folder::TemporaryFolder;
use redis::{is_installed, Server};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const FORKS: u32 = 10;

/// What a child does: reads what was there before it was, and writes in all tiers. A number says what went wrong.
fn child(cache: &Cache, fork: u32) -> i32 {
    let holds = |key: &[u8], expected: &[u8]| matches!(cache.acquire(key), Ok(Some(value)) if *value == *expected);
    for number in 0..200_u32 {
        if !holds(format!("before:{number}").as_bytes(), &number.to_le_bytes()) {
            return 1;
        }
    }
    for number in 0..100_u32 {
        let key = format!("child:{fork}:{number}");
        if cache.put(key.as_bytes(), &number.to_le_bytes(), Ttl::Default).is_err() {
            return 2;
        }
    }
    if cache.flush(Duration::from_secs(60)).is_err() {
        return 3;
    }
    let statistics = cache.statistics();
    if statistics.redis.openings + statistics.disk.openings != 0 {
        return 4;
    }
    0
}

#[test]
fn parent_and_child_use_all_tiers_after_a_fork_and_share_no_connection() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let folder = TemporaryFolder::new("fork");
    let mut options = Options::new();
    // Little memory, so that both go down; and patience, since no fault is forgiven here.
    for (name, text) in [
        ("memory.capacity", "50"),
        ("redis.url", &server.url()),
        ("redis.timeout", "30s"),
        ("redis.connect_timeout", "30s"),
        ("disk.path", &folder.join("cache")),
    ] {
        options.set(name, text).unwrap();
    }
    let cache = Cache::open(&options).unwrap();
    for number in 0..200_u32 {
        cache.put(format!("before:{number}").as_bytes(), &number.to_le_bytes(), Ttl::Default).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3_u32 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                for number in 0_u32.. {
                    if stop.load(SeqCst) {
                        break;
                    }
                    let key = format!("parent:{thread}:{}", number % 500);
                    cache.put(key.as_bytes(), key.as_bytes(), Ttl::Default).unwrap();
                    let key = format!("parent:{thread}:{}", number / 2 % 500);
                    let value = cache.acquire(key.as_bytes()).unwrap().expect("this thread has stored it");
                    assert_eq!(&*value, key.as_bytes());
                }
            });
        }
        for fork in 0..FORKS {
            std::thread::sleep(Duration::from_millis(20));
            // SAFETY: the child only uses the cache, which promises to work there, and leaves without running anything else.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let wrong = child(&cache, fork);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(wrong) }
            }
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut status = 0;
            // SAFETY: a child of this process, and a place for its status.
            while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == 0 {
                if Instant::now() > deadline {
                    // SAFETY: the child, which has not ended.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                    stop.store(true, SeqCst);
                    panic!("child {fork} hangs");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if !(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0) {
                stop.store(true, SeqCst);
                panic!("child {fork} ended with {status:#x}");
            }
        }
        stop.store(true, SeqCst);
    });
    // What the children wrote is there, in the tiers that they share with the parent.
    for fork in 0..FORKS {
        for number in 0..100_u32 {
            let value =
                cache.acquire(format!("child:{fork}:{number}").as_bytes()).unwrap().expect("a child has stored it");
            assert_eq!(*value, number.to_le_bytes());
        }
    }
    let statistics = cache.statistics();
    assert_eq!((statistics.redis.openings, statistics.disk.openings), (0, 0));
    assert!(cache.health(TierName::Disk).unwrap().is_up);
    let url = server.url();
    drop(cache);
    let alone = Cache::open(options.set("redis.url", &url).unwrap()).unwrap();
    assert!(alone.contains(b"before:1"));
}
