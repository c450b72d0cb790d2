//! Loads: one a key at a time, whoever asks; what goes to those who wait; and that no load stores what is out of date.
//!
//! Where a test needs others to be waiting, it asks the statistics, which count a caller before it sleeps.

use catzilla_cache::{
    Cache, Clock, Condition, Error, Lease, Leased, Options, Pattern, Purge, Put, PutOptions, Remove, Status, Ttl, Value,
};
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread::{scope, yield_now, Scope, ScopedJoinHandle};
use std::time::Duration;

const FOREVER: Duration = Duration::MAX;

fn open(options: &[(&str, &str)]) -> Arc<Cache> {
    let mut all = Options::new();
    for (name, text) in [&[("memory.sweep_interval", "off")], options].concat() {
        all.set(name, text).unwrap();
    }
    Cache::open(&all).unwrap()
}

/// Gets or loads, with a loader that answers at once.
fn get(cache: &Cache, key: &[u8], loaded: &[u8]) -> Result<Option<Value>, Error> {
    cache.get_or_load(key, Ttl::Default, FOREVER, || Ok(Some(loaded)))
}

fn lease(cache: &Cache, key: &[u8]) -> Lease {
    match cache.lease(key, Duration::ZERO).unwrap() {
        Leased::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn fulfil(lease: Lease, value: &[u8]) -> Value {
    lease.fulfil(value, &PutOptions::default()).unwrap()
}

/// Returns when that many callers have waited, or are waiting, for somebody else's load.
fn until_waiting(cache: &Cache, callers: u64) {
    while cache.statistics().load_waits < callers {
        yield_now();
    }
}

fn wait_in<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    cache: &'env Cache,
    key: &'env [u8],
    own: &'env [u8],
) -> ScopedJoinHandle<'scope, Result<Option<Value>, Error>> {
    scope.spawn(move || get(cache, key, own))
}

fn stored(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    cache.acquire(key).unwrap().map(|value| value.to_vec())
}

#[test]
fn of_a_hundred_callers_one_loads_and_all_get_the_value() {
    let callers = if cfg!(miri) { 8 } else { 100 };
    let cache = open(&[]);
    let loads = AtomicU32::new(0);
    scope(|scope| {
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                scope.spawn(|| {
                    cache.get_or_load(b"key", Ttl::Default, FOREVER, || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        until_waiting(&cache, callers - 1);
                        Ok(Some("loaded"))
                    })
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(*caller.join().unwrap().unwrap().unwrap(), *b"loaded");
        }
    });
    assert_eq!(loads.into_inner(), 1);
    let figures = cache.statistics();
    assert_eq!((figures.loads, figures.load_failures, figures.load_waits), (1, 0, callers - 1));
    assert_eq!((figures.hits, figures.misses, figures.puts), (0, callers, 1));
    assert_eq!(figures.memory.lent_bytes, 0);
}

#[test]
fn a_value_that_is_there_is_a_hit_and_no_loader_runs() {
    let cache = open(&[]);
    cache.put(b"key", b"there", Ttl::Default).unwrap();
    let value = cache.get_or_load::<&[u8]>(b"key", Ttl::Default, FOREVER, || unreachable!()).unwrap().unwrap();
    assert_eq!(*value, *b"there");
    assert_ne!(value.version().unwrap(), 0);
    let figures = cache.statistics();
    assert_eq!((figures.hits, figures.misses, figures.loads), (1, 0, 0));
}

#[test]
fn the_loaded_value_is_stored_for_its_lifetime() {
    let (clock, time) = Clock::manual();
    let cache = Cache::with_clock(Options::new().set("memory.sweep_interval", "off").unwrap(), clock).unwrap();
    let minute = Ttl::For(Duration::from_secs(60));
    let load = |loaded| cache.get_or_load(b"key", minute, FOREVER, || Ok(Some(loaded))).unwrap().unwrap();
    let value = load("one");
    assert!(value.remaining().unwrap() > Duration::from_secs(59));
    assert_ne!(value.version().unwrap(), 0);
    assert_eq!(*load("two"), *b"one");
    time.advance(Duration::from_secs(61));
    assert_eq!(*load("two"), *b"two");
}

#[test]
fn a_failure_goes_to_all_who_waited_and_is_not_kept() {
    let cache = open(&[]);
    let failing = lease(&cache, b"key");
    scope(|scope| {
        let waiting: Vec<_> = (0..10).map(|_| wait_in(scope, &cache, b"key", b"never asked")).collect();
        until_waiting(&cache, 10);
        failing.fail(Error::load_failed("the server is down"));
        for waiting in waiting {
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!((error.status(), error.message()), (Status::LoadFailed, "the server is down"));
        }
    });
    assert_eq!(*get(&cache, b"key", b"up again").unwrap().unwrap(), *b"up again");
    let figures = cache.statistics();
    assert_eq!((figures.loads, figures.load_failures), (2, 1));
    let own = cache.get_or_load::<&[u8]>(b"other", Ttl::Default, FOREVER, || Err(Error::load_failed("no")));
    assert_eq!(own.unwrap_err(), Error::load_failed("no"));
}

#[test]
fn that_there_is_none_goes_to_all_who_waited_and_is_not_kept() {
    let cache = open(&[]);
    let empty = lease(&cache, b"key");
    scope(|scope| {
        let waiting: Vec<_> = (0..10).map(|_| wait_in(scope, &cache, b"key", b"never asked")).collect();
        until_waiting(&cache, 10);
        empty.not_found();
        for waiting in waiting {
            assert!(waiting.join().unwrap().unwrap().is_none());
        }
    });
    assert!(!cache.contains(b"key"));
    assert_eq!(*get(&cache, b"key", b"made since").unwrap().unwrap(), *b"made since");
    assert_eq!(cache.statistics().load_failures, 0);
}

#[test]
fn a_lease_that_is_given_up_passes_to_the_next_who_waits() {
    let cache = open(&[]);
    let given_up = lease(&cache, b"key");
    scope(|scope| {
        let waiting: Vec<_> = (0..10).map(|_| wait_in(scope, &cache, b"key", b"theirs")).collect();
        until_waiting(&cache, 10);
        drop(given_up);
        for waiting in waiting {
            assert_eq!(*waiting.join().unwrap().unwrap().unwrap(), *b"theirs");
        }
    });
    // The one that was given up, and one more.
    assert_eq!(cache.statistics().loads, 2);
    assert_eq!(stored(&cache, b"key").unwrap(), b"theirs");
}

#[test]
fn a_loader_that_panics_makes_room_for_the_next() {
    let cache = open(&[]);
    scope(|scope| {
        let cache = &cache;
        let (loading, begun) = channel();
        let panicking = scope.spawn(move || {
            let load = || -> Result<Option<&[u8]>, Error> {
                loading.send(()).unwrap();
                until_waiting(cache, 2);
                resume_unwind(Box::new("the loader's own panic"));
            };
            catch_unwind(AssertUnwindSafe(|| cache.get_or_load(b"key", Ttl::Default, FOREVER, load)))
        });
        begun.recv().unwrap();
        let waiting: Vec<_> = (0..2).map(|_| wait_in(scope, cache, b"key", b"theirs")).collect();
        for waiting in waiting {
            assert_eq!(*waiting.join().unwrap().unwrap().unwrap(), *b"theirs");
        }
        let panic = panicking.join().unwrap().unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the loader's own panic"));
    });
    assert_eq!(*get(&cache, b"key", b"not asked").unwrap().unwrap(), *b"theirs");
}

#[test]
fn who_waits_too_long_goes_without_and_the_others_wait_on() {
    let cache = open(&[]);
    let slow = lease(&cache, b"key");
    scope(|scope| {
        let patient = wait_in(scope, &cache, b"key", b"never asked");
        let impatient = scope
            .spawn(|| cache.get_or_load::<&[u8]>(b"key", Ttl::Default, Duration::from_millis(5), || unreachable!()));
        let error = impatient.join().unwrap().unwrap_err();
        assert_eq!(error.status(), Status::TimedOut);
        until_waiting(&cache, 2);
        fulfil(slow, b"at last");
        assert_eq!(*patient.join().unwrap().unwrap().unwrap(), *b"at last");
    });
    assert_eq!(stored(&cache, b"key").unwrap(), b"at last");
}

#[test]
fn without_patience_nobody_waits() {
    let cache = open(&[]);
    let slow = lease(&cache, b"key");
    scope(|scope| {
        let other = scope.spawn(|| cache.lease(b"key", Duration::ZERO).map(|_| ()).unwrap_err());
        assert_eq!(other.join().unwrap().status(), Status::TimedOut);
    });
    assert_eq!(cache.statistics().load_waits, 0);
    // Other keys are free.
    drop(lease(&cache, b"another key"));
    drop(slow);
    drop(lease(&cache, b"key"));
}

type Write = fn(&Cache);

/// Every call after which an older load must not be stored, and what the key holds then.
const WRITES: [(&str, Write, Option<&[u8]>); 11] = [
    ("put", |cache| cache.put(b"page:1", b"new", Ttl::Default).unwrap(), Some(b"new")),
    (
        "put_with",
        |cache| {
            let absent = PutOptions { condition: Condition::IfAbsent, ..PutOptions::default() };
            cache.put_with(b"page:1", b"new", &absent).unwrap();
        },
        Some(b"new"),
    ),
    ("increment", |cache| _ = cache.increment(b"page:1", 1, 5, Ttl::Default).unwrap(), Some(b"5")),
    ("put_many", |cache| cache.put_many(&mut [Put::new(b"page:1", b"new", Ttl::Default)]), Some(b"new")),
    ("remove", |cache| assert!(!cache.remove(b"page:1")), None),
    ("remove_many", |cache| cache.remove_many(&mut [Remove::new(b"page:1")]), None),
    ("purge of all", |cache| _ = cache.purge(Purge::All), None),
    ("purge of a prefix", |cache| _ = cache.purge(Purge::Prefix(b"page:")), None),
    ("purge of a pattern", |cache| _ = cache.purge(Purge::Pattern(&Pattern::new(b"p*:?").unwrap())), None),
    ("purge of a tag", |cache| _ = cache.purge(Purge::Tag(b"any")), None),
    (
        "put that is gone again",
        |cache| {
            cache.put(b"page:1", b"new", Ttl::Default).unwrap();
            assert!(cache.remove(b"page:1"));
        },
        None,
    ),
];

#[test]
fn what_was_loaded_before_a_write_is_given_to_its_callers_and_not_stored() {
    for (name, write, left) in WRITES {
        let cache = open(&[]);
        let outdated = lease(&cache, b"page:1");
        scope(|scope| {
            let waiting = wait_in(scope, &cache, b"page:1", b"never asked");
            until_waiting(&cache, 1);
            write(&cache);
            assert_eq!(*fulfil(outdated, b"old"), *b"old", "{name}");
            assert_eq!(*waiting.join().unwrap().unwrap().unwrap(), *b"old", "{name}");
        });
        assert_eq!(stored(&cache, b"page:1").as_deref(), left, "{name}");
        assert_eq!(cache.statistics().memory.lent_bytes, 0);
    }
}

#[test]
fn who_calls_after_a_write_loads_anew_while_the_older_load_goes_on() {
    let cache = open(&[]);
    let old = lease(&cache, b"key");
    cache.remove(b"key");
    let new = lease(&cache, b"key");
    scope(|scope| {
        let waiting = wait_in(scope, &cache, b"key", b"never asked");
        until_waiting(&cache, 1);
        assert_eq!(*fulfil(old, b"old"), *b"old");
        assert!(!waiting.is_finished() && !cache.contains(b"key"));
        assert_eq!(*fulfil(new, b"new"), *b"new");
        assert_eq!(*waiting.join().unwrap().unwrap().unwrap(), *b"new");
    });
    assert_eq!(stored(&cache, b"key").unwrap(), b"new");
}

#[test]
fn an_outdated_lease_that_is_given_up_sends_its_waiters_to_look_again() {
    let cache = open(&[]);
    let old = lease(&cache, b"key");
    scope(|scope| {
        let waiting: Vec<_> = (0..5).map(|_| wait_in(scope, &cache, b"key", b"never asked")).collect();
        until_waiting(&cache, 5);
        cache.put(b"key", b"put", Ttl::Default).unwrap();
        drop(old);
        for waiting in waiting {
            assert_eq!(*waiting.join().unwrap().unwrap().unwrap(), *b"put");
        }
    });
    assert_eq!(cache.statistics().loads, 1);
}

#[test]
fn writes_of_other_keys_and_touches_leave_a_load_alone() {
    let cache = open(&[]);
    let loading = lease(&cache, b"page:1");
    cache.put(b"page:2", b"", Ttl::Default).unwrap();
    cache.remove(b"page:");
    cache.purge(Purge::Prefix(b"page:1:"));
    cache.purge(Purge::Pattern(&Pattern::new(b"*:2").unwrap()));
    assert!(!cache.touch(b"page:1", Ttl::Forever));
    cache.set_option("memory.capacity", "7").unwrap();
    fulfil(loading, b"loaded");
    assert_eq!(stored(&cache, b"page:1").unwrap(), b"loaded");
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_refused_and_not_stuck() {
    let cache = open(&[]);
    let inner = Cell::new(None);
    let outer = cache.get_or_load(b"key", Ttl::Default, FOREVER, || {
        inner.set(Some(get(&cache, b"key", b"inner").unwrap_err()));
        Ok(Some("outer"))
    });
    assert_eq!(*outer.unwrap().unwrap(), *b"outer");
    assert_eq!(inner.take().unwrap().status(), Status::LoadReentered);
    let held = lease(&cache, b"held");
    assert_eq!(cache.lease(b"held", FOREVER).unwrap_err().status(), Status::LoadReentered);
    drop(held);
    drop(lease(&cache, b"held"));
}

#[test]
fn a_loader_may_use_the_cache_and_load_other_keys() {
    let cache = open(&[]);
    let value = cache.get_or_load(b"outer", Ttl::Default, FOREVER, || {
        let inner = get(&cache, b"inner", b"one").unwrap().unwrap();
        cache.put(b"outer", b"from within", Ttl::Default).unwrap();
        cache.purge(Purge::Prefix(b"nothing"));
        cache.statistics();
        Ok(Some([&*inner, b", two"].concat()))
    });
    assert_eq!(*value.unwrap().unwrap(), *b"one, two");
    // Its own write came after the load had begun.
    assert_eq!(stored(&cache, b"outer").unwrap(), b"from within");
    assert_eq!(stored(&cache, b"inner").unwrap(), b"one");
}

/// Whether the cache keeps it or not, plain or compressed, of whatever length: everybody gets the value.
#[test]
fn what_the_cache_does_not_keep_its_callers_get() {
    let large: Vec<u8> = (0..300_000_u32).map(|i| (i / 100) as u8).collect();
    let refusing: [&[(&str, &str)]; 3] =
        [&[("memory.max_value_size", "1000")], &[("memory.max_bytes", "64KiB")], &[("memory.max_bytes", "600KiB")]];
    let keeping: [&[(&str, &str)]; 3] =
        [&[], &[("memory.compression", "off")], &[("memory.capacity", "1"), ("memory.jemalloc", "off")]];
    for (options, is_kept) in refusing.map(|o| (o, false)).into_iter().chain(keeping.map(|o| (o, true))) {
        let options = if is_kept { options.to_vec() } else { [options, &[("memory.compression", "off")]].concat() };
        let cache = open(&options);
        if !is_kept {
            // So that what is too heavy would drive something out.
            (0..400_u32).for_each(|key| cache.put(&key.to_le_bytes(), &large[..1000], Ttl::Default).unwrap());
        }
        let loading = lease(&cache, b"key");
        let values = scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| wait_in(scope, &cache, b"key", b"never asked")).collect();
            until_waiting(&cache, 3);
            let mut values = vec![fulfil(loading, &large)];
            values.extend(waiting.into_iter().map(|waiting| waiting.join().unwrap().unwrap().unwrap()));
            values
        });
        assert_eq!(cache.contains(b"key"), is_kept, "{options:?}");
        assert!(values.iter().all(|value| **value == large), "{options:?}");
        assert!(values.iter().all(|value| value.as_ptr().addr() % 16 == 0));
        let version = values[0].version().unwrap();
        assert!(is_kept == (version != 0) && values.iter().all(|value| value.version() == Ok(version)));
        assert!(values.iter().all(|value| value.remaining().is_some()));
        cache.purge(Purge::All);
        assert!(cache.statistics().memory.lent_bytes >= large.len() as u64 / 10);
        drop(values);
        assert_eq!(cache.statistics().memory.lent_bytes, 0, "{options:?}");
    }
}

#[test]
fn a_loaded_value_outlives_its_cache() {
    for (options, kept) in [(&[][..], true), (&[("memory.max_value_size", "1")], false)] {
        let cache = open(options);
        let value = get(&cache, b"key", b"outlives").unwrap().unwrap();
        assert_eq!(cache.contains(b"key"), kept);
        drop(cache);
        assert_eq!((&*value, value.version()), (&b"outlives"[..], Ok(0)));
    }
}

#[test]
fn an_empty_value_and_an_empty_key_are_loaded_like_others() {
    let cache = open(&[]);
    assert_eq!(*get(&cache, b"", b"").unwrap().unwrap(), *b"");
    assert_eq!(stored(&cache, b"").unwrap(), b"");
    let too_long = vec![0; catzilla_cache::MAX_KEY_LEN + 1];
    assert_eq!(get(&cache, &too_long, b"").unwrap_err().status(), Status::KeyTooLarge);
}

#[test]
fn a_lease_may_end_on_another_thread_and_after_its_cache() {
    let cache = open(&[]);
    let moved = lease(&cache, b"key");
    scope(|scope| {
        scope.spawn(|| fulfil(moved, b"from there"));
    });
    assert_eq!(stored(&cache, b"key").unwrap(), b"from there");
    let leases = [b"a", b"b", b"c", b"d"].map(|key| lease(&cache, key));
    assert_eq!(leases[1].key(), b"b");
    drop(cache);
    let [given_up, failed, empty, fulfilled] = leases;
    drop(given_up);
    failed.fail(Error::load_failed("nobody hears it"));
    empty.not_found();
    assert_eq!(fulfilled.fulfil(b"", &PutOptions::default()).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn a_lease_is_fulfilled_with_tags_that_the_entry_can_be_purged_by() {
    let cache = open(&[]);
    let options = PutOptions { tags: &[b"red"], ttl: Ttl::Forever, ..PutOptions::default() };
    assert_eq!(lease(&cache, b"key").fulfil(b"value", &options).unwrap().remaining(), None);
    assert_eq!(cache.purge(Purge::Tag(b"red")), 1);
    // What cannot be stored at all passes the lease on.
    let too_long = [0; catzilla_cache::MAX_TAG_LEN + 1];
    let refused = lease(&cache, b"key").fulfil(b"", &PutOptions { tags: &[&too_long], ..options });
    assert_eq!(refused.unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(*get(&cache, b"key", b"again").unwrap().unwrap(), *b"again");
}

/// Writers know the newest version before they touch the cache, and a reader never finds an older one once a writer is done.
#[test]
fn no_older_value_is_found_after_a_write() {
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    let cache = open(&[("memory.capacity", "100")]);
    // The outside world: written without any order of its own.
    let world = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    scope(|scope| {
        let (cache, world, done) = (&cache, &world, &done);
        let writer = scope.spawn(move || {
            for version in 1..=rounds {
                world.store(version, Ordering::Relaxed);
                if version % 2 == 0 {
                    cache.remove(b"key");
                } else {
                    cache.put(b"key", &version.to_le_bytes(), Ttl::Default).unwrap();
                }
                if let Some(found) = cache.acquire(b"key").unwrap() {
                    let found = u32::from_le_bytes((*found).try_into().unwrap());
                    assert_eq!(found, version, "older than what was written last");
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let load = || Ok(Some(world.load(Ordering::Relaxed).to_le_bytes()));
                    let found = cache.get_or_load(b"key", Ttl::Default, FOREVER, load).unwrap().unwrap();
                    assert!(u32::from_le_bytes((*found).try_into().unwrap()) <= rounds);
                }
            });
        }
        let written = writer.join();
        done.store(true, Ordering::Relaxed);
        written.unwrap();
    });
    assert_eq!(cache.statistics().memory.lent_bytes, 0);
}
