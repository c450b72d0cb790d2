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
