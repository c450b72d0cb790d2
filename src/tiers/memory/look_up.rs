//! Look-ups: an entry is found without a lock, unless writers change the same place again and again, and its value is copied, pinned or lent.

use super::entry::{EntryRef, Header, Label, Owned};
use super::hazard;
use super::index::{Beginning, Hash, Search};
use super::policy::Noted;
use super::reclaim::Reader;
use super::record::Record;
use super::shard::Shard;
use super::value::Value;
use super::{lease, Heap, Layout, Looked, Memory};
use crate::clock::Tick;
use crate::codec::lz4;
use crate::error::{Error, Result, Status};
use crate::sync::atomic::{AtomicPtr, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// That many bytes were copied.
    Copied(usize),
    /// The value has that many bytes, more than the buffer; nothing was copied.
    Truncated(usize),
}

/// How a read ended: a status, and why if that is a failure's. In two words, and the length is beside it in its caller's memory:
/// what nearly every call does then stays in registers and ends without a jump, where a `Result<Option<Read>>` would be put together
/// in memory and be waited for.
pub(crate) struct Ending {
    status: Status,
    error: Option<Box<Error>>,
}

impl Ending {
    const COPIED: Self = Self { status: Status::Ok, error: None };
    const TRUNCATED: Self = Self { status: Status::Truncated, error: None };
    const MISSED: Self = Self { status: Status::NotFound, error: None };

    #[cold]
    #[inline(never)]
    fn failed(error: Error) -> Self {
        Self { status: error.status(), error: Some(Box::new(error)) }
    }

    #[inline(always)]
    pub(crate) fn is_miss(&self) -> bool {
        self.status == Status::NotFound
    }

    /// As C's callers know it.
    #[inline(always)]
    pub(crate) fn status(self) -> Result<Status> {
        match self.error {
            None => Ok(self.status),
            Some(error) => Err(*error),
        }
    }

    /// As Rust's callers know it.
    pub(crate) fn read(self, len: usize) -> Result<Option<Read>> {
        self.status().map(|status| match status {
            Status::Ok => Some(Read::Copied(len)),
            Status::Truncated => Some(Read::Truncated(len)),
            _ => None,
        })
    }

    /// The inverse, which says the length only where there is one.
    pub(crate) fn of(read: Result<Option<Read>>, len: &mut usize) -> Self {
        match read {
            Ok(Some(Read::Copied(known))) => {
                *len = known;
                Self::COPIED
            }
            Ok(Some(Read::Truncated(known))) => {
                *len = known;
                Self::TRUNCATED
            }
            Ok(None) => Self::MISSED,
            Err(error) => Self::failed(error),
        }
    }
}

/// A key that is looked for, and where it would be: see [`Memory::seek`].
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    key: &'a [u8],
    hash: Hash,
    layout: Layout,
    shard: &'a Shard,
    beginning: Beginning,
}

/// A classic result: good for as long as the calling thread's lease.
pub(crate) struct Lent {
    pub(crate) data: *const u8,
    pub(crate) len: usize,
}

impl Memory {
    /// The first step of a look-up, before anything is announced: the bucket is asked for, and on its way while the rest is made ready.
    ///
    /// A get waits for an entry, and while it does the processor looks some 300 to 500 instructions ahead. If it gets as far as this in the
    /// next get, that one's bucket comes at the same time. So what need not be done between an entry and the next bucket is done
    /// before the entry or after the bucket: with the thread's record, the announcements and the clock there, a get of a million entries
    /// with lifetimes took 330 ns, and takes 220.
    #[inline(always)]
    pub(super) fn seek<'a>(&'a self, key: &'a [u8]) -> Sought<'a> {
        self.seek_hashed(self.hash(key), key)
    }

    #[inline(always)]
    pub(super) fn seek_hashed<'a>(&'a self, hash: Hash, key: &'a [u8]) -> Sought<'a> {
        let layout = Layout(self.layout.load(Acquire));
        let shard = &self.shards[layout.home(hash)];
        Sought { key, hash, layout, shard, beginning: shard.published.seek(hash) }
    }

    /// Runs a look-up that was chosen to be timed. With a reader of its own, and what it needs moved into it: so nobody has the
    /// address of what the caller keeps in registers.
    #[cold]
    #[inline(never)]
    fn timed_read<T>(&self, read: impl FnOnce(&Reader) -> Result<T>) -> Result<T> {
        let begun = self.clock.nanos();
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let found = read(&reader);
        drop(reader);
        self.read_times.add(self.clock.nanos().saturating_sub(begun));
        self.tell();
        found
    }

    /// Copies a value out, and says how long it is unless there is none. What did not fit is not a request yet, since the caller
    /// will ask again.
    #[inline(always)]
    pub(crate) fn read(&self, key: &[u8], buffer: &mut [u8], len: &mut usize) -> Ending {
        let sought = self.seek(key);
        let Some(reader) = Reader::enter() else { return Ending::failed(Error::out_of_memory()) };
        if reader.is_sampled() {
            drop(reader);
            return self.read_timed(key, buffer, len);
        }
        let ending = self.read_sought(&reader, sought, buffer, len);
        drop(reader);
        if ending.is_miss() {
            // Other endings make nothing leave.
            self.tell();
        }
        ending
    }

    #[cold]
    #[inline(never)]
    fn read_timed(&self, key: &[u8], buffer: &mut [u8], len: &mut usize) -> Ending {
        let timed = self.timed_read(move |reader| Ok(self.read_sought(reader, self.seek(key), buffer, len)));
        timed.unwrap_or_else(Ending::failed)
    }

    /// As [`Memory::read`], but tells nothing.
    #[inline(always)]
    pub(super) fn read_sought(
        &self,
        reader: &Reader,
        sought: Sought<'_>,
        buffer: &mut [u8],
        len: &mut usize,
    ) -> Ending {
        let record = reader.record();
        let Some((entry, label)) = self.look_up(record, &record.entry, sought) else {
            self.looked.add(record.stripe(), Looked::Misses as usize, 1);
            return Ending::MISSED;
        };
        let Ok(value) = entry.value_by(label) else { return self.decompress_out(record, entry, buffer, len) };
        *len = value.len();
        let Some(buffer) = buffer.get_mut(..value.len()) else { return Ending::TRUNCATED };
        buffer.copy_from_slice(value);
        self.looked.add(record.stripe(), Looked::Hits as usize, 1);
        Ending::COPIED
    }

    /// The same of an entry whose value is compressed.
    #[cold]
    #[inline(never)]
    fn decompress_out(&self, record: &Record, entry: EntryRef, buffer: &mut [u8], len: &mut usize) -> Ending {
        let read = decompress_into(entry, buffer);
        if let Ok(Read::Copied(_)) = read {
            self.looked.add(record.stripe(), Looked::Hits as usize, 1);
        }
        Ending::of(read.map(Some), len)
    }

    /// Shows a value where it lies, without a copy unless it is compressed. False is a miss, which is counted only if it is `last`:
    /// the caller asks nobody else. `show` runs while the entry is announced, so it may not look anything up.
    #[inline]
    pub(crate) fn visit(&self, key: &[u8], last: bool, show: impl FnOnce(&[u8])) -> Result<bool> {
        let sought = self.seek(key);
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.visit_in(reader, self.seek(key), last, show));
        }
        let found = self.visit_in(&reader, sought, last, show);
        drop(reader);
        if let Ok(false) = found {
            self.tell();
        }
        found
    }

    #[inline]
    fn visit_in(&self, reader: &Reader, sought: Sought<'_>, last: bool, show: impl FnOnce(&[u8])) -> Result<bool> {
        let Some((entry, label)) = self.look_up(reader.record(), reader.hazard(), sought) else {
            if last {
                self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            }
            return Ok(false);
        };
        match entry.value_by(label) {
            Ok(value) => show(value),
            Err(_) => {
                if let Some(mut copy) = self.decompressed(entry)? {
                    show(copy.value_mut());
                }
            }
        }
        self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        Ok(true)
    }

    /// The end of a look-up that has found nothing, and may have met an expired entry: others make nothing leave.
    #[inline(always)]
    pub(super) fn missed(&self, reader: Reader) {
        self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
        drop(reader);
        self.tell();
    }

    /// A value that stays where it is until it is dropped. `None` is a miss.
    pub(crate) fn acquire(&self, key: &[u8]) -> Result<Option<Value>> {
        let sought = self.seek(key);
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.acquire_in(reader, self.seek(key)));
        }
        let value = self.acquire_in(&reader, sought);
        drop(reader);
        if let Ok(None) = value {
            self.tell();
        }
        value
    }

    #[inline]
    fn acquire_in(&self, reader: &Reader, sought: Sought<'_>) -> Result<Option<Value>> {
        let Some((entry, _)) = self.look_up(reader.record(), reader.hazard(), sought) else {
            self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            return Ok(None);
        };
        let deadline = entry.deadline();
        let pinned = entry.pin(&self.shared.heap).ok_or_else(Error::out_of_memory)?;
        // The entry stays pinned beside its copy: else another one at its address could pass for it.
        let copy = self.decompressed(entry)?.map(|copy| copy.into_value(&self.shared.heap));
        self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        Ok(Some(Value::new(pinned, copy, deadline, self.clock.clone())))
    }

    /// A value that stays where it is until the calling thread has made [`CLASSIC_RESULT_LIFETIME`] more such calls, or
    /// ends, or the cache is dropped. `None` is a miss, which counts as such a call.
    #[inline(always)]
    pub(crate) fn lend(&self, key: &[u8]) -> Result<Option<Lent>> {
        let sought = self.seek(key);
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        if reader.is_sampled() {
            drop(reader);
            return self.timed_read(move |reader| self.lend_in(reader, self.seek(key)));
        }
        let lease = lease::take(reader.record());
        let Some((entry, label)) = self.look_up(reader.record(), lease, sought) else {
            hazard::withdraw(lease);
            self.missed(reader);
            return Ok(None);
        };
        self.lend_out(&reader, lease, sought.hash, entry, label)
    }

    /// As [`Memory::lend`], but tells nothing.
    fn lend_in(&self, reader: &Reader, sought: Sought<'_>) -> Result<Option<Lent>> {
        let lease = lease::take(reader.record());
        let Some((entry, label)) = self.look_up(reader.record(), lease, sought) else {
            hazard::withdraw(lease);
            self.looked.add(reader.stripe(), Looked::Misses as usize, 1);
            return Ok(None);
        };
        self.lend_out(reader, lease, sought.hash, entry, label)
    }

    #[inline(always)]
    fn lend_out(
        &self,
        reader: &Reader,
        lease: &AtomicPtr<Header>,
        hash: Hash,
        entry: EntryRef,
        label: Label,
    ) -> Result<Option<Lent>> {
        let lent = match entry.value_by(label) {
            Ok(value) => Lent { data: value.as_ptr(), len: value.len() },
            Err(_) => self.lend_copy(lease, hash, entry)?,
        };
        self.looked.add(reader.stripe(), Looked::Hits as usize, 1);
        Ok(Some(lent))
    }

    /// Lends the plain form of a compressed entry: in a block of its own, which the lease then holds instead of the entry.
    #[cold]
    fn lend_copy(&self, lease: &AtomicPtr<Header>, hash: Hash, entry: EntryRef) -> Result<Lent> {
        let copy = self.decompressed(entry)?.ok_or_else(damaged)?;
        let lent = copy.lend_in(lease).ok_or_else(damaged)?;
        // Retired from the first: the lease is all that holds it.
        self.lock_home(hash).retire(copy);
        Ok(lent)
    }

    /// Lends a value that is not in the cache, in place of the miss that the thread's last look-up was.
    pub(crate) fn lend_detached(&self, key: &[u8], value: &[u8]) -> Result<Lent> {
        let reader = Reader::enter().ok_or_else(Error::out_of_memory)?;
        let lease = lease::take_again(reader.record());
        let mut copy = Owned::zeroed(&self.shared.heap, value.len()).ok_or_else(Error::out_of_memory)?;
        copy.value_mut().copy_from_slice(value);
        let lent = copy.lend_in(lease).ok_or_else(damaged)?;
        self.lock_home(self.hash(key)).retire(copy);
        Ok(lent)
    }

    /// Whether a key is there; neither a request nor a use.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let sought = self.seek(key);
        let is_live = |entry| !self.is_expired(entry);
        match Reader::enter() {
            Some(reader) => {
                let found = self.search::<false>(reader.record(), reader.hazard(), sought);
                found.is_some_and(|(_, entry, _)| is_live(entry))
            }
            // Without memory for a record.
            None => self.lock_home(sought.hash).find(sought.hash, key).is_some_and(|(_, entry)| is_live(entry)),
        }
    }

    /// Finds a live entry, announces it in `hazard`, and notes that it was used. What has expired is freed on the way.
    #[inline(always)]
    fn look_up(&self, record: &Record, hazard: &AtomicPtr<Header>, sought: Sought<'_>) -> Option<(EntryRef, Label)> {
        let Sought { key, hash, .. } = sought;
        // Before the entry is waited for, for the reason that `seek` gives; the clock's call is a sixth of a look-up.
        let begun = self.live.has_lifetimes.load(Relaxed).then(|| self.clock.now());
        let (shard, entry, label) = self.search::<true>(record, hazard, sought)?;
        if label.expires() {
            let now = begun.unwrap_or_else(|| self.clock.now());
            if label.is_expired(now) {
                self.meet_expired(shard, hash, key);
                return None;
            }
            if label.is_sliding() {
                self.slide(entry, now);
            }
        }
        if self.on_hit.note(entry, hash, &shard.clock, &self.deciders) == Noted::Overdue {
            self.lock(shard).renew();
        }
        Some((entry, label))
    }

    /// Finds an entry, expired or not, and announces it in `hazard`. `READS`: its value will be read soon.
    #[inline(always)]
    pub(super) fn search<'a, const READS: bool>(
        &'a self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        Sought { key, hash, layout, shard, beginning }: Sought<'a>,
    ) -> Option<(&'a Shard, EntryRef, Label)> {
        match shard.published.search::<READS>(beginning, record, hazard, hash, key) {
            Search::Found(entry, label) => Some((shard, entry, label)),
            Search::Absent if self.is_certain(layout) => None,
            _ => self.search_thoroughly(record, hazard, hash, key),
        }
    }

    /// Whether a key that was not found in its shard was nowhere: it may have been on its way from one shard to another.
    #[inline(always)]
    fn is_certain(&self, layout: Layout) -> bool {
        self.layout.load(Acquire) == layout.0 && !layout.is_moving()
    }

    /// The same whatever is in the way.
    #[cold]
    #[inline(never)]
    fn search_thoroughly(
        &self,
        record: &Record,
        hazard: &AtomicPtr<Header>,
        hash: Hash,
        key: &[u8],
    ) -> Option<(&Shard, EntryRef, Label)> {
        let layout = Layout(self.layout.load(Acquire));
        let shard = &self.shards[layout.home(hash)];
        let found = match shard.published.search_thoroughly(record, hazard, hash, key) {
            Search::Found(entry, label) => Some((shard, entry, label)),
            Search::Absent if self.is_certain(layout) => None,
            _ => self.search_locked(hazard, hash, key),
        };
        if found.is_some() && shard.published.is_growing() {
            self.help_growth(shard, hash);
        }
        found
    }

    #[cold]
    fn search_locked(&self, hazard: &AtomicPtr<Header>, hash: Hash, key: &[u8]) -> Option<(&Shard, EntryRef, Label)> {
        let shard = self.lock_home(hash);
        let (_, entry) = shard.find(hash, key)?;
        // Under the lock, so it is announced before it can be retired.
        hazard.store(entry.as_ptr(), Release);
        Some((shard.shard(), entry, entry.label()))
    }

    /// Frees an entry that a look-up has found expired, unless writers are busy: then one of them will.
    #[cold]
    fn meet_expired(&self, shard: &Shard, hash: Hash, key: &[u8]) {
        let Some(mut shard) = shard.try_lock(&self.shared) else { return };
        if let Some((_, entry)) = shard.find(hash, key).filter(|(_, entry)| self.is_expired(*entry)) {
            self.expire(&mut shard, entry);
        }
    }

    #[cold]
    fn slide(&self, entry: EntryRef, now: Tick) {
        let Some(lifetime) = entry.sliding_lifetime() else { return };
        // Only within the tick in which it was put off already there is nothing to gain from reading the clock exactly.
        if now + lifetime + 1 >= entry.deadline() {
            entry.renew(|lifetime| self.clock.deadline_in(lifetime));
        }
    }

    /// A look-up that found two tables now and then moves a few buckets, so that an index which nobody writes to any more does
    /// not stay in two parts.
    fn help_growth(&self, shard: &Shard, hash: Hash) {
        const ONE_IN: u32 = if cfg!(shuttle) { 1 } else { 64 };
        const BUCKETS: usize = if cfg!(shuttle) { 1 } else { 2 };
        if hash.place().is_multiple_of(ONE_IN) {
            if let Some(mut shard) = shard.try_lock(&self.shared) {
                shard.advance_growth(BUCKETS);
            }
        }
    }

    /// The plain form of a compressed entry in a block of its own; `None` when it is plain already.
    pub(super) fn decompressed(&self, entry: EntryRef) -> Result<Option<Owned<'_>>> {
        decompressed(&self.shared.heap, entry)
    }
}

/// As [`Memory::decompressed`], of a heap whose tier may be gone.
pub(super) fn decompressed(heap: &Heap, entry: EntryRef) -> Result<Option<Owned<'_>>> {
    let Err(compressed) = entry.value() else { return Ok(None) };
    let mut copy = Owned::zeroed(heap, compressed.original_len).ok_or_else(Error::out_of_memory)?;
    if lz4::decompress(compressed.block, copy.value_mut()) {
        Ok(Some(copy))
    } else {
        Err(damaged())
    }
}

#[cold]
fn decompress_into(entry: EntryRef, buffer: &mut [u8]) -> Result<Read> {
    let Err(compressed) = entry.value() else { return Err(damaged()) };
    let len = compressed.original_len;
    let Some(buffer) = buffer.get_mut(..len) else { return Ok(Read::Truncated(len)) };
    if lz4::decompress(compressed.block, buffer) {
        Ok(Read::Copied(len))
    } else {
        Err(damaged())
    }
}

pub(super) fn damaged() -> Error {
    Error::new(Status::Internal, "a compressed value in memory does not decompress: the memory was overwritten")
}
