//! The memory that a cache's entries and index live in: a jemalloc arena of its own, or the system's allocator.
//!
//! An arena is given back whole by [`Drop`], so whoever keeps a pointer into a heap keeps an `Arc` of it too. Blocks are
//! taken and given back through a [`Magazine`], of which each shard has one and uses it under its lock, or past it.
#![allow(unsafe_code)]

#[cfg(all(feature = "jemalloc", not(miri)))]
use super::entry::{prefetch_to_write, LINE};
use super::pin::Pins;
use super::Memory;
use crate::fork::{Forks, Hold};
use crate::sync::atomic::{AtomicU64, Ordering};
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

/// Freed blocks at hand for the next allocation, so that most of them need not go to the arena. Not for two threads at
/// once: it belongs to whoever holds the lock that it is kept under.
pub(super) struct Magazine {
    #[cfg(all(feature = "jemalloc", not(miri)))]
    blocks: Option<Blocks>,
}

/// Two steps to the arena for small blocks: a few of each size in our own hands, more of them in one of jemalloc's caches.
#[cfg(all(feature = "jemalloc", not(miri)))]
struct Blocks {
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
    fn new() -> Option<Self> {
        let free = [Free { first: std::ptr::null_mut(), count: 0 }; SMALL_CLASSES];
        jemalloc::ThreadCache::new().map(|cache| Self { cache, free })
    }

    /// Which list a block belongs to.
    #[inline(always)]
    fn class(layout: Layout) -> Option<usize> {
        if layout.align() > 16 {
            return None;
        }
        SMALL_CLASS.get(layout.size().div_ceil(16)).map(|class| usize::from(*class))
    }

    /// jemalloc's cache keeps up to 200 blocks of a size and never gives them back by itself: of small ones that is little, of
    /// larger ones it would be many megabytes a shard.
    #[inline(always)]
    fn cache_for(&self, layout: Layout) -> Option<&jemalloc::ThreadCache> {
        Self::class(layout).map(|_| &self.cache)
    }

    #[inline(always)]
    fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
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
    fn keep(&mut self, block: NonNull<u8>, layout: Layout) -> bool {
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
    pub(super) const fn none() -> Self {
        Self {
            #[cfg(all(feature = "jemalloc", not(miri)))]
            blocks: None,
        }
    }

    /// Asks the processor for the block that the next allocation will take: it may have been written last by another core.
    #[inline(always)]
    pub(super) fn expect(&self, layout: Layout) {
        let _ = layout;
        #[cfg(all(feature = "jemalloc", not(miri)))]
        if let Some(blocks) = &self.blocks {
            blocks.expect(layout);
        }
    }

    /// Gives the blocks at hand back to the arena.
    pub(super) fn flush(&mut self) {
        #[cfg(all(feature = "jemalloc", not(miri)))]
        if let Some(blocks) = &mut self.blocks {
            blocks.flush();
        }
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

#[cfg(all(feature = "jemalloc", not(miri)))]
mod jemalloc {
    //! One jemalloc arena. An arena may only be destroyed when no thread cache still holds memory of it, and a cache is used
    //! by threads that this library never hears of again: so the threads' own caches are never used with it, only
    //! explicit ones, each of which belongs to a shard and is destroyed before the arena.
    //!
    //! Large parts of a large arena are offered to the kernel for huge pages: a get from a million entries touches pages
    //! at random, and the processor's page tables are then as far away as the entries.

    use std::alloc::Layout;
    use std::ffi::{c_int, c_uint, c_void, CString};
    use std::ptr::{null_mut, NonNull};
    use std::sync::OnceLock;
    use tikv_jemalloc_sys as sys;

    pub(super) struct Arena {
        index: c_uint,
    }

    /// An explicit thread cache of jemalloc's.
    pub(super) struct ThreadCache {
        index: c_uint,
    }

    impl ThreadCache {
        /// `None` when there is none left (jemalloc can keep about four thousand) or no memory.
        pub(super) fn new() -> Option<Self> {
            let mut index: c_uint = 0;
            let mut size = size_of::<c_uint>();
            let name = c"tcache.create";
            // SAFETY: "tcache.create" writes an unsigned into `index`, whose size is in `size`.
            let failed = unsafe { sys::mallctl(name.as_ptr(), (&raw mut index).cast(), &mut size, null_mut(), 0) };
            (failed == 0).then_some(Self { index })
        }

        pub(super) fn flush(&self) {
            self.control(c"tcache.flush");
        }

        fn control(&self, name: &std::ffi::CStr) {
            let mut index = self.index;
            // SAFETY: "tcache.flush" and "tcache.destroy" take an unsigned, which names a thread cache of ours.
            unsafe {
                let size = size_of::<c_uint>();
                sys::mallctl(name.as_ptr(), null_mut(), null_mut(), (&raw mut index).cast(), size);
            }
        }
    }

    impl Drop for ThreadCache {
        fn drop(&mut self) {
            self.control(c"tcache.destroy");
        }
    }

    /// From this size on an extent is offered for huge pages. jemalloc asks for ever larger ones as an arena grows, so this
    /// is an arena of some 16 MiB; a small cache would only take more memory than it needs.
    const HUGE_FROM: usize = 4 << 20;

    /// jemalloc's own way to get memory, and then a word to the kernel about it.
    unsafe extern "C" fn allocate_extent(
        _: *mut sys::extent_hooks_t,
        new_addr: *mut c_void,
        size: usize,
        alignment: usize,
        zero: *mut bool,
        commit: *mut bool,
        arena: c_uint,
    ) -> *mut c_void {
        let Some((default, allocate)) = default_hooks().and_then(|hooks| Some((hooks, hooks.alloc?))) else {
            return null_mut();
        };
        let default = std::ptr::from_ref(default).cast_mut();
        // SAFETY: the arguments are those that jemalloc gave, for the function that it would have called.
        let extent = unsafe { allocate(default, new_addr, size, alignment, zero.cast(), commit.cast(), arena) };
        if !extent.is_null() && size >= HUGE_FROM {
            // SAFETY: advice about a mapping that was made just now; it changes no byte of it.
            unsafe { libc::madvise(extent, size, libc::MADV_HUGEPAGE) };
        }
        extent
    }

    /// The hooks of the first arena, which are jemalloc's own.
    fn default_hooks() -> Option<&'static sys::extent_hooks_t> {
        static HOOKS: OnceLock<Option<&'static sys::extent_hooks_t>> = OnceLock::new();
        *HOOKS.get_or_init(|| {
            let mut hooks: *const sys::extent_hooks_t = null_mut();
            let mut size = size_of::<*const sys::extent_hooks_t>();
            let name = c"arena.0.extent_hooks";
            // SAFETY: "arena.0.extent_hooks" writes a pointer to hooks that live as long as the process.
            unsafe {
                let failed = sys::mallctl(name.as_ptr(), (&raw mut hooks).cast(), &mut size, null_mut(), 0);
                (failed == 0).then_some(hooks.as_ref()).flatten()
            }
        })
    }

    /// The hooks of our arenas. They live as long as the process.
    fn hooks() -> Option<&'static sys::extent_hooks_t> {
        static HOOKS: OnceLock<Option<sys::extent_hooks_t>> = OnceLock::new();
        let make = || default_hooks().map(|default| sys::extent_hooks_t { alloc: Some(ALLOCATE), ..*default });
        HOOKS.get_or_init(make).as_ref()
    }

    /// Gives a block back, past all caches when there is none.
    ///
    /// # Safety
    ///
    /// `block` came from [`Arena::allocate`] of one of our arenas with this layout and is not used again.
    #[inline]
    pub(super) unsafe fn free(block: NonNull<u8>, layout: Layout, cache: Option<&ThreadCache>) {
        let flags = cache_flag(cache) | alignment_flag(layout);
        // SAFETY: the caller's promise.
        unsafe { sys::sdallocx(block.as_ptr().cast(), layout.size(), flags) }
    }

    #[inline]
    fn cache_flag(cache: Option<&ThreadCache>) -> c_int {
        cache.map_or(sys::MALLOCX_TCACHE_NONE, |cache| sys::MALLOCX_TCACHE(cache.index as usize))
    }

    #[inline]
    fn alignment_flag(layout: Layout) -> c_int {
        // All blocks of 16 bytes and more are aligned to 16 unasked.
        if layout.align() <= QUANTUM {
            0
        } else {
            sys::MALLOCX_ALIGN(layout.align())
        }
    }

    const QUANTUM: usize = 16;
    /// Above 14 KiB blocks are padded for the benefit of the processor's cache.
    const LARGEST_COMPUTED: usize = 14 << 10;

    /// What jemalloc makes of a size: multiples of 16 up to 128, from there on four steps to each doubling. Every put and
    /// every eviction asks for it; a test compares it with jemalloc's own answer.
    #[inline]
    pub(super) const fn size_class(size: usize) -> usize {
        let step = if size <= 128 { QUANTUM } else { 1 << ((size - 1).ilog2() - 2) };
        size.next_multiple_of(step)
    }

    const ALLOCATE: sys::extent_alloc_t = allocate_extent;

    impl Arena {
        /// `None` when jemalloc has no arena left (it can keep about four thousand) or no memory for one.
        pub(super) fn new() -> Option<Self> {
            let mut index: c_uint = 0;
            let mut size = size_of::<c_uint>();
            let mut hooks = std::ptr::from_ref(hooks()?);
            // SAFETY: "arenas.create" takes a pointer to hooks and writes an unsigned into `index`, whose size is in `size`.
            let failed = unsafe {
                let (new, new_size) = ((&raw mut hooks).cast(), size_of::<*const sys::extent_hooks_t>());
                sys::mallctl(c"arenas.create".as_ptr(), (&raw mut index).cast(), &mut size, new, new_size)
            };
            (failed == 0).then_some(Self { index }).inspect(Self::set_decay)
        }

        /// Pages that hold nothing any more go back after a second, not after jemalloc's ten: mostly they were a table of the
        /// index, or entries for which there is no room any more.
        fn set_decay(&self) {
            let mut millis: isize = 1_000;
            let Ok(name) = CString::new(format!("arena.{}.dirty_decay_ms", self.index)) else { return };
            // SAFETY: "arena.<i>.dirty_decay_ms" takes an ssize_t.
            unsafe {
                let size = size_of::<isize>();
                sys::mallctl(name.as_ptr(), null_mut(), null_mut(), (&raw mut millis).cast(), size);
            }
        }

        #[inline]
        pub(super) fn allocate(&self, layout: Layout, cache: Option<&ThreadCache>) -> Option<NonNull<u8>> {
            let flags = sys::MALLOCX_ARENA(self.index as usize) | cache_flag(cache) | alignment_flag(layout);
            // SAFETY: the size is not 0, and the flags name a live arena and an alignment that is a power of two.
            NonNull::new(unsafe { sys::mallocx(layout.size(), flags) }.cast())
        }

        #[inline(always)]
        pub(super) fn size_of(&self, layout: Layout) -> u64 {
            match super::Blocks::class(layout) {
                Some(class) => class as u64 * QUANTUM as u64,
                None => Self::size_of_large(layout),
            }
        }

        #[inline(never)]
        fn size_of_large(layout: Layout) -> u64 {
            if layout.align() <= QUANTUM && layout.size() <= LARGEST_COMPUTED {
                return size_class(layout.size()) as u64;
            }
            // SAFETY: a computation; the size is not 0.
            unsafe { sys::nallocx(layout.size(), alignment_flag(layout)) as u64 }
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
            // is left; thread caches that were used with it are gone, since shards are dropped first.
            unsafe { self.control("arena", "destroy", null_mut(), 0) };
        }
    }
}

#[cfg(shuttle)]
mod quarantine {
    //! Where a model's freed blocks stay until the heap goes: filled with a pattern, so that whoever still reads or frees
    //! one is found out every time. For blocks of the system's allocator.

    use crate::sync::FREED;
    use std::alloc::Layout;
    use std::ptr::NonNull;
    use std::sync::{Mutex, PoisonError};

    #[derive(Default)]
    pub(super) struct Quarantine(Mutex<Vec<usize>>);

    impl Quarantine {
        /// # Safety
        ///
        /// The block has this layout, and came from malloc or posix_memalign.
        pub(super) unsafe fn take(&self, block: NonNull<u8>, layout: Layout) {
            let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(!blocks.contains(&block.as_ptr().addr()), "a block was freed twice");
            // SAFETY: the caller's promise; it is not given back before this heap goes.
            unsafe { block.write_bytes(FREED, layout.size()) };
            blocks.push(block.as_ptr().expose_provenance());
        }
    }

    impl Drop for Quarantine {
        fn drop(&mut self) {
            for block in self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
                // SAFETY: `take` was told that it came from malloc, and it is in the list once.
                unsafe { libc::free(std::ptr::with_exposed_provenance_mut(*block)) };
            }
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

    #[cfg(all(feature = "jemalloc", not(miri)))]
    #[test]
    fn size_classes_are_those_of_jemalloc() {
        for size in 1..=14 << 10 {
            // SAFETY: a computation; the size is not 0.
            let asked = unsafe { tikv_jemalloc_sys::nallocx(size, 0) };
            // Entries are larger than the one class that is smaller than a quantum.
            assert!(jemalloc::size_class(size) == asked || size <= 8, "{size}: {asked}");
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
