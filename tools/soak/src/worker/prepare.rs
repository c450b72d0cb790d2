//! What comes before a call: a key and the right to write it, a lifetime, a value, and word of it to the black box.

use std::sync::atomic::Ordering;
use std::sync::MutexGuard;

use super::Worker;
use crate::blackbox::{about_to, Op};
use crate::flock::{Member, Record, Slot};
use crate::library::FOREVER;
use crate::value;

/// Where a call goes: a cache and a key of it.
#[derive(Clone, Copy)]
pub(super) struct At<'f, 'l> {
    pub(super) member: &'f Member<'l>,
    pub(super) slot: &'f Slot,
    pub(super) place: (usize, usize),
}

impl<'f, 'l> Worker<'f, 'l> {
    pub(super) fn about(&mut self, op: Op, place: (usize, usize)) {
        self.tally[op as usize] += 1;
        about_to(op, place.0, place.1);
    }

    /// A key, some far more often than others.
    pub(super) fn somewhere(&mut self, member: &'f Member<'l>, cache: usize) -> At<'f, 'l> {
        let slots = member.slots.len();
        let number = self.random.below(slots) * self.random.below(slots) / slots;
        At { member, slot: &member.slots[number], place: (cache, number) }
    }

    /// Now and then none, so that look-ups meet the writes of others.
    pub(super) fn claim(&mut self, slot: &'f Slot) -> Option<MutexGuard<'f, Record>> {
        if self.random.one_in(3) {
            return None;
        }
        slot.claim()
    }

    /// Mostly small.
    fn len(&mut self, largest: usize) -> usize {
        let bound = match self.random.below(1_000) {
            0..=19 => 1,
            20..=69 => 32,
            70..=699 => 300,
            700..=949 => 8 << 10,
            950..=995 => 256 << 10,
            _ => largest + 1,
        };
        self.random.below(bound.min(largest + 1))
    }

    pub(super) fn ttl_ms(&mut self) -> u64 {
        match self.random.below(20) {
            0..=5 => 0,
            6..=11 => FOREVER,
            12..=16 => 1 + self.random.below(50) as u64,
            _ => 100 + self.random.below(2_000) as u64,
        }
    }

    /// Fills `self.value` for the next put of the key; its version.
    pub(super) fn next_value(&mut self, at: At<'f, 'l>, record: Option<&mut Record>) -> u64 {
        let version = match record {
            Some(record) => {
                record.version += 1;
                record.version
            }
            None => at.slot.issued.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let len = self.len(at.member.kind.largest());
        value::make(&mut self.value, at.slot.id, version, len);
        version
    }
}
