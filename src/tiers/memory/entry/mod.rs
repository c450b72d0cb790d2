//! One entry is one block. Here it is laid out; it is made of a [`Draft`], has one owner ([`Owned`]) while no shard has it, and is
//! what [`EntryRef`] says to all others, of whom a value ([`Pinned`]) keeps it alive on its own. Nothing outside this folder
//! knows where the bytes are.
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
//! Behind all that, where a flag says so, stand tags: their number in two bytes, and from the next multiple of 8 on 24 bytes for
//! each: a hash, two links to who came to carry it before and after this entry, and how far that is from the entry's beginning.
//!
//! Key, value and lengths never change once the entry is in a shard. The deadline and the lifetime change by whole words, the
//! mark belongs to the policy and is written by hits.
#![allow(unsafe_code)]

mod draft;
mod label;
mod links;
mod owned;
mod pinned;
mod prefetch;
mod reference;
mod tag;

use super::arena::ADDRESS_BITS;
use crate::sync::atomic::{AtomicU32, AtomicU64};
pub(super) use draft::{Draft, Payload};
pub(super) use label::Label;
pub use label::MAX_KEY_LEN;
pub(super) use links::Links;
pub(super) use owned::Owned;
pub(super) use pinned::Pinned;
pub(super) use prefetch::{prefetch, prefetch_at, prefetch_to_write, LINE};
pub(super) use reference::EntryRef;
use std::alloc::Layout;
pub(super) use tag::TagRef;
use tag::{slots_offset, Slot};

/// How many bytes stand before an LZ4 block.
const LZ4_PREFIX: usize = 4;

const VALUE_ALIGN: usize = 16;

/// Bytes of one link.
const LINK: usize = (ADDRESS_BITS / 8) as usize;
const LINKS: usize = 2 * LINK;
/// Bytes of the lifetime and of the deadline that the wheel knows.
const LIFETIME: usize = 4 + 4;
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
    Layout::from_size_align(end_of_all(end_of(links, sliding), tags), VALUE_ALIGN).ok()
}

/// Where an entry ends that ends there but for so many tags.
const fn end_of_all(end: usize, tags: usize) -> usize {
    if tags == 0 {
        end
    } else {
        slots_offset(end) + tags * size_of::<Slot>()
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

/// Blocks above this are not kept in a magazine, and to free one may take a while: jemalloc's own bound for what a thread cache
/// takes.
pub(super) const LARGE: u64 = 32 << 10;
