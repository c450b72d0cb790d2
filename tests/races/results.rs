//! What was handed out, while its entry, its cache or its thread goes.

use crate::model::{assert_history, Model, Way, KEY, LOOKS, POLICIES, WAYS};
use crate::schedules::{explore, join, name, version};
use catzilla_cache::ffi::classic::catzilla_cache_destroy;
use shuttle::thread::{spawn, yield_now};
use std::sync::Arc;

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
