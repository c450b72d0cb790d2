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
mod budget;
mod departure;
mod entry;
mod expiry;
mod hazard;
mod index;
mod lease;
mod list;
mod maintain;
mod pin;
mod policy;
mod reclaim;
mod record;
mod shard;
mod tags;
mod update;
mod value;
mod version;
mod walk;

pub use batch::{Get, Put, Remove};
pub use departure::{Cause, Departed, Listener};
pub use entry::{MAX_KEY_LEN, MAX_TAGS};
pub(crate) use lease::release_all as release_results;
pub use lease::CLASSIC_RESULT_LIFETIME;
pub(crate) use update::Ready;
pub use update::{Condition, PutOptions, PutOutcome, MAX_TAG_LEN};
pub(crate) use value::check_largest;
pub use value::Value;
pub use walk::Keys;

use crate::clock::{Clock, Tick, Ttl};
use crate::codec::lz4;
use crate::error::{Error, Result, Status};
use crate::latency::Histogram;
use crate::options::{MemoryOptions, UNBOUNDED};
use crate::stats::Striped;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use crate::sync::seed;
use arena::{Heap, Magazine};
use budget::Budget;
use crossbeam_utils::CachePadded;
use departure::Departures;
use entry::{Draft, EntryRef, Header, Owned, Payload};
use index::{Hash, Position, Search};
use policy::{Chooser, Chosen, Deciders, Noted, OnHit, Switch};
use reclaim::Reader;
use shard::{Count, Leaving, Locked, Shard, Shared};
use std::sync::Arc;
use std::time::Duration;
use update::Terms;

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

/// Whether there is room for an entry.
enum Room {
    Made,
    /// It is too heavy for a key that nobody has asked for before.
    TurnedAway,
    /// So many bytes are missing that this shard does not have.
    Lacking(u64),
}

/// Up to this many entries there is one shard, and eviction is in exact order. Fixed by the interface.
const ONE_SHARD: u64 = 4096;

/// Expired entries that a put frees beside its own work: more than one, so that the cache catches up with any burst; few,
/// so that no put waits.
const EXPIRED_PER_PUT: usize = 4;
/// Hints that it looks at for that; most of those whose entry has gone cost one look into the index.
const HINTS_PER_PUT: usize = 32;

/// Entries up to this size are made under the shard's lock, from its magazine; to copy a larger one takes longer than to get
/// a block elsewhere.
const MADE_UNDER_LOCK: usize = 4 << 10;

/// Keys up to this length take the straight way, and values below it may (see [`Live::plain_below`]): together with what an
/// entry has besides them, they do not exceed [`MADE_UNDER_LOCK`].
const PLAIN_KEY: usize = 1 << 10;
const PLAIN_VALUE: u64 = 2 << 10;

/// An entry that takes more than this part of the bytes that the cache may hold is heavy: it could drive out much of what is
/// there, so it has to be asked for twice.
const HEAVY_PART: u64 = 4;

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

    /// Stores a value, in place of an earlier one.
    #[inline(always)]
    pub(crate) fn put(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        let hash = self.hash(key);
        if self.expect_put(hash).is_sampled(hash) {
            return self.sampled_put(hash, key, value, ttl);
        }
        self.put_hashed(hash, key, value, ttl)
    }

    #[cold]
    fn sampled_put(&self, hash: Hash, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        self.taking_time(|| self.put_hashed(hash, key, value, ttl))
    }

    /// Runs what puts a key with that hash, and now and then takes the time.
    #[inline(always)]
    fn timed_put<R>(&self, hash: Hash, put: impl FnOnce() -> R) -> R {
        if self.expect_put(hash).is_sampled(hash) {
            self.taking_time(put)
        } else {
            put()
        }
    }

    fn taking_time<R>(&self, put: impl FnOnce() -> R) -> R {
        let begun = self.clock.nanos();
        let stored = put();
        self.write_times.add(self.clock.nanos().saturating_sub(begun));
        stored
    }

    /// Asks the processor for what a put of a key with that hash will touch.
    #[inline(always)]
    fn expect_put(&self, hash: Hash) -> &Shard {
        let shard = &self.shards[Layout(self.layout.load(Relaxed)).home(hash)];
        shard.expect_put(hash);
        shard
    }

    /// Runs a look-up that was chosen to be timed. With a reader of its own, and what it needs moved into it: so nobody has the
    /// address of what the caller keeps in registers.
    #[cold]
    #[inline(never)]
    fn timed_read<T>(&self, read: impl FnOnce(&Reader) -> Result<T>) -> Result<T> {
        let begun = self.clock.nanos();
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let found = read(&reader);
        drop(reader);
        self.read_times.add(self.clock.nanos().saturating_sub(begun));
        self.tell();
        found
    }

    /// A put of a key with that hash, for which [`Memory::expect_put`] has been called.
    #[inline(always)]
    fn put_hashed(&self, hash: Hash, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        if key.len() <= PLAIN_KEY && (value.len() as u64) < self.live.plain_below.load(Relaxed) {
            if let Some(draft) = Draft::plain(key, value) {
                return self.put_plain(hash, &draft, ttl);
            }
        }
        self.put_thoroughly(hash, key, value, ttl)
    }

    /// The same whatever the options and the lengths are.
    #[cold]
    #[inline(never)]
    fn put_thoroughly(&self, hash: Hash, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        self.check_lengths(key, value.len())?;
        let block = self.compressed(value);
        let draft = self.draft(key, Self::payload(value, &block), &[])?;
        self.insert(hash, &draft, ttl, None).map(|_| ())
    }

    /// The straight way, see [`Live::plain_below`]: as [`Memory::insert`], but for what takes no part in it.
    #[inline(always)]
    fn put_plain(&self, hash: Hash, draft: &Draft<'_>, ttl: Ttl) -> Result<()> {
        let mut shard = self.lock_home(hash);
        shard.expect(hash, draft.layout());
        self.expire_some(&mut shard);
        if self.shared.budget.bounds_bytes() {
            drop(shard);
            return self.insert(hash, draft, ttl, None).map(|_| ());
        }
        if !shard.reserve(|| self.expected_entries()) {
            return Err(Error::out_of_memory());
        }
        let present = shard.find_to_replace(hash, draft.key(), draft.layout());
        let mut leaves = None;
        match present {
            Some((_, old)) => shard.expect_replace(old),
            None if self.has_place(&mut shard) => {}
            None => {
                leaves = shard.begin_eviction();
                if leaves.is_none() {
                    drop(shard);
                    return self.insert(hash, draft, ttl, None).map(|_| ());
                }
            }
        }
        let made = shard.make(draft);
        if let Some(leaving) = leaves {
            self.end_eviction(&mut shard, leaving);
        }
        let Some(mut entry) = made else { return Err(Error::out_of_memory()) };
        if ttl != Ttl::Forever {
            self.set_deadline(&mut shard, &mut entry, ttl);
        }
        match present {
            Some((position, old)) => shard.replace(position, old, entry, hash),
            None => shard.insert(entry, hash),
        };
        shard.count(Count::Puts, 1);
        shard.weed();
        self.balance(&mut shard);
        Ok(())
    }

    /// What will become an entry of this cache.
    #[inline(always)]
    fn draft<'a>(&self, key: &'a [u8], payload: Payload<'a>, tags: &'a [u64]) -> Result<Draft<'a>> {
        Draft::new(key, payload, self.sliding, tags).ok_or_else(Error::out_of_memory)
    }

    /// A value, in its compressed form where there is one.
    fn payload<'a>(value: &'a [u8], block: &'a Option<Vec<u8>>) -> Payload<'a> {
        match block {
            Some(block) => Payload::Lz4 { block, original_len: value.len() as u32 },
            None => Payload::Plain(value),
        }
    }

    /// Copies a value out. `None` is a miss; what did not fit is not a request yet, since the caller will ask again.
    #[inline(always)]
    pub(crate) fn read(&self, key: &[u8], buffer: &mut [u8]) -> Result<Option<Read>> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.read_hashed(reader, self.hash(key), key, buffer));
        }
        let Some(entry) = self.look_up(&reader, reader.hazard(), self.hash(key), key) else {
            self.missed(reader);
            return Ok(None);
        };
        self.copy_out(&reader, entry, buffer)
    }

    /// As [`Memory::read`], but tells nothing.
    #[inline(always)]
    fn read_hashed(&self, reader: &Reader, hash: Hash, key: &[u8], buffer: &mut [u8]) -> Result<Option<Read>> {
        let Some(entry) = self.look_up(reader, reader.hazard(), hash, key) else {
            self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            return Ok(None);
        };
        self.copy_out(reader, entry, buffer)
    }

    /// Shows a value where it lies, without a copy unless it is compressed. False is a miss, which is counted only if it is `last`:
    /// the caller asks nobody else. `show` runs while the entry is announced, so it may not look anything up.
    #[inline]
    pub(crate) fn visit(&self, key: &[u8], last: bool, show: impl FnOnce(&[u8])) -> Result<bool> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.visit_in(reader, key, last, show));
        }
        let found = self.visit_in(&reader, key, last, show);
        drop(reader);
        if let Ok(false) = found {
            self.tell();
        }
        found
    }

    #[inline]
    fn visit_in(&self, reader: &Reader, key: &[u8], last: bool, show: impl FnOnce(&[u8])) -> Result<bool> {
        let Some(entry) = self.look_up(reader, reader.hazard(), self.hash(key), key) else {
            if last {
                self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            }
            return Ok(false);
        };
        match entry.value() {
            Ok(value) => show(value),
            Err(_) => {
                if let Some(mut copy) = self.decompressed(entry)? {
                    show(copy.value_mut());
                }
            }
        }
        self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        Ok(true)
    }

    /// The end of a look-up that has found nothing, and may have met an expired entry: others make nothing leave.
    #[inline(always)]
    fn missed(&self, reader: Reader) {
        self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
        drop(reader);
        self.tell();
    }

    #[inline(always)]
    fn copy_out(&self, reader: &Reader, entry: EntryRef, buffer: &mut [u8]) -> Result<Option<Read>> {
        let read = match entry.value() {
            Ok(value) => match buffer.get_mut(..value.len()) {
                Some(buffer) => {
                    buffer.copy_from_slice(value);
                    Read::Copied(value.len())
                }
                None => Read::Truncated(value.len()),
            },
            Err(_) => decompress_into(entry, buffer)?,
        };
        if let Read::Copied(_) = read {
            self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        }
        Ok(Some(read))
    }

    /// A value that stays where it is until it is dropped. `None` is a miss.
    pub(crate) fn acquire(&self, key: &[u8]) -> Result<Option<Value>> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.acquire_in(reader, key));
        }
        let value = self.acquire_in(&reader, key);
        drop(reader);
        if let Ok(None) = value {
            self.tell();
        }
        value
    }

    #[inline]
    fn acquire_in(&self, reader: &Reader, key: &[u8]) -> Result<Option<Value>> {
        let Some(entry) = self.look_up(reader, reader.hazard(), self.hash(key), key) else {
            self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            return Ok(None);
        };
        let deadline = entry.deadline();
        let pinned = entry.pin(&self.shared.heap).ok_or_else(Error::out_of_memory)?;
        // The entry stays pinned beside its copy: else another one at its address could pass for it.
        let copy = self.decompressed(entry)?.map(|copy| copy.into_value(&self.shared.heap));
        self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        Ok(Some(Value::new(pinned, copy, deadline, self.clock.clone())))
    }

    /// A value that stays where it is until the calling thread has made [`CLASSIC_RESULT_LIFETIME`] more such calls, or
    /// ends, or the cache is dropped. `None` is a miss, which counts as such a call.
    #[inline(always)]
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.lend_in(reader, key));
        }
        let hash = self.hash(key);
        let lease = lease::take(reader.record());
        let Some(entry) = self.look_up(&reader, lease, hash, key) else {
            hazard::withdraw(lease);
            self.missed(reader);
            return Ok(None);
        };
        self.lend_out(&reader, lease, hash, entry)
    }

    /// As [`Memory::lend`], but tells nothing.
    fn lend_in(&self, reader: &Reader, key: &[u8]) -> Result<Option<Lent>> {
        let hash = self.hash(key);
        let lease = lease::take(reader.record());
        let Some(entry) = self.look_up(reader, lease, hash, key) else {
            hazard::withdraw(lease);
            self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            return Ok(None);
        };
        self.lend_out(reader, lease, hash, entry)
    }

    #[inline(always)]
    fn lend_out(
        &self,
        reader: &Reader,
        lease: &AtomicPtr<Header>,
        hash: Hash,
        entry: EntryRef,
    ) -> Result<Option<Lent>> {
        let lent = match entry.value() {
            Ok(value) => Lent { data: value.as_ptr(), len: value.len() },
            Err(_) => self.lend_copy(lease, hash, entry)?,
        };
        self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        Ok(Some(lent))
    }

    /// Lends the plain form of a compressed entry: in a block of its own, which the lease then holds instead of the entry.
    #[cold]
    fn lend_copy(&self, lease: &AtomicPtr<Header>, hash: Hash, entry: EntryRef) -> Result<Lent> {
        let copy = self.decompressed(entry)?.ok_or_else(damaged)?;
        let lent = copy.lend_in(lease).ok_or_else(damaged)?;
        // Retired from the first: the lease is all that holds it.
        self.lock_home(hash).retire(copy);
        Ok(lent)
    }

    /// Lends a value that is not in the cache, in place of the miss that the thread's last look-up was.
    pub(crate) fn lend_detached(&self, key: &[u8], value: &[u8]) -> Result<Lent> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let lease = lease::take_again(reader.record());
        let mut copy = Owned::zeroed(&self.shared.heap, value.len()).ok_or_else(Error::out_of_memory)?;
        copy.value_mut().copy_from_slice(value);
        let lent = copy.lend_in(lease).ok_or_else(damaged)?;
        self.lock_home(self.hash(key)).retire(copy);
        Ok(lent)
    }

    /// Removes a key; false when it was not there.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        self.remove_hashed(self.hash(key), key)
    }

    fn remove_hashed(&self, hash: Hash, key: &[u8]) -> bool {
        let mut shard = self.lock_home(hash);
        let Some((_, entry)) = shard.find(hash, key) else { return false };
        if self.is_expired(entry) {
            self.expire(&mut shard, entry);
            return false;
        }
        self.take_out(&mut shard, entry, Cause::Removed);
        true
    }

    /// Whether a key is there; neither a request nor a use.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let is_live = |entry| !self.is_expired(entry);
        match Reader::enter() {
            Some(reader) => {
                let found = self.search::<false>(&reader, reader.hazard(), hash, key);
                found.is_some_and(|(_, entry)| is_live(entry))
            }
            // Without memory for a record.
            None => self.lock_home(hash).find(hash, key).is_some_and(|(_, entry)| is_live(entry)),
        }
    }

    /// Finds a live entry, announces it in `hazard`, and notes that it was used. What has expired is freed on the way.
    #[inline(always)]
    fn look_up(&self, reader: &Reader, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Option<EntryRef> {
        let (shard, entry) = self.search::<true>(reader, hazard, hash, key)?;
        if entry.expires() {
            let now = self.clock.now();
            if entry.is_expired(now) {
                self.meet_expired(shard, hash, key);
                return None;
            }
            if entry.is_sliding() {
                self.slide(entry, now);
            }
        }
        if self.on_hit.note(entry, hash, &shard.clock, &self.deciders.chooser) == Noted::Overdue {
            self.lock(shard).renew();
        }
        if shard.published.is_growing() {
            self.help_growth(shard, hash);
        }
        Some(entry)
    }

    /// Finds an entry, expired or not, and announces it in `hazard`. `READS`: its value will be read soon.
    #[inline(always)]
    fn search<const READS: bool>(
        &self,
        reader: &Reader,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Option<(&Shard, EntryRef)> {
        let layout = Layout(self.layout.load(Acquire));
        let shard = &self.shards[layout.home(hash)];
        match shard.published.search::<READS>(reader, hazard, hash, key) {
            Search::Found(entry) => Some((shard, entry)),
            // It may have been on its way from one shard to another.
            Search::Absent if self.layout.load(Acquire) == layout.0 && !layout.is_moving() => None,
            _ => self.search_locked(hazard, hash, key),
        }
    }

    #[cold]
    fn search_locked(&self, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Option<(&Shard, EntryRef)> {
        let shard = self.lock_home(hash);
        let (_, entry) = shard.find(hash, key)?;
        // Under the lock, so it is announced before it can be retired.
        hazard.store(entry.as_ptr(), Release);
        Some((shard.shard(), entry))
    }

    /// Frees an entry that a look-up has found expired, unless writers are busy: then one of them will.
    #[cold]
    fn meet_expired(&self, shard: &Shard, hash: Hash, key: &[u8]) {
        let Some(mut shard) = shard.try_lock(&self.shared) else { return };
        if let Some((_, entry)) = shard.find(hash, key).filter(|(_, entry)| self.is_expired(*entry)) {
            self.expire(&mut shard, entry);
        }
    }

    #[cold]
    fn slide(&self, entry: EntryRef, now: Tick) {
        let Some(lifetime) = entry.sliding_lifetime() else { return };
        // Only within the tick in which it was put off already there is nothing to gain from reading the clock exactly.
        if now + lifetime + 1 >= entry.deadline() {
            entry.renew(|lifetime| self.clock.deadline_in(lifetime));
        }
    }

    /// A look-up that found two tables now and then moves a few buckets, so that an index which nobody writes to any more does
    /// not stay in two parts.
    #[cold]
    fn help_growth(&self, shard: &Shard, hash: Hash) {
        const ONE_IN: u32 = if cfg!(shuttle) { 1 } else { 64 };
        const BUCKETS: usize = if cfg!(shuttle) { 1 } else { 2 };
        if hash.place().is_multiple_of(ONE_IN) {
            if let Some(mut shard) = shard.try_lock(&self.shared) {
                shard.advance_growth(BUCKETS);
            }
        }
    }

    /// Puts an entry into its shard. A full cache evicts first, so that there is never too much in it. What it touches should have
    /// been asked for: [`Memory::expect_put`].
    #[inline(never)]
    fn insert(&self, hash: Hash, draft: &Draft<'_>, ttl: Ttl, terms: Option<&Terms>) -> Result<PutOutcome> {
        let (key, layout) = (draft.key(), draft.layout());
        let make = |magazine: &mut Magazine| draft.make(&self.shared.heap, magazine);
        let (mut made, mut is_admitted) = (None, false);
        if layout.size() > MADE_UNDER_LOCK {
            made = Some(make(&mut Magazine::none()).ok_or_else(Error::out_of_memory)?);
        }
        loop {
            let mut shard = self.lock_home(hash);
            shard.expect(hash, layout);
            self.expire_some(&mut shard);
            if !shard.reserve(|| self.expected_entries()) {
                return Err(Error::out_of_memory());
            }
            let mut present = shard.find_to_replace(hash, key, layout);
            if let Some(terms) = terms {
                if let Some(outcome) = self.refuse(&mut shard, &mut present, terms) {
                    return Ok(outcome);
                }
                if terms.tell_version && !shard.reserve_version() {
                    return Err(Error::out_of_memory());
                }
            }
            if self.shared.budget.bounds_bytes() {
                let size = made.as_ref().map_or_else(|| self.shared.heap.size_for(layout), Owned::size);
                match self.make_room(&mut shard, hash, key, size + expiry::HINT, &mut is_admitted) {
                    Ok(Room::Made) => present = shard.find(hash, key),
                    Ok(Room::TurnedAway) => {
                        if self.shared.departures.are_wanted() {
                            let entry = made.or_else(|| make(&mut Magazine::none()));
                            self.shared
                                .departures
                                .push(entry.map(|entry| entry.into_value(&self.shared.heap)), Cause::Evicted);
                        }
                        shard.count_put(draft.payload());
                        self.settle(shard, hash, None);
                        return Ok(PutOutcome::Stored(0));
                    }
                    Err(error) => {
                        self.settle(shard, hash, None);
                        return Err(error);
                    }
                    Ok(Room::Lacking(bytes)) => {
                        // This shard is empty, or nearly: others have to give room.
                        drop(shard);
                        self.shed(1, || self.shared.budget.lacks_bytes(bytes));
                        continue;
                    }
                }
            }
            if present.is_none() && !self.make_place(&mut shard) {
                drop(shard);
                self.shed(1, || self.shared.budget.is_full());
                continue;
            }
            if let Some((_, old)) = present {
                shard.expect_replace(old);
            }
            let Some(mut entry) = made.take().or_else(|| shard.make(draft)) else {
                return Err(Error::out_of_memory());
            };
            // When it will expire is said when it goes in: compressing and copying may have taken a while.
            match (present, terms) {
                (Some((_, old)), Some(terms)) if terms.instead_of.is_some() => entry.keep_end_of(old),
                (_, Some(Terms { since: Some(since), .. })) => self.set_deadline_since(&mut entry, *since, ttl),
                _ => self.set_deadline(&mut shard, &mut entry, ttl),
            }
            let entry = match present {
                Some((position, old)) => shard.replace(position, old, entry, hash),
                None => shard.insert(entry, hash),
            };
            let mut version = 0;
            if terms.is_some_and(|terms| terms.tell_version) {
                version = shard.version(entry, || self.next_version()).unwrap_or(0);
            }
            shard.count_put(draft.payload());
            shard.weed();
            if self.shared.budget.bounds_bytes() {
                self.settle(shard, hash, Some(entry));
            } else {
                self.balance(&mut shard);
            }
            return Ok(PutOutcome::Stored(version));
        }
    }

    /// Why a put may not go on; `None`: it may. What is there and has expired is taken out first.
    fn refuse(
        &self,
        shard: &mut Locked<'_>,
        present: &mut Option<(Position, EntryRef)>,
        terms: &Terms,
    ) -> Option<PutOutcome> {
        if let Some((_, expired)) = present.filter(|(_, entry)| self.is_expired(*entry)) {
            self.expire(shard, expired);
            *present = None;
        }
        terms.refuse(shard, present.map(|(_, entry)| entry))
    }

    /// Makes a place for one entry more, by an eviction if need be. False: the cache is full, and this shard is empty.
    fn make_place(&self, shard: &mut Locked<'_>) -> bool {
        self.has_place(shard) || self.evict(shard)
    }

    /// Whether one entry more may be there without an eviction.
    #[inline(always)]
    fn has_place(&self, shard: &mut Locked<'_>) -> bool {
        let entries = shard.len() as u64 + 1;
        if shard.grant().entries >= entries {
            return true;
        }
        let shards = Layout(self.layout.load(Relaxed)).shards();
        !self.shared.budget.is_full() && self.shared.budget.cover_entries(shard.grant(), entries, shards)
    }

    /// Makes room for so many bytes under a key, by evictions if need be. `is_admitted`: it was found to be worth that already.
    #[cold]
    fn make_room(
        &self,
        shard: &mut Locked<'_>,
        hash: Hash,
        key: &[u8],
        size: u64,
        is_admitted: &mut bool,
    ) -> Result<Room> {
        let shards = Layout(self.layout.load(Relaxed)).shards();
        // The index stays when all others have left.
        let max = self.shared.budget.max_bytes();
        let index: u64 = self.shards.iter().map(Shard::index_bytes).sum();
        if size + index > max {
            return Err(too_large_for_all(size, index, max));
        }
        *is_admitted |= size <= max / HEAVY_PART;
        loop {
            let present = shard.find(hash, key);
            let gone = present.map_or(0, |(_, old)| old.size(&self.shared.heap));
            let bytes = shard.bytes() - gone + size;
            if self.shared.budget.cover_bytes(shard.grant(), bytes, shards) {
                return Ok(Room::Made);
            }
            if !*is_admitted && !shard.is_expected(hash) {
                if let Some((_, old)) = present {
                    self.take_out(shard, old, Cause::Evicted);
                }
                shard.count(Count::Evictions, 1);
                return Ok(Room::TurnedAway);
            }
            *is_admitted = true;
            if !self.evict(shard) {
                return Ok(Room::Lacking(bytes - shard.grant().bytes));
            }
        }
    }

    /// After an entry has gone in or was refused: evicts others for what the shard has taken beyond what was foreseen (the
    /// index may have grown), and gives back what it does not need.
    #[inline(always)]
    fn settle<'a>(&'a self, mut shard: Locked<'a>, hash: Hash, entry: Option<EntryRef>) {
        if self.shared.budget.bounds_bytes() {
            self.settle_bytes(shard, hash, entry);
        } else {
            self.balance(&mut shard);
        }
    }

    #[cold]
    fn settle_bytes<'a>(&'a self, mut shard: Locked<'a>, hash: Hash, entry: Option<EntryRef>) {
        let shards = Layout(self.layout.load(Relaxed)).shards();
        loop {
            let bytes = shard.bytes();
            if self.shared.budget.cover_bytes(shard.grant(), bytes, shards) {
                break;
            }
            match shard.victim() {
                Some(victim) if Some(victim) != entry => self.evict_victim(&mut shard, victim),
                _ => {
                    let lacking = bytes - shard.grant().bytes;
                    drop(shard);
                    if !self.shed(1, || self.shared.budget.lacks_bytes(lacking)) {
                        return;
                    }
                    shard = self.lock_home(hash);
                }
            }
        }
        self.balance(&mut shard);
    }

    /// Gives back what a shard was granted and does not need, if it is much.
    #[inline(always)]
    fn balance(&self, shard: &mut Locked<'_>) {
        if shard.grant().bytes != 0 || shard.grant().entries > shard.len() as u64 + 1 {
            self.give_back(shard);
        }
    }

    #[inline(never)]
    fn give_back(&self, shard: &mut Locked<'_>) {
        let shards = Layout(self.layout.load(Relaxed)).shards();
        let (entries, bytes) = (shard.len() as u64, shard.bytes());
        self.shared.budget.balance(shard.grant(), entries, bytes, shards);
    }

    /// Evicts one entry. False when the shard is empty.
    #[inline(never)]
    fn evict(&self, shard: &mut Locked<'_>) -> bool {
        let Some(victim) = shard.victim() else { return false };
        self.evict_victim(shard, victim);
        true
    }

    fn evict_victim(&self, shard: &mut Locked<'_>, victim: EntryRef) {
        let leaving = shard.forget(victim);
        self.end_eviction(shard, leaving);
    }

    #[inline(always)]
    fn end_eviction(&self, shard: &mut Locked<'_>, leaving: Leaving) {
        shard.end_eviction(leaving);
        shard.count(Count::Evictions, 1);
    }

    /// Frees some of what has expired.
    #[inline(always)]
    fn expire_some(&self, shard: &mut Locked<'_>) {
        if shard.has_hints() {
            self.expire_hinted(shard);
        }
    }

    #[inline(never)]
    fn expire_hinted(&self, shard: &mut Locked<'_>) {
        let now = self.clock.now();
        let mut hints = HINTS_PER_PUT;
        for _ in 0..EXPIRED_PER_PUT {
            let Some(expired) = shard.next_expired(now, &mut hints) else { break };
            self.expire(shard, expired);
        }
    }

    fn expire(&self, shard: &mut Locked<'_>, entry: EntryRef) {
        self.take_out(shard, entry, Cause::Expired);
    }

    fn take_out(&self, shard: &mut Locked<'_>, entry: EntryRef, cause: Cause) {
        shard.remove(entry, cause);
        self.balance(shard);
        let count = match cause {
            Cause::Evicted => Count::Evictions,
            Cause::Expired => Count::Expirations,
            Cause::Replaced | Cause::Removed | Cause::Purged => Count::Removals,
        };
        shard.count(count, 1);
    }

    fn is_expired(&self, entry: EntryRef) -> bool {
        entry.expires() && entry.is_expired(self.clock.now())
    }

    /// The plain form of a compressed entry in a block of its own; `None` when it is plain already.
    fn decompressed(&self, entry: EntryRef) -> Result<Option<Owned<'_>>> {
        decompressed(&self.shared.heap, entry)
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

    fn check_lengths(&self, key: &[u8], value_len: usize) -> Result<()> {
        Self::check_key(key)?;
        let max = self.live.max_value_size.load(Relaxed);
        if value_len as u64 > max || max == 0 {
            let message = match max {
                0 => "memory.max_value_size is 0: memory keeps nothing".into(),
                _ => format!("the value has {value_len} bytes; memory.max_value_size allows {max}"),
            };
            return Err(Error::new(Status::ValueTooLarge, message));
        }
        Ok(())
    }

    fn set_deadline(&self, shard: &mut Locked<'_>, entry: &mut Owned<'_>, ttl: Ttl) {
        if let Some(lifetime) = self.lifetime(shard, ttl) {
            entry.set_deadline(self.clock.deadline(lifetime), self.clock.ticks(lifetime));
        }
    }

    /// The same from another time on, and without what is added at random.
    fn set_deadline_since(&self, entry: &mut Owned<'_>, since: u64, ttl: Ttl) {
        if let Some(lifetime) = self.lifetime_of(ttl) {
            entry.set_deadline(self.clock.deadline_since(since, lifetime), self.clock.ticks(lifetime));
        }
    }

    /// How long what gets this lifetime now lives; `None`: for ever.
    #[inline(always)]
    fn lifetime(&self, shard: &mut Locked<'_>, ttl: Ttl) -> Option<Duration> {
        let lifetime = self.lifetime_of(ttl)?;
        Some(match self.live.ttl_jitter.load(Relaxed) {
            0 => lifetime,
            percent => lengthened(lifetime, percent, shard.random()),
        })
    }

    /// The same without what is added at random.
    #[inline(always)]
    fn lifetime_of(&self, ttl: Ttl) -> Option<Duration> {
        match ttl {
            Ttl::Default => Some(Duration::from_nanos(self.live.ttl_nanos.load(Relaxed))),
            Ttl::For(lifetime) => Some(lifetime),
            Ttl::Forever => None,
        }
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

/// A lifetime made longer at random, by at most so many percent.
fn lengthened(lifetime: Duration, percent: u64, random: u64) -> Duration {
    // What is longer is as good as forever.
    let most = u64::try_from(lifetime.as_nanos()).unwrap_or(0) / 100 * percent;
    lifetime + Duration::from_nanos(((u128::from(random) * u128::from(most)) >> 64) as u64)
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

/// As [`Memory::decompressed`], of a heap whose tier may be gone.
fn decompressed(heap: &Heap, entry: EntryRef) -> Result<Option<Owned<'_>>> {
    let Err(compressed) = entry.value() else { return Ok(None) };
    let mut copy = Owned::zeroed(heap, compressed.original_len).ok_or_else(Error::out_of_memory)?;
    if lz4::decompress(compressed.block, copy.value_mut()) {
        Ok(Some(copy))
    } else {
        Err(damaged())
    }
}

#[cold]
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
