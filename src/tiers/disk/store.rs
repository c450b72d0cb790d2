//! Reads: a pool of connections, and how a key is looked up with one. Called by any number of threads through `mod.rs`.
//! Writes nothing to the file, and never waits for the writer.

use super::faults::{OrFault, Outcome};
use super::file::{Connected, TheFile};
use super::recency::{Hints, Marks};
use super::schema::Role;
use super::HashOf;
use crate::tiers::{Fault, FaultKind};
use rusqlite::{CachedStatement, Connection};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a read may wait for a connection, for whoever is replacing the file, or for the recovery of a WAL: as long as Redis gets.
const PATIENCE: Duration = Duration::from_millis(250);

/// Reads at the same time. They take microseconds each, so more would only be more open files, and
/// up to 4 MiB each: arbitrary.
const MOST: usize = 16;

/// By a rowid that is guessed.
const BY_ID: &str = "SELECT key, envelope FROM entries WHERE id = ?1";
const BY_HASH: &str = "
    SELECT e.id, e.key, e.envelope FROM recent i CROSS JOIN entries e ON e.id = i.id WHERE i.hash = ?1 UNION ALL
    SELECT e.id, e.key, e.envelope FROM settled i CROSS JOIN entries e ON e.id = i.id WHERE i.hash = ?1";

pub(super) struct Readers {
    pool: Mutex<Pool>,
    /// A connection was given back.
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    /// The one that was used last is used next.
    idle: Vec<Connected>,
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
    pub(super) fn with<T>(&self, file: &TheFile, use_it: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
        let mut seat = self.sit_down()?;
        let connected = match seat.connected.take() {
            Some(connected) if connected.age == file.age() => connected,
            _ => {
                let connected = file.connect(Role::Reader, PATIENCE)?;
                self.lock().connects += 1;
                connected
            }
        };
        let result = use_it(&connected.connection);
        match &result {
            Ok(_) if connected.age == file.age() => seat.connected = Some(connected),
            Err(Fault { kind: FaultKind::Damaged, .. }) => file.is_damaged(connected.age),
            _ => {}
        }
        result
    }

    fn sit_down(&self) -> Outcome<Seat<'_>> {
        let began = Instant::now();
        let mut pool = self.lock();
        while pool.closing || (pool.idle.is_empty() && pool.out >= MOST) {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Fault::new(FaultKind::TimedOut, "too many reads of the disk tier at the same time"));
            }
            pool = self.returned.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        pool.out += 1;
        Ok(Seat { readers: self, connected: pool.idle.pop() })
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

/// The right to use a connection; the one in it goes back into the pool.
struct Seat<'a> {
    readers: &'a Readers,
    connected: Option<Connected>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.lock();
        pool.out -= 1;
        pool.idle.extend(self.connected.take());
        let waited_for = pool.closing || pool.out + 1 >= MOST;
        drop(pool);
        if waited_for {
            // All of them: a fork may be waiting beside other readers.
            self.readers.returned.notify_all();
        }
    }
}

/// The envelopes of these keys, as of one moment.
pub(super) fn read(
    connection: &Connection,
    keys: &[&[u8]],
    hash_of: HashOf,
    hints: &Hints,
    marks: &Marks,
) -> Outcome<Vec<Option<Vec<u8>>>> {
    let mut find = Find { connection, by_id: None, by_hash: None, hints, marks };
    if let [key] = keys {
        return Ok(vec![find.envelope(key, hash_of(key)).or_fault()?]);
    }
    // Each statement for itself would begin and end a transaction, which is a third of its time.
    let snapshot = connection.unchecked_transaction().or_fault()?;
    let found = keys.iter().map(|key| find.envelope(key, hash_of(key))).collect::<rusqlite::Result<_>>().or_fault();
    drop(find);
    snapshot.finish().or_fault()?;
    found
}

struct Find<'a> {
    connection: &'a Connection,
    by_id: Option<CachedStatement<'a>>,
    by_hash: Option<CachedStatement<'a>>,
    hints: &'a Hints,
    marks: &'a Marks,
}

impl<'a> Find<'a> {
    fn envelope(&mut self, key: &[u8], hash: u64) -> rusqlite::Result<Option<Vec<u8>>> {
        // A key has one row at most at any moment, so a row with this key is the one, wherever the guess came from.
        if let Some(id) = self.hints.guess(hash) {
            let by_id = prepared(self.connection, &mut self.by_id, BY_ID)?;
            let mut rows = by_id.query([id])?;
            if let Some(row) = rows.next()? {
                if row.get_ref(0)?.as_blob()? == key {
                    self.marks.mark(id);
                    return Ok(Some(row.get_ref(1)?.as_blob()?.to_vec()));
                }
            }
        }
        let by_hash = prepared(self.connection, &mut self.by_hash, BY_HASH)?;
        let mut rows = by_hash.query([hash as i64])?;
        while let Some(row) = rows.next()? {
            if row.get_ref(1)?.as_blob()? == key {
                let id = row.get(0)?;
                self.marks.mark(id);
                self.hints.note(hash, id);
                return Ok(Some(row.get_ref(2)?.as_blob()?.to_vec()));
            }
        }
        Ok(None)
    }
}

fn prepared<'s, 'c>(
    connection: &'c Connection,
    place: &'s mut Option<CachedStatement<'c>>,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'c>> {
    let statement = match place.take() {
        Some(statement) => statement,
        None => connection.prepare_cached(sql)?,
    };
    Ok(place.insert(statement))
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
