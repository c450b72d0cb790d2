//! One bucket: what is in its line, how a reader looks into it, and how a writer changes it.

use super::super::arena::ADDRESS_BITS;
use super::super::entry::{prefetch, EntryRef, Header, Label, LINE};
use super::super::hazard;
use super::Hash;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::ptr::null_mut;

pub(super) const SLOTS: usize = 7;
const SATURATED: u64 = 255;
pub(super) const OVERFLOW_SHIFT: u32 = 56;

#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Seven tags, and in the highest byte the overflow count.
    pub(super) meta: AtomicU64,
    pub(super) slots: [AtomicPtr<Header>; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The lowest bit of each byte that holds `tag`, among the seven tags. Now and then a byte above one that does is reported
/// too, which the slot's own tag then refutes.
#[inline(always)]
pub(super) fn matches(meta: u64, tag: u8) -> u64 {
    const LOW: u64 = 0x0001_0101_0101_0101;
    const HIGH: u64 = 0x0080_8080_8080_8080;
    let differing = meta ^ u64::from(tag).wrapping_mul(LOW);
    differing.wrapping_sub(LOW) & !differing & HIGH
}

/// Each slot that [`matches`] reported.
#[inline(always)]
pub(super) fn slots_of(mut matches: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (matches != 0).then_some((matches.trailing_zeros() >> 3) as usize);
        matches &= matches.wrapping_sub(1);
        slot
    })
}

#[inline(always)]
pub(super) fn slot_word(entry: EntryRef, hash: Hash) -> *mut Header {
    entry.as_ptr().map_addr(|address| address | hash.slot_tag())
}

/// The entry in a slot.
///
/// # Safety
///
/// The slot is not empty, and something keeps the entry alive for as long as the result is used.
#[inline(always)]
pub(super) unsafe fn entry_in(word: *mut Header) -> EntryRef {
    // SAFETY: the caller's promise. A slot that is not empty holds an entry's address, which is not 0.
    unsafe { EntryRef::from_ptr(word.map_addr(|address| address & ADDRESS)).unwrap_unchecked() }
}

pub(super) const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;

/// The address in a slot that may hold an entry with that hash. `None`: another entry, or none.
#[inline(always)]
pub(super) fn address_for(word: *mut Header, hash: Hash) -> Option<*mut Header> {
    // Taking the hash's bits off leaves the address if they are the same, else more than any. An empty slot leaves 0 or those bits.
    let left = word.map_addr(|word| word ^ hash.slot_tag());
    (left.addr().wrapping_sub(1) < ADDRESS).then_some(left)
}

/// Whether two keys are the same. Lengths of most keys are compared in two overlapping halves, without a call.
#[inline(always)]
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    fn halves<const N: usize>(a: &[u8], b: &[u8]) -> bool {
        a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
    }
    a.len() == b.len()
        && match a.len() {
            16..=32 => halves::<16>(a, b),
            8..=15 => halves::<8>(a, b),
            _ => a == b,
        }
}

/// Where the value stands says the entry's first line, which has to be waited for. So many lines behind it are asked for at the
/// same time: the values of most caches end there. Gets of 128 bytes from 10,000 entries took 39 ns without and take 34, from a
/// million 279 and 233, and classic ones whose caller copies 128 bytes 53 and 47; a third and a fourth line made no difference, neither
/// did any to values of 1,000 bytes.
const LINES_AHEAD: usize = 2;

/// What a reader finds in a slot whose tag is the right one.
pub(super) enum Slot {
    Found(EntryRef, Label),
    /// Another key, or nothing any more.
    Other,
    /// Another entry than a moment ago.
    Changed,
}

/// What a reader finds in a bucket.
pub(super) enum InBucket {
    Found(EntryRef, Label),
    /// The key is not there, and would be nowhere else.
    Absent,
    /// It may be in one of the next buckets.
    Behind,
    /// Somebody changes what was being looked at.
    Changed,
}

impl Bucket {
    /// Looks for a key, as [`Published::search`](super::Published::search) does.
    #[inline(always)]
    pub(super) fn search<const READS: bool>(&self, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> InBucket {
        let meta = self.meta.load(Ordering::Acquire);
        for slot in slots_of(matches(meta, hash.tag())) {
            match self.try_slot::<READS>(slot, hazard, hash, key) {
                Slot::Found(entry, label) => return InBucket::Found(entry, label),
                Slot::Other => {}
                Slot::Changed => return InBucket::Changed,
            }
        }
        if meta >> OVERFLOW_SHIFT == 0 {
            InBucket::Absent
        } else {
            InBucket::Behind
        }
    }

    /// Announces the entry in a slot, if it can be the one, and then looks whether it is.
    #[inline(always)]
    pub(super) fn try_slot<const READS: bool>(
        &self,
        slot: usize,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Slot {
        let slot = &self.slots[slot];
        let word = slot.load(Ordering::Acquire);
        let Some(entry) = address_for(word, hash) else { return Slot::Other };
        if READS {
            for line in 1..=LINES_AHEAD {
                prefetch(entry.cast::<u8>().wrapping_add(line * LINE));
            }
        }
        if hazard::announce(hazard, entry, || slot.load(Ordering::Acquire)) != word {
            return Slot::Changed;
        }
        // SAFETY: it is announced, and was in the slot after that (see `reclaim`); an address is not 0.
        let entry = unsafe { EntryRef::from_ptr(entry).unwrap_unchecked() };
        let label = entry.label();
        if equal(entry.key_by(label), key) {
            Slot::Found(entry, label)
        } else {
            Slot::Other
        }
    }

    pub(super) fn meta(&self) -> u64 {
        // Only written under the lock, which the caller holds.
        self.meta.load(Ordering::Relaxed)
    }

    /// `meta`: what [`Bucket::meta`] is.
    #[inline(always)]
    fn set_tag(&self, meta: u64, slot: usize, tag: u8) {
        let shift = 8 * slot as u32;
        self.meta.store(meta & !(0xFF << shift) | u64::from(tag) << shift, Ordering::Release);
    }

    /// One entry more, or less, that had to go on to another bucket.
    pub(super) fn count_overflow(&self, more: bool) {
        let meta = self.meta();
        if meta >> OVERFLOW_SHIFT != SATURATED {
            let one = 1 << OVERFLOW_SHIFT;
            self.meta.store(if more { meta + one } else { meta - one }, Ordering::Release);
        }
    }

    /// Fills a free slot, if there is one; its tag first, see the top of the file.
    #[inline(always)]
    pub(super) fn put(&self, entry: EntryRef, hash: Hash) -> bool {
        let meta = self.meta();
        let is_free = |slot: &usize| self.slots[*slot].load(Ordering::Relaxed).is_null();
        let Some(slot) = slots_of(matches(meta, 0)).find(is_free) else { return false };
        self.set_tag(meta, slot, hash.tag());
        self.slots[slot].store(slot_word(entry, hash), Ordering::Release);
        true
    }

    pub(super) fn entry(&self, slot: usize) -> Option<EntryRef> {
        let word = self.slots[slot].load(Ordering::Relaxed);
        // SAFETY: the caller holds the shard's lock, and while a slot names an entry it is not freed.
        (!word.is_null()).then(|| unsafe { entry_in(word) })
    }

    /// Empties a slot.
    pub(super) fn take(&self, slot: usize) -> Option<EntryRef> {
        let entry = self.entry(slot)?;
        self.clear_slot(slot);
        Some(entry)
    }

    #[inline(always)]
    fn clear_slot(&self, slot: usize) {
        self.set_tag(self.meta(), slot, 0);
        self.slots[slot].store(null_mut(), Ordering::Release);
    }

    /// Empties the slot with that word in it, if there is one.
    #[inline(always)]
    pub(super) fn take_word(&self, word: *mut Header, tag: u8) -> bool {
        let meta = self.meta();
        for slot in slots_of(matches(meta, tag)) {
            if self.slots[slot].load(Ordering::Relaxed) == word {
                self.set_tag(meta, slot, 0);
                self.slots[slot].store(null_mut(), Ordering::Release);
                return true;
            }
        }
        false
    }
}
