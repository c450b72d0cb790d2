//! The memory tier: the safe face of the engine. Everything above sees this file only.
//!
//! An entry is found by the index, ordered by the policy, filed by deadline in the wheel, bounded by the budget, kept in
//! the heap, and given back through the list of retired entries when no lease holds it. Each of these is a room of its
//! own; a shard puts them under one lock.
//!
//! No entry is freed and nobody is called back under a lock.

mod arena;
mod budget;
mod entry;
mod expiry;
mod index;
mod lease;
mod list;
mod maintain;
mod policy;
mod reclaim;
mod shard;
mod value;

pub use entry::MAX_KEY_LEN;
pub(crate) use lease::release_all as release_results;
pub use lease::CLASSIC_RESULT_LIFETIME;
pub use value::Value;

use crate::clock::{Clock, Instant, Ttl, FOREVER};
use crate::codec::lz4;
use crate::error::{Error, Result, Status};
use crate::options::{MemoryOptions, PolicyName, UNBOUNDED};
use crate::stats::Striped;
use ahash::RandomState;
use arena::Heap;
use budget::Budget;
use crossbeam_utils::CachePadded;
use entry::{EntryRef, Label, Owned, Payload, Pinned};
use reclaim::Garbage;
use shard::{Shard, State};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// What the tier counts.
#[derive(Clone, Copy)]
enum Count {
    Hits,
    Misses,
    Puts,
    Removals,
    Evictions,
    Expirations,
    CompressedPuts,
    CompressionInput,
    CompressionOutput,
    Last,
}

pub(crate) struct Memory {
    heap: Arc<Heap>,
    /// Seeded for each cache, so that nobody can choose keys that fall together.
    hasher: RandomState,
    shards: Box<[CachePadded<Shard>]>,
    /// How many of the shards hold entries. Follows the capacity, see [`Memory::spread`]; written under all their locks.
    in_use: AtomicUsize,
    /// Whether the number of shards was asked for and does not follow the capacity.
    fixed_shards: bool,
    budget: Budget,
    policy: PolicyName,
    live: Live,
    clock: Clock,
    counters: Striped<{ Count::Last as usize }>,
}

/// Options that may change while the cache runs.
struct Live {
    ttl_nanos: AtomicU64,
    max_value_size: AtomicU64,
    compression: AtomicBool,
    compression_threshold: AtomicU64,
}

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// That many bytes were copied.
    Copied(usize),
    /// The value has that many bytes, more than the buffer; nothing was copied.
    Truncated(usize),
}

/// A classic result: good for as long as the calling thread's lease.
pub(crate) struct Lent {
    pub(crate) data: *const u8,
    pub(crate) len: usize,
}

/// Up to this many entries there is one shard, and eviction is in exact order. Fixed by the interface.
const ONE_SHARD: u64 = 4096;

/// Expired entries that a put frees beside its own work: more than one, so that the cache catches up with any burst;
/// few, so that no put waits.
const EXPIRED_PER_PUT: usize = 4;

impl Memory {
    pub(crate) fn open(options: &MemoryOptions, clock: Clock) -> Self {
        lease::prepare();
        let now = clock.now();
        let shard = || CachePadded::new(Shard::new(options.policy, now));
        let live = Live {
            ttl_nanos: AtomicU64::new(0),
            max_value_size: AtomicU64::new(0),
            compression: AtomicBool::new(false),
            compression_threshold: AtomicU64::new(0),
        };
        let shards: Box<[_]> = (0..shard_count(options)).map(|_| shard()).collect();
        let memory = Self {
            heap: Arc::new(Heap::new(options.jemalloc)),
            hasher: RandomState::new(),
            in_use: AtomicUsize::new(shards.len()),
            fixed_shards: options.shards != 0,
            shards,
            budget: Budget::new(options.entries(), options.max_bytes),
            policy: options.policy,
            live,
            clock,
            counters: Striped::new(),
        };
        memory.set_live(options);
        memory
    }

    /// Stores a value, in place of an earlier one.
    pub(crate) fn put(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        self.check_lengths(key, value)?;
        let block = self.compressed(value);
        let payload = match &block {
            Some(block) => Payload::Lz4 { block, original_len: value.len() as u32 },
            None => Payload::Plain(value),
        };
        // When it will expire is said when it goes in: compressing and copying may have taken a while.
        let label = Label { hash: self.hash(key), deadline: FOREVER };
        let entry = Owned::new(&self.heap, label, key, payload).ok_or_else(Error::out_of_memory)?;
        self.insert(label.hash, key, entry, ttl)?;
        self.count(Count::Puts, 1);
        if let Some(block) = block {
            self.count(Count::CompressedPuts, 1);
            self.count(Count::CompressionInput, value.len() as u64);
            self.count(Count::CompressionOutput, block.len() as u64);
        }
        Ok(())
    }

    /// Copies a value out. `None` is a miss; what did not fit is not a request yet, since the caller will ask again.
    pub(crate) fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<Read>> {
        let found = self.look_up(key, |entry| match entry.value() {
            Ok(value) => Ok(match buffer.get_mut(..value.len()) {
                Some(buffer) => {
                    buffer.copy_from_slice(value);
                    Read::Copied(value.len())
                }
                None => Read::Truncated(value.len()),
            }),
            Err(_) => Err(lease::InHand::take(entry)),
        });
        let read = match found {
            None => return Ok(None),
            Some(Ok(read)) => read,
            Some(Err(in_hand)) => decompress_into(in_hand.ok_or_else(Error::out_of_memory)?.entry(), buffer)?,
        };
        if let Read::Copied(_) = read {
            self.count(Count::Hits, 1);
        }
        Ok(Some(read))
    }

    /// A value that stays where it is until it is dropped. `None` is a miss.
    pub(crate) fn acquire(&self, key: &[u8]) -> Result<Option<Value>> {
        let Some(pinned) = self.look_up(key, |entry| entry.pin(&self.heap)) else { return Ok(None) };
        let pinned = match self.decompressed(pinned.entry())? {
            Some(copy) => Pinned::from_owned(copy, &self.heap),
            None => pinned,
        };
        self.count(Count::Hits, 1);
        Ok(Some(Value::new(pinned, self.clock.clone())))
    }

    /// A value that stays where it is until the calling thread has made [`CLASSIC_RESULT_LIFETIME`] more such calls, or
    /// ends, or the cache is dropped. `None` is a miss, which counts as such a call.
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>> {
        let slot = lease::Slot::take().ok_or_else(Error::out_of_memory)?;
        let found = self.look_up(key, |entry| match entry.value() {
            Ok(value) => {
                slot.hold(entry);
                Ok(Lent { data: value.as_ptr(), len: value.len() })
            }
            Err(_) => Err((lease::InHand::take(entry), slot)),
        });
        let (in_hand, slot) = match found {
            None => return Ok(None),
            Some(Ok(lent)) => {
                self.count(Count::Hits, 1);
                return Ok(Some(lent));
            }
            Some(Err(compressed)) => compressed,
        };
        let in_hand = in_hand.ok_or_else(Error::out_of_memory)?;
        let copy = self.decompressed(in_hand.entry())?.ok_or_else(damaged)?.into_shared();
        slot.hold(copy);
        let lent = copy.value().map(|value| Lent { data: value.as_ptr(), len: value.len() });
        // Retired from the first: the lease is all that holds it.
        let mut state = self.lock_home(in_hand.entry().hash());
        state.retire(copy, &self.heap);
        self.unlock(state);
        self.count(Count::Hits, 1);
        lent.map(Some).map_err(|_| damaged())
    }

    /// Removes a key; false when it was not there.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let (hash, now) = (self.hash(key), self.clock.now());
        let mut state = self.lock_home(hash);
        let mut removed = false;
        if let Some((_, entry)) = state.find(hash, key) {
            if entry.is_expired(now) {
                self.expire(&mut state, entry);
            } else {
                self.take_out(&mut state, entry, Count::Removals);
                removed = true;
            }
        }
        self.unlock(state);
        removed
    }

    /// Whether a key is there; neither a request nor a use.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let (hash, now) = (self.hash(key), self.clock.now());
        let state = self.lock_home(hash);
        state.find(hash, key).is_some_and(|(_, entry)| !entry.is_expired(now))
    }

    /// Finds a live entry, marks it as used, and lets `take` have it under the shard's lock. Counts a miss; a hit is counted
    /// by the caller, when it has been answered.
    fn look_up<R>(&self, key: &[u8], take: impl FnOnce(EntryRef) -> R) -> Option<R> {
        let (hash, now) = (self.hash(key), self.clock.now());
        let mut state = self.lock_home(hash);
        let found = match state.find(hash, key) {
            Some((_, entry)) if !entry.is_expired(now) => {
                state.touch(entry);
                Some(take(entry))
            }
            Some((_, expired)) => {
                self.expire(&mut state, expired);
                None
            }
            None => None,
        };
        self.unlock(state);
        if found.is_none() {
            self.count(Count::Misses, 1);
        }
        found
    }

    /// Puts an entry into its shard. A full cache evicts first, so that there are never too many entries.
    fn insert(&self, hash: u64, key: &[u8], mut entry: Owned<'_>, ttl: Ttl) -> Result<()> {
        loop {
            let mut state = self.lock_home(hash);
            let now = self.clock.now();
            entry.set_deadline(self.deadline(ttl));
            for _ in 0..EXPIRED_PER_PUT {
                let Some(due) = state.due(now) else { break };
                self.expire(&mut state, due);
            }
            if !state.reserve(&self.heap) {
                return Err(Error::out_of_memory());
            }
            // The index stays when all others have left.
            let (size, index) = (entry.size(), self.heap.index());
            if self.budget.is_over_bytes(size + index) {
                return Err(too_large_for_all(size, index, self.budget.max_bytes()));
            }
            let entry = match state.find(hash, key) {
                Some((position, old)) => {
                    let entry = entry.into_shared();
                    state.replace(position, old, entry, &self.heap);
                    entry
                }
                None if self.budget.reserve() || self.evict(&mut state) => {
                    let entry = entry.into_shared();
                    state.insert(entry);
                    entry
                }
                None => {
                    // The cache is full and this shard is empty: another shard has to give a place.
                    self.unlock(state);
                    self.shed(1, || self.budget.is_full());
                    continue;
                }
            };
            while self.budget.is_over_bytes(self.heap.held()) && state.victim().is_some_and(|victim| victim != entry) {
                self.evict(&mut state);
                self.budget.release(1);
            }
            self.unlock(state);
            // Also when the capacity was lowered between the reservation and now.
            self.shed(1, || self.budget.is_over_capacity() || self.budget.is_over_bytes(self.heap.held()));
            return Ok(());
        }
    }

    /// Evicts one entry; its place in the budget is the caller's now. False when the shard is empty.
    fn evict(&self, state: &mut State) -> bool {
        let Some(victim) = state.victim() else { return false };
        state.remove(victim, &self.heap);
        self.count(Count::Evictions, 1);
        true
    }

    fn expire(&self, state: &mut State, entry: EntryRef) {
        self.take_out(state, entry, Count::Expirations);
    }

    fn take_out(&self, state: &mut State, entry: EntryRef, why: Count) {
        state.remove(entry, &self.heap);
        self.budget.release(1);
        self.count(why, 1);
    }

    /// The plain form of a compressed entry in a block of its own; `None` when it is plain already.
    fn decompressed(&self, entry: EntryRef) -> Result<Option<Owned<'_>>> {
        let Err(compressed) = entry.value() else { return Ok(None) };
        let label = Label { hash: entry.hash(), deadline: entry.deadline() };
        let copy = Owned::zeroed(&self.heap, label, compressed.original_len);
        let mut copy = copy.ok_or_else(Error::out_of_memory)?;
        if lz4::decompress(compressed.block, copy.value_mut()) {
            Ok(Some(copy))
        } else {
            Err(damaged())
        }
    }

    fn compressed(&self, value: &[u8]) -> Option<Vec<u8>> {
        let wanted =
            self.live.compression.load(Relaxed) && value.len() as u64 >= self.live.compression_threshold.load(Relaxed);
        if wanted {
            lz4::compress(value)
        } else {
            None
        }
    }

    fn check_lengths(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if key.len() > MAX_KEY_LEN {
            let message = format!("the key has {} bytes; at most {MAX_KEY_LEN} are allowed", key.len());
            return Err(Error::new(Status::KeyTooLarge, message));
        }
        let max = self.live.max_value_size.load(Relaxed);
        if value.len() as u64 > max {
            let message = format!("the value has {} bytes; memory.max_value_size allows {max}", value.len());
            return Err(Error::new(Status::ValueTooLarge, message));
        }
        Ok(())
    }

    fn deadline(&self, ttl: Ttl) -> Instant {
        match ttl {
            Ttl::Default => self.clock.deadline(Duration::from_nanos(self.live.ttl_nanos.load(Relaxed))),
            Ttl::For(lifetime) => self.clock.deadline(lifetime),
            Ttl::Forever => FOREVER,
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The shard that a hash belongs to, locked.
    fn lock_home(&self, hash: u64) -> MutexGuard<'_, State> {
        loop {
            let in_use = self.in_use.load(Relaxed);
            let state = self.lock(&self.shards[home(hash, in_use)]);
            // Written under all locks, so what is read under one of them is right until that is released.
            if self.in_use.load(Relaxed) == in_use {
                return state;
            }
        }
    }

    fn lock<'a>(&'a self, shard: &'a Shard) -> MutexGuard<'a, State> {
        let (state, lost) = shard.lock(&self.clock);
        // The panic itself was told to the logger where it was caught.
        if lost > 0 {
            self.budget.release(lost);
        }
        state
    }

    /// Releases a shard, then frees what can be freed.
    fn unlock(&self, mut state: MutexGuard<'_, State>) {
        let garbage: Garbage<'_> = state.collect_if_due(&self.heap);
        drop(state);
        drop(garbage);
    }

    fn count(&self, what: Count, by: u64) {
        self.counters.add(what as usize, by);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Nobody holds a value, so the arena goes as a whole, and with it every block.
        if self.heap.is_arena() && Arc::get_mut(&mut self.heap).is_some() {
            return;
        }
        for shard in &mut self.shards {
            drop(shard.get_mut().take_all(&self.heap));
        }
    }
}

/// Which of so many shards a hash belongs to: its top 16 bits, spread over them. The index uses other bits.
fn home(hash: u64, shards: usize) -> usize {
    ((hash >> 48) as usize * shards) >> 16
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
    // Four a core, so that two threads seldom meet; at least 2,048 entries each, so that a shard's order is nearly the
    // cache's.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let enough = (4 * cores).next_power_of_two().min(64);
    if entries == UNBOUNDED {
        enough
    } else {
        enough.min(entries / (ONE_SHARD / 2)).max(1)
    }
}

fn decompress_into(entry: EntryRef, buffer: &mut [u8]) -> Result<Read> {
    let Err(compressed) = entry.value() else { return Err(damaged()) };
    let len = compressed.original_len;
    let Some(buffer) = buffer.get_mut(..len) else { return Ok(Read::Truncated(len)) };
    if lz4::decompress(compressed.block, buffer) {
        Ok(Read::Copied(len))
    } else {
        Err(damaged())
    }
}

fn too_large_for_all(size: u64, index: u64, max: u64) -> Error {
    let message = format!("the entry takes {size} bytes and the index {index}; memory.max_bytes allows {max}");
    Error::new(Status::ValueTooLarge, message)
}

fn damaged() -> Error {
    Error::new(Status::Internal, "a compressed value in memory does not decompress: the memory was overwritten")
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let found = keys.iter().filter(|key| memory.contains(*key)).count() as u64;
        assert_eq!((found, memory.budget.entries()), (100 - lost, 100 - lost));
        for key in &keys {
            memory.put(key, key, Ttl::Default).unwrap();
            assert!(memory.contains(key));
        }
    }
}
