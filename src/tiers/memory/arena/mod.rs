//! The memory that a cache's entries and index live in: a jemalloc arena of its own, or the system's allocator.
//!
//! An arena is given back whole by [`Drop`], so whoever keeps a pointer into a heap keeps an `Arc` of it too. Blocks are
//! taken and given back through a [`Magazine`], of which each shard has one and uses it under its lock, or past it.
#![allow(unsafe_code)]

#[cfg(all(feature = "jemalloc", not(miri)))]
mod jemalloc;
mod magazine;
#[cfg(shuttle)]
mod quarantine;

use super::pin::Pins;
use super::Memory;
use crate::fork::{Forks, Hold};
use crate::sync::atomic::{AtomicU64, Ordering};
#[cfg(all(feature = "jemalloc", not(miri)))]
use magazine::Blocks;
pub(super) use magazine::Magazine;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Weak;

/// Where blocks come from.
pub(crate) struct Heap {
    source: Source,
    /// Bytes in blocks that the cache has given up and somebody else keeps alive.
    detached: AtomicU64,
    /// Who keeps an entry alive without being the cache.
    pub(super) pins: Pins,
    /// Whose heap it is: values, which know the heap and may outlive the cache, have something to ask it.
    pub(super) owner: Weak<Memory>,
    #[cfg(shuttle)]
    quarantine: quarantine::Quarantine,
}

enum Source {
    System,
    #[cfg(all(feature = "jemalloc", not(miri)))]
    Jemalloc(jemalloc::Arena),
}

/// Memory that belongs to whoever has this, of at least so many bytes.
pub(super) struct Block {
    at: NonNull<u8>,
    bytes: usize,
    /// What the allocator takes for it.
    size: u64,
}

impl Block {
    /// # Safety
    ///
    /// The block came from a heap, has so many bytes, and nobody will use it again but by what this returns.
    #[inline(always)]
    pub(super) unsafe fn new(at: NonNull<u8>, bytes: usize, size: u64) -> Self {
        Self { at, bytes, size }
    }

    /// Where it is and what the allocator takes for it, for whoever needs so many bytes. `None`: it has fewer.
    #[inline(always)]
    pub(super) fn for_bytes(self, needed: usize) -> Option<(NonNull<u8>, u64)> {
        (self.bytes >= needed).then_some((self.at, self.size))
    }
}

impl Heap {
    /// A heap of nobody's.
    #[cfg(test)]
    pub(super) fn new(jemalloc: bool) -> Self {
        Self::of(Weak::new(), jemalloc)
    }

    /// A tier's heap, with an arena of its own if `jemalloc` and this build has it and an arena can be had, else the
    /// system's.
    pub(super) fn of(owner: Weak<Memory>, jemalloc: bool) -> Self {
        let source = if jemalloc { Source::arena() } else { Source::System };
        Self {
            source,
            detached: AtomicU64::new(0),
            pins: Pins::new(),
            owner,
            #[cfg(shuttle)]
            quarantine: Default::default(),
        }
    }

    /// Whether the heap has an arena of its own, so that everything in it can be given back at once.
    pub(crate) fn is_arena(&self) -> bool {
        !matches!(self.source, Source::System)
    }

    /// A magazine for this heap. An empty one when jemalloc has none left: slower, not less right.
    pub(super) fn magazine(&self) -> Magazine {
        Magazine {
            #[cfg(all(feature = "jemalloc", not(miri)))]
            blocks: if self.is_arena() { Blocks::new() } else { None },
        }
    }

    /// A block of at least `layout`'s size, not initialised; `None` when there is no memory. Returned by [`Heap::free`].
    #[inline]
    pub(super) fn allocate(&self, layout: Layout, magazine: &mut Magazine) -> Option<NonNull<u8>> {
        debug_assert!(layout.size() > 0);
        let block = self.source.allocate(layout, magazine)?;
        // Entries and tables keep other things in the upper bits of an address. No allocator gives such addresses out
        // unasked; if one did, that would be no memory for us.
        if block.as_ptr().addr() >> ADDRESS_BITS != 0 {
            // SAFETY: it was allocated with this layout just now.
            unsafe { self.source.free(block, layout, magazine) };
            return None;
        }
        Some(block)
    }

    /// The same as a block that says how large it is.
    #[inline(always)]
    pub(super) fn block(&self, layout: Layout, magazine: &mut Magazine) -> Option<Block> {
        let at = self.allocate(layout, magazine)?;
        // SAFETY: it was allocated with this size just now, and nobody else knows it.
        Some(unsafe { Block::new(at, layout.size(), self.size_of(at, layout)) })
    }

    /// What the allocator takes for every block of that layout; `None` where that is known of each block only once it is there.
    #[inline(always)]
    pub(super) fn size_of_all(&self, layout: Layout) -> Option<u64> {
        match &self.source {
            Source::System => {
                let _ = layout;
                None
            }
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => Some(arena.size_of(layout)),
        }
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `block` came from [`Heap::allocate`] of this heap with this `layout`, and nobody will use it again.
    #[inline]
    pub(super) unsafe fn free(&self, block: NonNull<u8>, layout: Layout, magazine: &mut Magazine) {
        #[cfg(shuttle)]
        if !self.is_arena() {
            // SAFETY: the caller's promise.
            unsafe { self.quarantine.take(block, layout) };
            return;
        }
        // SAFETY: the caller's promise is the one that the source asks for.
        unsafe { self.source.free(block, layout, magazine) }
    }

    /// Counts a block whose holder is no longer the cache but whoever still reads it.
    pub(super) fn detach(&self, bytes: u64) {
        self.detached.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A detached block is about to be freed.
    pub(super) fn end_detached(&self, bytes: u64) {
        self.detached.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in blocks that the cache has given up and somebody else keeps alive.
    pub(super) fn detached(&self) -> u64 {
        self.detached.load(Ordering::Relaxed)
    }

    /// What the allocator takes for this block.
    #[inline(always)]
    pub(super) fn size_of(&self, block: NonNull<u8>, layout: Layout) -> u64 {
        self.source.size_of(block, layout)
    }

    /// What the allocator would take for such a block, as far as that can be known before.
    pub(super) fn size_for(&self, layout: Layout) -> u64 {
        match &self.source {
            Source::System => layout.size() as u64,
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => arena.size_of(layout),
        }
    }

    /// Bytes of the pages in use by the arena; 0 without one.
    pub(crate) fn active(&self) -> u64 {
        match &self.source {
            Source::System => 0,
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => arena.active(),
        }
    }

    /// Gives pages that hold nothing any more back to the system now instead of by and by.
    pub(crate) fn trim(&self) {
        match &self.source {
            // SAFETY: takes no pointer. glibc gives back what is free at the ends of its heaps and whole pages within.
            Source::System => unsafe {
                #[cfg(all(target_env = "gnu", not(miri)))]
                libc::malloc_trim(0);
            },
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => arena.purge(),
        }
    }
}

impl Forks for Heap {
    fn hold(&self) -> Box<dyn Hold + '_> {
        Box::new(self.pins.hold())
    }
}

/// How many bits of an address can be other than 0: what Linux gives out on x86-64 and, unless asked, elsewhere.
pub(super) const ADDRESS_BITS: u32 = 48;

impl Source {
    #[cfg(all(feature = "jemalloc", not(miri)))]
    fn arena() -> Self {
        jemalloc::Arena::new().map_or(Source::System, Source::Jemalloc)
    }

    #[cfg(not(all(feature = "jemalloc", not(miri))))]
    fn arena() -> Self {
        Source::System
    }

    #[inline]
    fn allocate(&self, layout: Layout, magazine: &mut Magazine) -> Option<NonNull<u8>> {
        let _ = &magazine;
        match self {
            Source::System if layout.align() <= 16 => {
                // SAFETY: malloc takes any size; what it returns is aligned for anything up to 16.
                NonNull::new(unsafe { libc::malloc(layout.size()) }.cast())
            }
            Source::System => {
                let mut block = std::ptr::null_mut();
                // SAFETY: `block` may be written; the alignment is a power of two and a multiple of a pointer's size,
                // since it is more than 16.
                let failed = unsafe { libc::posix_memalign(&mut block, layout.align(), layout.size()) };
                (failed == 0).then_some(block).and_then(|block| NonNull::new(block.cast()))
            }
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => match &mut magazine.blocks {
                Some(blocks) => blocks.take(layout).or_else(|| arena.allocate(layout, blocks.cache_for(layout))),
                None => arena.allocate(layout, None),
            },
        }
    }

    /// # Safety
    ///
    /// As [`Heap::free`].
    #[inline]
    unsafe fn free(&self, block: NonNull<u8>, layout: Layout, magazine: &mut Magazine) {
        let _ = (layout, &magazine);
        match self {
            // SAFETY: it came from malloc or posix_memalign, as the caller promises.
            Source::System => unsafe { libc::free(block.as_ptr().cast()) },
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(_) => {
                let cache = match &mut magazine.blocks {
                    Some(blocks) => {
                        if blocks.keep(block, layout) {
                            return;
                        }
                        blocks.cache_for(layout)
                    }
                    None => None,
                };
                // SAFETY: it came from this arena with this layout, as the caller promises.
                unsafe { jemalloc::free(block, layout, cache) };
            }
        }
    }

    #[inline(always)]
    fn size_of(&self, block: NonNull<u8>, layout: Layout) -> u64 {
        let _ = (block, layout);
        match self {
            #[cfg(miri)]
            Source::System => layout.size() as u64,
            #[cfg(not(miri))]
            // SAFETY: the block is one of malloc's and alive. Eight bytes more are malloc's own, before each block.
            Source::System => unsafe { libc::malloc_usable_size(block.as_ptr().cast()) as u64 + 8 },
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => arena.size_of(layout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_as_large_as_the_allocator_says_and_comes_back_through_the_magazine() {
        for jemalloc in [false, true] {
            let heap = Heap::new(jemalloc);
            let mut magazine = heap.magazine();
            let layout = Layout::from_size_align(100, 16).unwrap();
            let block = heap.allocate(layout, &mut magazine).unwrap();
            assert!((100..200).contains(&heap.size_of(block, layout)));
            // SAFETY: it came from this heap with this layout.
            unsafe { heap.free(block, layout, &mut magazine) };
            if heap.is_arena() {
                let again = heap.allocate(layout, &mut magazine).unwrap();
                assert_eq!(again, block);
                // SAFETY: as above.
                unsafe { heap.free(again, layout, &mut magazine) };
            }
        }
    }

    #[test]
    fn detached_blocks_are_counted_until_they_end() {
        let heap = Heap::new(false);
        heap.detach(30);
        heap.end_detached(10);
        assert_eq!(heap.detached(), 20);
    }
}
