//! A load that notices lies: values carry their key and a number that rises with each write, and a reader knows which number was
//! written before it asked. Threads that write a key are its only writers. Used by tests of the whole stack through `#[path]`.
#![allow(dead_code, unreachable_pub)]

use super::pace::Stopwatch;
use catzilla_cache::{Cache, Ttl};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// What a load has seen; times are such as [`Stopwatch`] measures.
#[derive(Debug, Default)]
pub struct Seen {
    pub calls: AtomicU64,
    pub hits: AtomicU64,
    /// In microseconds.
    pub longest: AtomicU64,
    /// The most that one thread has lost to calls of more than 100 ms, in microseconds.
    pub lost: AtomicU64,
}

impl Seen {
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(SeqCst))
    }

    pub fn lost(&self) -> Duration {
        Duration::from_micros(self.lost.load(SeqCst))
    }
}

pub struct Load {
    /// The number that was written last, by key.
    newest: Vec<AtomicU64>,
    stop: AtomicBool,
    pub seen: Seen,
}

pub fn name(key: usize) -> Vec<u8> {
    format!("load:{key}").into_bytes()
}

/// The value of a key for a number: of a length that differs, so that a mixture of two would show.
pub fn value(key: usize, number: u64) -> Vec<u8> {
    let mut value = format!("{key}:{number}:").into_bytes();
    let fill = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    value.resize(value.len() + (number % 700) as usize, fill);
    value
}

/// The number in a value that is whole and of this key.
#[track_caller]
pub fn number_of(key: usize, bytes: &[u8]) -> u64 {
    let mut parts = bytes.splitn(3, |byte| *byte == b':');
    let mut field = || std::str::from_utf8(parts.next().unwrap()).unwrap().parse::<u64>().unwrap();
    let (named, number) = (field(), field());
    assert_eq!(named as usize, key, "the value of another key");
    assert_eq!(bytes, value(key, number), "a value that nobody has written");
    number
}

impl Load {
    pub fn new(keys: usize) -> Self {
        let newest = (0..keys).map(|_| AtomicU64::new(0)).collect();
        Self { newest, stop: AtomicBool::new(false), seen: Seen::default() }
    }

    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    /// Calls the cache from this thread until the load is stopped. `threads` run this, each with a number of its own.
    pub fn run(&self, cache: &Cache, thread: usize, threads: usize) {
        let mut state = thread as u64 * 7919 + 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let mut lost = Duration::ZERO;
        while !self.stop.load(SeqCst) {
            let key = random() % self.newest.len();
            let begun = Stopwatch::start();
            if key % threads == thread && random().is_multiple_of(2) {
                let number = self.newest[key].load(SeqCst) + 1;
                // That there is none is at least as new.
                if random().is_multiple_of(10) {
                    cache.remove(&name(key));
                } else {
                    cache.put(&name(key), &value(key, number), Ttl::Default).unwrap();
                }
                self.newest[key].store(number, SeqCst);
            } else {
                let floor = self.newest[key].load(SeqCst);
                if let Some(found) = cache.acquire(&name(key)).unwrap() {
                    let number = number_of(key, &found);
                    assert!(number >= floor, "key {key}: {number} was read, though {floor} had been written before");
                    self.seen.hits.fetch_add(1, SeqCst);
                }
            }
            let took = begun.took();
            self.seen.calls.fetch_add(1, SeqCst);
            self.seen.longest.fetch_max(took.as_micros() as u64, SeqCst);
            if took > Duration::from_millis(100) {
                lost += took;
                self.seen.lost.fetch_max(lost.as_micros() as u64, SeqCst);
            }
        }
    }

    /// Runs the load on so many threads while `drive` does what it does.
    pub fn during(&self, cache: &Cache, threads: usize, drive: impl FnOnce()) {
        struct Stop<'a>(&'a Load);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop();
            }
        }
        self.stop.store(false, SeqCst);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || self.run(cache, thread, threads));
            }
            let _stop = Stop(self);
            drive();
        });
    }
}
