//! Opens connections to the one file: makes it where there is none, and sets one aside that is no use. Used by the readers
//! and the writer; keeps no connection itself.
//!
//! Several processes share the file, and any of them may find it missing or damaged. Whoever opens, makes or replaces it
//! holds the lock of the folder meanwhile, so that of two that find the same file damaged only the first sets it aside.

use super::faults::{OrFault, Outcome};
use super::folder::{Folder, Locked};
use super::schema::{self, Role, Unfit};
use crate::log;
use crate::tiers::{Fault, FaultKind};
use rusqlite::{Connection, OpenFlags};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct TheFile {
    folder: Folder,
    max_bytes: AtomicU64,
    /// Which file the last connection was made to.
    last: Mutex<Id>,
    /// Changes with it. A connection of another age than this is to a file that is no longer there.
    age: AtomicU64,
    /// A file that was seen to be damaged while it was in use.
    damaged: Mutex<Option<Id>>,
    set_aside: AtomicU64,
    /// What the logger is to be told, once nothing is locked.
    told: Mutex<Vec<String>>,
}

/// Device and inode. Never that of another file as long as a connection to it is open.
type Id = (u64, u64);

/// A connection, and how old the file was that it is to.
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) age: u64,
}

impl TheFile {
    pub(super) fn new(folder: Folder, max_bytes: u64) -> Self {
        Self {
            folder,
            max_bytes: max_bytes.into(),
            last: Mutex::new((0, 0)),
            age: AtomicU64::new(0),
            damaged: Mutex::new(None),
            set_aside: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Relaxed);
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Relaxed)
    }

    pub(super) fn set_aside(&self) -> u64 {
        self.set_aside.load(Relaxed)
    }

    /// Compared with [`Connected::age`].
    pub(super) fn age(&self) -> u64 {
        self.age.load(SeqCst)
    }

    /// Whether the file under our name is no longer the one that connections of this age are to.
    pub(super) fn is_gone(&self) -> bool {
        self.current() != Some(*lock(&self.last))
    }

    /// Something in the file that connections of this age are to makes no sense: the next connection of the writer sets it aside.
    pub(super) fn is_damaged(&self, age: u64) {
        let last = lock(&self.last);
        if self.age() == age {
            *lock(&self.damaged) = Some(*last);
        }
    }

    pub(super) fn was_seen_damaged(&self) -> bool {
        lock(&self.damaged).is_some()
    }

    /// A connection, to a file that is made now if there is none. Waits so long for others that have it locked, at most.
    pub(super) fn connect(&self, role: Role, patience: Duration) -> Outcome<Connected> {
        let began = Instant::now();
        self.folder.ensure()?;
        let locked = self.folder.lock(patience)?;
        let left = patience.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        self.connect_locked(&locked, role, left)
    }

    /// Before a fork: nobody is in the middle of [`TheFile::tell`] until the result is dropped.
    pub(super) fn hold(&self) -> impl Sized + '_ {
        lock(&self.told)
    }

    /// Tells the logger what has happened to the file. Called without a lock, as a logger may use the cache.
    pub(super) fn tell(&self) {
        if self.set_aside() == 0 {
            return;
        }
        let told = std::mem::take(&mut *lock(&self.told));
        for message in told {
            log::warn(|| message);
        }
    }

    fn connect_locked(&self, locked: &Locked, role: Role, patience: Duration) -> Outcome<Connected> {
        let seen = *lock(&self.damaged);
        if seen.is_some() {
            if seen == self.current() {
                self.put_away(locked, "it was seen to be damaged".into())?;
            }
            *lock(&self.damaged) = None;
        }
        if !self.folder.has_file() {
            self.make(locked)?;
        }
        let connection = match self.try_to_connect(role, patience) {
            Err(Unfit::File(why)) => {
                self.put_away(locked, why)?;
                self.make(locked)?;
                self.try_to_connect(role, patience).map_err(|unfit| match unfit {
                    Unfit::Now(fault) => fault,
                    Unfit::File(why) => Fault::new(FaultKind::Damaged, why),
                })?
            }
            Err(Unfit::Now(fault)) => return Err(fault),
            Ok(connection) => connection,
        };
        // Nobody replaces the file while we hold the lock, so this is what the connection is to.
        let id = self.current().unwrap_or_default();
        let mut last = lock(&self.last);
        if *last != id {
            *last = id;
            self.age.fetch_add(1, SeqCst);
        }
        Ok(Connected { connection, age: self.age() })
    }

    fn try_to_connect(&self, role: Role, patience: Duration) -> Result<Connection, Unfit> {
        let access = match role {
            Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Role::Writer { .. } => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let connection = open(&self.folder.file(), access).map_err(Unfit::Now)?;
        connection.busy_timeout(patience).or_fault().map_err(Unfit::Now)?;
        // What is no SQLite file is found out by whatever asks for something in it first.
        schema::prepare(&connection, role).map_err(schema::unfit)?;
        schema::check(&connection)?;
        Ok(connection)
    }

    fn put_away(&self, locked: &Locked, why: String) -> Outcome<()> {
        let name = self.folder.set_aside(locked, crate::clock::unix_micros() / 1_000_000)?;
        self.set_aside.fetch_add(1, Relaxed);
        let message = format!("the file of the disk tier was set aside as {name}, and a fresh one begun: {why}");
        lock(&self.told).push(message);
        Ok(())
    }

    /// Makes an empty file of ours, so that nobody sees it before it is whole.
    fn make(&self, locked: &Locked) -> Outcome<()> {
        self.folder.begin_unfinished(locked)?;
        let made = open(&self.folder.unfinished(), OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
            schema::create(&connection, self.max_bytes())?;
            // With the last connection the WAL goes.
            connection.close().map_err(|(_, error)| error).or_fault()
        });
        let finished = made.and_then(|()| self.folder.finish(locked));
        if finished.is_err() {
            self.folder.remove_unfinished(locked);
        }
        finished
    }

    fn current(&self) -> Option<Id> {
        let found = std::fs::symlink_metadata(self.folder.file()).ok()?;
        Some((found.dev(), found.ino()))
    }
}

fn open(path: &std::path::Path, access: OpenFlags) -> Outcome<Connection> {
    // A connection is used by one thread at a time. Without URI: a `?` in a path is a `?`.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(path, flags).or_fault()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
