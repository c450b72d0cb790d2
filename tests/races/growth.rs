//! An index that grows, shrinks or is cleared under those who look it up and walk through it.

use crate::model::{assert_history, Model, Way, WAYS};
use crate::schedules::{explore, join};
use catzilla_cache::Purge;
use shuttle::thread::spawn;

/// The keys of an index of two buckets that the next put makes larger.
pub(crate) const FULL: u8 = 13;
/// Those that are put then; the move takes one write for each of the old buckets.
const GROWTH: std::ops::Range<u8> = FULL..FULL + 3;
pub(crate) const GROWING: &[(&str, &str)] = &[("memory.shards", "1")];

pub(crate) fn full(set: &[(&str, &str)]) -> Model {
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
