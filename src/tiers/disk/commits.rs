//! Which commit the file is at, without a lock and without a call of the kernel. Used by `finder.rs`, which goes on with what it has
//! opened as long as nobody has committed anything.
//!
//! It is what SQLite itself compares when a read begins: the header of the WAL's index, twice 48 bytes in memory that all processes share
//! (sqlite.org/walformat.html, 2.1). Each commit, and each beginning of the WAL anew, changes it before it ends: the number of the last
//! frame, a checksum over all of them, the salts. So a header that is the same means the same content.
#![allow(unsafe_code)]

use rusqlite::{ffi, Connection};
use std::ffi::c_void;
use std::ptr::{null_mut, NonNull};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Both copies of the header.
const WORDS: usize = 2 * 48 / 8;

/// The first part of the index, as SQLite asks for it.
const PART_BYTES: i32 = 32 << 10;

/// The header at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit([u64; WORDS]);

/// Where the header of a connection's file is. No longer there than the connection.
pub(super) struct Commits(NonNull<AtomicU64>);

impl Commits {
    /// `None`: it cannot be had. The connection has read something from a file with a WAL, and stays open as long as the result is used.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let mut file: *mut ffi::sqlite3_file = null_mut();
        let mut part: *mut c_void = null_mut();
        // SAFETY: the connection is open, and nobody else uses it, since we have the only reference to what is not `Sync`. SQLite stores a
        // pointer to the file that the connection has as long as it is open, and the file's own method tells where the part of the index
        // is that the connection has mapped when it read; without `extend` it makes nothing.
        unsafe {
            let pointer = (&raw mut file).cast::<c_void>();
            let code = ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                pointer,
            );
            let methods = file.as_ref().filter(|_| code == ffi::SQLITE_OK)?.pMethods.as_ref()?;
            let map = methods.xShmMap.filter(|_| methods.iVersion >= 2)?;
            if map(file, 0, PART_BYTES, 0, &mut part) != ffi::SQLITE_OK {
                return None;
            }
        }
        let header = NonNull::new(part.cast::<AtomicU64>())?;
        header.is_aligned().then_some(Self(header))
    }

    pub(super) fn now(&self) -> Commit {
        // SAFETY: the header lies at the beginning of a part of 32 KiB, which stays mapped until the connection is closed, and that is not
        // before this is used for the last time (see `of`). Other threads and processes write it meanwhile, so it is read by atomics; one
        // that is read in the middle of a change is like none that anybody was told before.
        Commit(std::array::from_fn(|word| unsafe { self.0.add(word).as_ref() }.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_each_commit_of_whichever_connection_and_with_nothing_else() {
        let folder = super::super::tests::TemporaryFolder::new("commits");
        let open = || {
            let connection = Connection::open(folder.join("file")).unwrap();
            connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;").unwrap();
            connection
        };
        let (one, other) = (open(), open());
        one.execute_batch("CREATE TABLE t (a)").unwrap();
        let commits = Commits::of(&one).unwrap();
        let mut seen = vec![commits.now()];
        for round in 0..100 {
            let writer = if round % 2 == 0 { &one } else { &other };
            writer.execute_batch("BEGIN; INSERT INTO t VALUES (1)").unwrap();
            assert_eq!(commits.now(), seen[round], "not yet committed");
            writer.execute_batch("COMMIT").unwrap();
            assert!(!seen.contains(&commits.now()), "round {round}");
            seen.push(commits.now());
            if round % 10 == 9 {
                other.execute_batch("PRAGMA wal_checkpoint(PASSIVE); SELECT count(*) FROM t").unwrap_or_default();
                assert_eq!(commits.now(), seen[round + 1], "nothing was committed");
                other.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, i64>(0)).unwrap();
                seen[round + 1] = commits.now();
            }
        }
    }

    #[test]
    fn a_file_without_a_wal_has_none() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(Commits::of(&connection).is_none());
    }
}
