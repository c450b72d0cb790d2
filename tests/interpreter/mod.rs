//! Runs a stream of bytes as calls of the C interface on a tiny cache, beside a model that is too simple to be wrong, and
//! compares every answer. The model test feeds it random streams, the fuzz target those that a fuzzer finds.
//!
//! Tiny (a capacity of a few entries, six keys), so that eviction, replacement, expiry and reuse of memory happen all the
//! time; one shard and a clock moved by hand, so that there is one right answer to everything.
#![allow(unsafe_code)]

mod checks;
mod look_ups;
mod model;
mod removals;
mod stores;

use catzilla_cache::ffi::cache::{catzilla_cache_t, into_handle};
use catzilla_cache::ffi::classic::{catzilla_cache_destroy, catzilla_release_results};
use catzilla_cache::ffi::listener::catzilla_cache_set_listener;
use catzilla_cache::ffi::status::CATZILLA_OK;
use catzilla_cache::ffi::value::{catzilla_value_release, catzilla_value_t, catzilla_value_version};
use catzilla_cache::{Cache, Clock, ManualTime, Options};
use checks::listen;
use model::{Left, Model};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{c_void, CStr};

const KEYS: [&CStr; 6] = [c"", c"a", c"b", c"ab", c"a longer key than the others", c"abc"];
/// Patterns, and which of the keys fit.
const PATTERNS: [(&[u8], &[usize]); 8] = [
    (b"*", &[0, 1, 2, 3, 4, 5]),
    (b"?", &[1, 2]),
    (b"a*", &[1, 3, 4, 5]),
    (b"*b*", &[2, 3, 5]),
    (b"", &[0]),
    (b"?b*", &[3, 5]),
    (b"*k?y*the*", &[4]),
    (br"\a", &[1]),
];
const TAGS: [&CStr; 4] = [c"", c"a", c"red", c"a longer tag than the others"];
const MAX_VALUE: usize = 3_000;
const DEFAULT_TTL: u64 = 3_600_000;

/// Reads numbers off a stream; zeros when it has ended.
struct Stream<'a>(&'a [u8]);

impl Stream<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }
}

struct Run {
    cache: *mut catzilla_cache_t,
    time: ManualTime,
    model: Model,
    /// Classic results that are still good, with what they should read.
    results: VecDeque<(*const u8, Vec<u8>)>,
    /// Values held, with what they should read, and their number.
    values: Vec<(*mut catzilla_value_t, Vec<u8>, u64)>,
    puts: usize,
    /// The newest version that the cache has told.
    newest: u64,
    /// What a listener was told; `None`: nobody listens.
    told: Option<Box<RefCell<Vec<Left>>>>,
}

/// Runs `bytes` as calls. Panics when an answer is wrong.
pub(crate) fn run(bytes: &[u8]) {
    let mut stream = Stream(bytes);
    let seed = stream.next();
    let mut run = Run::new(1 + seed % 4, stream.next() % 2 == 0, seed / 4 % 2 == 0);
    while !stream.0.is_empty() {
        run.step(&mut stream);
        run.check_what_is_held();
    }
    run.end();
}

impl Run {
    fn new(capacity: usize, compression: bool, listens: bool) -> Self {
        let mut options = Options::new();
        let set = |options: &mut Options, name, text: &str| {
            options.set(name, text).expect("the interpreter knows the options");
        };
        set(&mut options, "memory.capacity", &capacity.to_string());
        set(&mut options, "memory.max_value_size", &MAX_VALUE.to_string());
        set(&mut options, "memory.compression", if compression { "on" } else { "off" });
        set(&mut options, "memory.compression_threshold", "64");
        // A thread of the cache's own would take out by real time what the model does not expect.
        set(&mut options, "memory.sweep_interval", "off");
        // The model knows which entry has to leave.
        set(&mut options, "memory.policy", "lru");
        let (clock, time) = Clock::manual();
        let cache = into_handle(Cache::with_clock(&options, clock).expect("nothing to refuse"));
        let model = Model { capacity, ..Model::default() };
        let told = listens.then(Box::<RefCell<Vec<Left>>>::default);
        if let Some(told) = &told {
            let user = std::ptr::from_ref(&**told).cast_mut().cast();
            // SAFETY: a live cache, and a list that outlives it.
            assert_eq!(unsafe { catzilla_cache_set_listener(cache, Some(listen), user) }, CATZILLA_OK);
        }
        Self { cache, time, model, results: VecDeque::new(), values: Vec::new(), puts: 0, newest: 0, told }
    }

    fn step(&mut self, stream: &mut Stream<'_>) {
        let operation = stream.next();
        let key = stream.next() % KEYS.len();
        match operation % 34 {
            0..=2 => self.classic_set(key, stream.next()),
            3..=4 => self.put(key, stream.next()),
            5..=7 => self.classic_get(key),
            8 => self.read(key, stream.next()),
            9 => self.acquire(key),
            10 => self.release(stream.next()),
            11 => self.delete(key, stream.next().is_multiple_of(2)),
            12 => self.exists(key),
            13 => self.advance(stream.next()),
            14 => self.expire(stream.next().is_multiple_of(2)),
            15 => self.resize(1 + stream.next() % 4, stream.next().is_multiple_of(2)),
            16 => self.clear(stream.next().is_multiple_of(2)),
            17 => self.purge_prefix(key),
            18 => self.refused(key),
            19 => self.get_many(key, stream),
            20 => self.put_many(key, stream),
            21 => self.remove_many(key, stream),
            22..=24 => self.put_with(key, stream),
            25 => self.version(stream.next()),
            26 => self.touch(key, stream.next()),
            27..=28 => self.increment(key, stream.next(), stream.next()),
            29 => self.iterate(key, stream.next()),
            30 => self.purge_tag(stream.next() % TAGS.len()),
            31 => self.get_or_load(key, stream.next()),
            32 => self.purge_pattern(stream.next() % PATTERNS.len()),
            _ => {
                catzilla_release_results();
                self.results.clear();
            }
        }
        self.check_figures();
        self.check_what_left();
    }

    /// Different from every earlier one.
    fn next_value(&mut self, seed: usize) -> Vec<u8> {
        self.puts += 1;
        value(seed + 256 * (self.puts % 1_000))
    }

    /// The keys of a batch: a few, from `key` on and as the stream says, sometimes one twice.
    fn several(key: usize, stream: &mut Stream<'_>) -> Vec<usize> {
        let count = stream.next() % 5;
        (0..count).map(|_| (key + stream.next()) % KEYS.len()).collect()
    }

    /// Destroys the cache; what was acquired outlives it.
    fn end(mut self) {
        // SAFETY: a live cache that nobody uses any more.
        unsafe { catzilla_cache_destroy(self.cache) };
        assert!(self.told.iter().all(|told| told.borrow().is_empty()), "the end of a cache is told to nobody");
        self.results.clear();
        self.check_what_is_held();
        for (value, ..) in std::mem::take(&mut self.values) {
            // SAFETY: as below.
            assert_eq!(unsafe { catzilla_value_version(value) }, 0, "a version of a cache that has gone");
            // SAFETY: acquired and not released before.
            unsafe { catzilla_value_release(value) };
        }
    }
}

/// A value that can be told from every other by its length and its bytes; above the threshold some compress.
fn value(seed: usize) -> Vec<u8> {
    let len = match seed % 5 {
        0 => seed % 3,
        1 | 2 => 10 + seed % 90,
        3 => 64 + seed % 2_000,
        _ => 1_000,
    };
    (0..len)
        .map(|i| if seed.is_multiple_of(2) { (seed / 2) as u8 } else { (i * 31 + seed * 7 + i * i) as u8 })
        .collect()
}

fn bytes(key: usize) -> (*const c_void, usize) {
    (KEYS[key].as_ptr().cast(), KEYS[key].count_bytes())
}
