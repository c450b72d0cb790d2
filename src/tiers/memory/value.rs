//! What `acquire` returns: a value that pins its entry, and has a copy of its own beside it where that is compressed.

use super::arena::Magazine;
use super::entry::{Draft, Owned, Payload, Pinned};
use super::reclaim::Reader;
use super::Memory;
use crate::clock::{Clock, Tick, Ttl, FOREVER};
use crate::codec::envelope::Body;
use crate::error::{Error, Result, Status};
use crate::options::LARGEST_VALUE;
use crate::tiers::TierName;
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
    tier: TierName,
}

impl Value {
    pub(super) fn new(pinned: Pinned, copy: Option<Pinned>, deadline: Tick, clock: Clock) -> Self {
        Self { pinned, copy, deadline, clock, tier: TierName::Memory }
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

    /// Which tier it came from.
    pub fn tier(&self) -> TierName {
        self.tier
    }

    /// The same value, come from another tier.
    pub(crate) fn come_from(self, tier: TierName) -> Self {
        Self { tier, ..self }
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
        Some(Self {
            pinned: self.pinned.share()?,
            copy,
            deadline: self.deadline,
            clock: self.clock.clone(),
            tier: self.tier,
        })
    }
}

impl Memory {
    /// [`Memory::acquire`] as neither a request nor a use, of a value that can be shared.
    pub(crate) fn peek(&self, key: &[u8]) -> Result<Option<Value>> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let found = self.search::<false>(reader.record(), reader.hazard(), self.seek(key)).map(|(_, entry, _)| entry);
        let Some(entry) = found.filter(|entry| !self.is_expired(*entry)) else { return Ok(None) };
        let deadline = entry.deadline();
        let pinned = entry.pin(&self.shared.heap).ok_or_else(Error::out_of_memory)?;
        let copy = match self.decompressed(entry)? {
            Some(copy) => Some(copy.into_shared_value(&self.shared.heap).ok_or_else(Error::out_of_memory)?),
            None => None,
        };
        Ok(Some(Value::new(pinned, copy, deadline, self.clock.clone())))
    }

    /// A value that is not in the cache, and can be shared.
    pub(crate) fn detached(&self, body: Body<'_>, ttl: Ttl) -> Result<Value> {
        check_largest(body.len())?;
        let block = match body {
            Body::Plain(value) => Draft::new(b"", Payload::Plain(value), false, &[])
                .and_then(|draft| draft.make(&self.shared.heap, &mut Magazine::none())),
            Body::Lz4 { len, .. } => {
                let mut block = Owned::zeroed(&self.shared.heap, len as usize).ok_or_else(Error::out_of_memory)?;
                if !body.unpack(block.value_mut()) {
                    return Err(super::look_up::damaged());
                }
                Some(block)
            }
        };
        let pinned =
            block.and_then(|block| block.into_shared_value(&self.shared.heap)).ok_or_else(Error::out_of_memory)?;
        let deadline = self.lifetime_of(ttl).map_or(FOREVER, |lifetime| self.clock.deadline(lifetime));
        Ok(Value::new(pinned, None, deadline, self.clock.clone()))
    }
}

/// Whether any tier could take a value of that length.
pub(crate) fn check_largest(len: usize) -> Result<()> {
    if len as u64 > LARGEST_VALUE {
        let message = format!("the value has {len} bytes; no cache takes more than {LARGEST_VALUE}");
        return Err(Error::new(Status::ValueTooLarge, message));
    }
    Ok(())
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
