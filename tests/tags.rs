//! Tags of entries in memory: what comes in by whatever way goes with a purge of its tag, and what has left is known no more. A
//! purge meets only who is in the chain of its tag, so a way in that forgot it would leave entries behind, and a way out that did
//! would leave the chain with one that is freed.

use catzilla_cache::{
    Cache, Cause, Clock, Condition, Departed, Leased, ManualTime, Options, Pattern, Purge, Put, PutOptions, Remove, Ttl,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

type Set = &'static [(&'static str, &'static str)];

fn open(set: &[(&str, &str)]) -> (Arc<Cache>, ManualTime) {
    let mut options = Options::new();
    options.set("memory.sweep_interval", "off").unwrap();
    for (name, value) in set {
        options.set(name, value).unwrap();
    }
    let (clock, time) = Clock::manual();
    (Cache::with_clock(&options, clock).unwrap(), time)
}

fn put_for(cache: &Cache, key: &[u8], tags: &[&[u8]], ttl: Ttl) {
    cache.put_with(key, b"1", &PutOptions { ttl, tags, ..PutOptions::default() }).unwrap();
}

fn put(cache: &Cache, key: &[u8], tags: &[&[u8]]) {
    put_for(cache, key, tags, Ttl::Forever);
}

/// A way for the key "key" to come to carry "tag".
type In = fn(&Cache);

const WAYS_IN: [(&str, Set, In); 13] = [
    ("put", &[], |cache| put(cache, b"key", &[b"tag"])),
    ("with a lifetime", &[("memory.sliding", "on")], |cache| put_for(cache, b"key", &[b"tag"], Ttl::For(SECOND))),
    ("among many tags", &[], |cache| {
        let names: Vec<[u8; 1]> = (0..63).map(|number| [number]).collect();
        let mut tags: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
        tags.push(b"tag");
        put(cache, b"key", &tags);
    }),
    ("over one without tags", &[], |cache| {
        cache.put(b"key", b"", Ttl::Forever).unwrap();
        put(cache, b"key", &[b"tag"]);
    }),
    ("over one with others", &[], |cache| {
        put(cache, b"key", &[b"a", b"b"]);
        put(cache, b"key", &[b"tag"]);
    }),
    ("over itself", &[], |cache| (0..3).for_each(|_| put(cache, b"key", &[b"tag"]))),
    ("under a condition", &[], |cache| {
        let absent = PutOptions { condition: Condition::IfAbsent, tags: &[b"tag"], ..PutOptions::default() };
        cache.put_with(b"key", b"", &absent).unwrap();
        cache.put_with(b"key", b"", &PutOptions { tags: &[b"not stored"], ..absent }).unwrap();
    }),
    ("counted on", &[], |cache| {
        put(cache, b"key", &[b"tag"]);
        assert_eq!(cache.increment(b"key", 1, 0, Ttl::Forever), Ok(2));
        assert!(cache.touch(b"key", Ttl::For(SECOND)));
    }),
    ("loaded", &[], |cache| {
        let Ok(Leased::Lease(lease)) = cache.lease(b"key", Duration::MAX) else { panic!("the key is there") };
        lease.fulfil(b"", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
    }),
    ("after everything was removed", &[], |cache| {
        put(cache, b"key", &[b"tag"]);
        cache.purge(Purge::All);
        put(cache, b"key", &[b"tag"]);
    }),
    ("in an index that grows", &[("memory.capacity", "unlimited")], |cache| {
        put(cache, b"key", &[b"tag"]);
        (0..700_u32).for_each(|number| cache.put(&number.to_le_bytes(), b"", Ttl::Forever).unwrap());
    }),
    ("moved between shards", &[("memory.capacity", "100000")], |cache| {
        put(cache, b"key", &[b"tag"]);
        cache.set_option("memory.capacity", "4000").unwrap();
        cache.set_option("memory.capacity", "100000").unwrap();
    }),
    ("under another policy", &[("memory.policy", "lru")], |cache| {
        put(cache, b"key", &[b"tag"]);
        cache.set_option("memory.policy", "sieve").unwrap();
    }),
];

#[test]
fn what_comes_in_by_whatever_way_is_found_by_a_purge_of_its_tag() {
    for (name, set, come) in WAYS_IN {
        for others in [0, 1, 5] {
            let (cache, _) = open(set);
            cache.put(b"without", b"", Ttl::Forever).unwrap();
            for other in 0..others {
                put(&cache, &[other], &[b"tag", b"more"]);
            }
            come(&cache);
            // One of the ways in removes them.
            let others = (0..others).filter(|other| cache.contains(&[*other])).count() as u64;
            assert!(cache.contains(b"key"), "{name}");
            assert_eq!(cache.purge(Purge::Tag(b"nobody's")), 0);
            assert_eq!(cache.purge(Purge::Tag(b"tag")), 1 + others, "{name}");
            assert!(!cache.contains(b"key"), "{name}");
            assert_eq!(cache.purge(Purge::Tag(b"tag")), 0);
        }
    }
}

/// A way for the entries 0 to 19 to leave.
type Out = fn(&Cache, &ManualTime);

const WAYS_OUT: [(&str, Set, Out); 17] = [
    ("remove", &[], |cache, _| (0..20).for_each(|key| assert!(cache.remove(&[key])))),
    ("remove_many", &[], |cache, _| {
        let keys: Vec<[u8; 1]> = (0..20).map(|key| [key]).collect();
        cache.remove_many(&mut keys.iter().map(|key| Remove::new(key)).collect::<Vec<_>>());
    }),
    ("overwritten", &[], |cache, _| (0..20).for_each(|key| put(cache, &[key], &[]))),
    ("overwritten by put", &[], |cache, _| (0..20).for_each(|key| cache.put(&[key], b"1", Ttl::Forever).unwrap())),
    ("overwritten by put_many", &[], |cache, _| {
        let keys: Vec<[u8; 1]> = (0..20).map(|key| [key]).collect();
        cache.put_many(&mut keys.iter().map(|key| Put::new(key, b"1", Ttl::Forever)).collect::<Vec<_>>());
    }),
    ("counted on and overwritten", &[], |cache, _| {
        for key in 0..20 {
            cache.increment(&[key], 7, 0, Ttl::Forever).unwrap();
            put(cache, &[key], &[]);
        }
    }),
    ("expired and swept", &[], |cache, time| {
        (0..20).for_each(|key| assert!(cache.touch(&[key], Ttl::For(SECOND))));
        time.advance(2 * SECOND);
        assert_eq!(cache.sweep(), 20);
    }),
    ("expired and met", &[], |cache, time| {
        (0..20).for_each(|key| assert!(cache.touch(&[key], Ttl::For(SECOND))));
        time.advance(2 * SECOND);
        (0..20).for_each(|key| assert!(cache.acquire(&[key]).unwrap().is_none()));
        cache.sweep();
    }),
    ("expired beside puts", &[("memory.shards", "1")], |cache, time| {
        (0..20).for_each(|key| assert!(cache.touch(&[key], Ttl::For(SECOND))));
        time.advance(2 * SECOND);
        (0..50).for_each(|key| cache.put(&[100 + key % 3], b"", Ttl::Forever).unwrap());
        assert_eq!(cache.statistics().memory.expirations, 20);
    }),
    ("evicted", &[("memory.capacity", "21")], |cache, _| {
        (0..20).for_each(|key| cache.put(&[100 + key], b"", Ttl::Forever).unwrap());
        assert_eq!(cache.statistics().memory.evictions, 20);
    }),
    ("evicted by bytes", &[("memory.max_bytes", "64KiB")], |cache, _| {
        (0..200).for_each(|key| cache.put(&[b'f', key], &[0; 1_000], Ttl::Forever).unwrap());
        assert!((0..20).all(|key| !cache.contains(&[key])));
        cache.purge(Purge::Prefix(b"f"));
    }),
    ("evicted for a lower bound", &[("memory.capacity", "4000")], |cache, _| {
        cache.set_option("memory.capacity", "1").unwrap();
    }),
    ("moved and removed", &[("memory.capacity", "100000")], |cache, _| {
        cache.set_option("memory.capacity", "4000").unwrap();
        (0..20).for_each(|key| assert!(cache.remove(&[key])));
    }),
    ("under another policy", &[], |cache, _| {
        cache.set_option("memory.policy", "fifo").unwrap();
        (0..20).for_each(|key| assert!(cache.remove(&[key])));
    }),
    ("purged by tag", &[], |cache, _| {
        cache.purge(Purge::Tag(b"shared"));
        (0..20).for_each(|key| _ = cache.purge(Purge::Tag(&[key])));
        // Those that were stored without.
        (0..20).for_each(|key| _ = cache.remove(&[key]));
    }),
    ("purged by pattern", &[], |cache, _| _ = cache.purge(Purge::Pattern(&Pattern::new(b"?").unwrap()))),
    ("purged with everything", &[], |cache, _| {
        cache.purge(Purge::All);
        cache.put(b"stays", b"", Ttl::Forever).unwrap();
    }),
];

#[test]
fn what_has_left_by_whatever_way_is_known_no_more() {
    for (name, set, leave) in WAYS_OUT {
        let used = [false, true].map(|has_tags| {
            let set = [&[("memory.policy", "lru"), ("memory.compression", "off")][..], set].concat();
            let (cache, time) = open(&set);
            // How large the index is hangs on where the keys fall.
            let used = || {
                let memory = cache.statistics().memory;
                memory.bytes - memory.index_bytes
            };
            for key in 0..20 {
                let tags: [&[u8]; 2] = [&[key], b"shared"];
                put(&cache, &[key], if has_tags { &tags } else { &[] });
            }
            // So that no shard is given up as a whole; the last, so that it is not evicted first.
            cache.put(b"stays", b"", Ttl::Forever).unwrap();
            let full = used();
            leave(&cache, &time);
            let of_rest = used();
            (0..20).for_each(|key| assert_eq!(cache.purge(Purge::Tag(&[key])), 0, "{name}"));
            assert_eq!(cache.purge(Purge::Tag(b"shared")), 0, "{name}");
            (full, of_rest)
        });
        let [without, with] = used;
        assert!(with.0 >= without.0 + 21 * 40, "{name}: the tags are not told in the memory that is used: {used:?}");
        assert_eq!(without.1, with.1, "{name}: something is left of the tags");
    }
}

/// Each thread purges what it has just stored, and has to find it gone: whatever others put, purge and evict meanwhile, and while the
/// entries move from shard to shard.
#[test]
fn what_was_stored_before_a_purge_of_its_tag_is_gone_after_it() {
    let rounds = if cfg!(miri) { 20 } else { 3_000_u32 };
    let (cache, _) = open(&[("memory.capacity", "100000")]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (cache, done) = (&cache, &done);
        let workers: Vec<_> = (0..3_u8)
            .map(|worker| {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let mine: [&[u8]; 2] = [&[worker, 1], &[worker, 2]];
                        let tag = [&[worker], &round.to_le_bytes()[..]].concat();
                        let carriers = if round % 3 == 0 { &mine[..] } else { &mine[..1] };
                        carriers.iter().for_each(|key| put(cache, key, &[&tag, b"all", &[worker]]));
                        let what: &[u8] = if round % 5 == 0 { &[worker] } else { &tag };
                        cache.purge(Purge::Tag(what));
                        carriers.iter().for_each(|key| assert!(!cache.contains(key), "worker {worker}, round {round}"));
                        put(cache, &[worker, round as u8, 3], &[b"all"]);
                    }
                })
            })
            .collect();
        let mover = scope.spawn(move || {
            while !done.load(Relaxed) {
                cache.set_option("memory.capacity", "4000").unwrap();
                cache.purge(Purge::Tag(b"all"));
                cache.set_option("memory.capacity", "100000").unwrap();
            }
        });
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Relaxed);
        mover.join().unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    });
    cache.purge(Purge::Tag(b"all"));
    let memory = cache.statistics().memory;
    assert_eq!((memory.entries, memory.bytes - memory.index_bytes), (0, 0));
}

/// Whoever stores anew what has just been purged, with the same tag, does not keep the purge from its end.
#[test]
fn a_purge_ends_beside_one_who_stores_everything_anew() {
    const CARRIERS: u64 = 200;
    let (cache, _) = open(&[("memory.capacity", "1000"), ("memory.shards", "1")]);
    let (weak, stored) = (Arc::downgrade(&cache), Arc::new(AtomicU64::new(0)));
    let anew = Arc::clone(&stored);
    cache.set_listener(Some(Arc::new(move |departed: &Departed| {
        // A purge without an end would stop at this many.
        if departed.cause() == Cause::Purged && anew.fetch_add(1, Relaxed) < 100 * CARRIERS {
            put(&weak.upgrade().unwrap(), departed.key(), &[b"tag"]);
        }
    })));
    (0..CARRIERS).for_each(|key| put(&cache, &key.to_le_bytes(), &[b"tag"]));
    assert_eq!(cache.purge(Purge::Tag(b"tag")), CARRIERS);
    assert_eq!((stored.load(Relaxed), cache.statistics().memory.entries), (CARRIERS, CARRIERS));
    cache.set_listener(None);
    assert_eq!(cache.purge(Purge::Tag(b"tag")), CARRIERS);
    assert_eq!(cache.statistics().memory.entries, 0);
}
