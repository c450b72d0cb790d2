//! The calls that concern a cache as a whole.

use std::sync::atomic::Ordering;

use super::judge::wrong;
use super::Worker;
use crate::blackbox::Op;
use crate::flock::{live_change, Member, Slot, PREFIXES};
use crate::library::OK;
use crate::random::mix;

impl<'f, 'l> Worker<'f, 'l> {
    /// What was there before the purge began must not be there afterwards.
    pub(super) fn purge(&mut self, member: &'f Member<'l>, cache: usize) {
        let prefix = match self.random.below(4) {
            0 if self.random.one_in(4) => None,
            _ => Some(self.random.of_list(&PREFIXES).as_bytes()),
        };
        // Nothing is removed from a strict cache but by its key.
        let prefix = if member.kind.is_strict() { Some(&b"no key begins like this"[..]) } else { prefix };
        let concerned = |slot: &&Slot| prefix.is_none_or(|prefix| slot.key.starts_with(prefix)) && !slot.is_shared();
        let slots: Vec<&Slot> = member.slots.iter().filter(concerned).collect();
        let versions: Vec<u64> = slots.iter().map(|slot| slot.completed.load(Ordering::Acquire)).collect();
        self.about(if prefix.is_some() { Op::PurgePrefix } else { Op::PurgeAll }, (cache, 0));
        let (status, removed) = member.cache.purge(prefix);
        if status != OK || member.kind.is_strict() && removed != 0 {
            wrong(member, &format!("status {status}, {removed} were removed"));
        }
        member.counts.removals.fetch_add(removed, Ordering::Relaxed);
        for (slot, version) in slots.iter().zip(versions) {
            if version > 0 {
                slot.oldest.fetch_max(version + 1, Ordering::Release);
            }
        }
    }

    pub(super) fn sweep(&mut self, member: &'f Member<'l>, cache: usize) {
        self.about(Op::Sweep, (cache, 0));
        member.cache.sweep();
    }

    pub(super) fn set_option(&mut self, member: &'f Member<'l>, cache: usize) {
        let library = member.cache.library();
        if let Some((name, value)) = live_change(library, member.kind, &mut self.random) {
            self.about(Op::SetOption, (cache, 0));
            let status = member.cache.set_option(name, &value);
            if status != OK {
                wrong(member, &format!("{name}={value}: status {status}: {}", library.last_error()));
            }
        }
    }

    pub(super) fn statistics(&mut self, member: &'f Member<'l>, cache: usize) {
        self.about(Op::Statistics, (cache, 0));
        let (status, statistics) = member.cache.statistics();
        let most = member.kind.most_entries();
        if status != OK || statistics.requests != statistics.hits + statistics.misses || statistics.entries > most {
            wrong(member, &format!("status {status}, {statistics:?}"));
        }
        member.saw_entries(statistics.entries);
    }

    /// Thousands of other keys come, and go by themselves or by their name: the index grows.
    pub(super) fn burst(&mut self, member: &'f Member<'l>, cache: usize) {
        if member.kind != crate::flock::Kind::Growing {
            return;
        }
        self.about(Op::Burst, (cache, 0));
        let first = self.random.next();
        let keys: Vec<[u8; 8]> = (0..5_000).map(|i| mix(first.wrapping_add(i)).to_le_bytes()).collect();
        for key in &keys {
            if member.cache.put(key, b"", 1 + u64::from(key[0])) != OK {
                wrong(member, &member.cache.library().last_error());
            }
        }
        member.saw_entries(member.cache.statistics().1.entries);
        let removed = keys.iter().filter(|key| key[1] < 128 && member.cache.remove(&key[..]) == OK).count();
        member.counts.puts.fetch_add(keys.len() as u64, Ordering::Relaxed);
        member.counts.removals.fetch_add(removed as u64, Ordering::Relaxed);
    }
}
