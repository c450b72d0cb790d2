//! A tier below memory as the cache sees it: asked while it is well, left alone while it is not, with what waits to be written to it in
//! front of it. The one place where a fault of a tier gets its meaning. Its thread is in `tend`.
//!
//! What was written or removed while the tier could not be reached is owed to it: until it is paid the tier is not read. So a
//! reader never finds there what this process has overwritten.

use super::breaker::Breaker;
use super::inherited::Inherited;
use super::owed::Owed;
use super::queue::{Number, Op, Queue, Seen};
use super::thread::OwnThread;
use crate::clock::Clock;
use crate::codec::envelope::{Envelope, Unreadable};
use crate::fork::Hold;
use crate::latency::Histogram;
use crate::log;
use crate::options::UNBOUNDED;
use crate::stats::{Health, TierStatistics};
use crate::tiers::{Fault, FaultKind, Outcome, Tier, TierName, What, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a put waits for room in the queue. Short: a tier that is too slow for what is written to it would slow all down.
const PATIENCE: Duration = Duration::from_millis(100);

/// After a wait that was in vain nobody waits for so long: so a thread loses at most a tenth of its time.
const NO_PATIENCE: Duration = Duration::from_secs(1);

/// How long a put with `disk.sync=commit` waits, if the tier is well: longer than any commit that was ever measured.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

/// Which writes wait in a queue, and how.
#[derive(Clone, Copy)]
pub(super) struct Queued {
    /// How long a write may wait for others.
    pub(super) interval: Duration,
    pub(super) max_bytes: usize,
    /// Whether a put waits until the tier has it.
    pub(super) waits: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Count {
    Hits,
    Misses,
    Puts,
    Removals,
    Timeouts,
    Unreachable,
    Refused,
    Full,
    Damaged,
    TooLarge,
    Unreadable,
    Outdated,
    Dropped,
    Demotions,
    Last,
}

pub(super) struct Level {
    pub(super) tended: Arc<Tended>,
}

/// What the level's thread has of it.
pub(super) struct Tended {
    /// For its thread.
    pub(super) me: Weak<Tended>,
    pub(super) name: TierName,
    /// Lifetime of what is stored without one, in microseconds.
    ttl: AtomicU64,
    pub(super) tier: Box<dyn Tier>,
    pub(super) clock: Clock,
    pub(super) breaker: Breaker,
    pub(super) owed: Owed,
    /// Whether it was ever reached: before that, it is tried first.
    pub(super) is_ready: AtomicBool,
    /// Writes that wait: 0 lets readers pass without the lock.
    waiting: AtomicUsize,
    /// Whether [`State::inherited`] is to be asked.
    has_inherited: AtomicBool,
    pub(super) state: Mutex<State>,
    /// There is something to do for the thread.
    pub(super) work: Condvar,
    /// Writes have been done, or given up.
    pub(super) done: Condvar,
    counts: [AtomicU64; Count::Last as usize],
    reads: Histogram,
    pub(super) writes: Histogram,
    last_fault: Mutex<Option<(String, u64)>>,
}

pub(super) struct State {
    pub(super) queue: Queue,
    /// What waited in the process that this one was forked from.
    inherited: Inherited,
    /// `None`: writes do not wait, callers do.
    pub(super) queued: Option<Queued>,
    pub(super) thread: Option<OwnThread<Tended>>,
    /// No thread could be started: callers do its work.
    pub(super) threadless: bool,
    pub(super) stopping: bool,
    /// Batches that were taken out to be written, and those of them that have ended.
    pub(super) batches_begun: u64,
    pub(super) batches_ended: u64,
    /// Callers that wait until something was written.
    pub(super) hurry: usize,
    /// When the oldest write that waits came.
    pub(super) since: Option<Instant>,
    pub(super) upkeep_at: Option<Instant>,
    /// Until then, or until a batch was written, nobody waits for room.
    pub(super) impatient_until: Option<Instant>,
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
    bytes: Bytes,
    /// Microseconds that were left when it was found; `None`: no end.
    pub(super) left: Option<u64>,
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

/// What became of a put that goes through the queue.
enum Enqueued {
    /// It waits, and that is enough.
    Done,
    /// It waits, and its caller is to wait until it was written.
    Waits(Number),
    Dropped(Kept),
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
        let state = State {
            queue: Queue::default(),
            inherited: Inherited::default(),
            queued,
            thread: None,
            threadless: false,
            stopping: false,
            batches_begun: 0,
            batches_ended: 0,
            hurry: 0,
            since: None,
            upkeep_at: None,
            impatient_until: None,
        };
        Self {
            tended: Arc::new_cyclic(|me| Tended {
                me: me.clone(),
                name,
                ttl: AtomicU64::new(0),
                tier,
                clock,
                breaker: Breaker::new(),
                owed: Owed::default(),
                is_ready: AtomicBool::new(false),
                waiting: AtomicUsize::new(0),
                has_inherited: AtomicBool::new(false),
                state: Mutex::new(state),
                work: Condvar::new(),
                done: Condvar::new(),
                counts: std::array::from_fn(|_| AtomicU64::new(0)),
                reads: Histogram::new(),
                writes: Histogram::new(),
                last_fault: Mutex::new(None),
            }),
        }
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
            None => tended.read(&[key]).pop().unwrap_or(Look::Away),
        };
        if counts {
            tended.count_look(&look);
        }
        look
    }

    /// Looks keys up, in one round trip or transaction.
    pub(super) fn look_many(&self, keys: &[&[u8]], counts: bool) -> Vec<Look> {
        let tended = &*self.tended;
        if tended.waiting.load(Acquire) == 0 {
            let looks = tended.read(keys);
            if counts {
                looks.iter().for_each(|look| tended.count_look(look));
            }
            return looks;
        }
        let mut looks: Vec<Option<Look>> = keys.iter().map(|key| tended.look_in_queue(key)).collect();
        let missing: Vec<&[u8]> =
            keys.iter().zip(&looks).filter(|(_, look)| look.is_none()).map(|(key, _)| *key).collect();
        let mut read = if missing.is_empty() { Vec::new() } else { tended.read(&missing) }.into_iter();
        for look in &mut looks {
            if look.is_none() {
                *look = read.next();
            }
        }
        let looks: Vec<Look> = looks.into_iter().map(|look| look.unwrap_or(Look::Away)).collect();
        if counts {
            looks.iter().for_each(|look| tended.count_look(look));
        }
        looks
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
        let begun = Instant::now();
        let written = tended.tier.write(&mut writes);
        tended.writes.add(begun.elapsed().as_nanos() as u64);
        if let Err(fault) = written {
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
        let looks = tended.read(&kept_out);
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
            let looks = self.look_many(keys, false);
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

    /// Removes the keys that begin with `prefix`.
    pub(super) fn purge_prefix(&self, prefix: &[u8]) -> u64 {
        self.purge(|key| key.starts_with(prefix), |tier| tier.purge_prefix(prefix))
    }

    /// Has nothing be believed any more that carries a tag and was created up to `at`.
    pub(super) fn purge_tag(&self, tag: &[u8], at: u64) {
        self.purge(|_| false, |tier| tier.purge_tag(tag, at).map(|()| 0));
    }

    /// A tier that cannot do it is cleared before it is asked again: more goes than was asked for, and never less.
    fn purge(&self, chosen: impl Fn(&[u8]) -> bool, purge: impl Fn(&dyn Tier) -> Result<u64, Fault>) -> u64 {
        let tended = &*self.tended;
        tended.forget_where(chosen);
        if !tended.is_usable() && tended.owed.add_everything_if_open(&tended.breaker) {
            return 0;
        }
        let begun = Instant::now();
        let purged = purge(&*tended.tier);
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

impl Tended {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_fault(&self) -> MutexGuard<'_, Option<(String, u64)>> {
        self.last_fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, what: Count, by: u64) {
        self.counts[what as usize].fetch_add(by, Relaxed);
    }

    fn count_look(&self, look: &Look) {
        match look {
            Look::Found(_) => self.count(Count::Hits, 1),
            Look::Absent => self.count(Count::Misses, 1),
            Look::Away => {}
        }
    }

    fn is_queued(&self) -> bool {
        self.lock().queued.is_some()
    }

    /// Whether the tier may be asked. The first time it is tried.
    pub(super) fn is_usable(&self) -> bool {
        if self.breaker.is_open() {
            self.tend_without_thread();
            return !self.breaker.is_open();
        }
        if self.is_ready.load(Acquire) {
            return true;
        }
        match self.tier.probe() {
            Ok(()) => {
                self.is_ready.store(true, Release);
                self.begin_upkeep();
                true
            }
            Err(fault) => {
                self.fault(&fault);
                false
            }
        }
    }

    /// What a write that still waits says of a key; `None`: nothing.
    fn look_in_queue(&self, key: &[u8]) -> Option<Look> {
        if self.waiting.load(Acquire) == 0 {
            return None;
        }
        let seen = self.lock().queue.look(key);
        match seen {
            Seen::Nothing => None,
            Seen::Removed => Some(Look::Absent),
            Seen::Put(bytes) => {
                let bytes = Bytes::Shared(bytes);
                Some(self.judge(key, bytes, self.clock.wall(), false))
            }
        }
    }

    fn read(&self, keys: &[&[u8]]) -> Vec<Look> {
        let away = || keys.iter().map(|_| Look::Away).collect();
        if !self.is_usable() {
            return away();
        }
        let begun = Instant::now();
        let read = self.tier.read(keys);
        self.reads.add(begun.elapsed().as_nanos() as u64);
        match read {
            Ok(found) => {
                let now = self.clock.wall();
                let judge = |(key, bytes): (&&[u8], Option<Vec<u8>>)| match bytes {
                    Some(bytes) => self.judge(key, Bytes::Own(bytes), now, true),
                    None => Look::Absent,
                };
                keys.iter().zip(found).map(judge).collect()
            }
            Err(fault) => {
                self.fault(&fault);
                away()
            }
        }
    }

    /// Whether what was found is to be believed.
    fn judge(&self, key: &[u8], bytes: Bytes, now: u64, is_of_tier: bool) -> Look {
        let envelope = match Envelope::decode(key, &bytes) {
            Ok(envelope) => envelope,
            Err(Unreadable::Foreign | Unreadable::Version | Unreadable::Damaged) => {
                self.count(Count::Unreadable, 1);
                return Look::Absent;
            }
        };
        let left = envelope.remaining(now);
        if left == Some(0) {
            return Look::Absent;
        }
        if is_of_tier && self.is_of_before_the_fork(key, envelope.created) {
            return Look::Absent;
        }
        // What waits was written under the number that holds when it is written.
        if is_of_tier && envelope.namespace != self.tier.namespace() {
            self.count(Count::Outdated, 1);
            return Look::Absent;
        }
        if !envelope.tags.is_empty() {
            // One that waits may be looked at while nobody asks the tier.
            if self.breaker.is_open() {
                return Look::Away;
            }
            let tags: Vec<&[u8]> = envelope.tags.iter().collect();
            match self.tier.is_purged(&tags, envelope.created) {
                Ok(false) => {}
                Ok(true) => {
                    self.count(Count::Outdated, 1);
                    return Look::Absent;
                }
                Err(fault) => {
                    self.fault(&fault);
                    return Look::Away;
                }
            }
        }
        Look::Found(Hit { bytes, left })
    }

    fn is_of_before_the_fork(&self, key: &[u8], created: u64) -> bool {
        if !self.has_inherited.load(Acquire) {
            return false;
        }
        let mut state = self.lock();
        let is_of_before = state.inherited.outdates(key, created);
        self.has_inherited.store(!state.inherited.is_empty(), Release);
        is_of_before
    }

    /// Writes to the tier, or remembers that it was not done. False: nothing was written. Where one was refused, what was there of
    /// its key is removed.
    pub(super) fn write(&self, writes: &mut [Write<'_>]) -> bool {
        loop {
            if !self.is_usable() && self.breaker.is_open() {
                if writes.iter().all(|write| self.owed.add_if_open(&self.breaker, write.key)) {
                    return false;
                }
                // It has just been closed.
                continue;
            }
            return match self.try_write(writes) {
                Ok(()) => true,
                Err(fault) => {
                    // First owed and then open: whoever closes it looks at what is owed.
                    writes.iter().for_each(|write| self.owed.add(write.key));
                    self.fault(&fault);
                    false
                }
            };
        }
    }

    /// The same, of which nothing is remembered when it fails.
    pub(super) fn try_write(&self, writes: &mut [Write<'_>]) -> Result<(), Fault> {
        let begun = Instant::now();
        let written = self.tier.write(writes);
        self.writes.add(begun.elapsed().as_nanos() as u64);
        written?;
        let mut refused: Vec<Write<'_>> = Vec::new();
        for write in &*writes {
            match (&write.outcome, &write.what) {
                (Outcome::Done, What::Put { .. }) => self.count(Count::Puts, 1),
                (Outcome::Done, What::Remove) => self.count(Count::Removals, 1),
                (Outcome::Nothing, _) => {}
                (Outcome::Undone, _) => return Err(Fault::new(FaultKind::Damaged, "a write was left out")),
                (Outcome::Refused(fault), _) => {
                    self.note(fault);
                    refused.push(Write::new(write.key, What::Remove));
                }
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        self.tier.write(&mut refused)?;
        for write in refused {
            if let Outcome::Refused(fault) = write.outcome {
                return Err(fault);
            }
        }
        Ok(())
    }

    /// A fault of the tier: it is left alone for a while.
    #[cold]
    pub(super) fn fault(&self, fault: &Fault) {
        self.note(fault);
        if self.breaker.trip(fault.kind == FaultKind::TimedOut, Instant::now()) {
            log::warn(|| format!("the {} tier is left alone for now: {fault}", self.name));
        }
        self.wake();
    }

    /// Counts a fault and keeps what it says.
    fn note(&self, fault: &Fault) {
        self.count(
            match fault.kind {
                FaultKind::TimedOut => Count::Timeouts,
                FaultKind::Unreachable => Count::Unreachable,
                FaultKind::Refused => Count::Refused,
                FaultKind::Full => Count::Full,
                FaultKind::Damaged => Count::Damaged,
                FaultKind::TooLarge => Count::TooLarge,
            },
            1,
        );
        if fault.kind != FaultKind::TooLarge {
            *self.last_fault() = Some((fault.message.clone(), self.clock.wall()));
        }
    }

    fn enqueue(&self, key: &[u8], sealed: Sealed) -> Enqueued {
        let op = Op::Put { envelope: Arc::new(sealed.envelope), expires: sealed.expires, if_absent: false };
        let mut state = self.lock();
        let Some(queued) = state.queued else { return Enqueued::Dropped(Kept::No) };
        let cost = Queue::cost(key, &op);
        state = self.wait_for_room(state, cost, queued.max_bytes);
        let has_room = state.queue.bytes() == 0 || state.queue.bytes() + cost <= queued.max_bytes;
        let number = if has_room { state.queue.push(key, op) } else { None };
        let Some(number) = number else {
            let waits = state.queue.has(key);
            drop(state);
            if waits || !self.is_surely_absent(key) {
                self.enqueue_removal(key);
            }
            self.count(Count::Dropped, 1);
            return Enqueued::Dropped(Kept::No);
        };
        self.queue_changed(state);
        if queued.waits {
            Enqueued::Waits(number)
        } else {
            Enqueued::Done
        }
    }

    /// Whether there is nothing to be removed of a key: the disk is asked, which costs less than a removal does. Most of what is
    /// put when too much waits is new, and as many removals as there are such puts would clear the tier. The caller has the turn.
    fn is_surely_absent(&self, key: &[u8]) -> bool {
        if self.name != TierName::Disk || !self.is_usable() {
            return false;
        }
        match self.tier.read(&[key]) {
            Ok(found) => found.iter().all(Option::is_none),
            Err(fault) => {
                self.fault(&fault);
                false
            }
        }
    }

    /// Waits until a write was done.
    fn wait_for(&self, key: &[u8], number: Number) -> Kept {
        let deadline = Instant::now() + COMMIT_PATIENCE;
        let mut state = self.lock();
        state.hurry += 1;
        self.start_or_wake(state);
        let mut state = self.lock();
        let mut kept = Kept::Yes;
        while state.queue.is_waiting(key, number) {
            let now = Instant::now();
            if now >= deadline || self.breaker.is_open() {
                kept = Kept::NotYet;
                break;
            }
            state = self.done.wait_timeout(state, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.hurry -= 1;
        kept
    }

    fn wait_for_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        cost: usize,
        most: usize,
    ) -> MutexGuard<'a, State> {
        let is_full = |state: &State| state.queue.bytes() > 0 && state.queue.bytes() + cost > most;
        if !is_full(&state) {
            return state;
        }
        let now = Instant::now();
        if self.breaker.is_open() || state.impatient_until.is_some_and(|until| now < until) {
            return state;
        }
        let deadline = now + PATIENCE;
        state.hurry += 1;
        self.work.notify_all();
        while is_full(&state) && !self.breaker.is_open() {
            let now = Instant::now();
            if now >= deadline {
                state.impatient_until = Some(now + NO_PATIENCE);
                break;
            }
            state = self.done.wait_timeout(state, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.hurry -= 1;
        state
    }

    fn enqueue_if_absent(&self, key: &[u8], sealed: Sealed) -> bool {
        let op = Op::Put { envelope: Arc::new(sealed.envelope), expires: sealed.expires, if_absent: true };
        let mut state = self.lock();
        let Some(queued) = state.queued else { return false };
        // What waits already is newer, or says that there is to be nothing.
        let is_free = state.queue.look(key) == Seen::Nothing;
        let has_room = state.queue.bytes() + Queue::cost(key, &op) <= queued.max_bytes;
        let is_queued = is_free && has_room && !self.breaker.is_open() && state.queue.push(key, op).is_some();
        if is_queued {
            self.queue_changed(state);
        }
        is_queued
    }

    fn enqueue_removal(&self, key: &[u8]) {
        let mut state = self.lock();
        state.queue.push_removal(key);
        self.queue_changed(state);
    }

    /// Gives up writes that wait, and waits until those that are on their way have arrived: not those of a later batch, which there
    /// may always be.
    fn forget_where(&self, chosen: impl Fn(&[u8]) -> bool) {
        let mut state = self.lock();
        if state.queued.is_none() {
            return;
        }
        state.queue.forget_where(chosen);
        let (deadline, begun) = (Instant::now() + COMMIT_PATIENCE, state.batches_begun);
        while state.batches_ended < begun && Instant::now() < deadline {
            state = self.done.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.queue_changed(state);
    }

    /// Something was queued, or is queued no more.
    pub(super) fn queue_changed(&self, mut state: MutexGuard<'_, State>) {
        self.waiting.store(state.queue.len() + usize::from(!state.queue.is_empty()), Release);
        if state.queue.in_order() == 0 {
            state.since = None;
        } else if state.since.is_none() {
            state.since = Some(Instant::now());
            self.start_or_wake(state);
        } else if state.hurry > 0 || state.queue.in_order() == super::tend::MANY {
            self.start_or_wake(state);
        }
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        if state.queue.is_empty() {
            return !self.breaker.is_open();
        }
        let deadline = Instant::now().checked_add(timeout);
        state.hurry += 1;
        self.start_or_wake(state);
        state = self.lock();
        while !state.queue.is_empty() && !state.threadless && !self.breaker.is_open() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            let left = left.unwrap_or(COMMIT_PATIENCE);
            state = self.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.hurry -= 1;
        state.queue.is_empty()
    }

    /// In a forked child. What waited is the parent's to write; until it has, what the tier says of these keys is of before.
    pub(super) fn after_fork_in_child(&self) {
        self.tier.after_fork_in_child();
        self.is_ready.store(false, Release);
        self.breaker.after_fork_in_child();
        let mut state = self.lock();
        if let Some(thread) = state.thread.take() {
            thread.forget_in_child();
        }
        state.threadless = false;
        state.hurry = 0;
        state.batches_ended = state.batches_begun;
        state.since = None;
        state.upkeep_at = None;
        let now = self.clock.wall();
        let State { queue, inherited, .. } = &mut *state;
        let (clears, waited) = queue.hand_over();
        if clears {
            inherited.add_everything(now);
        }
        for (key, op) in waited {
            let created = match &op {
                Op::Put { envelope, .. } => Envelope::decode(&key, envelope).map_or(now, |envelope| envelope.created),
                Op::Remove => now,
            };
            inherited.add(key, created);
        }
        self.has_inherited.store(!inherited.is_empty(), Release);
        self.waiting.store(0, Release);
    }
}
