//! What writers of a shard write: the figures, what the lock protects, and the order in which all that stands in memory.

use super::super::arena::{Heap, Magazine};
use super::super::budget::Grant;
use super::super::entry::LINE;
use super::super::expiry::Wheel;
use super::super::index::Index;
use super::super::policy::{Books, Chosen};
use super::super::reclaim::Retired;
use super::super::tags::Tags;
use super::super::version::Versions;
use crate::clock::Tick;
use crate::sync::Mutex;
use std::mem::offset_of;
// Nothing is decided by the figures, so a model has nothing to choose at them.
use std::sync::atomic::AtomicU64;

/// What writers write, so arranged that a put writes few lines: on a machine of many cores it is as slow as it touches lines that
/// another core has written.
///
/// ```text
///  line 0    figures, lock        every put writes it
///       1    index, sums of bytes    "
///       2    what has left           "
///     3, 4   when it is looked whether that can be freed: read
///       5    two queues           every put writes it, of most policies
///     6, 7   the rest of the policy's books, what was granted: read
///       8    all others
/// ```
#[repr(C)]
pub(super) struct Written {
    pub(super) figures: Figures,
    pub(super) state: Mutex<State>,
    pub(super) rare: Rare,
}

const _: () = {
    assert!(offset_of!(Written, state) + size_of::<u64>() == LINE);
    assert!(offset_of!(State, retired) == LINE);
    // Books begin with which they are.
    assert!((offset_of!(State, policy) + size_of::<u64>()) == (QUEUES - 1) * LINE);
};

/// The lines that every put writes.
pub(super) const HOT: [usize; 4] = [0, 1, 2, QUEUES];
const QUEUES: usize = 5;

/// What writers count.
#[derive(Clone, Copy)]
pub(in super::super) enum Count {
    Puts,
    Removals,
    Evictions,
    Expirations,
    CompressedPuts,
    CompressionInput,
    CompressionOutput,
}

/// Those up to [`Count::Expirations`], and the rest.
const OFTEN: usize = 4;
const SELDOM: usize = 3;

/// What can be told without the lock: as of when it was last released. Only written under it.
#[derive(Default)]
#[repr(C)]
pub(super) struct Figures {
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) lent: AtomicU64,
    counts: [AtomicU64; OFTEN],
}

/// The same, of what seldom changes.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) index: AtomicU64,
    counts: [AtomicU64; SELDOM],
}

/// What the lock protects, in the order that [`Written`] tells.
#[repr(C)]
pub(in super::super) struct State {
    pub(super) index: Index,
    /// What the allocator takes for the entries in the index.
    pub(super) entry_bytes: u64,
    /// What it takes for the index.
    pub(super) index_bytes: u64,
    pub(super) retired: Retired,
    pub(super) policy: Books,
    pub(super) grant: Grant,
    /// Which versions entries are, of those that were asked.
    pub(super) versions: Versions,
    /// Which tags they carry.
    pub(super) tags: Tags,
    pub(super) wheel: Wheel,
    pub(super) magazine: Magazine,
    /// Heavy entries that were turned away lately, see [`Locked::is_expected`](super::Locked::is_expected).
    pub(super) turned_away: [u64; 8],
    pub(super) random: u64,
    /// Whose books `policy` are.
    pub(super) chosen: Chosen,
}

impl State {
    pub(super) fn new(policy: &Chosen, now: Tick, heap: &Heap) -> Self {
        Self {
            index: Index::new(),
            policy: Books::new(policy),
            wheel: Wheel::new(now),
            retired: Retired::new(),
            magazine: heap.magazine(),
            grant: Grant::default(),
            versions: Versions::new(),
            tags: Tags::new(),
            entry_bytes: 0,
            index_bytes: 0,
            turned_away: [0; 8],
            random: 0x9E37_79B9_7F4A_7C15,
            chosen: policy.clone(),
        }
    }
}

impl Written {
    #[inline(always)]
    pub(super) fn count(&self, what: Count) -> &AtomicU64 {
        match what as usize {
            often @ ..OFTEN => &self.figures.counts[often],
            seldom => &self.rare.counts[seldom - OFTEN],
        }
    }
}
