//! Entries that move from shard to shard, and shards that share a capacity.

use crate::model::{Model, POLICIES, WAYS};
use crate::schedules::{explore, explore_more, join, name, value};
use catzilla_cache::{Purge, PutOptions, Ttl};
use shuttle::thread::spawn;

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
        explore_more(4, shards, move || {
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
