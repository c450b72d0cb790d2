//! Whether an answer is right, and the end of the run when it is not.
//!
//! What may be expected: a value is whole and its key's own; it is not older than the oldest that was still there when the
//! look-up began; under a claim, nobody else writes the key, so it is exactly what was put last, and neither is it there
//! after a remove, nor later than its deadline by the library's own clock. In a strict cache a miss needs a reason.

use std::sync::atomic::Ordering;

use super::prepare::At;
use super::Worker;
use crate::blackbox::this_thread;
use crate::flock::{Member, Record, Slot, Stored};
use crate::library::{FOREVER, NOT_FOUND, OK, VALUE_TOO_LARGE};
use crate::system::{coarse_now, die, now};
use crate::value;

const MILLISECOND: u64 = 1_000_000;

/// The header's promise of how late an entry may go, by the clock that the library reads.
const SLACK: u64 = 20 * MILLISECOND;

impl At<'_, '_> {
    /// Until when an entry lives, and when it is dead, that was given this lifetime since `begun`, by a call that has returned.
    pub(super) fn span(&self, ttl_ms: u64, begun: u64) -> (u64, u64) {
        match ttl_ms {
            FOREVER => (u64::MAX, u64::MAX),
            // A cache that is not strict changes its default while puts run.
            0 if self.member.kind.is_strict() => (begun + 3_600_000 * MILLISECOND, u64::MAX),
            0 => (0, u64::MAX),
            ttl_ms => (begun + ttl_ms * MILLISECOND, now() + ttl_ms * MILLISECOND),
        }
    }

    /// Ends the run.
    pub(super) fn wrong(&self, what: &str) -> ! {
        wrong(self.member, &format!("{what}; the key has {} bytes", self.slot.key.len()))
    }
}

/// Ends the run.
pub fn wrong(member: &Member<'_>, what: &str) -> ! {
    let options: Vec<String> = member.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    die(&format!(
        "soak: FAILED: {what}\nsoak: {}\nsoak: a {:?} cache that was opened with {}\nsoak: {}\n",
        this_thread(),
        member.kind,
        options.join(" "),
        crate::round_in_words()
    ))
}

/// What was so before a look-up began.
#[derive(Clone, Copy)]
pub(super) struct Before {
    oldest: u64,
    coarse: u64,
}

impl Before {
    pub(super) fn of(slot: &Slot) -> Self {
        Before { oldest: slot.oldest.load(Ordering::Acquire), coarse: coarse_now() }
    }
}

impl<'f, 'l> Worker<'f, 'l> {
    /// What follows from a put that was stored, for whoever claims the key.
    pub(super) fn stored(&self, at: At<'f, 'l>, record: &mut Record, len: usize, ttl_ms: u64, begun: u64) {
        let version = record.version;
        let (lives_until, dead_at) = at.span(ttl_ms, begun);
        (record.told, record.tagged) = (0, false);
        record.stored = Some(Stored { version: if len < 32 { 0 } else { version }, len, lives_until, dead_at });
        at.slot.completed.store(version, Ordering::Release);
        at.slot.oldest.fetch_max(version, Ordering::Release);
    }

    pub(super) fn count_put(&self, at: At<'f, 'l>, status: i32) -> bool {
        match status {
            OK => {
                at.member.counts.puts.fetch_add(1, Ordering::Relaxed);
                true
            }
            // Tiny bounds on bytes, and the changes of max_value_size.
            VALUE_TOO_LARGE if !at.member.kind.is_strict() => false,
            status => at.wrong(&format!("status {status}: {}", at.member.cache.library().last_error())),
        }
    }

    /// The key is gone, and must not come back.
    pub(super) fn removed(&self, at: At<'f, 'l>, record: &mut Record, was_there: bool) {
        match was_there {
            true => drop(at.member.counts.removals.fetch_add(1, Ordering::Relaxed)),
            false => self.missing(at, Some(record)),
        }
        if was_there && record.stored.is_none() {
            at.wrong("removed what had been removed before");
        }
        self.forget(at, record);
        if at.member.cache.contains(&at.slot.key) != NOT_FOUND {
            at.wrong("a key is there after it was removed");
        }
    }

    /// Nothing that was stored may be seen any more.
    pub(super) fn forget(&self, at: At<'f, 'l>, record: &mut Record) {
        record.version += 1;
        (record.stored, record.told, record.tagged) = (None, 0, false);
        at.slot.oldest.fetch_max(record.version, Ordering::Release);
    }

    /// Checks a value that was found; its version. `oldest` and `coarse` were read before the look-up began.
    pub(super) fn found(&self, at: At<'f, 'l>, bytes: &[u8], record: Option<&Record>, before: Before) -> u64 {
        let version = value::prove(bytes, at.slot.id).unwrap_or_else(|what| at.wrong(&what));
        if version != 0 && version < before.oldest {
            at.wrong(&format!("version {version}, though {} had taken its place", before.oldest));
        }
        if let Some(record) = record {
            self.there(at, record, before);
            let stored = record.stored.as_ref().expect("looked at");
            if (version, bytes.len()) != (stored.version, stored.len) {
                let (was, len) = (stored.version, stored.len);
                at.wrong(&format!("version {version} of {} bytes, but put was {was} of {len}", bytes.len()));
            }
        }
        version
    }

    /// The key of a claim was there.
    pub(super) fn there(&self, at: At<'f, 'l>, record: &Record, before: Before) {
        let Some(stored) = &record.stored else { at.wrong("a key is there though it was removed") };
        if at.member.exact_ttl && before.coarse > stored.dead_at.saturating_add(SLACK) {
            let late = (before.coarse - stored.dead_at) / MILLISECOND;
            at.wrong(&format!("an entry whose time had been over for {late} ms when the call began"));
        }
    }

    /// The key was not there.
    pub(super) fn missing(&self, at: At<'f, 'l>, record: Option<&Record>) {
        let Some(stored) = record.and_then(|record| record.stored.as_ref()) else { return };
        let now = now();
        if at.member.kind.is_strict() && now < stored.lives_until {
            let left = (stored.lives_until - now) / MILLISECOND;
            at.wrong(&format!("a miss, though nobody removed the key and it has {left} ms to live"));
        }
    }

    pub(super) fn count_look_up(&self, member: &Member<'_>, hit: bool) {
        let count = if hit { &member.counts.hits } else { &member.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
