//! From a key's hash to its entry: cache-line buckets of seven short tags and seven entries.
//!
//! ```text
//!  byte 0                7          8                                                         64
//!       +----------------+----------+---------------------------------------------------------+
//!       | 7 tags         | overflow | 7 entries                                               |
//!       +----------------+----------+---------------------------------------------------------+
//! ```
//!
//! A tag is 8 bits of the hash, 0 where there is no entry. An entry that finds its bucket full goes into the next one
//! with room, and every bucket it passed counts it in `overflow`; a look-up goes on only while that count is not 0. A
//! count that has reached 255 stays there until the index grows: a longer look-up, never a wrong one.
//!
//! Belongs to one shard and is only touched under its lock. Memory comes from the cache's heap, and goes back to it by
//! [`Index::clear`].
#![allow(unsafe_code)]

use super::arena::Heap;
use super::entry::EntryRef;
use std::alloc::Layout;
use std::ptr::NonNull;

const SLOTS: usize = 7;
const SATURATED: u8 = u8::MAX;

#[repr(C, align(64))]
struct Bucket {
    tags: [u8; SLOTS],
    overflow: u8,
    entries: [Option<EntryRef>; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

pub(super) struct Index {
    buckets: NonNull<Bucket>,
    count: usize,
    len: usize,
}

// SAFETY: the buckets belong to the index alone, and the entries in them may be sent.
unsafe impl Send for Index {}

/// Where an entry was found; good until the index is changed.
#[derive(Clone, Copy)]
pub(super) struct Position {
    bucket: usize,
    slot: usize,
}

impl Index {
    pub(super) const fn new() -> Self {
        Self { buckets: NonNull::dangling(), count: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The entry with that hash and key.
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<(Position, EntryRef)> {
        self.search(hash, |entry| entry.hash() == hash && entry.key() == key)
    }

    /// Where an entry that is known to be in the index stands.
    fn position_of(&self, entry: EntryRef) -> Option<Position> {
        self.search(entry.hash(), |other| other == entry).map(|(position, _)| position)
    }

    fn search(&self, hash: u64, is_it: impl Fn(EntryRef) -> bool) -> Option<(Position, EntryRef)> {
        let tag = tag(hash);
        for bucket in self.probe(hash) {
            let contents = &self.buckets()[bucket];
            for slot in 0..SLOTS {
                if contents.tags[slot] == tag {
                    if let Some(entry) = contents.entries[slot].filter(|entry| is_it(*entry)) {
                        return Some((Position { bucket, slot }, entry));
                    }
                }
            }
            if contents.overflow == 0 {
                return None;
            }
        }
        None
    }

    /// Makes sure that the next [`Index::insert`] finds room. False when there is no memory.
    pub(super) fn reserve(&mut self, heap: &Heap) -> bool {
        let slots = self.count * SLOTS;
        // Beyond seven eighths, look-ups that have to go on to further buckets become common. Arbitrary within a few parts
        // in a hundred.
        if self.len < slots - slots / 8 {
            return true;
        }
        self.resize((self.count + self.count / 2 + 1).max(2), heap) || self.len < slots
    }

    /// Adds an entry whose key is not in the index. [`Index::reserve`] has been called since the last one.
    pub(super) fn insert(&mut self, entry: EntryRef) {
        let hash = entry.hash();
        for bucket in self.probe(hash) {
            let contents = &mut self.buckets_mut()[bucket];
            if let Some(slot) = contents.entries.iter().position(Option::is_none) {
                contents.tags[slot] = tag(hash);
                contents.entries[slot] = Some(entry);
                self.len += 1;
                return;
            }
            contents.overflow = contents.overflow.saturating_add(1);
        }
        unreachable!("`reserve` left no room");
    }

    /// Puts `entry` where another one with the same key and hash stands.
    pub(super) fn replace(&mut self, position: Position, entry: EntryRef) {
        self.buckets_mut()[position.bucket].entries[position.slot] = Some(entry);
    }

    /// Takes an entry out that is in the index.
    pub(super) fn remove(&mut self, entry: EntryRef) {
        let Some(position) = self.position_of(entry) else {
            debug_assert!(false, "the entry is not in the index");
            return;
        };
        let contents = &mut self.buckets_mut()[position.bucket];
        contents.tags[position.slot] = 0;
        contents.entries[position.slot] = None;
        self.len -= 1;
        for bucket in self.probe(entry.hash()).take_while(|bucket| *bucket != position.bucket) {
            let overflow = &mut self.buckets_mut()[bucket].overflow;
            if *overflow != SATURATED {
                *overflow -= 1;
            }
        }
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = EntryRef> + '_ {
        self.buckets().iter().flat_map(|bucket| bucket.entries.iter().flatten().copied())
    }

    /// Forgets all entries and gives the buckets back.
    pub(super) fn clear(&mut self, heap: &Heap) {
        if let Some(layout) = layout(self.count).filter(|_| self.count > 0) {
            heap.remove_index(self.buckets.cast(), layout);
            // SAFETY: `resize` got the buckets from this heap with this layout; nothing points into them any more.
            unsafe { heap.free(self.buckets.cast(), layout) };
        }
        *self = Self::new();
    }

    fn resize(&mut self, count: usize, heap: &Heap) -> bool {
        let Some(layout) = layout(count) else { return false };
        let Some(buckets) = heap.allocate(layout) else { return false };
        heap.add_index(buckets, layout);
        // SAFETY: the block is that large, and all zeros is a bucket without entries.
        unsafe { buckets.write_bytes(0, count * size_of::<Bucket>()) };
        let mut larger = Self { buckets: buckets.cast(), count, len: 0 };
        for entry in self.iter() {
            larger.insert(entry);
        }
        self.clear(heap);
        *self = larger;
        true
    }

    /// The buckets in which an entry with that hash may be, nearest first.
    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> {
        // The top bits choose the shard and the lowest are the tag; 32 in between are spread over the buckets.
        let home = (((hash >> 8) & u64::from(u32::MAX)) * self.count as u64) >> 32;
        let (home, count) = (home as usize, self.count);
        (home..count).chain(0..home)
    }

    fn buckets(&self) -> &[Bucket] {
        // SAFETY: `buckets` points to `count` buckets, or dangles when `count` is 0.
        unsafe { std::slice::from_raw_parts(self.buckets.as_ptr(), self.count) }
    }

    fn buckets_mut(&mut self) -> &mut [Bucket] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.buckets.as_ptr(), self.count) }
    }
}

fn layout(count: usize) -> Option<Layout> {
    Layout::array::<Bucket>(count).ok()
}

fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}
