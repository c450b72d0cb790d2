//! Look-ups of one key that leave nothing behind: its bytes are copied, or it is only asked for.

use super::judge::Before;
use super::prepare::At;
use super::Worker;
use crate::blackbox::Op;
use crate::library::{NOT_FOUND, OK, TRUNCATED};

impl<'f, 'l> Worker<'f, 'l> {
    pub(super) fn read(&mut self, at: At<'f, 'l>) {
        let claim = self.claim(at.slot);
        self.about(Op::Read, at.place);
        let before = Before::of(at.slot);
        match at.member.cache.read(&at.slot.key, &mut self.buffer) {
            (OK, len) => {
                self.count_look_up(at.member, true);
                self.found(at, &self.buffer[..len], claim.as_deref(), before);
            }
            (NOT_FOUND, 0) => {
                self.count_look_up(at.member, false);
                self.missing(at, claim.as_deref());
            }
            (status, len) => at.wrong(&format!("status {status}, {len} bytes")),
        }
    }

    pub(super) fn short_read(&mut self, at: At<'f, 'l>) {
        let claim = self.claim(at.slot);
        self.about(Op::ShortRead, at.place);
        let before = Before::of(at.slot);
        let room = self.random.below(40);
        match at.member.cache.read(&at.slot.key, &mut self.buffer[..room]) {
            // A use of the entry, but no request.
            (TRUNCATED, len) if len > room => {
                if let Some(record) = claim.as_deref() {
                    self.there(at, record, before);
                    if record.stored.is_some_and(|stored| stored.len != len) {
                        at.wrong(&format!("{len} bytes are said to be needed"));
                    }
                }
            }
            (OK, len) => {
                self.count_look_up(at.member, true);
                self.found(at, &self.buffer[..len], claim.as_deref(), before);
            }
            (NOT_FOUND, 0) => {
                self.count_look_up(at.member, false);
                self.missing(at, claim.as_deref());
            }
            (status, len) => at.wrong(&format!("status {status}, {len} bytes into a buffer of {room}")),
        }
    }

    pub(super) fn contains(&mut self, at: At<'f, 'l>) {
        let claim = self.claim(at.slot);
        self.about(Op::Contains, at.place);
        let before = Before::of(at.slot);
        match (at.member.cache.contains(&at.slot.key), claim.as_deref()) {
            (OK, Some(record)) => self.there(at, record, before),
            (OK, None) => {}
            (NOT_FOUND, record) => self.missing(at, record),
            (status, _) => at.wrong(&format!("status {status}")),
        }
    }

    pub(super) fn exists(&mut self, at: At<'f, 'l>) {
        let Some(text) = &at.slot.text else { return };
        let claim = self.claim(at.slot);
        self.about(Op::Exists, at.place);
        let before = Before::of(at.slot);
        match (at.member.cache.exists(text), claim.as_deref()) {
            (true, Some(record)) => self.there(at, record, before),
            (true, None) => {}
            (false, record) => self.missing(at, record),
        }
    }
}
