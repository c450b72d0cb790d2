//! Models of descents: who looks below memory for a key, what is taken up, and who waits for whose look-up (`src/cache/descent.rs`,
//! `load.rs`, `everywhere.rs`, with what they stand on: `flight.rs`, `turns.rs`, `lower.rs`). The cache is the whole one, with its
//! memory of one or two entries, over one or two fake tiers, each call on which is a step; two or three threads do a few steps each,
//! and a scheduler decides at every lock, and in half of the runs at every atomic access too, which of them goes on.
//!
//! A key has one writer, so its states are a list, and a read is right if it can be a moment between its beginning and its end: it
//! sees nothing older than a write that had ended before it began, nor than what another read had seen that had ended by then, and
//! nothing that nobody has begun to write. A key that is there is never missed. What is true at the end is what was written last, in
//! memory and in each tier. Time stands still, so who waits for what never comes waits forever, and the scheduler sees that.
//!
//! Not modelled: queues before a tier and the thread that empties them, tiers that fail, several processes. For these there are
//! `src/cache/tests` and `tests/tiers.rs`.
//!
//! Built, run and run again as `races`.
#![cfg(shuttle)]

#[path = "support/schedules.rs"]
mod schedules;

use catzilla_cache::{
    choose_at_locks_only, Cache, Clock, Get, Leased, ManualTime, Options, Pattern, Purge, Put, PutOptions, Read,
    Remove, TierName, Ttl,
};
use schedules::{explore_changes, explore_eighths, join, name, value, version};
use shuttle::thread::spawn;
// What models note down: nothing to choose.
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The key that is written, and one that is there all the while, in version 0.
const KEY: u8 = 0;
const OTHER: u8 = 1;
/// What every value of [`KEY`] is stored with, where a purge of it is modelled.
const TAG: &[u8] = b"tag";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Copy,
    Acquire,
    /// Both keys in one batch, and ours twice.
    Many,
    /// Who gets the lease says that there is none.
    Lease,
    /// Who gets the lease gives it up.
    LeaseGivenUp,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get(Way),
    GetOther,
    Put,
    PutMany,
    Touch,
    Remove,
    RemoveMany,
    PurgeAll,
    PurgePrefix,
    PurgePattern,
    PurgeTag,
    /// From memory.
    Evict,
    /// From the first tier below it.
    EvictUpper,
    /// Which memory of one entry has room for only when ours goes.
    PutOther,
}

use Step::{
    Evict, EvictUpper, GetOther, PurgeAll, PurgePattern, PurgePrefix, PurgeTag, PutMany, PutOther, RemoveMany, Touch,
};

impl Step {
    /// What is there after it, if that is something else: `Some(true)`, a value.
    fn writes(self) -> Option<bool> {
        match self {
            Step::Put | PutMany => Some(true),
            Step::Remove | RemoveMany | PurgeAll | PurgePrefix | PurgePattern | PurgeTag => Some(false),
            _ => None,
        }
    }
}

/// Where version 0 of the key is at the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Nowhere,
    /// In all tiers and not in memory.
    Below,
    /// In the last tier only.
    Lowest,
    /// Everywhere.
    Memory,
    /// In memory, which writes it to the disk when it is evicted.
    MemoryOnly,
}

const ONE: &[TierName] = &[TierName::Redis];
const TWO: &[TierName] = &[TierName::Redis, TierName::Disk];

#[derive(Clone)]
struct Stack {
    cache: Arc<Cache>,
    time: ManualTime,
    is_tagged: bool,
    /// Whether a key may be missed that is there, since it is on its way from memory to the disk.
    may_miss: bool,
    /// The states of the key one after the other: a value's version is its place here.
    history: Arc<Vec<Option<u8>>>,
    known: Arc<Mutex<Known>>,
}

/// Places in the history.
#[derive(Default)]
struct Known {
    /// The last write that has begun.
    begun: usize,
    /// What nobody who begins to read now may see the past of.
    floor: usize,
}

impl Stack {
    fn open(tiers: &[TierName], set: &[(&str, &str)]) -> Self {
        let mut options = Options::new();
        let always = [("memory.jemalloc", "off"), ("memory.sweep_interval", "off"), ("memory.compression", "off")];
        for (name, text) in always.iter().chain(set) {
            options.set(name, text).unwrap();
        }
        let (clock, time) = Clock::manual();
        let cache = Cache::over_fake_tiers(&options, clock, tiers);
        Self { cache, time, is_tagged: false, may_miss: false, history: Arc::default(), known: Arc::default() }
    }

    fn put(&self, key: u8, version: u8) {
        let tags: &[&[u8]] = if self.is_tagged && key == KEY { &[TAG] } else { &[] };
        let options = PutOptions { ttl: Ttl::Forever, tags, ..PutOptions::default() };
        self.cache.put_with(&name(key), &value(key, version), &options).unwrap();
    }

    fn evict(&self, tier: TierName, key: u8) {
        self.cache.tier_remove(tier, &name(key)).unwrap();
    }

    /// Has the key be where a model begins, and the steps of its writer to come.
    fn begin(mut self, tiers: &[TierName], start: Start, steps: &[Step]) -> Self {
        self.is_tagged = steps.iter().any(|step| matches!(step, PurgeTag));
        let mut history = vec![(start != Start::Nowhere).then_some(0)];
        for is_value in steps.iter().filter_map(|step| step.writes()) {
            history.push(is_value.then_some(history.len() as u8));
        }
        self.history = Arc::new(history);
        self.put(OTHER, 0);
        if start != Start::Nowhere {
            self.put(KEY, 0);
        }
        if matches!(start, Start::Below | Start::Lowest) {
            self.evict(TierName::Memory, KEY);
        }
        if start == Start::Lowest {
            self.evict(tiers[0], KEY);
        }
        if start == Start::MemoryOnly {
            self.may_miss = true;
            tiers.iter().for_each(|tier| self.evict(*tier, KEY));
        }
        self
    }

    /// Does these steps. Only one thread at a time may write.
    fn run(&self, steps: &[Step]) {
        for step in steps {
            // What was evicted after a write is told from what was before.
            self.time.advance(Duration::from_millis(1));
            let place = step.writes().map(|_| {
                let mut known = self.known.lock().unwrap();
                known.begun += 1;
                known.begun
            });
            self.step(*step, place.unwrap_or(0) as u8);
            if let Some(place) = place {
                self.known.lock().unwrap().floor = place;
            }
        }
    }

    fn step(&self, step: Step, place: u8) {
        let (cache, name) = (&self.cache, name(KEY));
        match step {
            Step::Get(way) => self.get(way),
            GetOther => {
                let value =
                    cache.acquire(&self::name(OTHER)).unwrap().expect("a key was missed that was there all the while");
                assert_eq!(version(&value, OTHER), 0);
            }
            Step::Put => self.put(KEY, place),
            PutMany => {
                let (value, other) = (value(KEY, place), value(OTHER, 0));
                let others = self::name(OTHER);
                let mut puts = [Put::new(&others, &other, Ttl::Forever), Put::new(&name, &value, Ttl::Forever)];
                cache.put_many(&mut puts);
                assert!(puts.iter().all(|put| put.outcome.is_ok()));
            }
            Touch => assert!(cache.touch(&name, Ttl::Forever)),
            Step::Remove => self.check_removed(cache.remove(&name), place),
            RemoveMany => {
                let mut removes = [Remove::new(&name)];
                cache.remove_many(&mut removes);
                self.check_removed(removes[0].removed, place);
            }
            PurgeAll => _ = cache.purge(Purge::All),
            PurgePrefix => _ = cache.purge(Purge::Prefix(&name)),
            PurgePattern => _ = cache.purge(Purge::Pattern(&Pattern::new(b"*a*").unwrap())),
            PurgeTag => _ = cache.purge(Purge::Tag(TAG)),
            Evict => self.evict(TierName::Memory, KEY),
            EvictUpper => self.evict(TierName::Redis, KEY),
            PutOther => self.put(OTHER, 0),
        }
    }

    fn check_removed(&self, removed: bool, place: u8) {
        let was_there = self.history[usize::from(place) - 1].is_some();
        assert!(
            removed == was_there || self.may_miss && !removed,
            "what was removed was there, or was not: {was_there}"
        );
    }

    /// Looks the key up, and whether what comes of that may.
    fn get(&self, way: Way) {
        let floor = self.known.lock().unwrap().floor;
        let all = self.look_all(way);
        let mut known = self.known.lock().unwrap();
        for seen in all.into_iter().filter(|seen| !self.may_miss || seen.is_some()) {
            let history = &self.history[..=known.begun];
            let Some(place) = (floor..history.len()).find(|place| history[*place] == seen) else {
                panic!("{seen:?} was seen of a key whose states have been {history:?}, the first {floor} of them over");
            };
            known.floor = known.floor.max(place);
        }
    }

    fn look(&self, way: Way) -> Option<u8> {
        self.look_all(way)[0]
    }

    /// What is seen, as often as the way looks for the key.
    fn look_all(&self, way: Way) -> Vec<Option<u8>> {
        let (cache, key) = (&self.cache, name(KEY));
        let seen = match way {
            Way::Copy => {
                let mut buffer = [0; 128];
                match cache.read(&key, &mut buffer).unwrap() {
                    Some(Read::Copied(len)) => Some(version(&buffer[..len], KEY)),
                    Some(Read::Truncated(len)) => panic!("a value of {len} bytes was never stored"),
                    None => None,
                }
            }
            Way::Acquire => cache.acquire(&key).unwrap().map(|value| version(&value, KEY)),
            Way::Many => {
                let (mut buffers, other) = ([[0; 128]; 3], name(OTHER));
                let [first, second, third] = &mut buffers;
                let mut gets = [Get::new(&key, first), Get::new(&other, second), Get::new(&key, third)];
                cache.get_many(&mut gets);
                let read = |get: &Get<'_>, number| match get.outcome.as_ref().unwrap() {
                    Some(Read::Copied(len)) => Some(version(&get.buffer[..*len], number)),
                    Some(Read::Truncated(len)) => panic!("a value of {len} bytes was never stored"),
                    None => None,
                };
                // In which order the two of ours are looked up nobody is promised.
                return vec![read(&gets[0], KEY), read(&gets[2], KEY)];
            }
            Way::Lease | Way::LeaseGivenUp => match cache.lease(&key, Duration::MAX).unwrap() {
                Leased::Found(value) => Some(version(&value, KEY)),
                Leased::NotFound => None,
                Leased::Lease(lease) => {
                    if way == Way::Lease {
                        lease.not_found();
                    }
                    None
                }
            },
        };
        vec![seen]
    }

    /// When all threads have ended: what was written last is what there is, wherever one looks.
    fn end(self, tiers: &[TierName]) {
        self.get(Way::Copy);
        for tier in [TierName::Memory].iter().chain(&tiers[..tiers.len() - 1]) {
            self.evict(*tier, KEY);
            self.get(Way::Copy);
            self.evict(TierName::Memory, KEY);
            self.get(Way::Acquire);
        }
        self.cache.purge(Purge::All);
        let memory = self.cache.statistics().memory;
        assert_eq!((memory.entries, memory.bytes, memory.lent_bytes), (0, 0, 0));
    }
}

/// Explores a model with choices at locks only, where it takes little and many schedules can be tried, and with choices everywhere.
fn explore(times: usize, variant: &str, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    for (locks_only, eighths, choices) in [(true, 4 * times, "locks"), (false, times, "all")] {
        let model = model.clone();
        choose_at_locks_only(locks_only);
        explore_eighths(eighths, &format!("{variant}, {choices}"), move || model());
    }
}

/// Threads that do these steps beside each other; the first alone may write [`KEY`].
fn race(times: usize, tiers: &'static [TierName], capacity: &'static str, start: Start, threads: &[&'static [Step]]) {
    let (variant, model) = model(tiers, capacity, start, threads);
    explore(times, &variant, model);
}

fn model(
    tiers: &'static [TierName],
    capacity: &'static str,
    start: Start,
    threads: &[&'static [Step]],
) -> (String, impl Fn() + Send + Sync + 'static) {
    let threads = threads.to_vec();
    let variant = format!("{} tiers, {capacity}, {start:?}, {threads:?}", tiers.len());
    let model = move || {
        let demotes = if start == Start::MemoryOnly { "on" } else { "off" };
        let set = [("memory.capacity", capacity), ("cache.demote", demotes)];
        let stack = Stack::open(tiers, &set).begin(tiers, start, threads[0]);
        let run = |steps: &&'static [Step]| {
            let (stack, steps) = (stack.clone(), *steps);
            spawn(move || stack.run(steps))
        };
        // All of them, before the first is waited for.
        let threads: Vec<_> = threads.iter().map(run).collect();
        join(threads);
        stack.end(tiers);
    };
    (variant, model)
}

const COPY: Step = Step::Get(Way::Copy);
const ACQUIRE: Step = Step::Get(Way::Acquire);
const MANY: Step = Step::Get(Way::Many);
const LEASE: Step = Step::Get(Way::Lease);
const LEASE_GIVEN_UP: Step = Step::Get(Way::LeaseGivenUp);
/// How each kind of look-up goes below memory.
const GETS: [&[Step]; 4] = [&[COPY], &[ACQUIRE], &[MANY], &[LEASE]];

/// Who looks, who waits, and who has written in between.
#[test]
fn look_ups_beside_a_put() {
    for gets in GETS {
        race(4, ONE, "2", Start::Below, &[&[Step::Put, Evict, ACQUIRE], gets, &[COPY]]);
    }
    race(1, ONE, "2", Start::Memory, &[&[Step::Put, Evict, ACQUIRE], &[Evict, COPY], &[COPY, COPY]]);
    race(1, ONE, "2", Start::Nowhere, &[&[PutMany, Evict, ACQUIRE], &[COPY, MANY], &[COPY]]);
}

#[test]
fn look_ups_beside_a_remove() {
    for gets in GETS {
        race(4, ONE, "2", Start::Below, &[&[Step::Remove, ACQUIRE, Step::Put, Evict, COPY], gets, &[COPY]]);
    }
    race(1, ONE, "2", Start::Memory, &[&[RemoveMany, LEASE], &[Evict, COPY, COPY], &[MANY]]);
}

/// A purge takes no turns: what somebody is about to take up, or to fill a tier with, it waits for or outdates.
#[test]
fn look_ups_beside_a_purge() {
    for purge in [PURGES_ALL, PURGES_PREFIX, PURGES_PATTERN, PURGES_TAG] {
        race(1, ONE, "2", Start::Below, &[purge, &[COPY, COPY], &[MANY]]);
        race(1, TWO, "2", Start::Lowest, &[purge, &[COPY, COPY], &[MANY]]);
    }
    race(1, TWO, "2", Start::Lowest, &[PURGES_TAG, &[LEASE, COPY], &[ACQUIRE]]);
    // What is found in the second tier while it goes is not to be seen in the first one after another has missed it.
    race(12, TWO, "2", Start::Lowest, &[&[PurgeAll], &[COPY, COPY], &[COPY]]);
}

const PURGES_ALL: &[Step] = &[PurgeAll, LEASE, Step::Put, Evict, COPY];
const PURGES_PREFIX: &[Step] = &[PurgePrefix, ACQUIRE, Step::Put, Evict, COPY];
const PURGES_PATTERN: &[Step] = &[PurgePattern, MANY, Step::Put, Evict, COPY];
const PURGES_TAG: &[Step] = &[PurgeTag, COPY, Step::Put, Evict, COPY];

/// What is found in the second tier goes into the first, but not over what was written meanwhile.
#[test]
fn filling_a_tier_beside_writes() {
    for gets in GETS {
        race(1, TWO, "2", Start::Lowest, &[&[Step::Put, Evict, ACQUIRE], gets, &[Evict, COPY]]);
        race(1, TWO, "2", Start::Lowest, &[&[Step::Remove, ACQUIRE, PutMany, Evict, MANY], gets, &[COPY]]);
    }
    race(1, TWO, "2", Start::Lowest, &[&[Touch, Evict, EvictUpper, ACQUIRE, RemoveMany, COPY], &[COPY], &[MANY]]);
}

/// Memory has room for one entry: each look-up drives out what the other thread looks for.
#[test]
fn look_ups_of_two_keys_beside_writes() {
    race(2, ONE, "1", Start::Below, &[&[Step::Put, PutOther, ACQUIRE], &[COPY, GetOther], &[GetOther, COPY]]);
    race(
        2,
        ONE,
        "1",
        Start::Memory,
        &[&[Step::Remove, GetOther, Step::Put, PutOther, COPY], &[MANY, GetOther], &[COPY]],
    );
}

/// What memory evicts goes to the disk, unless its key was written meanwhile.
#[test]
fn demotion_beside_writes() {
    race(1, TWO, "1", Start::MemoryOnly, &[&[Step::Put, COPY], &[PutOther, COPY], &[COPY]]);
    race(1, TWO, "1", Start::MemoryOnly, &[&[Step::Remove, COPY, Step::Put, COPY], &[PutOther, MANY]]);
    race(1, TWO, "1", Start::MemoryOnly, &[PURGES_ALL, &[PutOther, COPY]]);
}

/// One misses a key, another brings it up and writes it; while that is about to reach memory the first has the descent, or the lease,
/// and finds in memory what is about to go; and then the other one comes to wait for it.
#[test]
fn what_is_about_to_leave_memory_is_not_handed_on() {
    let threads: [&[&'static [Step]]; 3] = [
        &[&[COPY, Step::Remove, COPY], &[COPY]],
        &[&[COPY, Step::Remove, LEASE], &[LEASE]],
        &[&[Step::Remove, COPY], &[COPY], &[COPY]],
    ];
    for threads in threads {
        let (variant, model) = model(ONE, "2", Start::Below, threads);
        choose_at_locks_only(true);
        explore_changes(3, 50, &variant, model);
    }
}

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

/// Two that write one key: whoever was last, memory and all tiers agree.
#[test]
fn writers_beside_each_other_leave_the_tiers_alike() {
    let writes: [(&str, fn(&Stack, u8)); 3] = [
        ("put", |stack, version| stack.put(KEY, version)),
        ("remove", |stack, _| _ = stack.cache.remove(&name(KEY))),
        ("put_many", |stack, version| {
            let (name, value) = (name(KEY), value(KEY, version));
            stack.cache.put_many(&mut [Put::new(&name, &value, Ttl::Forever)]);
        }),
    ];
    for (what, write) in writes {
        explore(1, what, move || {
            let stack = Stack::open(TWO, &[("memory.capacity", "2")]);
            stack.put(KEY, 0);
            stack.evict(TierName::Memory, KEY);
            stack.evict(TierName::Redis, KEY);
            let (a, b, c) = (stack.clone(), stack.clone(), stack.clone());
            let writers = [spawn(move || a.put(KEY, 1)), spawn(move || write(&b, 2))];
            let reader = spawn(move || c.look(Way::Many));
            join(writers);
            reader.join().unwrap();
            let last = stack.look(Way::Copy);
            assert!(last == Some(1) || last == if what == "remove" { None } else { Some(2) });
            for tier in [TierName::Memory, TierName::Redis] {
                stack.evict(tier, KEY);
                stack.evict(TierName::Memory, KEY);
                assert_eq!(stack.look(Way::Copy), last);
            }
        });
    }
}
