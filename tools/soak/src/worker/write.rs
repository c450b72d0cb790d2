//! Puts and removes of one key, by the common and the classic calls.

use std::sync::atomic::Ordering;

use super::prepare::At;
use super::Worker;
use crate::blackbox::Op;
use crate::library::{NOT_FOUND, OK, VALUE_TOO_LARGE};
use crate::system::now;

impl<'f, 'l> Worker<'f, 'l> {
    pub(super) fn put(&mut self, at: At<'f, 'l>) {
        let mut claim = at.slot.claim();
        if claim.is_none() && !at.slot.is_shared() {
            return;
        }
        self.next_value(at, claim.as_deref_mut());
        let ttl_ms = self.ttl_ms();
        self.about(Op::Put, at.place);
        let begun = now();
        let status = at.member.cache.put(&at.slot.key, &self.value, ttl_ms);
        if self.count_put(at, status) {
            if let Some(record) = claim.as_deref_mut() {
                self.stored(at, record, self.value.len(), ttl_ms, begun);
            }
        }
    }

    pub(super) fn set(&mut self, at: At<'f, 'l>) {
        let Some(text) = &at.slot.text else { return };
        let Some(mut record) = at.slot.claim() else { return };
        self.next_value(at, Some(&mut record));
        let seconds = self.random.below(3) as u32;
        self.about(Op::Set, at.place);
        let begun = now();
        let status = if at.member.cache.set(text, &self.value, seconds) { OK } else { VALUE_TOO_LARGE };
        if self.count_put(at, status) {
            self.stored(at, &mut record, self.value.len(), u64::from(seconds) * 1_000, begun);
        }
    }

    pub(super) fn remove(&mut self, at: At<'f, 'l>) {
        let Some(mut record) = at.slot.claim() else {
            if at.slot.is_shared() {
                self.about(Op::Remove, at.place);
                let removed = at.member.cache.remove(&at.slot.key) == OK;
                at.member.counts.removals.fetch_add(u64::from(removed), Ordering::Relaxed);
            }
            return;
        };
        self.about(Op::Remove, at.place);
        match at.member.cache.remove(&at.slot.key) {
            status @ (OK | NOT_FOUND) => self.removed(at, &mut record, status == OK),
            status => at.wrong(&format!("status {status}")),
        }
    }

    pub(super) fn delete(&mut self, at: At<'f, 'l>) {
        let Some(text) = &at.slot.text else { return };
        let Some(mut record) = at.slot.claim() else { return };
        self.about(Op::Delete, at.place);
        let was_there = at.member.cache.delete(text);
        self.removed(at, &mut record, was_there);
    }
}
