//! A fork in the middle of other threads' calls: parent and child both go on.
//!
//! In a file of its own, so that the process that forks has no other test's threads.
#![allow(unsafe_code)]
#![cfg(all(unix, not(miri)))]

use catzilla_cache::{Cache, Departed, Leased, Options, Purge, PutOptions, Ttl};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
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
    // So that the cache's own thread is in the middle of something too.
    options.set("memory.sweep_interval", "1ms").unwrap();
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

/// A cache that only a thread of its own empties: nothing else touches it.
fn empties_itself(cache: &Cache) -> bool {
    cache.put(b"short", b"", Ttl::For(Duration::from_millis(1))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(50);
    while cache.statistics().memory.entries > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    cache.statistics().memory.entries == 0
}

#[test]
fn a_child_sweeps_by_a_thread_of_its_own_and_can_end_the_cache() {
    let cache = Cache::open(Options::new().set("memory.sweep_interval", "2ms").unwrap()).unwrap();
    assert!(empties_itself(&cache));
    for fork in 0..10 {
        // SAFETY: as above.
        match unsafe { libc::fork() } {
            0 => {
                let well = empties_itself(&cache);
                drop(cache);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!well)) }
            }
            child => {
                assert!(child > 0, "fork failed");
                assert!(empties_itself(&cache));
                assert_eq!(wait(child), Some(0), "child {fork} did not come back well");
            }
        }
    }
}

/// In the child nobody else is in the listener, whoever was at the fork; it is told what the child makes leave, and nothing else.
fn is_told_in_the_child(cache: &Cache, told: &AtomicU64) -> bool {
    let before = told.load(Ordering::Relaxed);
    let purged = cache.purge(Purge::All);
    if told.load(Ordering::Relaxed) != before + purged {
        return false;
    }
    // Waits for calls that are under way.
    cache.set_listener(None);
    uses_the_cache(cache)
}

#[test]
fn a_child_tells_what_it_makes_leave_when_other_threads_were_telling() {
    let cache = Cache::open(Options::new().set("memory.capacity", "100").unwrap()).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let count = told.clone();
    cache.set_listener(Some(Arc::new(move |_: &Departed| {
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::yield_now();
    })));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                let mut key = thread;
                while !stop.load(Ordering::Relaxed) {
                    cache.put(&key.to_le_bytes(), b"value", Ttl::Forever).unwrap();
                    key += 3;
                    if key % 100 == 0 {
                        cache.purge(Purge::All);
                    }
                }
            });
        }
        for fork in 0..FORKS {
            // SAFETY: as above.
            match unsafe { libc::fork() } {
                0 => {
                    let well = is_told_in_the_child(&cache, &told);
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(i32::from(!well)) }
                }
                child => {
                    assert!(child > 0, "fork failed");
                    assert_eq!(wait(child), Some(0), "child {fork} did not come back well");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    cache.set_listener(None);
    let memory = cache.statistics().memory;
    assert_eq!(memory.puts, told.load(Ordering::Relaxed) + memory.entries);
    assert_eq!(memory.lent_bytes, 0);
}

/// In the child: threads of its own write and read side by side, what is replaced is freed although somebody might be reading
/// it, and nothing is held for threads that did not come along.
fn threads_use_the_cache(cache: &Cache) -> bool {
    let (start, end) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..2_000_u32 {
                let key = (i % 50).to_le_bytes();
                let _ = cache.acquire(&key).map(|found| found.map(|value| assert_eq!(*value, key)));
            }
            start.wait();
            // Still there, so it might be reading.
            end.wait();
        });
        for i in 0..2_000_u32 {
            let key = (i % 50).to_le_bytes();
            if cache.put(&key, &key, Ttl::Default).is_err() {
                return false;
            }
        }
        start.wait();
        cache.purge(Purge::All);
        let memory = cache.statistics().memory;
        end.wait();
        (memory.entries, memory.lent_bytes) == (0, 0)
    })
}

/// One thread each that reads, makes the index grow, and clears.
#[test]
fn a_child_of_readers_growing_and_clearing_uses_every_cache() {
    let open = |options: &[(&str, &str)]| {
        let mut all = Options::new();
        for (name, text) in options {
            all.set(name, text).unwrap();
        }
        Cache::open(&all).unwrap()
    };
    let caches = [
        open(&[("memory.capacity", "unlimited"), ("memory.shards", "1")]),
        open(&[("memory.capacity", "unlimited"), ("memory.policy", "s3fifo"), ("memory.jemalloc", "off")]),
        open(&[("memory.max_bytes", "1MiB"), ("memory.policy", "s3fifo"), ("memory.shards", "2")]),
        open(&[("memory.capacity", "100000"), ("memory.sliding", "on")]),
    ];
    let stop = AtomicBool::new(false);
    let rounds: [AtomicU64; 3] = Default::default();
    std::thread::scope(|scope| {
        let (caches, stop, rounds) = (&caches, &stop, &rounds);
        let each = |which: usize, work: fn(&Cache, u32)| {
            scope.spawn(move || {
                for number in 0_u32.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    caches.iter().for_each(|cache| work(cache, number));
                    rounds[which].fetch_add(1, Ordering::Relaxed);
                }
            });
        };
        // A child's values are four bytes long, and its own; these are not.
        each(0, |cache, number| {
            for i in 0..100 {
                // A copy: a value that is held at the fork stays held in the child, whose memory then counts it as lent.
                let _ = cache.read(&(number + i).to_le_bytes(), &mut [0; 16]).unwrap();
            }
        });
        each(1, |cache, number| {
            for i in 0..100 {
                cache.put(&(number * 100 + i).to_le_bytes(), b"a value", Ttl::Default).unwrap();
            }
        });
        each(2, |cache, number| {
            if number % 2 == 0 {
                cache.purge(Purge::All);
            } else {
                // Between one shard and several.
                let _ = cache.set_option("memory.capacity", if number % 4 == 1 { "100000" } else { "1000" });
            }
        });
        for fork in 0..FORKS {
            let before = rounds.each_ref().map(|round| round.load(Ordering::Relaxed));
            // SAFETY: the child only uses the caches and threads of its own, and leaves without running anything else.
            match unsafe { libc::fork() } {
                0 => {
                    let well = caches.iter().all(|cache| {
                        cache.purge(Purge::All);
                        uses_the_cache(cache) && threads_use_the_cache(cache)
                    });
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(i32::from(!well)) }
                }
                child => {
                    assert!(child > 0, "fork failed");
                    let end = wait(child);
                    stop.store(end != Some(0), Ordering::Relaxed);
                    assert_eq!(end, Some(0), "child {fork} did not come back well");
                }
            }
            let deadline = Instant::now() + Duration::from_secs(60);
            while rounds.iter().zip(before).any(|(round, before)| round.load(Ordering::Relaxed) == before) {
                assert!(Instant::now() < deadline, "the parent's threads are stuck");
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(caches.iter().all(|cache| {
        cache.purge(Purge::All);
        threads_use_the_cache(cache)
    }));
}

/// Values outlive their cache, and are counted under locks that do too.
#[test]
fn a_child_gives_up_values_of_a_cache_that_is_gone_while_the_parent_does() {
    const KEYS: u16 = 200;
    let mut options = Options::new();
    options.set("memory.sweep_interval", "off").unwrap();
    let cache = Cache::open(&options).unwrap();
    for i in 0..KEYS {
        cache.put(&i.to_le_bytes(), b"value", Ttl::Forever).unwrap();
    }
    let acquire = |i: u16| cache.acquire(&i.to_le_bytes()).unwrap().unwrap();
    let mut mine: Vec<_> = (0..KEYS).map(acquire).collect();
    let stop = AtomicBool::new(false);
    let mut theirs: Vec<Vec<_>> = (0..3).map(|_| (0..KEYS).cycle().take(400_000).map(acquire).collect()).collect();
    drop(cache);
    std::thread::scope(|scope| {
        let stop = &stop;
        for values in theirs.drain(..) {
            scope.spawn(move || {
                for value in values {
                    drop(value);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for fork in 0..FORKS {
            // SAFETY: the child only gives its values up, which it may, and leaves without running anything else.
            match unsafe { libc::fork() } {
                0 => {
                    mine.clear();
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(0) }
                }
                child => {
                    assert!(child > 0, "fork failed");
                    let end = wait(child);
                    stop.store(end != Some(0), Ordering::Relaxed);
                    assert_eq!(end, Some(0), "child {fork} did not come back well");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(mine.iter().all(|value| **value == *b"value"));
}

/// What waits to be freed when a process forks goes on waiting: to look whether a value keeps it takes a lock that the fork
/// holds.
#[test]
fn a_fork_leaves_alone_what_waits_to_be_freed() {
    let mut options = Options::new();
    options.set("memory.shards", "1").unwrap().set("memory.sweep_interval", "off").unwrap();
    let cache = Cache::open(&options).unwrap();
    for i in 0..300_u32 {
        cache.put(&i.to_le_bytes(), b"value", Ttl::Forever).unwrap();
    }
    let kept = cache.acquire(&0_u32.to_le_bytes()).unwrap().unwrap();
    // Another thread that has looked something up, so that it might be reading still.
    let (has_read, end) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(cache.contains(&0_u32.to_le_bytes()));
            has_read.wait();
            end.wait();
        });
        has_read.wait();
        // SAFETY: without it the test would wait for ever where it should fail; the signal's default is to end the process.
        unsafe { libc::alarm(120) };
        for i in 0..300_u32 {
            assert!(cache.remove(&i.to_le_bytes()));
            // SAFETY: the child leaves at once.
            match unsafe { libc::fork() } {
                // SAFETY: ends the child at once.
                0 => unsafe { libc::_exit(0) },
                child => assert!(child > 0 && wait(child) == Some(0), "{i}"),
            }
        }
        // SAFETY: takes the alarm back.
        unsafe { libc::alarm(0) };
        end.wait();
    });
    assert_eq!(*kept, *b"value");
}

/// In the child: a key that a thread was loading which did not come along is loaded by whoever asks, at once.
fn loads_what_others_were_loading(cache: &Cache) -> bool {
    let load = |key: &[u8]| cache.get_or_load(key, Ttl::Default, Duration::MAX, || Ok(Some(b"the child's")));
    let is_loaded = |key: &[u8]| matches!(load(key), Ok(Some(value)) if *value == *b"the child's");
    is_loaded(b"key") && is_loaded(b"key") && cache.contains(b"key")
}

/// Others load, wait, hand over and outdate while the process forks, also in the middle of a loader of the forking thread.
#[test]
fn a_child_waits_for_no_load_of_a_thread_that_it_has_not_got() {
    let cache = Cache::open(Options::new().set("memory.sweep_interval", "off").unwrap()).unwrap();
    let stop = AtomicBool::new(false);
    let (begun, end) = (Barrier::new(2), Barrier::new(2));
    // SAFETY: without it the test would wait for ever where it should fail; the signal's default is to end the process.
    unsafe { libc::alarm(240) };
    std::thread::scope(|scope| {
        let (cache, stop, begun, end) = (&cache, &stop, &begun, &end);
        // One that is in its loader all the while.
        scope.spawn(move || {
            let slow = || {
                begun.wait();
                end.wait();
                Ok(Some(b"the parent's"))
            };
            let loaded = cache.get_or_load(b"key", Ttl::Default, Duration::MAX, slow).unwrap().unwrap();
            assert_eq!(*loaded, *b"the parent's");
        });
        begun.wait();
        for thread in 0..3_u8 {
            scope.spawn(move || {
                for round in 0_u32.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match cache.lease(b"busy", Duration::from_millis(1)) {
                        Ok(Leased::Lease(lease)) if round % 3 == 0 => {
                            let _ = lease.fulfil(&[thread], &PutOptions::default());
                        }
                        Ok(Leased::Lease(lease)) if round % 3 == 1 => lease.not_found(),
                        _ => _ = cache.remove(b"busy"),
                    }
                }
            });
        }
        for fork in 0..FORKS {
            let in_loader = || {
                // SAFETY: the child only uses the cache, and leaves without running anything else.
                match unsafe { libc::fork() } {
                    0 => Ok(Some(b"in the child".to_vec())),
                    child => {
                        assert!(child > 0, "fork failed");
                        Ok(Some(child.to_le_bytes().to_vec()))
                    }
                }
            };
            // Both go on in the loader that has forked.
            let key = [b'f', fork as u8];
            let forked = cache.get_or_load(&key, Ttl::Default, Duration::MAX, in_loader).unwrap().unwrap();
            if *forked == *b"in the child" {
                let busy = cache.get_or_load(b"busy", Ttl::Default, Duration::MAX, || Ok(Some(b"")));
                let well = cache.contains(&key) && loads_what_others_were_loading(cache) && busy.is_ok();
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!well)) }
            }
            assert!(cache.contains(&key));
            let ended = wait(i32::from_le_bytes((*forked).try_into().unwrap()));
            if ended != Some(0) {
                stop.store(true, Ordering::Relaxed);
                end.wait();
                panic!("child {fork} did not come back well: {ended:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        end.wait();
    });
    // SAFETY: takes the alarm back.
    unsafe { libc::alarm(0) };
    assert!(cache.contains(b"key"));
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
