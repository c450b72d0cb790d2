//! What memory has not got is looked for below, once for all who miss it at the same time, and taken up: into memory, and into the
//! tiers above the one that had it, each with what is left of its lifetime and never with more.
//!
//! Who looks and who waits is a flight of its own (`flight`), apart from the flights of loaders: those may take as long as a
//! loader takes, and a plain look-up does not wait for them. A write of the key outdates the descent, after it has written the tiers
//! below and before it writes memory. So what a descent has read before a write is not taken into memory after it: the tiers below are the outside
//! world of which `flight` speaks. A tier is filled with the key's turn only, while nobody writes.

use super::flight::{Answer, Ticket, Turn};
use super::level::{Left, Sending};
use super::lower::{Absent, Ends, Found, Lower};
use super::stack::Cache;
use super::turns;
use crate::clock::Ttl;
use crate::codec::envelope::{Body, Envelope};
use crate::error::{Error, Result, Status};
use crate::tiers::memory::{Memory, Place, Read, Value};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a caller waits for another one that looks for the same key: as long as it may take to find that a tier is dead.
const PATIENCE: Duration = Duration::from_millis(500);

/// A descent that this thread leads. Dropped before it has landed, the next who waits leads.
pub(super) struct Descent<'a> {
    pub(super) lower: &'a Lower,
    pub(super) ticket: Option<Ticket>,
}

impl Descent<'_> {
    pub(super) fn land(&mut self, answer: Answer) -> Answer {
        match self.ticket.take() {
            Some(ticket) => self.lower.descents.land(&ticket, answer),
            None => answer,
        }
    }
}

impl Drop for Descent<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.lower.descents.give_up(&ticket);
        }
    }
}

/// What came of a descent.
pub(super) enum Got {
    Value(Value),
    /// This caller has led it, and nobody waits for it: so nobody needs more than what was found.
    Found(Found),
}

impl Cache {
    /// Looks for a key that memory has not got. The calling thread has no lock and no turn but perhaps that of this key.
    #[cold]
    pub(super) fn descend(&self, lower: &Lower, key: &[u8]) -> Result<Option<Got>> {
        if Memory::check_key(key).is_err() {
            return Ok(None);
        }
        lower.expect(key);
        let ticket = match lower.descents.join(key, PATIENCE) {
            Ok(Turn::Leads(ticket)) => ticket,
            Ok(Turn::Answered(answer)) => return got(answer),
            // The tier that the other one waits for is as good as dead.
            Ok(Turn::TimedOut) => return Ok(None),
            // Called by a listener while this thread looks for it.
            Err(error) if error.status() == Status::LoadReentered => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut descent = Descent { lower, ticket: Some(ticket) };
        // It may have come since this caller missed it. Not for those who wait: a write outdates flights before it reaches memory, so
        // what is there now may be about to be replaced by one that found no flight to outdate, and who has begun to wait may have come
        // after that write had ended. The next of them leads, and looks here, too.
        if let Some(value) = self.memory().peek(key)? {
            drop(descent);
            return Ok(Some(Got::Value(value)));
        }
        let (found, absent) = lower.find(key, true);
        let got = match found {
            Some(found) => {
                if absent != 0 {
                    fill_above(&descent, key, &found, absent);
                }
                self.take_up_found(descent, key, found).map(Some)
            }
            None => got(descent.land(Answer::NotFound)),
        };
        // What it has driven out; now that others need not wait for that.
        self.memory().tell();
        got
    }

    /// The same for who wants a value to keep.
    pub(super) fn descend_for_value(&self, lower: &Lower, key: &[u8]) -> Result<Option<Value>> {
        Ok(match self.descend(lower, key)? {
            None => None,
            Some(Got::Value(value)) => Some(value),
            Some(Got::Found(found)) => {
                let envelope = found.hit.open().ok_or_else(damaged)?;
                Some(self.value_of(lower, key, found.level, &envelope, found.hit.left)?)
            }
        })
    }

    fn take_up_found(&self, mut descent: Descent<'_>, key: &[u8], found: Found) -> Result<Got> {
        let Some(envelope) = found.hit.open() else { return Ok(Got::Found(found)) };
        let place = self.memory().place_of(key);
        let taken_up = self.take_up(&mut descent, place, key, found.level, &envelope, found.hit.left)?;
        Ok(taken_up.map_or(Got::Found(found), Got::Value))
    }

    /// Keeps what was found below in memory, unless it was written meanwhile, and ends the descent. The value, if others waited for it.
    pub(super) fn take_up(
        &self,
        descent: &mut Descent<'_>,
        place: Place,
        key: &[u8],
        level: usize,
        envelope: &Envelope<'_>,
        left: Left,
    ) -> Result<Option<Value>> {
        let (lower, memory) = (descent.lower, self.memory());
        let Some(ticket) = &descent.ticket else { return Ok(None) };
        let ttl = self.ttl_of(envelope, left);
        let rising = memory.rising(place, key, envelope.body, envelope.tags, ttl, left.at);
        let mut stored = false;
        let is_waited_for = lower.descents.store_and_end(ticket, || {
            // What is there was written by somebody who had not seen this descent, and is newer.
            stored = rising.as_ref().is_some_and(|rising| memory.take_up(rising));
        });
        if stored {
            self.stored(ttl);
        }
        if !is_waited_for {
            descent.ticket = None;
            return Ok(None);
        }
        // What this descent has stored, or what it has read: both are no older than any write that has ended a flight before this one.
        // What else memory has may be, see `descend`.
        let value = match stored {
            true => self.value_of(lower, key, level, envelope, left)?,
            false => self.memory().detached(envelope.body, ttl)?.come_from(lower.levels()[level].name()),
        };
        match descent.land(Answer::Value(value)) {
            Answer::Value(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    fn ttl_of(&self, envelope: &Envelope<'_>, left: Left) -> Ttl {
        match left.micros.map(Duration::from_micros) {
            None => Ttl::Forever,
            Some(left) if envelope.has_default_ttl => Ttl::For(left.min(self.memory().default_lifetime())),
            Some(left) => Ttl::For(left),
        }
    }

    /// A value of what was found: the one that is in memory now, or one of its own.
    fn value_of(&self, lower: &Lower, key: &[u8], level: usize, envelope: &Envelope<'_>, left: Left) -> Result<Value> {
        let name = lower.levels()[level].name();
        if let Ok(Some(value)) = self.memory().peek(key) {
            return Ok(value.come_from(name));
        }
        Ok(self.memory().detached(envelope.body, self.ttl_of(envelope, left))?.come_from(name))
    }

    /// Copies what was found into a caller's buffer, and counts the request as answered.
    pub(super) fn copy_out(&self, lower: &Lower, got: Option<Got>, buffer: &mut [u8]) -> Result<Option<Read>> {
        let read = match &got {
            None => return Ok(None),
            Some(Got::Value(value)) => copy_to(Body::Plain(value), buffer)?,
            Some(Got::Found(found)) => copy_to(found.hit.open().ok_or_else(damaged)?.body, buffer)?,
        };
        match read {
            Read::Copied(_) => lower.answered.fetch_add(1, Relaxed),
            Read::Truncated(_) => lower.deferred.fetch_add(1, Relaxed),
        };
        Ok(Some(read))
    }
}

/// Copies a value into a buffer, if it fits.
pub(super) fn copy_to(body: Body<'_>, buffer: &mut [u8]) -> Result<Read> {
    match buffer.get_mut(..body.len()).map(|buffer| body.unpack(buffer)) {
        Some(true) => Ok(Read::Copied(body.len())),
        Some(false) => Err(damaged()),
        None => Ok(Read::Truncated(body.len())),
    }
}

/// The turn of a key that was found below, if what was found may still go into a tier. To be asked in [`Lower::filling`].
pub(super) fn turn_to_fill<'a>(lower: &'a Lower, key: &'a [u8], ticket: &Ticket) -> Option<turns::Turn<'a>> {
    let turn = lower.turns.try_take(key)?;
    (lower.descents.is_current(ticket) && !lower.is_purging()).then_some(turn)
}

/// Fills the tiers above the one that had it.
fn fill_above(descent: &Descent<'_>, key: &[u8], found: &Found, absent: Absent) {
    let (Some(ticket), Some(envelope)) = (&descent.ticket, found.hit.open()) else { return };
    let lower = descent.lower;
    for level in (0..lower.levels().len()).filter(|level| absent >> level & 1 != 0) {
        lower.filling(|| {
            if let Some(_turn) = turn_to_fill(lower, key, ticket) {
                fill(lower, level, vec![(key, envelope, found.hit.left.micros)]);
            }
        });
    }
}

pub(super) fn got(answer: Answer) -> Result<Option<Got>> {
    match answer {
        Answer::Value(value) => Ok(Some(Got::Value(value))),
        Answer::NotFound => Ok(None),
        Answer::Failed(error) => Err(error),
    }
}

#[cold]
fn damaged() -> Error {
    Error::new(Status::Internal, "a value was damaged in memory")
}

/// Fills a tier with what was found below it. The caller has the keys' turns.
pub(super) fn fill<'a>(lower: &Lower, level: usize, found: Vec<(&'a [u8], Envelope<'a>, Option<u64>)>) {
    let level = &lower.levels()[level];
    let send = |(key, envelope, left): (&'a [u8], Envelope<'a>, Option<u64>)| {
        let Envelope { body, tags, created, has_default_ttl: is_default, .. } = envelope;
        let ends = Ends::In { left, is_default };
        let sealed = lower.seal(level, key, body, tags, created, ends);
        Sending { key, sealed, tags: tags.iter().collect() }
    };
    level.fill_many(found.into_iter().map(send).collect());
}
