//! A shard under its lock: what is done to many of its entries, or to none. Expiry, another policy, a purge, a walk, another number
//! of shards, and the memory of all that.

use super::super::departure::Cause;
use super::super::entry::{EntryRef, Owned};
use super::super::expiry::{Hint, Wheel};
use super::super::index::{Hash, Index, OldTable};
use super::super::policy::{Books, Chosen, Policy};
use super::super::reclaim::Garbage;
use super::locked::Locked;
use super::Shared;
use crate::clock::{Tick, FOREVER};
use crate::options::PolicyName;

impl<'a> Locked<'a> {
    /// Brings old notes of hits up to date.
    pub(in super::super) fn renew(&mut self) {
        let clock = &self.shard.clock;
        self.state.policy.renew(clock);
    }

    pub(in super::super) fn policy_name(&self) -> PolicyName {
        self.state.chosen.name
    }

    /// Hands all entries to the books of another policy, in the order in which the former would have them leave. Says how many
    /// were lost because there was no memory for the new books.
    pub(in super::super) fn change_policy(&mut self, policy: &Chosen) -> u64 {
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
    pub(in super::super) fn has_hints(&self) -> bool {
        self.state.wheel.len() > 0
    }

    /// Whether it may have at `now`.
    #[inline(always)]
    pub(in super::super) fn may_have_expired(&self, now: Tick) -> bool {
        self.state.wheel.may_be_due(now)
    }

    /// An entry whose lifetime is over at `now`, if there is one among the next `hints` hints.
    pub(in super::super) fn next_expired(&mut self, now: Tick, hints: &mut usize) -> Option<EntryRef> {
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
    pub(in super::super) fn weed(&mut self) {
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
    pub(in super::super) fn walk(
        &mut self,
        from: u64,
        buckets: usize,
        mut each: impl FnMut(&mut Self, EntryRef, Hash),
    ) -> u64 {
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
    pub(in super::super) fn clear(&mut self, now: Tick) -> [OldTable; 2] {
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
    pub(in super::super) fn retire_some(&mut self, table: &OldTable, from: &mut usize, most: usize) -> bool {
        let shared = self.shared;
        let retired = &mut self.state.retired;
        table.drain(from, most, |entry| {
            shared.depart(entry, Cause::Purged);
            retired.push(entry, entry.size(&shared.heap));
        })
    }

    /// Takes over a table whose entries have all been retired.
    pub(in super::super) fn retire_table(&mut self, table: OldTable) {
        let heap = &self.shared.heap;
        self.state.retired.push_table(table, heap);
    }

    /// Takes an entry over that is in no shard but may be lent to a reader.
    pub(in super::super) fn retire(&mut self, entry: Owned<'_>) {
        let size = entry.size();
        self.state.retired.push(entry.into_shared(), size);
    }

    /// Takes out the entry that should leave next, to put it into another shard under the same hold of both locks. Says
    /// its version, too, if it has one.
    pub(in super::super) fn detach_victim(&mut self) -> Option<(EntryRef, Option<u64>)> {
        let victim = self.victim()?;
        let hash = self.shared.hash(victim.key());
        let state = &mut *self.state;
        let version = state.versions.forget(victim);
        state.policy.remove(victim);
        state.index.remove(victim, hash);
        state.tags.leave(victim);
        state.entry_bytes -= victim.size(&self.shared.heap);
        if state.index.len() == 0 {
            // As in `unlink`.
            state.wheel.clear();
            state.tags.all_have_left();
        }
        Some((victim, version))
    }

    /// Takes in what [`Locked::detach_victim`] has taken out of another shard; false when there is no memory.
    pub(in super::super) fn attach(&mut self, entry: EntryRef, version: Option<u64>, hash: Hash) -> bool {
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
        state.tags.enter(entry);
        let deadline = entry.deadline();
        if deadline != FOREVER {
            entry.set_filed(deadline);
            state.wheel.insert(hash.place(), deadline);
        }
        true
    }

    /// Moves some buckets of an index that is growing or shrinking; false when there is nothing to move.
    pub(in super::super) fn advance_growth(&mut self, buckets: usize) -> bool {
        let (shard, shared) = (self.shard, self.shared);
        let state = &mut *self.state;
        let retired = &mut state.retired;
        let retire = &mut |table| retired.push_table(table, &shared.heap);
        state.index.advance(buckets, &shard.published, &|key| shared.hash(key), retire);
        state.index_bytes = state.index.bytes(&shared.heap);
        shard.published.is_growing()
    }

    /// Begins to move to a smaller index if this one has become far too large.
    pub(in super::super) fn shrink_index(&mut self) {
        let (shard, heap) = (self.shard, &self.shared.heap);
        self.state.index.shrink(&shard.published, heap);
    }

    /// Gives back what the shard was granted and does not use.
    pub(in super::super) fn give_back_unused(&mut self) {
        let (entries, bytes) = (self.len() as u64, self.bytes());
        let budget = &self.shared.budget;
        budget.take_back_unused(&mut self.state.grant, entries, bytes);
    }

    /// Frees what nobody can be reading, also if it is little. What is left for outside the lock is returned.
    #[must_use = "dropping it under the lock frees memory there"]
    pub(in super::super) fn collect(&mut self) -> Garbage<'a> {
        let state = &mut *self.state;
        state.retired.collect_all(&self.shared.heap, &mut state.magazine)
    }

    /// Gives blocks that are kept for the next entries back to the arena.
    pub(in super::super) fn flush_magazine(&mut self) {
        self.state.magazine.flush();
    }
}

/// The entry that a hint means, if it is still there and still has that deadline. Another one that looks alike will not do: with
/// it the way to the one that was meant could be lost.
fn owner(index: &Index, hint: Hint, shared: &Shared) -> Option<EntryRef> {
    index.find_hinted(hint.place, |entry| {
        entry.is_filed_at(hint.deadline) && shared.hash(entry.key()).place() == hint.place
    })
}
