//! Which keys are being loaded, by whom, and who waits for it: so that of many callers that miss one key, one loads it. Called
//! by `load`, and by every write of the cache, which outdates the flight of its key. Runs no loader, and nobody's code under
//! a lock but the store into the memory tier.
//!
//! The first caller of a key becomes the **leader** of its flight; the others sleep until the leader has done its part, which ends
//! in one of two ways:
//!
//! - *With an answer*: a value, "there is none", or a failure. It goes to everybody who waited. A failure too: a thousand
//!   callers that wait for a server which does not answer would otherwise ask it a thousand times, one after the other, each
//!   when the last one has failed. Neither a failure nor "there is none" is kept: who calls later loads again.
//! - *Without one* (a lease that was given up, a loader that panicked): the next of the waiting leads.
//!
//! # No older value over a newer one
//!
//! A write of a key first **outdates** its flight, then writes. An outdated flight is not found any more: who calls from then
//! on loads anew, while those who waited already, and the leader, still get what is loaded (their calls began before), but it
//! is not stored. The leader stores under the lock of the flight's stripe, if the flight is not outdated: so a write that
//! outdates comes before that, and then nothing is stored, or after it, and then it replaces what was stored.
//!
//! That takes a lock for each write. What spares it is `loading`, the number of flights that can be found: a writer that reads 0
//! there goes on at once. It may, in both cases in which it does (W is the writer, L the leader):
//!
//! 1. *L raises the number after W has read it*, so W's call began before L's load. W's write has not been told to L, but what W
//!    had changed in the outside world before its call, L has to load. That is a store and a load on either side, of which one
//!    load at least has to see the other's store: W changes the world, passes [`barrier::light`] and reads the number; L raises
//!    the number, passes [`barrier::heavy`] and loads. With these two halves either W reads more than 0, or L loads what W has
//!    changed. (The outside world may be a plain variable of the program, so nothing else need order the two.) W's write to the
//!    cache may still come between L's second look at the cache and its store; so L stores only if the key is absent.
//! 2. *L has ended, and has lowered the number again*, with release order and after it has stored. W reads the number with acquire
//!    order, so W's write comes later than L's store, and replaces it.
//!
//! Where `heavy` fails (see there), nothing orders the two, and what is loaded is not stored.
//!
//! Where each write takes longer than a lock anyway, since it goes to other tiers first, writers take it always
//! ([`Flights::locking`]), and who loads is spared `heavy`, which on a virtual machine may take longer than asking Redis: W's lock of the
//! stripe comes before L's, and then L loads what W has changed, or after it, and then W finds the flight.

use super::stripe::{At, Flight, Stripe};
use crate::error::{Error, Result, Status};
use crate::fork::Hold;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use crate::sync::{now, seed, this_thread, Mutex, MutexGuard};
use crate::tiers::memory::{barrier, Value};
use ahash::RandomState;
use crossbeam_utils::CachePadded;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Arbitrary: so that callers of different keys seldom meet. In models, where they should, one.
const STRIPES: usize = if cfg!(shuttle) { 1 } else { 32 };

pub(super) struct Flights {
    /// Whether writers look for flights without asking first whether there are any.
    always_locks: bool,
    /// How many flights can be found, where writers ask. Read by every write to the cache.
    loading: CachePadded<AtomicUsize>,
    stripes: Box<[CachePadded<Mutex<Stripe<End>>>]>,
    /// Seeded for each cache, so that nobody can choose keys that fall together.
    hasher: RandomState,
    loads: AtomicU64,
    failures: AtomicU64,
    waits: AtomicU64,
}

enum End {
    Answer(Answer),
    /// There is none, and it is too late for one of the waiting to lead: they begin anew.
    Nothing,
}

/// What came of a load.
pub(super) enum Answer {
    /// One that can be shared: see [`Value::share`].
    Value(Value),
    NotFound,
    Failed(Error),
}

impl Answer {
    fn share(&self) -> Result<Self> {
        Ok(match self {
            Answer::Value(value) => Answer::Value(value.share().ok_or_else(Error::out_of_memory)?),
            Answer::NotFound => Answer::NotFound,
            Answer::Failed(error) => Answer::Failed(error.clone()),
        })
    }
}

/// What a caller who missed a key has to do.
pub(super) enum Turn {
    /// Load it, and end the flight by [`Flights::land`] or [`Flights::give_up`].
    Leads(Ticket),
    /// Nothing: somebody else has loaded it.
    Answered(Answer),
    /// Go without: somebody else is still loading it.
    TimedOut,
}

/// What came of the wish to lead, without waiting for anybody.
pub(super) enum Lead {
    /// As [`Turn::Leads`].
    Leads(Ticket),
    /// This thread leads that one already.
    LeadsAlready(Which),
    /// Somebody else does.
    Taken,
}

/// A flight, of all there ever were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Which {
    stripe: usize,
    at: At,
}

/// What the leader has of its flight.
pub(super) struct Ticket {
    stripe: usize,
    at: At,
    /// Whether writers can be relied on to outdate it.
    may_store: bool,
}

impl Ticket {
    pub(super) fn which(&self) -> Which {
        Which { stripe: self.stripe, at: self.at }
    }
}

impl Flights {
    /// For writers that are fast: they ask whether anything is loaded at all.
    pub(super) fn new() -> Self {
        Self::with(false)
    }

    /// For writers that take long anyway.
    pub(super) fn locking() -> Self {
        Self::with(true)
    }

    fn with(always_locks: bool) -> Self {
        Self {
            always_locks,
            loading: CachePadded::new(AtomicUsize::new(0)),
            stripes: (0..STRIPES).map(|_| CachePadded::new(Mutex::new(Stripe::new()))).collect(),
            hasher: seed(),
            loads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        }
    }

    /// Before a write: what was loaded of this key before it is not to be stored.
    #[inline(always)]
    pub(super) fn outdate(&self, key: &[u8]) {
        if self.any() {
            self.outdate_key(key);
        }
    }

    /// The same before a write of several keys.
    #[inline]
    pub(super) fn outdate_many<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        if self.any() {
            keys.for_each(|key| self.outdate_key(key));
        }
    }

    /// The same before many keys are removed.
    pub(super) fn outdate_where(&self, chosen: impl Fn(&[u8]) -> bool) {
        if !self.any() {
            return;
        }
        for number in 0..self.stripes.len() {
            let stripe = &mut *self.lock(number);
            let is_chosen =
                |(at, flight): (At, &Flight<End>)| (flight.is_found() && chosen(flight.key())).then_some(at);
            let outdated: Vec<At> = stripe.all().filter_map(is_chosen).collect();
            outdated.into_iter().for_each(|at| self.outdate_flight(stripe, at));
        }
    }

    /// Whether anything is being loaded that a write which comes now has to outdate.
    #[inline(always)]
    fn any(&self) -> bool {
        if self.always_locks {
            return true;
        }
        // What the writer has changed elsewhere comes first: case 1 above.
        barrier::light();
        // Case 2 above.
        self.loading.load(Acquire) != 0
    }

    #[cold]
    fn outdate_key(&self, key: &[u8]) {
        let (number, hash) = self.place_of(key);
        let stripe = &mut *self.lock(number);
        if let Some(at) = stripe.find(hash, key) {
            self.outdate_flight(stripe, at);
        }
    }

    /// A flight is not found any more. If it has no leader just now, those who wait begin anew.
    fn outdate_flight(&self, stripe: &mut Stripe<End>, at: At) {
        self.close(stripe, at);
        if let Some(flight) = stripe.get_mut(at).filter(|flight| flight.leader.is_none()) {
            flight.end = Some(End::Nothing);
            flight.tell();
        }
    }

    /// Leads the flight of a key, or waits for whoever does, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// This thread leads it already and would wait for itself, or there is no memory.
    pub(super) fn join(&self, key: &[u8], timeout: Duration) -> Result<Turn> {
        let turn = self.turn(key, timeout)?;
        // The load begins here: case 1 above.
        Ok(match turn {
            Turn::Leads(ticket) => Turn::Leads(Ticket { may_store: self.begin(), ..ticket }),
            other => other,
        })
    }

    /// What is loaded from here on is ordered after the writes that have not found the flight. False: it is not.
    fn begin(&self) -> bool {
        self.always_locks || barrier::heavy().is_some()
    }

    /// Leads the flight of a key if nobody does. Without memory for it, that is as if somebody else did.
    pub(super) fn lead(&self, key: &[u8]) -> Lead {
        let (number, hash) = self.place_of(key);
        let led = self.take_lead(&mut self.lock(number), number, hash, key);
        match led {
            // As in `join`.
            Ok((_, Lead::Leads(ticket))) => Lead::Leads(Ticket { may_store: self.begin(), ..ticket }),
            Ok((_, other)) => other,
            Err(_) => Lead::Taken,
        }
    }

    /// The same under the lock of the key's stripe, and which flight it is now.
    fn take_lead(&self, stripe: &mut Stripe<End>, number: usize, hash: u64, key: &[u8]) -> Result<(At, Lead)> {
        let me = this_thread();
        let leads = |at| Ok((at, Lead::Leads(Ticket { stripe: number, at, may_store: false })));
        let Some(at) = stripe.find(hash, key) else {
            let at = stripe.add(hash, key, me)?;
            if !self.always_locks {
                self.loading.fetch_add(1, Relaxed);
            }
            return leads(at);
        };
        // What can be found is there.
        let Some(flight) = stripe.get_mut(at) else { return Err(bug()) };
        match flight.leader {
            Some(leader) if leader == me => Ok((at, Lead::LeadsAlready(Which { stripe: number, at }))),
            Some(_) => Ok((at, Lead::Taken)),
            None => {
                flight.leader = Some(me);
                leads(at)
            }
        }
    }

    fn turn(&self, key: &[u8], timeout: Duration) -> Result<Turn> {
        let me = this_thread();
        let (number, hash) = self.place_of(key);
        let mut deadline = None;
        let mut guard = self.lock(number);
        loop {
            let at = match self.take_lead(&mut guard, number, hash, key)? {
                (_, Lead::Leads(ticket)) => return Ok(Turn::Leads(ticket)),
                (_, Lead::LeadsAlready(_)) => return Err(reentered()),
                (_, Lead::Taken) if timeout.is_zero() => return Ok(Turn::TimedOut),
                (at, Lead::Taken) => at,
            };
            let Some(flight) = guard.get_mut(at) else { return Err(bug()) };
            // What cannot be reached is not a deadline.
            let deadline = deadline.get_or_insert_with(|| {
                self.waits.fetch_add(1, Relaxed);
                now().checked_add(timeout)
            });
            flight.waiting += 1;
            let changed = Arc::clone(flight.changed.get_or_insert_default());
            loop {
                let is_late = deadline.is_some_and(|deadline| deadline <= now());
                let Some(flight) = guard.get_mut(at) else { return Err(bug()) };
                // First what has happened and then the time: who was woken to lead and is late leads, or nobody would.
                if flight.end.is_some() {
                    match take_end(&mut guard, at)? {
                        End::Answer(answer) => return Ok(Turn::Answered(answer)),
                        End::Nothing => break,
                    }
                }
                if flight.leader.is_none() {
                    flight.waiting -= 1;
                    flight.leader = Some(me);
                    return Ok(Turn::Leads(Ticket { stripe: number, at, may_store: false }));
                }
                if is_late {
                    flight.waiting -= 1;
                    return Ok(Turn::TimedOut);
                }
                guard = match deadline {
                    None => changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(now());
                        changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            }
        }
    }

    /// A loader will be run for this ticket.
    pub(super) fn count_load(&self) {
        self.loads.fetch_add(1, Relaxed);
    }

    /// Whether no write has outdated the flight, and none could without it being known.
    pub(super) fn is_current(&self, ticket: &Ticket) -> bool {
        ticket.may_store && self.lock(ticket.stripe).get(ticket.at).is_some_and(Flight::is_found)
    }

    /// Has `store` store what was loaded, unless a write has outdated it. From then on the flight is not found any more; its
    /// answer is still to come, by [`Flights::land`].
    pub(super) fn store(&self, ticket: &Ticket, store: impl FnOnce()) {
        let mut stripe = self.lock(ticket.stripe);
        if stripe.get(ticket.at).is_some_and(Flight::is_found) {
            if ticket.may_store {
                store();
            }
            self.close(&mut stripe, ticket.at);
        }
    }

    /// As [`Flights::store`]; a flight for which nobody waits ends with it. True: somebody does, and the answer is to come.
    pub(super) fn store_and_end(&self, ticket: &Ticket, store: impl FnOnce()) -> bool {
        let stripe = &mut *self.lock(ticket.stripe);
        if stripe.get(ticket.at).is_some_and(Flight::is_found) {
            if ticket.may_store {
                store();
            }
            self.close(stripe, ticket.at);
        }
        let waits = stripe.get(ticket.at).is_some_and(|flight| flight.waiting > 0);
        if !waits {
            stripe.remove(ticket.at);
        }
        waits
    }

    /// Ends a flight with an answer, of which everybody who waits for it gets one, and the caller too.
    pub(super) fn land(&self, ticket: &Ticket, answer: Answer) -> Answer {
        if let Answer::Failed(_) = answer {
            self.failures.fetch_add(1, Relaxed);
        }
        let stripe = &mut *self.lock(ticket.stripe);
        self.close(stripe, ticket.at);
        let Some(flight) = stripe.get_mut(ticket.at) else {
            // In a forked child, of a thread of the parent.
            return answer;
        };
        if flight.waiting == 0 {
            stripe.remove(ticket.at);
            return answer;
        }
        let (mine, theirs) = match answer.share() {
            Ok(shared) => (answer, shared),
            Err(error) => (answer, Answer::Failed(error)),
        };
        flight.end = Some(End::Answer(theirs));
        flight.tell();
        mine
    }

    /// Ends a leader's part without an answer: the next of the waiting leads.
    pub(super) fn give_up(&self, ticket: &Ticket) {
        let stripe = &mut *self.lock(ticket.stripe);
        let Some(flight) = stripe.get_mut(ticket.at) else { return };
        if flight.waiting == 0 {
            self.close(stripe, ticket.at);
            stripe.remove(ticket.at);
        } else if flight.is_found() {
            flight.leader = None;
            if let Some(changed) = &flight.changed {
                changed.notify_one();
            }
        } else {
            // What one of them loaded now would be new, but nobody who comes later would find the flight.
            flight.end = Some(End::Nothing);
            flight.tell();
        }
    }

    /// Takes a flight from where it can be found.
    fn close(&self, stripe: &mut Stripe<End>, at: At) {
        if stripe.hide(at) && !self.always_locks {
            // Case 2 above.
            self.loading.fetch_sub(1, Release);
        }
    }

    /// Loads that were begun, those that failed, and callers that waited for somebody else's.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        (self.loads.load(Relaxed), self.failures.load(Relaxed), self.waits.load(Relaxed))
    }

    /// Every lock, for the time of a fork; always in the same order.
    pub(super) fn hold(&self) -> impl Hold + '_ {
        (0..self.stripes.len()).map(|number| self.lock(number)).collect::<Vec<_>>()
    }

    /// In a forked child, which has none of its parent's other threads: nobody waits, and what others led will not end. What
    /// the thread that has forked leads goes on: it may be in the middle of its loader.
    pub(super) fn after_fork_in_child(&self) {
        let me = this_thread();
        for number in 0..self.stripes.len() {
            let stripe = &mut *self.lock(number);
            let all: Vec<At> = stripe.all().map(|(at, _)| at).collect();
            for at in all {
                let Some(flight) = stripe.get_mut(at) else { continue };
                flight.waiting = 0;
                flight.changed = None;
                if flight.leader != Some(me) || flight.end.is_some() {
                    self.close(stripe, at);
                    stripe.remove(at);
                }
            }
        }
    }

    /// Which stripe a key belongs to, and its hash there.
    fn place_of(&self, key: &[u8]) -> (usize, u64) {
        let hash = self.hasher.hash_one(key);
        ((hash >> 32) as usize % STRIPES, hash)
    }

    fn lock(&self, number: usize) -> MutexGuard<'_, Stripe<End>> {
        // A store that panics leaves the flight as it was, and its leader gives it up on the way out.
        self.stripes[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one of the waiting takes with it. With the last one the flight goes.
fn take_end(stripe: &mut Stripe<End>, at: At) -> Result<End> {
    let Some(flight) = stripe.get_mut(at) else { return Err(bug()) };
    flight.waiting -= 1;
    if flight.waiting == 0 {
        return stripe.remove(at).ok_or_else(bug);
    }
    match &flight.end {
        Some(End::Answer(answer)) => answer.share().map(End::Answer),
        _ => Ok(End::Nothing),
    }
}

#[cold]
fn reentered() -> Error {
    Error::new(
        Status::LoadReentered,
        "this thread is loading the key already and would wait for itself: a loader must not ask for its own key, and \
         whoever has a lease ends it first",
    )
}

#[cold]
fn bug() -> Error {
    Error::new(Status::Internal, "a load that others wait for was lost; please report it")
}
