//! Asks the processor for lines before they are needed. Nothing is read here, so any address will do.

/// Bytes of a line of the processor's cache.
pub(in super::super) const LINE: usize = 64;

/// Asks the processor for an entry at an address that may have become none, and for its links, so many lines behind.
#[inline(always)]
pub(in super::super) fn prefetch_at(address: u64, line_of_links: u64) {
    let begin = std::ptr::without_provenance::<u8>(address as usize);
    prefetch(begin);
    prefetch_to_write(begin.wrapping_add(line_of_links as usize * LINE));
}

/// Asks the processor to fetch a line that will be read soon. Any address will do; nothing is read from it yet.
#[inline(always)]
pub(in super::super) fn prefetch<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint that never faults.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch(pointer.cast::<i8>(), _MM_HINT_T0);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = pointer;
}

/// The same for a line that will be written soon: other cores give it up now.
#[inline(always)]
pub(in super::super) fn prefetch_to_write<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint that never faults, and does nothing on processors that do not know it. Not by its intrinsic, which becomes a
    // hint to read unless the whole library is built for processors that know this one.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = pointer;
}
