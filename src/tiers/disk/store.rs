//! Reads: a pool of connections, and how a key is looked up with one. Called by any number of threads through `mod.rs`.
//! Writes nothing to the file, and never waits for the writer.

use super::faults::{OrFault, Outcome};
use super::file::{Connected, TheFile};
use super::finder::Finder;
use super::recency::{Hints, Marks};
use super::schema::Role;
use super::HashOf;
use crate::tiers::{Fault, FaultKind};
use rusqlite::Connection;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a read may wait for a connection, for whoever is replacing the file, or for the recovery of a WAL: as long as Redis gets.
const PATIENCE: Duration = Duration::from_millis(250);

/// Reads at the same time. They take microseconds each, so more would only be more open files, and
/// up to 4 MiB each: arbitrary.
const MOST: usize = 16;

pub(super) struct Readers {
    pool: Mutex<Pool>,
    /// A connection was given back.
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    /// The one that was used last is used next.
    idle: Vec<Reader>,
    /// How many are in use.
    out: usize,
    /// Somebody waits until none is, and nobody is to begin.
    closing: bool,
    connects: u64,
}

impl Readers {
    pub(super) fn new() -> Self {
        Self { pool: Mutex::default(), returned: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a connection to `use_it`. When that fails, or the file has been replaced meanwhile, the connection goes.
    pub(super) fn with<T>(&self, file: &TheFile, use_it: impl FnOnce(&mut Finder) -> Outcome<T>) -> Outcome<T> {
        let mut seat = self.sit_down()?;
        let mut reader = match seat.reader.take() {
            Some(reader) if reader.age == file.age() => reader,
            _ => {
                let Connected { connection, age } = file.connect(Role::Reader, PATIENCE)?;
                let finder = Finder::new(connection)?;
                self.lock().connects += 1;
                Reader { finder, age }
            }
        };
        let result = use_it(&mut reader.finder);
        match &result {
            Ok(_) if reader.age == file.age() => seat.reader = Some(reader),
            Err(Fault { kind: FaultKind::Damaged, .. }) => file.is_damaged(reader.age),
            _ => {}
        }
        result
    }

    fn sit_down(&self) -> Outcome<Seat<'_>> {
        let mut pool = self.lock();
        if pool.closing || (pool.idle.is_empty() && pool.out >= MOST) {
            pool = self.wait(pool)?;
        }
        pool.out += 1;
        Ok(Seat { readers: self, reader: pool.idle.pop() })
    }

    /// Until there is a seat.
    #[cold]
    fn wait<'a>(&'a self, mut pool: MutexGuard<'a, Pool>) -> Outcome<MutexGuard<'a, Pool>> {
        let began = Instant::now();
        while pool.closing || (pool.idle.is_empty() && pool.out >= MOST) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Fault::new(FaultKind::TimedOut, "too many reads of the disk tier at the same time"));
            }
            pool = self.returned.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(pool)
    }

    /// Waits until nobody reads, closes all connections, and keeps everybody off until the result is dropped.
    pub(super) fn hold(&self) -> impl Sized + '_ {
        let mut pool = self.lock();
        pool.closing = true;
        while pool.out > 0 {
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        // From here on the lock itself keeps them off. Two holds at once are one after the other.
        pool.closing = false;
        pool.idle.clear();
        pool
    }

    /// Closes what nobody uses.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.lock().idle);
        drop(idle);
    }

    /// How many connections there are, and how many were made.
    pub(super) fn connections(&self) -> (u64, u64) {
        let pool = self.lock();
        ((pool.idle.len() + pool.out) as u64, pool.connects)
    }
}

/// A connection that is ready to be read with, and how old the file was that it is to.
struct Reader {
    finder: Finder,
    age: u64,
}

/// The right to use a connection; the one in it goes back into the pool.
struct Seat<'a> {
    readers: &'a Readers,
    reader: Option<Reader>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.lock();
        pool.out -= 1;
        pool.idle.extend(self.reader.take());
        let waited_for = pool.closing || pool.out + 1 >= MOST;
        drop(pool);
        if waited_for {
            // All of them: a fork may be waiting beside other readers.
            self.readers.returned.notify_all();
        }
    }
}

/// How a key is looked up, beside the connection.
pub(super) struct Ways<'a> {
    pub(super) hash_of: HashOf,
    pub(super) hints: &'a Hints,
    pub(super) marks: &'a Marks,
}

/// The envelope of a key.
pub(super) fn read(finder: &mut Finder, key: &[u8], ways: &Ways<'_>) -> Outcome<Option<Vec<u8>>> {
    let hash = (ways.hash_of)(key);
    // A key has one row at most at any moment, so a row with this key is the one, wherever the guess came from.
    if let Some(id) = ways.hints.guess(hash) {
        if let Some(envelope) = finder.by_id(id, key)? {
            ways.marks.mark(id);
            return Ok(Some(envelope));
        }
    }
    let Some((id, envelope)) = finder.by_hash(hash, key)? else { return Ok(None) };
    ways.marks.mark(id);
    ways.hints.note(hash, id);
    Ok(Some(envelope))
}

/// The envelopes of these keys, as of one moment.
pub(super) fn read_many(finder: &mut Finder, keys: &[&[u8]], ways: &Ways<'_>) -> Outcome<Vec<Option<Vec<u8>>>> {
    keys.iter().for_each(|key| ways.hints.expect((ways.hash_of)(key)));
    // Each statement for itself would begin and end a transaction, which is a third of its time.
    finder.in_one_moment(|finder| keys.iter().map(|key| read(finder, key, ways)).collect())
}

/// Whether one of the tags was purged at or after a time.
pub(super) fn is_purged(connection: &Connection, tags: &[&[u8]], since: i64) -> Outcome<bool> {
    if tags.is_empty() {
        return Ok(false);
    }
    let books = || -> rusqlite::Result<(i64, i64)> {
        let mut books = connection.prepare_cached("SELECT last_purge, purge_floor FROM books WHERE one = 1")?;
        books.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
    };
    // Nearly always the answer: nothing was purged since.
    if books().or_fault()?.0 < since {
        return Ok(false);
    }
    // Of one moment, as a purge that is old may move from the tags to the floor.
    let snapshot = connection.unchecked_transaction().or_fault()?;
    let look = || -> rusqlite::Result<bool> {
        if books()?.1 >= since {
            return Ok(true);
        }
        let mut purged = connection.prepare_cached("SELECT 1 FROM tags WHERE tag = ?1 AND purged_at >= ?2")?;
        for tag in tags {
            if purged.exists((tag, since))? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let found = look().or_fault();
    snapshot.finish().or_fault()?;
    found
}
