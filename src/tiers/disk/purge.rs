//! What is removed because somebody wants it: everything, what has a certain key, what carries a tag. Called by `mod.rs`
//! for callers of the cache.

use super::faults::{OrFault, Outcome};
use super::transaction::Transaction;
use super::writer::{Shared, Writer};
use crate::pattern::KeySet;
use rusqlite::OptionalExtension;

/// Rows looked at in one step: 1 to 2 ms.
const LOOKED_AT_ONCE: usize = 2048;

/// Tags whose purges are known one by one; beyond that the oldest are forgotten, and count as a purge of all tags. Arbitrary: 10 MiB
/// of the file with tags of 50 bytes.
const MOST_TAGS: i64 = 100_000;
/// So many are forgotten at once.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

impl Transaction<'_> {
    /// Removes all rows, and says how many there were. Purges of tags stay: another process may be about to write something
    /// older than they are.
    pub(super) fn clear(&mut self) -> Outcome<u64> {
        // Without a condition: tables are given up as a whole.
        self.connection.execute_batch("DELETE FROM entries; DELETE FROM recent; DELETE FROM settled;").or_fault()?;
        let removed = std::mem::take(&mut self.books.entries);
        (self.books.recent, self.books.slice) = (0, i64::MIN);
        Ok(removed.max(0) as u64)
    }

    /// All that carries the tag and was made up to this time counts as purged.
    pub(super) fn purge_tag(&mut self, tag: &[u8], at: i64) -> Outcome<()> {
        let later = "UPDATE tags SET purged_at = max(purged_at, ?2) WHERE tag = ?1";
        if self.prepared(later)?.execute((tag, at)).or_fault()? == 0 {
            let first = "INSERT INTO tags (tag, purged_at) VALUES (?1, ?2)";
            self.prepared(first)?.execute((tag, at)).or_fault()?;
            self.books.tags += 1;
        }
        self.books.last_purge = self.books.last_purge.max(at);
        if self.books.tags > MOST_TAGS {
            self.forget_tags()?;
        }
        Ok(())
    }

    fn forget_tags(&mut self) -> Outcome<()> {
        let floor = "SELECT purged_at FROM tags ORDER BY purged_at LIMIT 1 OFFSET ?1";
        let floor: Option<i64> =
            self.prepared(floor)?.query_row([FORGOTTEN_AT_ONCE], |row| row.get(0)).optional().or_fault()?;
        let Some(floor) = floor else { return Ok(()) };
        let forgotten = self.prepared("DELETE FROM tags WHERE purged_at <= ?1")?.execute([floor]).or_fault()?;
        self.books.tags -= forgotten as i64;
        self.books.purge_floor = self.books.purge_floor.max(floor);
        Ok(())
    }
}

impl Writer {
    /// Removes those of the next rows whose keys are meant: how many of those had not ended, and from where to go on. A row that
    /// is stored anew meanwhile is met again at the end, as ids only rise.
    pub(super) fn purge_keys(&mut self, shared: &Shared, keys: KeySet<'_>, from: i64) -> Outcome<(u64, Option<i64>)> {
        let (matching, last, looked_at) = self.with(shared, |connection, _| {
            let look = || -> rusqlite::Result<_> {
                let mut rows = connection
                    .prepare_cached("SELECT id, hash, key, expires FROM entries WHERE id >= ?1 ORDER BY id LIMIT ?2")?;
                let mut rows = rows.query((from, LOOKED_AT_ONCE as i64))?;
                let (mut matching, mut last, mut looked_at) = (Vec::new(), from, 0);
                while let Some(row) = rows.next()? {
                    (last, looked_at) = (row.get(0)?, looked_at + 1);
                    if keys.has(row.get_ref(2)?.as_blob()?) {
                        matching.push((row.get(1)?, last, row.get::<_, Option<i64>>(3)?));
                    }
                }
                Ok((matching, last, looked_at))
            };
            look().or_fault()
        })?;
        let mut removed = 0;
        if !matching.is_empty() {
            removed = self.transact(shared, |transaction| {
                let mut statements = transaction.statements()?;
                let mut removed = 0;
                for &(hash, id, expires) in &matching {
                    let is_there = transaction.delete(&mut statements, hash, id)?;
                    let has_ended = expires.is_some_and(|expires| expires <= transaction.now);
                    removed += u64::from(is_there && !has_ended);
                    transaction.expirations += u64::from(is_there && has_ended);
                }
                Ok(removed)
            })?;
        }
        Ok((removed, (looked_at == LOOKED_AT_ONCE).then_some(last + 1)))
    }
}
