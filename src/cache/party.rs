//! A batch goes below: as `descent` does for one key, for all that memory has not got, in one round trip or transaction a tier.
//!
//! While a tier is at the first keys, the next ones are looked for in memory and led; and what it has found is taken up and handed out
//! while it is at those behind. Only what a tier above has not got waits until that has been filled, since a descent that has ended no
//! longer tells whether the key was written.

use super::descent::{copy_to, fill, got, turn_to_fill, Descent, Got};
use super::flight::{Answer, Lead};
use super::level::{Bytes, Hit, Left};
use super::lower::{Absent, Found, Lower};
use super::sight::{Seeker, Sight};
use super::stack::Cache;
use crate::codec::envelope::{Body, Envelope};
use crate::tiers::memory::{Get, Memory, Place, Read};
use std::sync::atomic::Ordering::Relaxed;

impl Cache {
    /// Looks for what a batch has not found in memory.
    #[cold]
    pub(super) fn descend_many(&self, lower: &Lower, gets: &mut [Get<'_>]) {
        let mut party = Party {
            cache: self,
            lower,
            led: Vec::with_capacity(gets.len()),
            sought: Vec::with_capacity(gets.len()),
            gets,
            level: 0,
            next: 0,
            others: Vec::new(),
            again: Vec::new(),
            answered: 0,
            deferred: 0,
        };
        lower.levels()[0].look_each(&mut party);
        for level in 1..lower.levels().len() {
            if !party.led.iter().any(Led::is_sought) {
                break;
            }
            (party.level, party.next) = (level, 0);
            party.sought.clear();
            lower.levels()[level].look_each(&mut party);
        }
        (0..lower.levels().len()).for_each(|level| party.fill(level));
        party.end();
        party.repeat();
        let Party { gets, others, answered, deferred, .. } = party;
        lower.answered.fetch_add(answered, Relaxed);
        lower.deferred.fetch_add(deferred, Relaxed);
        self.memory().tell();
        for number in others {
            let get = &mut gets[number];
            get.outcome = self.descend(lower, get.key).and_then(|got| self.copy_out(lower, got, get.buffer));
        }
    }
}

struct Party<'p, 'g> {
    cache: &'p Cache,
    lower: &'p Lower,
    gets: &'p mut [Get<'g>],
    /// Which level is asked just now.
    level: usize,
    /// Of the first level the next look-up that may have to go below, of the others the next place in `led`.
    next: usize,
    /// Look-ups whose descents this caller leads.
    led: Vec<Led<'p>>,
    /// Those that somebody else is at.
    others: Vec<usize>,
    /// Those whose key came before in the batch, and where in `led` that is.
    again: Vec<(usize, usize)>,
    /// What the level was asked for, as places in `led`.
    sought: Vec<usize>,
    /// Of what was taken up: requests that are answered, and that will be made again.
    answered: u64,
    deferred: u64,
}

struct Led<'p> {
    /// Which look-up it is.
    get: usize,
    place: Place,
    /// Without a ticket when it has ended.
    descent: Descent<'p>,
    /// What was not taken up at once.
    found: Option<Found>,
    absent: Absent,
}

impl Led<'_> {
    fn is_sought(&self) -> bool {
        self.descent.ticket.is_some() && self.found.is_none()
    }

    fn is_to_fill(&self, level: usize) -> bool {
        self.found.is_some() && self.absent >> level & 1 != 0
    }
}

impl<'g> Seeker<'g> for Party<'_, 'g> {
    fn next_key(&mut self) -> Option<&'g [u8]> {
        let at = if self.level == 0 { self.lead()? } else { self.next_sought()? };
        self.sought.push(at);
        Some(self.gets[self.led[at].get].key)
    }

    fn sees(&mut self, number: usize, sight: Sight<'_>) {
        let (level, at) = (self.level, self.sought[number]);
        let led = &mut self.led[at];
        match sight {
            Sight::Absent => led.absent |= 1 << level,
            Sight::Found { envelope, left, .. } if led.absent == 0 => self.take_up(at, level, envelope, left),
            Sight::Found { bytes, left, .. } => {
                led.found = Some(Found { level, hit: Hit { bytes: Bytes::Own(bytes.to_vec()), left } });
            }
        }
    }
}

impl Party<'_, '_> {
    /// Leads the next look-up that memory cannot answer.
    fn lead(&mut self) -> Option<usize> {
        while let Some(get) = self.gets.get_mut(self.next) {
            let number = self.next;
            self.next += 1;
            if !matches!(get.outcome, Ok(None)) || Memory::check_key(get.key).is_err() {
                continue;
            }
            let ticket = match self.lower.descents.lead(get.key) {
                Lead::Leads(ticket) => ticket,
                Lead::LeadsAlready(which) => {
                    let is_it =
                        |led: &Led<'_>| led.descent.ticket.as_ref().is_some_and(|ticket| ticket.which() == which);
                    match self.led.iter().position(is_it) {
                        Some(at) => self.again.push((number, at)),
                        // By a call that has called this one.
                        None => self.others.push(number),
                    }
                    continue;
                }
                Lead::Taken => {
                    self.others.push(number);
                    continue;
                }
            };
            let descent = Descent { lower: self.lower, ticket: Some(ticket) };
            // It may have come since, as in `descend`: while memory has something others are answered with that, and what is below may
            // be newer already.
            let (memory, place) = (self.cache.memory(), self.cache.memory().place_of(get.key));
            if memory.may_have(place, get.key) {
                let peeked = memory.peek(get.key);
                if !matches!(peeked, Ok(None)) {
                    drop(descent);
                    let got = peeked.map(|value| value.map(Got::Value));
                    get.outcome = got.and_then(|got| self.cache.copy_out(self.lower, got, get.buffer));
                    continue;
                }
            }
            self.led.push(Led { get: number, place, descent, found: None, absent: 0 });
            return Some(self.led.len() - 1);
        }
        None
    }

    fn next_sought(&mut self) -> Option<usize> {
        let at = self.next + self.led.get(self.next..)?.iter().position(Led::is_sought)?;
        self.next = at + 1;
        Some(at)
    }

    fn take_up(&mut self, at: usize, level: usize, envelope: &Envelope<'_>, left: Left) {
        let led = &mut self.led[at];
        let get = &mut self.gets[led.get];
        let taken_up = self.cache.take_up(&mut led.descent, led.place, get.key, level, envelope, left);
        get.outcome = taken_up.and_then(|value| {
            let body = value.as_deref().map_or(envelope.body, Body::Plain);
            let read = copy_to(body, get.buffer)?;
            match read {
                Read::Copied(_) => self.answered += 1,
                Read::Truncated(_) => self.deferred += 1,
            }
            Ok(Some(read))
        });
    }

    /// Fills a level with what it has not got and one below it has.
    fn fill(&self, level: usize) {
        if !self.led.iter().any(|led| led.is_to_fill(level)) {
            return;
        }
        let lower = self.lower;
        lower.filling(|| {
            let (mut turns, mut fills) = (Vec::new(), Vec::new());
            for led in self.led.iter().filter(|led| led.is_to_fill(level)) {
                let (Some(found), Some(ticket)) = (&led.found, &led.descent.ticket) else { continue };
                let (key, Some(envelope)) = (self.gets[led.get].key, found.hit.open()) else { continue };
                if let Some(turn) = turn_to_fill(lower, key, ticket) {
                    turns.push(turn);
                    fills.push((key, envelope, found.hit.left.micros));
                }
            }
            fill(lower, level, fills);
        });
    }

    /// Ends the descents that are left.
    fn end(&mut self) {
        for at in 0..self.led.len() {
            let led = &mut self.led[at];
            if led.descent.ticket.is_none() {
                continue;
            }
            let found = led.found.take();
            match found.as_ref().and_then(|found| Some((found, found.hit.open()?))) {
                Some((found, envelope)) => self.take_up(at, found.level, &envelope, found.hit.left),
                None => {
                    let get = &mut self.gets[led.get];
                    let got = got(led.descent.land(Answer::NotFound));
                    get.outcome = got.and_then(|got| self.cache.copy_out(self.lower, got, get.buffer));
                }
            }
        }
    }

    /// Gives look-ups whose key came before in the batch what that one got. Their call is the same, so what was right for the one is for
    /// the other.
    fn repeat(&mut self) {
        for (number, at) in std::mem::take(&mut self.again) {
            let (before, from) = self.gets.split_at_mut(number);
            let (Some(first), Some(get)) = (before.get(self.led[at].get), from.first_mut()) else { continue };
            let len = match first.outcome {
                Ok(Some(Read::Copied(len) | Read::Truncated(len))) => len,
                _ => {
                    get.outcome = first.outcome.clone();
                    continue;
                }
            };
            get.outcome = match (&first.outcome, get.buffer.get_mut(..len)) {
                (Ok(Some(Read::Copied(_))), Some(buffer)) => {
                    buffer.copy_from_slice(&first.buffer[..len]);
                    self.answered += 1;
                    Ok(Some(Read::Copied(len)))
                }
                // This one has room where the other had none.
                (_, Some(_)) => {
                    self.others.push(number);
                    continue;
                }
                (_, None) => {
                    self.deferred += 1;
                    Ok(Some(Read::Truncated(len)))
                }
            };
        }
    }
}
