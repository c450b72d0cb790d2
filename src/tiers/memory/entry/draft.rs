//! What is to become an entry. It knows the block that it will take before there is one, and writes key and value into it.

use super::super::arena::{Block, Heap, Magazine};
use super::label::LZ4;
use super::owned::Owned;
use super::{layout, value_offset, HEADER, LZ4_PREFIX, MAX_TAGS};
use crate::sync::atomic::Ordering::Relaxed;
use std::alloc::Layout;

/// How the value is given.
#[derive(Clone, Copy)]
pub(in super::super) enum Payload<'a> {
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

/// What is to become an entry, and the block that it will take.
#[derive(Clone, Copy)]
pub(in super::super) struct Draft<'a> {
    key: &'a [u8],
    payload: Payload<'a>,
    sliding: bool,
    tags: &'a [u64],
    layout: Layout,
}

impl<'a> Draft<'a> {
    /// `None` when there are more than [`MAX_TAGS`] tags, the key is too long, or lengths add up to more than there can be.
    #[inline(always)]
    pub(in super::super) fn new(key: &'a [u8], payload: Payload<'a>, sliding: bool, tags: &'a [u64]) -> Option<Self> {
        if tags.len() > MAX_TAGS {
            return None;
        }
        let layout = layout(key.len(), payload.stored_len(), sliding, tags.len())?;
        Some(Self { key, payload, sliding, tags, layout })
    }

    /// A value as it is, without tags, and hits do not put its end off.
    #[inline(always)]
    pub(in super::super) fn plain(key: &'a [u8], value: &'a [u8]) -> Option<Self> {
        Self::new(key, Payload::Plain(value), false, &[])
    }

    #[inline(always)]
    pub(in super::super) fn key(&self) -> &'a [u8] {
        self.key
    }

    #[inline(always)]
    pub(in super::super) fn payload(&self) -> &Payload<'a> {
        &self.payload
    }

    #[inline(always)]
    pub(in super::super) fn tags(&self) -> &'a [u64] {
        self.tags
    }

    #[inline(always)]
    pub(in super::super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The entry, which never expires until [`Owned::set_deadline`] says otherwise. `None` when there is no memory.
    #[inline]
    pub(in super::super) fn make<'h>(&self, heap: &'h Heap, magazine: &mut Magazine) -> Option<Owned<'h>> {
        self.make_in(heap.block(self.layout, magazine)?, heap)
    }

    /// The same in a block of that heap; `None` when it is too small, which leaks it.
    #[inline(always)]
    pub(in super::super) fn make_in<'h>(&self, block: Block, heap: &'h Heap) -> Option<Owned<'h>> {
        let &Self { key, payload, sliding, tags, layout } = self;
        // SAFETY: the layout is the one of these lengths.
        let owned = unsafe { Owned::uninit(heap, block, layout, key.len(), payload.stored_len(), sliding, tags) }?;
        let entry = owned.entry;
        // Where the value stands follows from the key's length, which the header need not be asked for.
        let begin = entry.as_ptr().cast::<u8>();
        // SAFETY: the block was made for these lengths, nobody else has it, and it overlaps neither key nor value.
        unsafe {
            begin.add(HEADER).copy_from_nonoverlapping(key.as_ptr(), key.len());
            let stored = begin.add(value_offset(key.len()));
            match payload {
                Payload::Plain(value) => stored.copy_from_nonoverlapping(value.as_ptr(), value.len()),
                Payload::Lz4 { block, original_len } => {
                    entry.header().label.fetch_or(LZ4, Relaxed);
                    stored.cast::<u32>().write(original_len);
                    stored.add(LZ4_PREFIX).copy_from_nonoverlapping(block.as_ptr(), block.len());
                }
            }
        }
        Some(owned)
    }
}
