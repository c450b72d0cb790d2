//! A reader's connection and the two statements that find a row, prepared once and stepped by hand: by its id, where that is guessed, and
//! by the hash of its key. Lent by `store.rs` to one reader at a time; knows nothing of hints.
//!
//! Where look-ups come thick and fast, `store.rs` has a finder keep its view of the file open from one to the next, and ask before each
//! whether it is still the last commit's.
//!
//! With rusqlite's own statements a look-up of one row takes a fifth longer: their cache is asked for each one by the text of its SQL, and
//! a row of theirs is made and checked anew. Nothing else in the tier is stepped often enough to matter.
#![allow(unsafe_code)]

use super::commits::{Commit, Commits};
use super::faults::{of_sqlite, Outcome};
use crate::tiers::{Fault, FaultKind};
use rusqlite::{ffi, Connection};
use std::ffi::{c_int, CStr};
use std::ptr::{null_mut, NonNull};

/// One row at most.
const BY_ID: &CStr = c"SELECT id, key, envelope FROM entries WHERE id = ?1";

/// Those of one hash: in nearly all cases one row at most, and of these one at most has the key.
const BY_HASH: &CStr = c"
    SELECT e.id, e.key, e.envelope FROM recent i CROSS JOIN entries e ON e.id = i.id WHERE i.hash = ?1 UNION ALL
    SELECT e.id, e.key, e.envelope FROM settled i CROSS JOIN entries e ON e.id = i.id WHERE i.hash = ?1";

pub(super) struct Finder {
    // Before the connection, so that they end before it does.
    by_id: Statement,
    by_hash: Statement,
    begin: Statement,
    end: Statement,
    commits: Option<Commits>,
    /// `None`: what is found is as of when it is looked for.
    view: Option<View>,
    connection: Connection,
}

/// The file as it is after a commit.
struct View {
    commit: Commit,
    /// Who was shown it.
    reads: u32,
}

/// Reads that share a view: so many take a millisecond, and what it takes to open and close one is a two-hundredth of them.
const SHARE: u32 = 256;

impl Finder {
    pub(super) fn new(connection: Connection) -> Outcome<Self> {
        let prepare = |sql| Statement::prepare(&connection, sql);
        let commits = Commits::of(&connection);
        let (by_id, by_hash) = (prepare(BY_ID)?, prepare(BY_HASH)?);
        let (begin, end) = (prepare(c"BEGIN")?, prepare(c"ROLLBACK")?);
        Ok(Self { by_id, by_hash, begin, end, commits, view: None, connection })
    }

    /// From now on everything is found as of one commit, until [`Finder::close_view`]: no look-up begins and ends a transaction of its own, which
    /// is a third of its time. Nothing happens where a commit cannot be told from another.
    pub(super) fn open_view(&mut self) -> Outcome<()> {
        let Some(commits) = self.commits.as_ref().filter(|_| self.view.is_none()) else { return Ok(()) };
        // Before the transaction, which begins with the first look-up: if somebody commits in between, the view is newer than it
        // says, and is given up for nothing.
        let commit = commits.now();
        self.begin.run()?;
        self.view = Some(View { commit, reads: 0 });
        Ok(())
    }

    pub(super) fn close_view(&mut self) -> Outcome<()> {
        match self.view.take() {
            // It has read only: whatever went wrong, there is nothing to lose.
            Some(_) => self.end.run(),
            None => Ok(()),
        }
    }

    /// Before each read: closes a view that is not of the last commit, or was open for long.
    pub(super) fn refresh(&mut self) -> Outcome<()> {
        if let (Some(view), Some(commits)) = (&mut self.view, &self.commits) {
            view.reads += 1;
            if view.reads < SHARE && commits.now() == view.commit {
                return Ok(());
            }
        }
        self.close_view()
    }

    /// For whatever else there is to ask.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What is found meanwhile is as of one moment.
    pub(super) fn in_one_moment<T>(&mut self, find: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.view.is_some() {
            return find(self);
        }
        self.begin.run()?;
        let found = find(self);
        self.end.run()?;
        found
    }

    /// The envelope of a key, if its row has this id.
    pub(super) fn by_id(&mut self, id: i64, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.by_id.find(id, key)?.map(|(_, envelope)| envelope))
    }

    /// The row of a key, of those with this hash.
    pub(super) fn by_hash(&mut self, hash: u64, key: &[u8]) -> Outcome<Option<(i64, Vec<u8>)>> {
        self.by_hash.find(hash as i64, key)
    }
}

// SAFETY: SQLite lets a connection and its statements go from thread to thread, as long as one uses them at a time; the memory that `Commits`
// points to belongs to the process. Here they go together, every use is through `&mut self`, and `&self` gives out a `Connection`, which is not `Sync`, so that neither is this.
unsafe impl Send for Finder {}

/// A prepared statement; where it has rows, with one parameter, a number, and rows of an id, a key and an envelope. Between two calls it is
/// at its beginning, so that without a view nobody is kept from moving the WAL.
struct Statement(NonNull<ffi::sqlite3_stmt>);

impl Statement {
    /// It has to end before the connection does, as in [`Finder`].
    fn prepare(connection: &Connection, sql: &CStr) -> Outcome<Self> {
        let mut statement = null_mut();
        // SAFETY: the connection is open and nobody else uses it, since we have the only reference to what is not `Sync`; the text ends
        // with a zero byte, and `statement` is a place for a pointer.
        let (code, database) = unsafe {
            let database = connection.handle();
            let flags = ffi::SQLITE_PREPARE_PERSISTENT;
            (ffi::sqlite3_prepare_v3(database, sql.as_ptr(), -1, flags, &mut statement, null_mut()), database)
        };
        match NonNull::new(statement) {
            Some(statement) if code == ffi::SQLITE_OK => Ok(Self(statement)),
            _ => Err(fault(database, code)),
        }
    }

    /// Of a statement that has no rows.
    fn run(&mut self) -> Outcome<()> {
        let statement = self.0.as_ptr();
        // SAFETY: as in `find`.
        unsafe {
            let code = ffi::sqlite3_step(statement);
            let ended = match code {
                ffi::SQLITE_DONE => Ok(()),
                _ => Err(fault(ffi::sqlite3_db_handle(statement), code)),
            };
            ffi::sqlite3_reset(statement);
            ended
        }
    }

    /// The id and the envelope of the first row that has this key.
    fn find(&mut self, parameter: i64, key: &[u8]) -> Outcome<Option<(i64, Vec<u8>)>> {
        let statement = self.0.as_ptr();
        // SAFETY: a statement that was prepared and not ended, at its beginning, of a connection that is open as long as it is, used by
        // this thread alone for as long as we are borrowed. The columns are asked for while it stands on a row, and each pointer is
        // used before anything else is done with the statement.
        unsafe {
            let mut code = ffi::sqlite3_bind_int64(statement, 1, parameter);
            let mut found = Ok(None);
            if code == ffi::SQLITE_OK {
                code = ffi::sqlite3_step(statement);
                while code == ffi::SQLITE_ROW {
                    match blob(statement, 1) {
                        Some(here) if here == key => {
                            let id = ffi::sqlite3_column_int64(statement, 0);
                            found =
                                blob(statement, 2).ok_or_else(misshapen).map(|envelope| Some((id, envelope.to_vec())));
                            break;
                        }
                        Some(_) => code = ffi::sqlite3_step(statement),
                        None => {
                            found = Err(misshapen());
                            break;
                        }
                    }
                }
            }
            if code != ffi::SQLITE_ROW && code != ffi::SQLITE_DONE {
                // Before it is set back, which may say something else.
                found = Err(fault(ffi::sqlite3_db_handle(statement), code));
            }
            // What this returns is what the last step has returned.
            ffi::sqlite3_reset(statement);
            found
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: it was prepared, and is used no more; its connection is still open.
        unsafe { ffi::sqlite3_finalize(self.0.as_ptr()) };
    }
}

/// The bytes of a column; `None`: it is no blob.
///
/// # Safety
///
/// The statement stands on a row that has the column. The bytes are there until anything else is done with it.
unsafe fn blob<'a>(statement: *mut ffi::sqlite3_stmt, column: c_int) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise. SQLite returns as many bytes as it says, in this order of the calls, and no pointer where there
    // are none.
    unsafe {
        if ffi::sqlite3_column_type(statement, column) != ffi::SQLITE_BLOB {
            return None;
        }
        let bytes = ffi::sqlite3_column_blob(statement, column).cast::<u8>();
        let length = usize::try_from(ffi::sqlite3_column_bytes(statement, column)).ok()?;
        match (bytes.is_null(), length) {
            (_, 0) => Some(&[]),
            // SQLite had no memory for it.
            (true, _) => None,
            (false, _) => Some(std::slice::from_raw_parts(bytes, length)),
        }
    }
}

/// What SQLite says of a call that has just failed.
fn fault(database: *mut ffi::sqlite3, code: c_int) -> Fault {
    // SAFETY: a connection that is open and used by nobody else; the text is SQLite's, ends with a zero byte, and is copied before the next
    // call.
    let said = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(database)) }.to_string_lossy().into_owned();
    of_sqlite(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(said)))
}

fn misshapen() -> Fault {
    Fault::new(FaultKind::Damaged, "the disk tier's file: a row is not as this library makes them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder(rows: &str) -> Finder {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(&format!(
                "CREATE TABLE entries (id INTEGER PRIMARY KEY, hash INTEGER, expires INTEGER, key, envelope);
                 CREATE TABLE recent (hash INTEGER, id INTEGER, due INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
                 CREATE TABLE settled (hash INTEGER, id INTEGER, due INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
                 {rows}"
            ))
            .unwrap();
        Finder::new(connection).unwrap()
    }

    #[test]
    fn a_key_is_found_by_its_id_and_among_those_that_share_its_hash() {
        let mut finder = finder(
            "INSERT INTO entries VALUES (1, 7, NULL, x'6101', x'01'), (2, 7, NULL, x'6102', x''), (3, 7, NULL, x'', x'03');
             INSERT INTO recent VALUES (7, 1, NULL); INSERT INTO settled VALUES (7, 2, NULL), (7, 3, NULL), (7, 99, NULL);",
        );
        // Twice, as a statement that is not set back says something else the second time.
        for _ in 0..2 {
            assert_eq!(finder.by_id(1, b"a\x01").unwrap(), Some(vec![1]));
            assert_eq!(finder.by_id(1, b"a\x02").unwrap(), None);
            assert_eq!(finder.by_id(4, b"a\x01").unwrap(), None);
            assert_eq!(finder.by_hash(7, b"a\x01").unwrap(), Some((1, vec![1])));
            assert_eq!(finder.by_hash(7, b"a\x02").unwrap(), Some((2, vec![])));
            assert_eq!(finder.by_hash(7, b"").unwrap(), Some((3, vec![3])));
            assert_eq!(finder.by_hash(7, b"a").unwrap(), None);
            assert_eq!(finder.by_hash(8, b"a\x01").unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_blob_is_damage_and_the_next_row_is_found_all_the_same() {
        let mut finder = finder(
            "INSERT INTO entries VALUES (1, 7, NULL, 'a', x'01'), (2, 8, NULL, x'61', 5), (3, 9, NULL, x'61', x'02');
             INSERT INTO recent VALUES (7, 1, NULL), (8, 2, NULL), (9, 3, NULL);",
        );
        for (id, hash) in [(1, 7), (2, 8)] {
            assert_eq!(finder.by_id(id, b"a").unwrap_err().kind, FaultKind::Damaged);
            assert_eq!(finder.by_hash(hash, b"a").unwrap_err().kind, FaultKind::Damaged);
        }
        assert_eq!(finder.by_id(3, b"a").unwrap(), Some(vec![2]));
        assert_eq!(finder.by_hash(9, b"a").unwrap(), Some((3, vec![2])));
    }

    #[test]
    fn what_sqlite_says_is_told_and_a_reader_between_two_look_ups_keeps_nobody_from_writing() {
        let mut finder = finder("INSERT INTO entries VALUES (1, 7, NULL, x'61', x'01');");
        assert_eq!(finder.by_id(1, b"a").unwrap(), Some(vec![1]));
        // Dropping a table fails while a statement is in the middle of one.
        finder.connection().execute_batch("DROP TABLE entries").unwrap();
        let fault = finder.by_id(1, b"a").unwrap_err();
        assert!(fault.message.contains("no such table: entries"), "{fault}");
    }
}
