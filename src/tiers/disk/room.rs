//! What goes so that others have room, and what goes because its time is over. Within a transaction.
//!
//! The oldest rows go, all those up to some id at once, since they lie together. One that was read since it was stored
//! gets a second chance: it is stored anew at the other end.

use super::faults::{OrFault, Outcome};
use super::rows::Statements;
use super::schema::due_by;
use super::transaction::Transaction;
use rusqlite::OptionalExtension;

/// What SQLite adds to a row, about, and its share of what is unused in a page.
pub(super) const ROW_OVERHEAD: u64 = 64;

/// Rows looked at in one go.
const STEP: i64 = 512;

/// Of these so many may get a second chance, so that every go frees something.
const MOST_CHANCES: usize = 384;

/// Second chances, in bytes, for each byte that is wanted: a cache that is read a lot must not spend all its time copying.
const CHANCES: u64 = 3;
/// And for this many where fewer are wanted, as what is read together was often stored together.
const CHANCES_LEAST: u64 = 128 << 10;

/// Rows of an index looked at for their end in one go: half a millisecond.
pub(super) const SWEPT_AT_ONCE: i64 = 4096;

struct Old {
    id: i64,
    hash: i64,
    expires: Option<i64>,
    bytes: u64,
}

impl Transaction<'_> {
    /// Removes the oldest rows until so many more pages are allowed.
    pub(super) fn make_room(&mut self, statements: &mut Statements<'_>, pages: u64) -> Outcome<()> {
        loop {
            let wanted = (self.used_pages()? + pages).saturating_sub(self.limits.pages);
            if wanted == 0 || !self.evict(statements, wanted * self.limits.page_bytes)? {
                return Ok(());
            }
        }
    }

    /// Removes about so many bytes of the oldest rows, and not many rows at once. False when there was nothing.
    pub(super) fn evict(&mut self, statements: &mut Statements<'_>, bytes: u64) -> Outcome<bool> {
        let (mut freed, mut moved) = (0, 0);
        let (mut chances, mut ended) = (Vec::new(), 0);
        let mut range: Option<(i64, i64)> = None;
        {
            let oldest = "SELECT id, hash, expires, length(key) + length(envelope) FROM entries ORDER BY id LIMIT ?1";
            let mut oldest = self.prepared(oldest)?;
            let mut rows = oldest.query([STEP]).or_fault()?;
            while freed < bytes {
                let Some(row) = rows.next().or_fault()? else { break };
                let row = old(row).or_fault()?;
                range = Some((range.map_or(row.id, |(first, _)| first), row.id));
                let is_over = row.expires.is_some_and(|expires| expires <= self.now);
                ended += u64::from(is_over);
                let has_chance = moved < CHANCES * bytes.max(CHANCES_LEAST) && chances.len() < MOST_CHANCES;
                if !is_over && has_chance && self.marks.is_marked(row.id) {
                    moved += row.bytes;
                    chances.push(row);
                } else {
                    freed += row.bytes;
                }
            }
        }
        let Some((first, last)) = range else { return Ok(false) };
        for row in &chances {
            self.copy_to_end(statements, row.hash, row.id, row.expires)?;
            self.marks.unmark(row.id);
        }
        let delete = "DELETE FROM entries WHERE id BETWEEN ?1 AND ?2";
        let deleted = self.prepared(delete)?.execute([first, last]).or_fault()? as u64;
        self.books.entries -= deleted as i64;
        self.expirations += ended;
        self.evictions += deleted - ended - chances.len() as u64;
        Ok(true)
    }

    /// Stores these rows anew if they are still there, as those that were read and would soon be the oldest.
    pub(super) fn refresh(&mut self, statements: &mut Statements<'_>, ids: &[i64]) -> Outcome<()> {
        for &id in ids {
            let sql = "SELECT id, hash, expires, length(key) + length(envelope) FROM entries WHERE id = ?1";
            let found = self.prepared(sql)?.query_row([id], old).optional().or_fault()?;
            if let Some(row) = found {
                self.copy_to_end(statements, row.hash, id, row.expires)?;
                self.delete(statements, row.hash, id)?;
            }
            self.marks.unmark(id);
        }
        Ok(())
    }

    /// Removes these rows if their time is over, and the entries of an index that have no row.
    pub(super) fn expire(&mut self, statements: &mut Statements<'_>, due: &[Place]) -> Outcome<()> {
        let ended = "SELECT expires IS NOT NULL AND expires <= ?2 FROM entries WHERE id = ?1";
        let mut ended = self.prepared(ended)?;
        for &(hash, id) in due {
            let is_over: Option<bool> = ended.query_row([id, self.now], |row| row.get(0)).optional().or_fault()?;
            if is_over != Some(false) && self.delete(statements, hash, id)? {
                self.expirations += 1;
            }
        }
        Ok(())
    }
}

fn old(row: &rusqlite::Row<'_>) -> rusqlite::Result<Old> {
    let bytes: i64 = row.get(3)?;
    Ok(Old { id: row.get(0)?, hash: row.get(1)?, expires: row.get(2)?, bytes: bytes as u64 + ROW_OVERHEAD })
}

/// An entry of an index: a hash and an id.
type Place = (i64, i64);

/// One of the two indexes, for a walk through it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    Recent,
    Settled,
}

/// What is due in the next part of an index, from a hash on; and from where to go on, if there is more.
pub(super) fn due_from(
    connection: &rusqlite::Connection,
    index: Index,
    from: i64,
    now_millis: i64,
) -> Outcome<(Vec<Place>, Option<i64>)> {
    let (end, due) = match index {
        Index::Recent => (
            "SELECT hash FROM recent WHERE hash >= ?1 ORDER BY hash LIMIT 1 OFFSET ?2",
            "SELECT hash, id FROM recent WHERE hash BETWEEN ?1 AND ?2 AND due <= ?3",
        ),
        Index::Settled => (
            "SELECT hash FROM settled WHERE hash >= ?1 ORDER BY hash LIMIT 1 OFFSET ?2",
            "SELECT hash, id FROM settled WHERE hash BETWEEN ?1 AND ?2 AND due <= ?3",
        ),
    };
    let mut end = connection.prepare_cached(end).or_fault()?;
    let end: Option<i64> = end.query_row([from, SWEPT_AT_ONCE], |row| row.get(0)).optional().or_fault()?;
    let to = end.unwrap_or(i64::MAX);
    let mut due = connection.prepare_cached(due).or_fault()?;
    let rows = due.query_map([from, to, due_by(now_millis)], |row| Ok((row.get(0)?, row.get(1)?))).or_fault()?;
    let due = rows.collect::<rusqlite::Result<Vec<_>>>().or_fault()?;
    Ok((due, end.and_then(|end| end.checked_add(1))))
}

/// The next entries of an index, from a hash on; and from where to go on, if there is more. Of those that share a hash with the last one
/// some may be left out.
pub(super) fn places_from(
    connection: &rusqlite::Connection,
    index: Index,
    from: i64,
) -> Outcome<(Vec<Place>, Option<i64>)> {
    let sql = match index {
        Index::Recent => "SELECT hash, id FROM recent WHERE hash >= ?1 ORDER BY hash LIMIT ?2",
        Index::Settled => "SELECT hash, id FROM settled WHERE hash >= ?1 ORDER BY hash LIMIT ?2",
    };
    let mut places = connection.prepare_cached(sql).or_fault()?;
    let rows = places.query_map([from, SWEPT_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?))).or_fault()?;
    let places = rows.collect::<rusqlite::Result<Vec<Place>>>().or_fault()?;
    let is_full = places.len() as i64 == SWEPT_AT_ONCE;
    let next = places.last().filter(|_| is_full).and_then(|(hash, _)| hash.checked_add(1));
    Ok((places, next))
}
