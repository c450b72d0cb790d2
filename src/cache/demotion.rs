//! What memory evicts before its time is written to the disk tier, if it is not there: with the option `cache.demote`. Rides on the
//! listener of departures, before the caller's own.
//!
//! An entry is written some time after it has left, and its key may have been written, removed or purged meanwhile. So it is written
//! with the key's turn, and only if no write or purge has ended since it left: those that are under way have the turn, or say that
//! they are. What carried tags is not written, since memory knows only their hashes, and it could not be purged any more.

use super::level::Sending;
use super::lower::{Ends, Lower};
use super::stack::Cache;
use crate::codec::envelope::Tags;
use crate::tiers::memory::{Cause, Departed, Listener};
use crate::tiers::TierName;
use std::sync::Arc;

impl Cache {
    /// What memory is to tell of departures, for a cache whose caller has this listener.
    pub(super) fn with_demotion(&self, listener: Option<Listener>) -> Option<Listener> {
        let has_disk = self.lower().is_some_and(|lower| lower.level(TierName::Disk).is_some());
        if !(self.demotes && has_disk) {
            return listener;
        }
        let me = self.weak();
        Some(Arc::new(move |departed: &Departed| {
            if let Some(cache) = me.upgrade() {
                cache.demote(departed);
            }
            if let Some(listener) = &listener {
                listener(departed);
            }
        }))
    }

    fn demote(&self, departed: &Departed) {
        let Some(lower) = self.lower().filter(|_| departed.cause() == Cause::Evicted && !departed.is_tagged()) else {
            return;
        };
        lower.filling(|| write(lower, departed));
    }
}

fn write(lower: &Lower, departed: &Departed) {
    let key = departed.key();
    let left = lower.left_until(departed.deadline());
    let (Some(level), Some(_turn)) = (lower.level(TierName::Disk), lower.turns.try_take(key)) else { return };
    if left == Some(0) || lower.has_changed_since(key, departed.at()) {
        return;
    }
    let ends = Ends::In { left, is_default: false };
    let sealed = lower.seal(level, key, departed.body(), Tags::default(), lower.stamp(), ends);
    if level.fill_many(vec![Sending { key, sealed, tags: Vec::new() }]) > 0 {
        level.demoted();
    }
}
