//! What is freed outside the shard's lock, since it may take a while: large blocks, and tables. The barrier that others wait for is
//! passed there, too.

use super::super::arena::{Heap, Magazine};
use super::super::entry::EntryRef;
use super::super::index::OldTable;
use super::super::record;

/// The pages of a table of this size are given back to the system at once.
const LARGE_TABLE: u64 = 256 << 10;

/// Large blocks that nobody can be reading. Dropping it frees them; do that outside the shard's lock.
pub(in super::super) struct Garbage<'a> {
    pub(super) left: Vec<Left>,
    /// The barrier that everything waits for should be passed now.
    pub(super) wants_barrier: bool,
    pub(super) heap: &'a Heap,
}

pub(super) enum Left {
    Entry(EntryRef),
    Table(OldTable),
}

impl<'a> Garbage<'a> {
    pub(in super::super) fn none(heap: &'a Heap) -> Self {
        Self { left: Vec::new(), wants_barrier: false, heap }
    }
}

impl Drop for Garbage<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.wants_barrier || !self.left.is_empty() {
            self.dispose();
        }
    }
}

impl Garbage<'_> {
    #[cold]
    fn dispose(&mut self) {
        if self.wants_barrier {
            // Who comes next to a shard that waits for it will find that it has been passed.
            record::pass_barrier();
        }
        for left in self.left.drain(..) {
            match left {
                // SAFETY: `release_sealed` found nobody who could be reading it, and it has been taken off the list.
                Left::Entry(entry) => unsafe { entry.free(self.heap, &mut Magazine::none()) },
                Left::Table(table) => {
                    let is_large = table.size(self.heap) >= LARGE_TABLE;
                    // SAFETY: as above, and readers cannot find it any more.
                    unsafe { table.free(self.heap) };
                    if is_large && self.heap.is_arena() {
                        // Else it would stay resident until the arena is used again. malloc gives blocks of that size back
                        // by itself.
                        self.heap.trim();
                    }
                }
            }
        }
    }
}
