//! One jemalloc arena. An arena may only be destroyed when no thread cache still holds memory of it, and a cache is used
//! by threads that this library never hears of again: so the threads' own caches are never used with it, only
//! explicit ones, each of which belongs to a shard and is destroyed before the arena.
//!
//! Large parts of a large arena are offered to the kernel for huge pages: a get from a million entries touches pages
//! at random, and the processor's page tables are then as far away as the entries.

use super::magazine::Blocks;
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
        match Blocks::class(layout) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        for size in 1..=14 << 10 {
            // SAFETY: a computation; the size is not 0.
            let asked = unsafe { tikv_jemalloc_sys::nallocx(size, 0) };
            // Entries are larger than the one class that is smaller than a quantum.
            assert!(size_class(size) == asked || size <= 8, "{size}: {asked}");
        }
    }
}
