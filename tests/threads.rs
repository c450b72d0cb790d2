//! Every call from several threads on few keys of tiny caches. Values prove themselves: each says which key it belongs to
//! and carries a checksum, so a value that is torn, stale memory, or another key's is noticed by whoever reads it.
//!
//! Run as it is for a short form; `CATZILLA_SOAK_SECONDS` makes it go on for that long. The sanitizers run it too.

use catzilla_cache::{Cache, Condition, Options, Purge, PutOptions, PutOutcome, Read, Ttl};
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const THREADS: u64 = 4;
const KEYS: u64 = 12;
const TAGS: [&[u8]; 3] = [b"a", b"b", b"c"];

/// Calls of one thread, unless a time is given.
const CALLS: u64 = if cfg!(miri) { 150 } else { 40_000 };

fn soak() -> Option<Duration> {
    let seconds = std::env::var("CATZILLA_SOAK_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("CATZILLA_SOAK_SECONDS is a number of seconds")))
}

/// A small generator, different for each seed; the tests have to be the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}

fn key(number: u64) -> String {
    format!("key-{number}{}", "-".repeat(number as usize % 5))
}

/// Key, salt, length and a filling made of them, then their checksum.
fn proving_value(key: u64, salt: u64) -> Vec<u8> {
    let len = (salt % 61 * (salt % 37)) as usize;
    let mut value = Vec::with_capacity(24 + len);
    value.extend(key.to_le_bytes());
    value.extend(salt.to_le_bytes());
    // Every other one compresses well.
    value.extend((0..len as u64).map(|i| if salt.is_multiple_of(2) { key as u8 } else { (i * i + salt) as u8 }));
    let sum = checksum(&value);
    value.extend(sum.to_le_bytes());
    value
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn assert_proves(value: &[u8], key: u64) {
    assert!(value.len() >= 24, "a value of {} bytes was never stored", value.len());
    let (body, sum) = value.split_at(value.len() - 8);
    assert_eq!(u64::from_le_bytes(sum.try_into().unwrap()), checksum(body), "a torn value");
    assert_eq!(u64::from_le_bytes(body[..8].try_into().unwrap()), key, "another key's value");
}

fn mixed_calls(cache: &Cache, seed: u64, stop: &AtomicBool, calls: u64) {
    let mut random = Random(seed * 0x9E37_79B9 + 1);
    let mut buffer = vec![0; 4_096];
    let mut held = std::collections::VecDeque::new();
    for call in 0.. {
        if call >= calls || stop.load(Ordering::Relaxed) {
            break;
        }
        let number = random.next() % KEYS;
        let name = key(number);
        let name = name.as_bytes();
        match random.next() % 100 {
            0..=3 => {
                let Some(value) = cache.acquire(name).unwrap() else { continue };
                let version = value.version().unwrap();
                let options = PutOptions {
                    condition: [Condition::IfVersion(version), Condition::IfAbsent, Condition::IfPresent]
                        [call as usize % 3],
                    tell_version: call % 2 == 0,
                    tags: &TAGS[random.next() as usize % 4..],
                    ..PutOptions::default()
                };
                cache.put_with(name, &proving_value(number, random.next()), &options).unwrap();
                held.push_back((value, number));
            }
            4..=29 => {
                let ttl = match random.next() % 4 {
                    0 => Ttl::For(Duration::from_millis(1 + random.next() % 20)),
                    1 => Ttl::Forever,
                    _ => Ttl::Default,
                };
                let (tags, value) = (&TAGS[random.next() as usize % 4..], proving_value(number, random.next()));
                if random.next().is_multiple_of(2) {
                    cache.put(name, &value, ttl).unwrap();
                } else {
                    cache.put_with(name, &value, &PutOptions { ttl, tags, ..PutOptions::default() }).unwrap();
                }
            }
            30..=54 => match cache.read(name, &mut buffer).unwrap() {
                Some(Read::Copied(len)) => assert_proves(&buffer[..len], number),
                Some(Read::Truncated(len)) => panic!("a value of {len} bytes was never stored"),
                None => {}
            },
            55..=79 => {
                if let Some(value) = cache.acquire(name).unwrap() {
                    assert_proves(&value, number);
                    held.push_back((value, number));
                }
                if held.len() > 20 {
                    let (value, number) = held.pop_front().unwrap();
                    assert_proves(&value, number);
                }
            }
            80..=89 => drop(cache.remove(name)),
            90..=93 => drop(cache.contains(name)),
            94 => drop(cache.sweep()),
            95 => drop(cache.touch(name, Ttl::For(Duration::from_millis(1 + random.next() % 20)))),
            96 if call % 2 == 0 => drop(cache.increment(b"count", 1, 0, Ttl::For(Duration::from_millis(5))).unwrap()),
            96 if call % 4 == 1 => drop(cache.purge(Purge::Prefix(b"key-1"))),
            96 => drop(cache.purge(Purge::Tag(TAGS[random.next() as usize % 3]))),
            97 if call % 4 == 0 => {
                let mut keys = cache.keys(b"key-").unwrap();
                while let Some(told) = keys.next_key().unwrap() {
                    assert!((0..KEYS).any(|number| told == key(number).as_bytes()), "a key that was never stored");
                }
            }
            97 if random.next().is_multiple_of(10) => drop(cache.purge(Purge::All)),
            _ => {
                let figures = cache.statistics();
                assert!((0.0..=1.0).contains(&figures.hit_ratio));
            }
        }
    }
    for (value, number) in held {
        assert_proves(&value, number);
    }
}

fn all_threads_on(options: &[(&str, &str)]) {
    let mut table = Options::new();
    for (name, value) in options {
        table.set(name, value).unwrap();
    }
    let cache = Cache::open(&table).unwrap();
    let stop = AtomicBool::new(false);
    let calls = if soak().is_some() { u64::MAX } else { CALLS };
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || mixed_calls(cache, seed, stop, calls));
        }
        if let Some(time) = soak() {
            std::thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
        }
    });
    // When nobody uses the cache, the books balance to the byte.
    cache.purge(Purge::All);
    let memory = cache.statistics().memory;
    assert_eq!((memory.entries, memory.bytes, memory.index_bytes), (0, 0, 0));
    assert_eq!(memory.lent_bytes, 0, "this test has made no classic look-up and holds nothing any more");
    assert_eq!(memory.puts > 0, memory.evictions + memory.expirations + memory.removals > 0);
}

#[test]
fn one_entry_shared_by_all_threads() {
    all_threads_on(&[("memory.capacity", "1")]);
}

#[test]
fn a_few_entries_in_one_shard() {
    all_threads_on(&[("memory.capacity", "8"), ("memory.compression_threshold", "64")]);
}

#[test]
fn more_shards_than_entries() {
    all_threads_on(&[("memory.capacity", "3"), ("memory.shards", "7")]);
}

#[test]
fn a_bound_on_bytes_and_the_systems_allocator() {
    all_threads_on(&[("memory.max_bytes", "64KiB"), ("memory.shards", "2"), ("memory.jemalloc", "off")]);
}

/// The count of entries never passes the capacity, not even for a moment, while threads fight over the places.
#[test]
fn there_are_never_more_entries_than_the_capacity() {
    let mut options = Options::new();
    options.set("memory.capacity", "5").unwrap().set("memory.shards", "3").unwrap();
    let cache = Cache::open(&options).unwrap();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                for i in 0..CALLS / 4 {
                    cache.put(format!("{thread}:{i}").as_bytes(), b"x", Ttl::Forever).unwrap();
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        // The writers end by themselves, also when this fails.
        while done.load(Ordering::Relaxed) < THREADS {
            assert!(cache.statistics().memory.entries <= 5);
            std::thread::yield_now();
        }
    });
    assert_eq!(cache.statistics().memory.entries, 5);
}

/// Classic results, through the C interface: what a thread was given stays as it was for 64 further look-ups, while other
/// threads overwrite, delete, evict and clear.
#[test]
#[allow(unsafe_code)]
fn classic_results_stay_as_they_were_for_their_lifetime() {
    use catzilla_cache::ffi::cache::{catzilla_cache_t, into_handle};
    use catzilla_cache::ffi::classic::{catzilla_cache_destroy, catzilla_cache_get};
    use catzilla_cache::CLASSIC_RESULT_LIFETIME;
    use std::collections::VecDeque;

    struct Handle(*mut catzilla_cache_t);
    // SAFETY: a handle may be used by any thread.
    unsafe impl Sync for Handle {}

    let mut options = Options::new();
    options.set("memory.capacity", "4").unwrap().set("memory.compression_threshold", "128").unwrap();
    let cache = Cache::open(&options).unwrap();
    let handle = Handle(into_handle(Arc::clone(&cache)));
    let readers_left = AtomicU64::new(2);
    let stop = AtomicBool::new(false);
    /// Ends the writers when the last reader has ended, also when it has ended by a failed assertion.
    struct Reader<'a>(&'a AtomicU64, &'a AtomicBool);
    impl Drop for Reader<'_> {
        fn drop(&mut self) {
            if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.1.store(true, Ordering::Relaxed);
            }
        }
    }
    std::thread::scope(|scope| {
        for seed in 10..12 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || mixed_calls(cache, seed, stop, u64::MAX));
        }
        for seed in 1..3 {
            let (handle, begun, reader) = (&handle, Instant::now(), Reader(&readers_left, &stop));
            scope.spawn(move || {
                let _reader = reader;
                let mut random = Random(seed);
                let mut results = VecDeque::new();
                for call in 0.. {
                    if soak().map_or(call >= CALLS / 4, |time| begun.elapsed() >= time) {
                        break;
                    }
                    let number = random.next() % KEYS;
                    let name = CString::new(key(number)).unwrap();
                    // SAFETY: a live handle and a text.
                    let result = unsafe { catzilla_cache_get(handle.0, name.as_ptr()) };
                    results.push_back((result, number));
                    if results.len() > CLASSIC_RESULT_LIFETIME {
                        results.pop_front();
                    }
                    for (result, number) in results.iter().filter(|(result, _)| result.found) {
                        // SAFETY: the result is within its lifetime.
                        let value = unsafe { std::slice::from_raw_parts(result.data.cast::<u8>(), result.size) };
                        assert_proves(value, *number);
                    }
                }
            });
        }
    });
    // A scope waits for what its threads do, not for their ends; with these, their leases end.
    cache.purge(Purge::All);
    let deadline = Instant::now() + Duration::from_secs(60);
    while cache.statistics().memory.lent_bytes > 0 {
        assert!(Instant::now() < deadline, "a thread that has ended still holds its results");
        std::thread::yield_now();
    }
    // SAFETY: nobody uses the handle any more.
    unsafe { catzilla_cache_destroy(handle.0) };
}

/// Whatever a resize and the puts beside it do to each other, at the end of both there are not too many entries.
#[test]
fn a_capacity_lowered_beside_puts_holds_when_both_are_done() {
    let rounds = if cfg!(miri) { 5 } else { 300 };
    let mut options = Options::new();
    options.set("memory.capacity", "8").unwrap().set("memory.shards", "2").unwrap();
    for round in 0..rounds {
        let cache = Cache::open(&options).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..2_u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for i in 0..20 {
                        cache.put(format!("{round}:{thread}:{i}").as_bytes(), b"x", Ttl::Forever).unwrap();
                    }
                });
            }
            for capacity in ["7", "5", "2"] {
                cache.set_option("memory.capacity", capacity).unwrap();
            }
        });
        let memory = cache.statistics().memory;
        assert!(memory.entries <= 2 && memory.capacity == 2, "{memory:?}");
    }
}

/// A cache that is made small and large again moves its entries between one shard and several, beside everything else.
#[test]
fn a_cache_that_shrinks_and_grows_beside_all_calls_keeps_its_books() {
    let cache = Cache::open(Options::new().set("memory.capacity", "100000").unwrap()).unwrap();
    let stop = AtomicBool::new(false);
    let calls = if soak().is_some() { u64::MAX } else { CALLS / 2 };
    std::thread::scope(|scope| {
        for seed in 20..22 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || mixed_calls(cache, seed, stop, calls));
        }
        let begun = Instant::now();
        let mut changes = 0;
        while soak().map_or(changes < 200.min(CALLS), |time| begun.elapsed() < time) {
            for capacity in ["5", "100000"] {
                cache.set_option("memory.capacity", capacity).unwrap();
            }
            changes += 1;
        }
        if soak().is_some() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    cache.purge(Purge::All);
    let memory = cache.statistics().memory;
    assert_eq!((memory.entries, memory.bytes, memory.lent_bytes), (0, 0, 0));
}

/// The last value of an entry and the cache's own hold on it end at the same moment, in either order: the block is freed once,
/// and not read after that.
#[test]
fn a_value_ends_while_the_cache_gives_its_entry_up() {
    for round in 0..if cfg!(miri) { 12 } else { 3_000 } {
        let mut options = Options::new();
        options.set("memory.jemalloc", "off").unwrap();
        let cache = Cache::open(&options).unwrap();
        cache.put(b"key", &[7; 100], Ttl::Forever).unwrap();
        let value = cache.acquire(b"key").unwrap().unwrap();
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                assert_eq!(*value, [7; 100]);
            });
            start.wait();
            match round % 3 {
                0 => drop(cache),
                1 => assert!(cache.remove(b"key") && cache.statistics().memory.lent_bytes < 1_000),
                _ => assert!(cache.purge(Purge::All) == 1 && cache.statistics().memory.lent_bytes < 1_000),
            }
        });
    }
}

/// Threads that look, add and store if nobody has stored meanwhile: none of what they add is lost.
#[test]
fn of_those_that_expect_one_version_one_stores() {
    for options in [&[][..], &[("memory.shards", "2"), ("memory.compression_threshold", "64")]] {
        let mut table = Options::new();
        for (name, value) in options {
            table.set(name, value).unwrap();
        }
        let cache = Cache::open(&table).unwrap();
        // Long enough to be compressed in the second case: then values are copies, and versions those of their entries.
        let value = |sum: u64| [&sum.to_le_bytes()[..], &[0; 200]].concat();
        let sum_of = |value: &[u8]| u64::from_le_bytes(value[..8].try_into().unwrap());
        cache.put(b"sum", &value(0), Ttl::Forever).unwrap();
        let rounds = CALLS / 20;
        let absent = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..rounds {
                        loop {
                            let held = cache.acquire(b"sum").unwrap().unwrap();
                            let condition = Condition::IfVersion(held.version().unwrap());
                            if condition == Condition::IfVersion(0) {
                                continue;
                            }
                            let options = PutOptions {
                                condition,
                                ttl: Ttl::Forever,
                                tell_version: round % 2 == 0,
                                ..PutOptions::default()
                            };
                            match cache.put_with(b"sum", &value(sum_of(&held) + 1), &options).unwrap() {
                                PutOutcome::Stored(version) => break assert_eq!(version > 0, options.tell_version),
                                PutOutcome::VersionMismatch => {}
                                other => panic!("{other:?}"),
                            }
                        }
                        let once = PutOptions { condition: Condition::IfAbsent, ..PutOptions::default() };
                        match cache.put_with(&round.to_le_bytes(), b"", &once).unwrap() {
                            PutOutcome::Stored(_) => drop(absent.fetch_add(1, Ordering::Relaxed)),
                            other => assert_eq!(other, PutOutcome::Exists),
                        }
                    }
                });
            }
        });
        assert_eq!(sum_of(&cache.acquire(b"sum").unwrap().unwrap()), THREADS * rounds);
        assert_eq!(absent.into_inner(), rounds);
    }
}

/// Of what several threads add, to counters that are there and to such that are made meanwhile, nothing is lost.
#[test]
fn increments_of_several_threads_add_up() {
    const COUNTERS: u64 = 3;
    let cache = Cache::open(&Options::new()).unwrap();
    let rounds = CALLS / 10;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let cache = &cache;
            scope.spawn(move || {
                let mut last = [0; COUNTERS as usize];
                for round in 0..rounds {
                    let number = (round % COUNTERS) as usize;
                    let sum = cache.increment(key(number as u64).as_bytes(), 1, 1, Ttl::Default).unwrap();
                    assert!(sum > last[number]);
                    last[number] = sum;
                    if thread == 0 {
                        cache.touch(key(number as u64).as_bytes(), Ttl::Default);
                    }
                }
            });
        }
    });
    let sums = (0..COUNTERS).map(|number| cache.increment(key(number).as_bytes(), 0, -1, Ttl::Default).unwrap());
    assert_eq!(sums.sum::<i64>() as u64, THREADS * rounds);
}
