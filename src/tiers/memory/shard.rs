//! A part of the cache that is locked as one: index, policy, wheel and retired entries, always changed together so that
//! an entry is in all of them or in none. Decides nothing: what is evicted, expired or refused is decided by the tier.

use super::arena::Heap;
use super::entry::EntryRef;
use super::expiry::Wheel;
use super::index::{Index, Position};
use super::policy::{self, Policy};
use super::reclaim::{Garbage, Retired};
use crate::clock::{Clock, Instant};
use crate::options::PolicyName;
use std::sync::{Mutex, MutexGuard};

pub(super) struct Shard {
    state: Mutex<State>,
    policy: PolicyName,
}

/// What the lock protects.
pub(super) struct State {
    index: Index,
    policy: Box<dyn Policy>,
    wheel: Wheel,
    retired: Retired,
}

impl Shard {
    pub(super) fn new(policy: PolicyName, now: Instant) -> Self {
        Self { state: Mutex::new(State::new(policy, now)), policy }
    }

    /// The lock, and how many entries were lost to get it.
    ///
    /// A thread that panicked under the lock may have left the state half changed. A cache may forget, but it may not
    /// lie: the state is set aside unread (its memory stays allocated) and an empty one takes its place.
    pub(super) fn lock(&self, clock: &Clock) -> (MutexGuard<'_, State>, u64) {
        match self.state.lock() {
            Ok(state) => (state, 0),
            Err(poisoned) => {
                let mut state = poisoned.into_inner();
                let lost = state.len() as u64;
                std::mem::forget(std::mem::replace(&mut *state, State::new(self.policy, clock.now())));
                self.state.clear_poison();
                (state, lost)
            }
        }
    }

    /// The state of a shard that nobody else uses any more.
    pub(super) fn get_mut(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn new(policy: PolicyName, now: Instant) -> Self {
        Self { index: Index::new(), policy: policy::new(policy), wheel: Wheel::new(now), retired: Retired::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<(Position, EntryRef)> {
        self.index.find(hash, key)
    }

    /// Makes sure that the next insert finds room in the index. False when there is no memory.
    pub(super) fn reserve(&mut self, heap: &Heap) -> bool {
        self.index.reserve(heap)
    }

    pub(super) fn touch(&mut self, entry: EntryRef) {
        self.policy.touch(entry);
    }

    /// Takes a new entry in, whose key is not here. [`State::reserve`] has been called since the last one.
    pub(super) fn insert(&mut self, entry: EntryRef) {
        self.index.insert(entry);
        self.policy.insert(entry);
        if entry.expires() {
            self.wheel.insert(entry);
        }
    }

    /// Puts `new` in the place of `old`, which is retired.
    pub(super) fn replace(&mut self, position: Position, old: EntryRef, new: EntryRef, heap: &Heap) {
        self.index.replace(position, new);
        self.policy.replace(old, new);
        if old.expires() {
            self.wheel.remove(old);
        }
        if new.expires() {
            self.wheel.insert(new);
        }
        self.retired.push(old, heap);
    }

    /// Takes an entry out and retires it.
    pub(super) fn remove(&mut self, entry: EntryRef, heap: &Heap) {
        self.detach(entry);
        self.retired.push(entry, heap);
    }

    /// Takes an entry out that will go into another shard under the same hold of both locks.
    pub(super) fn detach(&mut self, entry: EntryRef) {
        self.index.remove(entry);
        self.policy.remove(entry);
        if entry.expires() {
            self.wheel.remove(entry);
        }
    }

    /// The entry that should leave next.
    pub(super) fn victim(&mut self) -> Option<EntryRef> {
        self.policy.victim()
    }

    /// An entry whose lifetime is over, if there is one.
    pub(super) fn due(&mut self, now: Instant) -> Option<EntryRef> {
        self.wheel.due(now)
    }

    /// All entries that `chosen` wants, in no order.
    pub(super) fn matching(&self, chosen: impl Fn(EntryRef) -> bool) -> Vec<EntryRef> {
        self.index.iter().filter(|entry| chosen(*entry)).collect()
    }

    /// Takes all entries out, retires them, and gives the index back. Says how many there were.
    pub(super) fn clear(&mut self, policy: PolicyName, now: Instant, heap: &Heap) -> u64 {
        let count = self.len() as u64;
        for entry in self.index.iter() {
            self.retired.push(entry, heap);
        }
        self.index.clear(heap);
        self.policy = policy::new(policy);
        self.wheel = Wheel::new(now);
        count
    }

    /// Takes an entry over that is in no shard but may be lent to a reader.
    pub(super) fn retire(&mut self, entry: EntryRef, heap: &Heap) {
        self.retired.push(entry, heap);
    }

    /// What may be freed, if it is time to look. Drop it outside the lock.
    pub(super) fn collect_if_due<'a>(&mut self, heap: &'a Heap) -> Garbage<'a> {
        if self.retired.is_due() {
            self.retired.collect(heap)
        } else {
            Garbage::none(heap)
        }
    }

    /// What may be freed. Drop it outside the lock.
    pub(super) fn collect<'a>(&mut self, heap: &'a Heap) -> Garbage<'a> {
        self.retired.collect(heap)
    }

    /// Gives up everything, whether leased or not.
    pub(super) fn take_all<'a>(&mut self, heap: &'a Heap) -> Garbage<'a> {
        for entry in self.index.iter() {
            self.retired.push(entry, heap);
        }
        self.index.clear(heap);
        self.retired.take_all(heap)
    }
}
