//! The memory tier: the safe face of the engine. Everything above sees this file only.
//!
//! An entry is found by the index, ordered by the policy, filed by deadline in the wheel, bounded by the budget, kept in
//! the heap, and given back through the list of retired entries when nobody can be reading it. Each of these is a room of
//! its own; a shard puts them under one lock, which writers take and readers do not.
//!
//! Nobody is called back under a lock, and no large entry is freed under one.

mod arena;
pub(crate) mod barrier;
mod batch;
mod below;
mod budget;
mod departure;
mod entry;
mod expiry;
mod hazard;
mod index;
mod lease;
mod list;
mod look_up;
mod maintain;
mod moments;
mod pin;
mod policy;
mod put;
mod reclaim;
mod record;
mod room;
mod shard;
mod tags;
mod update;
mod value;
mod version;
mod walk;

pub use batch::{Get, Put, Remove};
pub(crate) use below::Place;
pub use departure::{Cause, Departed, Listener};
pub use entry::{MAX_KEY_LEN, MAX_TAGS};
pub(crate) use lease::release_all as release_results;
pub use lease::CLASSIC_RESULT_LIFETIME;
pub use look_up::Read;
pub(crate) use look_up::{Ending, Lent};
pub(crate) use update::Ready;
pub use update::{Condition, PutOptions, PutOutcome, MAX_TAG_LEN};
pub(crate) use value::check_largest;
pub use value::Value;
pub use walk::Keys;

use crate::clock::Clock;
use crate::error::{Error, Result, Status};
use crate::latency::Histogram;
use crate::options::{MemoryOptions, UNBOUNDED};
use crate::stats::Striped;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use crate::sync::seed;
use arena::Heap;
use budget::Budget;
use crossbeam_utils::CachePadded;
use departure::Departures;
use index::Hash;
use policy::{Chooser, Chosen, Deciders, OnHit, Switch};
use shard::{Count, Locked, Shard, Shared};
use std::sync::Arc;
use std::time::Duration;

/// What look-ups count, each thread for itself. What writers count is with their shard: see [`shard::Count`].
#[derive(Clone, Copy)]
enum Looked {
    Hits,
    Misses,
    Last,
}

type Looks = Striped<{ Looked::Last as usize }>;

pub(crate) struct Memory {
    /// Before the heap: what a shard keeps at hand goes back to the arena before that goes.
    shards: Box<[Shard]>,
    /// How many of the shards hold entries, and how often that has changed: see [`Layout`].
    layout: CachePadded<AtomicU64>,
    /// Whether the number of shards was asked for and does not follow the capacity.
    fixed_shards: bool,
    on_hit: OnHit,
    /// Who decides for the policies that change their rule.
    deciders: Deciders,
    /// Whether a hit gives an entry its lifetime anew.
    sliding: bool,
    live: Live,
    clock: Clock,
    looked: Looks,
    /// How long look-ups take, and puts; of both a sample.
    read_times: Histogram,
    write_times: Histogram,
    /// The last version that an entry was given.
    versions: AtomicU64,
    /// With the heap, so after the shards.
    shared: Shared,
}

/// How many shards are in use, in the low 16 bits; above them a count that is odd while entries are being moved from shard to
/// shard. Follows the capacity, see [`Memory::spread`]; written under all the shards' locks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout(u64);

impl Layout {
    #[inline(always)]
    fn shards(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }

    fn is_moving(self) -> bool {
        self.0 >> 16 & 1 != 0
    }

    /// The next one, with so many shards.
    fn next(self, shards: usize) -> Self {
        Self(((self.0 >> 16) + 1) << 16 | shards as u64)
    }

    /// Which shard a hash belongs to: 16 of its bits, spread over the shards.
    #[inline(always)]
    fn home(self, hash: Hash) -> usize {
        self.home_of(hash.shard())
    }

    #[inline(always)]
    fn home_of(self, bits: usize) -> usize {
        (bits * self.shards()) >> 16
    }

    /// The first of these bits that belong to a shard.
    fn begin(self, shard: usize) -> usize {
        (shard << 16).div_ceil(self.shards())
    }
}

/// Options that may change while the cache runs.
struct Live {
    ttl_nanos: AtomicU64,
    ttl_jitter: AtomicU64,
    max_value_size: AtomicU64,
    compression: AtomicBool,
    compression_threshold: AtomicU64,
    /// Values shorter than this are stored as they are and made under the shard's lock, in entries without anything that an
    /// option adds: what the options come to for nearly all puts, in one number. 0 where every put has something to be looked at.
    plain_below: AtomicU64,
    /// Whether anything has ever got a lifetime: then look-ups read the clock before they know whether they need it.
    has_lifetimes: AtomicBool,
}

/// Up to this many entries there is one shard, and eviction is in exact order. Fixed by the interface.
const ONE_SHARD: u64 = 4096;

impl Memory {
    pub(crate) fn open(options: &MemoryOptions, clock: Clock) -> Arc<Self> {
        Arc::new_cyclic(|me| Self::new(Heap::of(me.clone(), options.jemalloc), options, clock))
    }

    fn new(heap: Heap, options: &MemoryOptions, clock: Clock) -> Self {
        record::prepare();
        barrier::prepare();
        let now = clock.now();
        let heap = Arc::new(heap);
        let live = Live {
            ttl_nanos: AtomicU64::new(0),
            ttl_jitter: AtomicU64::new(0),
            max_value_size: AtomicU64::new(0),
            compression: AtomicBool::new(false),
            compression_threshold: AtomicU64::new(0),
            plain_below: AtomicU64::new(0),
            has_lifetimes: AtomicBool::new(false),
        };
        let (looked, hasher) = (Looks::new(), seed());
        let deciders = Deciders { chooser: Arc::new(Chooser::new()), switch: Arc::new(Switch::new(looked.clone())) };
        let departures = CachePadded::new(Departures::new(clock.clone()));
        let policy = Chosen::new(options, &deciders, &hasher);
        let shards: Box<[_]> = (0..shard_count(options)).map(|_| Shard::new(&policy, now, &heap)).collect();
        let memory = Self {
            layout: CachePadded::new(AtomicU64::new(shards.len() as u64)),
            fixed_shards: options.shards != 0,
            shards,
            on_hit: OnHit::of(&policy),
            deciders,
            sliding: options.sliding,
            live,
            clock,
            looked,
            read_times: Histogram::new(),
            write_times: Histogram::new(),
            versions: AtomicU64::new(0),
            shared: Shared {
                heap,
                hasher,
                budget: CachePadded::new(Budget::new(options.entries(), options.max_bytes)),
                departures,
            },
        };
        memory.set_exactness();
        memory.set_live(options);
        memory
    }

    /// Whether a key is short enough.
    pub(crate) fn check_key(key: &[u8]) -> Result<()> {
        if key.len() > MAX_KEY_LEN {
            let message = format!("the key has {} bytes; at most {MAX_KEY_LEN} are allowed", key.len());
            return Err(Error::new(Status::KeyTooLarge, message));
        }
        Ok(())
    }

    /// How long what is stored without a lifetime lives.
    pub(crate) fn default_lifetime(&self) -> Duration {
        Duration::from_nanos(self.live.ttl_nanos.load(Relaxed))
    }

    #[inline(always)]
    fn hash(&self, key: &[u8]) -> Hash {
        self.shared.hash(key)
    }

    /// How many entries a shard holds when the cache is full, if that is known.
    fn expected_entries(&self) -> Option<usize> {
        let capacity = self.shared.budget.capacity();
        let shards = Layout(self.layout.load(Relaxed)).shards() as u64;
        // Beyond what fits into any memory there is nothing to be planned for.
        (capacity < 1 << 40).then(|| capacity.div_ceil(shards) as usize)
    }

    /// The shard that a hash belongs to, locked.
    #[inline(always)]
    fn lock_home(&self, hash: Hash) -> Locked<'_> {
        loop {
            let layout = Layout(self.layout.load(Relaxed));
            let shard = &self.shards[layout.home(hash)];
            let state = shard.state(&self.shared, || self.clock.now());
            // Written under all locks, so what is read under one of them is right until that is released.
            if self.layout.load(Relaxed) == layout.0 {
                return shard.locked(state, &self.shared);
            }
        }
    }

    #[inline(always)]
    fn lock<'a>(&'a self, shard: &'a Shard) -> Locked<'a> {
        shard.locked(shard.state(&self.shared, || self.clock.now()), &self.shared)
    }

    /// Tells every shard how exact its order has to be.
    fn set_exactness(&self) {
        let layout = Layout(self.layout.load(Relaxed));
        self.deciders.chooser.set_shards(layout.shards());
        let exact = layout.shards() == 1;
        for shard in &self.shards {
            shard.clock.set_exactness(exact, self.shared.budget.capacity() / layout.shards() as u64);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.shared.departures.forget();
        // Nobody holds a value, and nobody can get one any more: the arena goes as a whole, and with it every block. (Whoever
        // forks just now may keep the heap for a moment longer.)
        if self.shared.heap.is_arena() && Arc::strong_count(&self.shared.heap) == 1 {
            return;
        }
        for shard in &mut self.shards {
            shard.give_up(&self.shared.heap);
        }
    }
}

fn shard_count(options: &MemoryOptions) -> u64 {
    match options.shards {
        0 => shards_for(options.entries()),
        asked => asked,
    }
}

/// How many shards a capacity asks for.
fn shards_for(entries: u64) -> u64 {
    if entries <= ONE_SHARD {
        return 1;
    }
    // Eight a core, so that two threads seldom meet; at least 1,024 entries each, so that a shard's order is nearly the
    // cache's.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let enough = (8 * cores).next_power_of_two().min(64);
    if entries == UNBOUNDED {
        enough
    } else {
        enough.min(entries / (ONE_SHARD / 4)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Ttl;
    use crate::options::Options;
    use std::panic::{catch_unwind, AssertUnwindSafe};

    #[test]
    fn a_panic_under_a_lock_costs_that_shards_entries_and_nothing_else() {
        let mut options = Options::new();
        options.set("memory.shards", "2").unwrap();
        let memory = Memory::open(&options.memory, Clock::default());
        let keys: Vec<[u8; 4]> = (0..100_u32).map(u32::to_le_bytes).collect();
        for key in &keys {
            memory.put(key, key, Ttl::Default).unwrap();
        }
        let broken = &memory.shards[0];
        let lost = memory.lock(broken).len() as u64;
        assert!(0 < lost && lost < 100);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _state = memory.lock(broken);
            panic!("a bug under the lock");
        }));
        assert!(panicked.is_err());
        // The next one who takes the lock finds out.
        memory.sweep();
        let found = keys.iter().filter(|key| memory.contains(*key)).count() as u64;
        assert_eq!((found, memory.figures().entries), (100 - lost, 100 - lost));
        for key in &keys {
            memory.put(key, key, Ttl::Default).unwrap();
            assert!(memory.contains(key));
        }
    }

    fn open(options: &[(&str, &str)], clock: Clock) -> Arc<Memory> {
        let mut all = Options::new();
        for (name, text) in options {
            all.set(name, text).unwrap();
        }
        Memory::open(&all.memory, clock)
    }

    /// One thread reads the clock and is held up, another one comes first with a later time.
    #[test]
    fn a_sweep_that_comes_late_ends() {
        let (clock, time) = Clock::manual();
        let memory = open(&[("memory.shards", "1")], clock);
        let early = memory.clock.now();
        for key in 0..100_u8 {
            memory.put(&[key], b"", Ttl::For(Duration::from_millis(10))).unwrap();
        }
        time.advance(Duration::from_millis(30));
        memory.put(b"key", b"", Ttl::Forever).unwrap();
        let mut shard = memory.lock(&memory.shards[0]);
        let mut hints = 1_000;
        while let Some(expired) = shard.next_expired(early, &mut hints) {
            memory.expire(&mut shard, expired);
        }
        assert!(hints > 0, "the same hints come again and again");
        assert_eq!(shard.len(), 1);
    }

    #[test]
    fn no_lifetime_is_too_long_to_be_lengthened() {
        let memory = open(&[("memory.ttl_jitter", "50")], Clock::default());
        for lifetime in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_nanos(u64::MAX)] {
            memory.put(b"key", b"", Ttl::For(lifetime)).unwrap();
            assert_eq!(memory.acquire(b"key").unwrap().unwrap().remaining(), None);
        }
    }

    /// Each shard has its share of the keys, whatever those look like, and whatever the seed is.
    // Arithmetic, and far too much of it for Miri.
    #[cfg(not(miri))]
    #[test]
    fn keys_spread_over_the_shards() {
        const KEYS: u64 = 64_000;
        let likes: [fn(u64) -> Vec<u8>; 4] = [
            |i| i.to_le_bytes().to_vec(),
            |i| (i << 40).to_be_bytes().to_vec(),
            |i| format!("user:{i:012}").into_bytes(),
            |i| vec![b'x'; i as usize % 1_000 + 1].into_iter().chain((i / 1_000).to_le_bytes()).collect(),
        ];
        for shards in [2_u64, 3, 64] {
            let memory = open(&[("memory.shards", &shards.to_string())], Clock::default());
            for like in likes {
                let mut counts = vec![0_u64; shards as usize];
                let layout = Layout(memory.layout.load(Relaxed));
                (0..KEYS).for_each(|i| counts[layout.home(memory.hash(&like(i)))] += 1);
                // Seven times the deviation that chance makes of it: less than one failure in a hundred million runs.
                let (share, most) = (KEYS / shards, 7.0 * ((KEYS / shards) as f64).sqrt());
                assert!(counts.iter().all(|count| (count.abs_diff(share) as f64) < most), "{shards}: {counts:?}");
            }
        }
    }

    /// Many of these expire in one tick and look alike to the index, and the way to some of them leads past others.
    #[test]
    fn entries_that_expire_in_one_tick_are_all_found() {
        let (clock, time) = Clock::manual();
        for round in 0..if cfg!(miri) { 1 } else { 40_u64 } {
            let memory = open(&[("memory.shards", "1"), ("memory.capacity", "unlimited")], clock.clone());
            for number in 0..if cfg!(miri) { 60 } else { 3_000_u64 } {
                let key = (round * 1_000_000 + number).to_le_bytes();
                memory.put(&key, b"", Ttl::For(Duration::from_millis(100))).unwrap();
            }
            time.advance(Duration::from_secs(1));
            memory.sweep();
            assert_eq!(memory.figures().entries, 0);
        }
    }
}
