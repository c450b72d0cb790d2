//! Puts and removals: a straight way for what nothing is special about, and one for everything. Who leaves for a new entry is decided in `room`.

use super::arena::Magazine;
use super::departure::Cause;
use super::entry::{Draft, EntryRef, Owned, Payload};
use super::index::{Hash, Position};
use super::room::Room;
use super::shard::{Count, Locked, Shard};
use super::update::{PutOutcome, Terms};
use super::{expiry, Layout, Memory};
use crate::clock::{Clock, Ttl};
use crate::codec::lz4;
use crate::error::{Error, Result, Status};
use crate::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Entries up to this size are made under the shard's lock, from its magazine; to copy a larger one takes longer than to get
/// a block elsewhere.
const MADE_UNDER_LOCK: usize = 4 << 10;

/// Keys up to this length take the straight way, and values below it may (see [`Live::plain_below`]): together with what an
/// entry has besides them, they do not exceed [`MADE_UNDER_LOCK`].
pub(super) const PLAIN_KEY: usize = 1 << 10;
pub(super) const PLAIN_VALUE: u64 = 2 << 10;

impl Memory {
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
    pub(super) fn timed_put<R>(&self, hash: Hash, put: impl FnOnce() -> R) -> R {
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
    pub(super) fn expect_put(&self, hash: Hash) -> &Shard {
        let shard = &self.shards[Layout(self.layout.load(Relaxed)).home(hash)];
        shard.expect_put(hash);
        shard
    }

    /// A put of a key with that hash, for which [`Memory::expect_put`] has been called.
    #[inline(always)]
    pub(super) fn put_hashed(&self, hash: Hash, key: &[u8], value: &[u8], ttl: Ttl) -> Result<()> {
        if key.len() <= PLAIN_KEY && (value.len() as u64) < self.live.plain_below.load(Relaxed) {
            if let Some(draft) = Draft::plain(key, value) {
                return match self.put_plain(hash, &draft, ttl) {
                    Some(stored) => stored,
                    None => self.put_thoroughly(hash, key, value, ttl),
                };
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

    /// The straight way, see [`Live::plain_below`]: as [`Memory::insert`], but for what takes no part in it. `None`: it is not for this
    /// put, and nothing is done.
    #[inline(always)]
    fn put_plain(&self, hash: Hash, draft: &Draft<'_>, ttl: Ttl) -> Option<Result<()>> {
        // What has a lifetime reads the exact clock, once for all.
        let now = if ttl == Ttl::Forever { None } else { Some(self.clock.nanos()) };
        let mut shard = self.lock_home(hash);
        shard.expect(hash, draft);
        match now {
            Some(now) => self.expire_some_by(&mut shard, Clock::tick_of(now)),
            None => self.expire_some(&mut shard),
        }
        if self.shared.budget.bounds_bytes() {
            return None;
        }
        if !shard.reserve(|| self.expected_entries()) {
            return Some(Err(Error::out_of_memory()));
        }
        let present = shard.find_to_replace(hash, draft.key(), draft.layout());
        let mut leaves = None;
        match present {
            Some((_, old)) => shard.expect_replace(old),
            None if self.has_place(&mut shard) => {}
            None => {
                // `None`: others have to give room.
                leaves = Some(shard.begin_eviction()?);
            }
        }
        let made = shard.make(draft);
        if let Some(leaving) = leaves {
            self.end_eviction(&mut shard, leaving);
        }
        let Some(mut entry) = made else {
            // What has left has made room for nobody.
            self.balance(&mut shard);
            return Some(Err(Error::out_of_memory()));
        };
        if let (Some(now), Some(lifetime)) = (now, self.lifetime(&mut shard, ttl)) {
            // Hits do not put it off, so it need not know how long it lives.
            entry.set_deadline(self.clock.deadline_since(now, lifetime), 0);
        }
        match present {
            Some((position, old)) => shard.replace(position, old, entry, hash),
            None => shard.insert(entry, hash),
        };
        shard.count(Count::Puts, 1);
        shard.weed();
        // No entry less than before, so nothing to give back; but bytes that were granted while there was a bound on them.
        if shard.grant().bytes != 0 {
            self.balance(&mut shard);
        }
        Some(Ok(()))
    }

    /// What will become an entry of this cache.
    #[inline(always)]
    pub(super) fn draft<'a>(&self, key: &'a [u8], payload: Payload<'a>, tags: &'a [u64]) -> Result<Draft<'a>> {
        Draft::new(key, payload, self.sliding, tags).ok_or_else(Error::out_of_memory)
    }

    /// A value, in its compressed form where there is one.
    pub(super) fn payload<'a>(value: &'a [u8], block: &'a Option<Vec<u8>>) -> Payload<'a> {
        match block {
            Some(block) => Payload::Lz4 { block, original_len: value.len() as u32 },
            None => Payload::Plain(value),
        }
    }

    /// Puts an entry into its shard. A full cache evicts first, so that there is never too much in it. What it touches should have
    /// been asked for: [`Memory::expect_put`].
    #[inline(never)]
    pub(super) fn insert(&self, hash: Hash, draft: &Draft<'_>, ttl: Ttl, terms: Option<&Terms>) -> Result<PutOutcome> {
        let (key, layout) = (draft.key(), draft.layout());
        let make = |magazine: &mut Magazine| draft.make(&self.shared.heap, magazine);
        let (mut made, mut is_admitted) = (None, false);
        if layout.size() > MADE_UNDER_LOCK {
            made = Some(make(&mut Magazine::none()).ok_or_else(Error::out_of_memory)?);
        }
        loop {
            let mut shard = self.lock_home(hash);
            shard.expect(hash, draft);
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
    pub(super) fn refuse(
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

    pub(super) fn check_lengths(&self, key: &[u8], value_len: usize) -> Result<()> {
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

    pub(super) fn compressed(&self, value: &[u8]) -> Option<Vec<u8>> {
        let wanted =
            self.live.compression.load(Relaxed) && value.len() as u64 >= self.live.compression_threshold.load(Relaxed);
        if wanted {
            lz4::compress(value)
        } else {
            None
        }
    }

    /// Removes a key; false when it was not there.
    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        self.remove_hashed(self.hash(key), key)
    }

    pub(super) fn remove_hashed(&self, hash: Hash, key: &[u8]) -> bool {
        let mut shard = self.lock_home(hash);
        let Some((_, entry)) = shard.find(hash, key) else { return false };
        if self.is_expired(entry) {
            self.expire(&mut shard, entry);
            return false;
        }
        self.take_out(&mut shard, entry, Cause::Removed);
        true
    }

    pub(super) fn set_deadline(&self, shard: &mut Locked<'_>, entry: &mut Owned<'_>, ttl: Ttl) {
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
    pub(super) fn lifetime(&self, shard: &mut Locked<'_>, ttl: Ttl) -> Option<Duration> {
        let lifetime = self.lifetime_of(ttl)?;
        Some(match self.live.ttl_jitter.load(Relaxed) {
            0 => lifetime,
            percent => lengthened(lifetime, percent, shard.random()),
        })
    }

    /// The same without what is added at random.
    #[inline(always)]
    pub(super) fn lifetime_of(&self, ttl: Ttl) -> Option<Duration> {
        let lifetime = match ttl {
            Ttl::Default => Duration::from_nanos(self.live.ttl_nanos.load(Relaxed)),
            Ttl::For(lifetime) => lifetime,
            Ttl::Forever => return None,
        };
        // Not written anew: all look-ups read it.
        if !self.live.has_lifetimes.load(Relaxed) {
            self.live.has_lifetimes.store(true, Relaxed);
        }
        Some(lifetime)
    }
}

/// A lifetime made longer at random, by at most so many percent.
fn lengthened(lifetime: Duration, percent: u64, random: u64) -> Duration {
    // What is longer is as good as forever.
    let most = u64::try_from(lifetime.as_nanos()).unwrap_or(0) / 100 * percent;
    lifetime + Duration::from_nanos(((u128::from(random) * u128::from(most)) >> 64) as u64)
}
