//! Look-ups whose value stays the cache's: held for a while, looked at once more, and let go, perhaps by another thread.

use super::judge::{wrong, Before};
use super::prepare::At;
use super::Worker;
use crate::blackbox::Op;
use crate::flock::{Kept, Member, MOST_KEPT};
use crate::library::{Lent, NOT_FOUND, OK, RESULT_LIFETIME};
use crate::value;

pub(super) struct LentOut {
    lent: Lent,
    id: u64,
    version: u64,
    cache: usize,
}

impl<'f, 'l> Worker<'f, 'l> {
    pub(super) fn acquire(&mut self, at: At<'f, 'l>) {
        let claim = self.claim(at.slot);
        self.about(Op::Acquire, at.place);
        let before = Before::of(at.slot);
        match at.member.cache.acquire(&at.slot.key) {
            (OK, Some(held)) => {
                self.count_look_up(at.member, true);
                let version = self.found(at, held.bytes(), claim.as_deref(), before);
                self.kept.push_back(Kept { held, id: at.slot.id, version, place: at.place });
            }
            (NOT_FOUND, None) => {
                self.count_look_up(at.member, false);
                self.missing(at, claim.as_deref());
            }
            (status, held) => at.wrong(&format!("status {status}, a value: {}", held.is_some())),
        }
        drop(claim);
        if self.kept.len() > self.random.below(16) {
            self.release();
        }
    }

    pub(super) fn get(&mut self, at: At<'f, 'l>) {
        let Some(text) = &at.slot.text else { return };
        let claim = self.claim(at.slot);
        self.about(Op::Get, at.place);
        let before = Before::of(at.slot);
        let lent = at.member.cache.get(text);
        self.count_look_up(at.member, lent.found);
        let mut version = 0;
        if lent.found {
            // SAFETY: no look-up since.
            #[allow(unsafe_code)]
            let bytes = unsafe { lent.bytes() };
            version = self.found(at, bytes, claim.as_deref(), before);
        } else {
            self.missing(at, claim.as_deref());
        }
        drop(claim);
        self.lent.push_back(LentOut { lent, id: at.slot.id, version, cache: at.place.0 });
        if self.lent.len() > RESULT_LIFETIME {
            let oldest = self.lent.pop_front().expect("one more than it may hold");
            self.check_lent(&oldest);
        }
    }

    /// A classic result is what it was.
    pub(super) fn check_lent(&self, out: &LentOut) {
        if !out.lent.found {
            return;
        }
        // SAFETY: the queue holds what the thread's last look-ups returned, and no more of them than a result survives; the
        // caches live until all threads have ended.
        #[allow(unsafe_code)]
        let bytes = unsafe { out.lent.bytes() };
        if value::prove(bytes, out.id) != Ok(out.version) {
            let what = format!("a classic result changed within its lifetime: {:?}", value::prove(bytes, out.id));
            wrong(&self.flock.members[out.cache], &what);
        }
    }

    pub(super) fn release_results(&mut self, cache: usize) {
        self.about(Op::ReleaseResults, (cache, 0));
        self.lent.clear();
        self.flock.members[cache].cache.library().release_results();
    }

    pub(super) fn release(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.let_go(kept);
        }
    }

    /// Here, or on another thread, which may be after the entry, and this thread, are long gone.
    pub(super) fn let_go(&mut self, kept: Kept<'l>) {
        self.about(Op::Release, kept.place);
        let out = {
            let mut shared = self.flock.kept.lock().expect("no thread fails and goes on");
            shared.push(kept);
            let first = self.random.below(shared.len());
            if self.random.one_in(2) || shared.len() > MOST_KEPT {
                Some(shared.swap_remove(first))
            } else {
                None
            }
        };
        if let Some(kept) = out {
            check_kept(&kept, &self.flock.members[kept.place.0]);
        }
    }
}

/// An acquired value is what it was.
pub fn check_kept(kept: &Kept<'_>, member: &Member<'_>) {
    let proven = value::prove(kept.held.bytes(), kept.id);
    if proven != Ok(kept.version) {
        wrong(member, &format!("an acquired value of key {} changed: {proven:?}", kept.place.1));
    }
}
