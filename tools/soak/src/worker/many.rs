//! The calls that take many keys at once.

use std::sync::MutexGuard;

use super::judge::{wrong, Before};
use super::prepare::At;
use super::Worker;
use crate::blackbox::Op;
use crate::flock::{Member, Record};
use crate::library::{NOT_FOUND, OK, TRUNCATED};
use crate::system::now;

impl<'f, 'l> Worker<'f, 'l> {
    fn some_keys(&mut self, member: &'f Member<'l>, cache: usize) -> Vec<At<'f, 'l>> {
        // Now and then more than are worked on at a time.
        let count = if self.random.one_in(10) { self.random.below(200) } else { self.random.below(20) };
        (0..count).map(|_| self.somewhere(member, cache)).collect()
    }

    pub(super) fn get_many(&mut self, member: &'f Member<'l>, cache: usize) {
        let asked = self.some_keys(member, cache);
        let claims: Vec<_> = asked.iter().map(|at| self.claim(at.slot)).collect();
        let keys: Vec<&[u8]> = asked.iter().map(|at| &at.slot.key[..]).collect();
        let each = self.buffer.len() / 200;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut buffers: Vec<&mut [u8]> = buffer.chunks_exact_mut(each).take(keys.len()).collect();
        self.about(Op::GetMany, (cache, 0));
        let before: Vec<Before> = asked.iter().map(|at| Before::of(at.slot)).collect();
        let (status, results) = member.cache.get_many(&keys, &mut buffers);
        if status != OK {
            wrong(member, &format!("status {status}: {}", member.cache.library().last_error()));
        }
        for (i, (status, len)) in results.into_iter().enumerate() {
            let (at, record) = (asked[i], claims[i].as_deref());
            match status {
                OK => {
                    self.count_look_up(member, true);
                    self.found(at, &buffers[i][..len], record, before[i]);
                }
                NOT_FOUND if len == 0 => {
                    self.count_look_up(member, false);
                    self.missing(at, record);
                }
                TRUNCATED if len > each => {}
                status => at.wrong(&format!("item {i} has status {status}, {len} bytes")),
            }
        }
        self.buffer = buffer;
    }

    pub(super) fn put_many(&mut self, member: &'f Member<'l>, cache: usize) {
        let mut claimed: Vec<(At<'f, 'l>, MutexGuard<'f, Record>, Vec<u8>, u64)> = Vec::new();
        for at in self.some_keys(member, cache) {
            if let Some(mut record) = at.slot.claim() {
                self.next_value(at, Some(&mut record));
                let value = std::mem::take(&mut self.value);
                claimed.push((at, record, value, self.ttl_ms()));
            }
        }
        let puts: Vec<_> = claimed.iter().map(|(at, _, value, ttl)| (&at.slot.key[..], &value[..], *ttl)).collect();
        self.about(Op::PutMany, (cache, 0));
        let begun = now();
        let (_, results) = member.cache.put_many(&puts);
        drop(puts);
        for ((at, record, value, ttl_ms), status) in claimed.iter_mut().zip(results) {
            if self.count_put(*at, status) {
                self.stored(*at, record, value.len(), *ttl_ms, begun);
            }
        }
    }

    pub(super) fn remove_many(&mut self, member: &'f Member<'l>, cache: usize) {
        let asked = self.some_keys(member, cache);
        let mut claimed: Vec<_> = asked.iter().filter_map(|at| Some((at, at.slot.claim()?))).collect();
        let keys: Vec<&[u8]> = claimed.iter().map(|(at, _)| &at.slot.key[..]).collect();
        self.about(Op::RemoveMany, (cache, 0));
        let (_, results) = member.cache.remove_many(&keys);
        for ((at, record), status) in claimed.iter_mut().zip(results) {
            match status {
                OK | NOT_FOUND => self.removed(**at, record, status == OK),
                status => at.wrong(&format!("status {status}")),
            }
        }
    }
}
