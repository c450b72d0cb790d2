//! The number of the namespace: every envelope carries the one it was written under, and one that carries another is not believed. So
//! raising it forgets everything at once, without a look at the keys.
//!
//! It is kept in Redis under one key. Numbers only grow, and none is ever used twice: should Redis lose the key, or a failover bring
//! an older number back, a new one is made, and nothing that was forgotten comes back.

use super::connection::Budget;
use super::faults::complaint;
use super::keys::Names;
use super::link::Link;
use super::wire::{Batch, Reply};
use crate::clock::unix_micros;
use crate::tiers::{Fault, FaultKind};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often Redis is asked for it while there is traffic. With the time that an answer may take by default (250 ms) a second: so soon
/// others notice what one has cleared.
const INTERVAL: Duration = Duration::from_millis(750);

/// How long nobody asks for it again after that has failed. As long as a call takes from asking for the namespace to writing with
/// it: the failure would be the same, and would cost its deadline twice.
const GRACE: Duration = Duration::from_millis(50);

/// Of a number, below the microseconds at which it was made: two clients that make one in the same microsecond make different ones.
const RANDOM_BITS: u32 = 12;

pub(super) struct Namespace {
    /// 0: not known yet.
    known: AtomicU64,
    /// When Redis was asked last, in nanoseconds since `origin`; 0: never.
    asked: AtomicU64,
    origin: Instant,
    failed: Mutex<Option<(Instant, Fault)>>,
}

impl Namespace {
    pub(super) fn new() -> Self {
        Self { known: AtomicU64::new(0), asked: AtomicU64::new(0), origin: Instant::now(), failed: Mutex::new(None) }
    }

    pub(super) fn known(&self) -> u64 {
        self.known.load(SeqCst)
    }

    /// Whether the next exchange has to ask for it, by [`Namespace::ask`].
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let asked = self.asked.load(SeqCst);
        asked == 0 || self.since_origin(now).saturating_sub(asked) >= INTERVAL.as_nanos() as u64
    }

    /// Puts the question in front of a batch.
    pub(super) fn ask(names: &Names, batch: &mut Batch) {
        batch.begin(2).text("GET").key(&names.namespace()).end();
    }

    /// Takes over the answer to [`Namespace::ask`]. Once it returns without an error, the number is the one that holds.
    pub(super) fn answered(&self, reply: &Reply, link: &Link, names: &Names, budget: &Budget) -> Result<(), Fault> {
        if self.accepts(reply, budget) {
            return Ok(());
        }
        self.settle(number(reply)?, link, names, budget)
    }

    /// The same where the answer is as it is nearly always: the number that is known, or a later one. False: ask [`Namespace::answered`].
    pub(super) fn accepts(&self, reply: &Reply, budget: &Budget) -> bool {
        match number(reply) {
            Ok(Some(number)) if number >= self.known() => {
                self.take_over(number, budget.begun());
                true
            }
            _ => false,
        }
    }

    /// Asks for it, if it is not known yet.
    pub(super) fn learn(&self, link: &Link, names: &Names, budget: &Budget) -> Result<(), Fault> {
        if self.known() != 0 {
            return Ok(());
        }
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, fault)) = &*failed() {
            if when.elapsed() < GRACE {
                return Err(fault.clone());
            }
        }
        let learned = self.settle(None, link, names, budget);
        *failed() = learned.as_ref().err().map(|fault| (Instant::now(), fault.clone()));
        learned
    }

    /// Makes one in Redis where there is none, or an older one than there has been, or none that can be understood.
    fn settle(&self, found: Option<u64>, link: &Link, names: &Names, budget: &Budget) -> Result<(), Fault> {
        let fresh = self.fresh();
        let mut batch = link.batch();
        batch.begin(if found.is_none() { 4 } else { 3 }).text("SET").key(&names.namespace()).number(fresh);
        if found.is_none() {
            // Somebody else may be faster.
            batch.text("NX");
        }
        batch.end();
        Self::ask(names, &mut batch);
        let replies = link.run(&batch, budget)?;
        if let Some(Reply::Error(line)) = replies.first() {
            return Err(complaint(line).into_fault());
        }
        match replies.get(1).map(number).transpose()?.flatten() {
            Some(number) if number >= self.known() => {
                self.take_over(number, budget.begun());
                Ok(())
            }
            // Somebody's older number, or nonsense: over it, whatever it is.
            _ => self.raise_to(fresh, link, names, budget),
        }
    }

    /// Makes a new one, so that nobody believes what was written under the old ones.
    pub(super) fn raise(&self, link: &Link, names: &Names, budget: &Budget) -> Result<(), Fault> {
        self.raise_to(self.fresh(), link, names, budget)
    }

    fn raise_to(&self, fresh: u64, link: &Link, names: &Names, budget: &Budget) -> Result<(), Fault> {
        let mut batch = link.batch();
        batch.begin(3).text("SET").key(&names.namespace()).number(fresh).end();
        match link.run(&batch, budget)?.first() {
            Some(Reply::Status(_)) => {
                self.take_over(fresh, budget.begun());
                Ok(())
            }
            Some(Reply::Error(line)) => Err(complaint(line).into_fault()),
            _ => Err(Fault::new(FaultKind::Damaged, "Redis answered SET with something else than it has to")),
        }
    }

    /// Never back to an older one, which a slow thread may have been told.
    fn take_over(&self, number: u64, asked: Instant) {
        self.known.fetch_max(number, SeqCst);
        self.asked.fetch_max(self.since_origin(asked).max(1), SeqCst);
    }

    /// A number that was never used: greater than all that are known here, and by its time and its random bits unlike those that others
    /// make.
    fn fresh(&self) -> u64 {
        let random = std::hash::RandomState::new().hash_one((std::process::id(), Instant::now()));
        let number = unix_micros() << RANDOM_BITS | random >> (u64::BITS - RANDOM_BITS);
        number.max(self.known() + 1)
    }

    fn since_origin(&self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.origin).as_nanos() as u64
    }
}

/// What is kept there: `None` when it is nothing, or no number of ours.
fn number(reply: &Reply) -> Result<Option<u64>, Fault> {
    match reply {
        Reply::Bytes(text) => Ok(std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).filter(|n| *n != 0)),
        Reply::Error(line) if !line.starts_with("WRONGTYPE") => Err(complaint(line).into_fault()),
        _ => Ok(None),
    }
}
