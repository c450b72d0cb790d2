//! One entry is one block: header, key, value. This file lays it out, makes it, and frees it; nothing else knows where
//! the bytes are.
//!
//! ```text
//!  0               8               16              24              32              48              64
//!  +---------------+---------------+-------+-------+-------+-+-+---+---------------+---------------+------+--+-------+
//!  | hash          | deadline      | key n | val n | refs  |f| |bkt| recency links | expiry links  | key  |  | value |
//!  +---------------+---------------+-------+-------+-------+-+-+---+---------------+---------------+------+--+-------+
//!                                                           f: flags   bkt: slot of the wheel        pad to 16 ^
//! ```
//!
//! The value is aligned to 16 bytes, as malloc would align it. Key, value, hash and deadline never change once the
//! entry is in a shard, so a reader that may look at an entry at all may read them without a lock. The links belong to
//! the shard's lists and are only touched under its lock.
//!
//! # Who frees an entry
//!
//! `refs` counts owners: the cache itself is one (while the entry is in a shard, and after that while it is in the list
//! of retired entries), each [`Pinned`] is another. The last one to let go frees the block.
#![allow(unsafe_code)]

use super::arena::Heap;
use super::list::Links;
use crate::clock::{Instant, FOREVER};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::Arc;

/// The longest key, in bytes. Arbitrary: far above any sensible key, far below where lengths in the header would end.
pub const MAX_KEY_LEN: usize = 16 << 20;

/// The value is an LZ4 block after its original length in four bytes.
const LZ4: u8 = 1;
/// How many bytes stand before an LZ4 block.
const LZ4_PREFIX: usize = 4;

const VALUE_ALIGN: usize = 16;

#[repr(C, align(16))]
pub(crate) struct Header {
    hash: u64,
    deadline: Instant,
    key_len: u32,
    value_len: u32,
    refs: AtomicU32,
    flags: u8,
    /// Which list of the wheel the entry is in; the wheel's business.
    pub(super) wheel_slot: AtomicU16,
    pub(super) recency: Links,
    pub(super) expiry: Links,
}

const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 64);

/// Where the value begins for a key of that length.
const fn value_offset(key_len: usize) -> usize {
    (HEADER + key_len).next_multiple_of(VALUE_ALIGN)
}

fn layout(key_len: usize, value_len: usize) -> Option<Layout> {
    let size = value_offset(key_len).checked_add(value_len)?;
    Layout::from_size_align(size, VALUE_ALIGN).ok()
}

/// What an entry says about its value.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    pub(crate) hash: u64,
    pub(crate) deadline: Instant,
}

/// How the value is given.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Plain(&'a [u8]),
    /// A block, and how long the value is without compression.
    Lz4 {
        block: &'a [u8],
        original_len: u32,
    },
}

impl Payload<'_> {
    fn stored_len(self) -> usize {
        match self {
            Payload::Plain(value) => value.len(),
            Payload::Lz4 { block, .. } => LZ4_PREFIX + block.len(),
        }
    }
}

/// An entry that is not in a shard yet, or not any more: there is one owner, and dropping it frees the block.
pub(crate) struct Owned<'a> {
    entry: EntryRef,
    heap: &'a Heap,
}

impl<'a> Owned<'a> {
    /// `None` when there is no memory, or lengths add up to more than there can be.
    pub(crate) fn new(heap: &'a Heap, label: Label, key: &[u8], payload: Payload<'_>) -> Option<Self> {
        let owned = Self::uninit(heap, label, key.len(), payload.stored_len())?;
        let entry = owned.entry;
        // SAFETY: the block was made for these lengths, nobody else has it, and it overlaps neither key nor value.
        unsafe {
            entry.key_ptr().copy_from_nonoverlapping(key.as_ptr(), key.len());
            match payload {
                Payload::Plain(value) => entry.value_ptr().copy_from_nonoverlapping(value.as_ptr(), value.len()),
                Payload::Lz4 { block, original_len } => {
                    (*entry.0.as_ptr()).flags |= LZ4;
                    entry.value_ptr().cast::<u32>().write(original_len);
                    entry.value_ptr().add(LZ4_PREFIX).copy_from_nonoverlapping(block.as_ptr(), block.len());
                }
            }
        }
        Some(owned)
    }

    /// A value without a key, all zeros, to decompress into.
    pub(crate) fn zeroed(heap: &'a Heap, label: Label, value_len: usize) -> Option<Self> {
        let owned = Self::uninit(heap, label, 0, value_len)?;
        // SAFETY: the block was made for this length and nobody else has it.
        unsafe { owned.entry.value_ptr().write_bytes(0, value_len) };
        Some(owned)
    }

    fn uninit(heap: &'a Heap, label: Label, key_len: usize, value_len: usize) -> Option<Self> {
        let header = Header {
            hash: label.hash,
            deadline: label.deadline,
            key_len: u32::try_from(key_len).ok()?,
            value_len: u32::try_from(value_len).ok()?,
            refs: AtomicU32::new(1),
            flags: 0,
            wheel_slot: AtomicU16::new(0),
            recency: Links::default(),
            expiry: Links::default(),
        };
        let block = heap.allocate(layout(key_len, value_len)?)?.cast::<Header>();
        // SAFETY: the block is large enough and aligned for a header, and nobody else has it.
        unsafe { block.write(header) };
        Some(Self { entry: EntryRef(block), heap })
    }

    /// The value's bytes, to be filled in.
    pub(crate) fn value_mut(&mut self) -> &mut [u8] {
        // SAFETY: every way to make an `Owned` has initialised the value's bytes, and nobody else has the block.
        unsafe { std::slice::from_raw_parts_mut(self.entry.value_ptr(), self.entry.stored_len()) }
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        // SAFETY: nobody else has the block.
        unsafe { (*self.entry.0.as_ptr()).deadline = deadline };
    }

    /// What the allocator takes for it.
    pub(crate) fn size(&self) -> u64 {
        self.heap.size_of(self.entry.0.cast(), self.entry.layout())
    }

    /// Hands the entry to a shard or to the list of retired entries, which now own it.
    pub(crate) fn into_shared(self) -> EntryRef {
        let entry = self.entry;
        std::mem::forget(self);
        entry
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody else has the block: it was never shared.
        unsafe { self.heap.free(self.entry.0.cast(), self.entry.layout()) };
    }
}

/// A pointer to an entry that is known to be alive.
///
/// Whoever holds one also holds what keeps it alive: the lock of the shard that the entry is in, or a reference of its
/// own. That is why reading through it is safe; making one out of nothing is not possible outside this file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryRef(NonNull<Header>);

// SAFETY: what is reached through it without a lock is immutable or atomic.
unsafe impl Send for EntryRef {}

impl EntryRef {
    pub(super) fn header(&self) -> &Header {
        // SAFETY: an `EntryRef` is only held where the entry is alive (see the type), and nothing ever makes a unique
        // reference to the header of a shared entry.
        unsafe { self.0.as_ref() }
    }

    /// The block's address: what leases and the list of retired entries compare.
    pub(super) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The inverse of [`EntryRef::as_ptr`], for links that were stored as pointers.
    ///
    /// # Safety
    ///
    /// `pointer` came from [`EntryRef::as_ptr`] of an entry that the caller keeps alive.
    pub(super) unsafe fn from_ptr(pointer: *mut Header) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.header().hash
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.header().deadline
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        now >= self.deadline()
    }

    pub(crate) fn expires(&self) -> bool {
        self.deadline() != FOREVER
    }

    pub(crate) fn key(&self) -> &[u8] {
        // SAFETY: the key's bytes were written before the entry was shared and never change.
        unsafe { std::slice::from_raw_parts(self.key_ptr(), self.header().key_len as usize) }
    }

    /// The value if it is stored as it is, else what it takes to decompress it.
    pub(crate) fn value(&self) -> Result<&[u8], Compressed<'_>> {
        // SAFETY: the value's bytes were written before the entry was shared and never change.
        let stored = unsafe { std::slice::from_raw_parts(self.value_ptr(), self.stored_len()) };
        if self.header().flags & LZ4 == 0 {
            return Ok(stored);
        }
        let (length, block) = stored.split_at(LZ4_PREFIX);
        let original_len = u32::from_ne_bytes(length.try_into().unwrap_or_default()) as usize;
        Err(Compressed { block, original_len })
    }

    /// Adds an owner; the entry stays alive until it is dropped, whatever happens to the cache.
    pub(crate) fn pin(self, heap: &Arc<Heap>) -> Pinned {
        // Relaxed: whoever pins already holds the entry, so the count cannot reach zero meanwhile.
        self.header().refs.fetch_add(1, Ordering::Relaxed);
        Pinned { entry: self, heap: Arc::clone(heap) }
    }

    /// From now on the entry counts as lent out: it is no longer in a shard.
    pub(super) fn lend(self, heap: &Heap) {
        heap.lend(self.0.cast(), self.layout());
    }

    /// What the allocator takes for it.
    pub(super) fn size(&self, heap: &Heap) -> u64 {
        heap.size_of(self.0.cast(), self.layout())
    }

    /// Gives up one owner's share; the last one frees the block.
    ///
    /// # Safety
    ///
    /// The caller owns a share of the entry, which lives in `heap` and counts as lent out, and gives it up by this call.
    pub(super) unsafe fn release(self, heap: &Heap) {
        if self.header().refs.fetch_sub(1, Ordering::Release) == 1 {
            // Everything that other owners did with the entry comes before its end. A load, not a fence: ThreadSanitizer
            // does not understand fences.
            self.header().refs.load(Ordering::Acquire);
            let layout = self.layout();
            heap.unlend(self.0.cast(), layout);
            // SAFETY: that was the last owner, and readers without ownership are excluded before the cache gives up its
            // share (see `reclaim`).
            unsafe { heap.free(self.0.cast(), layout) };
        }
    }

    fn stored_len(&self) -> usize {
        self.header().value_len as usize
    }

    fn layout(&self) -> Layout {
        let (key_len, value_len) = (self.header().key_len as usize, self.stored_len());
        // SAFETY: `layout` accepted these lengths when the entry was made.
        unsafe { Layout::from_size_align_unchecked(value_offset(key_len) + value_len, VALUE_ALIGN) }
    }

    fn key_ptr(&self) -> *mut u8 {
        // SAFETY: the key follows the header in the same block.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEADER) }
    }

    fn value_ptr(&self) -> *mut u8 {
        // SAFETY: the value follows the key in the same block.
        unsafe { self.0.as_ptr().cast::<u8>().add(value_offset(self.header().key_len as usize)) }
    }
}

/// A value in its compressed form.
pub(crate) struct Compressed<'a> {
    pub(crate) block: &'a [u8],
    pub(crate) original_len: usize,
}

/// A share of an entry: its bytes stay where they are until this is dropped, on any thread, even after the cache is gone.
pub(crate) struct Pinned {
    entry: EntryRef,
    heap: Arc<Heap>,
}

// SAFETY: all it gives is shared access to immutable bytes, and the count of owners is atomic.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Makes an entry that was never in a shard a value of its own.
    pub(crate) fn from_owned(owned: Owned<'_>, heap: &Arc<Heap>) -> Self {
        let entry = owned.into_shared();
        entry.lend(heap);
        Self { entry, heap: Arc::clone(heap) }
    }

    pub(crate) fn entry(&self) -> EntryRef {
        self.entry
    }

    /// The value; of a compressed entry, which has no plain bytes to show, nothing.
    pub(crate) fn plain(&self) -> &[u8] {
        self.entry.value().unwrap_or_default()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: this is a share of its own. If it is the last one, the cache has given up its share, which it only
        // does with entries that it has lent out.
        unsafe { self.entry.release(&self.heap) }
    }
}
