//! The calls of a worker that depend on what is there: conditions, counters, other lifetimes, tags, and the keys one after the
//! other. What may be expected of them follows from claims, as in `judge`.

use std::sync::atomic::Ordering;

use super::judge::{wrong, Before};
use super::prepare::At;
use super::Worker;
use crate::blackbox::Op;
use crate::flock::{Kind, Member, Slot, COUNTER, PREFIXES};
use crate::library::{Condition, EXISTS, NOT_FOUND, OK, VERSION_MISMATCH};
use crate::system::now;

/// So many keys at most are claimed at a time.
const CLAIMED: usize = 16;

impl<'f, 'l> Worker<'f, 'l> {
    pub(super) fn put_with(&mut self, at: At<'f, 'l>) {
        let Some(mut record) = at.slot.claim() else { return };
        self.next_value(at, Some(&mut record));
        let ttl_ms = self.ttl_ms();
        let condition = match self.random.below(5) {
            0 => Condition::Always,
            1 => Condition::IfAbsent,
            2 => Condition::IfPresent,
            _ if record.told > 0 && self.random.one_in(2) => Condition::IfVersion(record.told),
            _ => Condition::IfVersion(1 + self.random.below(1_000) as u64),
        };
        let tags = [&at.slot.own_tag()[..], at.slot.tag().as_bytes()];
        let tags = if self.random.one_in(2) { &tags[..] } else { &[] };
        self.about(Op::PutWith, at.place);
        let (before, begun) = (Before::of(at.slot), now());
        let (status, version) = at.member.cache.put_with(&at.slot.key, &self.value, ttl_ms, condition, tags);
        match (condition, status) {
            (Condition::IfAbsent, EXISTS) => return self.there(at, &record, before),
            (Condition::IfPresent | Condition::IfVersion(_), NOT_FOUND) => return self.missing(at, Some(&record)),
            (Condition::IfVersion(expected), VERSION_MISMATCH) => {
                self.there(at, &record, before);
                if expected == record.told {
                    at.wrong(&format!("version {expected} is said not to be there"));
                }
                return;
            }
            (Condition::IfAbsent, OK) => self.missing(at, Some(&record)),
            (Condition::IfPresent, OK) => self.there(at, &record, before),
            (Condition::IfVersion(expected), OK) => {
                self.there(at, &record, before);
                if expected != record.told {
                    at.wrong(&format!("stored though version {} is there and not {expected}", record.told));
                }
            }
            _ => {}
        }
        if self.count_put(at, status) {
            self.stored(at, &mut record, self.value.len(), ttl_ms, begun);
            // None for an entry that is too heavy to be kept.
            (record.told, record.tagged) = (version, !tags.is_empty());
        }
    }

    /// Under a claim nobody else writes the key or loads it; without one, values are all that can be looked at.
    pub(super) fn get_or_load(&mut self, at: At<'f, 'l>) {
        let mut claim = at.slot.claim();
        if claim.is_none() && !at.slot.is_shared() {
            return;
        }
        self.next_value(at, claim.as_deref_mut());
        let ttl_ms = self.ttl_ms();
        self.about(Op::GetOrLoad, at.place);
        let (before, begun) = (Before::of(at.slot), now());
        let (status, held, has_run) = at.member.cache.get_or_load(&at.slot.key, &self.value, ttl_ms);
        let Some(held) = held.filter(|_| status == OK) else { at.wrong(&format!("status {status}")) };
        match (has_run, claim.is_some()) {
            (true, _) => self.count_look_up(at.member, false),
            (false, true) => self.count_look_up(at.member, true),
            (false, false) => drop(at.member.counts.either.fetch_add(1, Ordering::Relaxed)),
        }
        at.member.counts.perhaps_puts.fetch_add(u64::from(has_run), Ordering::Relaxed);
        if !has_run {
            self.found(at, held.bytes(), claim.as_deref(), before);
        } else if held.bytes() != self.value {
            at.wrong("something else than was loaded");
        } else if let Some(record) = claim.as_deref_mut() {
            self.missing(at, Some(record));
            self.stored(at, record, self.value.len(), ttl_ms, begun);
            // There may be no room for it, and a purge of whatever tag meanwhile leaves it out.
            if let Some(stored) = &mut record.stored {
                stored.lives_until = 0;
            }
        }
    }

    pub(super) fn touch(&mut self, at: At<'f, 'l>) {
        let Some(mut record) = at.slot.claim() else { return };
        let ttl_ms = self.ttl_ms();
        self.about(Op::Touch, at.place);
        let (before, begun) = (Before::of(at.slot), now());
        match at.member.cache.touch(&at.slot.key, ttl_ms) {
            OK => {
                self.there(at, &record, before);
                let (lives_until, dead_at) = at.span(ttl_ms, begun);
                if let Some(stored) = &mut record.stored {
                    (stored.lives_until, stored.dead_at) = (lives_until, dead_at);
                }
            }
            NOT_FOUND => self.missing(at, Some(&record)),
            status => at.wrong(&format!("status {status}")),
        }
    }

    pub(super) fn increment(&mut self, at: At<'f, 'l>) {
        self.about(Op::Increment, at.place);
        let delta = 1 + self.random.below(100);
        let (status, sum) = at.member.cache.increment(COUNTER, delta as i64);
        if status != OK || sum < delta as i64 {
            at.wrong(&format!("status {status}, and {sum} after {delta} was added"));
        }
        at.member.counts.puts.fetch_add(1, Ordering::Relaxed);
        at.member.counts.added.fetch_add(delta as u64, Ordering::Relaxed);
    }

    /// What carried the tag before the purge must not be there afterwards; in a strict cache nothing else may go.
    pub(super) fn purge_tag(&mut self, at: At<'f, 'l>) {
        if at.member.kind.is_strict() || self.random.one_in(2) {
            let Some(mut record) = at.slot.claim() else { return };
            self.about(Op::PurgeTag, at.place);
            match (at.member.cache.purge_tag(&at.slot.own_tag()), record.tagged) {
                ((OK, 0), true) => self.missing(at, Some(&record)),
                ((OK, 0), false) => return,
                ((OK, 1), true) => drop(at.member.counts.removals.fetch_add(1, Ordering::Relaxed)),
                ((status, removed), _) => at.wrong(&format!("status {status}, {removed} entries had the tag")),
            }
            if record.stored.is_some() && at.member.cache.contains(&at.slot.key) == OK {
                at.wrong("a key is there after its tag was purged");
            }
            self.forget(at, &mut record);
            return;
        }
        let tag = at.slot.tag();
        let mut claimed = self.some_claimed(at.member, |slot| slot.tag() == tag);
        self.about(Op::PurgeTag, at.place);
        let (status, removed) = at.member.cache.purge_tag(tag.as_bytes());
        if status != OK {
            at.wrong(&format!("status {status}"));
        }
        at.member.counts.removals.fetch_add(removed, Ordering::Relaxed);
        for (slot, record) in claimed.iter_mut().filter(|(_, record)| record.tagged) {
            if at.member.cache.contains(&slot.key) == OK {
                at.wrong("a key is there after its tag was purged");
            }
            record.version += 1;
            (record.stored, record.tagged) = (None, false);
            slot.oldest.fetch_max(record.version, Ordering::Release);
        }
    }

    /// Each key that is there all the while is told.
    pub(super) fn keys(&mut self, member: &'f Member<'l>, cache: usize) {
        let prefix = self.random.of_list(&PREFIXES).as_bytes();
        let claimed = self.some_claimed(member, |slot| slot.key.starts_with(prefix));
        self.about(Op::Keys, (cache, 0));
        let before: Vec<Before> = claimed.iter().map(|(slot, _)| Before::of(slot)).collect();
        let told = member.cache.keys(prefix).unwrap_or_else(|status| wrong(member, &format!("status {status}")));
        if let Some(key) = told.iter().find(|key| !key.starts_with(prefix)) {
            wrong(member, &format!("told a key of {} bytes that begins otherwise", key.len()));
        }
        for ((slot, record), before) in claimed.iter().zip(before) {
            let at = At { member, slot, place: (cache, 0) };
            match told.iter().filter(|key| **key == slot.key).count() {
                0 => self.missing(at, Some(record)),
                // Where entries move between shards a key may be told again.
                count if count > 1 && member.kind == Kind::Growing => at.wrong(&format!("told {count} times")),
                _ => self.there(at, record, before),
            }
        }
    }

    /// Some keys that nobody else writes as long as the result lives.
    fn some_claimed(
        &mut self,
        member: &'f Member<'l>,
        concerned: impl Fn(&Slot) -> bool,
    ) -> Vec<(&'f Slot, std::sync::MutexGuard<'f, crate::flock::Record>)> {
        let first = self.random.below(member.slots.len());
        let slots = member.slots[first..].iter().chain(&member.slots[..first]);
        slots.filter(|slot| concerned(slot)).filter_map(|slot| Some((slot, slot.claim()?))).take(CLAIMED).collect()
    }
}
