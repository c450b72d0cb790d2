//! What the thread of a tier does: writes what waits, probes a tier that is left alone and pays what is owed to it, and has it
//! keep itself in order. Part of `tended`.
//!
//! There is none before there is something to do, none in a forked child until that has something to do, and none once the cache is
//! dropped. Where none can be started, callers do what is due.

use super::level::Level;
use super::owed::Due;
use super::queue::{Batch, Op};
use super::tended::{Count, State, Tended};
use crate::codec::envelope::Envelope;
use crate::log;
use crate::thread::{guarded, OwnThread};
use crate::tiers::{Fault, FaultKind, What, Write};
use std::sync::atomic::Ordering::Release;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A batch is written at once when so many writes wait: with more of them SQLite gains nothing any more (measured).
pub(super) const MANY: usize = 1024;

/// The bytes of a batch: bounds how long a transaction or a pipeline takes.
const BATCH_BYTES: usize = 4 << 20;

/// Keys that are removed in one step beside what waits.
const REMOVED_AT_ONCE: usize = 1_000;

/// SQLite's and TLS's needs, and a logger's.
const STACK_BYTES: usize = 1 << 20;

/// When a tier that had nothing to keep in order is asked again, after something was written.
const UPKEEP_AFTER_WRITES: Duration = Duration::from_secs(1);

/// How long a cache that is dropped goes on writing what waits, if the tier takes it.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// What the thread does next.
enum Next {
    End,
    /// For as long, or until somebody says so.
    Wait(Option<Duration>),
    Probe,
    Write,
    Upkeep,
}

impl Tended {
    /// Has the thread look what there is to do.
    pub(super) fn wake(&self) {
        self.start_or_wake(self.lock());
    }

    pub(super) fn start_or_wake(&self, mut state: MutexGuard<'_, State>) {
        if state.thread.is_some() {
            drop(state);
            self.work.notify_all();
            return;
        }
        if state.stopping || state.threadless {
            drop(state);
            self.tend_without_thread();
            return;
        }
        let Some(tended) = self.me.upgrade() else { return };
        match OwnThread::spawn(&format!("catzilla-{}", self.name), STACK_BYTES, &tended, Tended::serve) {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => {
                state.threadless = true;
                drop(state);
                log::warn(|| {
                    format!("the {} tier's thread could not be started, so callers do its work: {error}", self.name)
                });
                self.tend_without_thread();
            }
        }
    }

    /// Where there is no thread, its caller does what is due.
    pub(super) fn tend_without_thread(&self) {
        loop {
            let next = {
                let state = self.lock();
                if !state.threadless {
                    return;
                }
                self.next(&state, Instant::now())
            };
            match next {
                Next::End | Next::Wait(_) | Next::Upkeep => return,
                next => self.act(next),
            }
        }
    }

    /// What the thread does.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            state = match self.next(&state, Instant::now()) {
                Next::End => return,
                Next::Wait(None) => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(Some(pause)) => {
                    self.work.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                next => {
                    drop(state);
                    self.act(next);
                    self.lock()
                }
            };
        }
    }

    fn next(&self, state: &State, now: Instant) -> Next {
        if let Some(left) = self.breaker.until_probe(now) {
            return match left {
                _ if state.stopping => Next::End,
                Duration::ZERO => Next::Probe,
                left => Next::Wait(Some(left)),
            };
        }
        let write = self.until_write(state, now);
        if state.stopping {
            return if write.is_some() { Next::Write } else { Next::End };
        }
        let upkeep = state.upkeep_at.map(|at| at.saturating_duration_since(now));
        match (write, upkeep) {
            (Some(Duration::ZERO), _) => Next::Write,
            (_, Some(Duration::ZERO)) => Next::Upkeep,
            (write, upkeep) => Next::Wait(write.into_iter().chain(upkeep).min()),
        }
    }

    /// How long what waits may still wait for more; `None`: nothing waits.
    fn until_write(&self, state: &State, now: Instant) -> Option<Duration> {
        if state.queue.in_order() == 0 && !state.queue.clears() {
            return None;
        }
        // Where there is no thread, nobody comes later.
        let is_much = state.threadless || state.queue.in_order() >= MANY || state.queue.bytes() >= BATCH_BYTES;
        let interval = state.queued.map_or(Duration::ZERO, |queued| queued.interval);
        match state.since {
            Some(since) if !is_much && state.hurry == 0 => Some((since + interval).saturating_duration_since(now)),
            _ => Some(Duration::ZERO),
        }
    }

    fn act(&self, next: Next) {
        match next {
            Next::End | Next::Wait(_) => {}
            Next::Probe => guarded(|| self.probe()),
            Next::Write => self.write_batch(),
            Next::Upkeep => guarded(|| self.keep_up()),
        }
    }

    /// Tries a tier that is left alone; if it answers, tells it what it is owed, and has it asked again.
    fn probe(&self) {
        if let Err(fault) = self.tier.probe().and_then(|()| self.settle()) {
            self.breaker.stay_open(Instant::now());
            // The reason may be another by now than the one that began it.
            self.keep(&fault);
            log::debug(|| format!("the {} tier still cannot be used: {fault}", self.name));
            return;
        }
        self.is_ready.store(true, Release);
        log::info(|| format!("the {} tier is used again", self.name));
        self.done.notify_all();
        self.begin_upkeep();
    }

    fn settle(&self) -> Result<(), Fault> {
        loop {
            let due = self.owed.due(REMOVED_AT_ONCE);
            match &due {
                Due::Nothing => {}
                Due::Everything => _ = self.tier.clear()?,
                Due::Keys(keys) => self.remove_now(keys)?,
            }
            self.owed.paid(&due);
            if self.owed.settled(&self.breaker, Instant::now()) {
                return Ok(());
            }
        }
    }

    /// Removes keys from the tier, some at once.
    pub(super) fn remove_now(&self, keys: &[impl AsRef<[u8]>]) -> Result<(), Fault> {
        keys.chunks(REMOVED_AT_ONCE).try_for_each(|keys| {
            let mut writes: Vec<_> = keys.iter().map(|key| Write::new(key.as_ref(), What::Remove)).collect();
            self.try_write(&mut writes)
        })
    }

    /// Writes some of what waits.
    fn write_batch(&self) {
        let batch = {
            let mut state = self.lock();
            state.batches_begun += 1;
            state.queue.take(MANY, BATCH_BYTES)
        };
        let mut written = Err(Fault::new(FaultKind::Damaged, "a bug inside the library; please report it"));
        guarded(|| written = self.write_out(&batch));
        let mut state = self.lock();
        state.batches_ended += 1;
        match written {
            Ok(()) => {
                if batch.clears {
                    state.queue.cleared();
                }
                state.queue.done(&batch);
                state.since = None;
                // It moves: a put is slowed down to what the tier takes, and not dropped.
                state.impatient_until = None;
                if self.tier.has_upkeep() && state.upkeep_at.is_none() {
                    state.upkeep_at = Some(Instant::now() + UPKEEP_AFTER_WRITES);
                }
                self.queue_changed(state);
            }
            Err(fault) => {
                state.queue.put_back(batch);
                drop(state);
                self.fault(&fault);
            }
        }
        self.done.notify_all();
    }

    fn write_out(&self, batch: &Batch) -> Result<(), Fault> {
        if !self.is_usable() {
            return Err(Fault::new(FaultKind::Unreachable, "the tier could not be reached"));
        }
        if batch.clears {
            self.tier.clear()?;
        }
        let namespace = self.tier.namespace();
        let resealed: Vec<Option<Vec<u8>>> =
            batch.writes.iter().map(|(key, _, op)| resealed(key, op, namespace)).collect();
        let tags: Vec<Vec<&[u8]>> = batch.writes.iter().map(|(key, _, op)| tags_of(key, op)).collect();
        let mut writes: Vec<Write<'_>> = Vec::with_capacity(batch.writes.len());
        for (((key, _, op), resealed), tags) in batch.writes.iter().zip(&resealed).zip(&tags) {
            let what = match op {
                Op::Put { envelope, expires, if_absent } => {
                    let envelope = resealed.as_deref().unwrap_or(envelope);
                    What::Put { envelope, expires: *expires, tags, if_absent: *if_absent }
                }
                Op::Remove => What::Remove,
            };
            writes.push(Write::new(key, what));
        }
        self.try_write(&mut writes)
    }

    /// Has the tier keep itself in order.
    fn keep_up(&self) {
        let again = if self.breaker.is_open() { Ok(None) } else { self.tier.maintain() };
        let again = again.unwrap_or_else(|fault| {
            self.fault(&fault);
            None
        });
        self.lock().upkeep_at = again.map(|pause| Instant::now() + pause);
    }

    /// The tier is used, or used again: there may be something to keep in order.
    pub(super) fn begin_upkeep(&self) {
        if self.tier.has_upkeep() {
            let mut state = self.lock();
            state.upkeep_at = Some(Instant::now());
            self.start_or_wake(state);
        }
    }
}

/// The same envelope under another number; `None`: it has that one, or is none.
fn resealed(key: &[u8], op: &Op, namespace: u64) -> Option<Vec<u8>> {
    let Op::Put { envelope, .. } = op else { return None };
    let envelope = Envelope::decode(key, envelope).ok().filter(|envelope| envelope.namespace != namespace)?;
    Envelope { namespace, ..envelope }.encode(key)
}

fn tags_of<'a>(key: &[u8], op: &'a Op) -> Vec<&'a [u8]> {
    match op {
        Op::Put { envelope, .. } => {
            Envelope::decode(key, envelope).map_or(Vec::new(), |envelope| envelope.tags.iter().collect())
        }
        Op::Remove => Vec::new(),
    }
}

impl Drop for Level {
    /// Writes what waits, if the tier takes it, and ends the thread.
    fn drop(&mut self) {
        let tended = &*self.tended;
        let is_written = tended.flush(LAST_PATIENCE);
        let (thread, lost) = {
            let mut state = tended.lock();
            state.stopping = true;
            let lost = if is_written { 0 } else { state.queue.forget() };
            (state.thread.take(), lost)
        };
        tended.work.notify_all();
        if let Some(thread) = thread {
            thread.join();
        }
        if lost > 0 {
            tended.count(Count::Dropped, lost as u64);
            log::warn(|| format!("{lost} writes to the {} tier are lost: it could not be reached", tended.name));
        }
    }
}
