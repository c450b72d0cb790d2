//! A tag of an entry: its hash, and two links to who carries it beside this entry.

use super::super::arena::ADDRESS_BITS;
use super::prefetch::prefetch_to_write;
use super::reference::EntryRef;
use super::Header;
use std::ptr::{addr_of, addr_of_mut, with_exposed_provenance_mut, NonNull};

/// Where [`Slot`]s begin in an entry whose number of tags stands there.
pub(super) const fn slots_offset(count: usize) -> usize {
    (count + size_of::<u16>()).next_multiple_of(align_of::<Slot>())
}

/// The bytes of one tag, behind all that an entry without tags has.
#[repr(C)]
pub(super) struct Slot {
    /// Never changes.
    tag: u64,
    /// Addresses of other slots, 0 for none; only touched under the shard's lock.
    newer: [u16; LINK],
    older: [u16; LINK],
    /// How far behind the entry's beginning this is, in slots' alignments. Never changes.
    distance: u32,
}

const LINK: usize = (ADDRESS_BITS / u16::BITS) as usize;
const _: () = assert!(size_of::<Slot>() == 24);

impl Slot {
    /// Of the entry that begins there, so many bytes before the slot.
    pub(super) const fn new(tag: u64, distance: usize) -> Self {
        Self { tag, newer: [0; LINK], older: [0; LINK], distance: (distance / align_of::<Self>()) as u32 }
    }
}

/// A tag that an entry carries. Whoever holds one keeps the entry alive, as with an [`EntryRef`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct TagRef(NonNull<Slot>);

// SAFETY: a name for bytes of an entry; what may change of them is only touched under the shard's lock.
unsafe impl Send for TagRef {}

impl TagRef {
    /// # Safety
    ///
    /// A slot of an entry that is alive.
    pub(super) const unsafe fn new(slot: NonNull<Slot>) -> Self {
        Self(slot)
    }

    /// Its hash.
    pub(in super::super) fn tag(self) -> u64 {
        // SAFETY: the slot is alive, and this was written before the entry was shared and never changes.
        unsafe { addr_of!((*self.0.as_ptr()).tag).read() }
    }

    /// Who carries it.
    pub(in super::super) fn entry(self) -> EntryRef {
        // SAFETY: as above.
        let distance = unsafe { addr_of!((*self.0.as_ptr()).distance).read() } as usize * align_of::<Slot>();
        // SAFETY: so far before the slot its entry begins, in the same block.
        EntryRef(unsafe { self.0.byte_sub(distance).cast::<Header>() })
    }

    /// Who came to carry it next; `None` for the newest. Under the shard's lock.
    ///
    /// # Safety
    ///
    /// Whom [`TagRef::set_newer`] has named last is alive for as long as the result is used.
    pub(in super::super) unsafe fn newer(self) -> Option<Self> {
        // SAFETY: only touched under the shard's lock, which the caller holds; the rest is the caller's promise.
        unsafe { named(addr_of!((*self.0.as_ptr()).newer).read()) }
    }

    /// Who came to carry it before; `None` for the oldest. Under the shard's lock.
    ///
    /// # Safety
    ///
    /// As [`TagRef::newer`], of [`TagRef::set_older`].
    pub(in super::super) unsafe fn older(self) -> Option<Self> {
        // SAFETY: as above.
        unsafe { named(addr_of!((*self.0.as_ptr()).older).read()) }
    }

    /// Under the shard's lock.
    pub(in super::super) fn set_newer(self, newer: Option<Self>) {
        // SAFETY: as in `newer`.
        unsafe { addr_of_mut!((*self.0.as_ptr()).newer).write(link(newer)) };
    }

    /// Under the shard's lock.
    pub(in super::super) fn set_older(self, older: Option<Self>) {
        // SAFETY: as in `older`.
        unsafe { addr_of_mut!((*self.0.as_ptr()).older).write(link(older)) };
    }

    /// Asks the processor for it.
    pub(in super::super) fn prefetch(self) {
        prefetch_to_write(self.0.as_ptr());
    }
}

fn link(tag: Option<TagRef>) -> [u16; LINK] {
    let address = tag.map_or(0, |tag| tag.0.as_ptr().addr());
    std::array::from_fn(|part| (address >> (part as u32 * u16::BITS)) as u16)
}

/// # Safety
///
/// The link is 0, or names a slot that is alive for as long as the result is used.
unsafe fn named(link: [u16; LINK]) -> Option<TagRef> {
    let address = link.iter().rev().fold(0, |address, part| address << u16::BITS | usize::from(*part));
    NonNull::new(with_exposed_provenance_mut(address)).map(TagRef)
}
