//! A thread that looks something up: step 1 of the protocol, as far as it is not `hazard`'s.

use super::super::entry::Header;
use super::super::hazard;
use super::super::record::Record;
use crate::stats::Stripe;
use crate::sync::atomic::AtomicPtr;

/// A thread that is looking something up. What it has announced is withdrawn when this is dropped; there is one at a time
/// in a thread.
pub(in super::super) struct Reader {
    record: &'static Record,
}

impl Reader {
    /// `None` when there is no memory for the thread's record.
    #[inline(always)]
    pub(in super::super) fn enter() -> Option<Self> {
        Record::mine().map(|record| Self { record })
    }

    #[inline(always)]
    pub(in super::super) fn record(&self) -> &'static Record {
        self.record
    }

    /// Where this look-up announces its entry, unless a lease does.
    #[inline(always)]
    pub(in super::super) fn hazard(&self) -> &'static AtomicPtr<Header> {
        &self.record.entry
    }

    /// Whether this look-up is to be timed.
    #[inline(always)]
    pub(in super::super) fn is_sampled(&self) -> bool {
        self.record.is_sampled()
    }

    /// Which stripe of a counter belongs to the thread.
    #[inline(always)]
    pub(in super::super) fn stripe(&self) -> Stripe {
        self.record.stripe()
    }
}

impl Drop for Reader {
    #[inline(always)]
    fn drop(&mut self) {
        hazard::withdraw(&self.record.entry);
        hazard::withdraw(&self.record.tables[0]);
    }
}
