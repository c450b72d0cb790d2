//! What is in the file: its tables, its version, and how a connection is set up. Used by `file.rs`; knows nothing of the
//! file system.
//!
//! Rows are appended under rising ids, which are never used again, so that what is written lies together and what is
//! oldest lies together. They are found by a hash of 64 bits; several may have the same one, so the key is compared.
//!
//! An index on the hash alone would be written to all over, in a file of a million values two pages of 8 KiB for each
//! value of 1 KiB (measured: 30,000 puts a second). So there are two. `recent` takes what was put last and is small, and
//! is merged into `settled` slice by slice of the hashes: each page there is written once for many rows (86,000 puts a
//! second, same machine). An entry of theirs without its row means nothing; there are such only of rows below the oldest.

use super::faults::{OrFault, Outcome};
use crate::tiers::{Fault, FaultKind};
use rusqlite::config::DbConfig;
use rusqlite::Connection;

/// "CtZ" and a one: tells our files from those of other programs.
const APPLICATION: i64 = 0x4374_5A01;

/// Raised when a version of the library that does not know it would misread the file.
const VERSION: i64 = 1;

/// Pages of 8 KiB take seven values of 1 KiB without much waste. Measured against 4 KiB: 86,000 to 70,000 puts a second.
const PAGE_BYTES: u64 = 8 << 10;
/// In a small file half of that, so that the bound can be met.
const SMALL_PAGE_BYTES: u64 = 4 << 10;
const SMALL: u64 = 64 << 20;

/// Statements that stay prepared in a connection: all that there are.
const STATEMENTS: usize = 64;

/// The most that SQLite maps; only address space.
const MAP_BYTES: u64 = 0x7FFF_0000;

/// The last column of an index is when the row ends, in seconds since [`EPOCH`], rounded up: four bytes for each row.
/// `tags` has the time of the last purge of each tag, in microseconds since the Unix epoch.
const TABLES: &str = "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, expires INTEGER, key BLOB NOT NULL, envelope BLOB NOT NULL
    );
    CREATE TABLE recent (hash INTEGER, id INTEGER, due INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
    CREATE TABLE settled (hash INTEGER, id INTEGER, due INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
    CREATE TABLE tags (tag BLOB PRIMARY KEY, purged_at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX tags_by_time ON tags (purged_at);
    CREATE TABLE books (
        one INTEGER PRIMARY KEY, next_id INTEGER NOT NULL, entries INTEGER NOT NULL, recent INTEGER NOT NULL,
        slice INTEGER NOT NULL, last_purge INTEGER NOT NULL, purge_floor INTEGER NOT NULL, tags INTEGER NOT NULL,
        probes INTEGER NOT NULL
    );
    INSERT INTO books VALUES (1, 1, 0, 0, -9223372036854775808, -1, -1, 0, 0);
";

/// 2020-01-01: seconds since then fit into four bytes until 2088.
const EPOCH: i64 = 1_577_836_800;

/// What an index says of when a row ends, given in milliseconds since the Unix epoch.
pub(super) fn due(expires: Option<i64>) -> Option<i64> {
    expires.map(|millis| millis.div_euclid(1000) + 1 - EPOCH)
}

/// What an index says of rows that have ended by now.
pub(super) fn due_by(now_millis: i64) -> i64 {
    now_millis.div_euclid(1000) - EPOCH
}

/// Who a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    /// With so many KiB for pages.
    Writer {
        cache_kib: u64,
    },
}

/// Why a file is no use to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is to be set aside.
    File(String),
    /// It may be well; it cannot be told now.
    Now(Fault),
}

/// Makes all there is in an empty file, for a bound of so many bytes.
pub(super) fn create(connection: &Connection, max_bytes: u64) -> Outcome<()> {
    let page = if max_bytes < SMALL { SMALL_PAGE_BYTES } else { PAGE_BYTES };
    // In this order: neither can change once the journal is a WAL. It becomes one last, as the file may then no longer be renamed
    // while it is open.
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = MEMORY;
             BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;
             PRAGMA journal_mode = WAL;"
        ))
        .or_fault()
}

/// What every connection needs before it is used for anything.
pub(super) fn prepare(connection: &Connection, role: Role) -> Outcome<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Closing the last connection would move the WAL's pages into the file, which takes long, and remove the WAL by its
    // name, which may be another file's by then.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).or_fault()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).or_fault()?;
    // Else SQLite plans a statement anew for each value, at ten times the cost of the statement itself.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).or_fault()?;
    let own = match role {
        // With the file mapped this is for pages in the WAL only. Beside a writer of 20,000 puts a second 4 MiB took a tenth
        // off what 1 MiB took.
        Role::Reader => "PRAGMA query_only = ON; PRAGMA cache_size = -4096;".to_owned(),
        Role::Writer { cache_kib } => format!("PRAGMA cache_size = -{cache_kib};"),
    };
    connection
        .execute_batch(&format!(
            "PRAGMA mmap_size = {MAP_BYTES}; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = NORMAL;
             PRAGMA temp_store = MEMORY; {own}"
        ))
        .or_fault()
}

/// Whether the file is one of ours, and can be read.
pub(super) fn check(connection: &Connection) -> Result<(), Unfit> {
    let pragma = |name: &str| -> Result<i64, Unfit> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).or_fault().map_err(unfit)
    };
    if pragma("application_id")? != APPLICATION {
        return Err(Unfit::File("it is no file of this library's".into()));
    }
    let version = pragma("user_version")?;
    if version != VERSION {
        return Err(Unfit::File(format!("its version is {version}, and this library knows {VERSION}")));
    }
    let journal: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).or_fault().map_err(unfit)?;
    if journal != "wal" {
        return Err(Unfit::File(format!("its journal is `{journal}`, where readers would wait for writers")));
    }
    for look in [
        "SELECT next_id + entries + recent + slice FROM books WHERE one = 1",
        "SELECT count(*) FROM (SELECT 1 FROM tags, recent, settled LIMIT 1)",
        "SELECT coalesce(max(id), 0) FROM entries",
    ] {
        connection.query_row(look, [], |row| row.get::<_, i64>(0)).or_fault().map_err(unfit)?;
    }
    Ok(())
}

pub(super) fn unfit(fault: Fault) -> Unfit {
    match fault.kind {
        FaultKind::Damaged => Unfit::File(fault.message),
        _ => Unfit::Now(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_due_before_it_has_ended_and_every_row_within_a_second_of_it() {
        for expires in [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_999, 1_700_000_001_000] {
            let due = due(Some(expires)).unwrap();
            assert!(due > due_by(expires - 1), "{expires}");
            assert!(due <= due_by(expires + 1000), "{expires}");
        }
        assert_eq!(due(None), None);
    }
}
