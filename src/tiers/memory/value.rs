//! What `acquire` returns: a value that pins its entry, or a decompressed copy of its own.

use super::entry::Pinned;
use crate::clock::{Clock, Tick};
use std::ops::Deref;
use std::time::Duration;

/// A stored value that stays readable, where it is, until this is dropped: on any thread, even after its key was
/// overwritten, removed or evicted, even after the cache was dropped.
pub struct Value {
    pinned: Pinned,
    deadline: Tick,
    clock: Clock,
}

impl Value {
    pub(super) fn new(pinned: Pinned, deadline: Tick, clock: Clock) -> Self {
        Self { pinned, deadline, clock }
    }

    /// How long the entry had left to live, now; `None` if it never expires.
    pub fn remaining(&self) -> Option<Duration> {
        self.clock.remaining(self.deadline)
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.pinned.plain()
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("len", &self.len()).field("remaining", &self.remaining()).finish()
    }
}
