//! The first word of an entry: when it expires, what it is, and how long its key is.

use crate::clock::{Tick, FOREVER, TICK_BITS};

const KEY_BITS: u32 = 22;

/// The longest key, in bytes. Arbitrary: far above any sensible key; 22 bits are what the header has left.
pub const MAX_KEY_LEN: usize = (1 << KEY_BITS) - 1;

/// The value is an LZ4 block after its original length in four bytes.
pub(super) const LZ4: u64 = 1 << KEY_BITS;
/// A hit gives the entry its lifetime anew.
pub(super) const SLIDING: u64 = 1 << (KEY_BITS + 1);
/// The entry carries tags.
pub(super) const TAGGED: u64 = 1 << (KEY_BITS + 2);
pub(super) const DEADLINE_SHIFT: u32 = KEY_BITS + 3;
pub(super) const FLAGS_AND_KEY: u64 = (1 << DEADLINE_SHIFT) - 1;
const _: () = assert!(DEADLINE_SHIFT + TICK_BITS == u64::BITS);

/// The first word of an entry as it was at one moment: its deadline may be another one at the next. For whoever asks it several
/// things; the rest of it never changes.
#[derive(Clone, Copy)]
pub(in super::super) struct Label(pub(super) u64);

impl Label {
    #[inline(always)]
    pub(super) fn deadline(self) -> Tick {
        self.0 >> DEADLINE_SHIFT
    }

    #[inline(always)]
    pub(in super::super) fn expires(self) -> bool {
        self.deadline() != FOREVER
    }

    #[inline(always)]
    pub(in super::super) fn is_expired(self, now: Tick) -> bool {
        now >= self.deadline()
    }

    #[inline(always)]
    pub(in super::super) fn is_sliding(self) -> bool {
        self.0 & SLIDING != 0
    }

    #[inline(always)]
    pub(super) fn is_tagged(self) -> bool {
        self.0 & TAGGED != 0
    }

    /// Whether nothing stands behind the links.
    #[inline(always)]
    pub(super) fn is_bare(self) -> bool {
        self.0 & (SLIDING | TAGGED) == 0
    }

    #[inline(always)]
    pub(super) fn is_compressed(self) -> bool {
        self.0 & LZ4 != 0
    }

    #[inline(always)]
    pub(super) fn key_len(self) -> usize {
        self.0 as usize & MAX_KEY_LEN
    }
}
