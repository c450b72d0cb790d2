//! Going through all entries, a few at a time: for keys by prefix and for purges. No lock is held between two steps, each
//! step holds one shard's lock for a bounded number of buckets, and whatever grows, shrinks or moves meanwhile, an entry that
//! is there all the while is met.
//!
//! A cursor does not count buckets. It goes through the places that hashes stand for, so it does not matter to it how
//! large the tables are and in which of the two an entry is: under the lock, all entries of a range of places are looked up
//! in both. Nothing is met twice by that. When entries have been moved from shard to shard (see `Memory::spread`) the walk
//! goes back to where the shard that it was in began, and meets some of them again.

use super::entry::EntryRef;
use super::index::{Hash, PLACES};
use super::shard::Locked;
use super::tags::Carriers;
use super::{Cause, Layout, Memory};
use crate::error::{Error, Result};
use crate::pattern::KeySet;
use crate::sync::atomic::Ordering::Relaxed;
use std::sync::Weak;

/// Buckets that are looked through under one lock, of the larger table: some hundred entries. In models one, as there are few.
const BUCKETS: usize = if cfg!(shuttle) { 1 } else { 32 };

/// The same where the keys are copied.
const COPIED_BUCKETS: usize = if cfg!(shuttle) { 1 } else { 8 };

/// Where a walk has come to.
#[derive(Clone, Copy)]
struct Cursor {
    /// As of which the rest is meant.
    layout: Option<Layout>,
    shard: usize,
    /// Of this shard, all before this place has been met.
    place: u64,
    /// What belongs to shards by fewer of the hash's 16 bits than this has been met, too.
    met: usize,
}

impl Cursor {
    const fn new() -> Self {
        Self { layout: None, shard: 0, place: 0, met: 0 }
    }

    /// Goes on in another layout.
    fn follow(&mut self, layout: Layout) {
        if let Some(before) = self.layout {
            self.met = self.met.max(before.begin(self.shard));
            self.shard = layout.home_of(self.met);
            self.place = 0;
        }
        self.layout = Some(layout);
    }
}

/// What a step looks through of the shard that it is in.
enum Stretch {
    /// So many buckets of the larger table, from where the cursor is.
    Buckets(usize),
    /// This place alone, and the shard is done.
    Place(u32),
    /// Nothing, and the shard is done.
    None,
}

impl Memory {
    /// Goes on for a bounded number of buckets; false when all have been met. `each` may take the entry out, and nothing else.
    fn step(
        &self,
        cursor: &mut Cursor,
        stretch: impl Fn(&Locked<'_>) -> Stretch,
        mut each: impl FnMut(&mut Locked<'_>, EntryRef),
    ) -> bool {
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
            let met = cursor.met;
            let each = |shard: &mut Locked<'_>, entry, hash: Hash| {
                if hash.shard() >= met {
                    each(shard, entry);
                }
            };
            cursor.place = match stretch(&shard) {
                Stretch::Buckets(buckets) => shard.walk(cursor.place, buckets, each),
                Stretch::Place(place) => {
                    shard.walk(place.into(), 1, each);
                    PLACES
                }
                Stretch::None => PLACES,
            };
            if cursor.place == PLACES {
                (cursor.shard, cursor.place) = (cursor.shard + 1, 0);
            }
            return true;
        }
    }

    /// Removes every entry whose key is one of these. Says how many those were.
    pub(crate) fn purge_keys(&self, keys: KeySet<'_>) -> u64 {
        self.purge_where(|_| Stretch::Buckets(BUCKETS), |entry| keys.has(entry.key()))
    }

    /// Removes every entry that carries `tag`. Says how many those were. Looks through the shards in which several may carry it,
    /// and of those only until no more than one does.
    pub(crate) fn purge_tag(&self, tag: &[u8]) -> Result<u64> {
        let tag = self.tag(tag)?;
        let stretch = |shard: &Locked<'_>| match shard.carriers(tag) {
            Carriers::Nobody => Stretch::None,
            Carriers::At(place) => Stretch::Place(place),
            Carriers::Anybody => Stretch::Buckets(BUCKETS),
        };
        Ok(self.purge_where(stretch, |entry| entry.tags().any(|carried| carried == tag)))
    }

    fn purge_where(&self, stretch: impl Fn(&Locked<'_>) -> Stretch, chosen: impl Fn(EntryRef) -> bool) -> u64 {
        let now = self.clock.now();
        let (mut cursor, mut purged) = (Cursor::new(), 0);
        while self.step(&mut cursor, &stretch, |shard, entry| {
            if !chosen(entry) {
                return;
            }
            if entry.is_expired(now) {
                self.expire(shard, entry);
            } else {
                self.take_out(shard, entry, Cause::Purged);
                purged += 1;
            }
        }) {
            self.tell();
        }
        purged
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
            let goes_on = memory.step(
                &mut self.cursor,
                |_| Stretch::Buckets(COPIED_BUCKETS),
                |_, entry| {
                    if has_room && entry.key().starts_with(prefix) && !entry.is_expired(now) {
                        has_room = found.push(entry.key());
                    }
                },
            );
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
