//! What `acquire` returns: a value that pins its entry, and has a copy of its own beside it where that is compressed.

use super::arena::Magazine;
use super::entry::{Owned, Payload, Pinned};
use super::reclaim::Reader;
use super::Memory;
use crate::clock::{Clock, Tick, Ttl, FOREVER};
use crate::error::{Error, Result, Status};
use crate::options::LARGEST_VALUE;
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

impl Value {
    /// The same value once more. Only of those that [`Memory::peek`] and [`Memory::detached`] have made. `None` when there is no
    /// memory to count it.
    pub(crate) fn share(&self) -> Option<Self> {
        let copy = match &self.copy {
            Some(copy) => Some(copy.share()?),
            None => None,
        };
        Some(Self { pinned: self.pinned.share()?, copy, deadline: self.deadline, clock: self.clock.clone() })
    }
}

impl Memory {
    /// [`Memory::acquire`] as neither a request nor a use, of a value that can be shared.
    pub(crate) fn peek(&self, key: &[u8]) -> Result<Option<Value>> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let found = self.search(&reader, reader.hazard(), self.hash(key), key).map(|(_, entry)| entry);
        let Some(entry) = found.filter(|entry| !self.is_expired(*entry)) else { return Ok(None) };
        let deadline = entry.deadline();
        let pinned = entry.pin(&self.heap).ok_or_else(Error::out_of_memory)?;
        let copy = match self.decompressed(entry)? {
            Some(copy) => Some(copy.into_shared_value(&self.heap).ok_or_else(Error::out_of_memory)?),
            None => None,
        };
        Ok(Some(Value::new(pinned, copy, deadline, self.clock.clone())))
    }

    /// A value that is not in the cache, and can be shared.
    pub(crate) fn detached(&self, value: &[u8], ttl: Ttl) -> Result<Value> {
        if value.len() as u64 > LARGEST_VALUE {
            let message = format!("the value has {} bytes; no cache takes more than {LARGEST_VALUE}", value.len());
            return Err(Error::new(Status::ValueTooLarge, message));
        }
        let block = Owned::with_tags(&self.heap, &mut Magazine::none(), b"", Payload::Plain(value), false, &[]);
        let pinned = block.and_then(|block| block.into_shared_value(&self.heap)).ok_or_else(Error::out_of_memory)?;
        let deadline = self.lifetime_of(ttl).map_or(FOREVER, |lifetime| self.clock.deadline(lifetime));
        Ok(Value::new(pinned, None, deadline, self.clock.clone()))
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
