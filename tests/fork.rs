//! A fork in the middle of other threads' calls: parent and child both go on.
//!
//! In a file of its own, so that the process that forks has no other test's threads.
#![allow(unsafe_code)]
#![cfg(all(unix, not(miri)))]

use catzilla_cache::{Cache, Options, Purge, Ttl};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FORKS: usize = 40;

/// Uses every kind of call; true if all is well. Runs in the child, where only this thread exists.
fn uses_the_cache(cache: &Cache) -> bool {
    for i in 0..500_u32 {
        let key = i.to_le_bytes();
        if cache.put(&key, &key, Ttl::Default).is_err() || !cache.contains(&key) {
            return false;
        }
        if !matches!(cache.acquire(&key), Ok(Some(value)) if *value == key) || !cache.remove(&key) {
            return false;
        }
    }
    cache.purge(Purge::All);
    cache.statistics().memory.entries == 0
}

#[test]
fn parent_and_child_go_on_when_other_threads_were_writing() {
    let mut options = Options::new();
    options.set("memory.capacity", "1000").unwrap().set("memory.shards", "3").unwrap();
    let cache = Cache::open(&options).unwrap();
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (cache, stop, written) = (&cache, &stop, &written);
            scope.spawn(move || {
                let value = vec![thread as u8; 2_000];
                for i in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    cache.put(&(i % 3_000).to_le_bytes(), &value[..(i % 2_000) as usize], Ttl::Default).unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for fork in 0..FORKS {
            let before = written.load(Ordering::Relaxed);
            // SAFETY: the child only uses the cache, which promises to work there, and leaves without running anything else.
            match unsafe { libc::fork() } {
                0 => {
                    let well = uses_the_cache(&cache);
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(i32::from(!well)) }
                }
                child => {
                    assert!(child > 0, "fork failed");
                    assert_eq!(wait(child), Some(0), "child {fork} did not come back well");
                }
            }
            // The parent's own threads go on too.
            let deadline = Instant::now() + Duration::from_secs(60);
            while written.load(Ordering::Relaxed) == before {
                assert!(Instant::now() < deadline, "the parent's writers are stuck");
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(uses_the_cache(&cache));
}

/// The child's exit code; `None` if it crashed or did not end within a minute.
fn wait(child: i32) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut status = 0;
        // SAFETY: a child of this process, and a place for its status.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if ended == child {
            return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        }
        if Instant::now() > deadline {
            // SAFETY: a child of this process.
            unsafe { libc::kill(child, libc::SIGKILL) };
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
