//! What memory has not got is looked for below, once for all who miss it at the same time, and taken up: into memory, and into the
//! tiers above the one that had it, each with what is left of its lifetime and never with more.
//!
//! Who looks and who waits is a flight of its own (`flight`), apart from the flights of loaders: those may take as long as a
//! loader takes, and a plain look-up does not wait for them. A write of the key outdates the descent, after it has written the tiers
//! below and before it writes memory. So what a descent has read before a write is not taken into memory after it: the tiers below are the outside
//! world of which `flight` speaks. A tier is filled with the key's turn only, while nobody writes.

use super::flight::{Answer, Ticket, Turn};
use super::level::{Look, Sending};
use super::lower::{Ends, Found, Lower};
use super::stack::Cache;
use crate::clock::Ttl;
use crate::codec::envelope::Envelope;
use crate::error::{Result, Status};
use crate::tiers::memory::{Condition, Get, Memory, Read, Value};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a caller waits for another one that looks for the same key: as long as it may take to find that a tier is dead.
const PATIENCE: Duration = Duration::from_millis(500);

/// A descent that this thread leads. Dropped before it has landed, the next who waits leads.
struct Descent<'a> {
    lower: &'a Lower,
    ticket: Option<Ticket>,
}

impl Descent<'_> {
    fn land(mut self, answer: Answer) -> Answer {
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

impl Cache {
    /// Looks for a key that memory has not got. The calling thread has no lock and no turn but perhaps that of this key.
    #[cold]
    pub(super) fn descend(&self, lower: &Lower, key: &[u8]) -> Result<Option<Value>> {
        if Memory::check_key(key).is_err() {
            return Ok(None);
        }
        let ticket = match lower.descents.join(key, PATIENCE) {
            Ok(Turn::Leads(ticket)) => ticket,
            Ok(Turn::Answered(answer)) => return found(answer),
            // The tier that the other one waits for is as good as dead.
            Ok(Turn::TimedOut) => return Ok(None),
            // Called by a listener while this thread looks for it.
            Err(error) if error.status() == Status::LoadReentered => return Ok(None),
            Err(error) => return Err(error),
        };
        let descent = Descent { lower, ticket: Some(ticket) };
        // It may have come since this caller missed it.
        if let Some(value) = self.memory().peek(key)? {
            return found(descent.land(Answer::Value(value)));
        }
        let (found_below, absent) = lower.find(key, true);
        let value = match &found_below {
            Some(found) => self.take_up(&descent, key, found, &absent)?,
            None => None,
        };
        let answer = descent.land(value.map_or(Answer::NotFound, Answer::Value));
        // What it has driven out; now that others need not wait for that.
        self.memory().tell();
        found(answer)
    }

    /// Takes what was found into memory, and fills the tiers above.
    fn take_up(&self, descent: &Descent<'_>, key: &[u8], found: &Found, absent: &[usize]) -> Result<Option<Value>> {
        let (Some(ticket), Some(envelope)) = (&descent.ticket, found.bytes.open(key)) else { return Ok(None) };
        let lower = descent.lower;
        for level in absent {
            lower.filling(|| {
                if let Some(_turn) = lower.turns.try_take(key).filter(|_| lower.descents.is_current(ticket)) {
                    fill(lower, *level, vec![(key, envelope)]);
                }
            });
        }
        self.keep(lower, ticket, key, &envelope, found.level).map(Some)
    }

    /// Keeps a value that was found below in memory, unless it was written meanwhile.
    fn keep(&self, lower: &Lower, ticket: &Ticket, key: &[u8], envelope: &Envelope<'_>, level: usize) -> Result<Value> {
        let memory = self.memory();
        let ttl = match lower.left(envelope).map(Duration::from_micros) {
            None => Ttl::Forever,
            Some(left) if envelope.has_default_ttl => Ttl::For(left.min(memory.default_lifetime())),
            Some(left) => Ttl::For(left),
        };
        let mut stored = false;
        if let Some(ready) = memory.make_ready_from(envelope.body, envelope.tags.iter(), ttl) {
            lower.descents.store(ticket, || {
                // What is there was written by somebody who had not seen this descent, and is newer.
                stored = memory.put_ready(key, &ready, Condition::IfAbsent).is_ok();
            });
        }
        let name = lower.levels()[level].name();
        if stored {
            self.stored(ttl);
            if let Ok(Some(value)) = memory.peek(key) {
                return Ok(value.come_from(name));
            }
        }
        Ok(memory.detached(envelope.body, ttl)?.come_from(name))
    }

    /// Looks for what a batch has not found in memory: in one round trip or transaction a tier.
    #[cold]
    pub(super) fn descend_many(&self, lower: &Lower, gets: &mut [Get<'_>]) {
        let is_missing = |get: &Get<'_>| matches!(get.outcome, Ok(None)) && Memory::check_key(get.key).is_ok();
        let missing: Vec<usize> = (0..gets.len()).filter(|number| is_missing(&gets[*number])).collect();
        let mut led: Vec<(usize, Descent<'_>)> = Vec::new();
        let mut others = Vec::new();
        let tickets = lower.descents.lead_many(missing.iter().map(|number| gets[*number].key));
        for (number, ticket) in missing.into_iter().zip(tickets) {
            match ticket {
                Some(ticket) => led.push((number, Descent { lower, ticket: Some(ticket) })),
                // Twice in this batch, or another caller is at it.
                None => others.push(number),
            }
        }
        let mut found: Vec<Option<Found>> = led.iter().map(|_| None).collect();
        let mut absent: Vec<Vec<usize>> = led.iter().map(|_| Vec::new()).collect();
        for (number, level) in lower.levels().iter().enumerate() {
            let missing: Vec<usize> = (0..led.len()).filter(|at| found[*at].is_none()).collect();
            let keys: Vec<&[u8]> = missing.iter().map(|at| gets[led[*at].0].key).collect();
            if keys.is_empty() {
                break;
            }
            for (at, look) in missing.into_iter().zip(level.look_many(&keys, true)) {
                match look {
                    Look::Found(bytes) => found[at] = Some(Found { level: number, bytes }),
                    Look::Absent => absent[at].push(number),
                    Look::Away => {}
                }
            }
        }
        for level in 0..lower.levels().len() {
            lower.filling(|| {
                let (mut turns, mut fills) = (Vec::new(), Vec::new());
                for (at, (number, descent)) in led.iter().enumerate() {
                    let (Some(found), Some(ticket)) = (&found[at], &descent.ticket) else { continue };
                    let key = gets[*number].key;
                    let (true, Some(envelope)) = (absent[at].contains(&level), found.bytes.open(key)) else { continue };
                    if let Some(turn) = lower.turns.try_take(key).filter(|_| lower.descents.is_current(ticket)) {
                        turns.push(turn);
                        fills.push((key, envelope));
                    }
                }
                fill(lower, level, fills);
            });
        }
        for ((number, descent), found) in led.into_iter().zip(found) {
            let get = &mut gets[number];
            let value = match (&found, &descent.ticket) {
                (Some(found), Some(ticket)) => match found.bytes.open(get.key) {
                    Some(envelope) => self.keep(lower, ticket, get.key, &envelope, found.level).map(Some),
                    None => Ok(None),
                },
                _ => Ok(None),
            };
            get.outcome = match value {
                Ok(value) => self::found(descent.land(value.map_or(Answer::NotFound, Answer::Value)))
                    .map(|value| self.copy_out(lower, value, get.buffer)),
                Err(error) => Err(error),
            };
        }
        self.memory().tell();
        for number in others {
            let get = &mut gets[number];
            get.outcome = self.descend(lower, get.key).map(|value| self.copy_out(lower, value, get.buffer));
        }
    }

    /// Copies what was found into a caller's buffer, and counts the request as answered.
    pub(super) fn copy_out(&self, lower: &Lower, value: Option<Value>, buffer: &mut [u8]) -> Option<Read> {
        let value = value?;
        Some(match buffer.get_mut(..value.len()) {
            Some(buffer) => {
                buffer.copy_from_slice(&value);
                lower.answered.fetch_add(1, Relaxed);
                Read::Copied(value.len())
            }
            None => {
                lower.deferred.fetch_add(1, Relaxed);
                Read::Truncated(value.len())
            }
        })
    }
}

fn found(answer: Answer) -> Result<Option<Value>> {
    match answer {
        Answer::Value(value) => Ok(Some(value)),
        Answer::NotFound => Ok(None),
        Answer::Failed(error) => Err(error),
    }
}

/// Fills a tier with what was found below it. The caller has the keys' turns.
fn fill<'a>(lower: &Lower, level: usize, found: Vec<(&'a [u8], Envelope<'a>)>) {
    let level = &lower.levels()[level];
    let send = |(key, envelope): (&'a [u8], Envelope<'a>)| {
        let Envelope { body, tags, created, has_default_ttl: is_default, .. } = envelope;
        let ends = Ends::In { left: lower.left(&envelope), is_default };
        let sealed = lower.seal(level, key, body, tags, created, ends);
        Sending { key, sealed, tags: tags.iter().collect() }
    };
    level.fill_many(found.into_iter().map(send).collect());
}
