//! Models: the engine itself, on tiny caches, two or three threads, and a scheduler that decides at every atomic access and
//! every lock which of them goes on. One test for each race that matters, thousands of schedules each, the same every time.
//!
//! Built with `--cfg shuttle` only; `tools/model` does that. Then freed memory is filled with a pattern and kept, and whoever
//! meets the pattern fails; leases are short, batches small, and retired entries are freed as soon as anything is retired.
//!
//! A look-up in a model is checked against the history of its key, which has one writer: what is seen is something that was
//! stored, whole, and nothing older than what was seen before.
//!
//! What fails prints its schedule. `CATZILLA_MODEL_REPLAY=<that>` runs it again, with the name of the test and the variant
//! that was printed; `CATZILLA_MODEL_SCHEDULES` says how many schedules each scheduler tries for each variant.
#![cfg(shuttle)]
#![allow(unsafe_code)]

#[path = "support/schedules.rs"]
mod schedules;

use catzilla_cache::ffi::cache::{catzilla_cache_t, into_handle};
use catzilla_cache::ffi::classic::{catzilla_cache_destroy, catzilla_cache_get};
use catzilla_cache::{
    Cache, Clock, Condition, Departed, Get, Leased, ManualTime, Options, Purge, Put, PutOptions, PutOutcome, Read,
    Remove, Ttl, Value, CLASSIC_RESULT_LIFETIME,
};
use schedules::{config, explore, explore_more, join, name, value, version, SCHEDULES, SEED};
use shuttle::scheduler::{RandomScheduler, UncontrolledNondeterminismCheckScheduler};
use shuttle::sync::atomic::{AtomicU8, Ordering};
use shuttle::thread::{spawn, yield_now};
use shuttle::Runner;
use std::collections::VecDeque;
use std::ffi::CString;
// What models note down: nothing to choose.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a look-up is made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Copy,
    Acquire,
    Classic,
}

const WAYS: [Way; 3] = [Way::Copy, Way::Acquire, Way::Classic];
const POLICIES: [&str; 5] = ["lru", "s3fifo", "adaptive", "w-tinylfu", "lru-lfu"];

/// What a look-up has found, which has to stay as it was.
enum Found {
    Copy(Vec<u8>),
    Value(Value),
    Classic { data: *const u8, len: usize },
}

impl Found {
    fn bytes(&self) -> &[u8] {
        match self {
            Found::Copy(bytes) => bytes,
            Found::Value(value) => value,
            // SAFETY: the models look at it within its lifetime only, which is what is being checked.
            Found::Classic { data, len } => unsafe { std::slice::from_raw_parts(*data, *len) },
        }
    }
}

#[derive(Clone)]
struct Model {
    cache: Arc<Cache>,
    handle: Handle,
    time: ManualTime,
}

#[derive(Clone, Copy)]
struct Handle(*mut catzilla_cache_t);

// SAFETY: a handle may be used by any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

const LIFETIME: Duration = Duration::from_secs(10);

impl Model {
    fn open(set: &[(&str, &str)]) -> Self {
        let mut options = Options::new();
        let always = [
            ("memory.jemalloc", "off"),
            ("memory.policy", "lru"),
            ("memory.sweep_interval", "off"),
            ("memory.compression", "off"),
            ("memory.compression_threshold", "64"),
        ];
        for (name, text) in always.iter().chain(set) {
            options.set(name, text).unwrap();
        }
        let (clock, time) = Clock::manual();
        let cache = Cache::with_clock(&options, clock).unwrap();
        Self { handle: Handle(into_handle(cache.clone())), cache, time }
    }

    fn put(&self, key: u8, version: u8) {
        self.cache.put(&name(key), &value(key, version), Ttl::Forever).unwrap();
    }

    fn put_for(&self, key: u8, version: u8, lifetime: Duration) {
        self.cache.put(&name(key), &value(key, version), Ttl::For(lifetime)).unwrap();
    }

    fn remove(&self, key: u8) -> bool {
        self.cache.remove(&name(key))
    }

    fn set_capacity(&self, capacity: &str) {
        self.cache.set_option("memory.capacity", capacity).unwrap();
    }

    fn get(&self, way: Way, key: u8) -> Option<Found> {
        match way {
            Way::Copy => {
                let mut buffer = [0; 128];
                match self.cache.read(&name(key), &mut buffer).unwrap()? {
                    Read::Copied(len) => Some(Found::Copy(buffer[..len].to_vec())),
                    Read::Truncated(len) => panic!("a value of {len} bytes was never stored"),
                }
            }
            Way::Acquire => self.cache.acquire(&name(key)).unwrap().map(Found::Value),
            Way::Classic => {
                let name = CString::new(name(key)).unwrap();
                // SAFETY: a live handle and a text.
                let result = unsafe { catzilla_cache_get(self.handle.0, name.as_ptr()) };
                result.found.then(|| Found::Classic { data: result.data.cast(), len: result.size })
            }
        }
    }

    /// The version that is stored, if one is.
    fn version(&self, key: u8) -> Option<u8> {
        self.get(Way::Copy, key).map(|found| version(found.bytes(), key))
    }

    /// Looks these keys up one after the other, and everything that was found again and again, as long as it may be looked
    /// at. Says which versions there were.
    fn look(&self, way: Way, keys: &[u8]) -> Vec<Option<u8>> {
        let mut held: VecDeque<(u8, Option<(Found, u8)>)> = VecDeque::new();
        let mut seen = Vec::new();
        let check = |held: &VecDeque<(u8, Option<(Found, u8)>)>| {
            for (key, found) in held {
                if let Some((found, before)) = found {
                    assert_eq!(version(found.bytes(), *key), *before, "a result has changed");
                }
            }
        };
        for key in keys {
            let found = self.get(way, *key).map(|found| {
                let version = version(found.bytes(), *key);
                (found, version)
            });
            seen.push(found.as_ref().map(|(_, version)| *version));
            held.push_back((*key, found));
            if way == Way::Classic && held.len() > CLASSIC_RESULT_LIFETIME + 1 {
                held.pop_front();
            }
            check(&held);
        }
        // Once more after the others have gone on.
        yield_now();
        check(&held);
        seen
    }

    /// When all threads have ended: the books balance to the byte, and nothing is held back.
    fn end(self) {
        self.cache.purge(Purge::All);
        let memory = self.cache.statistics().memory;
        assert_eq!((memory.entries, memory.bytes, memory.index_bytes, memory.lent_bytes), (0, 0, 0, 0));
        // SAFETY: nobody uses the handle any more.
        unsafe { catzilla_cache_destroy(self.handle.0) };
    }
}

/// Whether these states of a key, seen one after the other, can be moments of `history`.
#[track_caller]
fn assert_history(seen: &[Option<u8>], history: &[Option<u8>]) {
    let mut at = 0;
    for state in seen {
        let ahead = history[at..].iter().position(|known| known == state);
        at += ahead.unwrap_or_else(|| panic!("{seen:?} was seen of a key whose history is {history:?}"));
    }
}

/// The key that a reader looks up, and how often.
const KEY: u8 = 0;
const LOOKS: [u8; 3] = [KEY; 3];

/// A race of look-ups of [`KEY`], made in each way and under each policy, with what `writer` does to a cache that holds that
/// key in version 0. `history`: all that is stored under it one after the other.
fn race(set: &'static [(&str, &str)], history: &'static [Option<u8>], writer: fn(&Model)) {
    for policy in POLICIES {
        for way in WAYS {
            explore(&format!("{way:?} {policy} {set:?}"), move || {
                let set: Vec<_> = set.iter().copied().chain([("memory.policy", policy)]).collect();
                let model = Model::open(&set);
                model.put(KEY, 0);
                let (here, there) = (model.clone(), model.clone());
                let writer = spawn(move || writer(&there));
                let reader = spawn(move || here.look(way, &LOOKS));
                assert_history(&reader.join().unwrap(), history);
                writer.join().unwrap();
                let last = *history.last().unwrap();
                assert_eq!(model.version(KEY), last, "what was done last does not hold");
                model.end();
            });
        }
    }
}

#[test]
fn get_beside_overwrite() {
    race(&[("memory.capacity", "2")], &[Some(0), Some(1), Some(2)], |model| {
        model.put(KEY, 1);
        model.put(KEY, 2);
    });
}

#[test]
fn get_beside_delete() {
    race(&[("memory.capacity", "2")], &[Some(0), None, Some(1), None], |model| {
        assert!(model.remove(KEY));
        assert_eq!(model.version(KEY), None);
        model.put(KEY, 1);
        assert!(model.remove(KEY));
        assert!(!model.remove(KEY));
    });
}

/// Also while the put that has stored it is not done.
#[test]
fn a_value_that_was_seen_is_found_again() {
    for way in WAYS {
        explore_more(12, &format!("{way:?}"), move || {
            let model = Model::open(&[("memory.capacity", "2")]);
            model.put(KEY, 0);
            let (here, there) = (model.clone(), model.clone());
            let reader = spawn(move || here.look(way, &LOOKS));
            let writer = spawn(move || {
                assert!(there.remove(KEY));
                there.put(KEY, 1);
            });
            assert_history(&reader.join().unwrap(), &[Some(0), None, Some(1)]);
            writer.join().unwrap();
            model.end();
        });
    }
}

#[test]
fn get_beside_evict() {
    race(&[("memory.capacity", "1")], &[Some(0), None, Some(1), None], |model| {
        model.put(1, 0);
        model.put(KEY, 1);
        model.put(2, 0);
        assert_eq!(model.cache.statistics().memory.entries, 1);
    });
}

#[test]
fn get_beside_expire() {
    race(&[("memory.capacity", "2")], &[Some(0), Some(1), None, Some(2), None], |model| {
        model.put_for(KEY, 1, LIFETIME);
        model.time.advance(2 * LIFETIME);
        model.put_for(KEY, 2, LIFETIME);
        model.time.advance(2 * LIFETIME);
        // Frees it on the way, unless the look-ups have.
        model.put(1, 0);
    });
}

#[test]
fn get_that_puts_off_the_end_beside_expire_and_overwrite() {
    const SLIDING: &[(&str, &str)] = &[("memory.capacity", "2"), ("memory.sliding", "on")];
    race(SLIDING, &[Some(0), Some(1), None, Some(2)], |model| {
        model.put_for(KEY, 1, LIFETIME);
        model.time.advance(LIFETIME / 2);
        model.put(1, 0);
        model.time.advance(3 * LIFETIME);
        model.put(KEY, 2);
    });
}

#[test]
fn get_beside_clear() {
    race(&[("memory.capacity", "3")], &[Some(0), None, Some(1), None], |model| {
        model.put(1, 0);
        assert_eq!(model.cache.purge(Purge::All), 2);
        model.put(KEY, 1);
        assert_eq!(model.cache.purge(Purge::All), 1);
    });
}

#[test]
fn get_beside_a_purge_of_a_prefix() {
    race(&[("memory.capacity", "3")], &[Some(0), None, Some(1)], |model| {
        assert_eq!(model.cache.purge(Purge::Prefix(b"key-a")), 1);
        model.put(KEY, 1);
        assert_eq!(model.cache.purge(Purge::Prefix(b"other")), 0);
    });
}

#[test]
fn get_beside_resize() {
    race(&[("memory.capacity", "3")], &[Some(0), None, Some(1)], |model| {
        model.put(1, 0);
        model.put(2, 0);
        model.remove(KEY);
        model.set_capacity("1");
        assert!(model.cache.statistics().memory.entries <= 1);
        model.put(KEY, 1);
        model.set_capacity("5");
    });
}

/// Compressed values are decompressed while their entry goes.
#[test]
fn get_of_a_compressed_value_beside_overwrite_and_delete() {
    const COMPRESSING: &[(&str, &str)] = &[("memory.capacity", "2"), ("memory.compression", "on")];
    race(COMPRESSING, &[Some(0), Some(1), None, Some(2)], |model| {
        assert_eq!(model.cache.statistics().memory.compressed_puts, 1);
        model.put(KEY, 1);
        assert!(model.remove(KEY));
        model.put(KEY, 2);
    });
}

/// The keys of an index of two buckets that the next put makes larger.
const FULL: u8 = 13;
/// Those that are put then; the move takes one write for each of the old buckets.
const GROWTH: std::ops::Range<u8> = FULL..FULL + 3;
const GROWING: &[(&str, &str)] = &[("memory.shards", "1")];

fn full(set: &[(&str, &str)]) -> Model {
    let model = Model::open(set);
    (0..FULL).for_each(|key| model.put(key, 0));
    model
}

/// Each key stays where it can be found while the index grows beside look-ups, which help.
#[test]
fn get_beside_growth() {
    for way in WAYS {
        for keys in [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 0, 12, 0]] {
            explore(&format!("{way:?} {keys:?}"), move || {
                let model = full(GROWING);
                let (here, there) = (model.clone(), model.clone());
                let reader = spawn(move || here.look(way, &keys));
                let writer = spawn(move || GROWTH.for_each(|key| there.put(key, 0)));
                assert_eq!(reader.join().unwrap(), [Some(0); 4], "a key was not found that was there all the while");
                writer.join().unwrap();
                for key in 0..GROWTH.end {
                    assert_eq!(model.version(key), Some(0));
                }
                model.end();
            });
        }
    }
}

/// As above, with keys that change and go at the same time.
#[test]
fn get_beside_growth_and_overwrite_and_delete() {
    for way in WAYS {
        for key in [0, 5, 7, 12] {
            explore(&format!("{way:?} {key}"), move || {
                let model = full(GROWING);
                let (here, there) = (model.clone(), model.clone());
                let reader = spawn(move || here.look(way, &[key; 3]));
                let writer = spawn(move || {
                    there.put(FULL, 0);
                    there.put(key, 1);
                    there.put(FULL + 1, 0);
                    assert!(there.remove(key));
                    there.put(key, 2);
                });
                assert_history(&reader.join().unwrap(), &[Some(0), Some(1), None, Some(2)]);
                writer.join().unwrap();
                assert_eq!(model.version(key), Some(2));
                model.end();
            });
        }
    }
}

/// Look-ups move what writers have left of a growth, and put the old table away.
#[test]
fn two_readers_help_a_growth_beside_a_writer() {
    explore("", || {
        let model = full(GROWING);
        model.put(FULL, 0);
        let (a, b, there) = (model.clone(), model.clone(), model.clone());
        let readers = [spawn(move || a.look(Way::Copy, &[0, 7])), spawn(move || b.look(Way::Classic, &[12, 1]))];
        let writer = spawn(move || there.put(FULL + 1, 0));
        for seen in join(readers) {
            assert_eq!(seen, [Some(0); 2], "a key was not found that was there all the while");
        }
        writer.join().unwrap();
        model.end();
    });
}

/// An index that grows is cleared under readers that are in both of its tables.
#[test]
fn get_beside_clear_in_the_middle_of_growth() {
    for way in WAYS {
        explore(&format!("{way:?}"), move || {
            let model = full(GROWING);
            let (here, there) = (model.clone(), model.clone());
            let reader = spawn(move || here.look(way, &[12, 12]));
            let writer = spawn(move || {
                there.put(FULL, 0);
                assert_eq!(there.cache.purge(Purge::All), u64::from(FULL) + 1);
                there.put(12, 1);
            });
            assert_history(&reader.join().unwrap(), &[Some(0), None, Some(1)]);
            writer.join().unwrap();
            model.end();
        });
    }
}

/// A capacity is lowered so far that the index shrinks.
#[test]
fn get_beside_an_index_that_shrinks() {
    for way in WAYS {
        explore(&format!("{way:?}"), move || {
            let model = full(GROWING);
            GROWTH.for_each(|key| model.put(key, 0));
            let (here, there) = (model.clone(), model.clone());
            // LRU: the newest stay.
            let last = GROWTH.end - 1;
            let reader = spawn(move || here.look(way, &[last, last, 0]));
            let writer = spawn(move || there.set_capacity("3"));
            assert_eq!(reader.join().unwrap()[..2], [Some(0); 2]);
            writer.join().unwrap();
            assert_eq!(model.cache.statistics().memory.entries, 3);
            model.end();
        });
    }
}

/// A cache of two shards becomes one of one shard, and of two again, while all of its keys are looked up.
#[test]
fn get_beside_the_spread_between_shards() {
    for policy in POLICIES {
        for way in WAYS {
            explore(&format!("{way:?} {policy}"), move || {
                let model = Model::open(&[("memory.capacity", "4100"), ("memory.policy", policy)]);
                (0..4).for_each(|key| model.put(key, 0));
                let (here, there) = (model.clone(), model.clone());
                let reader = spawn(move || here.look(way, &[0, 1, 2, 3]));
                let writer = spawn(move || {
                    there.set_capacity("4000");
                    there.set_capacity("4100");
                });
                assert_eq!(reader.join().unwrap(), [Some(0); 4], "a key was not found that was there all the while");
                writer.join().unwrap();
                model.end();
            });
        }
    }
}

/// What was stored before a purge of its tag is gone after it, while entries move from shard to shard and another with that tag comes and
/// goes.
#[test]
fn a_purge_of_a_tag_beside_the_spread_between_shards_and_other_carriers() {
    fn put_tagged(model: &Model, key: u8) {
        let options = PutOptions { ttl: Ttl::Forever, tags: &[b"tag"], ..PutOptions::default() };
        model.cache.put_with(&name(key), &value(key, 0), &options).unwrap();
    }
    for carriers in [1, 3] {
        explore(&format!("{carriers} carriers"), move || {
            let model = Model::open(&[("memory.capacity", "4100")]);
            (0..carriers).for_each(|key| put_tagged(&model, key));
            model.put(5, 0);
            let (purging, moving, putting) = (model.clone(), model.clone(), model.clone());
            let purge = spawn(move || {
                purging.cache.purge(Purge::Tag(b"tag"));
                assert!((0..carriers).all(|key| purging.version(key).is_none()), "what was there before is there");
            });
            let mover = spawn(move || {
                moving.set_capacity("4000");
                moving.set_capacity("4100");
            });
            let other = spawn(move || {
                put_tagged(&putting, 4);
                putting.remove(4);
            });
            join([purge, mover, other]);
            assert_eq!(model.version(5), Some(0));
            assert_eq!(model.cache.purge(Purge::Tag(b"tag")), 0);
            model.end();
        });
    }
}

/// What makes a schedule that has failed worth keeping, and the seeds worth anything.
#[test]
fn the_same_choices_are_the_same_run() {
    let model = || {
        let model = full(GROWING);
        let (here, there) = (model.clone(), model.clone());
        let reader = spawn(move || here.look(Way::Acquire, &[0, 5, 12]));
        let writer = spawn(move || {
            there.put(FULL, 0);
            there.cache.purge(Purge::Prefix(b"key-a"));
            there.put(0, 1);
        });
        reader.join().unwrap();
        writer.join().unwrap();
        model.end();
    };
    let scheduler = RandomScheduler::new_from_seed(SEED, SCHEDULES);
    Runner::new(UncontrolledNondeterminismCheckScheduler::new(scheduler), config()).run(model);
}

#[test]
fn put_and_delete_beside_the_spread_between_shards() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "4100")]);
        (0..3).for_each(|key| model.put(key, 0));
        let (a, b) = (model.clone(), model.clone());
        let writer = spawn(move || {
            for key in 0..3 {
                a.put(key, 1);
                assert_eq!(a.version(key), Some(1));
            }
            assert!(a.remove(0));
            assert_eq!(a.version(0), None);
        });
        let spread = spawn(move || {
            b.set_capacity("4000");
            b.set_capacity("4100");
        });
        join([writer, spread]);
        assert_eq!((0..3).map(|key| model.version(key)).collect::<Vec<_>>(), [None, Some(1), Some(1)]);
        assert_eq!(model.cache.statistics().memory.entries, 2);
        model.end();
    });
}

/// There are never more entries than the capacity when both a lowered one and the puts beside it are done.
#[test]
fn put_beside_resize() {
    for shards in ["1", "2"] {
        explore(shards, move || {
            let model = Model::open(&[("memory.capacity", "4"), ("memory.shards", shards)]);
            let there = model.clone();
            let writer = spawn(move || (0..4).for_each(|key| there.put(key, 0)));
            model.set_capacity("2");
            writer.join().unwrap();
            assert!(model.cache.statistics().memory.entries <= 2);
            model.end();
        });
    }
}

/// Each thread stores its keys into shards that have room for one entry altogether.
#[test]
fn two_writers_in_two_full_shards() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "1"), ("memory.shards", "2")]);
        let writers = [0, 1].map(|writer| {
            let model = model.clone();
            spawn(move || {
                for key in [writer, 2 + writer, writer] {
                    model.put(key, 0);
                }
            })
        });
        join(writers);
        assert_eq!(model.cache.statistics().memory.entries, 1);
        model.end();
    });
}

/// Values are taken and given back by two threads while the entry goes: the last one frees it, whoever that is.
#[test]
fn acquire_and_release_beside_evict() {
    for policy in POLICIES {
        explore(policy, move || {
            let model = Model::open(&[("memory.capacity", "1"), ("memory.policy", policy)]);
            model.put(KEY, 0);
            let readers = [1, 2].map(|times| {
                let model = model.clone();
                spawn(move || {
                    for _ in 0..times {
                        let seen = model.look(Way::Acquire, &[KEY]);
                        assert!(seen == [Some(0)] || seen == [None]);
                    }
                })
            });
            model.put(1, 0);
            model.put(2, 0);
            join(readers);
            model.end();
        });
    }
}

/// A value is handed to another thread, which drops it after, before or while the cache goes.
#[test]
fn a_value_is_dropped_beside_destroy() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "2")]);
        model.put(KEY, 0);
        let values = [(); 2].map(|()| model.cache.acquire(&name(KEY)).unwrap().unwrap());
        let threads = values.map(|value| spawn(move || assert_eq!(version(&value, KEY), 0)));
        let Model { cache, handle, .. } = model;
        drop(cache);
        // SAFETY: nobody uses the handle any more; values outlive it.
        unsafe { catzilla_cache_destroy(handle.0) };
        join(threads);
    });
}

/// One cache is destroyed, with what was lent of it, while a thread that has used it reads results of another.
#[test]
fn get_beside_destroy_of_another_cache() {
    for way in WAYS {
        explore(&format!("{way:?}"), move || {
            let (model, other) = (Model::open(&[("memory.capacity", "1")]), Model::open(&[("memory.capacity", "1")]));
            model.put(KEY, 0);
            other.put(KEY, 7);
            let (here, there) = (model.clone(), other.clone());
            let reader = spawn(move || {
                assert_eq!(there.version(KEY), Some(7));
                there.get(Way::Classic, KEY).expect("the other cache's result, which is not looked at again");
                drop(there);
                here.look(way, &LOOKS)
            });
            let there = model.clone();
            let writer = spawn(move || there.put(KEY, 1));
            // It goes when the reader has done with it, and this has.
            let Model { cache, handle, .. } = other;
            while Arc::strong_count(&cache) > 2 {
                yield_now();
            }
            drop(cache);
            // SAFETY: nobody uses the handle any more.
            unsafe { catzilla_cache_destroy(handle.0) };
            assert_history(&reader.join().unwrap(), &[Some(0), Some(1)]);
            writer.join().unwrap();
            model.end();
        });
    }
}

/// Threads end with results in their hands, and others take their records over.
#[test]
fn threads_that_end_with_results_beside_overwrite() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "2")]);
        model.put(KEY, 0);
        let there = model.clone();
        let writer = spawn(move || (1..4).for_each(|version| there.put(KEY, version)));
        let mut seen = Vec::new();
        for _ in 0..3 {
            let here = model.clone();
            seen.extend(spawn(move || here.look(Way::Classic, &[KEY])).join().unwrap());
        }
        assert_history(&seen, &[Some(0), Some(1), Some(2), Some(3)]);
        writer.join().unwrap();
        // Of the threads that have ended nothing is lent.
        model.end();
    });
}

/// The first look-up of a thread, while a writer believes itself alone.
#[test]
fn the_first_look_up_of_two_threads_beside_overwrite() {
    for way in WAYS {
        explore(&format!("{way:?}"), move || {
            let model = Model::open(&[("memory.capacity", "2")]);
            model.put(KEY, 0);
            let readers = [(); 2].map(|()| {
                let here = model.clone();
                spawn(move || here.look(way, &[KEY]))
            });
            model.put(KEY, 1);
            for seen in join(readers) {
                assert_history(&seen, &[Some(0), Some(1)]);
            }
            model.end();
        });
    }
}

#[test]
fn sweep_beside_get_and_put_of_the_same_key() {
    for policy in POLICIES {
        for way in WAYS {
            explore(&format!("{way:?} {policy}"), move || {
                let model = Model::open(&[("memory.capacity", "2"), ("memory.policy", policy)]);
                model.put_for(KEY, 0, LIFETIME);
                let (a, b, c) = (model.clone(), model.clone(), model.clone());
                let reader = spawn(move || a.look(way, &[KEY; 2]));
                let writer = spawn(move || {
                    b.put_for(KEY, 1, 3 * LIFETIME);
                    b.put(1, 0);
                });
                let sweeper = spawn(move || {
                    c.time.advance(2 * LIFETIME);
                    c.cache.sweep();
                });
                assert_history(&reader.join().unwrap(), &[Some(0), None, Some(1)]);
                join([writer, sweeper]);
                assert_eq!(model.version(KEY), Some(1), "a sweep has taken what was stored anew");
                model.end();
            });
        }
    }
}

#[test]
fn batches_beside_clear() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "3")]);
        (0..3).for_each(|key| model.put(key, 0));
        let (here, there) = (model.clone(), model.clone());
        let keys: [u8; 3] = [0, 1, 2];
        let batches = spawn(move || {
            let names = keys.map(name);
            for _ in 0..2 {
                let mut buffers = [[0; 128]; 3];
                let mut gets: Vec<_> =
                    names.iter().zip(&mut buffers).map(|(name, buffer)| Get::new(name, buffer)).collect();
                here.cache.get_many(&mut gets);
                for (get, key) in gets.iter().zip(keys) {
                    if let Some(Read::Copied(len)) = get.outcome.as_ref().unwrap() {
                        version(&get.buffer[..*len], key);
                    }
                }
                let values = keys.map(|key| value(key, 1));
                let mut puts: Vec<_> =
                    names.iter().zip(&values).map(|(name, value)| Put::new(name, value, Ttl::Forever)).collect();
                here.cache.put_many(&mut puts);
                assert!(puts.iter().all(|put| put.outcome.is_ok()));
            }
            let mut removes: Vec<_> = names.iter().map(|name| Remove::new(name)).collect();
            here.cache.remove_many(&mut removes);
        });
        let clear = spawn(move || {
            there.cache.purge(Purge::All);
            there.cache.purge(Purge::Prefix(b"key-b"));
        });
        join([batches, clear]);
        assert_eq!(model.cache.statistics().memory.entries, 0);
        model.end();
    });
}

/// Two that expect one version, or absence: one stores. The version stays the winner's.
#[test]
fn compare_and_swap_beside_compare_and_swap() {
    for policy in POLICIES {
        explore(policy, move || {
            let model = Model::open(&[("memory.capacity", "3"), ("memory.policy", policy)]);
            model.put(KEY, 0);
            let seen = model.cache.acquire(&name(KEY)).unwrap().unwrap().version().unwrap();
            let writers = [1, 2].map(|writer| {
                let model = model.clone();
                spawn(move || {
                    let put = |key, condition| {
                        let options =
                            PutOptions { condition, ttl: Ttl::Forever, tell_version: true, ..PutOptions::default() };
                        model.cache.put_with(&name(key), &value(key, writer), &options).unwrap()
                    };
                    (put(KEY, Condition::IfVersion(seen)), put(1, Condition::IfAbsent))
                })
            });
            let outcomes = join(writers);
            let (mut swapped, mut made) = (0, 0);
            for (writer, (swap, make)) in (1..).zip(outcomes) {
                match swap {
                    PutOutcome::Stored(version) => {
                        swapped += 1;
                        let value = model.cache.acquire(&name(KEY)).unwrap().unwrap();
                        assert_eq!((self::version(&value, KEY), value.version()), (writer, Ok(version)));
                        assert_ne!(version, seen);
                    }
                    other => assert_eq!(other, PutOutcome::VersionMismatch),
                }
                match make {
                    PutOutcome::Stored(_) => made += 1,
                    other => assert_eq!(other, PutOutcome::Exists),
                }
            }
            assert_eq!((swapped, made), (1, 1));
            model.end();
        });
    }
}

/// A version that was told stands for the value that was asked, and for no other that comes to its place, or to its memory.
#[test]
fn versions_are_asked_beside_overwrite_and_delete_and_evict() {
    for compression in ["on", "off"] {
        explore(compression, move || {
            let model = Model::open(&[("memory.capacity", "1"), ("memory.compression", compression)]);
            model.put(KEY, 0);
            let there = model.clone();
            let writer = spawn(move || {
                there.put(KEY, 1);
                there.remove(KEY);
                there.put(KEY, 2);
                there.put(1, 0);
                there.put(KEY, 3);
            });
            let readers = [(); 2].map(|()| {
                let here = model.clone();
                spawn(move || {
                    let mut told = Vec::new();
                    for _ in 0..2 {
                        let Some(held) = here.cache.acquire(&name(KEY)).unwrap() else { continue };
                        let (content, first) = (version(&held, KEY), held.version().unwrap());
                        let second = held.version().unwrap();
                        assert!(second == first || second == 0, "a version has changed, or come back");
                        told.push((content, first));
                        told.push((content, second));
                    }
                    told
                })
            });
            let mut told: Vec<_> = join(readers).concat();
            writer.join().unwrap();
            let last = model.cache.acquire(&name(KEY)).unwrap().unwrap();
            told.push((3, last.version().unwrap()));
            told.retain(|(_, version)| *version != 0);
            for (content, version) in &told {
                let same = |(other, number): &(u8, u64)| (other == content) == (number == version);
                assert!(told.iter().all(same), "two values with one version, or one with two: {told:?}");
            }
            drop(last);
            model.end();
        });
    }
}

/// The table of versions follows entries from shard to shard, and goes with a cache under those who ask.
#[test]
fn versions_are_asked_beside_the_spread_between_shards_and_destroy() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "4100")]);
        (0..2).for_each(|key| model.put(key, 0));
        let values = [0, 1].map(|key| model.cache.acquire(&name(key)).unwrap().unwrap());
        let before = values[0].version().unwrap();
        let there = model.clone();
        let spread = spawn(move || {
            there.set_capacity("4000");
            there.set_capacity("4100");
        });
        let asked = values[1].version().unwrap();
        assert_eq!(values[0].version(), Ok(before));
        spread.join().unwrap();
        assert_eq!((values[0].version(), values[1].version()), (Ok(before), Ok(asked)));
        let [first, second] = values;
        drop(second);
        let asking = spawn(move || {
            let version = first.version().unwrap();
            assert!(version == before || version == 0);
        });
        let Model { cache, handle, .. } = model;
        drop(cache);
        // SAFETY: nobody uses the handle any more; values outlive it.
        unsafe { catzilla_cache_destroy(handle.0) };
        asking.join().unwrap();
    });
}

/// An end comes nearer while hits put it off: from the touch on the new lifetime holds.
#[test]
fn touch_beside_get_that_puts_off_the_end() {
    for way in WAYS {
        explore(&format!("{way:?}"), move || {
            let model = Model::open(&[("memory.capacity", "2"), ("memory.sliding", "on")]);
            model.put_for(KEY, 0, 10 * LIFETIME);
            model.time.advance(5 * LIFETIME);
            let (here, there) = (model.clone(), model.clone());
            let reader = spawn(move || here.look(way, &LOOKS));
            let toucher = spawn(move || {
                assert!(there.cache.touch(&name(KEY), Ttl::For(LIFETIME)));
                there.put(1, 0);
            });
            assert_eq!(reader.join().unwrap(), [Some(0); 3]);
            toucher.join().unwrap();
            model.time.advance(2 * LIFETIME);
            assert_eq!(model.version(KEY), None, "a hit has put off what had been brought nearer");
            model.end();
        });
    }
}

/// Two that count, beside one that takes the counter away: each sum is one that these can make.
#[test]
fn increments_beside_each_other_and_delete() {
    explore("", || {
        let model = Model::open(&[("memory.capacity", "2")]);
        let counters = [(); 2].map(|()| {
            let model = model.clone();
            spawn(move || [(); 2].map(|()| model.cache.increment(b"count", 1, 1, Ttl::Forever).unwrap()))
        });
        let remover = model.clone();
        let removed = spawn(move || remover.cache.remove(b"count"));
        let sums: Vec<i64> = join(counters).into_iter().flatten().collect();
        let removed = removed.join().unwrap();
        let ones = sums.iter().filter(|sum| **sum == 1).count();
        let last = model.cache.increment(b"count", 0, 0, Ttl::Forever).unwrap();
        match removed {
            false => assert_eq!((ones, last), (1, 4)),
            true => assert!(last < 4 && (ones == 2 || last == 0), "{sums:?}, then {last}"),
        }
        model.end();
    });
}

/// A walk beside the growth of the index, its shrinking, and the spread between shards: what is there all the while is told.
#[test]
fn a_walk_beside_growth_and_shrinking_and_the_spread() {
    type Writer = fn(&Model);
    let writers: [(&str, &'static [(&str, &str)], u8, Writer); 3] = [
        ("growth", GROWING, FULL, |model| {
            GROWTH.for_each(|key| model.put(key, 0));
            assert!(model.remove(FULL));
        }),
        ("shrinking", &[("memory.shards", "1"), ("memory.capacity", "40")], 20, |model| {
            (20..36).for_each(|key| model.put(key, 0));
            model.cache.purge(Purge::Prefix(b"key-w"));
            // LRU: the newest stay.
            (0..8).for_each(|key| assert_eq!(model.version(key), Some(0)));
            model.set_capacity("10");
        }),
        ("spread", &[("memory.capacity", "4100")], 4, |model| {
            model.set_capacity("4000");
            model.set_capacity("4100");
        }),
    ];
    for (variant, set, keys, writer) in writers {
        explore(variant, move || {
            let model = Model::open(set);
            (0..keys).for_each(|key| model.put(key, 0));
            let (here, there) = (model.clone(), model.clone());
            let walker = spawn(move || {
                let (mut walk, mut told) = (here.cache.keys(b"key-").unwrap(), Vec::new());
                while let Some(key) = walk.next_key().unwrap() {
                    told.push(key[4] - b'a');
                }
                told
            });
            let writer = spawn(move || writer(&there));
            let told = walker.join().unwrap();
            writer.join().unwrap();
            let stay: Vec<u8> = (0..keys).filter(|key| model.version(*key).is_some()).collect();
            assert!(stay.iter().all(|key| told.contains(key)), "{told:?}");
            let twice = stay.iter().any(|key| told.iter().filter(|other| *other == key).count() > 1);
            assert!(!twice || variant == "spread", "{told:?}");
            model.end();
        });
    }
}

/// What a key is loaded from: its version in the outside world.
#[derive(Clone)]
struct World {
    model: Model,
    version: Arc<AtomicU8>,
}

impl World {
    fn new(set: &[(&str, &str)]) -> Self {
        Self { model: Model::open(set), version: Arc::default() }
    }

    fn load(&self) -> u8 {
        let load = || Ok(Some(value(KEY, self.version.load(Ordering::SeqCst))));
        let loaded = self.model.cache.get_or_load(&name(KEY), Ttl::Forever, Duration::MAX, load);
        version(&loaded.unwrap().unwrap(), KEY)
    }
}

/// Two callers beside each of these, which say that the world has changed: what they load may be the old version, but once the
/// change has been told nobody gets it any more, from the cache or from a load that had begun before.
#[test]
fn loads_beside_a_change_of_what_is_loaded() {
    type Tell = fn(&Model);
    let tells: [(&str, Tell); 5] = [
        ("remove", |model| _ = model.remove(KEY)),
        ("put", |model| model.put(KEY, 1)),
        ("put_many", |model| {
            let (name, value) = (name(KEY), value(KEY, 1));
            model.cache.put_many(&mut [Put::new(&name, &value, Ttl::Forever)]);
        }),
        ("purge of all", |model| _ = model.cache.purge(Purge::All)),
        ("purge of a prefix", |model| _ = model.cache.purge(Purge::Prefix(b"key-"))),
    ];
    for (variant, tell) in tells {
        explore(variant, move || {
            let world = World::new(&[("memory.capacity", "2")]);
            let loaders = [(); 2].map(|()| {
                let world = world.clone();
                spawn(move || _ = world.load())
            });
            let there = world.clone();
            let teller = spawn(move || {
                there.version.store(1, Ordering::SeqCst);
                tell(&there.model);
                assert_ne!(there.model.version(KEY), Some(0), "the cache has what the world had before");
                assert_eq!(there.load(), 1, "a load that began before the change was told was joined after it");
            });
            join(loaders);
            teller.join().unwrap();
            assert_eq!(world.model.version(KEY), Some(1));
            world.model.end();
        });
    }
}

/// A leader that gives up beside two callers, who may be waiting for it or not yet: both get a value, and one has loaded it. A
/// wake-up that was lost would leave one of them asleep, which the scheduler notices.
#[test]
fn a_lease_that_is_given_up_beside_two_callers_and_a_remover() {
    for removes in [false, true] {
        explore(if removes { "removed" } else { "" }, move || {
            let world = World::new(&[("memory.capacity", "2")]);
            let there = world.clone();
            let leader = spawn(move || {
                if let Leased::Lease(lease) = there.model.cache.lease(&name(KEY), Duration::ZERO)? {
                    drop(lease);
                }
                Ok::<(), catzilla_cache::Error>(())
            });
            let callers = [(); 2].map(|()| {
                let world = world.clone();
                spawn(move || assert_eq!(world.load(), 0))
            });
            if removes {
                world.model.remove(KEY);
            }
            join(callers);
            // Refused where a caller was loading already.
            let _ = leader.join().unwrap();
            world.model.end();
        });
    }
}

/// Answers are shared by who waited, whatever becomes of the entry.
#[test]
fn an_answer_is_shared_beside_overwrite() {
    for compression in ["on", "off"] {
        explore(compression, move || {
            let world = World::new(&[("memory.capacity", "2"), ("memory.compression", compression)]);
            let callers = [(); 3].map(|()| {
                let world = world.clone();
                spawn(move || world.load())
            });
            world.model.put(1, 0);
            world.model.put(2, 0);
            assert_eq!(join(callers), [0; 3]);
            world.model.end();
        });
    }
}

/// A put that the outside world knows nothing of, and that may have looked for loads before there was one: it stays.
#[test]
fn loads_beside_a_put_of_what_only_the_cache_has() {
    for policy in POLICIES {
        explore(policy, move || {
            let world = World::new(&[("memory.capacity", "2"), ("memory.policy", policy)]);
            let loaders = [(); 2].map(|()| {
                let world = world.clone();
                spawn(move || _ = world.load())
            });
            let there = world.clone();
            let writer = spawn(move || {
                there.model.put(KEY, 1);
                assert_eq!(there.model.look(Way::Copy, &LOOKS), [Some(1); 3], "a put was lost");
            });
            join(loaders);
            writer.join().unwrap();
            assert_eq!(world.model.version(KEY), Some(1), "a put was lost");
            world.model.end();
        });
    }
}

/// Two threads that make entries leave, in every way: each value that was stored is told once, as it was, or still there.
#[test]
fn entries_that_leave_are_told_once() {
    type Writer = fn(&Model);
    let others: [(&str, Writer, &'static [(u8, u8)]); 5] = [
        ("overwrite", |model| (1..3).for_each(|version| model.put(KEY, 10 * version)), &[(KEY, 10), (KEY, 20)]),
        (
            "clear",
            |model| {
                model.put(KEY, 10);
                model.cache.purge(Purge::All);
            },
            &[(KEY, 10)],
        ),
        (
            "prefix",
            |model| {
                model.put(KEY, 10);
                model.cache.purge(Purge::Prefix(b"key-"));
            },
            &[(KEY, 10)],
        ),
        ("resize", |model| model.set_capacity("1"), &[]),
        (
            "expiry",
            |model| {
                model.put_for(KEY, 10, LIFETIME);
                model.time.advance(2 * LIFETIME);
                assert!(model.get(Way::Acquire, 3).is_none());
                model.cache.sweep();
            },
            &[(KEY, 10)],
        ),
    ];
    for (variant, other, puts) in others {
        explore(variant, move || {
            let model = Model::open(&[("memory.capacity", "2")]);
            let told = Arc::new(Mutex::new(Vec::new()));
            let list = told.clone();
            model.cache.set_listener(Some(Arc::new(move |departed: &Departed| {
                let (key, value) = (departed.key()[4] - b'a', departed.value().unwrap());
                // A value that is torn or gone panics, and is then missing.
                let version = version(value, key);
                list.lock().unwrap().push((key, version));
            })));
            model.put(KEY, 0);
            let (here, there) = (model.clone(), model.clone());
            let writers = [
                spawn(move || {
                    here.put(KEY, 1);
                    here.put(1, 2);
                    here.put(2, 3);
                    here.remove(1);
                }),
                spawn(move || other(&there)),
            ];
            join(writers);
            let mut all = std::mem::take(&mut *told.lock().unwrap());
            all.extend((0..3).filter_map(|key| Some((key, model.version(key)?))));
            // The look at what is there may have met something expired.
            all.append(&mut told.lock().unwrap());
            all.sort_unstable();
            let mut stored: Vec<_> = [(KEY, 0), (KEY, 1), (1, 2), (2, 3)].iter().chain(puts).copied().collect();
            stored.sort_unstable();
            assert_eq!(all, stored);
            model.end();
        });
    }
}

/// A listener is taken off, or another put in its place, while threads tell it: then nobody is in it, and nobody comes.
#[test]
fn a_listener_that_was_taken_off_is_in_no_call() {
    for replaced in [false, true] {
        explore(if replaced { "replaced" } else { "taken off" }, move || {
            let model = Model::open(&[("memory.capacity", "1")]);
            let (inside, late, is_off) =
                (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let (in_it, after, off) = (inside.clone(), late.clone(), is_off.clone());
            model.cache.set_listener(Some(Arc::new(move |_: &Departed| {
                in_it.fetch_add(1, Relaxed);
                after.fetch_add(off.load(Relaxed).into(), Relaxed);
                yield_now();
                after.fetch_add(off.load(Relaxed).into(), Relaxed);
                in_it.fetch_sub(1, Relaxed);
            })));
            let writers = [0, 3].map(|first| {
                let model = model.clone();
                spawn(move || (first..first + 3).for_each(|key| model.put(key, 0)))
            });
            model.cache.set_listener(replaced.then(|| Arc::new(|_: &Departed| ()) as _));
            is_off.store(true, Relaxed);
            assert_eq!(inside.load(Relaxed), 0, "somebody is still in it");
            assert_eq!(Arc::strong_count(&inside), 1, "somebody still has it");
            join(writers);
            assert_eq!(late.load(Relaxed), 0, "somebody came after it had been taken off");
            model.end();
        });
    }
}
