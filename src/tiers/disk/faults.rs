//! What SQLite and the file system say, as faults of the tier. Asked by every room of the disk tier; does nothing else.

use crate::tiers::{Fault, FaultKind};
use rusqlite::ffi::{self, ErrorCode};
use std::io;

/// What every room of the tier returns.
pub(super) type Outcome<T> = std::result::Result<T, Fault>;

/// A failure of SQLite.
pub(super) fn of_sqlite(error: &rusqlite::Error) -> Fault {
    Fault::new(kind_of(error), format!("the disk tier's file: {error}"))
}

fn kind_of(error: &rusqlite::Error) -> FaultKind {
    let Some(error) = error.sqlite_error() else {
        // A column of another type, or a row that must be there and is not: the file is not as we have made it.
        return FaultKind::Damaged;
    };
    match (error.code, error.extended_code) {
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed, _) => {
            FaultKind::TimedOut
        }
        (ErrorCode::DiskFull | ErrorCode::OutOfMemory, _) => FaultKind::Full,
        // What SQLite makes of a quota (EDQUOT) and of a limit on the size of files (EFBIG): only ENOSPC is `DiskFull`.
        (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_NOMEM) => FaultKind::Full,
        (_, ffi::SQLITE_IOERR_CORRUPTFS) => FaultKind::Damaged,
        (_, ffi::SQLITE_READONLY_DBMOVED) => FaultKind::Unreachable,
        (ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied, _) => {
            FaultKind::Refused
        }
        // A short read is one beyond the end of the file: it has been cut off.
        (_, ffi::SQLITE_IOERR_SHORT_READ) => FaultKind::Damaged,
        (ErrorCode::CannotOpen | ErrorCode::SystemIoFailure, _) => FaultKind::Unreachable,
        (ErrorCode::TooBig, _) => FaultKind::TooLarge,
        // Corrupt, no SQLite file, or tables that are not as we have made them.
        _ => FaultKind::Damaged,
    }
}

/// A failure of the file system, at something that is said in words.
pub(super) fn of_io(doing: &str, error: &io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => FaultKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FaultKind::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FaultKind::TimedOut,
        _ => FaultKind::Unreachable,
    };
    Fault::new(kind, format!("{doing}: {error}"))
}

/// Turns failures of SQLite into faults, for `?`.
pub(super) trait OrFault<T> {
    fn or_fault(self) -> Outcome<T>;
}

impl<T> OrFault<T> for rusqlite::Result<T> {
    fn or_fault(self) -> Outcome<T> {
        self.map_err(|error| of_sqlite(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: std::ffi::c_int) -> FaultKind {
        of_sqlite(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).kind
    }

    #[test]
    fn what_sqlite_says_is_told_by_what_can_be_done_about_it() {
        for (code, expected) in [
            (ffi::SQLITE_BUSY, FaultKind::TimedOut),
            (ffi::SQLITE_BUSY_RECOVERY, FaultKind::TimedOut),
            (ffi::SQLITE_FULL, FaultKind::Full),
            (ffi::SQLITE_IOERR_WRITE, FaultKind::Full),
            (ffi::SQLITE_IOERR_READ, FaultKind::Unreachable),
            (ffi::SQLITE_CANTOPEN, FaultKind::Unreachable),
            (ffi::SQLITE_READONLY, FaultKind::Refused),
            (ffi::SQLITE_READONLY_DBMOVED, FaultKind::Unreachable),
            (ffi::SQLITE_TOOBIG, FaultKind::TooLarge),
            (ffi::SQLITE_CORRUPT, FaultKind::Damaged),
            (ffi::SQLITE_NOTADB, FaultKind::Damaged),
            (ffi::SQLITE_ERROR, FaultKind::Damaged),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
