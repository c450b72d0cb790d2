//! A write transaction: what is read from the books at its beginning, changed by the rooms beside this one, and written
//! back at its end. Begun by `writer.rs`. Everything in the file that several processes count is counted here, so that it is right
//! whoever writes.

use super::faults::{OrFault, Outcome};
use super::recency::{Hints, Marks};
use super::HashOf;
use rusqlite::Connection;

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Books {
    /// The next row's. Never used before.
    pub(super) next_id: i64,
    pub(super) entries: i64,
    /// Rows in the index of what is new.
    pub(super) recent: i64,
    /// Up to which hash that has been merged into the other one.
    pub(super) slice: i64,
    /// When a tag was last purged.
    pub(super) last_purge: i64,
    /// Every tag counts as purged at this time: single purges up to here are forgotten.
    pub(super) purge_floor: i64,
    /// How many tags' purges are not forgotten.
    pub(super) tags: i64,
}

/// How much there may be of what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) page_bytes: u64,
    /// Pages of the file.
    pub(super) pages: u64,
    /// Bytes of the WAL.
    pub(super) wal_bytes: u64,
    /// The longest key and envelope together.
    pub(super) row_bytes: u64,
}

impl Limits {
    /// A twentieth of the bound is for the WAL: the more of it, the fewer pages are written twice (of 1 GiB: 92,000 puts a
    /// second with 51 MiB, 86,000 with 24). In small files a fourth, up to a MiB, since one write takes several pages.
    pub(super) fn new(max_bytes: u64, page_bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let wal_bytes = (max_bytes / 20).max((max_bytes / 4).min(MIB)).min(64 * MIB);
        Self {
            page_bytes,
            pages: (max_bytes - wal_bytes) / page_bytes,
            wal_bytes,
            row_bytes: (max_bytes / 4).min(LARGEST),
        }
    }
}

/// What SQLite takes in one row (1,000,000,000 bytes) without what it adds.
const LARGEST: u64 = 1_000_000_000 - 4096;

pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) books: Books,
    pub(super) limits: Limits,
    pub(super) hash_of: HashOf,
    pub(super) hints: &'a Hints,
    pub(super) marks: &'a Marks,
    /// In milliseconds since the Unix epoch.
    pub(super) now: i64,
    pub(super) evictions: u64,
    pub(super) expirations: u64,
}

impl Transaction<'_> {
    pub(super) fn next_id(&mut self) -> i64 {
        let id = self.books.next_id;
        self.books.next_id += 1;
        id
    }

    pub(super) fn oldest(&self) -> Outcome<i64> {
        oldest(self.connection, &self.books)
    }

    /// Pages that hold something.
    pub(super) fn used_pages(&self) -> Outcome<u64> {
        let (all, free) = pages(self.connection)?;
        Ok(all - free)
    }
}

/// The row that was stored longest ago; the one to come when there is none.
pub(super) fn oldest(connection: &Connection, books: &Books) -> Outcome<i64> {
    let mut oldest = connection.prepare_cached("SELECT min(id) FROM entries").or_fault()?;
    let oldest: Option<i64> = oldest.query_row([], |row| row.get(0)).or_fault()?;
    Ok(oldest.unwrap_or(books.next_id))
}

pub(super) fn read_books(connection: &Connection) -> Outcome<Books> {
    let sql = "SELECT next_id, entries, recent, slice, last_purge, purge_floor, tags FROM books WHERE one = 1";
    let mut books = connection.prepare_cached(sql).or_fault()?;
    books
        .query_row([], |row| {
            Ok(Books {
                next_id: row.get(0)?,
                entries: row.get(1)?,
                recent: row.get(2)?,
                slice: row.get(3)?,
                last_purge: row.get(4)?,
                purge_floor: row.get(5)?,
                tags: row.get(6)?,
            })
        })
        .or_fault()
}

pub(super) fn write_books(connection: &Connection, books: &Books) -> Outcome<()> {
    let sql = "UPDATE books SET next_id = ?1, entries = ?2, recent = ?3, slice = ?4, last_purge = ?5, purge_floor = ?6,
               tags = ?7 WHERE one = 1";
    let mut update = connection.prepare_cached(sql).or_fault()?;
    let Books { next_id, entries, recent, slice, last_purge, purge_floor, tags } = *books;
    update.execute((next_id, entries, recent, slice, last_purge, purge_floor, tags)).or_fault()?;
    Ok(())
}

/// Pages of the file, and how many of them hold nothing.
pub(super) fn pages(connection: &Connection) -> Outcome<(u64, u64)> {
    let ask = |sql: &str| -> Outcome<u64> {
        let mut pragma = connection.prepare_cached(sql).or_fault()?;
        pragma.query_row([], |row| row.get::<_, i64>(0)).or_fault().map(|pages| pages as u64)
    };
    let (all, free) = (ask("PRAGMA page_count")?, ask("PRAGMA freelist_count")?);
    Ok((all, free.min(all)))
}
