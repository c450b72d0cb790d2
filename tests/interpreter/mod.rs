//! Runs a stream of bytes as calls of the C interface on a tiny cache, beside a model that is too simple to be wrong, and
//! compares every answer. The model test feeds it random streams, the fuzz target those that a fuzzer finds.
//!
//! Tiny (a capacity of a few entries, six keys), so that eviction, replacement, expiry and reuse of memory happen all the
//! time; one shard and a clock moved by hand, so that there is one right answer to everything.
#![allow(unsafe_code)]

use catzilla_cache::ffi::batch::{
    catzilla_cache_get_many, catzilla_cache_put_many, catzilla_cache_remove_many, catzilla_get_t, catzilla_put_t,
    catzilla_remove_t,
};
use catzilla_cache::ffi::cache::{
    catzilla_cache_contains, catzilla_cache_purge, catzilla_cache_put, catzilla_cache_read, catzilla_cache_remove,
    catzilla_cache_sweep, catzilla_cache_t, into_handle, CATZILLA_PURGE_ALL, CATZILLA_PURGE_PATTERN,
    CATZILLA_PURGE_PREFIX, CATZILLA_PURGE_TAG,
};
use catzilla_cache::ffi::classic::{
    catzilla_cache_clear, catzilla_cache_configure, catzilla_cache_delete, catzilla_cache_destroy,
    catzilla_cache_exists, catzilla_cache_expire_entries, catzilla_cache_get, catzilla_cache_get_stats,
    catzilla_cache_memory_usage, catzilla_cache_resize, catzilla_cache_set, catzilla_release_results,
};
use catzilla_cache::ffi::iterator::{catzilla_iterator_close, catzilla_iterator_next, catzilla_iterator_open};
use catzilla_cache::ffi::listener::{
    catzilla_cache_set_listener, catzilla_departed_cause, catzilla_departed_key, catzilla_departed_key_size,
    catzilla_departed_t, catzilla_departed_value, catzilla_departed_value_size, CATZILLA_CAUSE_EVICTED,
    CATZILLA_CAUSE_EXPIRED, CATZILLA_CAUSE_PURGED, CATZILLA_CAUSE_REMOVED, CATZILLA_CAUSE_REPLACED,
};
use catzilla_cache::ffi::load::{catzilla_cache_get_or_load, catzilla_loaded_set, catzilla_loaded_t};
use catzilla_cache::ffi::statistics::{catzilla_cache_statistics, catzilla_statistics_t};
use catzilla_cache::ffi::status::{
    catzilla_status_t, CATZILLA_EXISTS, CATZILLA_LOAD_FAILED, CATZILLA_NOT_A_NUMBER, CATZILLA_NOT_FOUND,
    CATZILLA_NUMBER_OVERFLOW, CATZILLA_OK, CATZILLA_TRUNCATED, CATZILLA_VALUE_TOO_LARGE, CATZILLA_VERSION_MISMATCH,
};
use catzilla_cache::ffi::types::cache_config_t;
use catzilla_cache::ffi::update::{
    catzilla_bytes_t, catzilla_cache_increment, catzilla_cache_put_with, catzilla_cache_touch, catzilla_put_options_t,
    CATZILLA_PUT_IF_ABSENT, CATZILLA_PUT_IF_PRESENT,
};
use catzilla_cache::ffi::value::{
    catzilla_cache_acquire, catzilla_value_data, catzilla_value_release, catzilla_value_size, catzilla_value_t,
    catzilla_value_version,
};
use catzilla_cache::{Cache, Clock, ManualTime, Options, CLASSIC_RESULT_LIFETIME};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{c_char, c_void, CStr};
use std::ptr::null_mut;
use std::time::Duration;

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

/// What the cache should hold: least recently used first. Times in milliseconds.
#[derive(Default)]
struct Model {
    entries: Vec<Expected>,
    capacity: usize,
    now: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
    stored: u64,
    loads: u64,
    load_failures: u64,
    /// Who has left since it was looked at last, and why.
    left: Vec<Left>,
}

/// An entry that has left: its key, its value, and the cause as the interface has it.
type Left = (Vec<u8>, Vec<u8>, i32);

#[derive(Clone)]
struct Expected {
    key: usize,
    value: Vec<u8>,
    /// In ticks, rounded up; `u64::MAX` never comes.
    deadline: u64,
    /// Different for each value that was ever stored.
    number: u64,
    /// What the cache has said that it is, if it was asked.
    version: Option<u64>,
    /// A bit for each of the tags that it carries.
    tags: u8,
}

/// The cache counts time in ticks of 2^23 nanoseconds, and its manual clock starts with this many nanoseconds.
const TICK: u64 = 1 << 23;
const START: u64 = 1_234_567_891;

/// The tick that has begun at a time in milliseconds.
fn tick(millis: u64) -> u64 {
    (START + millis * 1_000_000) / TICK
}

/// The first tick at which what was stored for `ttl` milliseconds is expired.
fn deadline(now: u64, ttl: u64) -> u64 {
    match ttl {
        u64::MAX => u64::MAX,
        _ => (START + (now + ttl) * 1_000_000).div_ceil(TICK),
    }
}

impl Model {
    fn position(&self, key: usize) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    /// The entry if it is there and alive. A dead one that was met is gone.
    fn meet(&mut self, key: usize) -> Option<usize> {
        let at = self.position(key)?;
        if self.entries[at].deadline <= tick(self.now) {
            self.leave(at, CATZILLA_CAUSE_EXPIRED);
            self.expirations += 1;
            return None;
        }
        Some(at)
    }

    fn leave(&mut self, at: usize, cause: i32) {
        let entry = self.entries.remove(at);
        self.left.push((KEYS[entry.key].to_bytes().to_vec(), entry.value, cause));
    }

    /// All of these leave; says how many they were.
    fn leave_all(&mut self, cause: i32, chosen: impl Fn(&Expected) -> bool) -> u64 {
        let mut count = 0;
        while let Some(at) = self.entries.iter().position(&chosen) {
            self.leave(at, cause);
            count += 1;
        }
        count
    }

    fn request(&mut self, key: usize) -> Option<Vec<u8>> {
        self.request_entry(key).map(|entry| entry.value)
    }

    fn request_entry(&mut self, key: usize) -> Option<Expected> {
        match self.meet(key) {
            Some(at) => {
                self.hits += 1;
                let entry = self.entries.remove(at);
                self.entries.push(entry.clone());
                Some(entry)
            }
            None => {
                self.misses += 1;
                None
            }
        }
    }

    fn store(&mut self, key: usize, value: Vec<u8>, ttl: u64) {
        self.expire();
        if let Some(at) = self.position(key) {
            self.leave(at, CATZILLA_CAUSE_REPLACED);
        } else if self.entries.len() == self.capacity {
            self.leave(0, CATZILLA_CAUSE_EVICTED);
            self.evictions += 1;
        }
        self.stored += 1;
        let (deadline, number) = (deadline(self.now, ttl), self.stored);
        self.entries.push(Expected { key, value, deadline, number, version: None, tags: 0 });
    }

    fn remove(&mut self, key: usize) -> bool {
        self.meet(key).map(|at| self.leave(at, CATZILLA_CAUSE_REMOVED)).is_some()
    }

    fn shrink(&mut self, capacity: usize) {
        self.capacity = capacity;
        let surplus = self.entries.len().saturating_sub(capacity);
        (0..surplus).for_each(|_| self.leave(0, CATZILLA_CAUSE_EVICTED));
        self.evictions += surplus as u64;
    }

    /// Drops all that are dead. A put sweeps up to four of them, which is all there can be: the capacity is at most four.
    fn expire(&mut self) {
        let now = tick(self.now);
        self.expirations += self.leave_all(CATZILLA_CAUSE_EXPIRED, |entry| entry.deadline <= now);
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

    fn classic_set(&mut self, key: usize, seed: usize) {
        let value = self.next_value(seed);
        let ttl = seed % 4;
        let (text, data) = (KEYS[key].as_ptr(), value.as_ptr().cast::<c_void>());
        // SAFETY: a live cache, a text, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_set(self.cache, text, data, value.len(), ttl as u32) };
        assert_eq!(answer, 0);
        self.model.store(key, value, if ttl == 0 { DEFAULT_TTL } else { ttl as u64 * 1_000 });
    }

    fn put(&mut self, key: usize, seed: usize) {
        let value = self.next_value(seed);
        let ttl = match seed % 3 {
            0 => 0,
            1 => 1_500,
            _ => u64::MAX,
        };
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_put(self.cache, bytes, len, value.as_ptr().cast(), value.len(), ttl) };
        assert_eq!(answer, CATZILLA_OK);
        self.model.store(key, value, if ttl == 0 { DEFAULT_TTL } else { ttl });
    }

    /// Different from every earlier one.
    fn next_value(&mut self, seed: usize) -> Vec<u8> {
        self.puts += 1;
        value(seed + 256 * (self.puts % 1_000))
    }

    fn classic_get(&mut self, key: usize) {
        // SAFETY: a live cache and a text.
        let result = unsafe { catzilla_cache_get(self.cache, KEYS[key].as_ptr()) };
        let expected = self.model.request(key);
        assert_eq!(result.found, expected.is_some());
        let data = result.data.cast_const().cast::<u8>();
        if let Some(expected) = expected {
            assert!(!data.is_null() && data.addr() % 16 == 0);
            assert_eq!(result.size, expected.len());
            self.results.push_back((data, expected));
        } else {
            assert!(data.is_null() && result.size == 0);
            self.results.push_back((std::ptr::NonNull::dangling().as_ptr(), Vec::new()));
        }
        if self.results.len() > CLASSIC_RESULT_LIFETIME {
            self.results.pop_front();
        }
    }

    fn read(&mut self, key: usize, capacity: usize) {
        let mut buffer = vec![0xAA_u8; if capacity.is_multiple_of(2) { MAX_VALUE } else { capacity }];
        let mut len = usize::MAX;
        let (bytes, key_len) = bytes(key);
        let out = buffer.as_mut_ptr().cast();
        // SAFETY: a live cache, as many bytes as are told, and a buffer of that capacity.
        let answer = unsafe { catzilla_cache_read(self.cache, bytes, key_len, out, buffer.len(), &mut len) };
        self.check_read(key, &buffer, answer, len);
    }

    /// Holds a read against the model. The buffer was full of 0xAA.
    fn check_read(&mut self, key: usize, buffer: &[u8], answer: i32, len: usize) {
        match self.model.request(key) {
            None => assert_eq!((answer, len), (CATZILLA_NOT_FOUND, 0)),
            Some(value) if value.len() > buffer.len() => {
                // Used, but not answered yet.
                self.model.hits -= 1;
                assert_eq!((answer, len), (CATZILLA_TRUNCATED, value.len()));
                assert!(buffer.iter().all(|byte| *byte == 0xAA));
            }
            Some(value) => {
                assert_eq!((answer, len), (CATZILLA_OK, value.len()));
                assert_eq!(&buffer[..len], value);
                assert!(buffer[len..].iter().all(|byte| *byte == 0xAA));
            }
        }
    }

    fn acquire(&mut self, key: usize) {
        let mut value = null_mut();
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_acquire(self.cache, bytes, len, &mut value) };
        match self.model.request_entry(key) {
            None => assert!(answer == CATZILLA_NOT_FOUND && value.is_null()),
            Some(expected) => {
                assert_eq!(answer, CATZILLA_OK);
                self.values.push((value, expected.value, expected.number));
            }
        }
    }

    fn get_or_load(&mut self, key: usize, seed: usize) {
        let loaded = match seed % 4 {
            0 => Err(CATZILLA_NOT_FOUND),
            1 => Err(CATZILLA_LOAD_FAILED),
            _ => Ok(self.next_value(seed)),
        };
        let ((bytes, len), mut value) = (bytes(key), null_mut());
        let user = std::ptr::from_ref(&loaded).cast_mut().cast();
        // SAFETY: a live cache, as many bytes as are told, and what the loader wants.
        let answer = unsafe { catzilla_cache_get_or_load(self.cache, bytes, len, Some(load), user, 0, &mut value) };
        let present = self.model.request_entry(key);
        self.model.loads += u64::from(present.is_none());
        match (present, loaded) {
            (Some(expected), _) => {
                assert_eq!(answer, CATZILLA_OK);
                self.values.push((value, expected.value, expected.number));
            }
            (None, Ok(loaded)) => {
                assert_eq!(answer, CATZILLA_OK);
                self.model.store(key, loaded.clone(), 1_500);
                self.values.push((value, loaded, self.model.stored));
            }
            (None, Err(status)) => {
                assert!(answer == status && value.is_null());
                self.model.load_failures += u64::from(status == CATZILLA_LOAD_FAILED);
            }
        }
    }

    /// Asks a value that is held for its version: 0 when its key has gone on without it.
    fn version(&mut self, which: usize) {
        if self.values.is_empty() {
            return;
        }
        let (value, _, number) = self.values[which % self.values.len()];
        // SAFETY: acquired and not released.
        let version = unsafe { catzilla_value_version(value) };
        let now = tick(self.model.now);
        let entry = self.model.entries.iter_mut().find(|entry| entry.number == number && entry.deadline > now);
        match entry {
            None => assert_eq!(version, 0),
            Some(Expected { version: Some(known), .. }) => assert_eq!(version, *known),
            Some(entry) => {
                assert!(version > self.newest, "a version that another value has had");
                self.newest = version;
                entry.version = Some(version);
            }
        }
    }

    fn touch(&mut self, key: usize, seed: usize) {
        let ttl = [0, 1, 700, 1_500, 5_000, u64::MAX][seed % 6];
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, and as many bytes as are told.
        let answer = unsafe { catzilla_cache_touch(self.cache, bytes, len, ttl) };
        let found = self.model.meet(key);
        assert_eq!(answer, if found.is_some() { CATZILLA_OK } else { CATZILLA_NOT_FOUND });
        if let Some(at) = found {
            self.model.entries[at].deadline = deadline(self.model.now, if ttl == 0 { DEFAULT_TTL } else { ttl });
        }
    }

    /// Tells the keys with a prefix, with a call in the middle that changes nothing for them but where they are.
    fn iterate(&mut self, key: usize, seed: usize) {
        let ((prefix, len), mut iterator) = (bytes(key), null_mut());
        let mut told = Vec::new();
        // SAFETY: a live cache, as many bytes as are told, and places for what is told. A key is good until the next call.
        unsafe {
            assert_eq!(catzilla_iterator_open(self.cache, prefix, len, &mut iterator), CATZILLA_OK);
            let (mut found, mut len) = (std::ptr::null(), 0);
            while catzilla_iterator_next(iterator, &mut found, &mut len) == CATZILLA_OK {
                told.push(std::slice::from_raw_parts(found.cast::<u8>(), len).to_vec());
                if told.len() == seed % 3 {
                    let capacity = self.model.capacity;
                    assert_eq!(catzilla_cache_resize(self.cache, capacity + 5_000), 0);
                    assert_eq!(catzilla_cache_resize(self.cache, capacity), 0);
                }
            }
            catzilla_iterator_close(iterator);
        }
        let (prefix, now) = (KEYS[key].to_bytes(), tick(self.model.now));
        let there = self.model.entries.iter().filter(|entry| entry.deadline > now);
        let mut expected: Vec<_> = there.map(|entry| KEYS[entry.key].to_bytes().to_vec()).collect();
        expected.retain(|key| key.starts_with(prefix));
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }

    fn increment(&mut self, key: usize, seed: usize, amount: usize) {
        let delta = [1, -1, 1_000, -7, i64::MAX, i64::MIN][seed % 6];
        let initial = [0, -5, 1_000_000, i64::MAX][amount % 4];
        let ttl = [0, 1_500, u64::MAX][amount % 3];
        let ((bytes, len), mut result) = (bytes(key), -1);
        let told = if seed.is_multiple_of(5) { null_mut() } else { &raw mut result };
        // SAFETY: a live cache, as many bytes as are told, and a number or NULL.
        let answer = unsafe { catzilla_cache_increment(self.cache, bytes, len, delta, initial, ttl, told) };
        let now = tick(self.model.now);
        // A failure frees nothing that has expired.
        let present = self.model.entries.iter().find(|entry| entry.key == key && entry.deadline > now).cloned();
        let number = present.as_ref().map(|entry| {
            let text = std::str::from_utf8(&entry.value).ok()?;
            text.parse::<i64>().ok().filter(|number| number.to_string() == text)
        });
        let sum = match number {
            Some(None) => return assert_eq!(answer, CATZILLA_NOT_A_NUMBER),
            Some(Some(number)) => match number.checked_add(delta) {
                Some(sum) => sum,
                None => return assert_eq!(answer, CATZILLA_NUMBER_OVERFLOW),
            },
            None => initial,
        };
        assert_eq!(answer, CATZILLA_OK);
        assert!(told.is_null() || result == sum);
        self.model.store(key, sum.to_string().into_bytes(), if ttl == 0 { DEFAULT_TTL } else { ttl });
        if let Some(present) = present {
            let stored = self.model.entries.last_mut().expect("it was just stored");
            (stored.deadline, stored.tags) = (present.deadline, present.tags);
        }
    }

    fn put_with(&mut self, key: usize, stream: &mut Stream<'_>) {
        let value = self.next_value(stream.next());
        let (kind, seed) = (stream.next(), stream.next());
        let model = &mut self.model;
        model.expire();
        let present = model.position(key).map(|at| model.entries[at].version);
        let mut options =
            catzilla_put_options_t { struct_size: size_of::<catzilla_put_options_t>(), ..Default::default() };
        options.ttl_ms = [0, 1_500, u64::MAX][seed % 3];
        let (tags, carried) = carried(stream.next());
        (options.tags, options.tag_count) = (tags.as_ptr(), tags.len());
        let expected = match kind % 5 {
            0 => CATZILLA_OK,
            1 => {
                options.flags = CATZILLA_PUT_IF_ABSENT;
                if present.is_some() {
                    CATZILLA_EXISTS
                } else {
                    CATZILLA_OK
                }
            }
            2 => {
                options.flags = CATZILLA_PUT_IF_PRESENT;
                if present.is_some() {
                    CATZILLA_OK
                } else {
                    CATZILLA_NOT_FOUND
                }
            }
            _ => {
                // The right one, if anybody knows it, or one that is or was another's.
                let known = present.flatten().filter(|_| kind % 5 == 3);
                options.expected_version = known.unwrap_or(1 + seed as u64 % (self.newest + 2));
                match present {
                    None => CATZILLA_NOT_FOUND,
                    Some(version) if version == Some(options.expected_version) => CATZILLA_OK,
                    Some(_) => CATZILLA_VERSION_MISMATCH,
                }
            }
        };
        let mut version = u64::MAX;
        let told = if seed % 2 == 0 { &raw mut version } else { null_mut() };
        let ((bytes, len), data) = (bytes(key), value.as_ptr().cast());
        // SAFETY: a live cache, as many bytes as are told, a struct and a number.
        let answer = unsafe { catzilla_cache_put_with(self.cache, bytes, len, data, value.len(), &options, told) };
        assert_eq!(answer, expected);
        if answer == CATZILLA_OK {
            self.model.store(key, value, if options.ttl_ms == 0 { DEFAULT_TTL } else { options.ttl_ms });
            self.model.entries.last_mut().expect("it was just stored").tags = carried;
        }
        match (told.is_null(), answer) {
            (true, _) => {}
            (false, CATZILLA_OK) => {
                assert!(version > self.newest, "a version that another value has had");
                self.newest = version;
                self.model.entries.last_mut().expect("it was just stored").version = Some(version);
            }
            (false, _) => assert_eq!(version, 0),
        }
    }

    fn release(&mut self, which: usize) {
        if !self.values.is_empty() {
            let (value, ..) = self.values.swap_remove(which % self.values.len());
            // SAFETY: acquired and not released before.
            unsafe { catzilla_value_release(value) };
        }
    }

    fn delete(&mut self, key: usize, classic: bool) {
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, a text, as many bytes as are told.
        let (deleted, removed) = unsafe {
            match classic {
                true => (catzilla_cache_delete(self.cache, KEYS[key].as_ptr()), -1),
                false => (-1, catzilla_cache_remove(self.cache, bytes, len)),
            }
        };
        let expected = self.model.remove(key);
        if classic {
            assert_eq!(deleted == 0, expected);
        } else {
            assert_eq!(removed, if expected { CATZILLA_OK } else { CATZILLA_NOT_FOUND });
        }
    }

    fn exists(&mut self, key: usize) {
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, a text, as many bytes as are told.
        let (exists, contains) = unsafe {
            (catzilla_cache_exists(self.cache, KEYS[key].as_ptr()), catzilla_cache_contains(self.cache, bytes, len))
        };
        let expected =
            self.model.position(key).is_some_and(|at| self.model.entries[at].deadline > tick(self.model.now));
        assert_eq!(exists, expected);
        assert_eq!(contains == CATZILLA_OK, expected);
    }

    fn advance(&mut self, by: usize) {
        let millis = [1, 500, 999, 1_000, 2_500, DEFAULT_TTL][by % 6];
        self.time.advance(Duration::from_millis(millis));
        self.model.now += millis;
    }

    fn expire(&mut self, classic: bool) {
        let before = self.model.expirations;
        self.model.expire();
        let mut expired = usize::MAX;
        // SAFETY: a live cache, and a number that may be written.
        unsafe {
            match classic {
                true => expired = catzilla_cache_expire_entries(self.cache),
                false => assert_eq!(catzilla_cache_sweep(self.cache, &mut expired), CATZILLA_OK),
            }
        }
        assert_eq!(expired as u64, self.model.expirations - before);
    }

    /// The keys of a batch: a few, from `key` on and as the stream says, sometimes one twice.
    fn several(key: usize, stream: &mut Stream<'_>) -> Vec<usize> {
        let count = stream.next() % 5;
        (0..count).map(|_| (key + stream.next()) % KEYS.len()).collect()
    }

    fn get_many(&mut self, key: usize, stream: &mut Stream<'_>) {
        let keys = Self::several(key, stream);
        let mut buffers: Vec<Vec<u8>> = keys.iter().map(|_| vec![0xAA; stream.next() % 3 * MAX_VALUE / 2]).collect();
        let item = |(key, buffer): (&usize, &mut Vec<u8>)| {
            let ((key, key_len), capacity) = (bytes(*key), buffer.len());
            let buffer = buffer.as_mut_ptr().cast();
            catzilla_get_t { key, key_len, buffer, capacity, value_len: usize::MAX, status: -1 }
        };
        let mut items: Vec<catzilla_get_t> = keys.iter().zip(&mut buffers).map(item).collect();
        // SAFETY: a live cache and as many items as are told, with as many bytes as each tells.
        assert_eq!(unsafe { catzilla_cache_get_many(self.cache, items.as_mut_ptr(), items.len()) }, CATZILLA_OK);
        for ((item, buffer), key) in items.iter().zip(&buffers).zip(keys) {
            self.check_read(key, buffer, item.status, item.value_len);
        }
    }

    fn put_many(&mut self, key: usize, stream: &mut Stream<'_>) {
        let keys = Self::several(key, stream);
        let values: Vec<Vec<u8>> = keys.iter().map(|_| self.next_value(stream.next())).collect();
        let item = |(key, value): (&usize, &Vec<u8>)| {
            let (key, key_len) = bytes(*key);
            catzilla_put_t {
                key,
                key_len,
                value: value.as_ptr().cast(),
                value_len: value.len(),
                ttl_ms: if value.len() % 2 == 0 { 1_500 } else { 0 },
                status: -1,
            }
        };
        let mut items: Vec<catzilla_put_t> = keys.iter().zip(&values).map(item).collect();
        // SAFETY: as for `get_many`.
        assert_eq!(unsafe { catzilla_cache_put_many(self.cache, items.as_mut_ptr(), items.len()) }, CATZILLA_OK);
        for ((item, value), key) in items.iter().zip(values).zip(keys) {
            assert_eq!(item.status, CATZILLA_OK);
            self.model.store(key, value, if item.ttl_ms == 0 { DEFAULT_TTL } else { item.ttl_ms });
        }
    }

    fn remove_many(&mut self, key: usize, stream: &mut Stream<'_>) {
        let keys = Self::several(key, stream);
        let item = |key: &usize| {
            let (key, key_len) = bytes(*key);
            catzilla_remove_t { key, key_len, status: -1 }
        };
        let mut items: Vec<catzilla_remove_t> = keys.iter().map(item).collect();
        // SAFETY: as for `get_many`.
        assert_eq!(unsafe { catzilla_cache_remove_many(self.cache, items.as_mut_ptr(), items.len()) }, CATZILLA_OK);
        for (item, key) in items.iter().zip(keys) {
            assert_eq!(item.status == CATZILLA_OK, self.model.remove(key));
        }
    }

    fn resize(&mut self, capacity: usize, by_configure: bool) {
        let config = cache_config_t {
            capacity,
            bucket_count: 7,
            default_ttl: 0,
            max_value_size: MAX_VALUE,
            compression_enabled: capacity.is_multiple_of(2),
            jemalloc_enabled: true,
        };
        // SAFETY: a live cache and a struct.
        let answer = unsafe {
            match by_configure {
                true => catzilla_cache_configure(self.cache, &config),
                false => catzilla_cache_resize(self.cache, capacity),
            }
        };
        assert_eq!(answer, 0);
        self.model.shrink(capacity);
    }

    fn clear(&mut self, classic: bool) {
        let mut removed = 0;
        // SAFETY: a live cache; no selector is needed.
        unsafe {
            match classic {
                true => catzilla_cache_clear(self.cache),
                false => {
                    let answer =
                        catzilla_cache_purge(self.cache, CATZILLA_PURGE_ALL, std::ptr::null(), 0, &mut removed);
                    assert_eq!((answer, removed), (CATZILLA_OK, self.model.entries.len() as u64));
                }
            }
        }
        self.model.leave_all(CATZILLA_CAUSE_PURGED, |_| true);
    }

    fn purge_prefix(&mut self, key: usize) {
        let prefix = KEYS[key].to_bytes();
        self.purge(CATZILLA_PURGE_PREFIX, prefix, |entry| KEYS[entry.key].to_bytes().starts_with(prefix));
    }

    fn purge_pattern(&mut self, pattern: usize) {
        let (pattern, fitting) = PATTERNS[pattern];
        self.purge(CATZILLA_PURGE_PATTERN, pattern, |entry| fitting.contains(&entry.key));
    }

    fn purge_tag(&mut self, tag: usize) {
        self.purge(CATZILLA_PURGE_TAG, TAGS[tag].to_bytes(), |entry| entry.tags & 1 << tag != 0);
    }

    fn purge(&mut self, what: i32, selector: &[u8], is_meant: impl Fn(&Expected) -> bool) {
        let (selector, len) = (selector.as_ptr().cast(), selector.len());
        let mut removed = u64::MAX;
        // SAFETY: a live cache, as many bytes as are told.
        let answer = unsafe { catzilla_cache_purge(self.cache, what, selector, len, &mut removed) };
        let now = tick(self.model.now);
        let model = &mut self.model;
        model.expirations += model.leave_all(CATZILLA_CAUSE_EXPIRED, |entry| is_meant(entry) && entry.deadline <= now);
        let expected = model.leave_all(CATZILLA_CAUSE_PURGED, is_meant);
        assert_eq!((answer, removed), (CATZILLA_OK, expected));
    }

    /// What must change nothing.
    fn refused(&mut self, key: usize) {
        let long = vec![1_u8; MAX_VALUE + 1];
        let (bytes, len) = bytes(key);
        // SAFETY: a live cache, as many bytes as are told; NULL is what is being tried.
        unsafe {
            let answer = catzilla_cache_put(self.cache, bytes, len, long.as_ptr().cast(), long.len(), 0);
            assert_eq!(answer, CATZILLA_VALUE_TOO_LARGE);
            let text: *const c_char = KEYS[key].as_ptr();
            assert_eq!(catzilla_cache_set(self.cache, text, long.as_ptr().cast(), long.len(), 1), -1);
            assert_eq!(catzilla_cache_set(self.cache, text, std::ptr::null(), 0, 1), -1);
            assert_eq!(catzilla_cache_resize(self.cache, 0), -1);
            assert_eq!(catzilla_cache_configure(self.cache, std::ptr::null()), -1);
        }
    }

    fn check_what_is_held(&self) {
        for (data, expected) in &self.results {
            // SAFETY: the result is still within its lifetime; that this reads right is what is being tested.
            let found = unsafe { std::slice::from_raw_parts(*data, expected.len()) };
            assert_eq!(found, expected);
        }
        for (value, expected, _) in &self.values {
            // SAFETY: acquired and not released.
            let found = unsafe {
                std::slice::from_raw_parts(catzilla_value_data(*value).cast::<u8>(), catzilla_value_size(*value))
            };
            assert_eq!(found, expected);
        }
    }

    /// Who has left was told to whoever listens, once, and nobody else was.
    fn check_what_left(&mut self) {
        let mut left = std::mem::take(&mut self.model.left);
        if let Some(told) = &self.told {
            let mut told = std::mem::take(&mut *told.borrow_mut());
            // What one call makes leave may be told in any order.
            told.sort();
            left.sort();
            assert_eq!(told, left);
        }
    }

    fn check_figures(&self) {
        // SAFETY: a live cache.
        let (figures, usage) =
            unsafe { (catzilla_cache_get_stats(self.cache), catzilla_cache_memory_usage(self.cache)) };
        let model = &self.model;
        assert_eq!((figures.hits, figures.misses), (model.hits, model.misses));
        assert_eq!(figures.total_requests, model.hits + model.misses);
        assert_eq!(figures.evictions, model.evictions);
        assert_eq!(figures.size, model.entries.len() as u64);
        assert_eq!(figures.capacity, model.capacity as u64);
        assert_eq!(figures.memory_usage, usage as u64);
        let keys: usize = model.entries.iter().map(|entry| KEYS[entry.key].count_bytes()).sum();
        assert!(usage >= keys + 28 * model.entries.len());
        let mut statistics =
            catzilla_statistics_t { struct_size: size_of::<catzilla_statistics_t>(), ..Default::default() };
        // SAFETY: a live cache and a struct of that size.
        assert_eq!(unsafe { catzilla_cache_statistics(self.cache, &mut statistics) }, CATZILLA_OK);
        assert_eq!(statistics.memory_expirations, model.expirations);
        assert_eq!((statistics.loads, statistics.load_failures), (model.loads, model.load_failures));
        assert_eq!(statistics.memory_untold_departures, 0);
        assert_eq!(statistics.memory_bytes, usage as u64);
        let entries = usage as u64 - statistics.memory_index_bytes;
        assert_eq!(entries == 0, model.entries.is_empty());
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

/// Gives what the test has made, or says what it says.
unsafe extern "C" fn load(
    user: *mut c_void,
    _key: *const c_void,
    _len: usize,
    loaded: *mut catzilla_loaded_t,
) -> catzilla_status_t {
    // SAFETY: `get_or_load` gives its own variable, and waits for this.
    match unsafe { &*user.cast::<Result<Vec<u8>, i32>>() } {
        // SAFETY: as many bytes as are told.
        Ok(value) => unsafe { catzilla_loaded_set(loaded, value.as_ptr().cast(), value.len(), 1_500) },
        Err(status) => *status,
    }
}

unsafe extern "C" fn listen(user: *mut c_void, departed: *const catzilla_departed_t) {
    // SAFETY: the list that was given, and an entry that can be asked until this returns.
    let (list, key, value, cause) = unsafe {
        let key = (catzilla_departed_key(departed), catzilla_departed_key_size(departed));
        let value = (catzilla_departed_value(departed), catzilla_departed_value_size(departed));
        let bytes = |(data, len): (*const c_void, usize)| std::slice::from_raw_parts(data.cast::<u8>(), len).to_vec();
        (&*user.cast::<RefCell<Vec<Left>>>(), bytes(key), bytes(value), catzilla_departed_cause(departed))
    };
    list.borrow_mut().push((key, value, cause));
}

/// The tags whose bits are set in the lower half, and in the upper half those that are given a second time.
fn carried(seed: usize) -> (Vec<catzilla_bytes_t>, u8) {
    let given = (0..8).filter(|bit| seed & 1 << bit != 0).map(|bit| bit % TAGS.len());
    let tag = |tag: usize| catzilla_bytes_t { data: TAGS[tag].as_ptr().cast(), len: TAGS[tag].count_bytes() };
    (given.clone().map(tag).collect(), given.fold(0, |bits, tag| bits | 1 << tag))
}

fn bytes(key: usize) -> (*const c_void, usize) {
    (KEYS[key].as_ptr().cast(), KEYS[key].count_bytes())
}
