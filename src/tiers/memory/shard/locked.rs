//! A shard under its lock: what a put, a removal and an eviction change of it.

use super::super::arena::Heap;
use super::super::budget::Grant;
use super::super::departure::Cause;
use super::super::entry::{Draft, EntryRef, Owned, Payload};
use super::super::index::{Hash, Position};
use super::super::policy::Policy;
use super::super::reclaim::Garbage;
use super::super::tags::Carriers;
use super::written::{Count, State};
use super::{Shard, Shared};
use crate::clock::{Tick, FOREVER};
use crate::sync::MutexGuard;
use std::alloc::Layout;
use std::sync::atomic::Ordering::Relaxed;

/// A shard that the calling thread has locked. When it is dropped the lock is released, and what nobody can be reading is
/// freed.
pub(in super::super) struct Locked<'a> {
    pub(super) shard: &'a Shard,
    pub(super) shared: &'a Shared,
    /// Before `garbage`, so that the lock is released before that is freed.
    pub(super) state: MutexGuard<'a, State>,
    pub(super) garbage: Garbage<'a>,
    /// Nothing is changed under this lock, and nothing is freed when it is released.
    pub(super) is_untouched: bool,
}

/// An entry that the policy has given up and that is still in the index, until [`Locked::end_eviction`].
#[must_use = "an entry that no books know would never leave"]
pub(in super::super) struct Leaving {
    victim: EntryRef,
    hash: Hash,
}

impl<'a> Locked<'a> {
    /// Only keeps others away until it is dropped. While a process forks other locks of the cache are held, too, which must not
    /// be asked for once more.
    pub(in super::super) fn only_hold(mut self) -> Self {
        self.is_untouched = true;
        self
    }

    pub(in super::super) fn shard(&self) -> &'a Shard {
        self.shard
    }

    pub(in super::super) fn len(&self) -> usize {
        self.state.index.len()
    }

    /// What entries, index, policy, wheel, versions and tags take.
    #[inline(always)]
    pub(in super::super) fn bytes(&self) -> u64 {
        let state = &self.state;
        let beside = state.policy.bytes() + state.wheel.bytes() + state.versions.bytes() + state.tags.bytes();
        state.entry_bytes + state.index_bytes + beside
    }

    #[inline]
    pub(in super::super) fn find(&self, hash: Hash, key: &[u8]) -> Option<(Position, EntryRef)> {
        self.state.index.find(hash, key)
    }

    /// See [`Index::find_to_replace`](super::super::index::Index::find_to_replace).
    #[inline(always)]
    pub(in super::super) fn find_to_replace(
        &self,
        hash: Hash,
        key: &[u8],
        layout: Layout,
    ) -> Option<(Position, EntryRef)> {
        self.state.index.find_to_replace(hash, key, layout)
    }

    #[inline(always)]
    pub(in super::super) fn count(&mut self, what: Count, by: u64) {
        let count = self.shard.written.count(what);
        count.store(count.load(Relaxed) + by, Relaxed);
    }

    #[inline(always)]
    pub(in super::super) fn count_put(&mut self, payload: &Payload<'_>) {
        self.count(Count::Puts, 1);
        if let Payload::Lz4 { block, original_len } = payload {
            self.count(Count::CompressedPuts, 1);
            self.count(Count::CompressionInput, (*original_len).into());
            self.count(Count::CompressionOutput, block.len() as u64);
        }
    }

    /// Some number, different each time.
    pub(in super::super) fn random(&mut self) -> u64 {
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
    pub(in super::super) fn reserve(&mut self, expected: impl Fn() -> Option<usize>) -> bool {
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
    pub(in super::super) fn expect(&self, hash: Hash, draft: &Draft<'_>) {
        self.state.policy.expect(hash);
        self.state.retired.expect(draft.layout(), &self.state.magazine);
        self.state.tags.expect_enter(draft.tags());
    }

    /// Makes an entry of a draft, in a block of this shard's. `None` when there is no memory.
    #[inline(always)]
    pub(in super::super) fn make(&mut self, draft: &Draft<'_>) -> Option<Owned<'a>> {
        let heap: &'a Heap = &self.shared.heap;
        let state = &mut *self.state;
        let block = state.retired.block(draft.layout(), heap, &mut state.magazine)?;
        draft.make_in(block, heap)
    }

    /// An entry of this shard will be replaced: asks the processor for what that will touch, as far as the entry says where that
    /// is.
    #[inline(always)]
    pub(in super::super) fn expect_replace(&self, old: EntryRef) {
        self.state.policy.expect_replace(old);
        self.state.tags.expect_leave(old);
    }

    /// Takes a new entry in, whose key is not here. [`Locked::reserve`] has been called since the last one.
    #[inline(always)]
    pub(in super::super) fn insert(&mut self, entry: Owned<'_>, hash: Hash) -> EntryRef {
        let shard = self.shard;
        let state = &mut *self.state;
        state.entry_bytes += entry.size();
        let entry = entry.into_shared();
        // Before hits can put it off: the wheel and the entry have to know the same one.
        let deadline = entry.deadline();
        state.policy.insert(entry, hash, &shard.clock);
        state.index.insert(entry, hash);
        state.tags.enter(entry);
        if deadline != FOREVER {
            state.wheel.insert(hash.place(), deadline);
        }
        entry
    }

    /// Gives an entry of this shard another end.
    pub(in super::super) fn touch(&mut self, entry: EntryRef, hash: Hash, deadline: Tick, lifetime: Tick) {
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
    pub(in super::super) fn replace(
        &mut self,
        position: Position,
        old: EntryRef,
        new: Owned<'_>,
        hash: Hash,
    ) -> EntryRef {
        let (shard, heap) = (self.shard, &self.shared.heap);
        let state = &mut *self.state;
        let (old_size, new_size) = (old.size(heap), new.size());
        let new = new.into_shared();
        // As in `insert`.
        let deadline = new.deadline();
        state.versions.forget(old);
        state.policy.replace(old, new, &shard.clock);
        state.index.replace(position, new, hash);
        state.tags.replace(old, new);
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
    pub(in super::super) fn remove(&mut self, entry: EntryRef, cause: Cause) {
        let hash = self.shared.hash(entry.key());
        self.state.policy.remove(entry);
        self.unlink(entry, hash, cause);
    }

    /// The first half of an eviction: the books have chosen and forgotten. `None`: nobody is there. Whoever calls this may do
    /// something else, under the same lock, before [`Locked::end_eviction`], so that nobody waits for the victim's bucket.
    #[inline(never)]
    pub(in super::super) fn begin_eviction(&mut self) -> Option<Leaving> {
        self.victim().map(|victim| self.forget(victim))
    }

    /// The same for an entry that [`Locked::victim`] has named.
    #[inline(always)]
    pub(in super::super) fn forget(&mut self, victim: EntryRef) -> Leaving {
        let hash = self.shared.hash(victim.key());
        self.state.index.prefetch_bucket(hash);
        self.state.tags.expect_leave(victim);
        self.state.policy.evict(victim, hash);
        Leaving { victim, hash }
    }

    #[inline(always)]
    pub(in super::super) fn end_eviction(&mut self, leaving: Leaving) {
        self.unlink(leaving.victim, leaving.hash, Cause::Evicted);
    }

    #[inline(always)]
    pub(super) fn unlink(&mut self, entry: EntryRef, hash: Hash, cause: Cause) {
        let state = &mut *self.state;
        let size = entry.size(&self.shared.heap);
        state.versions.forget(entry);
        state.index.remove(entry, hash);
        state.tags.leave(entry);
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
    pub(in super::super) fn victim(&mut self) -> Option<EntryRef> {
        let clock = &self.shard.clock;
        self.state.policy.victim(clock)
    }

    #[cfg(test)]
    pub(in super::super) fn has_right_chains_of_tags(&self) -> bool {
        let state = &self.state;
        state.tags.are_of(state.index.iter())
    }

    /// Who of this shard carries a tag.
    pub(in super::super) fn carriers(&self, tag: u64) -> Carriers {
        self.state.tags.carriers(tag)
    }

    /// The version of an entry of this shard, if it was asked for it.
    pub(in super::super) fn known_version(&self, entry: EntryRef) -> Option<u64> {
        self.state.versions.get(entry)
    }

    /// The version of an entry of this shard; one that was never asked for it gets the `next`. `None` when there is no
    /// memory to remember it.
    pub(in super::super) fn version(&mut self, entry: EntryRef, next: impl FnOnce() -> u64) -> Option<u64> {
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
    pub(in super::super) fn reserve_version(&mut self) -> bool {
        self.state.versions.reserve()
    }

    /// Whether a heavy entry was turned away lately; else it is now, and will be expected the next time.
    pub(in super::super) fn is_expected(&mut self, hash: Hash) -> bool {
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
    pub(in super::super) fn grant(&mut self) -> &mut Grant {
        &mut self.state.grant
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
