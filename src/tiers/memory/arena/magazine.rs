//! Freed blocks at hand, between a shard and the arena: of small sizes a few in our own hands, more in a cache of jemalloc.

#[cfg(all(feature = "jemalloc", not(miri)))]
use super::super::entry::{prefetch_to_write, LINE};
#[cfg(all(feature = "jemalloc", not(miri)))]
use super::jemalloc;
use std::alloc::Layout;
#[cfg(all(feature = "jemalloc", not(miri)))]
use std::ptr::NonNull;

/// Freed blocks at hand for the next allocation, so that most of them need not go to the arena. Not for two threads at
/// once: it belongs to whoever holds the lock that it is kept under.
pub(in super::super) struct Magazine {
    #[cfg(all(feature = "jemalloc", not(miri)))]
    pub(super) blocks: Option<Blocks>,
}

/// Two steps to the arena for small blocks: a few of each size in our own hands, more of them in one of jemalloc's caches.
#[cfg(all(feature = "jemalloc", not(miri)))]
pub(super) struct Blocks {
    cache: jemalloc::ThreadCache,
    /// One for each size class.
    free: [Free; SMALL_CLASSES],
}

/// A list of free blocks, each of which holds the address of the next.
#[cfg(all(feature = "jemalloc", not(miri)))]
#[derive(Clone, Copy)]
struct Free {
    first: *mut u8,
    count: usize,
}

/// Sizes up to this are kept in our own hands, one list for each multiple of 16 bytes.
#[cfg(all(feature = "jemalloc", not(miri)))]
const SMALL: usize = 512;
#[cfg(all(feature = "jemalloc", not(miri)))]
const SMALL_CLASSES: usize = SMALL / 16 + 1;
/// The class of each number of 16 bytes, in as many. Looked up, since every put asks several times.
#[cfg(all(feature = "jemalloc", not(miri)))]
const SMALL_CLASS: [u8; SMALL_CLASSES] = {
    let (mut classes, mut number) = ([0; SMALL_CLASSES], 1);
    while number < SMALL_CLASSES {
        classes[number] = (jemalloc::size_class(16 * number) / 16) as u8;
        number += 1;
    }
    classes
};
/// So many of a size at most: a little more than are freed in one go.
#[cfg(all(feature = "jemalloc", not(miri)))]
const MOST_KEPT: usize = 128;

#[cfg(all(feature = "jemalloc", not(miri)))]
// SAFETY: the blocks belong to the magazine alone.
unsafe impl Send for Blocks {}

#[cfg(all(feature = "jemalloc", not(miri)))]
impl Blocks {
    pub(super) fn new() -> Option<Self> {
        let free = [Free { first: std::ptr::null_mut(), count: 0 }; SMALL_CLASSES];
        jemalloc::ThreadCache::new().map(|cache| Self { cache, free })
    }

    /// Which list a block belongs to.
    #[inline(always)]
    pub(super) fn class(layout: Layout) -> Option<usize> {
        if layout.align() > 16 {
            return None;
        }
        SMALL_CLASS.get(layout.size().div_ceil(16)).map(|class| usize::from(*class))
    }

    /// jemalloc's cache keeps up to 200 blocks of a size and never gives them back by itself: of small ones that is little, of
    /// larger ones it would be many megabytes a shard.
    #[inline(always)]
    pub(super) fn cache_for(&self, layout: Layout) -> Option<&jemalloc::ThreadCache> {
        Self::class(layout).map(|_| &self.cache)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let class = Self::class(layout)?;
        let free = &mut self.free[class];
        let block = NonNull::new(free.first)?;
        // SAFETY: the block is free and ours, and `keep` has written the next one's address into it.
        free.first = unsafe { block.cast::<*mut u8>().read() };
        free.count -= 1;
        Some(block)
    }

    /// Keeps a block that nobody uses any more; false when there are enough of its size.
    #[inline(always)]
    pub(super) fn keep(&mut self, block: NonNull<u8>, layout: Layout) -> bool {
        let Some(class) = Self::class(layout) else { return false };
        let free = &mut self.free[class];
        if free.count >= MOST_KEPT {
            return false;
        }
        // SAFETY: the block has 16 bytes or more, is aligned to them, and nobody uses it any more.
        unsafe { block.cast::<*mut u8>().write(free.first) };
        free.first = block.as_ptr();
        free.count += 1;
        true
    }

    #[inline(always)]
    fn expect(&self, layout: Layout) {
        if let Some(class) = Self::class(layout) {
            for line in 0..(class * 16).div_ceil(LINE) {
                prefetch_to_write(self.free[class].first.wrapping_add(line * LINE));
            }
        }
    }

    fn flush(&mut self) {
        for class in 1..SMALL_CLASSES {
            // Every size of the class belongs to it, also its largest.
            let Ok(layout) = Layout::from_size_align(class * 16, 16) else { continue };
            while let Some(block) = self.take(layout) {
                // SAFETY: it came from the arena, is of this class, and nobody uses it.
                unsafe { jemalloc::free(block, layout, Some(&self.cache)) };
            }
        }
        self.cache.flush();
    }
}

#[cfg(all(feature = "jemalloc", not(miri)))]
impl Drop for Blocks {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Magazine {
    /// Every block comes from the arena itself.
    pub(in super::super) const fn none() -> Self {
        Self {
            #[cfg(all(feature = "jemalloc", not(miri)))]
            blocks: None,
        }
    }

    /// Asks the processor for the block that the next allocation will take: it may have been written last by another core.
    #[inline(always)]
    pub(in super::super) fn expect(&self, layout: Layout) {
        let _ = layout;
        #[cfg(all(feature = "jemalloc", not(miri)))]
        if let Some(blocks) = &self.blocks {
            blocks.expect(layout);
        }
    }

    /// Gives the blocks at hand back to the arena.
    pub(in super::super) fn flush(&mut self) {
        #[cfg(all(feature = "jemalloc", not(miri)))]
        if let Some(blocks) = &mut self.blocks {
            blocks.flush();
        }
    }
}
