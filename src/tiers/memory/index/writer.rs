//! The writers' side: what changes the index of a shard, under its lock.

use super::super::arena::{Heap, Magazine};
use super::super::entry::{prefetch_to_write, EntryRef, Header};
use super::bucket::{entry_in, equal, matches, slot_word, slots_of, Bucket, ADDRESS, OVERFLOW_SHIFT, SLOTS};
use super::search::Published;
use super::table::{layout, OldTable, Size, Table, SMALL};
use super::{tag, Hash};
use crate::sync::atomic::{AtomicPtr, Ordering};
use std::alloc::Layout;
use std::ptr::{null_mut, NonNull};

/// The writer's side. Belongs to one shard and is only touched under its lock.
#[repr(C)]
pub(in super::super) struct Index {
    pub(super) current: Table,
    /// What `current` says of itself, which every write asks for: how many buckets it has, and with how many entries it is full
    /// enough for a larger one.
    buckets: usize,
    full: usize,
    pub(super) previous: Table,
    /// Buckets of `previous` below this have been moved over.
    moved: usize,
    len: usize,
}

/// The slot in which an entry was found; good until the index is changed.
#[derive(Clone, Copy)]
pub(in super::super) struct Position(NonNull<AtomicPtr<Header>>);

/// A bucket of a table under the shard's lock, and one of its slots.
struct Place {
    table: Table,
    bucket: usize,
    slot: usize,
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
    pub(in super::super) const fn new() -> Self {
        Self { current: Table::NONE, buckets: 0, full: 0, previous: Table::NONE, moved: 0, len: 0 }
    }

    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    /// What the tables take.
    pub(in super::super) fn bytes(&self, heap: &Heap) -> u64 {
        self.current.size_in(heap) + self.previous.size_in(heap)
    }

    /// The entry with that key.
    #[inline]
    pub(in super::super) fn find(&self, hash: Hash, key: &[u8]) -> Option<(Position, EntryRef)> {
        let is_it = |word: *mut Header| {
            // SAFETY: the caller holds the shard's lock; while a slot names an entry it is not freed.
            word.addr() & !ADDRESS == hash.slot_tag() && equal(unsafe { entry_in(word) }.key(), key)
        };
        self.search(hash.place(), is_it).map(position)
    }

    /// The same for one that will be replaced by an entry of that layout, which is taken to be its own: where its links stand then
    /// is asked for together with its key.
    #[inline(always)]
    pub(in super::super) fn find_to_replace(
        &self,
        hash: Hash,
        key: &[u8],
        layout: Layout,
    ) -> Option<(Position, EntryRef)> {
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
    pub(in super::super) fn find_hinted(&self, place: u32, is_it: impl Fn(EntryRef) -> bool) -> Option<EntryRef> {
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
    pub(in super::super) fn prefetch_bucket(&self, hash: Hash) {
        prefetch_to_write(self.current.base().wrapping_add(self.home(hash)));
    }

    /// Whether [`Index::reserve`] has nothing to do.
    #[inline(always)]
    pub(in super::super) fn has_room(&self) -> bool {
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
    pub(in super::super) fn reserve(
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
    pub(in super::super) fn advance(
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
    pub(in super::super) fn insert(&mut self, entry: EntryRef, hash: Hash) {
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
    pub(in super::super) fn replace(&mut self, position: Position, entry: EntryRef, hash: Hash) {
        // SAFETY: the caller holds the shard's lock, and has found the position under it, so the table is still alive.
        let slot = unsafe { position.0.as_ref() };
        slot.store(slot_word(entry, hash), Ordering::Release);
    }

    /// Takes an entry out that is in the index.
    #[inline(always)]
    pub(in super::super) fn remove(&mut self, entry: EntryRef, hash: Hash) {
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

    /// Forgets all entries at once. They are still in the tables that are returned, for readers that are in there.
    pub(in super::super) fn clear(&mut self, published: &Published) -> [OldTable; 2] {
        let tables = [OldTable(self.current), OldTable(self.previous)];
        // A reader that sees one of them only finds what was there until now.
        published.current.store(null_mut(), Ordering::Release);
        published.previous.store(null_mut(), Ordering::Release);
        *self = Self::new();
        tables
    }

    /// Begins to move into a smaller table, after many entries have gone for good.
    pub(in super::super) fn shrink(&mut self, published: &Published, heap: &Heap) {
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
    use super::super::super::entry::{Owned, Payload};
    use super::super::super::reclaim;
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
