//! One thread's calls: whatever comes, on whichever cache, and a look at every byte that comes back.
//!
//! What may be expected: a value is whole and its key's own; it is not older than the oldest that was still there when the
//! look-up began; under a claim, nobody else writes the key, so it is exactly what was put last, and neither is it there
//! after a remove, nor later than its deadline by the library's own clock. In a strict cache a miss needs a reason.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::MutexGuard;

use crate::blackbox::{about_to, this_thread, Op, NAMES};
use crate::flock::{live_change, Flock, Kept, Member, Record, Slot, Stored, MOST_KEPT, PREFIXES};
use crate::library::{Lent, FOREVER, NOT_FOUND, OK, RESULT_LIFETIME, TRUNCATED, VALUE_TOO_LARGE};
use crate::random::{mix, Random};
use crate::system::{coarse_now, die, now};
use crate::value;

const MILLISECOND: u64 = 1_000_000;

/// The header's promise of how late an entry may go, by the clock that the library reads.
const SLACK: u64 = 20 * MILLISECOND;

pub type Tally = [u64; NAMES.len()];

struct LentOut {
    lent: Lent,
    id: u64,
    version: u64,
    cache: usize,
}

pub struct Worker<'f, 'l> {
    flock: &'f Flock<'l>,
    pub(crate) random: Random,
    tally: Tally,
    pub(crate) value: Vec<u8>,
    buffer: Vec<u8>,
    kept: VecDeque<Kept<'l>>,
    lent: VecDeque<LentOut>,
}

/// Where a call goes: a cache and a key of it.
#[derive(Clone, Copy)]
pub(crate) struct At<'f, 'l> {
    pub(crate) member: &'f Member<'l>,
    pub(crate) slot: &'f Slot,
    pub(crate) place: (usize, usize),
}

impl At<'_, '_> {
    /// Until when an entry lives, and when it is dead, that was given this lifetime since `begun`, by a call that has returned.
    pub(crate) fn span(&self, ttl_ms: u64, begun: u64) -> (u64, u64) {
        match ttl_ms {
            FOREVER => (u64::MAX, u64::MAX),
            // A cache that is not strict changes its default while puts run.
            0 if self.member.kind.is_strict() => (begun + 3_600_000 * MILLISECOND, u64::MAX),
            0 => (0, u64::MAX),
            ttl_ms => (begun + ttl_ms * MILLISECOND, now() + ttl_ms * MILLISECOND),
        }
    }

    /// Ends the run.
    pub(crate) fn wrong(&self, what: &str) -> ! {
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

impl<'f, 'l> Worker<'f, 'l> {
    pub fn new(flock: &'f Flock<'l>, seed: &[u64]) -> Self {
        let largest = flock.members.iter().map(|member| member.kind.largest()).max().unwrap_or(0);
        Worker {
            flock,
            random: Random::of(seed),
            tally: [0; NAMES.len()],
            value: Vec::new(),
            buffer: vec![0; largest],
            kept: VecDeque::new(),
            lent: VecDeque::new(),
        }
    }

    /// Makes so many calls and lets go of what it holds, or leaves it to another thread, or to the thread's end.
    pub fn work(mut self, calls: usize) -> Tally {
        for _ in 0..calls {
            self.one();
        }
        for lent in std::mem::take(&mut self.lent) {
            self.check_lent(&lent);
        }
        if self.random.one_in(2) {
            self.flock.members[0].cache.library().release_results();
        }
        while let Some(kept) = self.kept.pop_front() {
            self.let_go(kept);
        }
        self.tally
    }

    fn one(&mut self) {
        let cache = self.random.below(self.flock.members.len());
        let member = &self.flock.members[cache];
        let at = self.somewhere(member, cache);
        let library = member.cache.library();
        let (batches, updates, loads) = (library.has_batches(), library.has_updates(), library.has_loads());
        match self.random.below(1_000) {
            0..=189 => self.put(at),
            190..=209 if updates => self.put_with(at),
            210..=229 if loads => self.get_or_load(at),
            190..=229 => self.put(at),
            230..=249 => self.set(at),
            250..=419 => self.read(at),
            420..=429 => self.short_read(at),
            430..=439 if updates => self.touch(at),
            440..=449 if updates => self.increment(at),
            430..=579 => self.acquire(at),
            580..=729 => self.get(at),
            730..=799 => self.remove(at),
            800..=814 => self.delete(at),
            815..=864 => self.contains(at),
            865..=879 => self.exists(at),
            880..=919 if batches => self.get_many(member, cache),
            920..=939 if batches => self.put_many(member, cache),
            940..=949 if batches => self.remove_many(member, cache),
            950..=951 => self.purge(member, cache),
            952..=953 if updates => self.purge_tag(at),
            954 if updates => self.keys(member, cache),
            955..=964 => self.sweep(member, cache),
            965..=979 => self.set_option(member, cache),
            980..=994 => self.statistics(member, cache),
            995 => self.release_results(cache),
            996 if self.random.one_in(20) => self.burst(member, cache),
            _ => self.release(),
        }
    }

    pub(crate) fn about(&mut self, op: Op, place: (usize, usize)) {
        self.tally[op as usize] += 1;
        about_to(op, place.0, place.1);
    }

    /// A key, some far more often than others.
    pub(crate) fn somewhere(&mut self, member: &'f Member<'l>, cache: usize) -> At<'f, 'l> {
        let slots = member.slots.len();
        let number = self.random.below(slots) * self.random.below(slots) / slots;
        At { member, slot: &member.slots[number], place: (cache, number) }
    }

    /// Now and then none, so that look-ups meet the writes of others.
    fn claim(&mut self, slot: &'f Slot) -> Option<MutexGuard<'f, Record>> {
        if self.random.one_in(3) {
            return None;
        }
        slot.claim()
    }

    // Writing.

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

    pub(crate) fn ttl_ms(&mut self) -> u64 {
        match self.random.below(20) {
            0..=5 => 0,
            6..=11 => FOREVER,
            12..=16 => 1 + self.random.below(50) as u64,
            _ => 100 + self.random.below(2_000) as u64,
        }
    }

    /// Fills `self.value` for the next put of the key; its version.
    pub(crate) fn next_value(&mut self, at: At<'f, 'l>, record: Option<&mut Record>) -> u64 {
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

    /// What follows from a put that was stored, for whoever claims the key.
    pub(crate) fn stored(&self, at: At<'f, 'l>, record: &mut Record, len: usize, ttl_ms: u64, begun: u64) {
        let version = record.version;
        let (lives_until, dead_at) = at.span(ttl_ms, begun);
        (record.told, record.tagged) = (0, false);
        record.stored = Some(Stored { version: if len < 32 { 0 } else { version }, len, lives_until, dead_at });
        at.slot.completed.store(version, Ordering::Release);
        at.slot.oldest.fetch_max(version, Ordering::Release);
    }

    pub(crate) fn count_put(&self, at: At<'f, 'l>, status: i32) -> bool {
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

    fn put(&mut self, at: At<'f, 'l>) {
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

    fn set(&mut self, at: At<'f, 'l>) {
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

    /// The key is gone, and must not come back.
    fn removed(&self, at: At<'f, 'l>, record: &mut Record, was_there: bool) {
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
    pub(crate) fn forget(&self, at: At<'f, 'l>, record: &mut Record) {
        record.version += 1;
        (record.stored, record.told, record.tagged) = (None, 0, false);
        at.slot.oldest.fetch_max(record.version, Ordering::Release);
    }

    fn remove(&mut self, at: At<'f, 'l>) {
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

    fn delete(&mut self, at: At<'f, 'l>) {
        let Some(text) = &at.slot.text else { return };
        let Some(mut record) = at.slot.claim() else { return };
        self.about(Op::Delete, at.place);
        let was_there = at.member.cache.delete(text);
        self.removed(at, &mut record, was_there);
    }

    // Reading.

    /// Checks a value that was found; its version. `oldest` and `coarse` were read before the look-up began.
    pub(crate) fn found(&self, at: At<'f, 'l>, bytes: &[u8], record: Option<&Record>, before: Before) -> u64 {
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
    pub(crate) fn there(&self, at: At<'f, 'l>, record: &Record, before: Before) {
        let Some(stored) = &record.stored else { at.wrong("a key is there though it was removed") };
        if at.member.exact_ttl && before.coarse > stored.dead_at.saturating_add(SLACK) {
            let late = (before.coarse - stored.dead_at) / MILLISECOND;
            at.wrong(&format!("an entry whose time had been over for {late} ms when the call began"));
        }
    }

    /// The key was not there.
    pub(crate) fn missing(&self, at: At<'f, 'l>, record: Option<&Record>) {
        let Some(stored) = record.and_then(|record| record.stored.as_ref()) else { return };
        let now = now();
        if at.member.kind.is_strict() && now < stored.lives_until {
            let left = (stored.lives_until - now) / MILLISECOND;
            at.wrong(&format!("a miss, though nobody removed the key and it has {left} ms to live"));
        }
    }

    pub(crate) fn count_look_up(&self, member: &Member<'_>, hit: bool) {
        let count = if hit { &member.counts.hits } else { &member.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&mut self, at: At<'f, 'l>) {
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

    fn short_read(&mut self, at: At<'f, 'l>) {
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

    fn acquire(&mut self, at: At<'f, 'l>) {
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

    fn get(&mut self, at: At<'f, 'l>) {
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
    fn check_lent(&self, out: &LentOut) {
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

    fn contains(&mut self, at: At<'f, 'l>) {
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

    fn exists(&mut self, at: At<'f, 'l>) {
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

    // Many at once.

    fn some_keys(&mut self, member: &'f Member<'l>, cache: usize) -> Vec<At<'f, 'l>> {
        // Now and then more than are worked on at a time.
        let count = if self.random.one_in(10) { self.random.below(200) } else { self.random.below(20) };
        (0..count).map(|_| self.somewhere(member, cache)).collect()
    }

    fn get_many(&mut self, member: &'f Member<'l>, cache: usize) {
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

    fn put_many(&mut self, member: &'f Member<'l>, cache: usize) {
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

    fn remove_many(&mut self, member: &'f Member<'l>, cache: usize) {
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

    // The cache as a whole.

    /// What was there before the purge began must not be there afterwards.
    fn purge(&mut self, member: &'f Member<'l>, cache: usize) {
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

    fn sweep(&mut self, member: &'f Member<'l>, cache: usize) {
        self.about(Op::Sweep, (cache, 0));
        member.cache.sweep();
    }

    fn set_option(&mut self, member: &'f Member<'l>, cache: usize) {
        let library = member.cache.library();
        if let Some((name, value)) = live_change(library, member.kind, &mut self.random) {
            self.about(Op::SetOption, (cache, 0));
            let status = member.cache.set_option(name, &value);
            if status != OK {
                wrong(member, &format!("{name}={value}: status {status}: {}", library.last_error()));
            }
        }
    }

    fn statistics(&mut self, member: &'f Member<'l>, cache: usize) {
        self.about(Op::Statistics, (cache, 0));
        let (status, statistics) = member.cache.statistics();
        let most = member.kind.most_entries();
        if status != OK || statistics.requests != statistics.hits + statistics.misses || statistics.entries > most {
            wrong(member, &format!("status {status}, {statistics:?}"));
        }
        member.saw_entries(statistics.entries);
    }

    fn release_results(&mut self, cache: usize) {
        self.about(Op::ReleaseResults, (cache, 0));
        self.lent.clear();
        self.flock.members[cache].cache.library().release_results();
    }

    /// Thousands of other keys come, and go by themselves or by their name: the index grows.
    fn burst(&mut self, member: &'f Member<'l>, cache: usize) {
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

    // Letting go.

    fn release(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.let_go(kept);
        }
    }

    /// Here, or on another thread, which may be after the entry, and this thread, are long gone.
    fn let_go(&mut self, kept: Kept<'l>) {
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

/// What was so before a look-up began.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    oldest: u64,
    coarse: u64,
}

impl Before {
    pub(crate) fn of(slot: &Slot) -> Self {
        Before { oldest: slot.oldest.load(Ordering::Acquire), coarse: coarse_now() }
    }
}

/// In a forked child, where only this thread is left: every kind of call on every cache. Claims may be held by threads that
/// are not here, so values are all that is checked, and what this process itself has put.
pub fn use_in_child(flock: &Flock<'_>, seed: u64) {
    let mut random = Random::of(&[seed]);
    let (mut value, mut buffer) = (Vec::new(), vec![0; 4 << 20]);
    for (cache, member) in flock.members.iter().enumerate() {
        let prove = |bytes: &[u8], slot: &Slot| {
            value::prove(bytes, slot.id).unwrap_or_else(|what| wrong(member, &format!("in a forked child: {what}")))
        };
        for _ in 0..30 {
            let number = random.below(member.slots.len());
            let slot = &member.slots[number];
            about_to(Op::InTheChild, cache, number);
            let oldest = slot.oldest.load(Ordering::Acquire);
            if let (OK, len) = member.cache.read(&slot.key, &mut buffer) {
                let version = prove(&buffer[..len], slot);
                if version != 0 && version < oldest {
                    wrong(member, &format!("a forked child sees version {version}, {oldest} had taken its place"));
                }
            }
            if let Some(text) = &slot.text {
                let lent = member.cache.get(text);
                if lent.found {
                    // SAFETY: no look-up since.
                    #[allow(unsafe_code)]
                    prove(unsafe { lent.bytes() }, slot);
                }
            }
            let version = u64::MAX - random.below(1_000) as u64;
            value::make(&mut value, slot.id, version, 100 + random.below(900));
            let status = member.cache.put(&slot.key, &value, FOREVER);
            if status != OK && status != VALUE_TOO_LARGE {
                wrong(member, &format!("put in a forked child: status {status}"));
            }
            if let (OK, Some(held)) = member.cache.acquire(&slot.key) {
                if prove(held.bytes(), slot) != version && status == OK {
                    wrong(member, "a forked child reads something else than it has put");
                }
            }
            member.cache.remove(&slot.key);
            if member.cache.contains(&slot.key) != NOT_FOUND {
                wrong(member, "a forked child finds what it has removed");
            }
        }
        member.cache.sweep();
        if random.one_in(2) {
            member.cache.purge(None);
        }
        if member.cache.statistics().0 != OK {
            wrong(member, "no statistics in a forked child");
        }
    }
}
