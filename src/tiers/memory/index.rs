//! From a key's hash to its entry: cache-line buckets of seven short tags and seven entries.
//!
//! ```text
//!  byte 0                7          8                                                         64
//!       +----------------+----------+---------------------------------------------------------+
//!       | 7 tags         | overflow | 7 slots: 16 more bits of the hash, 48 bits of address   |
//!       +----------------+----------+---------------------------------------------------------+
//! ```
//!
//! A tag is 8 bits of the hash. Where there is no entry it is 0, which some entries' tags are too: the slot says. An entry that finds its bucket full goes into the next one
//! with room, and every bucket it passed counts it in `overflow`; a look-up goes on only while that count is not 0. A
//! count that has reached 255 stays there until the table is replaced: a longer look-up, never a wrong one.
//!
//! Readers need no lock: they look through [`Published`], which says where the buckets are. Writers change one word at a
//! time, under the shard's lock, and in such an order that a reader finds every key that was there all the while:
//!
//! - A new entry's slot is written after its tag, and the overflow counts on the way to it before both: who has found it
//!   once, even by a tag that stood there before, finds it again.
//! - A key that is stored again gets its new entry by one write to the slot.
//! - An entry never moves within a table. When the index grows, a larger table is published beside the old one, and each
//!   later write moves a few buckets over: an entry is put into the new table before it is taken out of the old one, and
//!   readers look into the old one first.
//! - A slot of a table is emptied before the entry may be freed, also in a table that is no longer in use. So a reader that
//!   has announced an entry and still finds it in the slot may use it.
//!
//! Memory comes from the cache's heap, and goes back to it through the shard's list of what is retired.
#![allow(unsafe_code)]

use super::arena::{Heap, Magazine, ADDRESS_BITS};
use super::entry::{prefetch, prefetch_to_write, EntryRef, Header, Label, LINE};
use super::hazard;
use super::record::Record;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::alloc::Layout;
use std::ptr::{null_mut, NonNull};

const SLOTS: usize = 7;
const SATURATED: u64 = 255;
const OVERFLOW_SHIFT: u32 = 56;

#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Seven tags, and in the highest byte the overflow count.
    meta: AtomicU64,
    slots: [AtomicPtr<Header>; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// A number of buckets and where they are, in one word: the address is a multiple of 64 below 2^48, and the bits that
/// it leaves hold the number, of which only some values are possible (see [`Size`]).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Table(*mut Bucket);

// SAFETY: a name for buckets, which are made of atomics.
unsafe impl Send for Table {}

/// A number of buckets: below 64 any, above that 32 steps to each doubling. It is `multiplier << exponent`, in a form in which a
/// place becomes a bucket by one multiplication and one shift: the multiplier in the low six bits, above them 32 less the
/// exponent.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size(u16);

const MULTIPLIER_BITS: u32 = 6;
const MULTIPLIERS: usize = 1 << MULTIPLIER_BITS;

impl Size {
    /// `multiplier`: from 1 to [`MULTIPLIERS`].
    fn new(multiplier: usize, exponent: u32) -> Self {
        let (multiplier, exponent) =
            if multiplier == MULTIPLIERS { (MULTIPLIERS / 2, exponent + 1) } else { (multiplier, exponent) };
        Self(((32 - exponent) << MULTIPLIER_BITS) as u16 | multiplier as u16)
    }

    #[inline(always)]
    fn multiplier(self) -> usize {
        usize::from(self.0) % MULTIPLIERS
    }

    /// How far to the right a place's product with the multiplier stands.
    #[inline(always)]
    fn shift(self) -> u32 {
        u32::from(self.0) >> MULTIPLIER_BITS
    }

    #[inline(always)]
    fn buckets(self) -> usize {
        self.multiplier() << (32 - self.shift())
    }

    /// The smallest one that is not below `buckets`.
    fn at_least(buckets: usize) -> Self {
        let exponent = (buckets.max(1).ilog2() + 1).saturating_sub(MULTIPLIER_BITS);
        Self::new(buckets.max(1).div_ceil(1 << exponent), exponent)
    }

    fn next(self) -> Self {
        Self::new(self.multiplier() + 1, 32 - self.shift())
    }
}

/// Tables up to this many bytes are roomy, and take all that the allocator gives them anyway. In larger ones, whose last pages would
/// else never be touched, that would cost memory.
const SMALL: usize = 64 << 10;

impl Size {
    /// The largest one for which the allocator takes no more than for this one.
    fn filling(self, heap: &Heap) -> Self {
        let taken = |size: Self| layout(size).map(|layout| heap.size_for(layout));
        let mut size = self;
        while taken(size).is_some_and(|bytes| bytes <= SMALL as u64 && taken(size.next()) == Some(bytes)) {
            size = size.next();
        }
        size
    }
}

impl Table {
    const NONE: Self = Self(null_mut());

    fn new(buckets: NonNull<Bucket>, size: Size) -> Self {
        Self(buckets.as_ptr().map_addr(|address| address | usize::from(size.0) << ADDRESS_BITS))
    }

    #[inline(always)]
    fn is_none(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    fn size(self) -> Size {
        Size((self.0.addr() >> ADDRESS_BITS) as u16)
    }

    #[inline(always)]
    fn base(self) -> *mut Bucket {
        self.0.map_addr(|address| address & ((1 << ADDRESS_BITS) - 1))
    }

    #[inline(always)]
    fn home(self, hash: Hash) -> usize {
        self.home_of(hash.place().into())
    }

    #[inline(always)]
    fn home_of(self, place: u64) -> usize {
        // 32 bits spread over the buckets.
        ((place * self.size().multiplier() as u64) >> self.size().shift()) as usize
    }

    /// The bucket that an entry goes to when this one is full.
    #[inline(always)]
    fn after(self, number: usize) -> usize {
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
    unsafe fn bucket<'a>(self, number: usize) -> &'a Bucket {
        // SAFETY: the caller's promise.
        unsafe { &*self.base().add(number) }
    }

    fn layout(self) -> Layout {
        // The table was made with this layout.
        layout(self.size()).unwrap_or(Layout::new::<Bucket>())
    }
}

fn layout(size: Size) -> Option<Layout> {
    Layout::array::<Bucket>(size.buckets()).ok()
}

/// What the parts of the engine take from a key's 64-bit hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    /// Says which bucket.
    #[inline(always)]
    pub(super) fn place(self) -> u32 {
        self.0 as u32
    }

    /// Says which of the buckets' tags. Of the place's bits, the ones that have least say in it.
    #[inline(always)]
    fn tag(self) -> u8 {
        tag(self.place())
    }

    /// More of the hash, where it stands in a slot.
    #[inline(always)]
    fn slot_tag(self) -> usize {
        ((self.0 >> 32) as u16 as usize) << ADDRESS_BITS
    }

    /// Says which shard: 16 bits.
    #[inline(always)]
    pub(super) fn shard(self) -> usize {
        (self.0 >> 48) as usize
    }
}

#[inline(always)]
fn tag(place: u32) -> u8 {
    place as u8
}

/// The lowest bit of each byte that holds `tag`, among the seven tags. Now and then a byte above one that does is reported
/// too, which the slot's own tag then refutes.
#[inline(always)]
fn matches(meta: u64, tag: u8) -> u64 {
    const LOW: u64 = 0x0001_0101_0101_0101;
    const HIGH: u64 = 0x0080_8080_8080_8080;
    let differing = meta ^ u64::from(tag).wrapping_mul(LOW);
    differing.wrapping_sub(LOW) & !differing & HIGH
}

/// Each slot that [`matches`] reported.
#[inline(always)]
fn slots_of(mut matches: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (matches != 0).then_some((matches.trailing_zeros() >> 3) as usize);
        matches &= matches.wrapping_sub(1);
        slot
    })
}

#[inline(always)]
fn slot_word(entry: EntryRef, hash: Hash) -> *mut Header {
    entry.as_ptr().map_addr(|address| address | hash.slot_tag())
}

/// The entry in a slot.
///
/// # Safety
///
/// The slot is not empty, and something keeps the entry alive for as long as the result is used.
#[inline(always)]
unsafe fn entry_in(word: *mut Header) -> EntryRef {
    // SAFETY: the caller's promise. A slot that is not empty holds an entry's address, which is not 0.
    unsafe { EntryRef::from_ptr(word.map_addr(|address| address & ADDRESS)).unwrap_unchecked() }
}

const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;

/// The address in a slot that may hold an entry with that hash. `None`: another entry, or none.
#[inline(always)]
fn address_for(word: *mut Header, hash: Hash) -> Option<*mut Header> {
    // Taking the hash's bits off leaves the address if they are the same, else more than any. An empty slot leaves 0 or those bits.
    let left = word.map_addr(|word| word ^ hash.slot_tag());
    (left.addr().wrapping_sub(1) < ADDRESS).then_some(left)
}

/// Whether two keys are the same. Lengths of most keys are compared in two overlapping halves, without a call.
#[inline(always)]
fn equal(a: &[u8], b: &[u8]) -> bool {
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

/// What readers know of a shard's index. Written under the shard's lock.
pub(super) struct Published {
    current: AtomicPtr<Bucket>,
    /// The table that `current` is replacing, while entries are still being moved over.
    previous: AtomicPtr<Bucket>,
}

/// How a search without a lock ended.
pub(super) enum Search {
    /// The entry, which the reader announces, and what it said of itself then.
    Found(EntryRef, Label),
    /// There was a moment at which the key was not there.
    Absent,
    /// Writers were too busy. Search again under the lock.
    Disturbed,
}

/// So often a search begins again when a table was replaced under it, or a slot when its entry was. In models seldom, so
/// that searches under the lock come sooner.
const RETRIES: usize = if cfg!(shuttle) { 2 } else { 16 };

/// So many buckets a search passes before it is one for [`Published::search_thoroughly`]. In models few, so that both are met.
const MOST_PASSED: usize = if cfg!(shuttle) { 2 } else { 16 };

impl Published {
    pub(super) const fn new() -> Self {
        Self { current: AtomicPtr::new(null_mut()), previous: AtomicPtr::new(null_mut()) }
    }

    #[inline(always)]
    fn current(&self) -> Table {
        Table(self.current.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn previous(&self) -> Table {
        Table(self.previous.load(Ordering::Acquire))
    }

    /// Whether the index is growing, so that every search has two tables to look into.
    #[inline(always)]
    pub(super) fn is_growing(&self) -> bool {
        !self.previous.load(Ordering::Relaxed).is_null()
    }

    /// Asks the processor for the bucket that a search will begin with.
    #[inline(always)]
    pub(super) fn prefetch_bucket(&self, hash: Hash) {
        let table = self.current();
        prefetch(table.base().wrapping_add(table.home(hash)));
    }

    /// Asks the processor for the first lines of the entry that a search will probably find.
    #[inline]
    pub(super) fn prefetch_entry(&self, record: &Record, hash: Hash, lines: usize) {
        let table = self.current();
        if table.is_none() || !record.announce_table(0, table.base().cast(), || self.current() == table) {
            return;
        }
        // SAFETY: the table is announced and was in use after that, and `home` is one of its buckets.
        let bucket = unsafe { table.bucket(table.home(hash)) };
        for slot in slots_of(matches(bucket.meta.load(Ordering::Acquire), hash.tag())) {
            if let Some(entry) = address_for(bucket.slots[slot].load(Ordering::Relaxed), hash) {
                for line in 0..lines {
                    prefetch(entry.cast::<u8>().wrapping_add(LINE * line));
                }
                return;
            }
        }
    }

    /// Finds the entry with that key, and announces it in `hazard`, which is one of the reader's slots.
    ///
    /// Only where nothing is in the way, which is nearly always: the index has one table, and nobody changes what is being looked at.
    /// Else [`Search::Disturbed`], and [`Published::search_thoroughly`] finds it. `READS`: the value will be read soon.
    #[inline(always)]
    pub(super) fn search<const READS: bool>(
        &self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Search {
        let table = self.current();
        // With acquire order: what was moved out of a table that has just gone has to be seen in this one.
        let is_plain = || self.current() == table && self.previous().is_none();
        if table.is_none() || !record.announce_table(0, table.base().cast(), is_plain) {
            return Search::Disturbed;
        }
        let home = table.home(hash);
        // SAFETY: the table is announced and was in use after that; `home` is one of its buckets.
        match unsafe { table.bucket(home) }.search::<READS>(hazard, hash, key) {
            InBucket::Found(entry, label) => Search::Found(entry, label),
            InBucket::Absent => self.absent(table),
            // SAFETY: as above.
            InBucket::Behind => unsafe { self.search_behind::<READS>(table, home, hazard, hash, key) },
            InBucket::Changed => Search::Disturbed,
        }
    }

    /// The same behind a full bucket. Where entries have come and gone for a while, a third of the buckets of a small index have
    /// sent one on, and most of a large one, whose entries are in three of ten cases not in their first: see [`FILL`].
    ///
    /// # Safety
    ///
    /// The table is announced, and was in use after that.
    #[inline(never)]
    unsafe fn search_behind<const READS: bool>(
        &self,
        table: Table,
        home: usize,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Search {
        let buckets = table.size().buckets();
        let mut number = home;
        for _ in 0..MOST_PASSED {
            number = if number + 1 == buckets { 0 } else { number + 1 };
            // SAFETY: the caller's promise; `number` is one of its buckets.
            match unsafe { table.bucket(number) }.search::<READS>(hazard, hash, key) {
                InBucket::Found(entry, label) => return Search::Found(entry, label),
                InBucket::Absent => return self.absent(table),
                InBucket::Behind => {}
                InBucket::Changed => break,
            }
        }
        Search::Disturbed
    }

    /// A key is in no bucket of a table where it could be.
    #[inline(always)]
    fn absent(&self, table: Table) -> Search {
        // Entries may have been moved to a newer table before they were met in this one.
        if self.current() == table {
            Search::Absent
        } else {
            Search::Disturbed
        }
    }

    /// As [`Published::search`], whatever is in the way.
    pub(super) fn search_thoroughly(
        &self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Search {
        let end = self.search_both(record, hazard, hash, key);
        // The entry is announced for itself. The first table's announcement is withdrawn with the entry's.
        hazard::withdraw(&record.tables[1]);
        end
    }

    fn search_both(&self, record: &Record, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Search {
        for _ in 0..RETRIES {
            let current = self.current();
            if !record.announce_table(0, current.base().cast(), || self.current() == current) {
                continue;
            }
            // Read after `current`, and published before it: a table that `current` is replacing is not missed.
            let previous = self.previous();
            if !previous.is_none() {
                match self.search_previous(record, hazard, current, previous, hash, key) {
                    Some(Search::Absent) => {}
                    Some(end) => return end,
                    None => continue,
                }
            }
            let end = if current.is_none() {
                Search::Absent
            } else {
                // SAFETY: the table is announced and was in use after that.
                unsafe { search_table(current, hazard, hash, key) }
            };
            // Entries may have been moved to a newer table before they were met in this one.
            if matches!(end, Search::Absent) && self.current() != current {
                continue;
            }
            return end;
        }
        Search::Disturbed
    }

    /// The same in the table that is being replaced. `None`: it was replaced meanwhile; begin again.
    #[cold]
    fn search_previous(
        &self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        current: Table,
        previous: Table,
        hash: Hash,
        key: &[u8],
    ) -> Option<Search> {
        let in_use = || self.previous() == previous && self.current() == current;
        if !record.announce_table(1, previous.base().cast(), in_use) {
            return None;
        }
        // SAFETY: the table is announced and was in use after that.
        Some(unsafe { search_table(previous, hazard, hash, key) })
    }
}

/// # Safety
///
/// The caller has announced the table, and it was in use after that.
unsafe fn search_table(table: Table, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Search {
    let buckets = table.size().buckets();
    let mut number = table.home(hash);
    for _ in 0..buckets {
        // SAFETY: the caller's promise; `number` stays below the number of buckets.
        let bucket = unsafe { table.bucket(number) };
        let meta = bucket.meta.load(Ordering::Acquire);
        for slot in slots_of(matches(meta, hash.tag())) {
            let mut tried = bucket.try_slot::<false>(slot, hazard, hash, key);
            for _ in 0..RETRIES {
                if !matches!(tried, Slot::Changed) {
                    break;
                }
                tried = bucket.try_slot::<false>(slot, hazard, hash, key);
            }
            match tried {
                Slot::Found(entry, label) => return Search::Found(entry, label),
                Slot::Other => {}
                Slot::Changed => return Search::Disturbed,
            }
        }
        if meta >> OVERFLOW_SHIFT == 0 {
            break;
        }
        number = table.after(number);
    }
    Search::Absent
}

/// The writer's side. Belongs to one shard and is only touched under its lock.
#[repr(C)]
pub(super) struct Index {
    current: Table,
    /// What `current` says of itself, which every write asks for: how many buckets it has, and with how many entries it is full
    /// enough for a larger one.
    buckets: usize,
    full: usize,
    previous: Table,
    /// Buckets of `previous` below this have been moved over.
    moved: usize,
    len: usize,
}

/// As many places as there are, see [`Hash::place`].
pub(super) const PLACES: u64 = 1 << 32;

/// A range of places, and how far [`Index::next_of`] has come with it.
pub(super) struct Places {
    from: u64,
    until: u64,
    table: usize,
    /// Buckets of that table.
    looked: usize,
    /// Entries have gone on behind the bucket that was looked at last.
    goes_on: bool,
}

impl Places {
    pub(super) fn contains(&self, hash: Hash) -> bool {
        (self.from..self.until).contains(&hash.place().into())
    }

    /// Where the next range begins; [`PLACES`] at the end.
    pub(super) fn until(&self) -> u64 {
        self.until
    }
}

/// The slot in which an entry was found; good until the index is changed.
#[derive(Clone, Copy)]
pub(super) struct Position(NonNull<AtomicPtr<Header>>);

/// A bucket of a table under the shard's lock, and one of its slots.
struct Place {
    table: Table,
    bucket: usize,
    slot: usize,
}

/// A table that is no longer in use, but perhaps still being read.
pub(super) struct OldTable(Table);

impl OldTable {
    /// What readers announce.
    pub(super) fn address(&self) -> usize {
        self.0.base().addr()
    }

    pub(super) fn size(&self, heap: &Heap) -> u64 {
        self.0.size_in(heap)
    }

    /// # Safety
    ///
    /// Nobody announces the table, and nobody can find it any more.
    pub(super) unsafe fn free(self, heap: &Heap) {
        if let Some(base) = NonNull::new(self.0.base()) {
            // SAFETY: it came from this heap with this layout; nobody uses it any more, as the caller promises.
            unsafe { heap.free(base.cast(), self.0.layout(), &mut Magazine::none()) };
        }
    }

    /// Takes all entries out, a few at a time, so that `each` can be called for them. For a table that writers no longer
    /// know, while readers may still be in it.
    pub(super) fn drain(&self, from: &mut usize, most: usize, mut each: impl FnMut(EntryRef)) -> bool {
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
    fn size_in(self, heap: &Heap) -> u64 {
        NonNull::new(self.base()).map_or(0, |base| heap.size_of(base.cast(), self.layout()))
    }
}

/// Where the value stands says the entry's first line, which has to be waited for. So many lines behind it are asked for at the
/// same time: the values of most caches end there. Gets of 128 bytes from 10,000 entries took 39 ns without and take 34, from a
/// million 279 and 233, and classic ones whose caller copies 128 bytes 53 and 47; a third and a fourth line made no difference, neither
/// did any to values of 1,000 bytes.
const LINES_AHEAD: usize = 2;

/// What a reader finds in a slot whose tag is the right one.
enum Slot {
    Found(EntryRef, Label),
    /// Another key, or nothing any more.
    Other,
    /// Another entry than a moment ago.
    Changed,
}

/// What a reader finds in a bucket.
enum InBucket {
    Found(EntryRef, Label),
    /// The key is not there, and would be nowhere else.
    Absent,
    /// It may be in one of the next buckets.
    Behind,
    /// Somebody changes what was being looked at.
    Changed,
}

impl Bucket {
    /// Looks for a key, as [`Published::search`] does.
    #[inline(always)]
    fn search<const READS: bool>(&self, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> InBucket {
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
    fn try_slot<const READS: bool>(&self, slot: usize, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Slot {
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

    fn meta(&self) -> u64 {
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
    fn count_overflow(&self, more: bool) {
        let meta = self.meta();
        if meta >> OVERFLOW_SHIFT != SATURATED {
            let one = 1 << OVERFLOW_SHIFT;
            self.meta.store(if more { meta + one } else { meta - one }, Ordering::Release);
        }
    }

    /// Fills a free slot, if there is one; its tag first, see the top of the file.
    #[inline(always)]
    fn put(&self, entry: EntryRef, hash: Hash) -> bool {
        let meta = self.meta();
        let is_free = |slot: &usize| self.slots[*slot].load(Ordering::Relaxed).is_null();
        let Some(slot) = slots_of(matches(meta, 0)).find(is_free) else { return false };
        self.set_tag(meta, slot, hash.tag());
        self.slots[slot].store(slot_word(entry, hash), Ordering::Release);
        true
    }

    fn entry(&self, slot: usize) -> Option<EntryRef> {
        let word = self.slots[slot].load(Ordering::Relaxed);
        // SAFETY: the caller holds the shard's lock, and while a slot names an entry it is not freed.
        (!word.is_null()).then(|| unsafe { entry_in(word) })
    }

    /// Empties a slot.
    fn take(&self, slot: usize) -> Option<EntryRef> {
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
    fn take_word(&self, word: *mut Header, tag: u8) -> bool {
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

/// Beyond seven eighths, look-ups that have to go on to further buckets become common.
fn most_entries(size: Size) -> usize {
    let slots = size.buckets() * SLOTS;
    slots - slots / 8
}

/// How full an index of a cache that knows its capacity is made, in hundredths: a compromise of bytes an entry (12) and of
/// buckets that send a search on to the next one. Those are three in ten when it has just been filled; where entries come and go
/// (what was placed behind its home stays there, and is in the way of others) eight in ten, and three entries in ten are not in
/// their first bucket. At 70 it would be six and two. The next bucket is the next line, which comes with the first: a million
/// entries of which half are replaced were not slower at 77 than at 70 (685 and 683 ns a call), and gets were by 1 to 3%.
const FILL: usize = 77;
/// The same up to [`SMALL`], where two bytes an entry are little and a second bucket is much beside what else a call waits for:
/// of a churn on 8,192 entries it was 4% of the time.
const FILL_SMALL: usize = 60;

/// Buckets that are moved to the new table with each write. Two would be enough to be done before that one is full; the
/// tables of models are small, and should stay two for a while.
const MOVED_PER_WRITE: usize = if cfg!(shuttle) { 1 } else { 4 };

impl Index {
    pub(super) const fn new() -> Self {
        Self { current: Table::NONE, buckets: 0, full: 0, previous: Table::NONE, moved: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What the tables take.
    pub(super) fn bytes(&self, heap: &Heap) -> u64 {
        self.current.size_in(heap) + self.previous.size_in(heap)
    }

    /// The entry with that key.
    #[inline]
    pub(super) fn find(&self, hash: Hash, key: &[u8]) -> Option<(Position, EntryRef)> {
        let is_it = |word: *mut Header| {
            // SAFETY: the caller holds the shard's lock; while a slot names an entry it is not freed.
            word.addr() & !ADDRESS == hash.slot_tag() && equal(unsafe { entry_in(word) }.key(), key)
        };
        self.search(hash.place(), is_it).map(position)
    }

    /// The same for one that will be replaced by an entry of that layout, which is taken to be its own: where its links stand then
    /// is asked for together with its key.
    #[inline(always)]
    pub(super) fn find_to_replace(&self, hash: Hash, key: &[u8], layout: Layout) -> Option<(Position, EntryRef)> {
        let is_it = |word: *mut Header| {
            if word.addr() & !ADDRESS != hash.slot_tag() {
                return false;
            }
            // SAFETY: as in `find`.
            let entry = unsafe { entry_in(word) };
            entry.prefetch_links_of(layout);
            equal(entry.key(), key)
        };
        // Not by `search`, so that what is compared with stays in registers.
        match search_locked(self.current, self.buckets, hash.place(), is_it) {
            Some(found) => Some(position(found)),
            None if self.previous.is_none() => None,
            None => self.find_in_previous(hash, key),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_in_previous(&self, hash: Hash, key: &[u8]) -> Option<(Position, EntryRef)> {
        self.find(hash, key)
    }

    /// Every entry that a hint of the wheel may have meant: `is_it` says which.
    pub(super) fn find_hinted(&self, place: u32, is_it: impl Fn(EntryRef) -> bool) -> Option<EntryRef> {
        // SAFETY: as in `find`.
        self.search(place, |word| is_it(unsafe { entry_in(word) })).map(|(_, entry)| entry)
    }

    #[inline(always)]
    fn search(&self, place: u32, is_it: impl Fn(*mut Header) -> bool) -> Option<(Place, EntryRef)> {
        let found = search_locked(self.current, self.buckets, place, &is_it);
        if found.is_some() || self.previous.is_none() {
            return found;
        }
        self.search_previous(place, &is_it)
    }

    #[cold]
    fn search_previous(&self, place: u32, is_it: &impl Fn(*mut Header) -> bool) -> Option<(Place, EntryRef)> {
        search_locked(self.previous, self.previous.size().buckets(), place, is_it)
    }

    /// The home of a hash in the current table, of which there is one.
    #[inline(always)]
    fn home(&self, hash: Hash) -> usize {
        ((u64::from(hash.place()) * self.buckets as u64) >> 32) as usize
    }

    /// Asks the processor for the bucket that an entry with that hash probably stands in, to take it out.
    #[inline(always)]
    pub(super) fn prefetch_bucket(&self, hash: Hash) {
        prefetch_to_write(self.current.base().wrapping_add(self.home(hash)));
    }

    /// Whether [`Index::reserve`] has nothing to do.
    #[inline(always)]
    pub(super) fn has_room(&self) -> bool {
        self.len < self.full && self.previous.is_none()
    }

    /// How large a table the next insert asks for, if it does. `expected`: so many entries the shard will hold when it is
    /// full, if that is known.
    fn wanted(&self, expected: impl Fn() -> Option<usize>) -> Option<Size> {
        let now = self.buckets;
        if self.len < self.full {
            return None;
        }
        let grown = now + now.div_ceil(2).max(2);
        let enough = expected().map(|expected| {
            let roomy = (expected * 100).div_ceil(FILL_SMALL * SLOTS);
            let is_small = roomy * size_of::<Bucket>() <= SMALL;
            if is_small {
                roomy
            } else {
                (expected * 100).div_ceil(FILL * SLOTS)
            }
        });
        Some(match enough {
            // The last step: exactly what will be needed, unless what is here already is almost that.
            Some(enough) if enough > now + now / 8 && enough <= 2 * grown => Size::at_least(enough),
            _ => Size::at_least(grown),
        })
    }

    /// Makes sure that the next [`Index::insert`] finds room, and moves a little of what has to be moved. False when there is
    /// no memory and no room.
    pub(super) fn reserve(
        &mut self,
        expected: impl Fn() -> Option<usize>,
        published: &Published,
        heap: &Heap,
        hash_of: impl Fn(&[u8]) -> Hash,
        retire: &mut dyn FnMut(OldTable),
    ) -> bool {
        self.advance(MOVED_PER_WRITE, published, &hash_of, retire);
        let Some(size) = self.wanted(expected) else { return true };
        // What the last growth has left, which is nothing unless it has been cut short.
        self.advance(usize::MAX, published, &hash_of, retire);
        self.replace_table(size, published, heap) || self.len < self.buckets * SLOTS
    }

    /// Begins to move everything into a table of that size.
    fn replace_table(&mut self, size: Size, published: &Published, heap: &Heap) -> bool {
        debug_assert!(self.previous.is_none());
        let size = size.filling(heap);
        let Some(layout) = layout(size) else { return false };
        let Some(buckets) = heap.allocate(layout, &mut Magazine::none()) else { return false };
        // SAFETY: the block is that large, and all zeros is a bucket without entries.
        unsafe { buckets.write_bytes(0, layout.size()) };
        let table = Table::new(buckets.cast(), size);
        self.previous = self.current;
        self.current = table;
        (self.buckets, self.full) = (size.buckets(), most_entries(size));
        self.moved = 0;
        published.previous.store(self.previous.0, Ordering::Release);
        published.current.store(table.0, Ordering::Release);
        true
    }

    /// Moves some buckets to the new table, if there is one.
    #[inline]
    pub(super) fn advance(
        &mut self,
        most: usize,
        published: &Published,
        hash_of: &impl Fn(&[u8]) -> Hash,
        retire: &mut dyn FnMut(OldTable),
    ) {
        if !self.previous.is_none() {
            self.move_buckets(most, published, hash_of, retire);
        }
    }

    fn move_buckets(
        &mut self,
        most: usize,
        published: &Published,
        hash_of: &impl Fn(&[u8]) -> Hash,
        retire: &mut dyn FnMut(OldTable),
    ) {
        let previous = self.previous;
        let buckets = previous.size().buckets();
        let end = buckets.min(self.moved.saturating_add(most));
        for number in self.moved..end {
            // SAFETY: the caller holds the shard's lock, under which its tables are alive.
            let bucket = unsafe { previous.bucket(number) };
            let entries: [_; SLOTS] = std::array::from_fn(|slot| bucket.entry(slot));
            entries.iter().flatten().for_each(|entry| entry.prefetch());
            for (slot, entry) in entries.into_iter().enumerate() {
                let Some(entry) = entry else { continue };
                let hash = hash_of(entry.key());
                self.place(entry, hash);
                bucket.take(slot);
                // A search for it passes these buckets no more; they may count it as long as the table lives, but a later
                // one then goes on for nothing.
                self.uncount(previous, hash.place(), number);
            }
        }
        self.moved = end;
        if end == buckets {
            published.previous.store(null_mut(), Ordering::Release);
            self.previous = Table::NONE;
            retire(OldTable(previous));
        }
    }

    /// Adds an entry whose key is not in the index. [`Index::reserve`] has been called since the last one.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: EntryRef, hash: Hash) {
        self.place(entry, hash);
        self.len += 1;
    }

    #[inline(always)]
    fn place(&self, entry: EntryRef, hash: Hash) {
        // SAFETY: the caller holds the shard's lock, under which its tables are alive.
        let home = unsafe { self.current.bucket(self.home(hash)) };
        if !home.put(entry, hash) {
            self.place_behind(entry, hash);
        }
    }

    /// The same where the first bucket is full.
    #[inline(never)]
    fn place_behind(&self, entry: EntryRef, hash: Hash) {
        let table = self.current;
        let mut number = table.home(hash);
        for _ in 0..table.size().buckets() {
            // SAFETY: the caller holds the shard's lock, under which its tables are alive.
            let bucket = unsafe { table.bucket(number) };
            if bucket.put(entry, hash) {
                return;
            }
            bucket.count_overflow(true);
            number = table.after(number);
        }
        unreachable!("`reserve` left no room");
    }

    /// Puts `entry` where another one with the same key and hash stands.
    pub(super) fn replace(&mut self, position: Position, entry: EntryRef, hash: Hash) {
        // SAFETY: the caller holds the shard's lock, and has found the position under it, so the table is still alive.
        let slot = unsafe { position.0.as_ref() };
        slot.store(slot_word(entry, hash), Ordering::Release);
    }

    /// Takes an entry out that is in the index.
    #[inline(always)]
    pub(super) fn remove(&mut self, entry: EntryRef, hash: Hash) {
        let word = slot_word(entry, hash);
        if !self.current.is_none() {
            // SAFETY: the caller holds the shard's lock, under which its tables are alive.
            let home = unsafe { self.current.bucket(self.home(hash)) };
            if home.take_word(word, hash.tag()) {
                self.len -= 1;
                return;
            }
        }
        self.remove_from_behind(word, hash);
    }

    /// The same for an entry that is in another bucket than its first, or in the table that is being replaced.
    #[inline(never)]
    fn remove_from_behind(&mut self, word: *mut Header, hash: Hash) {
        let Some((place, _)) = self.search(hash.place(), |other| other == word) else {
            debug_assert!(false, "the entry is not in the index");
            return;
        };
        // SAFETY: the caller holds the shard's lock, under which its tables are alive.
        unsafe { place.table.bucket(place.bucket) }.take(place.slot);
        self.uncount(place.table, hash.place(), place.bucket);
        self.len -= 1;
    }

    /// Takes an entry that stood in bucket `number` out of the counts on the way to it.
    fn uncount(&self, table: Table, place: u32, number: usize) {
        let mut passed = table.home(Hash(place.into()));
        while passed != number {
            // SAFETY: the caller holds the shard's lock, under which its tables are alive.
            unsafe { table.bucket(passed) }.count_overflow(false);
            passed = table.after(passed);
        }
    }

    /// The places from this one on that so many buckets of the larger table are the homes of.
    pub(super) fn places(&self, from: u64, buckets: usize) -> Places {
        let tables = [self.current, self.previous];
        let largest = tables.iter().filter(|table| !table.is_none()).map(|table| table.size().buckets()).max();
        let until = largest.map_or(PLACES, |largest| {
            let largest = largest as u128;
            let end = ((u128::from(from) * largest) >> 32) + buckets as u128;
            if end >= largest {
                PLACES
            } else {
                // The first one whose home is `end`.
                (end << 32).div_ceil(largest) as u64
            }
        });
        Places { from, until, table: 0, looked: 0, goes_on: false }
    }

    /// The entries of the next bucket that may hold some of these places, and others beside them; `None` after the last.
    /// Meanwhile entries may be taken out of the index, and nothing else.
    pub(super) fn next_of(&self, places: &mut Places) -> Option<[Option<EntryRef>; SLOTS]> {
        loop {
            let table = *[self.current, self.previous].get(places.table)?;
            if !table.is_none() {
                let (first, last) = (table.home_of(places.from), table.home_of(places.until - 1));
                // Behind the last home, to where no entry has gone on from there.
                let is_inside = first + places.looked <= last || places.goes_on;
                if is_inside && places.looked < table.size().buckets() {
                    let number = (first + places.looked) % table.size().buckets();
                    // SAFETY: the caller holds the shard's lock, under which its tables are alive.
                    let bucket = unsafe { table.bucket(number) };
                    places.looked += 1;
                    places.goes_on = bucket.meta() >> OVERFLOW_SHIFT != 0;
                    return Some(std::array::from_fn(|slot| bucket.entry(slot)));
                }
            }
            (places.table, places.looked, places.goes_on) = (places.table + 1, 0, false);
        }
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = EntryRef> + '_ {
        [self.current, self.previous].into_iter().flat_map(|table| {
            let buckets = if table.is_none() { 0 } else { table.size().buckets() };
            (0..buckets).flat_map(move |number| {
                // SAFETY: as everywhere here.
                let bucket = unsafe { table.bucket(number) };
                (0..SLOTS).filter_map(|slot| bucket.entry(slot))
            })
        })
    }

    /// Forgets all entries at once. They are still in the tables that are returned, for readers that are in there.
    pub(super) fn clear(&mut self, published: &Published) -> [OldTable; 2] {
        let tables = [OldTable(self.current), OldTable(self.previous)];
        // A reader that sees one of them only finds what was there until now.
        published.current.store(null_mut(), Ordering::Release);
        published.previous.store(null_mut(), Ordering::Release);
        *self = Self::new();
        tables
    }

    /// Begins to move into a smaller table, after many entries have gone for good.
    pub(super) fn shrink(&mut self, published: &Published, heap: &Heap) {
        let wanted = Size::at_least((self.len * 100).div_ceil(FILL * SLOTS).max(1));
        let worth = !self.current.is_none() && wanted.buckets() * 2 <= self.current.size().buckets();
        if worth && self.previous.is_none() {
            self.replace_table(wanted, published, heap);
        }
    }
}

/// Searches a table of so many buckets, or none, under the lock of its shard.
#[inline(always)]
fn search_locked(
    table: Table,
    buckets: usize,
    place: u32,
    is_it: impl Fn(*mut Header) -> bool,
) -> Option<(Place, EntryRef)> {
    let home = ((u64::from(place) * buckets as u64) >> 32) as usize;
    let mut number = home;
    while number < buckets {
        // SAFETY: the caller holds the shard's lock, under which its tables are alive.
        let bucket = unsafe { table.bucket(number) };
        let meta = bucket.meta();
        for slot in slots_of(matches(meta, tag(place))) {
            let word = bucket.slots[slot].load(Ordering::Relaxed);
            if !word.is_null() && is_it(word) {
                // SAFETY: as above; while a slot names an entry it is not freed.
                return Some((Place { table, bucket: number, slot }, unsafe { entry_in(word) }));
            }
        }
        if meta >> OVERFLOW_SHIFT == 0 {
            break;
        }
        number = if number + 1 == buckets { 0 } else { number + 1 };
        if number == home {
            break;
        }
    }
    None
}

#[inline(always)]
fn position((place, entry): (Place, EntryRef)) -> (Position, EntryRef) {
    // SAFETY: the caller holds the shard's lock, under which its tables are alive, and has found the entry there.
    let bucket = unsafe { place.table.bucket(place.bucket) };
    (Position(NonNull::from(&bucket.slots[place.slot])), entry)
}

#[cfg(test)]
impl Index {
    /// How many buckets send a search on to the next one.
    fn overflowed(&self) -> usize {
        let buckets = (0..self.current.size().buckets()).map(|number| {
            // SAFETY: nobody else uses the index of a test.
            unsafe { self.current.bucket(number) }
        });
        buckets.filter(|bucket| bucket.meta() >> OVERFLOW_SHIFT != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Owned, Payload};
    use super::super::reclaim;
    use super::*;
    use std::collections::VecDeque;

    fn hash_of(key: &[u8]) -> Hash {
        let number = u64::from_le_bytes(key.try_into().unwrap());
        Hash((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// Entries come and go in a table that is three quarters full, and the counts on the way to them follow.
    #[test]
    fn overflow_counts_do_not_drift() {
        let heap = Heap::new(false);
        let (mut index, published) = (Index::new(), Published::new());
        let mut tables = Vec::new();
        let mut present = VecDeque::new();
        const ENTRIES: usize = 1024;
        let rounds = if cfg!(miri) { 200 } else { 100_000 };
        for number in 0..rounds as u64 {
            let key = number.to_le_bytes();
            if present.len() == ENTRIES {
                let (entry, hash): (EntryRef, Hash) = present.pop_front().unwrap();
                index.remove(entry, hash);
                reclaim::give_up(entry, &heap);
            }
            assert!(index.reserve(|| Some(ENTRIES), &published, &heap, hash_of, &mut |table| tables.push(table)));
            let entry =
                Owned::new(&heap, &mut Magazine::none(), &key, Payload::Plain(b""), false).unwrap().into_shared();
            index.insert(entry, hash_of(&key));
            present.push_back((entry, hash_of(&key)));
        }
        // A quarter would be far more than chance makes of it.
        assert!(index.overflowed() * 4 < index.current.size().buckets());
        for (entry, hash) in present.drain(..) {
            index.remove(entry, hash);
            reclaim::give_up(entry, &heap);
        }
        assert_eq!((index.overflowed(), index.len()), (0, 0));
        for table in index.clear(&published).into_iter().chain(tables) {
            // SAFETY: nobody else has known the index.
            unsafe { table.free(&heap) };
        }
    }
}
