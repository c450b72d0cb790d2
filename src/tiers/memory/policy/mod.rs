//! Who leaves when the cache is full. A policy keeps the books of one shard; it never frees, counts or unlinks an entry
//! itself. One file a policy, each with "when would you choose it" on top.

mod lru;

use super::entry::EntryRef;
use crate::options::PolicyName;

/// The books of one shard. Every call is made under the shard's lock.
pub(super) trait Policy: Send {
    /// `entry` has come into the shard.
    fn insert(&mut self, entry: EntryRef);

    /// `entry` was asked for.
    fn touch(&mut self, entry: EntryRef);

    /// `new` has taken the place of `old`; storing a key again counts as a use of it.
    fn replace(&mut self, old: EntryRef, new: EntryRef);

    /// `entry` leaves the shard, evicted or for another reason.
    fn remove(&mut self, entry: EntryRef);

    /// The entry that should leave next; it stays in the books until [`Policy::remove`]. `None` in an empty shard.
    fn victim(&mut self) -> Option<EntryRef>;
}

/// Empty books of that policy.
pub(super) fn new(name: PolicyName) -> Box<dyn Policy> {
    match name {
        PolicyName::Lru => Box::new(lru::Lru::new()),
    }
}
