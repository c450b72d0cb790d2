//! Writes that depend on what is there, and batches.

use crate::model::{Model, KEY, LIFETIME, LOOKS, POLICIES, WAYS};
use crate::schedules::{explore, join, name, value, version};
use catzilla_cache::ffi::classic::catzilla_cache_destroy;
use catzilla_cache::{Condition, Get, Purge, Put, PutOptions, PutOutcome, Read, Remove, Ttl};
use shuttle::thread::spawn;

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
