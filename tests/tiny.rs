//! Caches of one to eight entries under every policy, used by two to four threads at once: eviction, replacement, expiry
//! and reuse of memory happen at nearly every call, so a mistake among them is not waited for long.
//!
//! Each key has one writer, which counts its values. Whoever reads can therefore tell not only that a value is whole and
//! belongs to its key, but also that it is not older than what the writer had finished before the read began; and a
//! value that was removed or overwritten stays gone. The number of calls is fixed, so a run means the same on every machine
//! and under Miri and the sanitizers.
#![allow(unsafe_code)]

use catzilla_cache::ffi::cache::{catzilla_cache_t, into_handle};
use catzilla_cache::ffi::classic::{catzilla_cache_destroy, catzilla_cache_get, catzilla_release_results};
use catzilla_cache::ffi::types::cache_result_t;
use catzilla_cache::{Cache, Options, Purge, Read, Ttl, Value, CLASSIC_RESULT_LIFETIME, OPTIONS};
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls of one thread on one cache.
const CALLS: u64 = if cfg!(miri) { 40 } else { 4_000 };

/// Keys of one thread: with two threads already more than the largest cache here holds.
const KEYS_OF_A_THREAD: usize = 5;

const LONGEST: usize = 40 + 900;

/// A small generator (xorshift64*), so that a run is the same every time as far as the scheduler allows.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A key, and how far its only writer has come.
struct Key {
    number: u64,
    name: CString,
    /// A value older than this must not be seen by a look-up that begins now.
    oldest: AtomicU64,
}

impl Key {
    fn new(number: u64) -> Self {
        let text = format!("{}{number}{}", ["a", "b"][number as usize % 2], "-".repeat(number as usize % 7 * 5));
        Key { number, name: CString::new(text).unwrap(), oldest: AtomicU64::new(0) }
    }

    fn bytes(&self) -> &[u8] {
        self.name.as_bytes()
    }
}

/// Key, version, length, a filling made of them, a checksum of all.
fn proving_value(key: u64, version: u64) -> Vec<u8> {
    let len = version.wrapping_mul(0x9E37_79B9) % (LONGEST as u64 - 40) * (version % 3) / 2;
    let mut value = Vec::with_capacity(LONGEST);
    for number in [key, version, len] {
        value.extend(number.to_le_bytes());
    }
    // Every other one compresses well.
    value.extend((0..len).map(|i| if version.is_multiple_of(2) { key as u8 } else { (i * i + version) as u8 }));
    value.extend(checksum(&value).to_le_bytes());
    value
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The version of a value that is whole and belongs to the key.
fn proven(value: &[u8], key: &Key) -> u64 {
    assert!(value.len() >= 32, "a value of {} bytes was never stored", value.len());
    let (body, sum) = value.split_at(value.len() - 8);
    let number = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
    assert_eq!(u64::from_le_bytes(sum.try_into().unwrap()), checksum(body), "a torn value");
    assert_eq!(number(0), key.number, "another key's value");
    assert_eq!(number(16), body.len() as u64 - 24, "a value of another length");
    number(8)
}

#[derive(Default)]
struct Counts {
    hits: u64,
    misses: u64,
    puts: u64,
    removals: u64,
}

struct Held<'a> {
    value: Value,
    key: &'a Key,
    version: u64,
}

struct Lent<'a> {
    result: cache_result_t,
    key: &'a Key,
    version: u64,
}

/// One thread's view of a cache.
struct Worker<'a> {
    cache: &'a Cache,
    handle: &'a Handle,
    keys: &'a [Key],
    /// The keys that this thread alone stores and removes.
    own: &'a [Key],
    random: Random,
    version: u64,
    counts: Counts,
    buffer: Vec<u8>,
    held: VecDeque<Held<'a>>,
    lent: VecDeque<Lent<'a>>,
}

struct Handle(*mut catzilla_cache_t);
// SAFETY: a handle may be used by any thread.
unsafe impl Sync for Handle {}

impl<'a> Worker<'a> {
    fn new(cache: &'a Cache, handle: &'a Handle, keys: &'a [Key], own: &'a [Key], seed: u64) -> Self {
        Worker {
            cache,
            handle,
            keys,
            own,
            random: Random(seed),
            version: 0,
            counts: Counts::default(),
            buffer: vec![0; LONGEST],
            held: VecDeque::new(),
            lent: VecDeque::new(),
        }
    }

    fn work(mut self) -> Counts {
        for _ in 0..CALLS {
            match self.random.below(100) {
                0..=29 => self.put(),
                30..=44 => self.read(),
                45..=59 => self.acquire(),
                60..=74 => self.lend(),
                75..=86 => self.remove(),
                87..=91 => self.look(),
                _ => self.administer(),
            }
        }
        // About half of the threads end while they hold classic results.
        if self.random.below(2) == 0 {
            catzilla_release_results();
        }
        for held in self.held {
            assert_eq!(proven(&held.value, held.key), held.version);
        }
        self.counts
    }

    fn any_key(&mut self) -> (&'a Key, u64) {
        let key = &self.keys[self.random.below(self.keys.len() as u64) as usize];
        (key, key.oldest.load(Ordering::Acquire))
    }

    fn own_key(&mut self) -> &'a Key {
        &self.own[self.random.below(self.own.len() as u64) as usize]
    }

    fn count(&mut self, hit: bool) {
        *(if hit { &mut self.counts.hits } else { &mut self.counts.misses }) += 1;
    }

    fn put(&mut self) {
        let key = self.own_key();
        let ttl = match self.random.below(4) {
            0 => Ttl::For(Duration::from_millis(1 + self.random.below(20))),
            1 => Ttl::Forever,
            _ => Ttl::Default,
        };
        self.version += 1;
        self.cache.put(key.bytes(), &proving_value(key.number, self.version), ttl).unwrap();
        self.counts.puts += 1;
        key.oldest.store(self.version, Ordering::Release);
    }

    fn remove(&mut self) {
        let key = self.own_key();
        self.counts.removals += u64::from(self.cache.remove(key.bytes()));
        self.version += 1;
        key.oldest.store(self.version, Ordering::Release);
        assert!(!self.cache.contains(key.bytes()), "a removed key is there");
    }

    fn read(&mut self) {
        let (key, oldest) = self.any_key();
        match self.cache.read(key.bytes(), &mut self.buffer).unwrap() {
            Some(Read::Copied(len)) => {
                let version = proven(&self.buffer[..len], key);
                assert!(version >= oldest, "version {version} of {:?} was gone before the read began", key.name);
                self.count(true);
            }
            Some(Read::Truncated(len)) => panic!("a value of {len} bytes was never stored"),
            None => self.count(false),
        }
    }

    fn acquire(&mut self) {
        let (key, oldest) = self.any_key();
        let value = self.cache.acquire(key.bytes()).unwrap();
        self.count(value.is_some());
        if let Some(value) = value {
            let version = proven(&value, key);
            assert!(version >= oldest, "version {version} of {:?} was gone before it was acquired", key.name);
            self.held.push_back(Held { value, key, version });
        }
        if self.held.len() as u64 > self.random.below(12) {
            let held = self.held.pop_front().unwrap();
            assert_eq!(proven(&held.value, held.key), held.version, "an acquired value changed");
        }
    }

    /// The classic look-up, whose result has to stay as it is for 64 more of them.
    fn lend(&mut self) {
        let (key, oldest) = self.any_key();
        // SAFETY: a live handle and a text.
        let result = unsafe { catzilla_cache_get(self.handle.0, key.name.as_ptr()) };
        self.count(result.found);
        let version = if result.found { proven(bytes_of(&result), key) } else { 0 };
        assert!(!result.found || version >= oldest, "version {version} of {:?} was gone before the get", key.name);
        self.lent.push_back(Lent { result, key, version });
        if self.lent.len() > CLASSIC_RESULT_LIFETIME {
            let lent = self.lent.pop_front().unwrap();
            assert!(!lent.result.found || proven(bytes_of(&lent.result), lent.key) == lent.version);
        }
    }

    fn look(&mut self) {
        let (key, _) = self.any_key();
        self.cache.contains(key.bytes());
        let memory = self.cache.statistics().memory;
        assert!(memory.entries <= memory.capacity, "{memory:?}");
        assert!(memory.bytes - memory.index_bytes.min(memory.bytes) <= 64 * 2 * LONGEST as u64, "{memory:?}");
    }

    fn administer(&mut self) {
        match self.random.below(10) {
            0 => self.counts.removals += self.cache.purge(Purge::Prefix(b"a")),
            1 => self.counts.removals += self.cache.purge(Purge::All),
            2 => self.cache.set_option("memory.compression", ["on", "off"][self.random.below(2) as usize]).unwrap(),
            3 => self.cache.set_option("memory.ttl", ["5ms", "1h"][self.random.below(2) as usize]).unwrap(),
            4 => {
                catzilla_release_results();
                self.lent.clear();
            }
            _ => drop(self.cache.sweep()),
        }
    }
}

fn bytes_of(result: &cache_result_t) -> &[u8] {
    // SAFETY: the result was found, and this thread has made at most 64 look-ups since.
    unsafe { std::slice::from_raw_parts(result.data.cast::<u8>(), result.size) }
}

/// The names in the table's row, so that a policy that is added is tested without a word here.
fn policies() -> Vec<String> {
    let row = OPTIONS.iter().find(|row| row.name == "memory.policy").expect("there is a policy to choose");
    row.range().split(", ").map(str::to_owned).collect()
}

fn all_calls_at_once(policy: &str, capacity: usize, threads: usize, shards: &str, jemalloc: &str) {
    let mut options = Options::new();
    for (name, text) in [
        ("memory.policy", policy),
        ("memory.capacity", &capacity.to_string()),
        ("memory.shards", shards),
        ("memory.jemalloc", jemalloc),
        ("memory.compression_threshold", "64"),
    ] {
        options.set(name, text).unwrap();
    }
    let cache = Cache::open(&options).unwrap();
    let handle = Handle(into_handle(Arc::clone(&cache)));
    let keys: Vec<Key> = (0..(threads * KEYS_OF_A_THREAD) as u64).map(Key::new).collect();
    let mut total = Counts::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let seed = ((capacity * 8 + thread) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let own = &keys[thread * KEYS_OF_A_THREAD..][..KEYS_OF_A_THREAD];
                let (cache, handle, keys) = (&cache, &handle, &keys);
                scope.spawn(move || Worker::new(cache, handle, keys, own, seed).work())
            })
            .collect();
        // Joined, not only waited for by the scope: with a thread's end its classic results end.
        for thread in running {
            let counts = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            total.hits += counts.hits;
            total.misses += counts.misses;
            total.puts += counts.puts;
            total.removals += counts.removals;
        }
    });
    the_books_balance(&cache, &keys, &total, capacity as u64);
    // SAFETY: nobody uses the handle any more.
    unsafe { catzilla_cache_destroy(handle.0) };
}

fn the_books_balance(cache: &Cache, keys: &[Key], total: &Counts, capacity: u64) {
    let figures = cache.statistics();
    let counted = (figures.hits, figures.misses, figures.puts, figures.removals);
    assert_eq!(counted, (total.hits, total.misses, total.puts, total.removals), "hits, misses, puts, removals");

    // An entry may expire between a sweep and the look at it, so there may have to be another look.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        cache.sweep();
        let there = keys.iter().filter(|key| cache.contains(key.bytes())).count() as u64;
        let memory = cache.statistics().memory;
        assert!(memory.entries <= capacity);
        let gone = memory.evictions + memory.expirations + memory.removals;
        assert!(memory.entries + gone <= memory.puts, "more entries came and went than were stored: {memory:?}");
        if memory.entries == there {
            break;
        }
        assert!(Instant::now() < deadline, "{} entries are counted, {there} keys are there", memory.entries);
    }

    let entries = cache.statistics().memory.entries;
    assert!(cache.purge(Purge::All) <= entries);
    loop {
        let memory = cache.statistics().memory;
        assert_eq!((memory.entries, memory.bytes), (0, memory.index_bytes));
        if memory.lent_bytes == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{} bytes are lent to nobody", memory.lent_bytes);
        std::thread::yield_now();
    }
}

#[test]
fn every_policy_in_caches_of_one_to_eight_entries() {
    for policy in policies() {
        for capacity in 1..=8 {
            let threads = 2 + capacity % 3;
            let jemalloc = ["on", "off"][capacity / 2 % 2];
            all_calls_at_once(&policy, capacity, threads, "0", jemalloc);
        }
    }
}

#[test]
fn every_policy_with_more_shards_than_entries() {
    for policy in policies() {
        all_calls_at_once(&policy, 2, 3, "4", "on");
        all_calls_at_once(&policy, 7, 4, "3", "off");
    }
}
