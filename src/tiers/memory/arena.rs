//! The memory that a cache's entries and index live in: a jemalloc arena of its own, or the system's allocator.
//!
//! Called by the entry and the index; counts every byte it hands out, as the allocator rounds it. An arena is given
//! back whole by [`Drop`], so whoever keeps a pointer into a heap keeps an `Arc` of it too.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where blocks come from, and how many bytes are out.
pub(crate) struct Heap {
    source: Source,
    /// Bytes in all blocks that are out.
    allocated: AtomicU64,
    /// The part of `allocated` that the cache no longer holds itself: removed, but perhaps still being read.
    lent: AtomicU64,
    /// The part of `allocated` that is index.
    index: AtomicU64,
}

enum Source {
    System,
    #[cfg(all(feature = "jemalloc", not(miri)))]
    Jemalloc(jemalloc::Arena),
}

impl Heap {
    /// A heap with an arena of its own if `jemalloc` and this build has it and an arena can be had, else the system's.
    pub(crate) fn new(jemalloc: bool) -> Self {
        let source = if jemalloc { Source::arena() } else { Source::System };
        Self { source, allocated: AtomicU64::new(0), lent: AtomicU64::new(0), index: AtomicU64::new(0) }
    }

    /// Whether the heap has an arena of its own, so that everything in it can be given back at once.
    pub(crate) fn is_arena(&self) -> bool {
        !matches!(self.source, Source::System)
    }

    /// A block of at least `layout`'s size, not initialised; `None` when there is no memory. Returned by [`Heap::free`].
    pub(crate) fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        debug_assert!(layout.size() > 0);
        let block = self.source.allocate(layout)?;
        self.allocated.fetch_add(self.source.size_of(block, layout), Ordering::Relaxed);
        Some(block)
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `block` came from [`Heap::allocate`] of this heap with this `layout`, and nobody will use it again.
    pub(crate) unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        self.allocated.fetch_sub(self.source.size_of(block, layout), Ordering::Relaxed);
        // SAFETY: the caller's promise is the one that the source asks for.
        unsafe { self.source.free(block, layout) }
    }

    /// Counts a block as lent out: its holder is no longer the cache but whoever still reads it.
    pub(crate) fn lend(&self, block: NonNull<u8>, layout: Layout) {
        self.lent.fetch_add(self.source.size_of(block, layout), Ordering::Relaxed);
    }

    /// A lent block is about to be freed.
    pub(crate) fn unlend(&self, block: NonNull<u8>, layout: Layout) {
        self.lent.fetch_sub(self.source.size_of(block, layout), Ordering::Relaxed);
    }

    /// Counts a block of the index.
    pub(crate) fn add_index(&self, block: NonNull<u8>, layout: Layout) {
        self.index.fetch_add(self.source.size_of(block, layout), Ordering::Relaxed);
    }

    /// A block of the index is about to be freed.
    pub(crate) fn remove_index(&self, block: NonNull<u8>, layout: Layout) {
        self.index.fetch_sub(self.source.size_of(block, layout), Ordering::Relaxed);
    }

    /// Bytes of the index, which stay when the last entry has gone.
    pub(crate) fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// What the allocator takes for this block.
    pub(crate) fn size_of(&self, block: NonNull<u8>, layout: Layout) -> u64 {
        self.source.size_of(block, layout)
    }

    /// Bytes that the cache itself holds.
    pub(crate) fn held(&self) -> u64 {
        // Two counters read one after the other: a block freed in between may make the first too small.
        self.allocated.load(Ordering::Relaxed).saturating_sub(self.lent())
    }

    /// Bytes that the cache has removed and that somebody may still be reading.
    pub(crate) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
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
            Source::System => {}
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => arena.purge(),
        }
    }
}

impl Source {
    #[cfg(all(feature = "jemalloc", not(miri)))]
    fn arena() -> Self {
        jemalloc::Arena::new().map_or(Source::System, Source::Jemalloc)
    }

    #[cfg(not(all(feature = "jemalloc", not(miri))))]
    fn arena() -> Self {
        Source::System
    }

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self {
            Source::System => {
                let mut block = std::ptr::null_mut();
                // SAFETY: `block` may be written; the alignment is a power of two and a multiple of a pointer's size,
                // since entries and buckets are aligned to 16 and 64.
                let failed = unsafe { libc::posix_memalign(&mut block, layout.align(), layout.size()) };
                (failed == 0).then_some(block).and_then(|block| NonNull::new(block.cast()))
            }
            #[cfg(all(feature = "jemalloc", not(miri)))]
            Source::Jemalloc(arena) => arena.allocate(layout),
        }
    }

    /// # Safety
    ///
    /// As [`Heap::free`].
    unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        let _ = layout;
        match self {
            // SAFETY: it came from posix_memalign, as the caller promises.
            Source::System => unsafe { libc::free(block.as_ptr().cast()) },
            #[cfg(all(feature = "jemalloc", not(miri)))]
            // SAFETY: it came from this arena with this layout, as the caller promises.
            Source::Jemalloc(arena) => unsafe { arena.free(block, layout) },
        }
    }

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

#[cfg(all(feature = "jemalloc", not(miri)))]
mod jemalloc {
    //! One jemalloc arena, used without a thread cache: an arena may only be destroyed when no thread cache still holds
    //! memory of it, and a cache is used by threads that this library never hears of again.

    use std::alloc::Layout;
    use std::ffi::{c_int, c_uint, c_void, CString};
    use std::ptr::{null_mut, NonNull};
    use tikv_jemalloc_sys as sys;

    pub(super) struct Arena {
        index: c_uint,
    }

    impl Arena {
        /// `None` when jemalloc has no arena left (it can keep about four thousand) or no memory for one.
        pub(super) fn new() -> Option<Self> {
            let mut index: c_uint = 0;
            let mut size = size_of::<c_uint>();
            // SAFETY: "arenas.create" writes an unsigned into `index`, whose size is in `size`.
            let failed =
                unsafe { sys::mallctl(c"arenas.create".as_ptr(), (&raw mut index).cast(), &mut size, null_mut(), 0) };
            (failed == 0).then_some(Self { index })
        }

        fn flags(&self, layout: Layout) -> c_int {
            sys::MALLOCX_ARENA(self.index as usize) | sys::MALLOCX_TCACHE_NONE | sys::MALLOCX_ALIGN(layout.align())
        }

        pub(super) fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
            // SAFETY: the size is not 0, and the flags name a live arena and an alignment that is a power of two.
            NonNull::new(unsafe { sys::mallocx(layout.size(), self.flags(layout)) }.cast())
        }

        /// # Safety
        ///
        /// `block` came from [`Arena::allocate`] with this layout and is not used again.
        pub(super) unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
            let flags = sys::MALLOCX_TCACHE_NONE | sys::MALLOCX_ALIGN(layout.align());
            // SAFETY: the caller's promise.
            unsafe { sys::sdallocx(block.as_ptr().cast(), layout.size(), flags) }
        }

        pub(super) fn size_of(&self, layout: Layout) -> u64 {
            // SAFETY: a computation; the size is not 0.
            unsafe { sys::nallocx(layout.size(), sys::MALLOCX_ALIGN(layout.align())) as u64 }
        }

        pub(super) fn active(&self) -> u64 {
            let mut epoch: u64 = 1;
            // SAFETY: "epoch" takes a u64 and refreshes the figures that the next call reads.
            unsafe {
                let size = size_of::<u64>();
                sys::mallctl(c"epoch".as_ptr(), null_mut(), null_mut(), (&raw mut epoch).cast(), size);
            }
            let mut pages: usize = 0;
            // SAFETY: "stats.arenas.<i>.pactive" is a size_t.
            unsafe { self.control("stats.arenas", "pactive", (&raw mut pages).cast(), size_of::<usize>()) };
            pages as u64 * page()
        }

        pub(super) fn purge(&self) {
            // SAFETY: "arena.<i>.purge" takes and gives nothing.
            unsafe { self.control("arena", "purge", null_mut(), 0) };
        }

        /// Calls `<prefix>.<index>.<suffix>`.
        ///
        /// # Safety
        ///
        /// `out` may be written with `size` bytes, or is NULL and `size` is 0, as that name wants it.
        unsafe fn control(&self, prefix: &str, suffix: &str, out: *mut c_void, mut size: usize) {
            let Ok(name) = CString::new(format!("{prefix}.{}.{suffix}", self.index)) else { return };
            let size = if out.is_null() { null_mut() } else { &raw mut size };
            // SAFETY: the name ends in NUL; the caller vouches for `out`. An unknown name is an error that leaves `out`
            // as it is.
            unsafe { sys::mallctl(name.as_ptr(), out, size, null_mut(), 0) };
        }
    }

    /// The size of jemalloc's pages, which `pactive` counts.
    fn page() -> u64 {
        let mut page: usize = 0;
        let mut size = size_of::<usize>();
        // SAFETY: "arenas.page" is a size_t.
        unsafe { sys::mallctl(c"arenas.page".as_ptr(), (&raw mut page).cast(), &mut size, null_mut(), 0) };
        page as u64
    }

    impl Drop for Arena {
        fn drop(&mut self) {
            // SAFETY: takes and gives nothing. Every pointer into the arena keeps the heap alive by an `Arc`, so none
            // is left; no thread cache was ever used with it.
            unsafe { self.control("arena", "destroy", null_mut(), 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_counts_what_it_hands_out_and_takes_back() {
        for jemalloc in [false, true] {
            let heap = Heap::new(jemalloc);
            let layout = Layout::from_size_align(100, 16).unwrap();
            let block = heap.allocate(layout).unwrap();
            assert!((100..200).contains(&heap.held()), "{}", heap.held());
            heap.lend(block, layout);
            assert_eq!(heap.held(), 0);
            heap.unlend(block, layout);
            // SAFETY: it came from this heap with this layout.
            unsafe { heap.free(block, layout) };
            assert_eq!((heap.held(), heap.lent()), (0, 0));
        }
    }
}
