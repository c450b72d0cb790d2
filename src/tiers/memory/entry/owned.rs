//! An entry that one owner has: before it is in a shard, and after that.

use super::super::arena::{Block, Heap, Magazine};
use super::super::Lent;
#[cfg(test)]
use super::draft::{Draft, Payload};
use super::label::{DEADLINE_SHIFT, FLAGS_AND_KEY, SLIDING, TAGGED};
use super::pinned::Pinned;
use super::reference::EntryRef;
use super::{layout, value_offset, Header, LIFETIME, LINKS};
use crate::clock::{Tick, FOREVER};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};
use std::alloc::Layout;
use std::sync::Arc;

/// An entry that is not in a shard yet, or not any more: there is one owner, and dropping it frees the block.
pub(in super::super) struct Owned<'a> {
    pub(super) entry: EntryRef,
    heap: &'a Heap,
    /// What the allocator takes for it.
    size: u64,
}

impl<'a> Owned<'a> {
    #[cfg(test)]
    pub(in super::super) fn new(
        heap: &'a Heap,
        magazine: &mut Magazine,
        key: &[u8],
        payload: Payload<'_>,
        sliding: bool,
    ) -> Option<Self> {
        Draft::new(key, payload, sliding, &[])?.make(heap, magazine)
    }

    /// A value without a key, all zeros, to decompress into.
    pub(in super::super) fn zeroed(heap: &'a Heap, value_len: usize) -> Option<Self> {
        let layout = layout(0, value_len, false, 0)?;
        let block = heap.block(layout, &mut Magazine::none())?;
        // SAFETY: the layout is the one of these lengths.
        let owned = unsafe { Self::uninit(heap, block, layout, 0, value_len, false, &[]) }?;
        // SAFETY: the block was made for this length and nobody else has it.
        unsafe { owned.entry.value_ptr().write_bytes(0, value_len) };
        Some(owned)
    }

    /// An entry of which key and value are still to be written. `None` when there is no memory.
    ///
    /// # Safety
    ///
    /// The layout is what [`layout`] says of these lengths, and the block is that heap's.
    #[inline(always)]
    pub(super) unsafe fn uninit(
        heap: &'a Heap,
        block: Block,
        layout: Layout,
        key_len: usize,
        value_len: usize,
        sliding: bool,
        tags: &[u64],
    ) -> Option<Self> {
        let flags = if sliding { SLIDING } else { 0 } | if tags.is_empty() { 0 } else { TAGGED };
        let header = Header {
            label: AtomicU64::new(FOREVER << DEADLINE_SHIFT | flags | key_len as u64),
            value_len: value_len as u32,
            mark: AtomicU32::new(0),
        };
        let (block, size) = block.for_bytes(layout.size())?;
        let block = block.cast::<Header>();
        // SAFETY: the block is large enough and aligned for a header, and nobody else has it.
        unsafe { block.write(header) };
        // Links hold it as a number.
        block.as_ptr().expose_provenance();
        let owned = Self { entry: EntryRef(block), heap, size };
        let links = value_offset(key_len) + value_len;
        // SAFETY: the bytes behind the value belong to the block, and nobody else has it.
        unsafe { block.cast::<u8>().add(links).cast::<[u8; LINKS]>().write([0; LINKS]) };
        if sliding {
            // SAFETY: as above.
            unsafe { owned.entry.behind_links().cast::<[u8; LIFETIME]>().write([0; LIFETIME]) };
        }
        if !tags.is_empty() {
            owned.entry.write_tags(tags);
        }
        Some(owned)
    }

    /// The value's bytes, to be filled in.
    pub(in super::super) fn value_mut(&mut self) -> &mut [u8] {
        // SAFETY: every way to make an `Owned` has initialised the value's bytes, and nobody else has the block.
        unsafe { std::slice::from_raw_parts_mut(self.entry.value_ptr(), self.entry.stored_len()) }
    }

    /// When it expires; `lifetime` says from when on, for an entry whose hits extend it.
    #[inline]
    pub(in super::super) fn set_deadline(&mut self, deadline: Tick, lifetime: Tick) {
        let entry = self.entry;
        let flags_and_key = entry.label().0 & FLAGS_AND_KEY;
        entry.header().label.store(flags_and_key | deadline << DEADLINE_SHIFT, Relaxed);
        if entry.is_sliding() {
            entry.set_lifetime(lifetime);
            entry.set_filed(deadline);
        }
    }

    /// It expires when that one would have, which it replaces.
    pub(in super::super) fn keep_end_of(&mut self, old: EntryRef) {
        self.set_deadline(old.deadline(), old.sliding_lifetime().unwrap_or(0));
    }

    /// What the allocator takes for it.
    #[inline(always)]
    pub(in super::super) fn size(&self) -> u64 {
        self.size
    }

    /// Hands the entry to a shard or to the list of retired entries, which now own it.
    #[inline]
    pub(in super::super) fn into_shared(self) -> EntryRef {
        let entry = self.entry;
        std::mem::forget(self);
        entry
    }

    /// Puts it under a lease, and says where its value is. `None` for one that is compressed.
    pub(in super::super) fn lend_in(&self, lease: &AtomicPtr<Header>) -> Option<Lent> {
        let value = self.entry.value().ok()?;
        lease.store(self.entry.as_ptr(), Release);
        Some(Lent { data: value.as_ptr(), len: value.len() })
    }

    /// Makes it a value that lives on its own.
    pub(in super::super) fn into_value(self, heap: &Arc<Heap>) -> Pinned {
        heap.detach(self.size());
        Pinned { heap: Arc::clone(heap), entry: self.into_shared(), is_counted: false }
    }

    /// The same, and others can be made of it. `None` when there is no memory to count them.
    pub(in super::super) fn into_shared_value(self, heap: &Arc<Heap>) -> Option<Pinned> {
        if !heap.pins.add_orphan(self.entry) {
            return None;
        }
        heap.detach(self.size());
        Some(Pinned { heap: Arc::clone(heap), entry: self.into_shared(), is_counted: true })
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody else has the block: it was never shared.
        unsafe { self.entry.free(self.heap, &mut Magazine::none()) };
    }
}
