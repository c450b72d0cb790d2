//! What waits to be written to a tier, as callers meet it: how a write gets into the queue, how long it waits for room there, and who
//! waits until it has been written. Part of `tended`; the queue itself is `queue`, and `tend` empties it.

use super::level::{Kept, Sealed};
use super::queue::{Number, Op, Queue, Seen};
use super::tend::MANY;
use super::tended::{Count, State, Tended};
use crate::tiers::TierName;
use std::sync::atomic::Ordering::Release;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a put waits for room in the queue. Short: a tier that is too slow for what is written to it would slow all down.
const PATIENCE: Duration = Duration::from_millis(100);

/// After a wait that was in vain nobody waits for so long: so a thread loses at most a tenth of its time.
const NO_PATIENCE: Duration = Duration::from_secs(1);

/// How long a put with `disk.sync=commit` waits, if the tier is well: longer than any commit that was ever measured.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

/// What became of a put that goes through the queue.
pub(super) enum Enqueued {
    /// It waits, and that is enough.
    Done,
    /// It waits, and its caller is to wait until it was written.
    Waits(Number),
    Dropped(Kept),
}

/// What was found waiting of keys that are purged.
#[derive(Default)]
pub(super) struct Purging {
    /// Keys that were removed before, of which the tier was not told yet.
    pub(super) removed: Vec<Arc<[u8]>>,
    upto: Number,
}

impl Tended {
    pub(super) fn enqueue(&self, key: &[u8], sealed: Sealed) -> Enqueued {
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
    pub(super) fn wait_for(&self, key: &[u8], number: Number) -> Kept {
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

    pub(super) fn enqueue_if_absent(&self, key: &[u8], sealed: Sealed) -> bool {
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

    pub(super) fn enqueue_removal(&self, key: &[u8]) {
        let mut state = self.lock();
        state.queue.push_removal(key);
        self.queue_changed(state);
    }

    /// Before the keys that are chosen are purged: gives up what waits to be stored of them, and waits until what is on its way has
    /// arrived: not a later batch, which there may always be. Until [`Tended::end_purge`] readers find nothing of what waited, and not
    /// what the tier had before it.
    pub(super) fn begin_purge(&self, chosen: impl Fn(&[u8]) -> bool) -> Purging {
        let mut state = self.lock();
        if state.queued.is_none() {
            return Purging::default();
        }
        let (removed, upto) = state.queue.remove_where(chosen);
        // Nobody waits for these any more, and there is room.
        self.done.notify_all();
        let (deadline, begun) = (Instant::now() + COMMIT_PATIENCE, state.batches_begun);
        while state.batches_ended < begun && Instant::now() < deadline {
            state = self.done.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.queue_changed(state);
        Purging { removed, upto }
    }

    /// The tier has none of the keys that were chosen, or will be cleared before it is read.
    pub(super) fn end_purge(&self, purging: &Purging, chosen: impl Fn(&[u8]) -> bool) {
        let mut state = self.lock();
        state.queue.forget_removals(purging.upto, chosen);
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
        } else if state.hurry > 0 || state.queue.in_order() == MANY {
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
}
