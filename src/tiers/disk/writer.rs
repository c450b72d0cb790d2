//! The one connection of this process that writes: transactions, and what becomes of them. Used by `mod.rs`, under its lock.

use super::faults::{OrFault, Outcome};
use super::file::{Connected, TheFile};
use super::recency::{Hints, Marks};
use super::room::ROW_OVERHEAD;
use super::schema::Role;
use super::transaction::{pages, read_books, write_books, Limits, Transaction};
use super::upkeep::Upkeep;
use super::{HashOf, Tally};
use crate::clock::unix_micros;
use crate::tiers::{Fault, FaultKind, Outcome as Done, What, Write};
use rusqlite::Connection;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a transaction may wait for those of other processes: theirs take 20 ms, with a checkpoint 200. Nobody waits for
/// this but the cache's own thread, and who purges.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts to begin while another process writes. SQLite's own handler waits up to 100 ms, so that it seldom finds the
/// moment between two transactions of a busy one.
const RETRY: Duration = Duration::from_micros(500);

/// The writer's cache of pages: a 64th of the bound, in KiB. More gained nothing.
const CACHE_KIB: std::ops::RangeInclusive<u64> = 2 << 10..=16 << 10;

/// What every room of the tier shares, and no lock guards.
pub(super) struct Shared {
    pub(super) file: TheFile,
    pub(super) hints: Hints,
    pub(super) marks: Marks,
    pub(super) tally: Tally,
    pub(super) hash_of: HashOf,
}

#[derive(Default)]
pub(super) struct Writer {
    connected: Option<Connected>,
    pub(super) upkeep: Upkeep,
    pub(super) patience: Patience,
}

/// How long the connection waits for others, in milliseconds. Shared with what SQLite asks when it has to wait.
pub(super) struct Patience(Arc<AtomicU64>);

impl Default for Patience {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(PATIENCE.as_millis() as u64)))
    }
}

impl Patience {
    /// Waits no longer than this until the result is dropped.
    pub(super) fn shorten(&self, to: Duration) -> impl Drop {
        self.0.store(to.as_millis() as u64, Relaxed);
        Shortened(self.0.clone())
    }
}

struct Shortened(Arc<AtomicU64>);

impl Drop for Shortened {
    fn drop(&mut self) {
        self.0.store(PATIENCE.as_millis() as u64, Relaxed);
    }
}

impl Writer {
    /// The connection; a new one when the file is another than it was, or there was none.
    pub(super) fn connection(&mut self, shared: &Shared) -> Outcome<&Connection> {
        let file = &shared.file;
        let usable = |connected: &Connected| connected.age == file.age() && !file.was_seen_damaged() && !file.is_gone();
        let connected = match self.connected.take().filter(usable) {
            Some(connected) => connected,
            None => {
                let cache_kib = (file.max_bytes() >> 16).clamp(*CACHE_KIB.start(), *CACHE_KIB.end());
                let mut connected = file.connect(Role::Writer { cache_kib }, PATIENCE)?;
                wait_for_others(&mut connected.connection, &self.patience)?;
                self.upkeep = Upkeep::default();
                shared.tally.connects.fetch_add(1, Relaxed);
                connected
            }
        };
        Ok(&self.connected.insert(connected).connection)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// Closes the connection; the next use makes another.
    pub(super) fn close(&mut self) {
        self.connected = None;
    }

    /// Does `what` with the connection. After a fault the connection is made anew, unless it was only for want of room or time.
    pub(super) fn with<T>(
        &mut self,
        shared: &Shared,
        what: impl FnOnce(&Connection, &Limits) -> Outcome<T>,
    ) -> Outcome<T> {
        let connection = self.connection(shared)?;
        let result = limits(connection, shared).and_then(|limits| what(connection, &limits));
        if let Err(fault) = &result {
            self.after(fault, shared);
        }
        result
    }

    fn after(&mut self, fault: &Fault, shared: &Shared) {
        match fault.kind {
            FaultKind::Full | FaultKind::TimedOut | FaultKind::TooLarge => return,
            FaultKind::Damaged => {
                if let Some(connected) = &self.connected {
                    shared.file.is_damaged(connected.age);
                }
            }
            FaultKind::Unreachable | FaultKind::Refused => {}
        }
        self.close();
    }

    /// Does `work` in one transaction: all of it or, with a fault, none of it.
    pub(super) fn transact<T>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>,
    ) -> Outcome<T> {
        self.with(shared, |connection, limits| {
            let mut tried = transact(connection, *limits, shared, work);
            if tried.is_err() && !connection.is_autocommit() {
                // Where even this fails the connection is no good, and closing it does the same.
                if let Err(fault) = connection.execute_batch("ROLLBACK").or_fault() {
                    tried = Err(Fault { kind: FaultKind::Unreachable, ..fault });
                }
            }
            tried
        })
    }

    /// Opens the file and tells what is in it.
    pub(super) fn look(&mut self, shared: &Shared) -> Outcome<()> {
        self.with(shared, |connection, limits| {
            let books = read_books(connection)?;
            let (all, _) = pages(connection)?;
            shared.tally.entries.store(books.entries.max(0) as u64, Relaxed);
            shared.tally.file_bytes.store(all * limits.page_bytes, Relaxed);
            Ok(())
        })
    }

    /// Whether a write would go well, without leaving anything.
    pub(super) fn probe(&mut self, shared: &Shared) -> Outcome<()> {
        self.transact(shared, |transaction| {
            let mut probe = transaction.prepared("UPDATE books SET probes = probes + 1 WHERE one = 1")?;
            probe.execute([]).or_fault().map(drop)
        })?;
        self.keep_wal_small(shared)?;
        // That may have gone well in a WAL that has its room already.
        shared.file.folder().try_to_write()
    }

    /// Does writes in their order. Many bytes are split into several transactions, as the WAL has to hold each of them.
    pub(super) fn write(&mut self, shared: &Shared, writes: &mut [Write<'_>]) -> Outcome<()> {
        let mut rest = writes;
        while !rest.is_empty() {
            self.keep_wal_small(shared)?;
            let limits = self.with(shared, |_, limits| Ok(*limits))?;
            let count = fitting(rest, &limits);
            let (now, later) = rest.split_at_mut(count);
            let outcomes = self.transact(shared, |transaction| write(transaction, now))?;
            for (write, outcome) in now.iter_mut().zip(outcomes) {
                write.outcome = outcome;
            }
            rest = later;
        }
        // What was committed is done, whatever becomes of the WAL: the next write says if that is too large.
        let _ = self.keep_wal_small(shared);
        Ok(())
    }
}

/// Has the connection wait for others, as long as `patience` says whenever it does.
fn wait_for_others(connection: &mut Connection, patience: &Patience) -> Outcome<()> {
    let mut began = Instant::now();
    let patience = patience.0.clone();
    let wait = move |attempts| {
        if attempts == 0 {
            began = Instant::now();
        }
        std::thread::sleep(RETRY);
        began.elapsed() < Duration::from_millis(patience.load(Relaxed))
    };
    connection.busy_handler(Some(wait)).or_fault()
}

pub(super) fn limits(connection: &Connection, shared: &Shared) -> Outcome<Limits> {
    let mut page = connection.prepare_cached("PRAGMA page_size").or_fault()?;
    let page: i64 = page.query_row([], |row| row.get(0)).or_fault()?;
    Ok(Limits::new(shared.file.max_bytes(), page.max(512) as u64))
}

fn transact<T>(
    connection: &Connection,
    limits: Limits,
    shared: &Shared,
    work: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).or_fault();
    run("BEGIN IMMEDIATE")?;
    let books = read_books(connection)?;
    let Shared { hints, marks, tally, hash_of, .. } = shared;
    let now = (unix_micros() / 1000) as i64;
    let mut transaction = Transaction {
        connection,
        books: books.clone(),
        limits,
        hash_of: *hash_of,
        hints,
        marks,
        now,
        evictions: 0,
        expirations: 0,
    };
    let result = work(&mut transaction)?;
    let Transaction { books: changed, evictions, expirations, .. } = transaction;
    if changed != books {
        write_books(connection, &changed)?;
    }
    let (all, _) = pages(connection)?;
    run("COMMIT")?;
    tally.entries.store(changed.entries.max(0) as u64, Relaxed);
    tally.file_bytes.store(all * limits.page_bytes, Relaxed);
    tally.evictions.fetch_add(evictions, Relaxed);
    tally.expirations.fetch_add(expirations, Relaxed);
    Ok(result)
}

/// How many of these one transaction may do, so that the WAL stays what it may be: it begins with half of that, and other processes
/// may be about to write as much. Each takes its own bytes and, of pages that it shares with others, about one. One at least.
fn fitting(writes: &[Write<'_>], limits: &Limits) -> usize {
    let mut bytes = 0;
    let too_many = writes.iter().position(|write| {
        bytes += bytes_of(write) + limits.page_bytes;
        bytes > limits.wal_bytes / 4
    });
    too_many.unwrap_or(writes.len()).max(1)
}

fn bytes_of(write: &Write<'_>) -> u64 {
    let envelope = match write.what {
        What::Put { envelope, .. } => envelope.len(),
        What::Remove => 0,
    };
    (write.key.len() + envelope) as u64 + ROW_OVERHEAD
}

fn write(transaction: &mut Transaction<'_>, writes: &[Write<'_>]) -> Outcome<Vec<Done>> {
    let mut statements = transaction.statements()?;
    let Limits { page_bytes, row_bytes, .. } = transaction.limits;
    let fits = |write: &Write<'_>| bytes_of(write) <= row_bytes;
    // First, so that the new rows take the place of the old ones and the file does not grow. A tenth is what pages waste; the rest
    // is for what a transaction changes besides.
    let bytes: u64 = writes.iter().filter(|write| fits(write)).map(bytes_of).sum();
    transaction.make_room(&mut statements, (bytes + bytes / 10) / page_bytes + 8)?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        let is_done = match write.what {
            What::Put { if_absent, .. } if !fits(write) => {
                if !if_absent {
                    // What was there is out of date, and there will be nothing newer.
                    transaction.remove(&mut statements, write.key)?;
                }
                let message = format!("a value of {} bytes is too large for the disk tier", bytes_of(write));
                outcomes.push(Done::Refused(Fault::new(FaultKind::TooLarge, message)));
                continue;
            }
            What::Put { envelope, expires, if_absent, .. } => {
                let expires = expires.map(|millis| i64::try_from(millis).unwrap_or(i64::MAX));
                transaction.put(&mut statements, write.key, envelope, expires, if_absent)?
            }
            What::Remove => transaction.remove(&mut statements, write.key)?,
        };
        outcomes.push(if is_done { Done::Done } else { Done::Nothing });
    }
    transaction.merge()?;
    transaction.make_room(&mut statements, 0)?;
    Ok(outcomes)
}
