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
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a read may wait for a connection, for whoever is replacing the file, or for the recovery of a WAL: as long as Redis gets.
const PATIENCE: Duration = Duration::from_millis(250);

/// Reads at the same time. They take microseconds each, so more would only be more open files, and
/// up to 4 MiB each: arbitrary.
const MOST: usize = 16;

/// So often views are closed where reads come so fast that they stay open from one to the next. While one is open other processes cannot
/// begin the WAL anew: a reader that is busy opens a new one after a millisecond (see `finder.rs`), and this is for one that has stopped.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Reads within a tick that are fast: 3,200 a second. Each saves 0.7 us, together as much as a tick costs.
pub(super) const BUSY: u64 = 16;

/// So often it is looked how fast reads come while no views are kept: the clock is not read for each.
const LOOK_AFTER: u64 = 64;

pub(super) struct Readers {
    pool: Mutex<Pool>,
    /// Reads have begun to come fast: the next tick should be now.
    calls: AtomicBool,
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
    /// Reads since the last tick.
    reads: u64,
    /// When it was looked last how fast they come, and whether a tick was called for then.
    looked: Option<Instant>,
    has_called: bool,
    /// Whether they come so fast that views stay open between them.
    is_busy: bool,
    /// Who is at work that views would be in the way of, or that keeps the next round from coming.
    holding_off: usize,
    /// How often views were closed: one that is in use meanwhile goes when it is given back.
    round: u64,
}

impl Readers {
    pub(super) fn new() -> Self {
        Self { pool: Mutex::default(), calls: AtomicBool::new(false), returned: Condvar::new() }
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
        // Whoever has committed something before this read began is seen.
        reader.finder.refresh()?;
        if seat.keeps_view {
            reader.finder.open_view()?;
        }
        let result = use_it(&mut reader.finder);
        match &result {
            Ok(_) if reader.age == file.age() => seat.give_back(reader),
            Err(Fault { kind: FaultKind::Damaged, .. }) => file.is_damaged(reader.age),
            _ => {}
        }
        result
    }

    /// To be called again in the time that it returns, if it does, or views would be in the way of others for as long as nobody reads. And
    /// whether it was called for.
    pub(super) fn tick(&self) -> (Option<Duration>, bool) {
        let mut pool = self.lock();
        let was_called_for = std::mem::take(&mut pool.has_called);
        pool.is_busy = was_called_for || pool.reads >= BUSY;
        pool.reads = 0;
        pool.close_views();
        (pool.is_busy.then_some(TICK), was_called_for)
    }

    /// Whether a tick is called for. Says so once.
    pub(super) fn calls_for_tick(&self) -> bool {
        self.calls.load(Relaxed) && self.calls.swap(false, Relaxed)
    }

    /// No view stays open between two reads until the result is dropped.
    pub(super) fn hold_off(&self) -> impl Drop + '_ {
        let mut pool = self.lock();
        pool.holding_off += 1;
        pool.close_views();
        HeldOff(self)
    }

    /// Something is wrong: no view stays open until reads come fast again.
    pub(super) fn calm_down(&self) {
        let mut pool = self.lock();
        (pool.is_busy, pool.has_called) = (false, false);
        pool.close_views();
    }

    fn sit_down(&self) -> Outcome<Seat<'_>> {
        let mut pool = self.lock();
        if pool.closing || (pool.idle.is_empty() && pool.out >= MOST) {
            pool = self.wait(pool)?;
        }
        pool.out += 1;
        pool.reads += 1;
        if !pool.is_busy && pool.reads.is_multiple_of(LOOK_AFTER) {
            let now = Instant::now();
            let fast = TICK * (LOOK_AFTER / BUSY) as u32;
            if pool.looked.replace(now).is_some_and(|before| now.saturating_duration_since(before) < fast) {
                pool.has_called = true;
                self.calls.store(true, Relaxed);
            }
        }
        Ok(Seat { readers: self, reader: pool.idle.pop(), keeps_view: pool.keeps_views(), round: pool.round })
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

    /// In a forked child: who was holding off is not there.
    pub(super) fn after_fork_in_child(&self) {
        let mut pool = self.lock();
        (pool.is_busy, pool.has_called, pool.holding_off) = (false, false, 0);
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

impl Pool {
    fn keeps_views(&self) -> bool {
        self.is_busy && self.holding_off == 0
    }

    fn close_views(&mut self) {
        self.round += 1;
        // One that cannot be closed goes, and its view with it.
        self.idle.retain_mut(|reader| reader.finder.close_view().is_ok());
    }
}

struct HeldOff<'a>(&'a Readers);

impl Drop for HeldOff<'_> {
    fn drop(&mut self) {
        self.0.lock().holding_off -= 1;
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
    /// As it was when it began.
    keeps_view: bool,
    round: u64,
}

impl Seat<'_> {
    fn give_back(&mut self, mut reader: Reader) {
        if self.keeps_view {
            let mut pool = self.readers.lock();
            if pool.keeps_views() && pool.round == self.round {
                // In one step with the look, or it would be open behind the back of whoever closes them.
                pool.idle.push(reader);
                return;
            }
        }
        // One whose view cannot be closed goes, and the view with it.
        if reader.finder.close_view().is_ok() {
            self.reader = Some(reader);
        }
    }
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

/// Tells the envelopes of these keys, by their places, as of one moment.
pub(super) fn read_many(
    finder: &mut Finder,
    keys: &[&[u8]],
    ways: &Ways<'_>,
    mut tell: impl FnMut(usize, Option<&[u8]>),
) -> Outcome<()> {
    keys.iter().for_each(|key| ways.hints.expect((ways.hash_of)(key)));
    // Each look-up for itself would begin and end a transaction, which is a third of its time.
    finder.in_one_moment(|finder| {
        for (number, key) in keys.iter().enumerate() {
            tell(number, read(finder, key, ways)?.as_deref());
        }
        Ok(())
    })
}

/// Whether one of the tags was purged at or after a time.
pub(super) fn is_purged(finder: &mut Finder, tags: &[&[u8]], since: i64) -> Outcome<bool> {
    if tags.is_empty() {
        return Ok(false);
    }
    let books = |connection: &Connection| -> rusqlite::Result<(i64, i64)> {
        let mut books = connection.prepare_cached("SELECT last_purge, purge_floor FROM books WHERE one = 1")?;
        books.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
    };
    // Nearly always the answer: nothing was purged since.
    if books(finder.connection()).or_fault()?.0 < since {
        return Ok(false);
    }
    let look = |connection: &Connection| -> rusqlite::Result<bool> {
        if books(connection)?.1 >= since {
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
    // As a purge that is old may move from the tags to the floor.
    finder.in_one_moment(|finder| look(finder.connection()).or_fault())
}
