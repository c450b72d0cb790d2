//! What `acquire` returns: a value that pins its entry, and has a copy of its own beside it where that is compressed.

use super::entry::Pinned;
use crate::clock::{Clock, Tick};
use crate::error::Result;
use std::ops::Deref;
use std::time::Duration;

/// A stored value that stays readable, where it is, until this is dropped: on any thread, even after its key was
/// overwritten, removed or evicted, even after the cache was dropped.
pub struct Value {
    /// The entry.
    pinned: Pinned,
    /// The plain form of a compressed one.
    copy: Option<Pinned>,
    deadline: Tick,
    clock: Clock,
}

impl Value {
    pub(super) fn new(pinned: Pinned, copy: Option<Pinned>, deadline: Tick, clock: Clock) -> Self {
        Self { pinned, copy, deadline, clock }
    }

    /// Which version of its key this is: a number that the cache gives to this value alone, whoever asks and as often as it
    /// is asked. 0 when the value is no longer the one in the cache: it was overwritten, removed, evicted, has expired, or
    /// the cache is gone.
    ///
    /// # Errors
    ///
    /// There is no memory to remember the answer.
    pub fn version(&self) -> Result<u64> {
        let Some(memory) = self.pinned.owner() else { return Ok(0) };
        let version = memory.version_of(self.pinned.entry());
        // To remember it takes memory, for which others may have had to go.
        memory.tell();
        version
    }

    /// How long the entry had left to live, now; `None` if it never expires.
    pub fn remaining(&self) -> Option<Duration> {
        self.clock.remaining(self.deadline)
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.copy.as_ref().unwrap_or(&self.pinned).plain()
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("len", &self.len()).field("remaining", &self.remaining()).finish()
    }
}
