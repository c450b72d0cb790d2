//! A tiny cache that models run on, the ways to look something up in it, and what may be seen of a key with one writer.

use crate::schedules::{explore, name, value, version};
use catzilla_cache::ffi::cache::{catzilla_cache_t, into_handle};
use catzilla_cache::ffi::classic::{catzilla_cache_destroy, catzilla_cache_get};
use catzilla_cache::{Cache, Clock, ManualTime, Options, Purge, Read, Ttl, Value, CLASSIC_RESULT_LIFETIME};
use shuttle::thread::{spawn, yield_now};
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

/// How a look-up is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Copy,
    Acquire,
    Classic,
}

pub(crate) const WAYS: [Way; 3] = [Way::Copy, Way::Acquire, Way::Classic];
pub(crate) const POLICIES: [&str; 5] = ["lru", "s3fifo", "adaptive", "w-tinylfu", "lru-lfu"];

/// What a look-up has found, which has to stay as it was.
pub(crate) enum Found {
    Copy(Vec<u8>),
    Value(Value),
    Classic { data: *const u8, len: usize },
}

impl Found {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Found::Copy(bytes) => bytes,
            Found::Value(value) => value,
            // SAFETY: the models look at it within its lifetime only, which is what is being checked.
            Found::Classic { data, len } => unsafe { std::slice::from_raw_parts(*data, *len) },
        }
    }
}

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) cache: Arc<Cache>,
    pub(crate) handle: Handle,
    pub(crate) time: ManualTime,
}

#[derive(Clone, Copy)]
pub(crate) struct Handle(pub(crate) *mut catzilla_cache_t);

// SAFETY: a handle may be used by any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

pub(crate) const LIFETIME: Duration = Duration::from_secs(10);

impl Model {
    pub(crate) fn open(set: &[(&str, &str)]) -> Self {
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

    pub(crate) fn put(&self, key: u8, version: u8) {
        self.cache.put(&name(key), &value(key, version), Ttl::Forever).unwrap();
    }

    pub(crate) fn put_for(&self, key: u8, version: u8, lifetime: Duration) {
        self.cache.put(&name(key), &value(key, version), Ttl::For(lifetime)).unwrap();
    }

    pub(crate) fn remove(&self, key: u8) -> bool {
        self.cache.remove(&name(key))
    }

    pub(crate) fn set_capacity(&self, capacity: &str) {
        self.cache.set_option("memory.capacity", capacity).unwrap();
    }

    pub(crate) fn get(&self, way: Way, key: u8) -> Option<Found> {
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
    pub(crate) fn version(&self, key: u8) -> Option<u8> {
        self.get(Way::Copy, key).map(|found| version(found.bytes(), key))
    }

    /// Looks these keys up one after the other, and everything that was found again and again, as long as it may be looked
    /// at. Says which versions there were.
    pub(crate) fn look(&self, way: Way, keys: &[u8]) -> Vec<Option<u8>> {
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
    pub(crate) fn end(self) {
        self.cache.purge(Purge::All);
        let memory = self.cache.statistics().memory;
        assert_eq!((memory.entries, memory.bytes, memory.index_bytes, memory.lent_bytes), (0, 0, 0, 0));
        // SAFETY: nobody uses the handle any more.
        unsafe { catzilla_cache_destroy(self.handle.0) };
    }
}

/// Whether these states of a key, seen one after the other, can be moments of `history`.
#[track_caller]
pub(crate) fn assert_history(seen: &[Option<u8>], history: &[Option<u8>]) {
    let mut at = 0;
    for state in seen {
        let ahead = history[at..].iter().position(|known| known == state);
        at += ahead.unwrap_or_else(|| panic!("{seen:?} was seen of a key whose history is {history:?}"));
    }
}

/// The key that a reader looks up, and how often.
pub(crate) const KEY: u8 = 0;
pub(crate) const LOOKS: [u8; 3] = [KEY; 3];

/// A race of look-ups of [`KEY`], made in each way and under each policy, with what `writer` does to a cache that holds that
/// key in version 0. `history`: all that is stored under it one after the other.
pub(crate) fn race(set: &'static [(&str, &str)], history: &'static [Option<u8>], writer: fn(&Model)) {
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
