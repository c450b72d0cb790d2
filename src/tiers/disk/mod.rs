//! The disk tier: one SQLite file, which several processes may share. This is its safe face: who may do what at which time, and
//! nothing of how it is done. Called by the cache, from any number of threads.
//!
//! - `folder.rs`: whose the folder and the files are. `file.rs`: connections, to a file that is made or replaced if need be.
//! - `schema.rs`: what is in the file, and why it is laid out like that.
//! - `store.rs`: reads, with a pool of connections, each in a `finder.rs`. They never wait for a write. `commits.rs`: whether there was one.
//! - `writer.rs`: the one connection that writes, and its transactions; within them `transaction.rs` (the books), `rows.rs`
//!   (a row), `room.rs` (who goes), `purge.rs` (what is removed on demand). `upkeep.rs`: what is done in between.
//! - `recency.rs`: what is remembered of reads, in memory only. `faults.rs`: what went wrong.
//!
//! It starts no threads, retries nothing, and knows nothing of what is in an envelope.

mod commits;
mod faults;
mod file;
mod finder;
mod folder;
mod purge;
mod recency;
mod room;
mod rows;
mod schema;
mod store;
#[cfg(all(test, not(miri)))]
mod tests;
mod transaction;
mod upkeep;
mod user;
mod writer;

use self::file::TheFile;
use self::finder::Finder;
use self::folder::Folder;
use self::recency::{Hints, Marks};
use self::store::{Readers, Ways};
use self::writer::{Shared, Writer};
use super::{Fault, Figures, Inquiry, Tier, Write};
use crate::error::Result;
use crate::fork::Hold;
use crate::log;
use crate::options::DiskOptions;
use crate::pattern::KeySet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// From a key to what it is found by. The same in every process and version that shares a file.
type HashOf = fn(&[u8]) -> u64;

/// The disk tier of a cache.
pub(crate) struct Disk {
    // Locked before the pool of the readers.
    writer: Mutex<Writer>,
    readers: Readers,
    shared: Shared,
    rhythm: Mutex<Rhythm>,
}

/// [`Tier::maintain`] is called for upkeep, and for views, which is more often and takes no time.
#[derive(Clone, Copy, Default)]
struct Rhythm {
    /// When upkeep is.
    due: Option<Instant>,
    /// Whether the next call was wanted before that.
    is_early: bool,
}

/// What can be told without asking the file: as of this process's last transaction.
#[derive(Default)]
struct Tally {
    entries: AtomicU64,
    file_bytes: AtomicU64,
    wal_bytes: AtomicU64,
    evictions: AtomicU64,
    expirations: AtomicU64,
    /// Connections of the writer.
    connects: AtomicU64,
}

impl Disk {
    /// Makes the folder and the file, if need be.
    ///
    /// # Errors
    ///
    /// The folder, or what is in it, can never be used: see `folder.rs`. That the file cannot be opened now is no error: it is a
    /// fault of whatever is asked for first.
    pub(crate) fn open(options: &DiskOptions) -> Result<Self> {
        Self::with_hash(options, xxh3_64)
    }

    fn with_hash(options: &DiskOptions, hash_of: HashOf) -> Result<Self> {
        let folder = Folder::open(options.path.as_deref().unwrap_or_default())?;
        let shared = Shared {
            file: TheFile::new(folder, options.max_bytes),
            hints: Hints::new(options.max_bytes),
            marks: Marks::new(options.max_bytes),
            tally: Tally::default(),
            hash_of,
        };
        let disk = Self { writer: Mutex::default(), readers: Readers::new(), shared, rhythm: Mutex::default() };
        // A file that is no use is set aside now, and the figures are those of the file.
        if let Err(fault) = disk.writing(|writer, shared| writer.look(shared)) {
            log::warn(|| format!("the disk tier cannot be used now: {fault}"));
        }
        Ok(disk)
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic in the middle of a transaction has left a connection that is closed by the next to come.
        self.writer.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            self.writer.clear_poison();
            let mut writer: MutexGuard<'_, Writer> = poisoned.into_inner();
            writer.close();
            writer
        })
    }

    fn reading<T>(
        &self,
        what: impl FnOnce(&mut Finder, &Ways<'_>) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        let Shared { file, hints, marks, hash_of, .. } = &self.shared;
        let read = self.readers.with(file, |finder| what(finder, &Ways { hash_of: *hash_of, hints, marks }));
        if read.is_err() {
            // Nobody may read again for a while.
            self.readers.calm_down();
        }
        file.tell();
        read
    }

    fn writing<T>(
        &self,
        what: impl FnOnce(&mut Writer, &Shared) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        // A view would keep the WAL from being moved; and who ends views that nobody reads with may be here for a while.
        let held_off = self.readers.hold_off();
        let mut writer = self.lock();
        let age = self.shared.file.age();
        let result = what(&mut writer, &self.shared);
        if self.shared.file.age() != age {
            // Of a file that is no longer there, which takes its room as long as somebody has it open.
            self.readers.close_idle();
        }
        drop(writer);
        drop(held_off);
        if result.is_err() {
            self.readers.calm_down();
        }
        self.shared.file.tell();
        result
    }
}

impl Tier for Disk {
    fn answer(&self, inquiry: &mut dyn Inquiry<'_>) -> std::result::Result<(), Fault> {
        let keys: Vec<&[u8]> = std::iter::from_fn(|| inquiry.next_key()).collect();
        self.reading(|finder, ways| store::read_many(finder, &keys, ways, |number, found| inquiry.found(number, found)))
    }

    fn expect(&self, key: &[u8]) {
        self.shared.hints.expect((self.shared.hash_of)(key));
    }

    fn read_one(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, Fault> {
        self.reading(|finder, ways| store::read(finder, key, ways))
    }

    fn write(&self, writes: &mut [Write<'_>]) -> std::result::Result<(), Fault> {
        self.writing(|writer, shared| writer.write(shared, writes))
    }

    fn is_purged(&self, tags: &[&[u8]], since: u64) -> std::result::Result<bool, Fault> {
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        self.reading(|finder, _| store::is_purged(finder, tags, since))
    }

    fn purge_tag(&self, tag: &[u8], at: u64) -> std::result::Result<(), Fault> {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        self.writing(|writer, shared| writer.transact(shared, |transaction| transaction.purge_tag(tag, at)))
    }

    fn purge_keys(&self, keys: KeySet<'_>) -> std::result::Result<u64, Fault> {
        let (mut purged, mut from) = (0, Some(0));
        while let Some(id) = from {
            // The lock is given back between two steps, so that writes go on.
            let (removed, next) = self.writing(|writer, shared| writer.purge_keys(shared, keys, id))?;
            purged += removed;
            from = next;
        }
        Ok(purged)
    }

    fn clear(&self) -> std::result::Result<u64, Fault> {
        self.writing(|writer, shared| writer.transact(shared, |transaction| transaction.clear()))
    }

    fn probe(&self) -> std::result::Result<(), Fault> {
        self.writing(|writer, shared| writer.probe(shared))?;
        self.read_one(b"").map(|_| ())
    }

    fn maintain(&self) -> std::result::Result<Option<Duration>, Fault> {
        let (tick, was_called_for) = self.readers.tick();
        let rhythm = || self.rhythm.lock().unwrap_or_else(PoisonError::into_inner);
        let Rhythm { due, is_early } = *rhythm();
        let left = due.map(|due| due.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero());
        let pause = match left {
            // Called for the views alone.
            Some(left) if is_early || was_called_for => Some(left),
            _ => self.writing(|writer, shared| writer.maintain(shared))?,
        };
        let due = pause.and_then(|pause| Instant::now().checked_add(pause));
        let tick = tick.filter(|tick| pause.is_none_or(|pause| *tick < pause));
        *rhythm() = Rhythm { due, is_early: tick.is_some() };
        Ok(tick.or(pause))
    }

    fn calls_for_upkeep(&self) -> bool {
        self.readers.calls_for_tick()
    }

    fn has_upkeep(&self) -> bool {
        true
    }

    fn set_max_bytes(&self, max_bytes: u64) {
        self.shared.file.set_max_bytes(max_bytes);
    }

    fn figures(&self) -> Figures {
        let Tally { entries, file_bytes, wal_bytes, evictions, expirations, connects } = &self.shared.tally;
        let (reading, made) = self.readers.connections();
        let connects = connects.load(Relaxed);
        let is_writing = self.writer.try_lock().map_or(connects > 0, |writer| writer.is_connected());
        Figures {
            entries: entries.load(Relaxed),
            bytes: file_bytes.load(Relaxed) + wal_bytes.load(Relaxed),
            max_bytes: self.shared.file.max_bytes(),
            evictions: evictions.load(Relaxed),
            expirations: expirations.load(Relaxed),
            connections: reading + u64::from(is_writing),
            connects: made + connects,
            set_aside: self.shared.file.set_aside(),
        }
    }

    fn hold(&self) -> Box<dyn Hold + '_> {
        // Nothing of SQLite's may be open on both sides of a fork: locks of files belong to one process, and closing in the
        // child what the parent uses drops the parent's.
        let mut writer = self.lock();
        writer.close();
        let rhythm = self.rhythm.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new((self.readers.hold(), writer, rhythm, self.shared.file.hold()))
    }

    fn after_fork_in_child(&self) {
        self.readers.after_fork_in_child();
    }
}

impl Drop for Disk {
    /// Leaves a file without a WAL where nobody else uses it. One that is left is no loss: whoever opens the file next reads it.
    fn drop(&mut self) {
        let shared = &self.shared;
        self.readers.close_idle();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if writer.is_connected() {
            writer.finish(shared);
        }
    }
}
