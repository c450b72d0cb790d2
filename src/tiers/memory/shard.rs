//! A part of the cache that writers lock as one: index, policy, wheel and retired entries, always changed together so that
//! an entry is in all of them or in none. Decides nothing: what is evicted, expired or refused is decided by the tier.

use super::arena::{Heap, Magazine};
use super::budget::{Budget, Grant};
use super::departure::{Cause, Departures};
use super::entry::{prefetch_to_write, Draft, EntryRef, Owned, Payload, LINE};
use super::expiry::{Hint, Wheel};
use super::index::{Hash, Index, OldTable, Position, Published};
use super::policy::{Books, Chosen, Clock, Policy};
use super::reclaim::{self, Garbage, Retired};
use super::tags::{Carriers, TagCounts};
use super::version::Versions;
use crate::clock::{Tick, FOREVER};
use crate::options::PolicyName;
use crate::sync::{Mutex, MutexGuard, TryLockError};
use ahash::RandomState;
use crossbeam_utils::CachePadded;
use std::alloc::Layout;
use std::mem::offset_of;
// Nothing is decided by the figures, so a model has nothing to choose at them.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

pub(super) struct Shard {
    /// What readers look through.
    pub(super) published: CachePadded<Published>,
    /// What hits and the policy share.
    pub(super) clock: CachePadded<Clock>,
    written: CachePadded<Written>,
}

/// What writers write, so arranged that a put writes few lines: on a machine of many cores it is as slow as it touches lines that
/// another core has written.
///
/// ```text
///  line 0    figures, lock        every put writes it
///       1    index, sums of bytes    "
///       2    what has left           "
///     3, 4   when it is looked whether that can be freed: read
///       5    two queues           every put writes it, of most policies
///     6, 7   the rest of the policy's books, what was granted: read
///       8    all others
/// ```
#[repr(C)]
struct Written {
    figures: Figures,
    state: Mutex<State>,
    rare: Rare,
}

const _: () = {
    assert!(offset_of!(Written, state) + size_of::<u64>() == LINE);
    assert!(offset_of!(State, retired) == LINE);
    // Books begin with which they are.
    assert!((offset_of!(State, policy) + size_of::<u64>()) == (QUEUES - 1) * LINE);
};

/// The lines that every put writes.
const HOT: [usize; 4] = [0, 1, 2, QUEUES];
const QUEUES: usize = 5;

/// What writers count.
#[derive(Clone, Copy)]
pub(super) enum Count {
    Puts,
    Removals,
    Evictions,
    Expirations,
    CompressedPuts,
    CompressionInput,
    CompressionOutput,
}

/// Those up to [`Count::Expirations`], and the rest.
const OFTEN: usize = 4;
const SELDOM: usize = 3;

/// What can be told without the lock: as of when it was last released. Only written under it.
#[derive(Default)]
#[repr(C)]
struct Figures {
    entries: AtomicU64,
    bytes: AtomicU64,
    lent: AtomicU64,
    counts: [AtomicU64; OFTEN],
}

/// The same, of what seldom changes.
#[derive(Default)]
struct Rare {
    index: AtomicU64,
    counts: [AtomicU64; SELDOM],
}

/// What the lock protects, in the order that [`Written`] tells.
#[repr(C)]
pub(super) struct State {
    index: Index,
    /// What the allocator takes for the entries in the index.
    entry_bytes: u64,
    /// What it takes for the index.
    index_bytes: u64,
    retired: Retired,
    policy: Books,
    grant: Grant,
    /// Which versions entries are, of those that were asked.
    versions: Versions,
    /// Which tags they carry.
    tags: TagCounts,
    wheel: Wheel,
    magazine: Magazine,
    /// Heavy entries that were turned away lately, see [`Locked::is_expected`].
    turned_away: [u64; 8],
    random: u64,
    /// Whose books `policy` are.
    chosen: Chosen,
}

impl State {
    fn new(policy: &Chosen, now: Tick, heap: &Heap) -> Self {
        Self {
            index: Index::new(),
            policy: Books::new(policy),
            wheel: Wheel::new(now),
            retired: Retired::new(),
            magazine: heap.magazine(),
            grant: Grant::default(),
            versions: Versions::new(),
            tags: TagCounts::new(),
            entry_bytes: 0,
            index_bytes: 0,
            turned_away: [0; 8],
            random: 0x9E37_79B9_7F4A_7C15,
            chosen: policy.clone(),
        }
    }
}

/// What all shards of a cache use.
pub(super) struct Shared {
    pub(super) heap: Arc<Heap>,
    /// Seeded for each cache, so that nobody can choose keys that fall together.
    pub(super) hasher: RandomState,
    pub(super) budget: CachePadded<Budget>,
    pub(super) departures: CachePadded<Departures>,
}

impl Shared {
    #[inline(always)]
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        hash(&self.hasher, key)
    }

    /// Keeps an entry that is leaving for whoever listens. Under the lock of its shard, which still owns it.
    #[inline(always)]
    fn depart(&self, entry: EntryRef, cause: Cause) {
        if self.departures.are_wanted() {
            self.departures.push(entry.pin(&self.heap), cause);
        }
    }
}

/// The hash of a key. Its length is part of it, so nothing is put before the bytes.
#[inline(always)]
pub(super) fn hash(hasher: &RandomState, key: &[u8]) -> Hash {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    Hash(hasher.finish())
}

impl Written {
    #[inline(always)]
    fn count(&self, what: Count) -> &AtomicU64 {
        match what as usize {
            often @ ..OFTEN => &self.figures.counts[often],
            seldom => &self.rare.counts[seldom - OFTEN],
        }
    }
}

impl Shard {
    pub(super) fn new(policy: &Chosen, now: Tick, heap: &Heap) -> Self {
        Self {
            published: CachePadded::new(Published::new()),
            clock: CachePadded::new(Clock::default()),
            written: CachePadded::new(Written {
                figures: Figures::default(),
                state: Mutex::new(State::new(policy, now, heap)),
                rare: Rare::default(),
            }),
        }
    }

    /// Asks the processor for the lines that a put of a key with that hash will touch, all at once: each may have been written by
    /// another core.
    #[inline(always)]
    pub(super) fn expect_put(&self, hash: Hash) {
        self.published.prefetch_bucket(hash);
        let written = (&raw const *self.written).cast::<u8>();
        for line in HOT {
            prefetch_to_write(written.wrapping_add(line * LINE));
        }
    }

    /// Whether a put of a key with that hash, now, is to be timed: one in 64, by how many there have been, multiplied so that it
    /// does not run in step with what the program does. After [`Shard::expect_put`], which asks for that line to write.
    #[inline(always)]
    pub(super) fn is_sampled(&self, hash: Hash) -> bool {
        let spread = self.counted(Count::Puts).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (spread ^ hash.0.rotate_left(32)) >> (u64::BITS - 6) == 0
    }

    /// The lock itself, for [`Shard::locked`].
    #[inline(always)]
    pub(super) fn state(&self, shared: &Shared, now: impl FnOnce() -> Tick) -> MutexGuard<'_, State> {
        match self.written.state.lock() {
            Ok(state) => state,
            Err(poisoned) => self.set_aside(poisoned.into_inner(), shared, now()),
        }
    }

    /// The shard as a writer sees it, who has taken its lock.
    #[inline(always)]
    pub(super) fn locked<'a>(&'a self, state: MutexGuard<'a, State>, shared: &'a Shared) -> Locked<'a> {
        Locked { shard: self, shared, state, garbage: Garbage::none(&shared.heap), is_untouched: false }
    }

    /// The lock if nobody has it.
    pub(super) fn try_lock<'a>(&'a self, shared: &'a Shared) -> Option<Locked<'a>> {
        match self.written.state.try_lock() {
            Ok(state) => Some(self.locked(state, shared)),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }

    /// A thread that panicked under the lock may have left the state half changed. A cache may forget, but it may not
    /// lie: the state is set aside unread (its memory stays allocated) and an empty one takes its place. The panic itself
    /// was told to the logger where it was caught.
    #[cold]
    fn set_aside<'a>(&self, mut state: MutexGuard<'a, State>, shared: &Shared, now: Tick) -> MutexGuard<'a, State> {
        let _ = state.index.clear(&self.published);
        let chosen = state.chosen.clone();
        shared.budget.take_back_unused(&mut state.grant, 0, 0);
        std::mem::forget(std::mem::replace(&mut *state, State::new(&chosen, now, &shared.heap)));
        self.written.state.clear_poison();
        state
    }

    /// How often something has happened since the cache was made.
    pub(super) fn counted(&self, what: Count) -> u64 {
        self.written.count(what).load(Relaxed)
    }

    /// Entries in the shard.
    pub(super) fn entries(&self) -> u64 {
        self.written.figures.entries.load(Relaxed)
    }

    /// What entries, index, policy, wheel, versions and counts of tags take.
    pub(super) fn bytes(&self) -> u64 {
        self.written.figures.bytes.load(Relaxed)
    }

    /// The index's part of it.
    pub(super) fn index_bytes(&self) -> u64 {
        self.written.rare.index.load(Relaxed)
    }

    /// What has left the shard and waits for readers.
    pub(super) fn lent(&self) -> u64 {
        self.written.figures.lent.load(Relaxed)
    }

    /// Gives up everything, announced, leased or not, except what a value pins. Nobody else uses the shard any more.
    pub(super) fn give_up(&mut self, heap: &Heap) {
        let state = self.written.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        for entry in state.index.iter() {
            reclaim::give_up(entry, heap);
        }
        for table in state.index.clear(&self.published) {
            state.retired.push_table(table, heap);
        }
        state.retired.give_up(heap);
    }
}

/// A shard that the calling thread has locked. When it is dropped the lock is released, and what nobody can be reading is
/// freed.
pub(super) struct Locked<'a> {
    shard: &'a Shard,
    shared: &'a Shared,
    /// Before `garbage`, so that the lock is released before that is freed.
    state: MutexGuard<'a, State>,
    garbage: Garbage<'a>,
    /// Nothing is changed under this lock, and nothing is freed when it is released.
    is_untouched: bool,
}

/// An entry that the policy has given up and that is still in the index, until [`Locked::end_eviction`].
#[must_use = "an entry that no books know would never leave"]
pub(super) struct Leaving {
    victim: EntryRef,
    hash: Hash,
}

impl<'a> Locked<'a> {
    /// Only keeps others away until it is dropped. While a process forks other locks of the cache are held, too, which must not
    /// be asked for once more.
    pub(super) fn only_hold(mut self) -> Self {
        self.is_untouched = true;
        self
    }

    pub(super) fn shard(&self) -> &'a Shard {
        self.shard
    }

    pub(super) fn len(&self) -> usize {
        self.state.index.len()
    }

    /// What entries, index, policy, wheel, versions and counts of tags take.
    #[inline(always)]
    pub(super) fn bytes(&self) -> u64 {
        let state = &self.state;
        let beside = state.policy.bytes() + state.wheel.bytes() + state.versions.bytes() + state.tags.bytes();
        state.entry_bytes + state.index_bytes + beside
    }

    #[inline]
    pub(super) fn find(&self, hash: Hash, key: &[u8]) -> Option<(Position, EntryRef)> {
        self.state.index.find(hash, key)
    }

    /// See [`Index::find_to_replace`].
    #[inline(always)]
    pub(super) fn find_to_replace(&self, hash: Hash, key: &[u8], layout: Layout) -> Option<(Position, EntryRef)> {
        self.state.index.find_to_replace(hash, key, layout)
    }

    #[inline(always)]
    pub(super) fn count(&mut self, what: Count, by: u64) {
        let count = self.shard.written.count(what);
        count.store(count.load(Relaxed) + by, Relaxed);
    }

    #[inline(always)]
    pub(super) fn count_put(&mut self, payload: &Payload<'_>) {
        self.count(Count::Puts, 1);
        if let Payload::Lz4 { block, original_len } = payload {
            self.count(Count::CompressedPuts, 1);
            self.count(Count::CompressionInput, (*original_len).into());
            self.count(Count::CompressionOutput, block.len() as u64);
        }
    }

    /// Some number, different each time.
    pub(super) fn random(&mut self) -> u64 {
        // xorshift64: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (2003).
        let mut x = self.state.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.state.random = x;
        x
    }

    /// Makes sure that the next insert finds room in index and books. False when there is no memory.
    #[inline(always)]
    pub(super) fn reserve(&mut self, expected: impl Fn() -> Option<usize>) -> bool {
        (self.state.index.has_room() || self.reserve_index(expected)) && self.state.policy.reserve()
    }

    #[cold]
    fn reserve_index(&mut self, expected: impl Fn() -> Option<usize>) -> bool {
        let (shard, shared) = (self.shard, self.shared);
        let state = &mut *self.state;
        let retired = &mut state.retired;
        let reserved =
            state.index.reserve(expected, &shard.published, &shared.heap, |key| shared.hash(key), &mut |table| {
                retired.push_table(table, &shared.heap)
            });
        state.index_bytes = state.index.bytes(&shared.heap);
        reserved
    }

    /// As [`Shard::expect_put`], what is only known under the lock.
    #[inline(always)]
    pub(super) fn expect(&self, hash: Hash, layout: Layout) {
        self.state.policy.expect(hash);
        self.state.retired.expect(layout, &self.state.magazine);
    }

    /// Makes an entry of a draft, in a block of this shard's. `None` when there is no memory.
    #[inline(always)]
    pub(super) fn make(&mut self, draft: &Draft<'_>) -> Option<Owned<'a>> {
        let heap: &'a Heap = &self.shared.heap;
        let state = &mut *self.state;
        let block = state.retired.block(draft.layout(), heap, &mut state.magazine)?;
        draft.make_in(block, heap)
    }

    /// An entry of this shard will be replaced: asks the processor for what that will touch, as far as the entry says where that
    /// is.
    #[inline(always)]
    pub(super) fn expect_replace(&self, old: EntryRef) {
        self.state.policy.expect_replace(old);
    }

    /// Takes a new entry in, whose key is not here. [`Locked::reserve`] has been called since the last one.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: Owned<'_>, hash: Hash) -> EntryRef {
        let shard = self.shard;
        let state = &mut *self.state;
        state.entry_bytes += entry.size();
        let entry = entry.into_shared();
        // Before hits can put it off: the wheel and the entry have to know the same one.
        let deadline = entry.deadline();
        state.policy.insert(entry, hash, &shard.clock);
        state.index.insert(entry, hash);
        state.tags.enter(entry, hash);
        if deadline != FOREVER {
            state.wheel.insert(hash.place(), deadline);
        }
        entry
    }

    /// Gives an entry of this shard another end.
    pub(super) fn touch(&mut self, entry: EntryRef, hash: Hash, deadline: Tick, lifetime: Tick) {
        let has_hint = entry.expires() && entry.filed() == deadline as u32;
        let has_moved = entry.deadline() != deadline;
        entry.set_end(deadline, lifetime);
        if has_moved {
            self.state.policy.end_moved(entry);
        }
        if deadline != FOREVER && !has_hint {
            // The hint that there was finds nobody, also of a sliding entry, which would have told it another deadline.
            entry.set_filed(deadline);
            self.state.wheel.insert(hash.place(), deadline);
        }
    }

    /// Puts `new` in the place of `old`, which is retired.
    #[inline(always)]
    pub(super) fn replace(&mut self, position: Position, old: EntryRef, new: Owned<'_>, hash: Hash) -> EntryRef {
        let (shard, heap) = (self.shard, &self.shared.heap);
        let state = &mut *self.state;
        let (old_size, new_size) = (old.size(heap), new.size());
        let new = new.into_shared();
        // As in `insert`.
        let deadline = new.deadline();
        state.versions.forget(old);
        state.policy.replace(old, new, &shard.clock);
        state.index.replace(position, new, hash);
        state.tags.replace(old, new, hash);
        // A hint for this key and this deadline is there already when it was stored a moment ago.
        if deadline != FOREVER && !(old.expires() && old.filed() == deadline as u32) {
            state.wheel.insert(hash.place(), deadline);
        }
        state.entry_bytes = state.entry_bytes + new_size - old_size;
        self.shared.depart(old, Cause::Replaced);
        state.retired.push(old, old_size);
        new
    }

    /// Takes an entry out and retires it.
    pub(super) fn remove(&mut self, entry: EntryRef, cause: Cause) {
        let hash = self.shared.hash(entry.key());
        self.state.policy.remove(entry);
        self.unlink(entry, hash, cause);
    }

    /// The first half of an eviction: the books have chosen and forgotten. `None`: nobody is there. Whoever calls this may do
    /// something else, under the same lock, before [`Locked::end_eviction`], so that nobody waits for the victim's bucket.
    #[inline(never)]
    pub(super) fn begin_eviction(&mut self) -> Option<Leaving> {
        self.victim().map(|victim| self.forget(victim))
    }

    /// The same for an entry that [`Locked::victim`] has named.
    #[inline(always)]
    pub(super) fn forget(&mut self, victim: EntryRef) -> Leaving {
        let hash = self.shared.hash(victim.key());
        self.state.index.prefetch_bucket(hash);
        self.state.policy.evict(victim, hash);
        Leaving { victim, hash }
    }

    #[inline(always)]
    pub(super) fn end_eviction(&mut self, leaving: Leaving) {
        self.unlink(leaving.victim, leaving.hash, Cause::Evicted);
    }

    #[inline(always)]
    fn unlink(&mut self, entry: EntryRef, hash: Hash, cause: Cause) {
        let state = &mut *self.state;
        let size = entry.size(&self.shared.heap);
        state.versions.forget(entry);
        state.index.remove(entry, hash);
        state.tags.leave(entry, hash);
        state.entry_bytes -= size;
        self.shared.depart(entry, cause);
        state.retired.push(entry, size);
        if state.index.len() == 0 {
            // Hints of entries that have gone would be all that is left.
            state.wheel.clear();
            state.tags.all_have_left();
        }
    }

    /// The entry that should leave next.
    #[inline(always)]
    pub(super) fn victim(&mut self) -> Option<EntryRef> {
        let clock = &self.shard.clock;
        self.state.policy.victim(clock)
    }

    /// Brings old notes of hits up to date.
    pub(super) fn renew(&mut self) {
        let clock = &self.shard.clock;
        self.state.policy.renew(clock);
    }

    pub(super) fn policy_name(&self) -> PolicyName {
        self.state.chosen.name
    }

    /// Hands all entries to the books of another policy, in the order in which the former would have them leave. Says how many
    /// were lost because there was no memory for the new books.
    pub(super) fn change_policy(&mut self, policy: &Chosen) -> u64 {
        let mut former = std::mem::replace(&mut self.state.policy, Books::new(policy));
        self.state.chosen = policy.clone();
        let (clock, mut lost) = (&self.shard.clock, 0);
        while let Some(entry) = former.victim(clock) {
            former.remove(entry);
            entry.set_mark(0);
            let hash = self.shared.hash(entry.key());
            if self.state.policy.reserve() {
                self.state.policy.insert(entry, hash, clock);
            } else {
                self.unlink(entry, hash, Cause::Evicted);
                lost += 1;
            }
        }
        lost
    }

    /// Whether [`Locked::next_expired`] will ever have something to do.
    #[inline(always)]
    pub(super) fn has_hints(&self) -> bool {
        self.state.wheel.len() > 0
    }

    /// Whether it may have at `now`.
    #[inline(always)]
    pub(super) fn may_have_expired(&self, now: Tick) -> bool {
        self.state.wheel.may_be_due(now)
    }

    /// An entry whose lifetime is over at `now`, if there is one among the next `hints` hints.
    pub(super) fn next_expired(&mut self, now: Tick, hints: &mut usize) -> Option<EntryRef> {
        let state = &mut *self.state;
        // Another thread may have read the clock later and come here first; what is due then would not be over by `now`.
        let now = now.max(state.wheel.tick());
        while *hints > 0 {
            let hint = state.wheel.pop(now)?;
            *hints -= 1;
            let Some(entry) = owner(&state.index, hint, self.shared) else { continue };
            if entry.is_expired(now) {
                return Some(entry);
            }
            // A hit has put it off, or it lies beyond the last level.
            let deadline = entry.deadline();
            entry.set_filed(deadline);
            state.wheel.insert(hint.place, deadline);
        }
        None
    }

    /// Takes out hints that have lost their entry, a few at a time, if there are too many of them.
    #[inline(always)]
    pub(super) fn weed(&mut self) {
        // Every so often, since a piece of hints is the least that is looked at.
        let state = &mut *self.state;
        if state.wheel.len() > 2 * state.index.len() + 16 && state.wheel.len().is_multiple_of(8) {
            self.weed_some();
        }
    }

    #[inline(never)]
    fn weed_some(&mut self) {
        let state = &mut *self.state;
        let index = &state.index;
        // One that looks like the owner will do: a hint that stays for want of one is met again. To hash its key would cost more than
        // all else, and of the few entries in one bucket and one tick hardly any two share eight bits of their hashes.
        let is_alive = |hint: Hint| index.find_hinted(hint.place, |entry| entry.is_filed_at(hint.deadline)).is_some();
        state.wheel.weed(64, is_alive);
    }

    /// Calls `each` for the entries with places from this one on, in no order, as many as about so many buckets hold. Says
    /// where to go on. `each` may take the entry out, and nothing else.
    pub(super) fn walk(&mut self, from: u64, buckets: usize, mut each: impl FnMut(&mut Self, EntryRef, Hash)) -> u64 {
        let mut places = self.state.index.places(from, buckets);
        while let Some(entries) = self.state.index.next_of(&mut places) {
            entries.iter().flatten().for_each(|entry| entry.prefetch());
            for entry in entries.into_iter().flatten() {
                let hash = self.shared.hash(entry.key());
                if places.contains(hash) {
                    each(self, entry, hash);
                }
            }
        }
        places.until()
    }

    /// Takes all entries out at once. What readers may still be in is returned, for [`Locked::retire_some`].
    pub(super) fn clear(&mut self, now: Tick) -> [OldTable; 2] {
        let shard = self.shard;
        let state = &mut *self.state;
        state.policy = Books::new(&state.chosen);
        state.wheel = Wheel::new(now);
        state.versions.clear();
        state.tags.clear();
        state.entry_bytes = 0;
        state.index_bytes = 0;
        state.index.clear(&shard.published)
    }

    /// Retires some of the entries of a table that [`Locked::clear`] has returned; false when it is empty.
    pub(super) fn retire_some(&mut self, table: &OldTable, from: &mut usize, most: usize) -> bool {
        let shared = self.shared;
        let retired = &mut self.state.retired;
        table.drain(from, most, |entry| {
            shared.depart(entry, Cause::Purged);
            retired.push(entry, entry.size(&shared.heap));
        })
    }

    /// Takes over a table whose entries have all been retired.
    pub(super) fn retire_table(&mut self, table: OldTable) {
        let heap = &self.shared.heap;
        self.state.retired.push_table(table, heap);
    }

    /// Takes an entry over that is in no shard but may be lent to a reader.
    pub(super) fn retire(&mut self, entry: Owned<'_>) {
        let size = entry.size();
        self.state.retired.push(entry.into_shared(), size);
    }

    /// Takes out the entry that should leave next, to put it into another shard under the same hold of both locks. Says
    /// its version, too, if it has one.
    pub(super) fn detach_victim(&mut self) -> Option<(EntryRef, Option<u64>)> {
        let victim = self.victim()?;
        let hash = self.shared.hash(victim.key());
        let state = &mut *self.state;
        let version = state.versions.forget(victim);
        state.policy.remove(victim);
        state.index.remove(victim, hash);
        state.tags.leave(victim, hash);
        state.entry_bytes -= victim.size(&self.shared.heap);
        if state.index.len() == 0 {
            // As in `unlink`.
            state.wheel.clear();
            state.tags.all_have_left();
        }
        Some((victim, version))
    }

    /// Takes in what [`Locked::detach_victim`] has taken out of another shard; false when there is no memory.
    pub(super) fn attach(&mut self, entry: EntryRef, version: Option<u64>, hash: Hash) -> bool {
        let shard = self.shard;
        let size = entry.size(&self.shared.heap);
        // An entry without the version that it has told would be another one.
        if !self.reserve(|| None) || (version.is_some() && !self.state.versions.reserve()) {
            self.shared.depart(entry, Cause::Evicted);
            self.state.retired.push(entry, size);
            return false;
        }
        let state = &mut *self.state;
        if let Some(version) = version {
            state.versions.set(entry, version);
        }
        state.entry_bytes += size;
        state.policy.insert(entry, hash, &shard.clock);
        state.index.insert(entry, hash);
        state.tags.enter(entry, hash);
        let deadline = entry.deadline();
        if deadline != FOREVER {
            entry.set_filed(deadline);
            state.wheel.insert(hash.place(), deadline);
        }
        true
    }

    #[cfg(test)]
    pub(super) fn has_right_counts_of_tags(&self) -> bool {
        let state = &self.state;
        state.tags.are_of(state.index.iter().map(|entry| (entry, self.shared.hash(entry.key()))))
    }

    /// Who of this shard carries a tag.
    pub(super) fn carriers(&self, tag: u64) -> Carriers {
        self.state.tags.carriers(tag)
    }

    /// The version of an entry of this shard, if it was asked for it.
    pub(super) fn known_version(&self, entry: EntryRef) -> Option<u64> {
        self.state.versions.get(entry)
    }

    /// The version of an entry of this shard; one that was never asked for it gets the `next`. `None` when there is no
    /// memory to remember it.
    pub(super) fn version(&mut self, entry: EntryRef, next: impl FnOnce() -> u64) -> Option<u64> {
        let versions = &mut self.state.versions;
        if let Some(version) = versions.get(entry) {
            return Some(version);
        }
        if !versions.reserve() {
            return None;
        }
        let version = next();
        versions.set(entry, version);
        Some(version)
    }

    /// Makes sure that the next entry that asks for a version gets one. False when there is no memory.
    pub(super) fn reserve_version(&mut self) -> bool {
        self.state.versions.reserve()
    }

    /// Moves some buckets of an index that is growing or shrinking; false when there is nothing to move.
    pub(super) fn advance_growth(&mut self, buckets: usize) -> bool {
        let (shard, shared) = (self.shard, self.shared);
        let state = &mut *self.state;
        let retired = &mut state.retired;
        let retire = &mut |table| retired.push_table(table, &shared.heap);
        state.index.advance(buckets, &shard.published, &|key| shared.hash(key), retire);
        state.index_bytes = state.index.bytes(&shared.heap);
        shard.published.is_growing()
    }

    /// Begins to move to a smaller index if this one has become far too large.
    pub(super) fn shrink_index(&mut self) {
        let (shard, heap) = (self.shard, &self.shared.heap);
        self.state.index.shrink(&shard.published, heap);
    }

    /// Whether a heavy entry was turned away lately; else it is now, and will be expected the next time.
    pub(super) fn is_expected(&mut self, hash: Hash) -> bool {
        let turned_away = &mut self.state.turned_away;
        match turned_away.iter_mut().find(|known| **known == hash.0) {
            Some(known) => {
                *known = 0;
                true
            }
            None => {
                turned_away.rotate_right(1);
                turned_away[0] = hash.0;
                false
            }
        }
    }

    /// What the shard was granted.
    pub(super) fn grant(&mut self) -> &mut Grant {
        &mut self.state.grant
    }

    /// Gives back what the shard was granted and does not use.
    pub(super) fn give_back_unused(&mut self) {
        let (entries, bytes) = (self.len() as u64, self.bytes());
        let budget = &self.shared.budget;
        budget.take_back_unused(&mut self.state.grant, entries, bytes);
    }

    /// Frees what nobody can be reading, also if it is little. What is left for outside the lock is returned.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(super) fn collect(&mut self) -> Garbage<'a> {
        let state = &mut *self.state;
        state.retired.collect_all(&self.shared.heap, &mut state.magazine)
    }

    /// Gives blocks that are kept for the next entries back to the arena.
    pub(super) fn flush_magazine(&mut self) {
        self.state.magazine.flush();
    }

    #[inline(never)]
    fn collect_some(&mut self) {
        let state = &mut *self.state;
        self.garbage = state.retired.collect_some(&self.shared.heap, &mut state.magazine, state.index.len());
    }

    #[inline(always)]
    fn publish(&self) {
        let figures = &self.shard.written.figures;
        let state = &self.state;
        figures.entries.store(state.index.len() as u64, Relaxed);
        figures.bytes.store(self.bytes(), Relaxed);
        figures.lent.store(state.retired.bytes(), Relaxed);
        // On a line that is only read.
        let index = &self.shard.written.rare.index;
        if index.load(Relaxed) != state.index_bytes {
            index.store(state.index_bytes, Relaxed);
        }
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_untouched || std::thread::panicking() {
            return;
        }
        if self.state.retired.is_due() {
            self.collect_some();
        }
        self.publish();
    }
}

/// The entry that a hint means, if it is still there and still has that deadline. Another one that looks alike will not do: with
/// it the way to the one that was meant could be lost.
fn owner(index: &Index, hint: Hint, shared: &Shared) -> Option<EntryRef> {
    index.find_hinted(hint.place, |entry| {
        entry.is_filed_at(hint.deadline) && shared.hash(entry.key()).place() == hint.place
    })
}
