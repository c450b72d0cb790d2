//! Leases and loads beside writes, and beside what changes the world that is loaded from.

use crate::schedules::{join, name, value, version};
use crate::stack::{Stack, KEY, ONE, TAG, TWO};
use crate::steps::Step::Evict;
use crate::steps::{Start, Step, Way, COPY, LEASE, LEASE_GIVEN_UP};
use crate::{explore, race};
use catzilla_cache::{Cache, Leased, Purge, Put, PutOptions, Remove, TierName, Ttl};
use shuttle::thread::spawn;
// What models note down: nothing to choose.
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

/// Leases go through descents with flights of their own.
#[test]
fn leases_beside_writes() {
    for other in [LEASE, LEASE_GIVEN_UP, COPY] {
        let others: &'static [Step] = Box::leak(Box::new([other]));
        race(2, ONE, "2", Start::Below, &[&[Step::Put, Evict, LEASE], &[LEASE], others]);
        race(2, ONE, "2", Start::Below, &[&[Step::Remove, LEASE, Step::Put, Evict, LEASE], &[LEASE_GIVEN_UP], others]);
        race(2, ONE, "2", Start::Nowhere, &[&[Step::Put, LEASE], &[LEASE_GIVEN_UP], others]);
    }
}

/// What a key is loaded from: its version in the outside world.
#[derive(Clone)]
struct World {
    stack: Stack,
    version: Arc<AtomicU8>,
}

impl World {
    fn load(&self) -> u8 {
        let loaded = match self.stack.cache.lease(&name(KEY), Duration::MAX).unwrap() {
            Leased::Found(value) => value,
            Leased::NotFound => panic!("nobody says that there is none"),
            Leased::Lease(lease) => {
                let options = PutOptions { ttl: Ttl::Forever, tags: &[TAG], ..PutOptions::default() };
                lease.fulfil(&value(KEY, self.version.load(Relaxed)), &options).unwrap()
            }
        };
        version(&loaded, KEY)
    }
}

/// Two callers beside each of these, which say that the world has changed. Once that has been said nobody gets the old version any
/// more, from whatever tier, or from a load that had begun before.
#[test]
fn loads_beside_a_change_of_what_is_loaded() {
    type Tell = fn(&Cache);
    let tells: [(&str, Tell); 7] = [
        ("remove", |cache| _ = cache.remove(&name(KEY))),
        ("remove_many", |cache| cache.remove_many(&mut [Remove::new(&name(KEY))])),
        ("put", |cache| cache.put(&name(KEY), &value(KEY, 1), Ttl::Forever).unwrap()),
        ("put_many", |cache| {
            let (name, value) = (name(KEY), value(KEY, 1));
            cache.put_many(&mut [Put::new(&name, &value, Ttl::Forever)]);
        }),
        ("purge of all", |cache| _ = cache.purge(Purge::All)),
        ("purge of a prefix", |cache| _ = cache.purge(Purge::Prefix(b"key-"))),
        ("purge of a tag", |cache| _ = cache.purge(Purge::Tag(TAG))),
    ];
    for tiers in [ONE, TWO] {
        for (variant, tell) in tells {
            explore(1, &format!("{variant}, {} tiers", tiers.len()), move || {
                let world = World { stack: Stack::open(tiers, &[("memory.capacity", "2")]), version: Arc::default() };
                let here = world.clone();
                let loader = spawn(move || _ = here.load());
                let here = world.clone();
                let reader = spawn(move || {
                    here.stack.evict(TierName::Memory, KEY);
                    here.stack.look(Way::Copy)
                });
                let there = world.clone();
                let teller = spawn(move || {
                    there.version.store(1, Relaxed);
                    tell(&there.stack.cache);
                    assert_ne!(there.stack.look(Way::Copy), Some(0), "the cache has what the world had before");
                    assert_eq!(there.load(), 1, "a load that began before the change was told was joined after it");
                });
                join([loader, teller]);
                reader.join().unwrap();
                for tier in [TierName::Memory].iter().chain(&tiers[..tiers.len() - 1]) {
                    assert_eq!(world.stack.look(Way::Copy), Some(1));
                    world.stack.evict(*tier, KEY);
                    world.stack.evict(TierName::Memory, KEY);
                }
                assert_eq!(world.stack.look(Way::Copy), Some(1));
            });
        }
    }
}

/// A leader that gives up beside two callers, who may be waiting for it or not yet: both get a value, and one has loaded it.
#[test]
fn a_lease_that_is_given_up_beside_two_callers_and_a_remover() {
    explore(1, "", || {
        let world = World { stack: Stack::open(ONE, &[("memory.capacity", "1")]), version: Arc::default() };
        let there = world.clone();
        let leader = spawn(move || {
            if let Ok(Leased::Lease(lease)) = there.stack.cache.lease(&name(KEY), Duration::ZERO) {
                drop(lease);
            }
            there.stack.cache.remove(&name(KEY));
        });
        let callers: Vec<_> = [(); 2]
            .into_iter()
            .map(|()| {
                let world = world.clone();
                spawn(move || assert_eq!(world.load(), 0))
            })
            .collect();
        join(callers);
        leader.join().unwrap();
    });
}
