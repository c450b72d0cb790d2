//! What a tier and its thread share: whether the tier is asked, what is believed of what it says, and what its faults mean. Behind
//! `level`, which is its face; `backlog` has what waits to be written, `tend` what the thread does.

use super::breaker::Breaker;
use super::inherited::Inherited;
use super::level::{Bytes, Hit, Left, Look, Queued};
use super::owed::Owed;
use super::queue::{Op, Queue, Seen};
use crate::clock::{Clock, Moment};
use crate::codec::envelope::{Envelope, Unreadable};
use crate::latency::Histogram;
use crate::log;
use crate::thread::OwnThread;
use crate::tiers::{Fault, FaultKind, Outcome, Tier, TierName, What, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// Of look-ups of one key so many are timed, so that what has been asked little tells how long that took, ...
const TIMED_AT_FIRST: u64 = 1024;
/// ... and then one in so many: with two looks at the clock a row on disk takes a twentieth longer.
const TIMED_ONE_IN: u64 = 16;

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

/// What the level's thread has of it.
pub(super) struct Tended {
    /// For its thread.
    pub(super) me: Weak<Tended>,
    pub(super) name: TierName,
    /// Lifetime of what is stored without one, in microseconds.
    pub(super) ttl: AtomicU64,
    pub(super) tier: Box<dyn Tier>,
    pub(super) clock: Clock,
    pub(super) breaker: Breaker,
    pub(super) owed: Owed,
    /// Whether it was ever reached: before that, it is tried first.
    pub(super) is_ready: AtomicBool,
    /// Writes that wait: 0 lets readers pass without the lock.
    pub(super) waiting: AtomicUsize,
    /// Whether [`State::inherited`] is to be asked.
    has_inherited: AtomicBool,
    pub(super) state: Mutex<State>,
    /// There is something to do for the thread.
    pub(super) work: Condvar,
    /// Writes have been done, or given up.
    pub(super) done: Condvar,
    pub(super) counts: [AtomicU64; Count::Last as usize],
    pub(super) reads: Histogram,
    pub(super) writes: Histogram,
    /// Look-ups of one key.
    looks: AtomicU64,
    last_fault: Mutex<Option<(String, u64)>>,
}

/// Whether what a tier has of a key is to be believed.
pub(super) enum Judged<'a> {
    Believed {
        envelope: Envelope<'a>,
        left: Left,
    },
    Absent,
    /// The tier cannot be asked.
    Unknown,
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

impl Tended {
    /// Nothing is asked or started yet.
    pub(super) fn new(name: TierName, tier: Box<dyn Tier>, clock: Clock, queued: Option<Queued>) -> Arc<Self> {
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
        Arc::new_cyclic(|me| Self {
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
            looks: AtomicU64::new(0),
            last_fault: Mutex::new(None),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_fault(&self) -> MutexGuard<'_, Option<(String, u64)>> {
        self.last_fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, what: Count, by: u64) {
        self.counts[what as usize].fetch_add(by, Relaxed);
    }

    pub(super) fn count_looks(&self, hits: u64, misses: u64) {
        for (what, many) in [(Count::Hits, hits), (Count::Misses, misses)] {
            if many > 0 {
                self.count(what, many);
            }
        }
    }

    pub(super) fn is_queued(&self) -> bool {
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

    /// What a write that still waits says of a key.
    pub(super) fn seen_in_queue(&self, key: &[u8]) -> Seen {
        if self.waiting.load(Acquire) == 0 {
            return Seen::Nothing;
        }
        self.lock().queue.look(key)
    }

    /// The same, judged; `None`: nothing.
    pub(super) fn look_in_queue(&self, key: &[u8]) -> Option<Look> {
        match self.seen_in_queue(key) {
            Seen::Nothing => None,
            Seen::Removed => Some(Look::Absent),
            Seen::Put(bytes) => Some(self.look_of(key, Bytes::Shared(bytes), false)),
        }
    }

    pub(super) fn read_one(&self, key: &[u8]) -> Look {
        if !self.is_usable() {
            return Look::Away;
        }
        let look = self.looks.fetch_add(1, Relaxed);
        let begun = (look < TIMED_AT_FIRST || look.is_multiple_of(TIMED_ONE_IN)).then(Instant::now);
        let read = self.tier.read_one(key);
        if let Some(begun) = begun {
            self.reads.add(begun.elapsed().as_nanos() as u64);
        }
        if self.tier.calls_for_upkeep() {
            self.begin_upkeep();
        }
        match read {
            Ok(Some(bytes)) => self.look_of(key, Bytes::Own(bytes), true),
            Ok(None) => Look::Absent,
            Err(fault) => {
                self.fault(&fault);
                Look::Away
            }
        }
    }

    fn look_of(&self, key: &[u8], bytes: Bytes, is_of_tier: bool) -> Look {
        let left = match self.judge(key, &bytes, self.clock.moment(), is_of_tier) {
            Judged::Believed { left, .. } => left,
            Judged::Absent => return Look::Absent,
            Judged::Unknown => return Look::Away,
        };
        Look::Found(Hit { bytes, left })
    }

    /// Whether what was found is to be believed. Of what has tags the tier is asked whether they were purged.
    pub(super) fn judge<'a>(&self, key: &[u8], bytes: &'a [u8], now: Moment, is_of_tier: bool) -> Judged<'a> {
        let judged = self.judge_alone(key, bytes, now, is_of_tier);
        let Judged::Believed { envelope, .. } = &judged else { return judged };
        if envelope.tags.is_empty() {
            return judged;
        }
        // One that waits may be looked at while nobody asks the tier.
        if self.breaker.is_open() {
            return Judged::Unknown;
        }
        let tags: Vec<&[u8]> = envelope.tags.iter().collect();
        match self.tier.is_purged(&tags, envelope.created) {
            Ok(false) => judged,
            Ok(true) => {
                self.count(Count::Outdated, 1);
                Judged::Absent
            }
            Err(fault) => {
                self.fault(&fault);
                Judged::Unknown
            }
        }
    }

    /// The same as far as it can be told without asking the tier.
    pub(super) fn judge_alone<'a>(&self, key: &[u8], bytes: &'a [u8], now: Moment, is_of_tier: bool) -> Judged<'a> {
        let envelope = match Envelope::decode(key, bytes) {
            Ok(envelope) => envelope,
            Err(Unreadable::Foreign | Unreadable::Version | Unreadable::Damaged) => {
                self.count(Count::Unreadable, 1);
                return Judged::Absent;
            }
        };
        let left = Left { micros: envelope.remaining(now.wall), at: now.nanos };
        if left.micros == Some(0) {
            return Judged::Absent;
        }
        if is_of_tier && self.is_of_before_the_fork(key, envelope.created) {
            return Judged::Absent;
        }
        // What waits was written under the number that holds when it is written. A tier that has found something knows its own.
        if is_of_tier && envelope.namespace != self.tier.namespace() {
            self.count(Count::Outdated, 1);
            return Judged::Absent;
        }
        Judged::Believed { envelope, left }
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
        self.timed_write(writes)?;
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

    /// Has the tier write, and takes the time of it.
    pub(super) fn timed_write(&self, writes: &mut [Write<'_>]) -> Result<(), Fault> {
        let begun = Instant::now();
        let written = self.tier.write(writes);
        self.writes.add(begun.elapsed().as_nanos() as u64);
        written
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

    /// Counts a fault of a call and keeps what it says.
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
            self.keep(fault);
        }
    }

    /// Keeps what a fault says, for those who ask how the tier is.
    pub(super) fn keep(&self, fault: &Fault) {
        *self.last_fault() = Some((fault.message.clone(), self.clock.wall()));
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
