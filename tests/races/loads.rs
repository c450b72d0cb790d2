//! Loads beside writes, and beside what changes the world that is loaded from.

use crate::model::{Model, Way, KEY, LOOKS, POLICIES};
use crate::schedules::{explore, join, name, value, version};
use catzilla_cache::{Leased, Purge, Put, Ttl};
use shuttle::sync::atomic::{AtomicU8, Ordering};
use shuttle::thread::spawn;
use std::sync::Arc;
use std::time::Duration;

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
