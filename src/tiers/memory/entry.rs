//! One entry is one block. This file lays it out, makes it, and says when it may be freed; nothing else knows where the
//! bytes are.
//!
//! ```text
//!  0                 8         12        16
//!  +-----------------+---------+---------+---------+------+-----------+---------------------+--------------------+
//!  | deadline, flags | value   | mark    | key     | pad  | value     | links               | lifetime, filed    |
//!  | and key length  | length  |         |         |      |           | 6 bytes + 6 bytes   | only when sliding  |
//!  +-----------------+---------+---------+---------+------+-----------+---------------------+--------------------+
//!     64 bits: 39 / 3 / 22                          to 16 ^             written under the shard's lock; to 4 before lifetime
//! ```
//!
//! What a get reads stands in front: a header of 16 bytes, the key, and the value, aligned to 16 bytes as malloc would align
//! it. What only writers need stands behind, where it costs neither alignment nor a line of the reader's cache: two links
//! of 48 bits for the policy's lists. There is no hash (it is computed from the key again when an entry leaves), no count
//! of owners (see `pin`), and nothing for the wheel (see `expiry`).
//!
//! Behind all that, where a flag says so, stand tags: their number in two bytes, and a hash of eight bytes for each.
//!
//! Key, value and lengths never change once the entry is in a shard. The deadline and the lifetime change by whole words, the
//! mark belongs to the policy and is written by hits.
#![allow(unsafe_code)]

use super::arena::{Block, Heap, Magazine, ADDRESS_BITS};
use super::{Lent, Memory};
use crate::clock::{Tick, FOREVER, TICK_BITS};
use crate::codec::envelope::Body;
use crate::error;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::alloc::Layout;
use std::ptr::{with_exposed_provenance_mut, NonNull};
use std::sync::Arc;

const KEY_BITS: u32 = 22;

/// The longest key, in bytes. Arbitrary: far above any sensible key; 22 bits are what the header has left.
pub const MAX_KEY_LEN: usize = (1 << KEY_BITS) - 1;

/// The value is an LZ4 block after its original length in four bytes.
const LZ4: u64 = 1 << KEY_BITS;
/// A hit gives the entry its lifetime anew.
const SLIDING: u64 = 1 << (KEY_BITS + 1);
/// The entry carries tags.
const TAGGED: u64 = 1 << (KEY_BITS + 2);
const DEADLINE_SHIFT: u32 = KEY_BITS + 3;
const FLAGS_AND_KEY: u64 = (1 << DEADLINE_SHIFT) - 1;
const _: () = assert!(DEADLINE_SHIFT + TICK_BITS == u64::BITS);

/// How many bytes stand before an LZ4 block.
const LZ4_PREFIX: usize = 4;

const VALUE_ALIGN: usize = 16;

/// Bytes of one link.
const LINK: usize = (ADDRESS_BITS / 8) as usize;
const LINKS: usize = 2 * LINK;
const LINK_MASK: u64 = (1 << ADDRESS_BITS) - 1;
/// Bytes of the lifetime and of the deadline that the wheel knows.
const LIFETIME: usize = 4 + 4;
/// Bytes of the number of tags, and of one.
const TAG_COUNT: usize = 2;
const TAG: usize = 8;
/// How many tags an entry can carry. Arbitrary: each makes it larger.
pub const MAX_TAGS: usize = 64;

/// The lifetime is read by hits while a writer changes it.
const LIFETIME_ALIGN: usize = align_of::<AtomicU32>();

#[repr(C, align(16))]
pub(crate) struct Header {
    label: AtomicU64,
    value_len: u32,
    /// The policy's note about the use of the entry. Written by hits, also while the entry is being evicted.
    mark: AtomicU32,
}

const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 16);

/// Where the value begins for a key of that length.
#[inline(always)]
const fn value_offset(key_len: usize) -> usize {
    // A power of two. `next_multiple_of` takes as many instructions again, and every get is here.
    (HEADER + key_len + VALUE_ALIGN - 1) & !(VALUE_ALIGN - 1)
}

/// The block of an entry with these lengths; `None` for lengths that no entry has.
#[inline(always)]
fn layout(key_len: usize, value_len: usize, sliding: bool, tags: usize) -> Option<Layout> {
    // The value's length has 32 bits in the header, so the sum is far from what there can be.
    if key_len > MAX_KEY_LEN || value_len > u32::MAX as usize {
        return None;
    }
    let links = value_offset(key_len) + value_len;
    Layout::from_size_align(end_of(links, sliding) + tags_size(tags), VALUE_ALIGN).ok()
}

/// What so many tags take.
const fn tags_size(tags: usize) -> usize {
    if tags == 0 {
        0
    } else {
        TAG_COUNT + tags * TAG
    }
}

/// Where an entry ends whose links begin there, or its tags begin.
const fn end_of(links: usize, sliding: bool) -> usize {
    if sliding {
        lifetime_offset(links) + LIFETIME
    } else {
        links + LINKS
    }
}

/// Where the lifetime of a sliding entry begins whose links begin there.
const fn lifetime_offset(links: usize) -> usize {
    (links + LINKS).next_multiple_of(LIFETIME_ALIGN)
}

/// How the value is given.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
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
pub(super) struct Draft<'a> {
    key: &'a [u8],
    payload: Payload<'a>,
    sliding: bool,
    tags: &'a [u64],
    layout: Layout,
}

impl<'a> Draft<'a> {
    /// `None` when there are more than [`MAX_TAGS`] tags, the key is too long, or lengths add up to more than there can be.
    #[inline(always)]
    pub(super) fn new(key: &'a [u8], payload: Payload<'a>, sliding: bool, tags: &'a [u64]) -> Option<Self> {
        if tags.len() > MAX_TAGS {
            return None;
        }
        let layout = layout(key.len(), payload.stored_len(), sliding, tags.len())?;
        Some(Self { key, payload, sliding, tags, layout })
    }

    /// A value as it is, without tags, and hits do not put its end off.
    #[inline(always)]
    pub(super) fn plain(key: &'a [u8], value: &'a [u8]) -> Option<Self> {
        Self::new(key, Payload::Plain(value), false, &[])
    }

    #[inline(always)]
    pub(super) fn key(&self) -> &'a [u8] {
        self.key
    }

    #[inline(always)]
    pub(super) fn payload(&self) -> &Payload<'a> {
        &self.payload
    }

    #[inline(always)]
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The entry, which never expires until [`Owned::set_deadline`] says otherwise. `None` when there is no memory.
    #[inline]
    pub(super) fn make<'h>(&self, heap: &'h Heap, magazine: &mut Magazine) -> Option<Owned<'h>> {
        self.make_in(heap.block(self.layout, magazine)?, heap)
    }

    /// The same in a block of that heap; `None` when it is too small, which leaks it.
    #[inline(always)]
    pub(super) fn make_in<'h>(&self, block: Block, heap: &'h Heap) -> Option<Owned<'h>> {
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

/// An entry that is not in a shard yet, or not any more: there is one owner, and dropping it frees the block.
pub(super) struct Owned<'a> {
    entry: EntryRef,
    heap: &'a Heap,
    /// What the allocator takes for it.
    size: u64,
}

impl<'a> Owned<'a> {
    #[cfg(test)]
    pub(super) fn new(
        heap: &'a Heap,
        magazine: &mut Magazine,
        key: &[u8],
        payload: Payload<'_>,
        sliding: bool,
    ) -> Option<Self> {
        Draft::new(key, payload, sliding, &[])?.make(heap, magazine)
    }

    /// A value without a key, all zeros, to decompress into.
    pub(super) fn zeroed(heap: &'a Heap, value_len: usize) -> Option<Self> {
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
    unsafe fn uninit(
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
    pub(super) fn value_mut(&mut self) -> &mut [u8] {
        // SAFETY: every way to make an `Owned` has initialised the value's bytes, and nobody else has the block.
        unsafe { std::slice::from_raw_parts_mut(self.entry.value_ptr(), self.entry.stored_len()) }
    }

    /// When it expires; `lifetime` says from when on, for an entry whose hits extend it.
    #[inline]
    pub(super) fn set_deadline(&mut self, deadline: Tick, lifetime: Tick) {
        let entry = self.entry;
        let flags_and_key = entry.label().0 & FLAGS_AND_KEY;
        entry.header().label.store(flags_and_key | deadline << DEADLINE_SHIFT, Relaxed);
        if entry.is_sliding() {
            entry.set_lifetime(lifetime);
            entry.set_filed(deadline);
        }
    }

    /// It expires when that one would have, which it replaces.
    pub(super) fn keep_end_of(&mut self, old: EntryRef) {
        self.set_deadline(old.deadline(), old.sliding_lifetime().unwrap_or(0));
    }

    /// What the allocator takes for it.
    #[inline(always)]
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Hands the entry to a shard or to the list of retired entries, which now own it.
    #[inline]
    pub(super) fn into_shared(self) -> EntryRef {
        let entry = self.entry;
        std::mem::forget(self);
        entry
    }

    /// Puts it under a lease, and says where its value is. `None` for one that is compressed.
    pub(super) fn lend_in(&self, lease: &AtomicPtr<Header>) -> Option<Lent> {
        let value = self.entry.value().ok()?;
        lease.store(self.entry.as_ptr(), Release);
        Some(Lent { data: value.as_ptr(), len: value.len() })
    }

    /// Makes it a value that lives on its own.
    pub(super) fn into_value(self, heap: &Arc<Heap>) -> Pinned {
        heap.detach(self.size());
        Pinned { heap: Arc::clone(heap), entry: self.into_shared(), is_counted: false }
    }

    /// The same, and others can be made of it. `None` when there is no memory to count them.
    pub(super) fn into_shared_value(self, heap: &Arc<Heap>) -> Option<Pinned> {
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

/// The first word of an entry as it was at one moment: its deadline may be another one at the next. For whoever asks it several
/// things; the rest of it never changes.
#[derive(Clone, Copy)]
pub(super) struct Label(u64);

impl Label {
    #[inline(always)]
    fn deadline(self) -> Tick {
        self.0 >> DEADLINE_SHIFT
    }

    #[inline(always)]
    pub(super) fn expires(self) -> bool {
        self.deadline() != FOREVER
    }

    #[inline(always)]
    pub(super) fn is_expired(self, now: Tick) -> bool {
        now >= self.deadline()
    }

    #[inline(always)]
    pub(super) fn is_sliding(self) -> bool {
        self.0 & SLIDING != 0
    }

    #[inline(always)]
    fn is_tagged(self) -> bool {
        self.0 & TAGGED != 0
    }

    /// Whether nothing stands behind the links.
    #[inline(always)]
    fn is_bare(self) -> bool {
        self.0 & (SLIDING | TAGGED) == 0
    }

    #[inline(always)]
    fn is_compressed(self) -> bool {
        self.0 & LZ4 != 0
    }

    #[inline(always)]
    fn key_len(self) -> usize {
        self.0 as usize & MAX_KEY_LEN
    }
}

/// A pointer to an entry that is known to be alive.
///
/// Whoever holds one also holds what keeps it alive: the lock of the shard that the entry is in, an announcement or a lease
/// (see `reclaim`), or a pin. That is why reading through it is safe; making one out of nothing is not possible outside
/// this file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryRef(NonNull<Header>);

// SAFETY: what is reached through it without a lock is immutable or atomic.
unsafe impl Send for EntryRef {}

impl EntryRef {
    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: an `EntryRef` is only held where the entry is alive (see the type), and nothing ever makes a unique
        // reference to the header of a shared entry.
        unsafe { self.0.as_ref() }
    }

    /// The block's address: what slots, leases and the list of retired entries hold.
    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The inverse of [`EntryRef::as_ptr`].
    ///
    /// # Safety
    ///
    /// `pointer` came from [`EntryRef::as_ptr`] of an entry that something keeps alive for as long as the result is used.
    #[inline(always)]
    pub(super) unsafe fn from_ptr(pointer: *mut Header) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    #[inline(always)]
    pub(super) fn label(&self) -> Label {
        Label(self.header().label.load(Relaxed))
    }

    #[inline(always)]
    pub(super) fn deadline(&self) -> Tick {
        self.label().deadline()
    }

    pub(super) fn is_expired(&self, now: Tick) -> bool {
        self.label().is_expired(now)
    }

    #[inline(always)]
    pub(super) fn expires(&self) -> bool {
        self.label().expires()
    }

    #[inline(always)]
    pub(super) fn is_sliding(&self) -> bool {
        self.label().is_sliding()
    }

    /// How long a sliding entry lives after a hit, in ticks; `None` for one that never expires, or that hits do not extend.
    #[inline(always)]
    pub(super) fn sliding_lifetime(&self) -> Option<Tick> {
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

    fn set_lifetime(&self, lifetime: Tick) {
        self.lifetime().store(lifetime.min(u32::MAX.into()) as u32, Relaxed);
    }

    /// Puts the deadline of a sliding entry off by its lifetime; never brings it nearer. The wheel finds out when the one that
    /// it knows has come.
    pub(super) fn renew(&self, deadline_in: impl Fn(Tick) -> Tick) {
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
    pub(super) fn set_end(&self, deadline: Tick, lifetime: Tick) {
        if self.is_sliding() {
            self.set_lifetime(lifetime);
        }
        let changed = |label: u64| Some(label & FLAGS_AND_KEY | deadline << DEADLINE_SHIFT);
        let _ = self.header().label.fetch_update(Release, Relaxed, changed);
    }

    /// Whether the wheel knows an entry that expires by this deadline, of which these are the low bits. Under the shard's lock.
    #[inline(always)]
    pub(super) fn is_filed_at(self, deadline: u32) -> bool {
        let end = self.deadline();
        end != FOREVER && if self.is_sliding() { self.filed() == deadline } else { end as u32 == deadline }
    }

    /// The deadline that the wheel knows for this entry, in 32 bits. Under the shard's lock.
    pub(super) fn filed(&self) -> u32 {
        if self.is_sliding() {
            // SAFETY: a sliding entry has these bytes, written under the shard's lock, which the caller holds.
            unsafe { self.behind_links().add(4).cast::<u32>().read() }
        } else {
            self.deadline() as u32
        }
    }

    /// Tells the entry which of its deadlines the wheel knows. Under the shard's lock.
    pub(super) fn set_filed(&self, deadline: Tick) {
        if self.is_sliding() {
            // SAFETY: as in `filed`.
            unsafe { self.behind_links().add(4).cast::<u32>().write(deadline as u32) };
        }
    }

    /// The policy's note.
    #[inline(always)]
    pub(super) fn mark(&self) -> u32 {
        self.header().mark.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_mark(&self, mark: u32) {
        self.header().mark.store(mark, Relaxed);
    }

    #[inline(always)]
    pub(super) fn key(&self) -> &[u8] {
        self.key_by(self.label())
    }

    /// The same for whoever has the entry's label already.
    #[inline(always)]
    pub(super) fn key_by(&self, label: Label) -> &[u8] {
        // SAFETY: the key's bytes were written before the entry was shared and never change, nor does its length.
        unsafe { std::slice::from_raw_parts(self.key_ptr(), label.key_len()) }
    }

    /// The value if it is stored as it is, else what it takes to decompress it.
    #[inline(always)]
    pub(super) fn value(&self) -> Result<&[u8], Compressed<'_>> {
        self.value_by(self.label())
    }

    /// The same for whoever has the entry's label already.
    #[inline(always)]
    pub(super) fn value_by(&self, label: Label) -> Result<&[u8], Compressed<'_>> {
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
    pub(super) fn pin(self, heap: &Arc<Heap>) -> Option<Pinned> {
        heap.pins.add(self).then(|| Pinned { heap: Arc::clone(heap), entry: self, is_counted: true })
    }

    /// What the allocator takes for it.
    #[inline(always)]
    pub(super) fn size(self, heap: &Heap) -> u64 {
        heap.size_of(self.0.cast(), self.layout())
    }

    /// Gives the block back.
    ///
    /// # Safety
    ///
    /// The caller owns the entry alone: it is in no shard, and nothing keeps it alive any more.
    #[inline]
    pub(super) unsafe fn free(self, heap: &Heap, magazine: &mut Magazine) {
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
    pub(super) unsafe fn free_sized(self, size: u64, heap: &Heap, magazine: &mut Magazine) {
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
    fn stored_len(&self) -> usize {
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
        let tags = if self.is_tagged() { tags_size(self.tag_count()) } else { 0 };
        end_of(links, self.is_sliding()) + tags
    }

    #[inline(always)]
    fn key_ptr(&self) -> *mut u8 {
        // SAFETY: the key follows the header in the same block.
        unsafe { self.0.as_ptr().cast::<u8>().add(HEADER) }
    }

    #[inline(always)]
    fn value_ptr(&self) -> *mut u8 {
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

    /// Where an entry has its tags, if it has any.
    fn tags_begin(&self) -> *mut u8 {
        let links = value_offset(self.key_len()) + self.stored_len();
        // SAFETY: the block of every entry goes on to there.
        unsafe { self.0.as_ptr().cast::<u8>().add(end_of(links, self.is_sliding())) }
    }

    /// Of an entry with tags.
    #[cold]
    fn tag_count(&self) -> usize {
        debug_assert!(self.label().is_tagged());
        // SAFETY: an entry with tags has these bytes; they were written before it was shared and never change.
        unsafe { self.tags_begin().cast::<u16>().read_unaligned() }.into()
    }

    /// For whoever makes an entry with so many tags, and has it alone.
    #[cold]
    fn write_tags(&self, tags: &[u64]) {
        let begin = self.tags_begin();
        // SAFETY: the block was made for so many, and nobody else has it.
        unsafe {
            begin.cast::<u16>().write_unaligned(tags.len() as u16);
            begin.add(TAG_COUNT).copy_from_nonoverlapping(tags.as_ptr().cast(), TAG * tags.len());
        }
    }

    /// Whether the entry carries any tag.
    #[inline(always)]
    pub(super) fn is_tagged(&self) -> bool {
        self.label().is_tagged()
    }

    /// The tags that the entry carries.
    pub(super) fn tags(&self) -> impl Iterator<Item = u64> + '_ {
        let count = if self.is_tagged() { self.tag_count() } else { 0 };
        (0..count).map(|number| {
            // SAFETY: as in `tag_count`.
            unsafe { self.tags_begin().add(TAG_COUNT + TAG * number).cast::<u64>().read_unaligned() }
        })
    }

    /// Where a sliding entry has its lifetime.
    fn behind_links(&self) -> *mut u8 {
        let links = value_offset(self.key_len()) + self.stored_len();
        // SAFETY: the block of a sliding entry goes on to there, and further.
        unsafe { self.0.as_ptr().cast::<u8>().add(lifetime_offset(links)) }
    }

    /// Its two links. Under the shard's lock.
    #[inline(always)]
    pub(super) fn links(self) -> Links {
        Links(self.behind())
    }

    /// The entry that [`EntryRef::address`] was asked for.
    ///
    /// # Safety
    ///
    /// `address` came from [`EntryRef::address`] of an entry that something keeps alive for as long as the result is used.
    #[inline]
    pub(super) unsafe fn from_address(address: u64) -> Option<Self> {
        NonNull::new(with_exposed_provenance_mut(address as usize)).map(Self)
    }

    /// As a number for a link: a multiple of 16 below 2^48.
    #[inline]
    pub(super) fn address(self) -> u64 {
        self.0.as_ptr().addr() as u64
    }

    /// Asks the processor for all of a block that nobody uses, which an entry of that layout will be written to.
    #[inline(always)]
    pub(super) fn prefetch_to_make(self, layout: Layout) {
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
    pub(super) unsafe fn into_block(self, size: u64) -> Block {
        // SAFETY: the caller's promise.
        unsafe { Block::new(self.0.cast(), size as usize, size) }
    }

    /// Asks the processor for where the entry begins.
    #[inline]
    pub(super) fn prefetch(self) {
        prefetch(self.0.as_ptr());
    }

    /// The same for its links, if it has that layout.
    #[inline(always)]
    pub(super) fn prefetch_links_of(self, layout: Layout) {
        prefetch_to_write(self.0.as_ptr().cast::<u8>().wrapping_add(layout.size() - LINKS));
    }
}

/// Asks the processor for an entry at an address that may have become none, and for its links, so many lines behind.
#[inline(always)]
pub(super) fn prefetch_at(address: u64, line_of_links: u64) {
    let begin = std::ptr::without_provenance::<u8>(address as usize);
    prefetch(begin);
    prefetch_to_write(begin.wrapping_add(line_of_links as usize * LINE));
}

/// Bytes of a line of the processor's cache.
pub(super) const LINE: usize = 64;

/// Blocks above this are not kept in a magazine, and to free one may take a while: jemalloc's own bound for what a thread cache
/// takes.
pub(super) const LARGE: u64 = 32 << 10;

/// The policy's two links in an entry, 48 bits each. Where they stand follows from two lengths, so it is found out once for
/// whatever is done with them. For as long as the entry is known to be alive, under the shard's lock.
#[derive(Clone, Copy)]
pub(super) struct Links(NonNull<u8>);

// SAFETY: a name for bytes of an entry; they are only touched under the shard's lock.
unsafe impl Send for Links {}

impl Links {
    #[inline(always)]
    pub(super) fn newer(self) -> u64 {
        // SAFETY: both links are in the block, and only touched under the shard's lock, which the caller holds.
        unsafe { self.0.cast::<u64>().read_unaligned() & LINK_MASK }
    }

    #[inline(always)]
    pub(super) fn older(self) -> u64 {
        // SAFETY: as above; the last eight of their twelve bytes.
        unsafe { self.0.add(LINKS - size_of::<u64>()).cast::<u64>().read_unaligned() >> (u64::BITS - ADDRESS_BITS) }
    }

    #[inline(always)]
    pub(super) fn set_newer(self, value: u64) {
        self.set(0, value);
    }

    #[inline(always)]
    pub(super) fn set_older(self, value: u64) {
        self.set(LINK, value);
    }

    #[inline(always)]
    fn set(self, offset: usize, value: u64) {
        debug_assert!(value >> ADDRESS_BITS == 0);
        let bytes = value.to_le_bytes();
        // SAFETY: as in `newer`.
        unsafe { self.0.as_ptr().add(offset).copy_from_nonoverlapping(bytes.as_ptr(), LINK) };
    }

    /// How many lines behind the one where their entry begins they do.
    #[inline(always)]
    pub(super) fn line(self, entry: EntryRef) -> u64 {
        (self.0.as_ptr().addr() / LINE - entry.as_ptr().addr() / LINE) as u64
    }

    /// Asks the processor for where they are.
    #[inline(always)]
    pub(super) fn prefetch(self) {
        prefetch_to_write(self.0.as_ptr());
    }
}

/// Asks the processor to fetch a line that will be read soon. Any address will do; nothing is read from it yet.
#[inline(always)]
pub(super) fn prefetch<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch(pointer.cast::<i8>(), _MM_HINT_T0);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = pointer;
}

/// The same for a line that will be written soon: other cores give it up now.
#[inline(always)]
pub(super) fn prefetch_to_write<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint that never faults, and does nothing on processors that do not know it. Not by its intrinsic, which becomes a
    // hint to read unless the whole library is built for processors that know this one.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = pointer;
}

/// A value in its compressed form.
pub(super) struct Compressed<'a> {
    pub(super) block: &'a [u8],
    pub(super) original_len: usize,
}

/// A value that keeps an entry alive: its bytes stay where they are until this is dropped, on any thread, even after the
/// cache is gone.
pub(super) struct Pinned {
    entry: EntryRef,
    heap: Arc<Heap>,
    /// Whether the heap's pins count the values of the entry, as of all that are the cache's; else it is a block of its own, and
    /// this is its only value.
    is_counted: bool,
}

// SAFETY: all it gives is shared access to immutable bytes.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// The entry, which is alive for as long as this is.
    pub(super) fn entry(&self) -> EntryRef {
        self.entry
    }

    /// Another value of the same entry. `None` when there is no memory to count it, or nobody counts.
    pub(super) fn share(&self) -> Option<Self> {
        (self.is_counted && self.heap.pins.add(self.entry)).then(|| Self {
            heap: Arc::clone(&self.heap),
            entry: self.entry,
            is_counted: true,
        })
    }

    /// The tier that the entry is of; `None` when it is gone.
    pub(super) fn owner(&self) -> Option<Arc<Memory>> {
        self.heap.owner.upgrade()
    }

    /// The value; of a compressed entry, which has no plain bytes to show, nothing.
    pub(super) fn plain(&self) -> &[u8] {
        self.entry.value().unwrap_or_default()
    }

    pub(super) fn key(&self) -> &[u8] {
        self.entry.key()
    }

    /// How long the plain form is.
    pub(super) fn value_len(&self) -> usize {
        self.entry.value().map_or_else(|compressed| compressed.original_len, <[u8]>::len)
    }

    /// The value in the form in which it is kept.
    pub(super) fn body(&self) -> Body<'_> {
        match self.entry.value() {
            Ok(value) => Body::Plain(value),
            Err(compressed) => Body::Lz4 { block: compressed.block, len: compressed.original_len as u32 },
        }
    }

    /// The plain form of a compressed entry; `None` when it is plain already.
    pub(super) fn decompressed(&self) -> error::Result<Option<Self>> {
        Ok(super::look_up::decompressed(&self.heap, self.entry)?.map(|copy| copy.into_value(&self.heap)))
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
