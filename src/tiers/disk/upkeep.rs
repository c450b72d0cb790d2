//! What the writer does beside writing, in small steps: the WAL is moved into the file, the file made smaller, rows whose time
//! is over removed, rows that were read kept from being the oldest. Called by `mod.rs` for the cache's own thread.

use super::faults::{OrFault, Outcome};
use super::room::{due_from, places_from, Index};
use super::transaction::{oldest, pages, read_books, Books, Limits};
use super::writer::{Shared, Writer};
use crate::clock::unix_micros;
use crate::tiers::{Fault, FaultKind};
use rusqlite::Connection;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often there is a look when nothing is under way: what other processes do, and what became of the file.
const LOOK: Duration = Duration::from_secs(1);

/// In about this time all rows are looked at for their end.
const SWEEP: Duration = Duration::from_secs(60);
/// Between two steps of that, at least.
const SWEEP_STEP: Duration = Duration::from_millis(10);

/// How long a write waits for a read that keeps the WAL from beginning anew.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(250);
/// And for another process that is moving the WAL into the file, which a busy disk makes long:
/// 1.2 s was seen.
const OTHERS_PATIENCE: Duration = Duration::from_secs(2);

/// Pages that the file becomes smaller by in one step: 1 to 3 ms.
const VACUUMED_AT_ONCE: u64 = 128;

/// Pages that are freed in one step when the bound was lowered.
const FREED_AT_ONCE: u64 = 64;

/// Rows stored anew in one step since they were read.
const REFRESHED_AT_ONCE: usize = 128;
/// And for each row that was stored by anybody. Storing anew makes others the oldest, so without puts it would go round and
/// round; and what one process stores anew the others count, so sixteen of them could together.
const REFRESHED_PER_STORED: f64 = 1.0 / 16.0;

#[derive(Debug)]
pub(super) struct Upkeep {
    /// Where hints are to be learnt from next; `None`: all that are wanted are there.
    learning: Option<Learning>,
    index: Index,
    /// Where in the index the next step begins.
    from: i64,
    next_sweep: Instant,
    /// The next row's id when something was stored last, and when that was seen.
    next_id: i64,
    stored: Instant,
    /// The next row's id when rows to be stored anew were last counted, and how many may be.
    counted: i64,
    credit: f64,
}

impl Default for Upkeep {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            learning: Some(Learning { index: Index::Recent, from: i64::MIN, learnt: 0 }),
            index: Index::Recent,
            from: i64::MIN,
            next_sweep: now,
            next_id: 0,
            stored: now,
            counted: i64::MAX,
            credit: 0.0,
        }
    }
}

/// A walk through the indexes of a file that was there before this process, so that its keys are found by their hints the first time
/// too: without one a row takes a third longer (measured). A million entries take a quarter of a second, a fourth of a
/// millisecond at a time.
#[derive(Clone, Copy, Debug)]
struct Learning {
    index: Index,
    from: i64,
    /// Entries so far.
    learnt: u64,
}

#[cfg(test)]
impl Upkeep {
    pub(super) fn is_learning(&self) -> bool {
        self.learning.is_some()
    }
}

/// How the WAL is, in frames of a page each.
struct Wal {
    frames: u64,
    /// Of these, how many are in the file, too.
    moved: u64,
    /// Not told, as another process is moving it.
    is_others: bool,
}

impl Writer {
    /// One small step. When the next one should be; `None`: there is nothing to do until something is written.
    pub(super) fn maintain(&mut self, shared: &Shared) -> Outcome<Option<Duration>> {
        let now = Instant::now();
        self.keep_wal_small(shared)?;
        let (books, all, free, limits) = self.with(shared, |connection, limits| {
            let (all, free) = pages(connection)?;
            Ok((read_books(connection)?, all, free, *limits))
        })?;
        shared.tally.entries.store(books.entries.max(0) as u64, Relaxed);
        if books.next_id != self.upkeep.next_id {
            (self.upkeep.next_id, self.upkeep.stored) = (books.next_id, now);
        }
        let is_quiet = now.duration_since(self.upkeep.stored) >= LOOK;
        if all - free > limits.pages {
            let bytes = (all - free - limits.pages).min(FREED_AT_ONCE) * limits.page_bytes;
            self.transact(shared, |transaction| {
                let mut statements = transaction.statements()?;
                transaction.evict(&mut statements, bytes)
            })?;
            return Ok(Some(Duration::ZERO));
        }
        if self.refresh(shared, &books, all - free, &limits)? {
            return Ok(Some(Duration::ZERO));
        }
        if now >= self.upkeep.next_sweep && books.entries > 0 {
            self.sweep(shared)?;
            let pause = SWEEP.mul_f64(super::room::SWEPT_AT_ONCE as f64 / books.entries as f64);
            self.upkeep.next_sweep = now + pause.clamp(SWEEP_STEP, LOOK);
        }
        let too_many = all.saturating_sub(limits.pages);
        // While puts go on, free pages are soon in use again; a fourth of the file is more than they will need soon.
        if free > 0 && (is_quiet || too_many > 0 || free > all / 4) {
            let step = if is_quiet || free > all / 4 { free } else { too_many.min(free) };
            self.with(shared, |connection, limits| {
                let step = step.min(VACUUMED_AT_ONCE);
                connection.execute_batch(&format!("PRAGMA incremental_vacuum({step})")).or_fault()?;
                let (all, _) = pages(connection)?;
                shared.tally.file_bytes.store(all * limits.page_bytes, Relaxed);
                Ok(())
            })?;
            return Ok(Some(Duration::ZERO));
        }
        if is_quiet {
            let is_empty = self.with(shared, |connection, _| {
                // Also gives the file its size: what the vacuum has cut off is in the WAL until then.
                let wal = wal(connection, "NOOP")?;
                if wal.frames > 0 {
                    self::wal(connection, "TRUNCATE")?;
                }
                note_wal(shared);
                Ok(wal.frames == 0 && books.entries == 0)
            })?;
            if is_empty {
                return Ok(None);
            }
        }
        if self.learn(shared)? {
            return Ok(Some(Duration::ZERO));
        }
        let pause = self.upkeep.next_sweep.saturating_duration_since(Instant::now());
        Ok(Some(if books.entries > 0 { pause.clamp(Duration::from_millis(1), LOOK) } else { LOOK }))
    }

    /// Before the connection is closed for good: moves the WAL into the file, if that can be done at once.
    pub(super) fn finish(&mut self, shared: &Shared) {
        // Those of other processes who are at work do the same in their time.
        let _ = self.with(shared, |connection, _| wal(connection, "TRUNCATE"));
        self.close();
    }

    /// Moves the WAL into the file when it is long, so that it begins anew. An error when it cannot be and is far too long.
    pub(super) fn keep_wal_small(&mut self, shared: &Shared) -> Outcome<()> {
        let _short = self.patience.shorten(CHECKPOINT_PATIENCE);
        self.with(shared, |connection, limits| {
            let bytes = |wal: &Wal| wal.frames * (limits.page_bytes + FRAME_HEADER);
            let began = Instant::now();
            let mut now = wal(connection, "NOOP")?;
            // Also when all of it is in the file already: it goes on growing while some read is always using it.
            while bytes(&now) > limits.wal_bytes / 2 {
                // Others may read meanwhile and not write, else they would make it longer. It keeps its room on disk, for the
                // next pages, unless it has taken too much.
                let mode = if note_wal(shared) > limits.wal_bytes { "TRUNCATE" } else { "RESTART" };
                let moved = wal(connection, mode)?;
                let patience = if moved.is_others { OTHERS_PATIENCE } else { CHECKPOINT_PATIENCE };
                now = if moved.is_others { wal(connection, "NOOP")? } else { moved };
                if bytes(&now) <= limits.wal_bytes || now.moved == now.frames || began.elapsed() > patience {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            note_wal(shared);
            if bytes(&now) > limits.wal_bytes * 4 {
                // Somebody was stopped in the middle of a read. Better no writes than a full disk.
                return Err(Fault::new(
                    FaultKind::TimedOut,
                    "another process has been reading the disk tier's file for too long",
                ));
            }
            Ok(())
        })
    }

    /// Takes over hints from the next part of an index. False: there is nothing left to learn.
    fn learn(&mut self, shared: &Shared) -> Outcome<bool> {
        let Some(Learning { index, from, learnt }) = self.upkeep.learning else { return Ok(false) };
        let (places, next) = self.with(shared, |connection, _| places_from(connection, index, from))?;
        for (hash, id) in &places {
            shared.hints.note_if_free(*hash as u64, *id);
        }
        let learnt = learnt + places.len() as u64;
        self.upkeep.learning = match (index, next) {
            // In the order of the hashes: those behind would find hardly a place that is free.
            _ if learnt >= 2 * shared.hints.room() => None,
            (index, Some(from)) => Some(Learning { index, from, learnt }),
            (Index::Recent, None) => Some(Learning { index: Index::Settled, from: i64::MIN, learnt }),
            (Index::Settled, None) => None,
        };
        Ok(self.upkeep.learning.is_some())
    }

    /// Looks at the next part of an index for rows whose time is over, and removes them.
    fn sweep(&mut self, shared: &Shared) -> Outcome<()> {
        let (index, from) = (self.upkeep.index, self.upkeep.from);
        let now_millis = (unix_micros() / 1000) as i64;
        let (due, next) = self.with(shared, |connection, _| due_from(connection, index, from, now_millis))?;
        if !due.is_empty() {
            self.transact(shared, |transaction| {
                let mut statements = transaction.statements()?;
                transaction.expire(&mut statements, &due)
            })?;
        }
        (self.upkeep.index, self.upkeep.from) = match (index, next) {
            (_, Some(next)) => (index, next),
            (Index::Recent, None) => (Index::Settled, i64::MIN),
            (Index::Settled, None) => (Index::Recent, i64::MIN),
        };
        Ok(())
    }

    /// Stores anew what this process has read and what another one, which does not know, might remove soon: rows of the
    /// oldest quarter, once the file is nearly full. Whether there were any.
    fn refresh(&mut self, shared: &Shared, books: &Books, used: u64, limits: &Limits) -> Outcome<bool> {
        let stored = (books.next_id - self.upkeep.counted).max(0);
        self.upkeep.counted = books.next_id;
        self.upkeep.credit = (self.upkeep.credit + stored as f64 * REFRESHED_PER_STORED).min(REFRESHED_AT_ONCE as f64);
        if used < limits.pages / 10 * 9 || self.upkeep.credit < 1.0 {
            return Ok(false);
        }
        let oldest = self.with(shared, |connection, _| oldest(connection, books))?;
        let quarter = oldest + (books.next_id - oldest) / 4;
        let read = (oldest..quarter).filter(|id| shared.marks.is_marked(*id));
        let ids: Vec<i64> = read.take(self.upkeep.credit as usize).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        self.upkeep.credit -= ids.len() as f64;
        self.transact(shared, |transaction| {
            let mut statements = transaction.statements()?;
            transaction.refresh(&mut statements, &ids)?;
            transaction.make_room(&mut statements, 0)
        })?;
        Ok(true)
    }
}

/// Of each page in the WAL.
const FRAME_HEADER: u64 = 24;

/// Moves the WAL into the file, as far as `mode` says, and tells how it is then.
fn wal(connection: &Connection, mode: &str) -> Outcome<Wal> {
    let sql = match mode {
        "NOOP" => "PRAGMA wal_checkpoint(NOOP)",
        "RESTART" => "PRAGMA wal_checkpoint(RESTART)",
        _ => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let mut checkpoint = connection.prepare_cached(sql).or_fault()?;
    // The first column says whether somebody was in the way, which is no failure: there will be another time.
    let (frames, moved): (i64, i64) = checkpoint.query_row([], |row| Ok((row.get(1)?, row.get(2)?))).or_fault()?;
    let is_others = frames < 0;
    Ok(Wal { frames: frames.max(0) as u64, moved: moved.clamp(0, frames.max(0)) as u64, is_others })
}

fn note_wal(shared: &Shared) -> u64 {
    let length = std::fs::metadata(shared.file.folder().wal()).map_or(0, |found| found.len());
    shared.tally.wal_bytes.store(length, Relaxed);
    length
}
