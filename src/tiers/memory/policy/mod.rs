//! Who leaves when the cache is full. A policy keeps the books of one shard; it never frees, counts or unlinks an entry
//! itself. One file a policy, each with "when would you choose it" on top.
//!
//! A policy has two sides. Hits have no lock: all they do is to leave a note in the entry ([`OnHit::note`]), by one relaxed
//! store that is skipped when it would change nothing; an exact order takes a stamp from the shard's [`Clock`] besides.
//! Everything else happens under the shard's lock, where the notes are read when a victim is wanted.

mod adaptive;
mod chooser;
mod contest;
mod fifo;
mod ghost;
mod heap;
mod lfu;
mod lru;
mod lru_lfu;
mod recall;
mod rule;
mod ruled;
mod s3fifo;
mod sample;
mod shadow;
mod sieve;
mod sketch;
mod switch;
mod ttl;
mod w_tinylfu;

pub(super) use chooser::Chooser;
pub(super) use switch::Switch;

use super::entry::EntryRef;
use super::index::Hash;
use crate::options::{MemoryOptions, PolicyName, UNBOUNDED};
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use ahash::RandomState;
use std::sync::Arc;

/// The books of one shard. Every call is made under the shard's lock.
pub(super) trait Policy: Send {
    /// Sees to it that the next insert finds room. False when there is no memory.
    fn reserve(&mut self) -> bool {
        true
    }

    /// A key with that hash may be inserted: asks the processor for what that will touch.
    fn expect(&self, _hash: Hash) {}

    /// `old` may be replaced: the same for that.
    fn expect_replace(&self, _old: EntryRef) {}

    /// `entry` has come into the shard.
    fn insert(&mut self, entry: EntryRef, hash: Hash, clock: &Clock);

    /// `new` has taken the place of `old`; storing a key again counts as a use of it.
    fn replace(&mut self, old: EntryRef, new: EntryRef, clock: &Clock);

    /// `entry`, which stays, has got another end.
    fn end_moved(&mut self, _entry: EntryRef) {}

    /// `entry` leaves the shard for another reason than an eviction, or moves to another shard.
    fn remove(&mut self, entry: EntryRef);

    /// The entry that should leave next; it stays in the books until one of the calls that end that. `None` in an empty
    /// shard. Does a bounded amount of work, and may then settle for the second best.
    fn victim(&mut self, clock: &Clock) -> Option<EntryRef>;

    /// `entry`, which [`Policy::victim`] has named, is evicted.
    fn evict(&mut self, entry: EntryRef, hash: Hash);

    /// Brings old notes up to date: see [`Noted::Overdue`].
    fn renew(&mut self, _clock: &Clock) {}

    /// What the books take beside what is in the entries, in bytes.
    fn bytes(&self) -> u64;
}

/// What hits and the books of one shard both know. Used by policies that stamp, see `lru`.
#[derive(Default)]
pub(super) struct Clock {
    /// Counts insertions, and where the order is exact also hits.
    now: AtomicU32,
    /// A stamp that is younger than this is left as it is; 0: the order is exact.
    slack: AtomicU32,
}

impl Clock {
    /// `exact`: the order is promised to be exact; else the shard holds so many entries when it is full.
    pub(super) fn set_exactness(&self, exact: bool, entries: u64) {
        // A 32nd: half of the sixteenth of the capacity within which the order may be wrong.
        let slack = if exact { 0 } else { (entries / 32).clamp(1, 1 << 20) };
        self.slack.store(slack as u32, Relaxed);
    }

    fn is_exact(&self) -> bool {
        self.slack.load(Relaxed) == 0
    }
}

/// Where in a mark hits are counted. What stands above is the policy's, and now and then a hit puts back what it was.
const COUNT: u32 = 0xFF;

/// What a hit does; another thing when the cache gets another policy.
pub(super) struct OnHit(AtomicU32);

/// Stamps the entry.
const STAMP: u32 = u32::MAX;
/// Counts, and tells the chooser.
const COUNT_AND_TELL: u32 = u32::MAX - 1;

/// Whether a hit has left anything to do.
#[derive(PartialEq, Eq)]
pub(super) enum Noted {
    Done,
    /// It is time for [`Policy::renew`], which this thread should see to.
    Overdue,
}

impl OnHit {
    pub(super) fn of(policy: &Chosen) -> Self {
        let what = Self(AtomicU32::new(0));
        what.change(policy);
        what
    }

    pub(super) fn change(&self, policy: &Chosen) {
        let what = match policy.name {
            PolicyName::Adaptive => COUNT_AND_TELL,
            PolicyName::Fifo | PolicyName::Ttl => 0,
            PolicyName::Lfu => lfu::MOST,
            PolicyName::Lru => STAMP,
            PolicyName::LruLfu => lru_lfu::MOST,
            PolicyName::S3Fifo => rule::MOST,
            PolicyName::Sieve => sieve::MOST,
            PolicyName::WTinyLfu => w_tinylfu::MOST,
        };
        self.0.store(what, Relaxed);
    }

    /// Notes that `entry` was asked for.
    #[inline(always)]
    pub(super) fn note(&self, entry: EntryRef, hash: Hash, clock: &Clock, deciders: &Deciders) -> Noted {
        let mut most = self.0.load(Relaxed);
        // One comparison for those that count, which are most.
        if most >= COUNT_AND_TELL {
            if most == STAMP {
                return lru::note(entry, clock);
            }
            deciders.chooser.hit(hash);
            most = rule::MOST;
        }
        let mark = entry.mark();
        if mark & COUNT < most {
            entry.set_mark(mark + 1);
        }
        Noted::Done
    }
}

/// What a cache has for whichever policy is chosen.
#[derive(Clone)]
pub(super) struct Deciders {
    /// Who decides for `adaptive`.
    pub(super) chooser: Arc<Chooser>,
    /// Who decides for `lru-lfu`.
    pub(super) switch: Arc<Switch>,
}

/// The policy of a cache, and what its shards share for it.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) name: PolicyName,
    deciders: Deciders,
    hasher: RandomState,
}

impl Chosen {
    pub(super) fn new(options: &MemoryOptions, deciders: &Deciders, hasher: &RandomState) -> Self {
        let name = options.policy;
        match name {
            PolicyName::Adaptive => deciders.chooser.expect(known(options.entries()), known(options.max_bytes)),
            PolicyName::LruLfu => deciders.switch.begin(),
            _ => {}
        }
        Self { name, deciders: deciders.clone(), hasher: hasher.clone() }
    }
}

/// What is a bound.
fn known(bound: u64) -> Option<u64> {
    (bound != UNBOUNDED).then_some(bound)
}

/// The books of whichever policy was chosen. Not behind a pointer: they belong beside what else a put touches.
// So that it is known where the books stand behind it, see `shard::State`, and which they are is a number that need not be made.
#[repr(u64)]
pub(super) enum Books {
    Adaptive(adaptive::Adaptive),
    Fifo(fifo::Fifo),
    Lfu(lfu::Lfu),
    Lru(lru::Lru),
    // Larger than all others together with what stands behind them: their lines would not be at hand any more.
    LruLfu(Box<lru_lfu::LruLfu>),
    S3Fifo(s3fifo::S3Fifo),
    Sieve(sieve::Sieve),
    Ttl(ttl::Ttl),
    WTinyLfu(w_tinylfu::WTinyLfu),
}

/// The same call for each kind of books.
macro_rules! each {
    ($books:expr, $policy:ident => $call:expr) => {
        match $books {
            Books::Adaptive($policy) => $call,
            Books::Fifo($policy) => $call,
            Books::Lfu($policy) => $call,
            Books::Lru($policy) => $call,
            Books::LruLfu($policy) => $call,
            Books::S3Fifo($policy) => $call,
            Books::Sieve($policy) => $call,
            Books::Ttl($policy) => $call,
            Books::WTinyLfu($policy) => $call,
        }
    };
}

// As many bytes as the lines that a put asks for have room for beside the rest: see `Shard::expect_put`.
const _: () = assert!(size_of::<Books>() <= 192);

impl Books {
    /// Empty books of that policy.
    pub(super) fn new(policy: &Chosen) -> Self {
        match policy.name {
            PolicyName::Adaptive => Books::Adaptive(adaptive::Adaptive::new(Arc::clone(&policy.deciders.chooser))),
            PolicyName::Fifo => Books::Fifo(fifo::Fifo::new()),
            PolicyName::Lfu => Books::Lfu(lfu::Lfu::new()),
            PolicyName::Lru => Books::Lru(lru::Lru::new()),
            PolicyName::LruLfu => Books::LruLfu(Box::new(lru_lfu::LruLfu::new(Arc::clone(&policy.deciders.switch)))),
            PolicyName::S3Fifo => Books::S3Fifo(s3fifo::S3Fifo::new()),
            PolicyName::Sieve => Books::Sieve(sieve::Sieve::new()),
            PolicyName::Ttl => Books::Ttl(ttl::Ttl::new()),
            PolicyName::WTinyLfu => Books::WTinyLfu(w_tinylfu::WTinyLfu::new(policy.hasher.clone())),
        }
    }
}

impl Policy for Books {
    #[inline(always)]
    fn reserve(&mut self) -> bool {
        each!(self, books => books.reserve())
    }

    #[inline(always)]
    fn expect(&self, hash: Hash) {
        each!(self, books => books.expect(hash));
    }

    #[inline(always)]
    fn expect_replace(&self, old: EntryRef) {
        each!(self, books => books.expect_replace(old));
    }

    #[inline(always)]
    fn insert(&mut self, entry: EntryRef, hash: Hash, clock: &Clock) {
        each!(self, books => books.insert(entry, hash, clock));
    }

    #[inline(always)]
    fn replace(&mut self, old: EntryRef, new: EntryRef, clock: &Clock) {
        each!(self, books => books.replace(old, new, clock));
    }

    fn end_moved(&mut self, entry: EntryRef) {
        each!(self, books => books.end_moved(entry));
    }

    fn remove(&mut self, entry: EntryRef) {
        each!(self, books => books.remove(entry));
    }

    #[inline(always)]
    fn victim(&mut self, clock: &Clock) -> Option<EntryRef> {
        each!(self, books => books.victim(clock))
    }

    #[inline(always)]
    fn evict(&mut self, entry: EntryRef, hash: Hash) {
        each!(self, books => books.evict(entry, hash));
    }

    fn renew(&mut self, clock: &Clock) {
        each!(self, books => books.renew(clock));
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        each!(self, books => books.bytes())
    }
}
