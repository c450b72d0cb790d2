//! Writes to all tiers. Each is the same steps: the turn of the key, so that writes of one key are not mixed; the tiers below
//! memory; then what is being looked for or loaded is outdated; then memory. `descent` and `flight` say why in this order.
//!
//! A tier that cannot take something loses what it had of the key, now or before it is read again, and the write goes on: what is
//! lost by that is a copy, never the truth.

use super::level::{Kept, Look, Sending};
use super::lower::{Ends, Lower};
use super::stack::{Cache, Purge};
use super::turns::Turn;
use crate::clock::Ttl;
use crate::codec::envelope::{Body, Envelope, Tags};
use crate::error::{Error, Result, Status};
use crate::pattern::KeySet;
use crate::sync::{now, pause};
use crate::tiers::memory::{check_largest, Condition, Memory, Put, PutOptions, PutOutcome, Ready, Remove};
use crate::tiers::TierName;
use std::time::Duration;

/// How long a purge waits for those who are filling a tier with what it is about to remove: as long as they may take.
const PATIENCE: Duration = Duration::from_secs(1);

impl Cache {
    /// [`Cache::put_with`], in all tiers.
    pub(super) fn put_everywhere(
        &self,
        lower: &Lower,
        key: &[u8],
        value: &[u8],
        options: &PutOptions<'_>,
    ) -> Result<PutOutcome> {
        Memory::check_key(key)?;
        check_largest(value.len())?;
        let ready = self.memory().make_ready(value, options)?;
        let turn = lower.turns.take(key)?;
        if let Some(refusal) = self.refusal(lower, key, options.condition) {
            return Ok(refusal);
        }
        let outcome = self.write(lower, key, &ready, options);
        lower.wrote(key);
        drop(turn);
        if let Ok(PutOutcome::Stored(_)) = outcome {
            self.stored(options.ttl);
        }
        // What it has driven out; without the turn, so that the listener may write the key.
        self.memory().tell();
        outcome
    }

    /// Why a value may not be stored, by what any tier has of the key.
    fn refusal(&self, lower: &Lower, key: &[u8], condition: Condition) -> Option<PutOutcome> {
        let in_memory = match condition {
            Condition::Always => return None,
            condition => self.memory().refusal(key, condition),
        };
        match (condition, in_memory) {
            (Condition::IfAbsent, None) => lower.contains(key).then_some(PutOutcome::Exists),
            (Condition::IfPresent, Some(PutOutcome::NotFound)) if lower.contains(key) => None,
            // Versions are memory's, and go with its entries.
            (Condition::IfVersion(_), Some(PutOutcome::NotFound)) if lower.contains(key) => {
                Some(PutOutcome::VersionMismatch)
            }
            (_, in_memory) => in_memory,
        }
    }

    /// The steps of a put; the caller has the turn.
    fn write(&self, lower: &Lower, key: &[u8], ready: &Ready<'_>, options: &PutOptions<'_>) -> Result<PutOutcome> {
        let tags = Tags::write(options.tags).ok_or_else(Error::out_of_memory)?;
        let ends = Ends::After(options.ttl);
        let kept = write_below(lower, key, ready.body(), Tags::written(&tags), ends, options.lowest);
        self.outdate(lower, key);
        self.write_memory(key, ready, kept)
    }

    /// The last step: what memory does not take is gone from it, if another tier has it.
    fn write_memory(&self, key: &[u8], ready: &Ready<'_>, kept: Below) -> Result<PutOutcome> {
        let outcome = match self.memory().put_ready(key, ready, Condition::Always) {
            Err(_) if kept.by_any => {
                self.memory().remove(key);
                PutOutcome::Stored(0)
            }
            outcome => outcome?,
        };
        if kept.too_late {
            let message = "the value was stored, but the disk tier has not committed it in time; it will if it can";
            return Err(Error::new(Status::TimedOut, message));
        }
        Ok(outcome)
    }

    /// What is being looked for or loaded of a key is not to be stored.
    fn outdate(&self, lower: &Lower, key: &[u8]) {
        lower.descents.outdate(key);
        self.flights().outdate(key);
    }

    /// Stores what a loader has loaded in all tiers. The caller makes sure that the load is still current, with the turn.
    pub(super) fn write_loaded_below(&self, lower: &Lower, key: &[u8], body: Body<'_>, options: &PutOptions<'_>) {
        if let Some(tags) = Tags::write(options.tags) {
            let ends = Ends::After(options.ttl);
            write_below(lower, key, body, Tags::written(&tags), ends, options.lowest);
        }
        lower.descents.outdate(key);
    }

    /// [`Cache::increment`], in all tiers.
    pub(super) fn increment_everywhere(
        &self,
        lower: &Lower,
        key: &[u8],
        delta: i64,
        initial: i64,
        ttl: Ttl,
    ) -> Result<i64> {
        Memory::check_key(key)?;
        let turn = lower.turns.take(key)?;
        let sum = self.add(lower, key, delta, initial, ttl);
        lower.wrote(key);
        drop(turn);
        if sum.is_ok() {
            self.stored(ttl);
        }
        self.memory().tell();
        sum
    }

    fn add(&self, lower: &Lower, key: &[u8], delta: i64, initial: i64, ttl: Ttl) -> Result<i64> {
        let present = match self.memory().peek(key)? {
            Some(value) => Some(value),
            None => self.descend_for_value(lower, key)?,
        };
        let sum = match &present {
            Some(value) => Memory::sum(value, delta)?,
            None => initial,
        };
        let text = sum.to_string();
        // Who has the turn is the only one who writes, so what is below is still what it was.
        let below = lower.find(key, false).0;
        let left = below.as_ref().and_then(|found| found.hit.left.micros);
        let envelope = below.as_ref().and_then(|found| found.hit.open());
        let tags = envelope.map_or(Tags::default(), |envelope| envelope.tags);
        let ends = match (&envelope, &present) {
            (Some(envelope), _) => Ends::In { left, is_default: envelope.has_default_ttl },
            (None, Some(value)) => {
                Ends::In { left: value.remaining().map(|left| left.as_micros() as u64), is_default: false }
            }
            (None, None) => Ends::After(ttl),
        };
        let kept = write_below(lower, key, Body::Plain(text.as_bytes()), tags, ends, None);
        self.outdate(lower, key);
        let left = match present.as_ref().map(|value| value.remaining()) {
            None => ttl,
            Some(None) => Ttl::Forever,
            Some(Some(left)) => Ttl::For(left),
        };
        // It keeps its end; if it has left memory meanwhile, what was left of it.
        match self.memory().increment(key, delta, sum, left) {
            Err(_) if kept.by_any => {
                self.memory().remove(key);
                Ok(sum)
            }
            counted => counted,
        }
    }

    /// [`Cache::touch`], in all tiers.
    pub(super) fn touch_everywhere(&self, lower: &Lower, key: &[u8], ttl: Ttl) -> Result<bool> {
        Memory::check_key(key)?;
        let turn = lower.turns.take(key)?;
        let mut touched = false;
        for level in lower.levels() {
            let Look::Found(hit) = level.look(key, false) else { continue };
            let Some(envelope) = hit.open() else { continue };
            touched = true;
            let Envelope { body, tags, created, .. } = envelope;
            let sealed = lower.seal(level, key, body, tags, created, Ends::After(ttl));
            level.put_many(vec![Sending { key, sealed, tags: tags.iter().collect() }]);
        }
        self.outdate(lower, key);
        touched |= self.memory().touch(key, ttl);
        drop(turn);
        if touched {
            self.stored(ttl);
        }
        self.memory().tell();
        Ok(touched)
    }

    /// [`Cache::remove`], in all tiers.
    pub(super) fn remove_everywhere(&self, lower: &Lower, key: &[u8]) -> bool {
        if Memory::check_key(key).is_err() {
            return false;
        }
        // Whoever is writing it for so long writes a whole value, and either of the two may be called the later.
        let turn = lower.turns.take(key).ok();
        let mut removed = false;
        for level in lower.levels() {
            removed |= level.remove_many(&[key]).contains(&true);
        }
        self.outdate(lower, key);
        removed |= self.memory().remove(key);
        lower.wrote(key);
        drop(turn);
        self.memory().tell();
        removed
    }

    /// [`Cache::put_many`], in all tiers: one round trip or transaction each.
    pub(super) fn put_many_everywhere(&self, lower: &Lower, puts: &mut [Put<'_>]) {
        for put in puts.iter_mut() {
            put.outcome = Memory::check_key(put.key).and_then(|()| check_largest(put.value.len()));
        }
        let keys: Vec<&[u8]> = puts.iter().filter(|put| put.outcome.is_ok()).map(|put| put.key).collect();
        let turns: Vec<Turn<'_>> = match lower.turns.take_many(keys.iter().copied()) {
            Ok(turns) => turns,
            Err(error) => {
                puts.iter_mut().for_each(|put| put.outcome = Err(error.clone()));
                return;
            }
        };
        let options = |ttl| PutOptions { ttl, ..PutOptions::default() };
        let mut readies = Vec::new();
        for put in puts.iter_mut() {
            if put.outcome.is_ok() {
                match self.memory().make_ready(put.value, &options(put.ttl)) {
                    Ok(ready) => readies.push((ready, Below::default())),
                    Err(error) => put.outcome = Err(error),
                }
            }
        }
        let mut good: Vec<&mut Put<'_>> = puts.iter_mut().filter(|put| put.outcome.is_ok()).collect();
        let created = lower.stamp();
        for level in lower.levels() {
            let mut sendings = Vec::new();
            for (put, (ready, _)) in good.iter().zip(&readies) {
                let ends = Ends::After(put.ttl);
                let sealed = lower.seal(level, put.key, ready.body(), Tags::default(), created, ends);
                sendings.push(Sending { key: put.key, sealed, tags: Vec::new() });
            }
            for (kept, (_, below)) in level.put_many(sendings).into_iter().zip(&mut readies) {
                below.note(kept);
            }
        }
        for put in &good {
            self.outdate(lower, put.key);
        }
        for (put, (ready, below)) in good.iter_mut().zip(readies) {
            put.outcome = self.write_memory(put.key, &ready, below).map(|_| ());
            lower.wrote(put.key);
        }
        drop(turns);
        self.memory().tell();
    }

    /// [`Cache::remove_many`], in all tiers.
    pub(super) fn remove_many_everywhere(&self, lower: &Lower, removes: &mut [Remove<'_>]) {
        let keys: Vec<&[u8]> =
            removes.iter().map(|remove| remove.key).filter(|key| Memory::check_key(key).is_ok()).collect();
        let turns = lower.turns.take_many(keys.iter().copied()).ok();
        let mut removed = vec![false; keys.len()];
        for level in lower.levels() {
            for (removed, here) in removed.iter_mut().zip(level.remove_many(&keys)) {
                *removed |= here;
            }
        }
        for key in &keys {
            self.outdate(lower, key);
        }
        self.memory().remove_many(removes);
        let good = removes.iter_mut().filter(|remove| Memory::check_key(remove.key).is_ok());
        for (remove, below) in good.zip(removed) {
            remove.removed |= below;
            lower.wrote(remove.key);
        }
        drop(turns);
        self.memory().tell();
    }

    /// [`Cache::purge`], in all tiers: from below, so that nobody takes up what a tier had that is not purged yet, into one that is.
    pub(super) fn purge_below(&self, lower: &Lower, what: Purge<'_>) -> u64 {
        // What was loaded before is not to be written any more, or was before the tiers are purged, and before `at`.
        self.flights().outdate_where(|key| what.may_mean(key));
        wait_for_fills(lower);
        let at = lower.stamp();
        let mut most = 0;
        for level in lower.levels().iter().rev() {
            let purged = match what {
                Purge::All => level.clear(),
                Purge::Prefix(prefix) => level.purge_keys(KeySet::Beginning(prefix)),
                Purge::Pattern(pattern) => level.purge_keys(KeySet::Fitting(pattern)),
                Purge::Tag(tag) => {
                    level.purge_tag(tag, at);
                    0
                }
            };
            most = most.max(purged);
            lower.descents.outdate_where(|key| what.may_mean(key));
            wait_for_fills(lower);
        }
        most
    }
}

/// What the tiers below memory have made of a put.
#[derive(Clone, Copy, Default)]
struct Below {
    by_any: bool,
    too_late: bool,
}

impl Below {
    fn note(&mut self, kept: Kept) {
        self.by_any |= matches!(kept, Kept::Yes | Kept::NotYet);
        self.too_late |= kept == Kept::NotYet;
    }
}

fn write_below(
    lower: &Lower,
    key: &[u8],
    body: Body<'_>,
    tags: Tags<'_>,
    ends: Ends,
    lowest: Option<TierName>,
) -> Below {
    let created = lower.stamp();
    let mut below = Below::default();
    for level in lower.levels() {
        if lowest.is_some_and(|lowest| level.name() > lowest) {
            level.remove_many(&[key]);
            continue;
        }
        let sealed = lower.seal(level, key, body, tags, created, ends);
        let sending = Sending { key, sealed, tags: tags.iter().collect() };
        level.put_many(vec![sending]).into_iter().for_each(|kept| below.note(kept));
    }
    below
}

/// Whoever has found that its descent is current fills a tier now; a later one finds that it is outdated.
fn wait_for_fills(lower: &Lower) {
    let deadline = now() + PATIENCE;
    while lower.fills() > 0 && now() < deadline {
        pause(Duration::from_micros(200));
    }
}
