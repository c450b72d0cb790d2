//! The folder of the tier and the files in it, as the file system sees them: whose they are, who else may read them, and
//! which process may make or replace them now. Used by `file.rs`, and by `mod.rs` when a cache is opened. Never looks into
//! the file, and never opens and closes it: closing any descriptor of a file drops all locks that SQLite has on it in this process.

use super::faults::{of_io, Outcome};
use super::user::effective_user;
use crate::error::{Error, Result, Status};
use crate::tiers::{Fault, FaultKind};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The one file that matters.
pub(super) const FILE: &str = "cache.db";
/// What SQLite keeps beside it.
pub(super) const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// A file is made under this name and renamed when it is whole.
const UNFINISHED: &str = "cache.db.new";
/// Locked by whoever opens, makes or replaces the file.
const LOCK: &str = "cache.lock";
const ASIDE: &str = "cache.db.set-aside-";
/// All our files begin like this.
const OURS: &str = "cache.";

/// Arbitrary: enough for somebody to look at, too few to fill a disk.
const KEPT_ASIDE: usize = 3;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What a probe writes and removes: more than a file system has to spare when it says that it is full.
const PROBE_BYTES: usize = 64 << 10;

/// Between two attempts to get the lock of the folder, which is held for a millisecond or two.
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// The folder `disk.path`, as an absolute path: what becomes of the current directory does not matter.
pub(super) struct Folder {
    path: PathBuf,
}

/// Nobody else opens, makes or replaces the file until this is dropped.
pub(super) struct Locked {
    file: File,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // By name and not only by closing: a process that is just being started by another thread may hold a copy of the descriptor.
        let _ = self.file.unlock();
    }
}

impl Folder {
    /// Finds out where the folder is. Makes it, with its parents, if it is not there.
    pub(super) fn open(path: &str) -> Result<Self> {
        let refuse = |why: String| Error::new(Status::InvalidOption, format!("`disk.path` was given `{path}`, {why}"));
        let absolute = std::path::absolute(path).map_err(|error| refuse(format!("which is no path: {error}")))?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(refuse("which is no folder of your own; give one, as in `/var/cache/me/values`".into()));
        };
        let made = |error: io::Error| refuse(format!("which cannot be made: {error}; give a folder that can"));
        make_parents(parent).map_err(made)?;
        // SQLite is told to follow no symlink, which to it means any part of a path. Those above the folder are followed here, once.
        let path = parent.canonicalize().map_err(made)?.join(name);
        let folder = Self { path };
        match folder.make() {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(made(error)),
            _ => {}
        }
        folder.check().map_err(|why| refuse(format!("which {why}")))?;
        folder.check_files().map_err(|(file, why)| refuse(format!("where `{file}` {why}")))?;
        Ok(folder)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.path.join(format!("{FILE}{}", BESIDE[0]))
    }

    /// Where a file is made before it gets its name.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    fn make(&self) -> io::Result<()> {
        make_folder(&self.path)
    }

    /// What is wrong with the folder, and what would be right.
    fn check(&self) -> std::result::Result<(), String> {
        let found = fs::symlink_metadata(&self.path).map_err(|error| format!("cannot be looked at: {error}"))?;
        if found.is_symlink() {
            return Err("is a symlink; give the folder that it points to".into());
        }
        if !found.is_dir() {
            return Err("is no folder; give a folder, or a name that is free".into());
        }
        check_owner(&found)?;
        if found.permissions().mode() & 0o077 == 0 {
            return Ok(());
        }
        // Ours, and others can look into it. One that has only our files in it, or none, was made for us by somebody
        // with an ordinary umask: it is closed. In any other, others may have business: closing it could break a
        // machine (think of /tmp and root), so it is refused.
        if !self.holds_only_ours().map_err(|error| format!("cannot be read: {error}"))? {
            return Err(
                "has other files in it and is open to other users; give a folder of its own, or close it (chmod 700)"
                    .into(),
            );
        }
        fs::set_permissions(&self.path, Permissions::from_mode(FOLDER_MODE))
            .map_err(|error| format!("is open to other users and cannot be closed: {error}"))
    }

    fn holds_only_ours(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            if !entry?.file_name().to_str().is_some_and(|name| name.starts_with(OURS)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which file is not as it should be, and why. Those that are open to others are closed.
    fn check_files(&self) -> std::result::Result<(), (String, String)> {
        for name in [FILE.to_owned(), format!("{FILE}{}", BESIDE[0]), format!("{FILE}{}", BESIDE[1]), LOCK.to_owned()] {
            let path = self.path.join(&name);
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            check_file(&path, &found).map_err(|why| (name, why))?;
        }
        Ok(())
    }

    /// Sees to it, while a cache runs, that the folder is there and all in it is ours; it may have been removed or replaced.
    pub(super) fn ensure(&self) -> Outcome<()> {
        match self.make() {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(of_io("the folder of the disk tier is gone, and cannot be made", &error));
            }
            _ => {}
        }
        self.check().map_err(|why| refused(&format!("the folder of the disk tier {why}")))?;
        self.check_files().map_err(|(file, why)| refused(&format!("`{file}` in the folder of the disk tier {why}")))
    }

    /// Waits for the lock of the folder, for so long at most.
    pub(super) fn lock(&self, patience: Duration) -> Outcome<Locked> {
        let began = Instant::now();
        let path = self.path.join(LOCK);
        let cannot = |error: io::Error| of_io("the lock of the disk tier's folder", &error);
        loop {
            let file = open_file(OpenOptions::new().create(true).truncate(false), &path).map_err(cannot)?;
            match file.try_lock() {
                Ok(()) => {
                    let locked = Locked { file };
                    // Whoever removed the folder has removed the lock with it: then this one locks nothing.
                    let mine = locked.file.metadata().map_err(cannot)?;
                    match fs::symlink_metadata(&path) {
                        Ok(there) if (there.dev(), there.ino()) == (mine.dev(), mine.ino()) => return Ok(locked),
                        _ => {}
                    }
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
            }
            if began.elapsed() >= patience {
                return Err(Fault::new(FaultKind::TimedOut, "another process has kept the disk tier's folder locked"));
            }
            std::thread::sleep(LOCK_RETRY);
        }
    }

    /// Makes an empty file under the name of the unfinished one, in place of what an interrupted attempt has left.
    pub(super) fn begin_unfinished(&self, locked: &Locked) -> Outcome<()> {
        let cannot = |error: io::Error| of_io("a new file for the disk tier", &error);
        self.remove_unfinished(locked);
        open_file(OpenOptions::new().create_new(true), &self.unfinished()).map(drop).map_err(cannot)
    }

    pub(super) fn remove_unfinished(&self, _locked: &Locked) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(self.path.join(format!("{UNFINISHED}{end}")));
        }
    }

    /// Gives the unfinished file its name. What a former file of that name has left beside it is no part of the new one.
    pub(super) fn finish(&self, _locked: &Locked) -> Outcome<()> {
        let cannot = |error: io::Error| of_io("a new file for the disk tier", &error);
        for end in BESIDE {
            match fs::remove_file(self.path.join(format!("{FILE}{end}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
                _ => {}
            }
        }
        fs::rename(self.unfinished(), self.file()).map_err(cannot)
    }

    pub(super) fn has_file(&self) -> bool {
        fs::symlink_metadata(self.file()).is_ok()
    }

    /// Gives the file, and what belongs to it, another name, which is returned. Of files that were set aside before, the oldest go.
    pub(super) fn set_aside(&self, _locked: &Locked, unix_seconds: u64) -> Outcome<String> {
        let cannot = |error: io::Error| of_io("the disk tier's damaged file cannot be set aside", &error);
        let mut aside = self.aside().map_err(cannot)?;
        // Two in one second get two names.
        let free = (unix_seconds..).find(|at| !aside.iter().any(|(taken, _)| taken == at)).unwrap_or(unix_seconds);
        let name = format!("{ASIDE}{free}");
        for end in BESIDE {
            let _ = fs::rename(self.path.join(format!("{FILE}{end}")), self.path.join(format!("{name}{end}")));
        }
        fs::rename(self.file(), self.path.join(&name)).map_err(cannot)?;
        aside.push((free, name.clone()));
        aside.sort_unstable();
        for (_, old) in aside.iter().rev().skip(KEPT_ASIDE) {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(self.path.join(format!("{old}{end}")));
            }
        }
        Ok(name)
    }

    /// The files that were set aside, with their times.
    fn aside(&self) -> io::Result<Vec<(u64, String)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(at) = name.strip_prefix(ASIDE).and_then(|at| at.parse().ok()) {
                found.push((at, name.to_owned()));
            }
        }
        Ok(found)
    }

    /// Whether the file system takes anything at all: writes some bytes and removes them.
    pub(super) fn try_to_write(&self) -> Outcome<()> {
        let path = self.path.join(format!("cache.probe-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let written = open_file(OpenOptions::new().create_new(true), &path)
            .and_then(|mut file| file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_data()));
        let removed = fs::remove_file(&path);
        written.and(removed).map_err(|error| of_io("the folder of the disk tier cannot be written to", &error))
    }
}

fn refused(message: &str) -> Fault {
    Fault::new(FaultKind::Refused, message)
}

/// Opens for writing what is ours alone, whatever the umask.
fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.read(true).write(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != FILE_MODE {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

fn make_parents(parent: &Path) -> io::Result<()> {
    if parent.is_dir() {
        return Ok(());
    }
    if let Some(above) = parent.parent() {
        make_parents(above)?;
    }
    match make_folder(parent) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && parent.is_dir() => Ok(()),
        made => made,
    }
}

/// Nobody else's from the beginning, and open to us whatever the umask.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE))
}

fn check_file(path: &Path, found: &Metadata) -> std::result::Result<(), String> {
    if found.is_symlink() {
        return Err("is a symlink; remove it".into());
    }
    if !found.is_file() {
        return Err("is no ordinary file; remove it".into());
    }
    check_owner(found)?;
    if found.permissions().mode() & 0o777 != FILE_MODE {
        fs::set_permissions(path, Permissions::from_mode(FILE_MODE))
            .map_err(|error| format!("is open to other users and cannot be closed: {error}"))?;
    }
    Ok(())
}

fn check_owner(found: &Metadata) -> std::result::Result<(), String> {
    let me = effective_user();
    if found.uid() != me {
        return Err(format!("belongs to user {}, and this process runs as {me}; it has to be its own", found.uid()));
    }
    Ok(())
}
