//! A process that may not use membarrier(2), from the beginning or from some moment on: every call works, values are whole,
//! and memory goes back.
//!
//! Each case is a process of its own, started by the test of that name, since a right that was given up does not come back.
#![allow(unsafe_code)]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]

use catzilla_cache::{Cache, Options, Purge, Ttl};
use std::io::Error;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const PERMISSION: i32 = libc::EPERM;
const NO_SUCH_CALL: i32 = libc::ENOSYS;

/// Runs a case in a process of its own.
fn run(case: &str) {
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", case, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let report = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&report));
}

fn membarrier() -> Result<(), i32> {
    // SAFETY: asks what there is, and touches no memory.
    match unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_QUERY, 0, 0) } {
        -1 => Err(Error::last_os_error().raw_os_error().unwrap()),
        _ => Ok(()),
    }
}

/// From now on membarrier fails with `errno` in the calling thread, its later children and, if so wanted, all others.
fn refuse_membarrier(errno: i32, all_threads: bool) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The number of the call is the first word of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_membarrier as u32)
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let flags = if all_threads { libc::SECCOMP_FILTER_FLAG_TSYNC } else { 0 };
    // SAFETY: numbers, and a program that lives until the calls are done.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let installed = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program);
        assert_eq!(installed, 0, "{}", Error::last_os_error());
    }
    assert_eq!(membarrier(), Err(errno));
}

fn open(policy: &str) -> Arc<Cache> {
    let mut options = Options::new();
    options.set("memory.capacity", "500").unwrap().set("memory.policy", policy).unwrap();
    // The system's allocator notices what is freed twice.
    options.set("memory.jemalloc", "off").unwrap().set("memory.shards", "2").unwrap();
    Cache::open(&options).unwrap()
}

/// A value that only this key and this version have.
fn value(key: u32, version: u32) -> Vec<u8> {
    [key, version].map(u32::to_le_bytes).concat().repeat(1 + (version % 40) as usize)
}

/// Many calls of every kind. Values are whole, and their key's.
fn use_it(cache: &Cache, seed: u32) {
    let mut random = seed;
    for version in 0..30_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = (random >> 8) % 1_500;
        match random >> 28 {
            0..=5 => cache.put(&key.to_le_bytes(), &value(key, version), Ttl::Default).unwrap(),
            6..=13 => {
                if let Some(found) = cache.acquire(&key.to_le_bytes()).unwrap() {
                    let version = u32::from_le_bytes(found[4..8].try_into().unwrap());
                    assert_eq!(*found, value(key, version));
                }
            }
            14 => _ = cache.remove(&key.to_le_bytes()),
            _ if version % 100 == 0 => _ = cache.purge(Purge::All),
            _ => _ = cache.contains(&key.to_le_bytes()),
        }
    }
}

/// Waits until nothing is lent, which only a hang can keep from coming.
fn assert_that_memory_goes_back(cache: &Cache) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while cache.statistics().memory.lent_bytes > 0 {
        assert!(Instant::now() < deadline, "{:?}", cache.statistics());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn all_works(errno: i32) {
    refuse_membarrier(errno, true);
    for policy in ["lru", "s3fifo"] {
        let cache = open(policy);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let cache = &cache;
                scope.spawn(move || use_it(cache, seed));
            }
        });
        // A thread that has looked something up and is still there: it might be reading.
        let (start, end) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                cache.contains(b"key");
                start.wait();
                end.wait();
            });
            start.wait();
            cache.purge(Purge::All);
            let memory = cache.statistics().memory;
            end.wait();
            assert_eq!((memory.entries, memory.bytes, memory.lent_bytes), (0, 0, 0));
        });
    }
}

#[test]
fn a_process_that_may_never_use_membarrier_uses_caches_as_always() {
    run("never_permitted");
    run("never_there");
}

#[test]
#[ignore = "a process of its own"]
fn never_permitted() {
    all_works(PERMISSION);
}

#[test]
#[ignore = "a process of its own"]
fn never_there() {
    all_works(NO_SUCH_CALL);
}

#[test]
fn a_process_that_gives_membarrier_up_goes_on_and_gets_its_memory_back() {
    run("given_up");
}

#[test]
#[ignore = "a process of its own"]
fn given_up() {
    let has_it = membarrier().is_ok();
    let cache = open("lru");
    let (before, after) = (Barrier::new(4), Barrier::new(4));
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (cache, before, after) = (&cache, &before, &after);
            scope.spawn(move || {
                use_it(cache, seed);
                before.wait();
                after.wait();
                use_it(cache, seed);
                // Nobody leaves before memory has come back although others might be reading.
                after.wait();
            });
        }
        before.wait();
        refuse_membarrier(PERMISSION, true);
        cache.put(b"key", b"value", Ttl::Default).unwrap();
        assert!(cache.remove(b"key"));
        // Whether others read it cannot be known now, so it stays.
        assert!(!has_it || cache.statistics().memory.lent_bytes > 0);
        after.wait();
        use_it(&cache, 3);
        cache.purge(Purge::All);
        assert_that_memory_goes_back(&cache);
        after.wait();
    });
    let memory = cache.statistics().memory;
    assert_eq!(memory.lent_bytes, 0);
    // Another cache begins where this one is now.
    use_it(&open("s3fifo"), 5);
}

#[test]
fn where_readers_say_how_far_they_have_come_no_barrier_is_wanted() {
    run("acknowledged");
}

#[test]
#[ignore = "a process of its own"]
fn acknowledged() {
    let cache = open("s3fifo");
    let (turn, mut most_lent) = (Barrier::new(2), 0);
    const TURNS: u32 = 2_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..TURNS {
                turn.wait();
                assert!(cache.acquire(b"nobody puts this").unwrap().is_none());
                turn.wait();
            }
        });
        // Who asked for one would get nothing back for two seconds.
        refuse_membarrier(PERMISSION, true);
        for number in 0..TURNS {
            turn.wait();
            turn.wait();
            for other in 0..10 {
                cache.put(&[number, other].map(u32::to_le_bytes).concat(), &[0; 100], Ttl::Default).unwrap();
            }
            most_lent = most_lent.max(cache.statistics().memory.lent_bytes);
        }
    });
    // As much again as there is in the cache.
    let bytes = cache.statistics().memory.bytes;
    assert!(most_lent <= 2 * bytes, "{most_lent} were lent, of a cache of {bytes}");
}

#[test]
fn threads_with_and_without_the_right_share_a_cache() {
    run("some_threads_only");
}

#[test]
#[ignore = "a process of its own"]
fn some_threads_only() {
    // The first cache is made by a thread that may not use it, so that nobody does.
    let first = std::thread::spawn(|| {
        refuse_membarrier(PERMISSION, false);
        open("lru")
    });
    let first = first.join().unwrap();
    let second = open("lru");
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (first, second) = (&first, &second);
            scope.spawn(move || {
                if seed % 2 == 0 {
                    refuse_membarrier(NO_SUCH_CALL, false);
                }
                use_it(first, seed);
                use_it(second, seed);
            });
        }
    });
    for cache in [first, second] {
        cache.purge(Purge::All);
        assert_that_memory_goes_back(&cache);
    }
}
