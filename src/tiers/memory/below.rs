//! What comes up from a tier below memory: prepared first, and then stored, which is done under a lock of the caller's. It was found before
//! others may have written the key, so it is stored only where nothing is. As with puts there is a straight way for what nothing is
//! special about, which is nearly everything that a batch brings, and one for everything. Called by `cache::descent`.

use super::entry::Draft;
use super::index::Hash;
use super::put::PLAIN_KEY;
use super::reclaim::Reader;
use super::shard::Count;
use super::update::{Condition, PutOutcome, Ready, Terms};
use super::Memory;
use crate::clock::{Tick, Ttl, FOREVER};
use crate::codec::envelope::{Body, Tags};
use crate::error::Result;
use crate::sync::atomic::Ordering::Relaxed;

/// Where a key belongs in this memory: to be found once, and used for all that a descent does there.
#[derive(Clone, Copy)]
pub(crate) struct Place(Hash);

/// A value as it will be stored.
pub(crate) struct Rising<'a> {
    key: &'a [u8],
    hash: Hash,
    ttl: Ttl,
    /// When so much was left, by [`crate::clock::Clock::nanos`].
    since: u64,
    form: Form<'a>,
}

enum Form<'a> {
    /// For the straight way.
    Plain {
        value: &'a [u8],
        deadline: Tick,
    },
    Ready(Ready<'a>),
}

impl Memory {
    #[inline(always)]
    pub(crate) fn place_of(&self, key: &[u8]) -> Place {
        Place(self.hash(key))
    }

    /// Whether [`Memory::peek`] may have something to say of a key of that place: if not, the key is not there.
    #[inline(always)]
    pub(crate) fn may_have(&self, place: Place, key: &[u8]) -> bool {
        let Some(reader) = Reader::enter() else { return true };
        self.search::<false>(reader.record(), reader.hazard(), self.seek_hashed(place.0, key)).is_some()
    }

    /// Prepares a value for [`Memory::take_up`], with what was left of its lifetime at a time: it gets nothing more, however long it has
    /// taken to come here. `None`: it cannot be unpacked, or there is no memory for that.
    #[inline(always)]
    pub(crate) fn rising<'a>(
        &self,
        Place(hash): Place,
        key: &'a [u8],
        body: Body<'a>,
        tags: Tags<'a>,
        ttl: Ttl,
        since: u64,
    ) -> Option<Rising<'a>> {
        self.expect_put(hash);
        let form = match body {
            // What the bound of plain values stands for holds of this one, too: see there.
            Body::Plain(value)
                if key.len() <= PLAIN_KEY
                    && (value.len() as u64) < self.live.plain_below.load(Relaxed)
                    && tags.is_empty() =>
            {
                let lifetime = self.lifetime_of(ttl);
                let deadline = lifetime.map_or(FOREVER, |lifetime| self.clock.deadline_since(since, lifetime));
                Form::Plain { value, deadline }
            }
            _ => Form::Ready(self.make_ready_from(body, tags.iter(), ttl, since)?),
        };
        Some(Rising { key, hash, ttl, since, form })
    }

    /// Stores it, if the key is not there. False: it is, or there was no room or no memory.
    #[inline(always)]
    pub(crate) fn take_up(&self, rising: &Rising<'_>) -> bool {
        match &rising.form {
            Form::Plain { value, deadline } => match Draft::plain(rising.key, value) {
                Some(draft) => self.timed_put(rising.hash, || self.take_up_plain(rising, &draft, *deadline)),
                None => false,
            },
            Form::Ready(ready) => is_stored(self.put_ready(rising.key, ready, Condition::IfAbsent)),
        }
    }

    /// The straight way: as [`Memory::put_plain`], but only where nothing is.
    #[inline(always)]
    fn take_up_plain(&self, rising: &Rising<'_>, draft: &Draft<'_>, deadline: Tick) -> bool {
        let hash = rising.hash;
        let mut shard = self.lock_home(hash);
        shard.expect(hash, draft);
        self.expire_some(&mut shard);
        if self.shared.budget.bounds_bytes() {
            drop(shard);
            return self.take_up_drafted(rising, draft);
        }
        if let Some((_, old)) = shard.find(hash, draft.key()) {
            if !self.is_expired(old) {
                return false;
            }
            self.expire(&mut shard, old);
        }
        if !shard.reserve(|| self.expected_entries()) {
            return false;
        }
        let mut leaves = None;
        if !self.has_place(&mut shard) {
            leaves = shard.begin_eviction();
            if leaves.is_none() {
                drop(shard);
                return self.take_up_drafted(rising, draft);
            }
        }
        let made = shard.make(draft);
        if let Some(leaving) = leaves {
            self.end_eviction(&mut shard, leaving);
        }
        let Some(mut entry) = made else { return false };
        if deadline != FOREVER {
            // Hits do not put it off, so nothing asks how long it lived.
            entry.set_deadline(deadline, 0);
        }
        shard.insert(entry, hash);
        shard.count(Count::Puts, 1);
        shard.weed();
        self.balance(&mut shard);
        true
    }

    /// What takes part in more than the straight way does.
    #[cold]
    #[inline(never)]
    fn take_up_drafted(&self, rising: &Rising<'_>, draft: &Draft<'_>) -> bool {
        let terms = Terms { condition: Condition::IfAbsent, since: Some(rising.since), ..Terms::NONE };
        is_stored(self.insert(rising.hash, draft, rising.ttl, Some(&terms)))
    }
}

fn is_stored(outcome: Result<PutOutcome>) -> bool {
    matches!(outcome, Ok(PutOutcome::Stored(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::options::Options;
    use std::time::Duration;

    /// Each by the straight way and by the other ones.
    const WAYS: [&[(&str, &str)]; 3] = [&[], &[("memory.sliding", "on")], &[("memory.max_bytes", "1000000")]];

    fn open(way: &[(&str, &str)], clock: &Clock) -> std::sync::Arc<Memory> {
        let mut options = Options::new();
        for (name, text) in way {
            options.set(name, text).unwrap();
        }
        Memory::open(&options.memory, clock.clone())
    }

    #[test]
    fn what_comes_from_below_lives_no_longer_however_late_it_is_stored() {
        for way in WAYS {
            let (clock, time) = Clock::manual();
            let memory = open(way, &clock);
            let ttl = Ttl::For(Duration::from_secs(5));
            let found_at = clock.nanos();
            for (waits, key, left) in [(3, b"in time".as_slice(), Some(2)), (3, b"too late", None)] {
                time.advance(Duration::from_secs(waits));
                let rising = memory
                    .rising(memory.place_of(key), key, Body::Plain(b"v"), Tags::default(), ttl, found_at)
                    .unwrap();
                assert!(memory.take_up(&rising));
                let found = memory.peek(key).unwrap().map(|value| value.remaining().unwrap());
                assert_eq!(found.is_some(), left.is_some(), "{way:?}");
                assert!(found
                    .is_none_or(|found| found <= Duration::from_secs(left.unwrap_or(0)) + Duration::from_millis(9)));
            }
            memory.sweep();
            assert_eq!(memory.figures().entries, 0, "both are over");
        }
    }

    #[test]
    fn what_comes_from_below_takes_the_place_of_nothing_that_is_alive() {
        for way in WAYS {
            let (clock, time) = Clock::manual();
            let memory = open(way, &clock);
            let rises = |value: &'static [u8]| {
                let rising = memory.rising(
                    memory.place_of(b"key"),
                    b"key",
                    Body::Plain(value),
                    Tags::default(),
                    Ttl::Forever,
                    clock.nanos(),
                );
                memory.take_up(&rising.unwrap())
            };
            memory.put(b"key", b"newer", Ttl::For(Duration::from_secs(1))).unwrap();
            assert!(!rises(b"older"));
            assert_eq!(memory.peek(b"key").unwrap().as_deref(), Some(&b"newer"[..]), "{way:?}");
            time.advance(Duration::from_secs(2));
            assert!(rises(b"found"));
            assert_eq!(memory.peek(b"key").unwrap().as_deref(), Some(&b"found"[..]), "{way:?}");
            assert_eq!(memory.figures().entries, 1);
        }
    }

    #[test]
    fn what_comes_from_below_drives_others_out_of_a_full_memory_and_stays() {
        let clock = Clock::default();
        let memory = open(&[("memory.capacity", "2")], &clock);
        for key in 0..10_u8 {
            let key = [key];
            let rising = memory
                .rising(memory.place_of(&key), &key, Body::Plain(b"v"), Tags::default(), Ttl::Default, clock.nanos())
                .unwrap();
            assert!(memory.take_up(&rising));
            assert_eq!(memory.figures().entries, u64::from(key[0] + 1).min(2));
        }
        let figures = memory.figures();
        assert_eq!((figures.puts, figures.evictions), (10, 8));
    }
}
