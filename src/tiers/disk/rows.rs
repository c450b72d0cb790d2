//! Single rows within a transaction: found, put, removed, moved to the end. The two indexes are kept here, too; why there are two
//! is said in `schema.rs`.

use super::faults::{OrFault, Outcome};
use super::schema::due;
use super::transaction::Transaction;
use rusqlite::{CachedStatement, OptionalExtension};

/// How many rows `recent` has before it is merged: this many times the root of all rows. A batch of n puts writes to
/// `recent / 250` pages of the one index, and to `n / recent` of the pages of the other, which has `rows / 250`:
/// together they are fewest at the root of `n * rows`, and n is 1,024 at most when it matters.
const RECENT_FACTOR: f64 = 32.0;

/// Not worth merging.
const RECENT_LEAST: i64 = 1024;

/// As many at once as keep a transaction short: ten thousand take 10 ms.
const MERGED_AT_ONCE: i64 = 8192;

/// Of one transaction, so that each is looked up in the connection's cache once.
pub(super) struct Statements<'c> {
    find: CachedStatement<'c>,
    insert: CachedStatement<'c>,
    insert_recent: CachedStatement<'c>,
    delete: CachedStatement<'c>,
    delete_recent: CachedStatement<'c>,
    delete_settled: CachedStatement<'c>,
}

/// A row that is there.
struct Found {
    id: i64,
    expires: Option<i64>,
}

impl<'a> Transaction<'a> {
    pub(super) fn statements(&self) -> Outcome<Statements<'a>> {
        let prepare = |sql| self.connection.prepare_cached(sql).or_fault();
        Ok(Statements {
            find: prepare(
                "SELECT e.id, e.key, e.expires FROM recent i CROSS JOIN entries e ON e.id = i.id WHERE i.hash = ?1
                 UNION ALL
                 SELECT e.id, e.key, e.expires FROM settled i CROSS JOIN entries e ON e.id = i.id WHERE i.hash = ?1",
            )?,
            insert: prepare("INSERT INTO entries (id, hash, expires, key, envelope) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            insert_recent: prepare("INSERT INTO recent (hash, id, due) VALUES (?1, ?2, ?3)")?,
            delete: prepare("DELETE FROM entries WHERE id = ?1")?,
            delete_recent: prepare("DELETE FROM recent WHERE hash = ?1 AND id = ?2")?,
            delete_settled: prepare("DELETE FROM settled WHERE hash = ?1 AND id = ?2")?,
        })
    }

    /// Stores a value, in place of what is there; false when that is to stay.
    pub(super) fn put(
        &mut self,
        statements: &mut Statements<'_>,
        key: &[u8],
        envelope: &[u8],
        expires: Option<i64>,
        if_absent: bool,
    ) -> Outcome<bool> {
        let hash = (self.hash_of)(key);
        if let Some(found) = statements.find(hash, key)? {
            let ended = found.expires.is_some_and(|expires| expires <= self.now);
            if if_absent && !ended {
                return Ok(false);
            }
            self.delete(statements, hash as i64, found.id)?;
        }
        let id = self.next_id();
        statements.insert.execute((id, hash as i64, expires, key, envelope)).or_fault()?;
        self.index(statements, hash, id, expires)?;
        self.books.entries += 1;
        Ok(true)
    }

    /// Removes a key; false when it was not there.
    pub(super) fn remove(&mut self, statements: &mut Statements<'_>, key: &[u8]) -> Outcome<bool> {
        let hash = (self.hash_of)(key);
        let Some(found) = statements.find(hash, key)? else { return Ok(false) };
        self.delete(statements, hash as i64, found.id)
    }

    /// Removes a row and its entry in an index; false when there was no such row.
    pub(super) fn delete(&mut self, statements: &mut Statements<'_>, hash: i64, id: i64) -> Outcome<bool> {
        let deleted = statements.delete.execute([id]).or_fault()?;
        if statements.delete_recent.execute([hash, id]).or_fault()? > 0 {
            self.books.recent -= 1;
        } else {
            statements.delete_settled.execute([hash, id]).or_fault()?;
        }
        self.books.entries -= deleted as i64;
        self.marks.unmark(id);
        Ok(deleted > 0)
    }

    /// Stores a row anew, as if it was put now. The old row, and its entry in an index, are left to the caller.
    pub(super) fn copy_to_end(
        &mut self,
        statements: &mut Statements<'_>,
        hash: i64,
        id: i64,
        expires: Option<i64>,
    ) -> Outcome<()> {
        let sql = "INSERT INTO entries (id, hash, expires, key, envelope)
                   SELECT ?1, hash, expires, key, envelope FROM entries WHERE id = ?2";
        let new = self.next_id();
        self.connection.prepare_cached(sql).or_fault()?.execute([new, id]).or_fault()?;
        self.index(statements, hash as u64, new, expires)?;
        self.books.entries += 1;
        Ok(())
    }

    fn index(&mut self, statements: &mut Statements<'_>, hash: u64, id: i64, expires: Option<i64>) -> Outcome<()> {
        statements.insert_recent.execute((hash as i64, id, due(expires))).or_fault()?;
        self.books.recent += 1;
        // Whoever reads this before it is committed, or after it was rolled back, finds nothing there and looks again.
        self.hints.note(hash, id);
        self.marks.unmark(id);
        Ok(())
    }

    /// Moves what is too much in `recent` to `settled`: the next slice of hashes.
    pub(super) fn merge(&mut self) -> Outcome<()> {
        let allowed = ((self.books.entries.max(0) as f64).sqrt() * RECENT_FACTOR) as i64;
        let surplus = (self.books.recent - allowed.max(RECENT_LEAST)).min(MERGED_AT_ONCE);
        if surplus <= 0 {
            return Ok(());
        }
        let (from, oldest) = (self.books.slice, self.oldest()?);
        let end = "SELECT hash FROM recent WHERE hash >= ?1 ORDER BY hash LIMIT 1 OFFSET ?2";
        let end: Option<i64> =
            self.prepared(end)?.query_row([from, surplus], |row| row.get(0)).optional().or_fault()?;
        // Rows of one hash stay together.
        let to = end.map_or(i64::MAX, |end| end.saturating_sub(1).max(from));
        // These pages are written anyway: so what means nothing any more goes with it.
        let forgotten = "DELETE FROM settled WHERE hash BETWEEN ?1 AND ?2 AND id < ?3";
        self.prepared(forgotten)?.execute([from, to, oldest]).or_fault()?;
        let merged = "INSERT INTO settled SELECT hash, id, due FROM recent WHERE hash BETWEEN ?1 AND ?2 AND id >= ?3";
        self.prepared(merged)?.execute([from, to, oldest]).or_fault()?;
        let taken = self.prepared("DELETE FROM recent WHERE hash BETWEEN ?1 AND ?2")?.execute([from, to]).or_fault()?;
        self.books.recent -= taken as i64;
        self.books.slice = to.checked_add(1).unwrap_or(i64::MIN);
        Ok(())
    }

    pub(super) fn prepared(&self, sql: &str) -> Outcome<CachedStatement<'a>> {
        self.connection.prepare_cached(sql).or_fault()
    }
}

impl Statements<'_> {
    fn find(&mut self, hash: u64, key: &[u8]) -> Outcome<Option<Found>> {
        self.look_for(hash, key).or_fault()
    }

    fn look_for(&mut self, hash: u64, key: &[u8]) -> rusqlite::Result<Option<Found>> {
        let mut rows = self.find.query([hash as i64])?;
        while let Some(row) = rows.next()? {
            if row.get_ref(1)?.as_blob()? == key {
                return Ok(Some(Found { id: row.get(0)?, expires: row.get(2)? }));
            }
        }
        Ok(None)
    }
}
