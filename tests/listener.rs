//! A listener is told of every entry that leaves, once, with what it was and why it left, outside all locks.

use catzilla_cache::{
    Cache, Cause, Clock, Condition, Departed, Get, Listener, ManualTime, Options, Pattern, Purge, Put, PutOptions,
    Remove, Ttl,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{mpsc, Arc, Barrier, Mutex, Weak};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn open(set: &[(&str, &str)]) -> (Arc<Cache>, ManualTime) {
    let mut options = Options::new();
    for (name, text) in [("memory.sweep_interval", "off"), ("memory.policy", "lru")].iter().chain(set) {
        options.set(name, text).unwrap();
    }
    let (clock, time) = Clock::manual();
    (Cache::with_clock(&options, clock).unwrap(), time)
}

/// What was told, in its order.
type Told = Arc<Mutex<Vec<(Vec<u8>, Vec<u8>, Cause)>>>;

fn listen(cache: &Cache) -> Told {
    let told = Told::default();
    let list = told.clone();
    cache.set_listener(Some(Arc::new(move |departed: &Departed| {
        let value = departed.value().unwrap();
        assert_eq!(value.len(), departed.value_len());
        list.lock().unwrap().push((departed.key().to_vec(), value.to_vec(), departed.cause()));
    })));
    told
}

fn take(told: &Told) -> Vec<(String, Cause)> {
    let told = std::mem::take(&mut *told.lock().unwrap());
    told.into_iter().map(|(key, _, cause)| (String::from_utf8(key).unwrap(), cause)).collect()
}

fn one(key: &str, cause: Cause) -> Vec<(String, Cause)> {
    vec![(key.to_owned(), cause)]
}

fn put(cache: &Cache, key: &str) {
    cache.put(key.as_bytes(), key.as_bytes(), Ttl::Forever).unwrap();
}

/// Nothing is held for the listener any more.
#[track_caller]
fn assert_settled(cache: &Cache) {
    let memory = cache.statistics().memory;
    assert_eq!((memory.lent_bytes, memory.untold_departures), (0, 0));
}

#[test]
fn every_way_out_is_told_with_its_cause() {
    let (cache, time) = open(&[("memory.capacity", "2")]);
    let told = listen(&cache);
    put(&cache, "a");
    put(&cache, "b");
    assert_eq!(take(&told), []);
    put(&cache, "c");
    assert_eq!(take(&told), one("a", Cause::Evicted));
    put(&cache, "c");
    assert_eq!(take(&told), one("c", Cause::Replaced));
    assert!(cache.remove(b"c"));
    assert_eq!(take(&told), one("c", Cause::Removed));
    assert!(!cache.remove(b"c"));
    assert_eq!(cache.purge(Purge::Prefix(b"b")), 1);
    assert_eq!(take(&told), one("b", Cause::Purged));
    put(&cache, "dear");
    assert_eq!(cache.purge(Purge::Pattern(&Pattern::new(b"d*r").unwrap())), 1);
    assert_eq!(take(&told), one("dear", Cause::Purged));
    put(&cache, "d");
    assert_eq!(cache.purge(Purge::All), 1);
    assert_eq!(take(&told), one("d", Cause::Purged));
    let tagged = PutOptions { tags: &[b"tag"], ..PutOptions::default() };
    cache.put_with(b"e", b"", &tagged).unwrap();
    assert_eq!(cache.purge(Purge::Tag(b"tag")), 1);
    assert_eq!(take(&told), one("e", Cause::Purged));
    cache.put(b"f", b"", Ttl::For(SECOND)).unwrap();
    time.advance(2 * SECOND);
    assert_eq!(cache.sweep(), 1);
    assert_eq!(take(&told), one("f", Cause::Expired));
    assert_settled(&cache);
}

#[test]
fn what_a_call_meets_expired_is_told_by_that_call() {
    let (cache, time) = open(&[("memory.capacity", "10")]);
    let told = listen(&cache);
    type Meets = fn(&Cache);
    let meets: [(&str, Meets); 9] = [
        ("read", |cache| assert_eq!(cache.read(b"key", &mut []), Ok(None))),
        ("acquire", |cache| assert!(cache.acquire(b"key").unwrap().is_none())),
        ("remove", |cache| assert!(!cache.remove(b"key"))),
        ("touch", |cache| assert!(!cache.touch(b"key", Ttl::Forever))),
        ("get_many", |cache| cache.get_many(&mut [Get::new(b"key", &mut [])])),
        ("remove_many", |cache| cache.remove_many(&mut [Remove { key: b"key", removed: false }])),
        ("put of another", |cache| put(cache, "other")),
        ("purge", |cache| assert_eq!(cache.purge(Purge::Prefix(b"key")), 0)),
        ("put_with", |cache| {
            let options = PutOptions { condition: Condition::IfPresent, ..PutOptions::default() };
            cache.put_with(b"key", b"", &options).unwrap();
        }),
    ];
    for (name, meet) in meets {
        cache.put(b"key", b"value", Ttl::For(SECOND)).unwrap();
        time.advance(2 * SECOND);
        meet(&cache);
        assert_eq!(take(&told), one("key", Cause::Expired), "{name}");
    }
    assert_settled(&cache);
}

#[test]
fn values_are_told_as_they_were_also_compressed_ones() {
    let (cache, _time) = open(&[("memory.capacity", "2"), ("memory.compression_threshold", "64")]);
    let told = listen(&cache);
    let values: Vec<Vec<u8>> = (0..20_u8).map(|i| vec![i; 100 * usize::from(i)]).collect();
    for value in &values {
        cache.put(b"key", value, Ttl::Forever).unwrap();
    }
    assert!(cache.statistics().memory.compressed_puts > 10);
    let told: Vec<Vec<u8>> = told.lock().unwrap().iter().map(|(_, value, _)| value.clone()).collect();
    assert_eq!(told, values[..19]);
    assert_settled(&cache);
}

#[test]
fn counters_and_conditions_tell_what_they_replace() {
    let (cache, _time) = open(&[("memory.capacity", "2")]);
    let told = listen(&cache);
    for _ in 0..3 {
        cache.increment(b"count", 1, 1, Ttl::Default).unwrap();
    }
    let told: Vec<_> = std::mem::take(&mut *told.lock().unwrap());
    let key = b"count".to_vec();
    assert_eq!(told, [(key.clone(), b"1".to_vec(), Cause::Replaced), (key, b"2".to_vec(), Cause::Replaced)]);
    let told = listen(&cache);
    let options = PutOptions { condition: Condition::IfAbsent, ..PutOptions::default() };
    cache.put_with(b"count", b"", &options).unwrap();
    assert_eq!(take(&told), []);
    let options = PutOptions { condition: Condition::IfPresent, ..PutOptions::default() };
    cache.put_with(b"count", b"", &options).unwrap();
    assert_eq!(take(&told), one("count", Cause::Replaced));
}

#[test]
fn a_value_that_is_too_heavy_to_be_kept_is_told_beside_the_one_it_would_have_replaced() {
    let (cache, _time) =
        open(&[("memory.capacity", "unlimited"), ("memory.max_bytes", "64KiB"), ("memory.compression", "off")]);
    (0..300).for_each(|i| put(&cache, &format!("{i:0200}")));
    put(&cache, "heavy");
    let told = listen(&cache);
    cache.put(b"heavy", &[7; 40 << 10], Ttl::Forever).unwrap();
    assert!(!cache.contains(b"heavy"));
    {
        let told = told.lock().unwrap();
        assert_eq!(told[0], (b"heavy".to_vec(), b"heavy".to_vec(), Cause::Evicted));
        assert_eq!(told[1], (b"heavy".to_vec(), vec![7; 40 << 10], Cause::Evicted));
        assert_eq!(told.len(), 2);
    }
    // The second time it drives others out.
    cache.put(b"heavy", &[7; 40 << 10], Ttl::Forever).unwrap();
    assert!(cache.contains(b"heavy"));
    assert!(told.lock().unwrap().len() > 50);
    assert_settled(&cache);
}

#[test]
fn a_smaller_capacity_fewer_bytes_and_another_policy_tell_what_goes() {
    let (cache, _time) = open(&[("memory.capacity", "20000")]);
    let keys: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    keys.iter().for_each(|key| put(&cache, key));
    let told = listen(&cache);
    // From many shards into one.
    cache.set_option("memory.capacity", "3000").unwrap();
    let resized = take(&told);
    assert_eq!(resized.len() as u64 + cache.statistics().memory.entries, 10_000);
    cache.set_option("memory.policy", "s3fifo").unwrap();
    assert_eq!(take(&told), []);
    cache.set_option("memory.max_bytes", "64KiB").unwrap();
    let shed = take(&told);
    assert!(shed.len() > 500);
    let gone: HashMap<_, _> = resized.into_iter().chain(shed).collect();
    assert!(gone.values().all(|cause| *cause == Cause::Evicted));
    assert_eq!(gone.len() as u64 + cache.statistics().memory.entries, 10_000);
    assert!(keys.iter().all(|key| gone.contains_key(key) != cache.contains(key.as_bytes())));
    assert_settled(&cache);
}

/// The memory of what waits is bounded: no more of it than a step takes out, of a hundred thousand entries.
#[test]
fn calls_that_take_out_many_tell_them_on_the_way() {
    type Call = fn(&Cache, &ManualTime);
    let calls: [(&str, Call); 5] = [
        ("clear", |cache, _| _ = cache.purge(Purge::All)),
        ("prefix", |cache, _| _ = cache.purge(Purge::Prefix(b""))),
        ("sweep", |cache, time| {
            time.advance(2 * SECOND);
            cache.sweep();
        }),
        ("capacity", |cache, _| cache.set_option("memory.capacity", "1").unwrap()),
        ("bytes", |cache, _| cache.set_option("memory.max_bytes", "2MiB").unwrap()),
    ];
    let count: u64 = if cfg!(miri) { 2_000 } else { 50_000 };
    for (name, call) in calls {
        let (cache, time) = open(&[("memory.capacity", "unlimited")]);
        for i in 0..count {
            cache.put(&i.to_le_bytes(), &[0; 100], Ttl::For(SECOND)).unwrap();
        }
        let size = cache.memory_usage() / count;
        let (most, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (high, counter, weak) = (most.clone(), told.clone(), Arc::downgrade(&cache));
        cache.set_listener(Some(Arc::new(move |_: &Departed| {
            // Each look costs as much as a few hundred entries.
            if counter.fetch_add(1, Relaxed) % 997 == 0 {
                high.fetch_max(weak.upgrade().unwrap().statistics().memory.lent_bytes, Relaxed);
            }
        })));
        call(&cache, &time);
        let entries = cache.statistics().memory.entries;
        assert_eq!(told.load(Relaxed) + entries, count, "{name}");
        assert!(cfg!(miri) || entries < count / 2, "{name}");
        // What is retired anyway is bounded by some thousand entries, beside what waits here.
        assert!(most.load(Relaxed) < 12_000 * size, "{name}: {} bytes of {size} an entry", most.load(Relaxed));
        assert_settled(&cache);
    }
}

#[test]
fn what_the_listener_makes_leave_is_told_after_it_has_returned() {
    let (cache, _time) = open(&[("memory.capacity", "10")]);
    let (depth, deepest, told) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (weak, most, count) = (Arc::downgrade(&cache), deepest.clone(), told.clone());
    cache.set_listener(Some(Arc::new(move |departed: &Departed| {
        most.fetch_max(depth.fetch_add(1, Relaxed) + 1, Relaxed);
        let number = count.fetch_add(1, Relaxed);
        let cache = weak.upgrade().unwrap();
        // Each departure makes the next: the put evicts one, until the last is cleared with all others.
        match number {
            0..1_000 => cache.put(format!("new {number}").as_bytes(), departed.key(), Ttl::Forever).unwrap(),
            1_000 => assert_eq!(cache.purge(Purge::All), 10),
            _ => {}
        }
        depth.fetch_sub(1, Relaxed);
    })));
    (0..11).for_each(|i| put(&cache, &i.to_string()));
    assert_eq!(deepest.load(Relaxed), 1);
    assert_eq!(told.load(Relaxed), 1_011);
    assert_settled(&cache);
}

#[test]
fn the_listener_may_change_options_purge_and_take_itself_off() {
    let (cache, _time) = open(&[("memory.capacity", "100")]);
    (0..100).for_each(|i| put(&cache, &i.to_string()));
    let told = Arc::new(AtomicUsize::new(0));
    let (weak, count) = (Arc::downgrade(&cache), told.clone());
    cache.set_listener(Some(Arc::new(move |_: &Departed| {
        let cache = weak.upgrade().unwrap();
        match count.fetch_add(1, Relaxed) {
            0 => cache.set_option("memory.capacity", "50").unwrap(),
            60 => {
                cache.purge(Purge::All);
            }
            70 => cache.set_listener(None),
            _ => {}
        }
    })));
    cache.set_option("memory.capacity", "90").unwrap();
    (0..20).for_each(|i| put(&cache, &format!("more {i}")));
    assert_eq!(told.load(Relaxed), 71);
    assert_settled(&cache);
}

#[test]
fn a_listener_that_panics_is_caught_and_the_next_entry_is_told() {
    let (cache, _time) = open(&[("memory.capacity", "10")]);
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    cache.set_listener(Some(Arc::new(move |_: &Departed| {
        if count.fetch_add(1, Relaxed).is_multiple_of(2) {
            panic!("a listener's own");
        }
    })));
    (0..10).for_each(|i| put(&cache, &i.to_string()));
    assert_eq!(cache.purge(Purge::All), 10);
    assert_eq!(told.load(Relaxed), 10);
    assert_settled(&cache);
}

#[test]
fn dropping_the_cache_tells_nothing() {
    for jemalloc in ["on", "off"] {
        let (cache, _time) = open(&[("memory.capacity", "10"), ("memory.jemalloc", jemalloc)]);
        let told = listen(&cache);
        (0..10).for_each(|i| put(&cache, &i.to_string()));
        drop(cache);
        assert_eq!(take(&told), []);
        assert_eq!(Arc::strong_count(&told), 1, "the listener goes with the cache");
    }
}

#[test]
fn without_a_listener_nothing_is_kept_and_a_late_one_hears_only_what_follows() {
    let (cache, _time) = open(&[("memory.capacity", "5")]);
    (0..10).for_each(|i| put(&cache, &i.to_string()));
    let told = listen(&cache);
    put(&cache, "10");
    cache.set_listener(None);
    put(&cache, "11");
    assert_eq!(take(&told), one("5", Cause::Evicted));
    assert_eq!(Arc::strong_count(&told), 1);
    assert_settled(&cache);
}

/// Several threads on few keys, in every way; each value has a number of its own.
#[test]
fn under_threads_every_value_that_was_stored_is_told_once_or_still_there() {
    const THREADS: u64 = 4;
    let rounds: u64 = if cfg!(miri) { 60 } else { 20_000 };
    for set in [&[("memory.capacity", "40")][..], &[("memory.capacity", "8000"), ("memory.max_bytes", "100KiB")]] {
        let (cache, time) = open(set);
        let told: Arc<Vec<AtomicU64>> = Arc::new((0..THREADS * rounds).map(|_| AtomicU64::new(0)).collect());
        let list = told.clone();
        let number = |value: &[u8]| u64::from_le_bytes(value[..8].try_into().unwrap()) as usize;
        cache.set_listener(Some(Arc::new(move |departed: &Departed| {
            list[number(departed.value().unwrap())].fetch_add(1, Relaxed);
        })));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cache, time) = (&cache, &time);
                scope.spawn(move || {
                    for round in 0..rounds {
                        let number = thread * rounds + round;
                        let mix = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                        let key = (mix % 100).to_le_bytes();
                        let ttl = if mix.is_multiple_of(3) { Ttl::For(SECOND) } else { Ttl::Forever };
                        let mut value = vec![0; 8 + (mix % 64) as usize];
                        value[..8].copy_from_slice(&number.to_le_bytes());
                        match mix / 100 % 4 {
                            0 => cache.put_many(&mut [Put::new(&key, &value, ttl)]),
                            1 => {
                                _ = cache.put_with(&key, &value, &PutOptions { ttl, ..PutOptions::default() }).unwrap()
                            }
                            _ => cache.put(&key, &value, ttl).unwrap(),
                        }
                        match mix / 400 % 97 {
                            0 => _ = cache.remove(&key),
                            1 => _ = cache.acquire(&key).unwrap(),
                            2 => time.advance(SECOND / 2),
                            3 => _ = cache.sweep(),
                            4 => _ = cache.purge(Purge::Prefix(&key[..1])),
                            5 if round % 16 == 0 => _ = cache.purge(Purge::All),
                            _ => {}
                        }
                    }
                });
            }
        });
        let mut there = vec![0; told.len()];
        for key in 0..100_u64 {
            if let Some(value) = cache.acquire(&key.to_le_bytes()).unwrap() {
                there[number(&value)] += 1;
            }
        }
        for (number, told) in told.iter().enumerate() {
            assert_eq!(told.load(Relaxed) + there[number], 1, "{number} of {set:?}");
        }
        let memory = cache.statistics().memory;
        assert_eq!(memory.entries + told.iter().map(|told| told.load(Relaxed)).sum::<u64>(), memory.puts);
        assert_settled(&cache);
    }
}

/// Says at the end of its life that others may end, too.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// When it has been taken off, nobody is in it and nobody comes: what it uses may go.
#[test]
fn a_listener_that_was_taken_off_is_never_called_again() {
    let (cache, _time) = open(&[("memory.capacity", "8")]);
    let (stop, late) = (AtomicBool::new(false), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                let mut number = thread;
                while !stop.load(Relaxed) {
                    cache.put(&number.to_le_bytes(), b"", Ttl::Forever).unwrap();
                    number += 3;
                }
            });
        }
        // Also when what follows fails: a test that does not end says nothing.
        let _stop = AtEnd(&stop);
        for round in 0..if cfg!(miri) { 5 } else { 300 } {
            let (is_off, inside) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let (begun, told) = mpsc::channel();
            let (off, in_it, late) = (is_off.clone(), inside.clone(), late.clone());
            let listener: Listener = Arc::new(move |_: &Departed| {
                in_it.fetch_add(1, Relaxed);
                let _ = begun.send(());
                thread::yield_now();
                late.fetch_add(off.load(Relaxed).into(), Relaxed);
                in_it.fetch_sub(1, Relaxed);
            });
            let weak: Weak<_> = Arc::downgrade(&listener);
            cache.set_listener(Some(listener));
            told.recv().unwrap();
            // Either way the former is off.
            let next: Option<Listener> = (round % 2 == 0).then(|| Arc::new(|_: &Departed| ()) as Listener);
            cache.set_listener(next);
            is_off.store(true, Relaxed);
            assert_eq!((inside.load(Relaxed), weak.strong_count()), (0, 0));
        }
    });
    cache.set_listener(None);
    assert_eq!(late.load(Relaxed), 0, "called after it was taken off");
    assert_settled(&cache);
}

/// While a listener stands still on one thread, others work and are told.
#[test]
fn a_listener_that_stands_still_makes_nobody_else_wait() {
    let (cache, _time) = open(&[("memory.capacity", "8")]);
    let (entered, left) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let told = Arc::new(AtomicUsize::new(0));
    let (enter, leave, count) = (entered.clone(), left.clone(), told.clone());
    cache.set_listener(Some(Arc::new(move |departed: &Departed| {
        if departed.key() == b"stop" {
            enter.wait();
            leave.wait();
        }
        count.fetch_add(1, Relaxed);
    })));
    thread::scope(|scope| {
        scope.spawn(|| {
            put(&cache, "stop");
            assert!(cache.remove(b"stop"));
        });
        entered.wait();
        (0..100).for_each(|i| put(&cache, &i.to_string()));
        assert_eq!(cache.purge(Purge::All), 8);
        cache.set_option("memory.capacity", "4").unwrap();
        assert_eq!(told.load(Relaxed), 100);
        left.wait();
    });
    assert_eq!(told.load(Relaxed), 101);
    assert_settled(&cache);
}

#[cfg(not(miri))]
#[test]
fn what_the_caches_own_thread_frees_is_told_there() {
    let mut options = Options::new();
    options.set("memory.sweep_interval", "10ms").unwrap();
    let cache = Cache::open(&options).unwrap();
    let (heard, told) = mpsc::channel();
    cache.set_listener(Some(Arc::new(move |departed: &Departed| {
        let here = thread::current().name().map(str::to_owned);
        heard.send((departed.key().to_vec(), departed.cause(), here)).unwrap();
    })));
    cache.put(b"key", b"", Ttl::For(Duration::from_millis(1))).unwrap();
    let (key, cause, thread) = told.recv_timeout(60 * SECOND).unwrap();
    assert_eq!((key, cause, thread.as_deref()), (b"key".to_vec(), Cause::Expired, Some("catzilla-sweep")));
    drop(cache);
    assert!(told.recv().is_err(), "told more");
}

/// To remember a version takes memory, for which others have to go.
#[test]
fn asking_for_versions_tells_what_has_to_go_for_them() {
    let (cache, _time) = open(&[("memory.capacity", "unlimited"), ("memory.max_bytes", "64KiB")]);
    (0..4_000).for_each(|i| put(&cache, &i.to_string()));
    let told = listen(&cache);
    let before = cache.statistics().memory;
    for i in 0..4_000 {
        if let Some(value) = cache.acquire(i.to_string().as_bytes()).unwrap() {
            value.version().unwrap();
        }
    }
    let after = cache.statistics().memory;
    assert!(after.entries < before.entries);
    assert_eq!(take(&told).len() as u64, after.evictions - before.evictions);
    assert_settled(&cache);
}
