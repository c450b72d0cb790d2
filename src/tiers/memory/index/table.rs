//! Buckets in a row: how many there are, which is a hash's, and where the memory comes from and goes to.

use super::super::arena::{Heap, Magazine, ADDRESS_BITS};
use super::super::entry::EntryRef;
use super::bucket::{Bucket, SLOTS};
use super::Hash;
use std::alloc::Layout;
use std::ptr::{null_mut, NonNull};

/// A number of buckets and where they are, in one word: the address is a multiple of 64 below 2^48, and the bits that
/// it leaves hold the number, of which only some values are possible (see [`Size`]).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Table(pub(super) *mut Bucket);

// SAFETY: a name for buckets, which are made of atomics.
unsafe impl Send for Table {}

/// A number of buckets: below 64 any, above that 32 steps to each doubling. It is `multiplier << exponent`, in a form in which a
/// place becomes a bucket by one multiplication and one shift: the multiplier in the low six bits, above them 32 less the
/// exponent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(u16);

const MULTIPLIER_BITS: u32 = 6;
const MULTIPLIERS: usize = 1 << MULTIPLIER_BITS;

impl Size {
    /// `multiplier`: from 1 to [`MULTIPLIERS`].
    pub(super) fn new(multiplier: usize, exponent: u32) -> Self {
        let (multiplier, exponent) =
            if multiplier == MULTIPLIERS { (MULTIPLIERS / 2, exponent + 1) } else { (multiplier, exponent) };
        Self(((32 - exponent) << MULTIPLIER_BITS) as u16 | multiplier as u16)
    }

    #[inline(always)]
    pub(super) fn multiplier(self) -> usize {
        usize::from(self.0) % MULTIPLIERS
    }

    /// How far to the right a place's product with the multiplier stands.
    #[inline(always)]
    pub(super) fn shift(self) -> u32 {
        u32::from(self.0) >> MULTIPLIER_BITS
    }

    #[inline(always)]
    pub(super) fn buckets(self) -> usize {
        self.multiplier() << (32 - self.shift())
    }

    /// The smallest one that is not below `buckets`.
    pub(super) fn at_least(buckets: usize) -> Self {
        let exponent = (buckets.max(1).ilog2() + 1).saturating_sub(MULTIPLIER_BITS);
        Self::new(buckets.max(1).div_ceil(1 << exponent), exponent)
    }

    pub(super) fn next(self) -> Self {
        Self::new(self.multiplier() + 1, 32 - self.shift())
    }
}

/// Tables up to this many bytes are roomy, and take all that the allocator gives them anyway. In larger ones, whose last pages would
/// else never be touched, that would cost memory.
pub(super) const SMALL: usize = 64 << 10;

impl Size {
    /// The largest one for which the allocator takes no more than for this one.
    pub(super) fn filling(self, heap: &Heap) -> Self {
        let taken = |size: Self| layout(size).map(|layout| heap.size_for(layout));
        let mut size = self;
        while taken(size).is_some_and(|bytes| bytes <= SMALL as u64 && taken(size.next()) == Some(bytes)) {
            size = size.next();
        }
        size
    }
}

impl Table {
    pub(super) const NONE: Self = Self(null_mut());

    pub(super) fn new(buckets: NonNull<Bucket>, size: Size) -> Self {
        Self(buckets.as_ptr().map_addr(|address| address | usize::from(size.0) << ADDRESS_BITS))
    }

    #[inline(always)]
    pub(super) fn is_none(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    pub(super) fn size(self) -> Size {
        Size((self.0.addr() >> ADDRESS_BITS) as u16)
    }

    #[inline(always)]
    pub(super) fn base(self) -> *mut Bucket {
        self.0.map_addr(|address| address & ((1 << ADDRESS_BITS) - 1))
    }

    #[inline(always)]
    pub(super) fn home(self, hash: Hash) -> usize {
        self.home_of(hash.place().into())
    }

    #[inline(always)]
    pub(super) fn home_of(self, place: u64) -> usize {
        // 32 bits spread over the buckets.
        ((place * self.size().multiplier() as u64) >> self.size().shift()) as usize
    }

    /// The bucket that an entry goes to when this one is full.
    #[inline(always)]
    pub(super) fn after(self, number: usize) -> usize {
        if number + 1 == self.size().buckets() {
            0
        } else {
            number + 1
        }
    }

    /// The bucket of that number.
    ///
    /// # Safety
    ///
    /// The table is alive for `'a`, and has so many buckets.
    #[inline(always)]
    pub(super) unsafe fn bucket<'a>(self, number: usize) -> &'a Bucket {
        // SAFETY: the caller's promise.
        unsafe { &*self.base().add(number) }
    }

    pub(super) fn layout(self) -> Layout {
        // The table was made with this layout.
        layout(self.size()).unwrap_or(Layout::new::<Bucket>())
    }
}

pub(super) fn layout(size: Size) -> Option<Layout> {
    Layout::array::<Bucket>(size.buckets()).ok()
}

/// A table that is no longer in use, but perhaps still being read.
pub(in super::super) struct OldTable(pub(super) Table);

impl OldTable {
    /// What readers announce.
    pub(in super::super) fn address(&self) -> usize {
        self.0.base().addr()
    }

    pub(in super::super) fn size(&self, heap: &Heap) -> u64 {
        self.0.size_in(heap)
    }

    /// # Safety
    ///
    /// Nobody announces the table, and nobody can find it any more.
    pub(in super::super) unsafe fn free(self, heap: &Heap) {
        if let Some(base) = NonNull::new(self.0.base()) {
            // SAFETY: it came from this heap with this layout; nobody uses it any more, as the caller promises.
            unsafe { heap.free(base.cast(), self.0.layout(), &mut Magazine::none()) };
        }
    }

    /// Takes all entries out, a few at a time, so that `each` can be called for them. For a table that writers no longer
    /// know, while readers may still be in it.
    pub(in super::super) fn drain(&self, from: &mut usize, most: usize, mut each: impl FnMut(EntryRef)) -> bool {
        let buckets = if self.0.is_none() { 0 } else { self.0.size().buckets() };
        let end = buckets.min(*from + most.div_ceil(SLOTS));
        for number in *from..end {
            // SAFETY: the table is alive until `free`, and has so many buckets.
            let bucket = unsafe { self.0.bucket(number) };
            for slot in 0..SLOTS {
                if let Some(entry) = bucket.take(slot) {
                    each(entry);
                }
            }
        }
        *from = end;
        end < buckets
    }
}

impl Table {
    pub(super) fn size_in(self, heap: &Heap) -> u64 {
        NonNull::new(self.base()).map_or(0, |base| heap.size_of(base.cast(), self.layout()))
    }
}
