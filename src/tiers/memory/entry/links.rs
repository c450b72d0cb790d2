//! The policy's two links in an entry.

use super::super::arena::ADDRESS_BITS;
use super::prefetch::{prefetch_to_write, LINE};
use super::reference::EntryRef;
use super::{LINK, LINKS};
use std::ptr::NonNull;

const LINK_MASK: u64 = (1 << ADDRESS_BITS) - 1;

/// The policy's two links in an entry, 48 bits each. Where they stand follows from two lengths, so it is found out once for
/// whatever is done with them. For as long as the entry is known to be alive, under the shard's lock.
#[derive(Clone, Copy)]
pub(in super::super) struct Links(pub(super) NonNull<u8>);

// SAFETY: a name for bytes of an entry; they are only touched under the shard's lock.
unsafe impl Send for Links {}

impl Links {
    #[inline(always)]
    pub(in super::super) fn newer(self) -> u64 {
        // SAFETY: both links are in the block, and only touched under the shard's lock, which the caller holds.
        unsafe { self.0.cast::<u64>().read_unaligned() & LINK_MASK }
    }

    #[inline(always)]
    pub(in super::super) fn older(self) -> u64 {
        // SAFETY: as above; the last eight of their twelve bytes.
        unsafe { self.0.add(LINKS - size_of::<u64>()).cast::<u64>().read_unaligned() >> (u64::BITS - ADDRESS_BITS) }
    }

    #[inline(always)]
    pub(in super::super) fn set_newer(self, value: u64) {
        self.set(0, value);
    }

    #[inline(always)]
    pub(in super::super) fn set_older(self, value: u64) {
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
    pub(in super::super) fn line(self, entry: EntryRef) -> u64 {
        (self.0.as_ptr().addr() / LINE - entry.as_ptr().addr() / LINE) as u64
    }

    /// Asks the processor for where they are.
    #[inline(always)]
    pub(in super::super) fn prefetch(self) {
        prefetch_to_write(self.0.as_ptr());
    }
}
