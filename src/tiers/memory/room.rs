//! Who leaves for whom: what has expired first, then the victim of a full shard, then as much as the bytes of a new entry ask for.

use super::departure::Cause;
use super::entry::EntryRef;
use super::index::Hash;
use super::shard::{Count, Leaving, Locked, Shard};
use super::{Layout, Memory};
use crate::clock::Tick;
use crate::error::{Error, Result, Status};
use crate::sync::atomic::Ordering::Relaxed;

/// Whether there is room for an entry.
pub(super) enum Room {
    Made,
    /// It is too heavy for a key that nobody has asked for before.
    TurnedAway,
    /// So many bytes are missing that this shard does not have.
    Lacking(u64),
}

/// Expired entries that a put frees beside its own work: more than one, so that the cache catches up with any burst; few,
/// so that no put waits.
const EXPIRED_PER_PUT: usize = 4;
/// Hints that it looks at for that; most of those whose entry has gone cost one look into the index.
const HINTS_PER_PUT: usize = 32;

/// An entry that takes more than this part of the bytes that the cache may hold is heavy: it could drive out much of what is
/// there, so it has to be asked for twice.
const HEAVY_PART: u64 = 4;

impl Memory {
    /// Makes a place for one entry more, by an eviction if need be. False: the cache is full, and this shard is empty.
    pub(super) fn make_place(&self, shard: &mut Locked<'_>) -> bool {
        self.has_place(shard) || self.evict(shard)
    }

    /// Whether one entry more may be there without an eviction.
    #[inline(always)]
    pub(super) fn has_place(&self, shard: &mut Locked<'_>) -> bool {
        let entries = shard.len() as u64 + 1;
        if shard.grant().entries >= entries {
            return true;
        }
        let shards = Layout(self.layout.load(Relaxed)).shards();
        !self.shared.budget.is_full() && self.shared.budget.cover_entries(shard.grant(), entries, shards)
    }

    /// Makes room for so many bytes under a key, by evictions if need be. `is_admitted`: it was found to be worth that already.
    #[cold]
    pub(super) fn make_room(
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
    pub(super) fn settle<'a>(&'a self, mut shard: Locked<'a>, hash: Hash, entry: Option<EntryRef>) {
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
    pub(super) fn balance(&self, shard: &mut Locked<'_>) {
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
    pub(super) fn evict(&self, shard: &mut Locked<'_>) -> bool {
        let Some(victim) = shard.victim() else { return false };
        self.evict_victim(shard, victim);
        true
    }

    fn evict_victim(&self, shard: &mut Locked<'_>, victim: EntryRef) {
        let leaving = shard.forget(victim);
        self.end_eviction(shard, leaving);
    }

    #[inline(always)]
    pub(super) fn end_eviction(&self, shard: &mut Locked<'_>, leaving: Leaving) {
        shard.end_eviction(leaving);
        shard.count(Count::Evictions, 1);
    }

    /// Frees some of what has expired.
    #[inline(always)]
    pub(super) fn expire_some(&self, shard: &mut Locked<'_>) {
        if shard.has_hints() {
            self.expire_some_by(shard, self.clock.now());
        }
    }

    /// The same for who has read the clock.
    #[inline(always)]
    pub(super) fn expire_some_by(&self, shard: &mut Locked<'_>, now: Tick) {
        if shard.may_have_expired(now) {
            self.expire_hinted(shard, now);
        }
    }

    #[inline(never)]
    fn expire_hinted(&self, shard: &mut Locked<'_>, now: Tick) {
        let mut hints = HINTS_PER_PUT;
        for _ in 0..EXPIRED_PER_PUT {
            let Some(expired) = shard.next_expired(now, &mut hints) else { break };
            self.expire(shard, expired);
        }
    }

    pub(super) fn expire(&self, shard: &mut Locked<'_>, entry: EntryRef) {
        self.take_out(shard, entry, Cause::Expired);
    }

    pub(super) fn take_out(&self, shard: &mut Locked<'_>, entry: EntryRef, cause: Cause) {
        shard.remove(entry, cause);
        self.balance(shard);
        let count = match cause {
            Cause::Evicted => Count::Evictions,
            Cause::Expired => Count::Expirations,
            Cause::Replaced | Cause::Removed | Cause::Purged => Count::Removals,
        };
        shard.count(count, 1);
    }

    pub(super) fn is_expired(&self, entry: EntryRef) -> bool {
        entry.expires() && entry.is_expired(self.clock.now())
    }
}

fn too_large_for_all(size: u64, index: u64, max: u64) -> Error {
    let message = format!("the entry takes {size} bytes and the index {index}; memory.max_bytes allows {max}");
    Error::new(Status::ValueTooLarge, message)
}
