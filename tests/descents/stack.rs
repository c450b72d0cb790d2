//! The cache of a model with its tiers, how it does a step, and what may be seen of its key.

use crate::schedules::{name, value, version};
use crate::steps::Step::{
    Evict, EvictUpper, GetOther, PurgeAll, PurgePattern, PurgePrefix, PurgeTag, PutMany, PutOther, RemoveMany, Touch,
};
use crate::steps::{Start, Step, Way};
use catzilla_cache::{
    Cache, Clock, Get, Leased, ManualTime, Options, Pattern, Purge, Put, PutOptions, Read, Remove, TierName, Ttl,
};
// What models note down: nothing to choose.
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The key that is written, and one that is there all the while, in version 0.
pub(crate) const KEY: u8 = 0;
pub(crate) const OTHER: u8 = 1;
/// What every value of [`KEY`] is stored with, where a purge of it is modelled.
pub(crate) const TAG: &[u8] = b"tag";

pub(crate) const ONE: &[TierName] = &[TierName::Redis];
pub(crate) const TWO: &[TierName] = &[TierName::Redis, TierName::Disk];

#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) cache: Arc<Cache>,
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
    pub(crate) fn open(tiers: &[TierName], set: &[(&str, &str)]) -> Self {
        let mut options = Options::new();
        let always = [("memory.jemalloc", "off"), ("memory.sweep_interval", "off"), ("memory.compression", "off")];
        for (name, text) in always.iter().chain(set) {
            options.set(name, text).unwrap();
        }
        let (clock, time) = Clock::manual();
        let cache = Cache::over_fake_tiers(&options, clock, tiers);
        Self { cache, time, is_tagged: false, may_miss: false, history: Arc::default(), known: Arc::default() }
    }

    pub(crate) fn put(&self, key: u8, version: u8) {
        let tags: &[&[u8]] = if self.is_tagged && key == KEY { &[TAG] } else { &[] };
        let options = PutOptions { ttl: Ttl::Forever, tags, ..PutOptions::default() };
        self.cache.put_with(&name(key), &value(key, version), &options).unwrap();
    }

    pub(crate) fn evict(&self, tier: TierName, key: u8) {
        self.cache.tier_remove(tier, &name(key)).unwrap();
    }

    /// Has the key be where a model begins, and the steps of its writer to come.
    pub(crate) fn begin(mut self, tiers: &[TierName], start: Start, steps: &[Step]) -> Self {
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
    pub(crate) fn run(&self, steps: &[Step]) {
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

    pub(crate) fn look(&self, way: Way) -> Option<u8> {
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
    pub(crate) fn end(self, tiers: &[TierName]) {
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
