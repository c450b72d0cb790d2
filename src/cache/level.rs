//! A tier below memory as the cache sees it: asked while it is well, left alone while it is not, with what waits to be written to it in
//! front of it. This is the face; behind it `tended` says whether the tier is asked and what its faults mean, `backlog` how writes
//! wait, `tend` what the tier's thread does.
//!
//! What was written or removed while the tier could not be reached is owed to it: until it is paid the tier is not read. So a
//! reader never finds there what this process has overwritten.

use super::backlog::Enqueued;
use super::sight::{look_all, look_each, Seeker};
use super::tended::{Count, Tended};
use crate::clock::Clock;
use crate::codec::envelope::Envelope;
use crate::fork::Hold;
use crate::options::UNBOUNDED;
use crate::pattern::KeySet;
use crate::stats::{Health, TierStatistics};
use crate::tiers::{Fault, FaultKind, Outcome, Tier, TierName, What, Write};
use std::sync::atomic::{Ordering::Relaxed, Ordering::Release};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which writes wait in a queue, and how.
#[derive(Clone, Copy)]
pub(super) struct Queued {
    /// How long a write may wait for others.
    pub(super) interval: Duration,
    pub(super) max_bytes: usize,
    /// Whether a put waits until the tier has it.
    pub(super) waits: bool,
}

pub(super) struct Level {
    pub(super) tended: Arc<Tended>,
}

/// What a look-up finds.
pub(super) enum Look {
    /// An envelope of the key that is to be believed.
    Found(Hit),
    Absent,
    /// The tier cannot be asked.
    Away,
}

/// What a tier has of a key, and is to be believed.
pub(super) struct Hit {
    pub(super) bytes: Bytes,
    pub(super) left: Left,
}

/// What was left of a lifetime.
#[derive(Clone, Copy)]
pub(super) struct Left {
    /// In microseconds; `None`: no end.
    pub(super) micros: Option<u64>,
    /// When so much was left, by [`Clock::nanos`].
    pub(super) at: u64,
}

impl Hit {
    pub(super) fn open(&self) -> Option<Envelope<'_>> {
        Envelope::known(&self.bytes)
    }
}

/// Of an envelope: from the tier, or of a write that still waits.
pub(super) enum Bytes {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

/// A value ready to be written.
pub(super) struct Sealed {
    pub(super) envelope: Vec<u8>,
    /// In milliseconds since the Unix epoch; `None`: never.
    pub(super) expires: Option<u64>,
}

/// A value on its way to a tier.
pub(super) struct Sending<'a> {
    pub(super) key: &'a [u8],
    /// `None`: it could not be sealed, as one that is too large; what the tier has of the key goes.
    pub(super) sealed: Option<Sealed>,
    pub(super) tags: Vec<&'a [u8]>,
}

impl Sending<'_> {
    fn write(&self, if_absent: bool) -> Write<'_> {
        let what = match &self.sealed {
            Some(Sealed { envelope, expires }) => {
                What::Put { envelope, expires: *expires, tags: &self.tags, if_absent }
            }
            None => What::Remove,
        };
        Write::new(self.key, what)
    }
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// What the tier had of the key is gone, or will be before it is read.
    No,
    /// As `No`, and the value can never be kept here.
    TooLarge,
    /// It waits, but was to be committed by now.
    NotYet,
}

impl Level {
    /// A tier and what its writes do. Nothing is asked or started yet.
    pub(super) fn new(name: TierName, tier: Box<dyn Tier>, clock: Clock, queued: Option<Queued>) -> Self {
        Self { tended: Tended::new(name, tier, clock, queued) }
    }

    /// Tries the tier now.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn reach(&self) -> Result<(), String> {
        match self.tended.tier.probe() {
            Ok(()) => {
                self.tended.is_ready.store(true, Release);
                Ok(())
            }
            Err(fault) => Err(fault.message),
        }
    }

    /// Goes into what is sealed for this tier; any number will do while it cannot be used. To learn it may take a round trip.
    pub(super) fn namespace(&self) -> u64 {
        if self.tended.is_usable() {
            self.tended.tier.namespace()
        } else {
            0
        }
    }

    pub(super) fn name(&self) -> TierName {
        self.tended.name
    }

    /// How many microseconds what is stored without a lifetime lives here.
    pub(super) fn ttl(&self) -> u64 {
        self.tended.ttl.load(Relaxed)
    }

    pub(super) fn set_ttl(&self, ttl: Duration) {
        self.tended.ttl.store(ttl.as_micros() as u64, Relaxed);
    }

    /// Takes over options that can change while a cache runs.
    pub(super) fn configure(&self, interval: Duration, max_bytes: u64) {
        if let Some(queued) = &mut self.tended.lock().queued {
            queued.interval = interval;
        }
        self.tended.tier.set_max_bytes(max_bytes);
        self.tended.work.notify_all();
    }

    /// Looks a key up. `counts`: whether this is a look-up of a caller's.
    pub(super) fn look(&self, key: &[u8], counts: bool) -> Look {
        let tended = &*self.tended;
        let look = match tended.look_in_queue(key) {
            Some(look) => look,
            None => tended.read_one(key),
        };
        if counts {
            tended.count_looks(u64::from(matches!(look, Look::Found(_))), u64::from(matches!(look, Look::Absent)));
        }
        look
    }

    /// Whether the tier has a key that is to be believed.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        matches!(self.look(key, false), Look::Found(_))
    }

    /// Looks keys up for somebody who asks for each and is told of each, in one round trip or transaction.
    pub(super) fn look_each(&self, seeker: &mut dyn Seeker<'_>) {
        look_each(&self.tended, seeker, true);
    }

    /// Writes values in place of earlier ones, in one round trip. The caller has the keys' turns.
    pub(super) fn put_many(&self, sendings: Vec<Sending<'_>>) -> Vec<Kept> {
        let tended = &*self.tended;
        if tended.is_queued() {
            // All of them first, so that they are committed together.
            let mut enqueued = Vec::with_capacity(sendings.len());
            for Sending { key, sealed, .. } in sendings {
                let outcome = match sealed {
                    Some(sealed) => tended.enqueue(key, sealed),
                    None => {
                        tended.enqueue_removal(key);
                        Enqueued::Dropped(Kept::TooLarge)
                    }
                };
                enqueued.push((key, outcome));
            }
            let kept = |(key, enqueued)| match enqueued {
                Enqueued::Waits(number) => tended.wait_for(key, number),
                Enqueued::Done => Kept::Yes,
                Enqueued::Dropped(kept) => kept,
            };
            return enqueued.into_iter().map(kept).collect();
        }
        let mut writes: Vec<Write<'_>> = sendings.iter().map(|sending| sending.write(false)).collect();
        if !tended.write(&mut writes) {
            tended.count(Count::Dropped, writes.len() as u64);
            return vec![Kept::No; writes.len()];
        }
        let kept = |write: &Write<'_>| match (&write.what, &write.outcome) {
            (What::Put { .. }, Outcome::Done) => Kept::Yes,
            (What::Put { .. }, Outcome::Refused(fault)) if fault.kind == FaultKind::TooLarge => Kept::TooLarge,
            (What::Put { .. }, _) => Kept::No,
            (What::Remove, _) => Kept::TooLarge,
        };
        writes.iter().map(kept).collect()
    }

    /// Writes values if their keys are not there: what was found below, or has left memory. The caller has the keys' turns. Nothing is
    /// remembered of those that could not be written. Says how many were written, or wait to be.
    pub(super) fn fill_many(&self, sendings: Vec<Sending<'_>>) -> usize {
        let tended = &*self.tended;
        if tended.is_queued() {
            let enqueue =
                |Sending { key, sealed, .. }| sealed.is_some_and(|sealed| tended.enqueue_if_absent(key, sealed));
            return sendings.into_iter().map(enqueue).filter(|is_queued| *is_queued).count();
        }
        let sealed = sendings.iter().filter(|sending| sending.sealed.is_some());
        let mut writes: Vec<Write<'_>> = sealed.map(|sending| sending.write(true)).collect();
        if writes.is_empty() || !tended.is_usable() {
            return 0;
        }
        if let Err(fault) = tended.timed_write(&mut writes) {
            // Some may have been done after all; but they would be no older than what is below.
            tended.fault(&fault);
            return 0;
        }
        let done = writes.iter().filter(|write| write.outcome == Outcome::Done).count();
        let kept_out: Vec<&[u8]> =
            writes.iter().filter(|write| write.outcome == Outcome::Nothing).map(|write| write.key).collect();
        if kept_out.is_empty() {
            return done;
        }
        // Something is there: what somebody else has just written, or what nobody believes any more and is only in the way.
        let looks = look_all(tended, &kept_out);
        let in_the_way = |key: &[u8]| {
            kept_out.iter().zip(&looks).any(|(kept_out, look)| *kept_out == key && matches!(look, Look::Absent))
        };
        let sealed = sendings.iter().filter(|sending| sending.sealed.is_some() && in_the_way(sending.key));
        let mut writes: Vec<Write<'_>> = sealed.map(|sending| sending.write(false)).collect();
        if !writes.is_empty() && tended.write(&mut writes) {
            return done + writes.len();
        }
        done
    }

    /// Removes keys, in one round trip, and says which of them were there.
    pub(super) fn remove_many(&self, keys: &[&[u8]]) -> Vec<bool> {
        let tended = &*self.tended;
        if tended.is_queued() {
            let looks = look_all(tended, keys);
            for key in keys {
                tended.enqueue_removal(key);
            }
            return looks.iter().map(|look| matches!(look, Look::Found(_))).collect();
        }
        let mut writes: Vec<Write<'_>> = keys.iter().map(|key| Write::new(key, What::Remove)).collect();
        tended.write(&mut writes);
        writes.iter().map(|write| write.outcome == Outcome::Done).collect()
    }

    /// Removes everything of ours, and says how many keys those were.
    pub(super) fn clear(&self) -> u64 {
        self.purge(|_| true, |tier| tier.clear())
    }

    /// Removes these keys.
    pub(super) fn purge_keys(&self, keys: KeySet<'_>) -> u64 {
        self.purge(|key| keys.has(key), |tier| tier.purge_keys(keys))
    }

    /// Has nothing be believed any more that carries a tag and was created up to `at`.
    pub(super) fn purge_tag(&self, tag: &[u8], at: u64) {
        self.purge(|_| false, |tier| tier.purge_tag(tag, at).map(|()| 0));
    }

    /// A tier that cannot do it is cleared before it is asked again: more goes than was asked for, and never less.
    fn purge(&self, chosen: impl Fn(&[u8]) -> bool, purge: impl Fn(&dyn Tier) -> Result<u64, Fault>) -> u64 {
        let tended = &*self.tended;
        let purging = tended.begin_purge(&chosen);
        let purged = self.purge_tier(&purging.removed, purge);
        tended.end_purge(&purging, chosen);
        purged
    }

    /// The same for the tier alone. What was removed before goes first, so that it is not counted.
    fn purge_tier(&self, removed: &[Arc<[u8]>], purge: impl Fn(&dyn Tier) -> Result<u64, Fault>) -> u64 {
        let tended = &*self.tended;
        if !tended.is_usable() && tended.owed.add_everything_if_open(&tended.breaker) {
            return 0;
        }
        let begun = Instant::now();
        let purged = tended.remove_now(removed).and_then(|()| purge(&*tended.tier));
        tended.writes.add(begun.elapsed().as_nanos() as u64);
        match purged {
            Ok(purged) => {
                tended.count(Count::Removals, purged);
                purged
            }
            Err(fault) => {
                tended.owed.add_everything();
                tended.fault(&fault);
                0
            }
        }
    }

    /// Waits until everything that was queued before is written. False: that took too long, or the tier cannot be reached.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        self.tended.flush(timeout)
    }

    pub(super) fn demoted(&self) {
        self.tended.count(Count::Demotions, 1);
    }

    pub(super) fn statistics(&self) -> TierStatistics {
        let tended = &*self.tended;
        let count = |what: Count| tended.counts[what as usize].load(Relaxed);
        let figures = tended.tier.figures();
        let (owed, owed_ever, owed_overflows) = tended.owed.figures();
        let (queued, queued_bytes) = {
            let state = tended.lock();
            (state.queue.len() as u64, state.queue.bytes() as u64)
        };
        TierStatistics {
            hits: count(Count::Hits),
            misses: count(Count::Misses),
            puts: count(Count::Puts),
            removals: count(Count::Removals),
            timeouts: count(Count::Timeouts),
            connection_errors: count(Count::Unreachable),
            refusals: count(Count::Refused),
            full_errors: count(Count::Full),
            damage_errors: count(Count::Damaged),
            too_large: count(Count::TooLarge),
            unreadable: count(Count::Unreadable),
            outdated: count(Count::Outdated),
            is_open: tended.breaker.is_open(),
            openings: tended.breaker.openings(),
            entries: figures.entries,
            bytes: figures.bytes,
            max_bytes: if figures.max_bytes == UNBOUNDED { 0 } else { figures.max_bytes },
            evictions: figures.evictions,
            expirations: figures.expirations,
            queued,
            queued_bytes,
            dropped_writes: count(Count::Dropped),
            owed,
            owed_ever,
            owed_overflows,
            demotions: count(Count::Demotions),
            set_aside: figures.set_aside,
            connections: figures.connections,
            connects: figures.connects,
            reads: tended.reads.latency(),
            writes: tended.writes.latency(),
        }
    }

    pub(super) fn health(&self) -> Health {
        let last = self.tended.last_fault();
        let (last_error, last_error_at) = match &*last {
            Some((message, at)) => (Some(message.clone()), *at),
            None => (None, 0),
        };
        Health { is_up: !self.tended.breaker.is_open(), last_error, last_error_at }
    }

    /// Everything, for the time of a fork. The tier first: whoever is in a call on it may need the rest to end it.
    pub(super) fn hold(&self) -> Box<dyn Hold + '_> {
        let tended = &*self.tended;
        let tier = tended.tier.hold();
        let state = tended.lock();
        Box::new((tended.last_fault(), tended.breaker.hold(), tended.owed.hold(), state, tier))
    }
}
