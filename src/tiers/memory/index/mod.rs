//! From a key's hash to its entry: cache-line buckets of seven short tags and seven entries.
//!
//! ```text
//!  byte 0                7          8                                                         64
//!       +----------------+----------+---------------------------------------------------------+
//!       | 7 tags         | overflow | 7 slots: 16 more bits of the hash, 48 bits of address   |
//!       +----------------+----------+---------------------------------------------------------+
//! ```
//!
//! A tag is 8 bits of the hash. Where there is no entry it is 0, which some entries' tags are too: the slot says. An entry
//! that finds its bucket full goes into the next one with room, and every bucket it passed counts it in `overflow`; a
//! look-up goes on only while that count is not 0. A count that has reached 255 stays there until the table is replaced: a
//! longer look-up, never a wrong one.
//!
//! Readers need no lock: they look through [`Published`], which says where the buckets are. Writers change one word at a
//! time, under the shard's lock, and in such an order that a reader finds every key that was there all the while:
//!
//! - A new entry's slot is written after its tag, and the overflow counts on the way to it before both: who has found it
//!   once, even by a tag that stood there before, finds it again.
//! - A key that is stored again gets its new entry by one write to the slot.
//! - An entry never moves within a table. When the index grows, a larger table is published beside the old one, and each
//!   later write moves a few buckets over: an entry is put into the new table before it is taken out of the old one, and
//!   readers look into the old one first.
//! - A slot of a table is emptied before the entry may be freed, also in a table that is no longer in use. So a reader that
//!   has announced an entry and still finds it in the slot may use it.
//!
//! Memory comes from the cache's heap, and goes back to it through the shard's list of what is retired.
#![allow(unsafe_code)]

mod bucket;
mod search;
mod table;
mod walk;
mod writer;

use super::arena::ADDRESS_BITS;
pub(super) use search::{Beginning, Published, Search};
pub(super) use table::OldTable;
pub(super) use walk::PLACES;
pub(super) use writer::{Index, Position};

/// What the parts of the engine take from a key's 64-bit hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    /// Says which bucket.
    #[inline(always)]
    pub(super) fn place(self) -> u32 {
        self.0 as u32
    }

    /// Says which of the buckets' tags. Of the place's bits, the ones that have least say in it.
    #[inline(always)]
    fn tag(self) -> u8 {
        tag(self.place())
    }

    /// More of the hash, where it stands in a slot.
    #[inline(always)]
    fn slot_tag(self) -> usize {
        ((self.0 >> 32) as u16 as usize) << ADDRESS_BITS
    }

    /// Says which shard: 16 bits.
    #[inline(always)]
    pub(super) fn shard(self) -> usize {
        (self.0 >> 48) as usize
    }
}

#[inline(always)]
fn tag(place: u32) -> u8 {
    place as u8
}
