//! Look-ups of one key beside what happens to it.

use crate::model::{assert_history, race, Model, KEY, LIFETIME, LOOKS, POLICIES, WAYS};
use crate::schedules::{explore, explore_more, join};
use catzilla_cache::Purge;
use shuttle::thread::spawn;

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
