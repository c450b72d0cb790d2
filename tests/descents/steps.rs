//! What a thread of a model does, step by step, and where its key is at the beginning.

use Step::{Evict, PurgeAll, PurgePattern, PurgePrefix, PurgeTag, PutMany, RemoveMany};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Copy,
    Acquire,
    /// Both keys in one batch, and ours twice.
    Many,
    /// Who gets the lease says that there is none.
    Lease,
    /// Who gets the lease gives it up.
    LeaseGivenUp,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Get(Way),
    GetOther,
    Put,
    PutMany,
    Touch,
    Remove,
    RemoveMany,
    PurgeAll,
    PurgePrefix,
    PurgePattern,
    PurgeTag,
    /// From memory.
    Evict,
    /// From the first tier below it.
    EvictUpper,
    /// Which memory of one entry has room for only when ours goes.
    PutOther,
}

impl Step {
    /// What is there after it, if that is something else: `Some(true)`, a value.
    pub(crate) fn writes(self) -> Option<bool> {
        match self {
            Step::Put | PutMany => Some(true),
            Step::Remove | RemoveMany | PurgeAll | PurgePrefix | PurgePattern | PurgeTag => Some(false),
            _ => None,
        }
    }
}

/// Where version 0 of the key is at the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    Nowhere,
    /// In all tiers and not in memory.
    Below,
    /// In the last tier only.
    Lowest,
    /// Everywhere.
    Memory,
    /// In memory, which writes it to the disk when it is evicted.
    MemoryOnly,
}

pub(crate) const COPY: Step = Step::Get(Way::Copy);
pub(crate) const ACQUIRE: Step = Step::Get(Way::Acquire);
pub(crate) const MANY: Step = Step::Get(Way::Many);
pub(crate) const LEASE: Step = Step::Get(Way::Lease);
pub(crate) const LEASE_GIVEN_UP: Step = Step::Get(Way::LeaseGivenUp);
/// How each kind of look-up goes below memory.
pub(crate) const GETS: [&[Step]; 4] = [&[COPY], &[ACQUIRE], &[MANY], &[LEASE]];

pub(crate) const PURGES_ALL: &[Step] = &[PurgeAll, LEASE, Step::Put, Evict, COPY];
pub(crate) const PURGES_PREFIX: &[Step] = &[PurgePrefix, ACQUIRE, Step::Put, Evict, COPY];
pub(crate) const PURGES_PATTERN: &[Step] = &[PurgePattern, MANY, Step::Put, Evict, COPY];
pub(crate) const PURGES_TAG: &[Step] = &[PurgeTag, COPY, Step::Put, Evict, COPY];
