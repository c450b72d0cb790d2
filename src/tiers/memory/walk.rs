//! Going through all entries, a few at a time: for keys by prefix and for purges. No lock is held between two steps, each
//! step holds one shard's lock for a bounded number of buckets, and whatever grows, shrinks or moves meanwhile, an entry that
//! is there all the while is met.
//!
//! A cursor does not count buckets. It goes through the places that hashes stand for, so it does not matter to it how
//! large the tables are and in which of the two an entry is: under the lock, all entries of a range of places are looked up
//! in both. Nothing is met twice by that. When entries have been moved from shard to shard (see `Memory::spread`) the walk
//! goes back to where the shard that it was in began, and meets some of them again.

use super::entry::EntryRef;
use super::index::PLACES;
use super::shard::Locked;
use super::tags::Carriers;
use super::{Cause, Layout, Memory};
use crate::clock::Tick;
use crate::error::{Error, Result};
use crate::pattern::KeySet;
use crate::sync::atomic::Ordering::Relaxed;
use std::sync::Weak;

/// Buckets that are looked through under one lock, of the larger table: some hundred entries. In models one, as there are few.
const BUCKETS: usize = if cfg!(shuttle) { 1 } else { 32 };

/// The same where the keys are copied.
const COPIED_BUCKETS: usize = if cfg!(shuttle) { 1 } else { 8 };

/// Carriers of a tag that are taken out under one lock.
const CARRIERS: usize = if cfg!(shuttle) { 1 } else { 64 };

/// Where a walk has come to.
#[derive(Clone, Copy)]
struct Cursor {
    /// As of which the rest is meant.
    layout: Option<Layout>,
    shard: usize,
    /// Of this shard, all before this place has been met.
    place: u64,
    /// How many carriers of a tag are still to be met there at most, once that is known.
    carriers: Option<usize>,
    /// What belongs to shards by fewer of the hash's 16 bits than this has been met, too.
    met: usize,
}

impl Cursor {
    const fn new() -> Self {
        Self { layout: None, shard: 0, place: 0, carriers: None, met: 0 }
    }

    /// Goes on in another layout.
    fn follow(&mut self, layout: Layout) {
        if let Some(before) = self.layout {
            self.met = self.met.max(before.begin(self.shard));
            self.begin(layout.home_of(self.met));
        }
        self.layout = Some(layout);
    }

    fn begin(&mut self, shard: usize) {
        (self.shard, self.place, self.carriers) = (shard, 0, None);
    }

    /// Nothing of this shard is still to be met.
    fn end_shard(&mut self) {
        self.place = PLACES;
    }

    /// Meets what so many buckets of the larger table hold. `each` may take the entry out, and nothing else.
    fn walk(&mut self, shard: &mut Locked<'_>, buckets: usize, mut each: impl FnMut(&mut Locked<'_>, EntryRef)) {
        let met = self.met;
        self.place = shard.walk(self.place, buckets, |shard, entry, hash| {
            if hash.shard() >= met {
                each(shard, entry);
            }
        });
    }
}

/// A purge under way.
struct Purging<'a> {
    memory: &'a Memory,
    /// When it began.
    now: Tick,
    /// How many entries it has removed.
    purged: u64,
}

impl Purging<'_> {
    fn take_out(&mut self, shard: &mut Locked<'_>, entry: EntryRef) {
        if entry.is_expired(self.now) {
            self.memory.expire(shard, entry);
        } else {
            self.memory.take_out(shard, entry, Cause::Purged);
            self.purged += 1;
        }
    }
}

impl Memory {
    /// Goes on, by `meet`, in the shard where the cursor is; false when all have been met.
    fn step(&self, cursor: &mut Cursor, meet: impl FnOnce(&mut Cursor, &mut Locked<'_>)) -> bool {
        loop {
            let layout = Layout(self.layout.load(Relaxed));
            if cursor.layout != Some(layout) {
                cursor.follow(layout);
            }
            if cursor.shard >= layout.shards() {
                return false;
            }
            let mut shard = self.lock(&self.shards[cursor.shard]);
            // Written under all locks, so this holds until the lock is released.
            if Layout(self.layout.load(Relaxed)) != layout {
                continue;
            }
            meet(cursor, &mut shard);
            if cursor.place == PLACES {
                cursor.begin(cursor.shard + 1);
            }
            return true;
        }
    }

    /// Removes every entry whose key is one of these. Says how many those were.
    pub(crate) fn purge_keys(&self, keys: KeySet<'_>) -> u64 {
        self.purge_by(|purge, cursor, shard| {
            cursor.walk(shard, BUCKETS, |shard, entry| {
                if keys.has(entry.key()) {
                    purge.take_out(shard, entry);
                }
            });
        })
    }

    /// Removes every entry that carries `tag`. Says how many those were. Looks at these alone, but in a shard that had no memory to
    /// know them.
    pub(crate) fn purge_tag(&self, tag: &[u8]) -> Result<u64> {
        let tag = self.tag(tag)?;
        Ok(self.purge_by(|purge, cursor, shard| {
            // As many as were there at first, so that a purge ends beside puts that go on: they go to the end of the chain.
            let mut left = cursor.carriers.unwrap_or(shard.len());
            for _ in 0..CARRIERS {
                match shard.carriers(tag) {
                    Carriers::Since(oldest) if left > 0 => purge.take_out(shard, oldest),
                    Carriers::Since(_) | Carriers::Nobody => return cursor.end_shard(),
                    Carriers::Anybody => {
                        return cursor.walk(shard, BUCKETS, |shard, entry| {
                            if entry.tags().any(|carried| carried.tag() == tag) {
                                purge.take_out(shard, entry);
                            }
                        })
                    }
                }
                left -= 1;
            }
            cursor.carriers = Some(left);
        }))
    }

    /// Goes through all shards by `meet`, which takes out what is to go. Says how many those were.
    fn purge_by(&self, mut meet: impl FnMut(&mut Purging<'_>, &mut Cursor, &mut Locked<'_>)) -> u64 {
        let mut purging = Purging { memory: self, now: self.clock.now(), purged: 0 };
        let mut cursor = Cursor::new();
        while self.step(&mut cursor, |cursor, shard| meet(&mut purging, cursor, shard)) {
            self.tell();
        }
        purging.purged
    }

    /// The keys that begin with `prefix`.
    pub(crate) fn keys(&self, prefix: &[u8]) -> Result<Keys> {
        let mut owned = Vec::new();
        owned.try_reserve_exact(prefix.len()).map_err(|_| Error::out_of_memory())?;
        owned.extend_from_slice(prefix);
        Ok(Keys {
            memory: self.shared.heap.owner.clone(),
            prefix: owned,
            cursor: Cursor::new(),
            found: Found::default(),
            next: 0,
        })
    }
}

/// Keys of a cache, one after the other: see [`crate::Cache::keys`].
pub struct Keys {
    memory: Weak<Memory>,
    prefix: Vec<u8>,
    cursor: Cursor,
    /// Copies of those that the last step has met.
    found: Found,
    /// Which of them is the next.
    next: usize,
}

/// Keys one behind the other, and where each ends.
#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Found {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// False when there is no memory.
    #[must_use]
    fn push(&mut self, key: &[u8]) -> bool {
        if self.bytes.try_reserve(key.len()).is_err() || self.ends.try_reserve(1).is_err() {
            return false;
        }
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        true
    }

    fn get(&self, number: usize) -> &[u8] {
        let begin = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[number]]
    }
}

impl Keys {
    /// The next key; `None` when all have been told, or the cache is gone.
    ///
    /// # Errors
    ///
    /// There is no memory for copies of keys. The next call tries again.
    pub fn next_key(&mut self) -> Result<Option<&[u8]>> {
        if self.next == self.found.ends.len() && !self.find_more()? {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(self.found.get(self.next - 1)))
    }

    /// Walks on to where there are keys. False when there are no more.
    fn find_more(&mut self) -> Result<bool> {
        let Some(memory) = self.memory.upgrade() else { return Ok(false) };
        self.next = 0;
        self.found.clear();
        while self.found.ends.is_empty() {
            let (before, now) = (self.cursor, memory.clock.now());
            let (prefix, found) = (&self.prefix, &mut self.found);
            let mut has_room = true;
            let goes_on = memory.step(&mut self.cursor, |cursor, shard| {
                cursor.walk(shard, COPIED_BUCKETS, |_, entry| {
                    if has_room && entry.key().starts_with(prefix) && !entry.is_expired(now) {
                        has_room = found.push(entry.key());
                    }
                });
            });
            if !has_room {
                self.cursor = before;
                self.found.clear();
                return Err(Error::out_of_memory());
            }
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
