//! Where entries are kept: one room a tier. Memory has an interface of its own, since it hands out what it holds; the tiers
//! below it keep envelopes (`codec::envelope`) and share the trait that is here.
//!
//! A tier below memory does what it is told and says how that went. It knows nothing of the others, remembers no failures
//! and retries nothing but a connection that has gone stale: `cache` decides when a tier is asked, and what a fault means.

// Nobody makes what only such a tier makes.
#![cfg_attr(not(any(feature = "redis", feature = "disk")), allow(dead_code))]

#[cfg(feature = "disk")]
pub(crate) mod disk;
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use crate::fork::Hold;
use crate::pattern::KeySet;
use std::fmt;
use std::time::Duration;

/// The tiers a cache can have, the fastest first: the lower one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TierName {
    /// This process's memory.
    Memory,
    /// A Redis server or cluster.
    Redis,
    /// A file on disk.
    Disk,
}

impl fmt::Display for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TierName::Memory => "memory",
            TierName::Redis => "redis",
            TierName::Disk => "disk",
        })
    }
}

/// A tier below memory. Any number of threads call it at the same time.
pub(crate) trait Tier: Send + Sync {
    /// Answers an inquiry: in one round trip, or one transaction. With an error, what was answered before holds; the rest of the keys may
    /// not even have been asked for.
    fn answer(&self, inquiry: &mut dyn Inquiry<'_>) -> Result<(), Fault>;

    /// The envelopes of these keys, each as it was written: see [`Inquiry::found`].
    fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let mut listed = Listed { keys: keys.iter(), found: vec![None; keys.len()] };
        self.answer(&mut listed)?;
        Ok(listed.found)
    }

    /// A key will be read in a moment: what memory that needs can be fetched meanwhile.
    fn expect(&self, _key: &[u8]) {}

    /// [`Tier::read`] of one key.
    fn read_one(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.read(&[key]).map(|mut found| found.pop().flatten())
    }

    /// Does these writes in their order, in one round trip or one transaction, and sets the outcome of each. With an error
    /// none, some or all of them have been done.
    fn write(&self, writes: &mut [Write<'_>]) -> Result<(), Fault>;

    /// Goes into every envelope that is written here, see `codec::envelope`.
    fn namespace(&self) -> u64 {
        0
    }

    /// Whether one of these tags has been purged at or after a time, in microseconds since the Unix epoch.
    fn is_purged(&self, tags: &[&[u8]], since: u64) -> Result<bool, Fault>;

    /// From now on [`Tier::is_purged`] says so of this tag for all times up to `at`.
    fn purge_tag(&self, tag: &[u8], at: u64) -> Result<(), Fault>;

    /// Removes all these keys, and says how many those were. Takes as long as it takes to look at all there are, though no single
    /// step takes long.
    fn purge_keys(&self, keys: KeySet<'_>) -> Result<u64, Fault>;

    /// Removes everything of ours, and says how many keys that were. Once it returns nobody reads what was written before, in
    /// this process; in others soon.
    fn clear(&self) -> Result<u64, Fault>;

    /// Whether the tier can be used. Asked by a thread of the cache's own while a fault has made it stay away from the tier;
    /// makes what connections it needs anew.
    fn probe(&self) -> Result<(), Fault>;

    /// What there is to do beside reads and writes, in a small step: called by a thread of the cache's own when the time that the last
    /// call has returned has passed, if not later. `None`: nothing until something is written.
    fn maintain(&self) -> Result<Option<Duration>, Fault> {
        Ok(None)
    }

    /// Whether [`Tier::maintain`] is to be called now, though its time has not come. Asked after reads; says so once.
    fn calls_for_upkeep(&self) -> bool {
        false
    }

    /// Whether [`Tier::maintain`] has anything to do at all.
    fn has_upkeep(&self) -> bool {
        false
    }

    /// Takes over an option that can change while a cache runs.
    fn set_max_bytes(&self, _max_bytes: u64) {}

    /// What it holds now. Asks nobody.
    fn figures(&self) -> Figures;

    /// Before a fork: ends what is under way, and holds everybody off until the result is dropped. The child then has
    /// nothing of the tier's that it would share with its parent; what it needs it makes on first use.
    fn hold(&self) -> Box<dyn Hold + '_>;

    /// In the child, once what [`Tier::hold`] has returned is dropped.
    fn after_fork_in_child(&self);
}

/// Several keys that a tier is asked for at once, by somebody who has something to do for each of them: before it is asked for, and when
/// its answer is there. So that this is done while others are on their way, the tier takes one key after the other, as it can use them, and
/// answers each as soon as it can.
///
/// The tier may be in the middle of something: neither call may call the tier, nor wait for anybody who may be waiting for it.
pub(crate) trait Inquiry<'k> {
    /// The next key; `None`: that was the last.
    fn next_key(&mut self) -> Option<&'k [u8]>;

    /// What there is of the key that came as the `number`th, from 0: its envelope as it was written. `None`: not there, or not to be
    /// believed any more (see [`Tier::clear`]). Says nothing of lifetimes and tags, which are in the envelope. Once for each key, in
    /// their order.
    fn found(&mut self, number: usize, envelope: Option<&[u8]>);
}

/// Keys that are all there already, and what was found.
struct Listed<'l, 'k> {
    keys: std::slice::Iter<'l, &'k [u8]>,
    found: Vec<Option<Vec<u8>>>,
}

impl<'k> Inquiry<'k> for Listed<'_, 'k> {
    fn next_key(&mut self) -> Option<&'k [u8]> {
        self.keys.next().copied()
    }

    fn found(&mut self, number: usize, envelope: Option<&[u8]>) {
        self.found[number] = envelope.map(<[u8]>::to_vec);
    }
}

/// Something to be written.
pub(crate) struct Write<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) what: What<'a>,
    /// How it went; [`Outcome::Undone`] before.
    pub(crate) outcome: Outcome,
}

impl<'a> Write<'a> {
    pub(crate) fn new(key: &'a [u8], what: What<'a>) -> Self {
        Self { key, what, outcome: Outcome::Undone }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    Put {
        envelope: &'a [u8],
        /// When it ends, in milliseconds since the Unix epoch; `None`: never.
        expires: Option<u64>,
        /// The same as in the envelope.
        #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "the disk tier finds them in the envelope"))]
        tags: &'a [&'a [u8]],
        /// Whether what is there stays.
        if_absent: bool,
    },
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Undone,
    /// A put, or the removal of a key that was there.
    Done,
    /// A put beside something that stays, or the removal of a key that was not there.
    Nothing,
    /// This one alone could not be done; what is there may be of before.
    Refused(Fault),
}

/// Why a tier could not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// In words, for the logger and for [`crate::Cache::health`]. No passwords.
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// No answer in time.
    TimedOut,
    /// Nobody there: a connection could not be made or has broken, a file is gone.
    Unreachable,
    /// It says no: a wrong password, a server that is loading or only a replica, permissions.
    Refused,
    /// It has no room: for this write; others may go well, and so do reads.
    Full,
    /// What is there cannot be understood.
    Damaged,
    /// This value is none for the tier. No fault of the tier.
    TooLarge,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a tier holds and has done by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Keys; 0 where that is not known.
    pub(crate) entries: u64,
    /// Bytes that it takes; 0 where that is not known.
    pub(crate) bytes: u64,
    pub(crate) max_bytes: u64,
    /// What it has removed because it was full.
    pub(crate) evictions: u64,
    /// What it has removed because its time was over.
    pub(crate) expirations: u64,
    /// Connections that are open.
    pub(crate) connections: u64,
    /// Connections that were made.
    pub(crate) connects: u64,
    /// How often what was there could not be understood, was set aside, and begun anew.
    pub(crate) set_aside: u64,
}
