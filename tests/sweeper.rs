//! The cache's own thread: it comes when there is something to do, frees what nobody touches, and goes with the cache.
#![cfg(not(miri))]

use catzilla_cache::{Cache, Options, Put, Ttl};
use std::fs;
use std::sync::{mpsc, Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SHORT: Ttl = Ttl::For(Duration::from_millis(1));

/// The tests look at all threads of the process, so they run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(set: &[(&str, &str)]) -> Arc<Cache> {
    let mut options = Options::new();
    for (name, text) in set {
        options.set(name, text).unwrap();
    }
    Cache::open(&options).unwrap()
}

/// `/proc/self/task/<id>/status` of each of the library's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread that is just ending has no file any more.
    let status = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    status.filter(|status| status.starts_with("Name:\tcatzilla-sweep\n")).collect()
}

fn wait_for(what: &str, come: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !come() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Looks without touching an entry: neither figure takes anything out.
fn is_empty(cache: &Cache) -> bool {
    cache.statistics().memory.entries == 0
}

#[test]
fn what_has_expired_is_freed_though_nothing_touches_it() {
    let _alone = alone();
    let cache = open(&[("memory.sweep_interval", "10ms")]);
    for i in 0..1_000_u32 {
        cache.put(&i.to_le_bytes(), &[0; 100], SHORT).unwrap();
    }
    cache.put(b"stays", b"", Ttl::Forever).unwrap();
    wait_for("the sweep", || cache.statistics().memory.entries == 1);
    let figures = cache.statistics().memory;
    assert_eq!((figures.expirations, figures.evictions), (1_000, 0));
    assert!(cache.memory_usage() < figures.index_bytes + 1_000);
    assert!(cache.contains(b"stays"));
}

#[test]
fn a_batch_that_stores_something_that_expires_is_swept_too() {
    let _alone = alone();
    let cache = open(&[("memory.sweep_interval", "10ms")]);
    cache.put_many(&mut [Put::new(b"a", b"", Ttl::Forever), Put::new(b"b", b"", SHORT)]);
    wait_for("the sweep", || cache.statistics().memory.entries == 1);
}

#[test]
fn the_thread_comes_with_the_first_entry_that_expires_and_goes_with_the_cache() {
    let _alone = alone();
    assert_eq!(threads().len(), 0);
    let cache = open(&[]);
    cache.put(b"key", b"value", Ttl::Forever).unwrap();
    cache.put(&vec![0; catzilla_cache::MAX_KEY_LEN + 1], b"", Ttl::Default).unwrap_err();
    assert_eq!(threads().len(), 0, "nothing to do yet");
    cache.put(b"key", b"value", Ttl::Default).unwrap();
    wait_for("the thread", || threads().len() == 1);
    let other = open(&[]);
    other.put(b"key", b"value", Ttl::Default).unwrap();
    wait_for("the other's thread", || threads().len() == 2);
    drop(cache);
    wait_for("the end of the thread", || threads().len() == 1);
    drop(other);
    wait_for("the end of the other's thread", || threads().is_empty());
}

#[test]
fn dropping_the_last_handle_does_not_wait_for_the_interval() {
    let _alone = alone();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        for i in 0..50 {
            let cache = open(&[("memory.sweep_interval", "1d")]);
            cache.put(b"key", b"value", Ttl::Default).unwrap();
            // Sometimes while it starts, sometimes while it waits.
            std::thread::sleep(Duration::from_millis(i % 3));
            drop(cache);
        }
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(60)).expect("a drop hangs");
    wait_for("the end of the threads", || threads().is_empty());
}

#[test]
fn a_new_interval_counts_at_once() {
    let _alone = alone();
    let cache = open(&[("memory.sweep_interval", "1d")]);
    cache.put(b"key", b"value", SHORT).unwrap();
    wait_for("the thread", || threads().len() == 1);
    cache.set_option("memory.sweep_interval", "5ms").unwrap();
    wait_for("the sweep", || is_empty(&cache));
}

#[test]
fn switched_on_while_the_cache_runs_it_frees_what_was_there_before() {
    let _alone = alone();
    let cache = open(&[("memory.sweep_interval", "off")]);
    cache.put(b"key", b"value", SHORT).unwrap();
    assert_eq!(threads().len(), 0);
    cache.set_option("memory.sweep_interval", "5ms").unwrap();
    wait_for("the sweep", || is_empty(&cache));
}

#[test]
fn watching_the_systems_memory_starts_the_thread_at_once_when_it_is_switched_on() {
    let _alone = alone();
    let cache = open(&[("memory.sweep_interval", "off")]);
    cache.set_option("memory.ttl", "1m").unwrap();
    assert_eq!(threads().len(), 0);
    cache.set_option("memory.shrink_on_pressure", "on").unwrap();
    wait_for("the thread", || threads().len() == 1);
}

/// A handler of the host's could find its own thread-local state missing, or too little stack.
#[test]
fn no_signal_is_ever_handled_on_the_librarys_thread() {
    let _alone = alone();
    let cache = open(&[]);
    cache.put(b"key", b"value", Ttl::Default).unwrap();
    wait_for("the thread", || threads().len() == 1);
    let status = threads().remove(0);
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
    let blocked = u64::from_str_radix(blocked, 16).unwrap();
    // SIGKILL and SIGSTOP cannot be blocked; 32 and 33 are the C library's own.
    for signal in (1..=64).filter(|signal| ![9, 19, 32, 33].contains(signal)) {
        assert!(blocked & (1 << (signal - 1)) != 0, "signal {signal} is not blocked");
    }
    // The thread that stored has its own mask back.
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(own.contains("SigBlk:\t0000000000000000\n"), "{own}");
}
