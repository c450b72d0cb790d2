//! The entry as all others see it: what it says, and what of it may change.

use super::super::arena::{Block, Heap, Magazine};
use super::label::{Label, DEADLINE_SHIFT, FLAGS_AND_KEY};
use super::links::Links;
use super::pinned::Pinned;
use super::prefetch::{prefetch, prefetch_to_write, LINE};
use super::{
    end_of, end_of_all, lifetime_offset, slots_offset, value_offset, Header, Slot, TagRef, HEADER, LINKS, LZ4_PREFIX,
    VALUE_ALIGN,
};
use crate::clock::{Tick, FOREVER};
use crate::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::alloc::Layout;
use std::ptr::{with_exposed_provenance_mut, NonNull};
use std::sync::Arc;

/// A pointer to an entry that is known to be alive.
///
/// Whoever holds one also holds what keeps it alive: the lock of the shard that the entry is in, an announcement or a lease
/// (see `reclaim`), or a pin. That is why reading through it is safe; making one out of nothing is not possible outside
/// this folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct EntryRef(pub(super) NonNull<Header>);

// SAFETY: what is reached through it without a lock is immutable or atomic.
unsafe impl Send for EntryRef {}

impl EntryRef {
    #[inline(always)]
    pub(super) fn header(&self) -> &Header {
        // SAFETY: an `EntryRef` is only held where the entry is alive (see the type), and nothing ever makes a unique
        // reference to the header of a shared entry.
        unsafe { self.0.as_ref() }
    }

    /// The block's address: what slots, leases and the list of retired entries hold.
    #[inline(always)]
    pub(in super::super) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The inverse of [`EntryRef::as_ptr`].
    ///
    /// # Safety
    ///
    /// `pointer` came from [`EntryRef::as_ptr`] of an entry that something keeps alive for as long as the result is used.
    #[inline(always)]
    pub(in super::super) unsafe fn from_ptr(pointer: *mut Header) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    #[inline(always)]
    pub(in super::super) fn label(&self) -> Label {
        Label(self.header().label.load(Relaxed))
    }

    #[inline(always)]
    pub(in super::super) fn deadline(&self) -> Tick {
        self.label().deadline()
    }

    pub(in super::super) fn is_expired(&self, now: Tick) -> bool {
        self.label().is_expired(now)
    }

    #[inline(always)]
    pub(in super::super) fn expires(&self) -> bool {
        self.label().expires()
    }

    #[inline(always)]
    pub(in super::super) fn is_sliding(&self) -> bool {
        self.label().is_sliding()
    }

    /// How long a sliding entry lives after a hit, in ticks; `None` for one that never expires, or that hits do not extend.
    #[inline(always)]
    pub(in super::super) fn sliding_lifetime(&self) -> Option<Tick> {
        let label = self.label();
        if !label.is_sliding() || !label.expires() {
            return None;
        }
        Some(self.lifetime().load(Relaxed).into())
    }

    /// Of a sliding entry.
    fn lifetime(&self) -> &AtomicU32 {
        debug_assert!(self.is_sliding());
        // SAFETY: a sliding entry has these bytes, aligned, and they are never anything else.
        unsafe { &*self.behind_links().cast::<AtomicU32>() }
    }

    pub(super) fn set_lifetime(&self, lifetime: Tick) {
        self.lifetime().store(lifetime.min(u32::MAX.into()) as u32, Relaxed);
    }

    /// Puts the deadline of a sliding entry off by its lifetime; never brings it nearer. The wheel finds out when the one that
    /// it knows has come.
    pub(in super::super) fn renew(&self, deadline_in: impl Fn(Tick) -> Tick) {
        let later = |label: u64| {
            // Not older than the label: see `set_end`.
            let deadline = deadline_in(self.lifetime().load(Relaxed).into()).min(FOREVER - 1);
            (label >> DEADLINE_SHIFT < deadline && label >> DEADLINE_SHIFT != FOREVER)
                .then_some(label & FLAGS_AND_KEY | deadline << DEADLINE_SHIFT)
        };
        let _ = self.header().label.fetch_update(Relaxed, Acquire, later);
    }

    /// Gives the entry another deadline, sooner or later, and another lifetime if hits extend it. Under the shard's lock;
    /// hits may be putting it off meanwhile, by the old lifetime if before this and else by the new one.
    pub(in super::super) fn set_end(&self, deadline: Tick, lifetime: Tick) {
        if self.is_sliding() {
            self.set_lifetime(lifetime);
        }
        let changed = |label: u64| Some(label & FLAGS_AND_KEY | deadline << DEADLINE_SHIFT);
        let _ = self.header().label.fetch_update(Release, Relaxed, changed);
    }

    /// Whether the wheel knows an entry that expires by this deadline, of which these are the low bits. Under the shard's lock.
    #[inline(always)]
    pub(in super::super) fn is_filed_at(self, deadline: u32) -> bool {
        let end = self.deadline();
        end != FOREVER && if self.is_sliding() { self.filed() == deadline } else { end as u32 == deadline }
    }

    /// The deadline that the wheel knows for this entry, in 32 bits. Under the shard's lock.
    pub(in super::super) fn filed(&self) -> u32 {
        if self.is_sliding() {
            // SAFETY: a sliding entry has these bytes, written under the shard's lock, which the caller holds.
            unsafe { self.behind_links().add(4).cast::<u32>().read() }
        } else {
            self.deadline() as u32
        }
    }

    /// Tells the entry which of its deadlines the wheel knows. Under the shard's lock.
    pub(in super::super) fn set_filed(&self, deadline: Tick) {
        if self.is_sliding() {
            // SAFETY: as in `filed`.
            unsafe { self.behind_links().add(4).cast::<u32>().write(deadline as u32) };
        }
    }

    /// The policy's note.
    #[inline(always)]
    pub(in super::super) fn mark(&self) -> u32 {
        self.header().mark.load(Relaxed)
    }

    #[inline(always)]
    pub(in super::super) fn set_mark(&self, mark: u32) {
        self.header().mark.store(mark, Relaxed);
    }

    #[inline(always)]
    pub(in super::super) fn key(&self) -> &[u8] {
        self.key_by(self.label())
    }

    /// The same for whoever has the entry's label already.
    #[inline(always)]
    pub(in super::super) fn key_by(&self, label: Label) -> &[u8] {
        // SAFETY: the key's bytes were written before the entry was shared and never change, nor does its length.
        unsafe { std::slice::from_raw_parts(self.key_ptr(), label.key_len()) }
    }

    /// The value if it is stored as it is, else what it takes to decompress it.
    #[inline(always)]
    pub(in super::super) fn value(&self) -> Result<&[u8], Compressed<'_>> {
        self.value_by(self.label())
    }

    /// The same for whoever has the entry's label already.
    #[inline(always)]
    pub(in super::super) fn value_by(&self, label: Label) -> Result<&[u8], Compressed<'_>> {
        // SAFETY: the value's bytes were written before the entry was shared and never change, nor do the lengths that say where
        // they are.
        let stored = unsafe { std::slice::from_raw_parts(self.value_at(label.key_len()), self.stored_len()) };
        if !label.is_compressed() {
            return Ok(stored);
        }
        let (length, block) = stored.split_at(LZ4_PREFIX);
        let original_len = u32::from_ne_bytes(length.try_into().unwrap_or_default()) as usize;
        Err(Compressed { block, original_len })
    }

    /// A value that keeps the entry alive, whatever happens to the cache. `None` when there is no memory to say so.
    pub(in super::super) fn pin(self, heap: &Arc<Heap>) -> Option<Pinned> {
        heap.pins.add(self).then(|| Pinned { heap: Arc::clone(heap), entry: self, is_counted: true })
    }

    /// What the allocator takes for it.
    #[inline(always)]
    pub(in super::super) fn size(self, heap: &Heap) -> u64 {
        heap.size_of(self.0.cast(), self.layout())
    }

    /// Gives the block back.
    ///
    /// # Safety
    ///
    /// The caller owns the entry alone: it is in no shard, and nothing keeps it alive any more.
    #[inline]
    pub(in super::super) unsafe fn free(self, heap: &Heap, magazine: &mut Magazine) {
        // SAFETY: the caller's promise, and the layout is the one it was made with.
        unsafe { heap.free(self.0.cast(), self.layout(), magazine) };
    }

    /// The same when it is known what the allocator takes for it, without a look at the entry: that would be one more line to
    /// wait for.
    ///
    /// # Safety
    ///
    /// As [`EntryRef::free`], and `size` is what [`EntryRef::size`] has said.
    #[inline]
    pub(in super::super) unsafe fn free_sized(self, size: u64, heap: &Heap, magazine: &mut Magazine) {
        // A model fills what it frees, so it has to be told exactly.
        if cfg!(shuttle) {
            // SAFETY: the caller's promise.
            return unsafe { self.free(heap, magazine) };
        }
        // SAFETY: allocators take any size between the one that was asked for and the one that they took for it.
        unsafe { heap.free(self.0.cast(), Layout::from_size_align_unchecked(size as usize, VALUE_ALIGN), magazine) };
    }

    #[inline(always)]
    fn key_len(&self) -> usize {
        self.label().key_len()
    }

    #[inline(always)]
    pub(super) fn stored_len(&self) -> usize {
        self.header().value_len as usize
    }

    #[inline(always)]
    fn layout(self) -> Layout {
        let label = self.label();
        let links = value_offset(label.key_len()) + self.stored_len();
        let size = if label.is_bare() { links + LINKS } else { self.end_behind(links) };
        // SAFETY: `layout` accepted these lengths when the entry was made.
        unsafe { Layout::from_size_align_unchecked(size, VALUE_ALIGN) }
    }

    /// Where an entry ends whose links begin there, if it has anything behind them.
    #[cold]
    fn end_behind(self, links: usize) -> usize {
        let tags = if self.is_tagged() { self.tag_count() } else { 0 };
        end_of_all(end_of(links, self.is_sliding()), tags)
    }

    #[inline(always)]
    fn key_ptr(&self) -> *mut u8 {
        // SAFETY: the key follows the header in the same block.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEADER) }
    }

    #[inline(always)]
    pub(super) fn value_ptr(&self) -> *mut u8 {
        self.value_at(self.key_len())
    }

    /// `key_len`: the entry's own.
    #[inline(always)]
    fn value_at(&self, key_len: usize) -> *mut u8 {
        // SAFETY: the value follows the key in the same block.
        unsafe { self.0.as_ptr().cast::<u8>().add(value_offset(key_len)) }
    }

    #[inline(always)]
    fn behind(self) -> NonNull<u8> {
        // SAFETY: the links follow the value in the same block.
        unsafe { self.0.cast::<u8>().add(value_offset(self.key_len()) + self.stored_len()) }
    }

    /// Where an entry says how many tags it has, if it has any: so far from its beginning.
    fn tags_offset(&self) -> usize {
        end_of(value_offset(self.key_len()) + self.stored_len(), self.is_sliding())
    }

    /// Of an entry with tags.
    #[cold]
    fn tag_count(&self) -> usize {
        debug_assert!(self.label().is_tagged());
        // SAFETY: an entry with tags has these bytes; they were written before it was shared and never change.
        unsafe { self.0.byte_add(self.tags_offset()).cast::<u16>().read_unaligned() }.into()
    }

    /// For whoever makes an entry with so many tags, and has it alone.
    #[cold]
    pub(super) fn write_tags(&self, tags: &[u64]) {
        let count = self.tags_offset();
        // SAFETY: the block was made for so many, and nobody else has it.
        unsafe { self.0.byte_add(count).cast::<u16>().write_unaligned(tags.len() as u16) };
        for (number, tag) in tags.iter().enumerate() {
            let distance = slots_offset(count) + number * size_of::<Slot>();
            // SAFETY: as above.
            unsafe { self.0.byte_add(distance).cast::<Slot>().write(Slot::new(*tag, distance)) };
        }
    }

    /// Whether the entry carries any tag.
    #[inline(always)]
    pub(in super::super) fn is_tagged(&self) -> bool {
        self.label().is_tagged()
    }

    /// The tags that the entry carries, each with its links.
    pub(in super::super) fn tags(self) -> impl Iterator<Item = TagRef> {
        let (count, begin) = match self.is_tagged() {
            true => (self.tag_count(), slots_offset(self.tags_offset())),
            false => (0, 0),
        };
        // SAFETY: an entry with so many tags has so many slots there.
        (0..count).map(move |number| unsafe { TagRef::new(self.0.byte_add(begin).cast::<Slot>().add(number)) })
    }

    /// Where a sliding entry has its lifetime.
    pub(super) fn behind_links(&self) -> *mut u8 {
        let links = value_offset(self.key_len()) + self.stored_len();
        // SAFETY: the block of a sliding entry goes on to there, and further.
        unsafe { self.0.as_ptr().cast::<u8>().add(lifetime_offset(links)) }
    }

    /// Its two links. Under the shard's lock.
    #[inline(always)]
    pub(in super::super) fn links(self) -> Links {
        Links(self.behind())
    }

    /// The entry that [`EntryRef::address`] was asked for.
    ///
    /// # Safety
    ///
    /// `address` came from [`EntryRef::address`] of an entry that something keeps alive for as long as the result is used.
    #[inline]
    pub(in super::super) unsafe fn from_address(address: u64) -> Option<Self> {
        NonNull::new(with_exposed_provenance_mut(address as usize)).map(Self)
    }

    /// As a number for a link: a multiple of 16 below 2^48.
    #[inline]
    pub(in super::super) fn address(self) -> u64 {
        self.0.as_ptr().addr() as u64
    }

    /// Asks the processor for all of a block that nobody uses, which an entry of that layout will be written to.
    #[inline(always)]
    pub(in super::super) fn prefetch_to_make(self, layout: Layout) {
        for line in 0..layout.size().div_ceil(LINE) {
            prefetch_to_write(self.0.as_ptr().cast::<u8>().wrapping_add(line * LINE));
        }
    }

    /// The block of an entry that nobody uses any more, for another one: so many bytes.
    ///
    /// # Safety
    ///
    /// As [`EntryRef::free`], and the allocator takes at least so many bytes for it.
    #[inline(always)]
    pub(in super::super) unsafe fn into_block(self, size: u64) -> Block {
        // SAFETY: the caller's promise.
        unsafe { Block::new(self.0.cast(), size as usize, size) }
    }

    /// Asks the processor for where the entry begins.
    #[inline]
    pub(in super::super) fn prefetch(self) {
        prefetch(self.0.as_ptr());
    }

    /// The same for its links, if it has that layout.
    #[inline(always)]
    pub(in super::super) fn prefetch_links_of(self, layout: Layout) {
        prefetch_to_write(self.0.as_ptr().cast::<u8>().wrapping_add(layout.size() - LINKS));
    }
}

/// A value in its compressed form.
pub(in super::super) struct Compressed<'a> {
    pub(in super::super) block: &'a [u8],
    pub(in super::super) original_len: usize,
}
