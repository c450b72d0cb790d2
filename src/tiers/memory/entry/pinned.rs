//! A value that keeps its entry alive, past the lock and past the cache.

use super::super::arena::{Heap, Magazine};
use super::super::Memory;
use super::reference::EntryRef;
use crate::codec::envelope::Body;
use crate::error;
use std::sync::Arc;

/// A value that keeps an entry alive: its bytes stay where they are until this is dropped, on any thread, even after the
/// cache is gone.
pub(in super::super) struct Pinned {
    pub(super) entry: EntryRef,
    pub(super) heap: Arc<Heap>,
    /// Whether the heap's pins count the values of the entry, as of all that are the cache's; else it is a block of its own, and
    /// this is its only value.
    pub(super) is_counted: bool,
}

// SAFETY: all it gives is shared access to immutable bytes.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// The entry, which is alive for as long as this is.
    pub(in super::super) fn entry(&self) -> EntryRef {
        self.entry
    }

    /// Another value of the same entry. `None` when there is no memory to count it, or nobody counts.
    pub(in super::super) fn share(&self) -> Option<Self> {
        (self.is_counted && self.heap.pins.add(self.entry)).then(|| Self {
            heap: Arc::clone(&self.heap),
            entry: self.entry,
            is_counted: true,
        })
    }

    /// The tier that the entry is of; `None` when it is gone.
    pub(in super::super) fn owner(&self) -> Option<Arc<Memory>> {
        self.heap.owner.upgrade()
    }

    /// The value; of a compressed entry, which has no plain bytes to show, nothing.
    pub(in super::super) fn plain(&self) -> &[u8] {
        self.entry.value().unwrap_or_default()
    }

    pub(in super::super) fn key(&self) -> &[u8] {
        self.entry.key()
    }

    /// How long the plain form is.
    pub(in super::super) fn value_len(&self) -> usize {
        self.entry.value().map_or_else(|compressed| compressed.original_len, <[u8]>::len)
    }

    /// The value in the form in which it is kept.
    pub(in super::super) fn body(&self) -> Body<'_> {
        match self.entry.value() {
            Ok(value) => Body::Plain(value),
            Err(compressed) => Body::Lz4 { block: compressed.block, len: compressed.original_len as u32 },
        }
    }

    /// The plain form of a compressed entry; `None` when it is plain already.
    pub(in super::super) fn decompressed(&self) -> error::Result<Option<Self>> {
        Ok(super::super::look_up::decompressed(&self.heap, self.entry)?.map(|copy| copy.into_value(&self.heap)))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.is_counted && !self.heap.pins.remove(self.entry) {
            return;
        }
        self.heap.end_detached(self.entry.size(&self.heap));
        // SAFETY: this was the last value of an entry that the cache has given up, or the only owner of the block.
        unsafe { self.entry.free(&self.heap, &mut Magazine::none()) };
    }
}
